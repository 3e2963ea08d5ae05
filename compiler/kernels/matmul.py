"""Matrix multiplication with broadcast batch dimensions: of floats, of integers, and with weights of few bits."""

from __future__ import annotations

from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Product,
    Work,
    fixed,
    follows,
)
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of
from wsec.compiler.kernels.quantization import (
    ACCUMULATOR_BYTES,
    PLACES,
    dequantization,
    factors,
    is_integer,
    requantization,
    weights_node,
)


def make_matmul(operator: OperatorView) -> LoopNest:
    """The loop nest of MatMul, MatMulInteger or QLinearMatMul; a vector counts as a matrix of one row or column.

    A DequantizeLinear of weights that belongs to the kernel gives it weights of few bits.
    """
    places = PLACES[operator.op_type]
    a, b = shape_of(operator.input(places.first)), shape_of(operator.input(places.second))
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
    left = (*_batch_maps(batch, batch_a), follows(m), follows(k))
    right = (*_batch_maps(batch, batch_b), follows(k), follows(n))
    inputs = factors(operator, ("a", "b"), (left, right), ((rank,), (rank + 1,)))
    weights = weights_node(operator, places.second)
    return LoopNest(
        kind="matmul",
        operators=(operator.name,) if weights is None else (operator.name, weights.name),
        loops=loops,
        inputs=inputs,
        outputs=(output,),
        arguments={},
        work=Work(
            tuple(loop.name for loop in loops),
            operations=1,
            dtype=inputs[0].dtype,
            walks=_walks(batch, batch_b),
            summed=(("k",),),
            partial_bytes=ACCUMULATOR_BYTES if is_integer(operator) else 0,
            product=Product((*_shared_batch(batch, batch_b), "m"), ("n",)),
        ),
        further_work=(
            Work(tuple(loop.name for loop in (*batch, m, n)), operations=1, dtype=output.dtype),  # zeros
            *dequantization(weights, inputs[1]),
            *requantization(operator, (*batch, m, n)),
        ),
        output_groups=(
            *((i,) for i in range(rank)),
            *(((rank,),) if len(a) > 1 else ()),
            *(((rank + 1,),) if len(b) > 1 else ()),
        ),
    )


def _walks(batch: tuple[Loop, ...], of_b: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
    """Rows lie behind each other over a batch that all share one matrix; else matrices do."""
    names = tuple(loop.name for loop in batch)
    if len(_shared_batch(batch, of_b)) == len(batch):
        return ((*names, "m"), ("n",))
    return (*((names,) if names else ()), ("m",), ("n",))


def _shared_batch(batch: tuple[Loop, ...], of_b: tuple[int, ...]) -> tuple[str, ...]:
    """Loops of the batch that the second factor does not follow."""
    return tuple(loop.name for loop, extent in zip(batch, of_b, strict=True) if extent == 1)


def _padded(extents: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(extents)) + extents


def _batch_maps(batch: tuple[Loop, ...], extents: tuple[int, ...]) -> tuple[DimensionMap, ...]:
    return tuple(
        follows(loop) if extent == loop.extent else fixed(1)
        for loop, extent in zip(batch, extents, strict=True)
    )
