"""Matrix multiplication with broadcast batch dimensions."""

from __future__ import annotations

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, LoopRole, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of


def make_matmul(operator: OperatorView) -> LoopNest:
    """The loop nest of a MatMul node; a vector counts as a matrix of one row or column."""
    a, b = shape_of(operator.input(0)), shape_of(operator.input(1))
    if len(a) == 0 or len(b) == 0:
        raise Unsplittable("an operand is a scalar")
    rows = a[-2] if len(a) > 1 else 1
    columns = b[-1] if len(b) > 1 else 1
    rank = max(len(a), len(b), 2) - 2
    batch_a, batch_b = _padded(a[:-2], rank), _padded(b[:-2], rank)
    batch = tuple(Loop(f"b{i}", max(batch_a[i], batch_b[i])) for i in range(rank))
    m, n = Loop("m", rows), Loop("n", columns)
    k = Loop("k", a[-1], LoopRole.REDUCTION)
    loops = (*batch, m, n, k)
    if 0 in (*a, *b):
        raise Unsplittable("it has an empty dimension")
    output = operand("result", operator.output, (*map(follows, batch), follows(m), follows(n)))
    return LoopNest(
        kind="matmul",
        operators=(operator.name,),
        loops=loops,
        inputs=(
            operator.operand("a", 0, (*_batch_maps(batch, batch_a), follows(m), follows(k))),
            operator.operand("b", 1, (*_batch_maps(batch, batch_b), follows(k), follows(n))),
        ),
        outputs=(output,),
        arguments={},
        work=Work(
            tuple(loop.name for loop in loops),
            operations=1,
            dtype=output.dtype,
            vectors=(("m",), ("n",), ("k",)),
        ),
        output_groups=(
            *((i,) for i in range(rank)),
            *(((rank,),) if len(a) > 1 else ()),
            *(((rank + 1,),) if len(b) > 1 else ()),
        ),
    )


def _padded(extents: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(extents)) + extents


def _batch_maps(batch: tuple[Loop, ...], extents: tuple[int, ...]) -> tuple[DimensionMap, ...]:
    return tuple(
        follows(loop) if extent == loop.extent else fixed(1)
        for loop, extent in zip(batch, extents, strict=True)
    )
