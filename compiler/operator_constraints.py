"""From what users demand of operators to what is asked of kernels, and to what the plan records."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import Adjacent, Forbid, Pin, TouchEdge, Within
from wsec.compiler.placement.constraints import kernels_of, label
from wsec.compiler.plan import PlacementConstraint, Rectangle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.placement import Constraint


def on_kernels(constraints: Sequence[Constraint], nests: Sequence[LoopNest]) -> tuple[Constraint, ...]:
    """The constraints with the names of the kernels that compute their operators.

    Args:
        constraints: As users give them: they name operators of the lowered model.
        nests: The kernels.

    Raises:
        WsecError: WSEC334 an operator is not on the wafer, WSEC335 two that must be adjacent are one kernel.
    """
    kernel = {operator: nest.name for nest in nests for operator in nest.operators}
    return tuple(_on_kernels(each, kernel) for each in constraints)


def _on_kernels(constraint: Constraint, kernel: Mapping[str, str]) -> Constraint:
    for operator in kernels_of(constraint):
        if operator not in kernel:
            raise _not_placed(constraint, operator, list(kernel))
    if isinstance(constraint, Forbid):
        return constraint
    name = kernel[constraint.kernel]
    if not isinstance(constraint, Adjacent):
        return replace(constraint, kernel=name)
    other = kernel[constraint.other]
    if name == other:
        raise WsecError(
            "WSEC335",
            "a constraint cannot be kept",
            where=label(constraint),
            expected="operators of two different kernels",
            found=f"kernel {name!r} computes both",
            hint="leave the constraint out: they are on the same cores",
        )
    return replace(constraint, kernel=name, other=other)


def _not_placed(constraint: Constraint, operator: str, placed: Sequence[str]) -> WsecError:
    nearest = ", ".join(map(repr, difflib.get_close_matches(operator, placed, n=3)))
    return WsecError(
        "WSEC334",
        "a constraint names something that is not placed",
        where=label(constraint),
        expected="the name of an operator on the wafer" + (f"; nearest: {nearest}" if nearest else ""),
        found=repr(operator),
        hint="docs/constraints.md says how to list the operators on the wafer; what runs on the host has no place there",
    )


def recorded(constraint: Constraint) -> PlacementConstraint:
    """What the plan says of a constraint, which names operators."""
    operators, name = kernels_of(constraint), constraint.name
    if isinstance(constraint, Adjacent):
        return PlacementConstraint("adjacent", name, operators)
    if isinstance(constraint, TouchEdge):
        return PlacementConstraint("edge", name, operators, sides=constraint.sides)
    box = constraint.rectangle if isinstance(constraint, Pin) else constraint.area
    kind = {Pin: "pin", Within: "region", Forbid: "forbid"}[type(constraint)]
    return PlacementConstraint(kind, name, operators, Rectangle(box.x, box.y, box.width, box.height))  # type: ignore[arg-type]
