"""What a placement problem must be before any search starts; each refusal names the item at fault."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.placement.constraints import Adjacent, Constraint, Pin, TouchEdge, label
from wsec.compiler.placement.shape_curves import NEVER

if TYPE_CHECKING:
    from wsec.compiler.placement.problem import Limits, PlacementKernel, PlacementProblem, Rectangle

MOST_CYCLES: Final = 1 << 50
"""Times are searched in floating point too, where all whole numbers up to this one are themselves."""

_MOST_COST: Final = 1e100
"""Far below what the search takes for infinite."""

_LAST_SEED: Final = (1 << 31) - 1


def check_problem(problem: PlacementProblem) -> None:
    """Raise WSEC330 to WSEC332 for the first thing that is wrong with the problem."""
    sides = (problem.width, problem.height)
    if not all(_is_whole(side, 1, NEVER - 1) for side in sides):
        expected = f"whole numbers from 1 to {NEVER - 1:,} as width and height"
        raise _malformed("the grid", expected, f"{problem.width} x {problem.height}")
    if not problem.kernels:
        raise _malformed("kernels", "at least one kernel to place", "none")
    if not _is_amount(problem.wirelength_weight):
        raise _malformed("wirelength_weight", "a finite number of at least 0", f"{problem.wirelength_weight}")
    if problem.hop_cycles is not None and not _is_amount(problem.hop_cycles):
        raise _malformed("hop_cycles", "a finite number of at least 0", f"{problem.hop_cycles}")
    for block in problem.reserved:
        where = f"reserved rectangle at column {block.x}, row {block.y}"
        _check_whole(where, block)
        if block.width < 1 or block.height < 1:
            raise _malformed(where, "width and height of at least 1", f"{block.width} x {block.height}")
    _check_names(problem)
    for kernel in problem.kernels:
        _check_shapes(kernel)
    _check_nets(problem)
    _check_constraints(problem)


def check_limits(limits: Limits) -> None:
    """Raise WSEC333 if effort or seconds are not finite numbers of at least 0, or the seed is not one of 31 bits."""
    if not _is_amount(limits.effort):
        found = f"effort {limits.effort}"
    elif not _is_whole(limits.seed, 0, _LAST_SEED):
        found = f"seed {limits.seed}"
    elif limits.seconds is not None and not _is_amount(limits.seconds):
        found = f"seconds {limits.seconds}"
    else:
        return
    raise WsecError(
        "WSEC333",
        "the limits of the placement search are not usable",
        expected="effort and seconds finite and at least 0 (0: the first heuristic answer), "
        f"and a whole number from 0 to {_LAST_SEED} as seed",
        found=found,
    )


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int | np.integer) and least <= int(value) <= most


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 <= value < math.inf)


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
    columns = {"width": shapes.widths, "height": shapes.heights, "cycles": shapes.cycles}
    for name, values in columns.items():
        if not _is_column(values):
            expected = "widths, heights and cycles as int64 arrays of one dimension"
            raise _malformed(where, expected, f"{name}: {_kind(values)}")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or not len(shapes.cycles):
        raise _malformed(
            where,
            "as many widths as heights and cycles, and at least one",
            f"{len(shapes.widths)} widths, {len(shapes.heights)} heights, {len(shapes.cycles)} cycles",
        )
    for name, values in columns.items():
        least = 0 if name == "cycles" else 1
        low, high = int(values.argmin()), int(values.argmax())
        if values[low] < least:
            raise _malformed(where, f"{name} of at least {least}", f"{name} {values[low]} in option {low}")
        if values[high] > MOST_CYCLES:
            raise _malformed(
                where, f"{name} of at most {MOST_CYCLES:,}", f"{name} {values[high]:,} in option {high}"
            )


def _is_column(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == np.int64 and values.ndim == 1


def _kind(values: object) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} array of {values.ndim} dimension{'' if values.ndim == 1 else 's'}"
    return type(values).__name__


def _check_nets(problem: PlacementProblem) -> None:
    count = len(problem.kernels)
    for index, net in enumerate(problem.nets):
        where = f"net {index}, from kernel {net.source} to kernel {net.target}"
        if not all(_is_whole(end, 0, count - 1) for end in (net.source, net.target)):
            raise WsecError(
                "WSEC332",
                "a net names a kernel that does not exist",
                where=where,
                expected=f"kernel numbers 0 ... {count - 1}",
                found=f"{net.source} and {net.target}",
            )
        if not _is_amount(net.weight):
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


def _check_constraints(problem: PlacementProblem) -> None:
    """That they are constraints of whole cores; what they demand is looked at by `constraint_checks`."""
    given: tuple[object, ...] = problem.constraints
    for index, each in enumerate(given):
        if not isinstance(each, Constraint):
            expected = "a Pin, Within, Forbid, Adjacent or TouchEdge"
            raise _malformed(f"constraint {index}", expected, type(each).__name__)
        if not isinstance(each, Adjacent | TouchEdge):
            _check_whole(label(each), each.rectangle if isinstance(each, Pin) else each.area)


def _check_whole(where: str, box: Rectangle) -> None:
    sides: tuple[object, ...] = (box.x, box.y, box.width, box.height)
    if not all(isinstance(side, int | np.integer) for side in sides):
        raise _malformed(where, "whole numbers as x, y, width and height", ", ".join(map(str, sides)))
