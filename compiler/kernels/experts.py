"""The kind `experts`: a mixture of experts as one kernel, whose experts lie on different cores and of which few compute.

Cut by expert (loop e), by inner feature (i), by hidden feature (h, of the input and of the result alike) and by row (b, m).
Every core ranks the router's logits of its rows itself. Sums over the hidden features of the inner products are all-reduced
along h, weighted results added along i and e. Of a bias cores along the summed loop hold a share each, where blocks are equal. Which experts are chosen the data says: cycles are those of the group of cores
that holds as many chosen ones as it can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Operand,
    Product,
    Work,
    fixed,
    follows,
)
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of
from wsec.compiler.kernels.quantization import dequantization, parameters_of_weights, weights_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Argument

_SUM_BYTES = 4  # inner products and their sums are kept in single precision
_ROWS = ("b", "m")

GATED_ACTIVATIONS = frozenset({"swiglu", "geglu"})

ACTIVATION_WORK = {
    "relu": (1, 0, 0),
    "relu2": (2, 0, 0),
    "identity": (0, 0, 0),
    "silu": (3, 1, 1),
    "gelu": (8, 0, 1),
    "geglu": (9, 0, 1),
    "swiglu": (8, 1, 1),
}
"""Operations, divisions and functions by series for each inner feature: those of the formulas in docs/kernels.md."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """A matrix of every expert: its role, its input and its bias's, and the view of both."""

    role: str
    index: int
    view: tuple[DimensionMap, ...]
    bias: tuple[DimensionMap, ...]


def make_experts(operator: OperatorView) -> LoopNest:
    """The loop nest of com.microsoft.MoE; a DequantizeLinear in front of a matrix may belong to it."""
    x, result = shape_of(operator.input(0)), shape_of(operator.output)
    if 0 in x or len(x) not in {2, 3}:
        raise Unsplittable(f"its input has shape {list(x)}")
    experts, hidden, inner = shape_of(operator.input(4))
    rows = tuple(Loop(name, extent) for name, extent in zip(_ROWS[3 - len(x) :], x[:-1], strict=True))
    e, i = Loop("e", experts, LoopRole.REDUCTION), Loop("i", inner, LoopRole.REDUCTION)
    h = Loop("h", hidden, LoopRole.COLLECTIVE)
    joined = joined_gates(operator.text("activation_type", "relu"), operator.integer("swiglu_fusion", 0))
    matrices = _matrices(operator, (e, i, h), joined)
    over_rows = tuple(map(follows, rows))
    inputs = [
        operator.operand("x", 0, (*over_rows, follows(h))),
        operator.operand("router", 1, (*over_rows, fixed(experts))),
    ]
    held = [weights_node(operator, matrix.index) for matrix in matrices]
    for matrix, weights in zip(matrices, held, strict=True):
        inputs += _stored(operator, matrix, weights)
    made = operand("result", operator.output, (*over_rows, follows(h)))
    own, further = _works(operator, rows, matrices, held, inputs)
    return LoopNest(
        kind="experts",
        operators=(operator.name, *(weights.name for weights in held if weights is not None)),
        loops=(*rows, e, i, h),
        inputs=tuple(inputs),
        outputs=(made,),
        arguments=_arguments(operator, joined),
        work=own,
        further_work=further,
        output_groups=tuple((position,) for position in range(len(result))),
    )


def joined_gates(activation: str, fusion: int) -> str:
    """How the two factors of a gated activation lie in the first matrix: `pairs`, `halves`, or no two of them."""
    if activation not in GATED_ACTIVATIONS or not fusion:
        return "no"
    return "pairs" if fusion == 1 else "halves"


def _matrices(operator: OperatorView, loops: tuple[Loop, Loop, Loop], joined: str) -> tuple[_Weights, ...]:
    """First, second and, where it is given, third."""
    e, i, h = map(follows, loops)
    # Of a bias each core along the summed loop adds its share to its sums.
    i_shared, h_shared = replace(i, shared="h"), replace(h, shared="i")
    rows = {"pairs": (i, fixed(2)), "halves": (fixed(2), i), "no": (i,)}[joined]
    of_bias = tuple(i_shared if each is i else each for each in rows)
    first = _Weights("w1", 2, (e, *rows, h), (e, *of_bias))
    second = _Weights("w2", 4, (e, h, i), (e, h_shared))
    if not operator.has_input(6):
        return first, second
    return first, second, _Weights("w3", 6, (e, i, h), (e, i_shared))


