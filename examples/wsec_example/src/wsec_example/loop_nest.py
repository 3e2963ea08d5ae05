"""The compiler's part: how SquaredDistance may be cut, what each part reads, and how much it computes."""

from __future__ import annotations

from wsec.api.loop_nests import (
    KernelKind,
    Loop,
    LoopNest,
    LoopRole,
    OperatorView,
    Unsplittable,
    Work,
    follows,
    operand,
    shape_of,
)
from wsec_example.squared_distance import DOMAIN, KIND, OPERATOR


def make_squared_distance(operator: OperatorView) -> LoopNest:
    """Loops n and m over the result, k over what is summed; every tensor follows two of them."""
    x, y = shape_of(operator.input(0)), shape_of(operator.input(1))
    if 0 in (*x, *y):
        raise Unsplittable("it has an empty dimension")
    n, m, k = Loop("n", x[0]), Loop("m", y[0]), Loop("k", x[1], LoopRole.REDUCTION)
    result = operand("result", operator.output, (follows(n), follows(m)))
    return LoopNest(
        kind=KIND,
        operators=(operator.name,),
        loops=(n, m, k),
        inputs=(
            operator.operand("x", 0, (follows(n), follows(k))),
            operator.operand("y", 1, (follows(m), follows(k))),
        ),
        outputs=(result,),
        arguments={},
        work=Work(("n", "m", "k"), operations=2, dtype=result.dtype),  # a subtraction and a multiply-add
    )


KINDS = (KernelKind(KIND, (f"{DOMAIN}.{OPERATOR}",), make_squared_distance),)
