"""Which constraints are the reason that nothing fits: a small set of them that cannot be kept together.

A deletion filter: constraints are left out one after the other, and stay out where nothing fits without them either.
Chinneck and Dravnieks, "Locating minimal infeasible constraint sets in linear programs" (1991). What fits is decided by
the first placements of `anchors` and slicing, so the effort is bounded by the number of constraints.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import preparation
from wsec.compiler.placement.constraints import label
from wsec.compiler.placement.packing import anchors
from wsec.compiler.placement.problem import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.placement.candidate import Instance
    from wsec.compiler.placement.constraints import Constraint
    from wsec.compiler.placement.problem import PlacementProblem

_TRIALS: Final = 16
_TOO_LITTLE_ROOM: Final = ("WSEC320", "WSEC321")


def prepare(problem: PlacementProblem) -> Instance:
    """As `preparation.prepare`, but where constraints are why there is too little room, they are named: WSEC323."""
    try:
        return preparation.prepare(problem)
    except WsecError as error:
        if error.code in _TOO_LITTLE_ROOM:
            raise named(problem, error) from None
        raise


def named(problem: PlacementProblem, error: WsecError) -> WsecError:
    """WSEC323 with the constraints that are the reason of an error; the error itself if it needs none of them."""
    reason = _filter(problem)
    if not reason:
        return error
    return WsecError(
        "WSEC323",
        "no arrangement of the kernels was found that keeps the constraints",
        where="\n".join(map(label, reason)),
        expected=f"an arrangement of {len(problem.kernels)} kernels that keeps the constraint named"
        if len(reason) == 1
        else f"an arrangement of {len(problem.kernels)} kernels that keeps the {len(reason)} constraints named",
        found=f"none; {error.what}",
        hint="leave it out, or give it more room"
        if len(reason) == 1
        else "leave one of them out, or give it more room",
    )


def _filter(problem: PlacementProblem) -> Sequence[Constraint]:
    """Constraints without which something fits, each of which is needed for that; of many, some that come along."""
    left = list(problem.constraints)
    size = max(1, math.ceil(len(left) / _TRIALS))
    for start in range(0, len(left), size):
        chunk = problem.constraints[start : start + size]
        without = [each for each in left if not any(each is other for other in chunk)]
        if not _fits(replace(problem, constraints=tuple(without))):
            left = without
    return left


def _fits(problem: PlacementProblem) -> bool:
    """Whether a first placement is found at once."""
    try:
        instance = preparation.prepare(problem)
    except WsecError:
        return False
    candidates = anchors.search_within(instance, instance.slowest, Limits(effort=0))
    return next(candidates, None) is not None