def _stored(operator: OperatorView, matrix: _Weights, weights: OperatorView | None) -> list[Operand]:
    """The matrix or its codes with their parameters, and its bias."""
    if weights is None:
        found = [operator.operand(matrix.role, matrix.index, matrix.view)]
    else:
        found = [weights.operand(matrix.role, 0, matrix.view)]
        found += parameters_of_weights(matrix.role, weights, matrix.view)
    if operator.has_input(matrix.index + 1):
        found.append(operator.operand(f"{matrix.role}_bias", matrix.index + 1, matrix.bias))
    return found


def _arguments(operator: OperatorView, joined: str) -> dict[str, Argument]:
    limited = "swiglu_limit" in operator.node.attributes
    return {
        "chosen": operator.integer("k", 1),
        "activation": operator.text("activation_type", "relu"),
        "joined": joined,
        "alpha": operator.real("activation_alpha", 1.0),
        "beta": operator.real("activation_beta", 0.0),
        "limited": limited,
        "limit": operator.real("swiglu_limit", 0.0),
        "limited_behind": bool(operator.integer("swiglu_limit_after_activation", 0)),
        "normalized": bool(operator.integer("normalize_routing_weights", 0)),
    }


def _works(
    operator: OperatorView,
    rows: Sequence[Loop],
    matrices: Sequence[_Weights],
    held: Sequence[OperatorView | None],
    inputs: Sequence[Operand],
) -> tuple[Work, tuple[Work, ...]]:
    """The products with the first matrices, and everything else.

    A row is computed by the experts that it chose: at worst all of them lie on one core. Weights are dequantised once for
    all rows, those of the experts that some row chose.
    """
    chosen, experts = operator.integer("k", 1), shape_of(operator.input(2))[0]
    normalized = bool(operator.integer("normalize_routing_weights", 0))
    names, dtype = tuple(loop.name for loop in rows), inputs[0].dtype
    for_a_row = (("e", chosen),)
    for_all = (("e", min(experts, chosen * math.prod(loop.extent for loop in rows))),)
    factors = sum(
        math.prod(m.extent for m in each.view if not m.loop) for each in matrices if each.role != "w2"
    )
    walks = tuple((name,) for name in names)
    first = Work(
        (*names, "e", "i", "h"),
        operations=factors,
        dtype=dtype,
        walks=(*walks, ("e",), ("i",)),
        summed=(("h",),),
        collectives=1,
        statistics=(*names, "e", "i"),
        interim=(*names, "e", "i"),
        interim_bytes=_SUM_BYTES * factors,
        chosen=for_a_row,
        product=Product((), ("i",)),
    )
    operations, divisions, series = ACTIVATION_WORK[operator.text("activation_type", "relu")]
    further = [
        Work(
            (*names, "e", "i", "h"), operations=1, dtype=dtype, walks=(*walks, ("h",)), summed=(("e",), ("i",)),
            chosen=for_a_row, product=Product((), ("h",)),
        ),
        Work(  # the activation, and the weight of the expert
            (*names, "e", "i"), operations + factors, divisions, series, "float32", chosen=for_a_row
        ),
        Work((*names, "h"), operations=1, dtype=dtype),  # zeros
        Work(names, operations=2 * chosen, dtype="float32", taps=(experts,)),  # the best of the rest, so often
        Work(names, operations=1, transcendentals=1, dtype="float32", taps=(chosen if normalized else experts,)),
        Work(names, operations=0, divisions=1, dtype="float32", taps=(chosen,)),
    ]  # fmt: skip
    codes = {item.role: item for item in inputs}
    for matrix, weights in zip(matrices, held, strict=True):
        further += dequantization(weights, codes[matrix.role], for_all)
    return first, tuple(further)
