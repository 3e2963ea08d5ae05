"""What a placement problem must be before any search starts; each refusal names the item at fault."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.placement.shape_curves import NEVER

if TYPE_CHECKING:
    from wsec.compiler.placement.problem import Limits, PlacementKernel, PlacementProblem

MOST_CYCLES: Final = 1 << 50
"""Times are searched in floating point too, where all whole numbers up to this one are themselves."""

_MOST_COST: Final = 1e100
"""Far below what the search takes for infinite."""


def check_problem(problem: PlacementProblem) -> None:
    """Raise WSEC330 to WSEC332 for the first thing that is wrong with the problem."""
    if not (1 <= problem.width < NEVER and 1 <= problem.height < NEVER):
        found = f"{problem.width} x {problem.height}"
        raise _malformed("the grid", f"width and height of 1 to {NEVER - 1:,}", found)
    if not problem.kernels:
        raise _malformed("kernels", "at least one kernel to place", "none")
    if not math.isfinite(problem.wirelength_weight) or problem.wirelength_weight < 0:
        raise _malformed("wirelength_weight", "a finite number of at least 0", f"{problem.wirelength_weight}")
    if problem.hop_cycles is not None and not 0 <= problem.hop_cycles < math.inf:
        raise _malformed("hop_cycles", "a finite number of at least 0", f"{problem.hop_cycles}")
    for block in problem.reserved:
        if block.width < 1 or block.height < 1:
            raise _malformed(
                f"reserved rectangle at column {block.x}, row {block.y}",
                "width and height of at least 1",
                f"{block.width} x {block.height}",
            )
    _check_names(problem)
    for kernel in problem.kernels:
        _check_shapes(kernel)
    _check_nets(problem)


def check_limits(limits: Limits) -> None:
    """Raise WSEC333 if effort or seconds are not finite numbers of at least 0, or the seed is negative."""
    if not math.isfinite(limits.effort) or limits.effort < 0:
        found = f"effort {limits.effort}"
    elif limits.seed < 0:
        found = f"seed {limits.seed}"
    elif limits.seconds is not None and not 0 <= limits.seconds < math.inf:
        found = f"seconds {limits.seconds}"
    else:
        return
    raise WsecError(
        "WSEC333",
        "the limits of the placement search are not usable",
        expected="effort and seconds finite and at least 0 (0: the first heuristic answer), and a seed of at least 0",
        found=found,
    )


def _malformed(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC330", "the placement problem is malformed", where=where, expected=expected, found=found
    )


def _check_names(problem: PlacementProblem) -> None:
    first: dict[str, int] = {}
    for index, kernel in enumerate(problem.kernels):
        if kernel.name in first:
            raise WsecError(
                "WSEC331",
                f"two kernels are called {kernel.name!r}",
                where=f"kernels {first[kernel.name]} and {index}",
                expected="a different name for each kernel",
                hint="rename one of them",
            )
        first[kernel.name] = index


def _check_shapes(kernel: PlacementKernel) -> None:
    shapes = kernel.shapes
    where = f"kernel {kernel.name!r}"
    lengths = {len(shapes.widths), len(shapes.heights), len(shapes.cycles)}
    if len(lengths) != 1 or not len(shapes.cycles):
        raise _malformed(
            where,
            "as many widths as heights and cycles, and at least one",
            f"{len(shapes.widths)} widths, {len(shapes.heights)} heights, {len(shapes.cycles)} cycles",
        )
    for name, least, values in (
        ("width", 1, shapes.widths),
        ("height", 1, shapes.heights),
        ("cycles", 0, shapes.cycles),
    ):
        at = int(values.argmin())
        if values[at] < least:
            raise _malformed(where, f"{name} of at least {least}", f"{name} {int(values[at])} in option {at}")
    at = int(shapes.cycles.argmax())
    if shapes.cycles[at] > MOST_CYCLES:
        found = f"cycles {int(shapes.cycles[at]):,} in option {at}"
        raise _malformed(where, f"cycles of at most {MOST_CYCLES:,}", found)


def _check_nets(problem: PlacementProblem) -> None:
    count = len(problem.kernels)
    for index, net in enumerate(problem.nets):
        where = f"net {index}, from kernel {net.source} to kernel {net.target}"
        if not (0 <= net.source < count and 0 <= net.target < count):
            raise WsecError(
                "WSEC332",
                "a net names a kernel that does not exist",
                where=where,
                expected=f"kernel numbers 0 ... {count - 1}",
                found=f"{net.source} and {net.target}",
            )
        if not math.isfinite(net.weight) or net.weight < 0:
            raise _malformed(where, "a finite weight of at least 0", f"{net.weight}")
    _check_price(problem)


def _check_price(problem: PlacementProblem) -> None:
    """Refuse weights and prices that make the longest wires dearer than the search can count."""
    words = sum(net.weight for net in problem.nets)
    hops = words * (problem.width + problem.height)
    price = (
        problem.wirelength_weight * MOST_CYCLES if problem.hop_cycles is None else problem.hop_cycles * hops
    )
    if max(hops, price) > _MOST_COST:
        found = f"{words:g} words in all, on {problem.width} x {problem.height} cores"
        raise _malformed("nets", f"word-hops and their price of at most {_MOST_COST:g}", found)
