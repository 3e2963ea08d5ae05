"""Products whose operands shift: of the three loops of a product two lie along the sides of a square of cores, the third goes around.

In each step every core multiplies one block by another. Two of the three matrices follow the loop that goes around; they shift to a
neighbour from step to step, the third one stays. Cannon's algorithm is the case in which the result stays and the summed loop goes
around; where the columns of the result go around, a factor that is stored transposed need not be brought into another order
(MeshGEMM and MeshGEMM-T, arXiv 2502.04563). docs/kernels.md is the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsec.compiler.kernels.loop_nest import LoopNest, Operand

PRODUCT_LOOPS: Final = ("m", "n", "k")
_FLOATS: Final = frozenset({"float16", "bfloat16", "float32", "float64"})


def may_rotate(nest: LoopNest) -> bool:
    """Whether it is a product of two matrices of floats, neither of them a vector, whose loops are seen whole."""
    if nest.kind != "matmul":
        return False
    own = [item for item in nest.inputs if item.role[:1] != "e"]
    known = {loop.name: loop.extent for loop in nest.loops}
    extents = [known.get(name, 1) for name in PRODUCT_LOOPS]
    return (
        [item.role for item in own] == ["a", "b"]
        and all(item.dtype in _FLOATS for item in own)
        and min(extents) > 1
    )


def axis_of_rotating(operand: Operand, nest: LoopNest) -> str:
    """The axis along which the loop that goes around is cut: that of the loop that the matrix does not follow.

    Operands of the chain lie as the result does.
    """
    laid = nest.outputs[0] if operand.role[:1] == "e" else operand
    followed = {dimension.loop for dimension in laid.maps}
    return next(name for name in PRODUCT_LOOPS if name not in followed)
