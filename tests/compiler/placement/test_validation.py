"""What `place` refuses, each message read whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.placement import (
    Limits,
    Net,
    Pin,
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
    place,
)


def _square(side: int) -> ShapeOptions:
    return ShapeOptions(np.array([side]), np.array([side]), np.array([7]))


GOOD = PlacementProblem(8, 8, (PlacementKernel("a", _square(4)), PlacementKernel("b", _square(4))))


def _refusal(problem: PlacementProblem, limits: Limits | None = None) -> str:
    with pytest.raises(WsecError) as caught:
        place(problem, limits)
    assert caught.value.exit_status is ExitStatus.DOES_NOT_FIT
    return str(caught.value)


@pytest.mark.parametrize(
    ("problem", "where", "expected", "found"),
    [
        (
            replace(GOOD, width=0),
            "the grid",
            "whole numbers from 1 to 1,048,575 as width and height",
            "0 x 8",
        ),
        (
            replace(GOOD, height=1 << 20),
            "the grid",
            "whole numbers from 1 to 1,048,575 as width and height",
            "8 x 1048576",
        ),
        (
            replace(GOOD, width=8.5),  # type: ignore[arg-type]
            "the grid",
            "whole numbers from 1 to 1,048,575 as width and height",
            "8.5 x 8",
        ),
        (replace(GOOD, kernels=()), "kernels", "at least one kernel to place", "none"),
        (
            replace(GOOD, wirelength_weight=-1.0),
            "wirelength_weight",
            "a finite number of at least 0",
            "-1.0",
        ),
        (replace(GOOD, hop_cycles=float("nan")), "hop_cycles", "a finite number of at least 0", "nan"),
        (
            replace(GOOD, reserved=(Rectangle(1, 2, 0, 3),)),
            "reserved rectangle at column 1, row 2",
            "width and height of at least 1",
            "0 x 3",
        ),
        (
            replace(GOOD, nets=(Net(0, 1, 1e200), Net(0, 1, 1e200))),
            "nets",
            "word-hops and their price of at most 1e+100",
            "2e+200 words in all, on 8 x 8 cores",
        ),
        (
            replace(GOOD, nets=(Net(0, 1, 1e60),), hop_cycles=1e60),
            "nets",
            "word-hops and their price of at most 1e+100",
            "1e+60 words in all, on 8 x 8 cores",
        ),
        (
            replace(
                GOOD,
                kernels=(
                    PlacementKernel(
                        "a", ShapeOptions(np.array([1, 2]), np.array([1, 1]), np.array([1, 1 << 62]))
                    ),
                ),
            ),
            "kernel 'a'",
            "cycles of at most 1,125,899,906,842,624",
            "cycles 4,611,686,018,427,387,904 in option 1",
        ),
        (
            replace(GOOD, reserved=(Rectangle(1, 2, 1.5, 3),)),  # type: ignore[arg-type]
            "reserved rectangle at column 1, row 2",
            "whole numbers as x, y, width and height",
            "1, 2, 1.5, 3",
        ),
        (
            replace(GOOD, constraints=(Pin("a", Rectangle(0, 0.5, 4, 4), name="left"),)),  # type: ignore[arg-type]
            "constraint 'left'",
            "whole numbers as x, y, width and height",
            "0, 0.5, 4, 4",
        ),
        (
            replace(GOOD, constraints=(Rectangle(0, 0, 1, 1),)),  # type: ignore[arg-type]
            "constraint 0",
            "a Pin, Within, Forbid, Adjacent or TouchEdge",
            "Rectangle",
        ),
        (
            replace(GOOD, nets=(Net(0, 1, float("inf")),)),
            "net 0, from kernel 0 to kernel 1",
            "a finite weight of at least 0",
            "inf",
        ),
        (
            replace(
                GOOD,
                kernels=(
                    PlacementKernel("a", ShapeOptions(np.array([1, 2]), np.array([1]), np.array([1, 2]))),
                ),
            ),
            "kernel 'a'",
            "as many widths as heights and cycles, and at least one",
            "2 widths, 1 heights, 2 cycles",
        ),
        (
            replace(
                GOOD,
                kernels=(
                    PlacementKernel("a", ShapeOptions(np.array([1, 0]), np.array([1, 1]), np.array([1, 2]))),
                ),
            ),
            "kernel 'a'",
            "width of at least 1",
            "width 0 in option 1",
        ),
        (
            replace(
                GOOD,
                kernels=(
                    PlacementKernel("a", ShapeOptions(np.array([1]), np.array([1]), np.array([2**53]))),
                ),
            ),
            "kernel 'a'",
            "cycles of at most 1,125,899,906,842,624",
            "cycles 9,007,199,254,740,992 in option 0",
        ),
        (
            replace(
                GOOD,
                kernels=(PlacementKernel("a", ShapeOptions(np.array([1]), np.array([[1]]), np.array([2]))),),
            ),
            "kernel 'a'",
            "widths, heights and cycles as int64 arrays of one dimension",
            "height: int64 array of 2 dimensions",
        ),
        (
            replace(
                GOOD,
                kernels=(PlacementKernel("a", ShapeOptions(np.array([1]), np.array([1]), np.array([2.5]))),),
            ),
            "kernel 'a'",
            "widths, heights and cycles as int64 arrays of one dimension",
            "cycles: float64 array of 1 dimension",
        ),
        (
            replace(GOOD, kernels=(PlacementKernel("a", ShapeOptions([1], [1], [2])),)),  # type: ignore[arg-type]
            "kernel 'a'",
            "widths, heights and cycles as int64 arrays of one dimension",
            "width: list",
        ),
    ],
)
def test_a_malformed_problem_is_refused(
    problem: PlacementProblem, where: str, expected: str, found: str
) -> None:
    """The item at fault, what would do and what was found."""
    assert _refusal(problem) == (
        "error[WSEC330]: the placement problem is malformed\n"
        f"  where:    {where}\n"
        f"  expected: {expected}\n"
        f"  found:    {found}"
    )


def test_two_kernels_of_one_name_are_refused() -> None:
    """Names are what messages call kernels by."""
    kernel = PlacementKernel("conv", _square(1))
    problem = replace(GOOD, kernels=(kernel, PlacementKernel("x", _square(1)), kernel))
    assert _refusal(problem) == (
        "error[WSEC331]: two kernels are called 'conv'\n"
        "  where:    kernels 0 and 2\n"
        "  expected: a different name for each kernel\n"
        "  try:      rename one of them"
    )


def test_a_net_to_nowhere_is_refused() -> None:
    """An index out of range is said with the range."""
    assert _refusal(replace(GOOD, nets=(Net(0, 2, 1.0),))) == (
        "error[WSEC332]: a net names a kernel that does not exist\n"
        "  where:    net 0, from kernel 0 to kernel 2\n"
        "  expected: kernel numbers 0 ... 1\n"
        "  found:    0 and 2"
    )


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(effort=-1.0), "effort -1.0"),
        (Limits(effort=float("nan")), "effort nan"),
        (Limits(effort="long"), "effort long"),  # type: ignore[arg-type]
        (Limits(seed=-3), "seed -3"),
        (Limits(seed=2**31), "seed 2147483648"),
        (Limits(seed=0.5), "seed 0.5"),  # type: ignore[arg-type]
        (Limits(seconds=-1.0), "seconds -1.0"),
        (Limits(seconds=float("inf")), "seconds inf"),
    ],
)
def test_unusable_limits_are_refused(limits: Limits, found: str) -> None:
    """An effort below zero would search backwards."""
    assert _refusal(GOOD, limits) == (
        "error[WSEC333]: the limits of the placement search are not usable\n"
        "  expected: effort and seconds finite and at least 0 (0: the first heuristic answer), "
        "and a whole number from 0 to 2147483647 as seed\n"
        f"  found:    {found}"
    )


def test_a_kernel_larger_than_the_region_is_named_with_side_and_excess() -> None:
    """The shape that misses by least is the one talked about."""
    shapes = ShapeOptions(np.array([9, 4]), np.array([4, 20]), np.array([5, 6]))
    problem = replace(GOOD, kernels=(*GOOD.kernels, PlacementKernel("conv1", shapes)))
    assert _refusal(problem) == (
        "error[WSEC320]: kernel 'conv1' does not fit the region in any of its 2 shapes\n"
        "  where:    kernel 'conv1'\n"
        "  expected: width <= 8 and height <= 8 (the region is 8 x 8)\n"
        "  found:    its nearest shape is 9 x 4: 1 column too wide\n"
        "  try:      use a larger region, or split the operator into smaller ones"
    )


def test_a_kernel_larger_than_the_free_part_is_named() -> None:
    """With reserved columns it is the free rectangle that counts."""
    problem = replace(
        GOOD, kernels=(PlacementKernel("conv1", _square(7)),), reserved=(Rectangle(0, 0, 3, 8),)
    )
    assert _refusal(problem) == (
        "error[WSEC320]: kernel 'conv1' does not fit the region in any of its 1 shapes\n"
        "  where:    kernel 'conv1'\n"
        "  expected: width <= 5 and height <= 8 (the free rectangle that it misses by least is 5 x 8)\n"
        "  found:    its nearest shape is 7 x 7: 2 columns too wide\n"
        "  try:      use a larger region, or split the operator into smaller ones"
    )


def test_too_little_area_is_an_inequality() -> None:
    """A proof with its numbers, the largest kernels and what to do."""
    problem = replace(GOOD, kernels=tuple(PlacementKernel(f"k{index}", _square(4)) for index in range(5)))
    assert _refusal(problem) == (
        "error[WSEC321]: the kernels do not fit: together they need more cores than the region has, even at their slowest\n"
        "  expected: sum of least areas <= free cores, 80 <= 64\n"
        "  found:    16 cores too few for 5 kernels; the largest: 'k0' 16, 'k1' 16, 'k2' 16\n"
        "  try:      use a region of at least 80 free cores, such as 9 x 9, spread the kernels over several wafers (--wafers auto), "
        "let them take turns (--phases auto), or choose a smaller model"
    )


def test_a_region_reserved_as_a_whole_is_refused() -> None:
    """No free core at all is its own inequality."""
    assert _refusal(replace(GOOD, reserved=(Rectangle(-1, -1, 20, 20),))) == (
        "error[WSEC321]: the kernels do not fit: no core of the region is free\n"
        "  expected: at least one core outside of the reserved rectangles\n"
        "  found:    reserved rectangles cover the whole region\n"
        "  try:      reserve less, or use a larger region"
    )


def test_kernels_that_no_arrangement_fits() -> None:
    """Two 5 x 5 squares have the area of a 8 x 8 grid but no place in it; the solver proves it and says so."""
    problem = replace(GOOD, kernels=(PlacementKernel("a", _square(5)), PlacementKernel("b", _square(5))))
    assert _refusal(problem) == (
        "error[WSEC322]: no arrangement of the kernels was found, although their areas would allow one\n"
        "  expected: rectangles that pack into the 64 free cores; their least areas sum to 50\n"
        "  found:    2 kernels that no stage of the search could place together; it is proven that no arrangement exists\n"
        "  try:      use a larger region, reserve fewer cores, spread the kernels over several wafers (--wafers auto), let them take "
        "turns (--phases auto), or raise the effort"
    )


@pytest.mark.parametrize("weight", [0.0, 5e-324, 1e-31, 1e30])
@pytest.mark.parametrize("hop_cycles", [None, 5e-324, 1e30])
def test_any_price_that_is_not_refused_can_be_paid(weight: float, hop_cycles: float | None) -> None:
    """Nothing overflows on the way to the objective."""
    problem = replace(GOOD, nets=(Net(0, 1, weight), Net(1, 0, 0.0)), hop_cycles=hop_cycles)
    placement = place(problem, Limits(effort=0.1))
    assert 7 <= placement.cost_bound <= placement.cost < float("inf")


@pytest.mark.parametrize("effort", [0.0, 0.1])
def test_long_times_are_told_apart(effort: float) -> None:
    """The search over times ends at the largest that are taken."""
    shapes = ShapeOptions(np.array([4, 8]), np.array([8, 8]), np.array([2**50, 2**50 - 1]))
    problem = replace(GOOD, kernels=(PlacementKernel("a", shapes), PlacementKernel("b", shapes)))
    placement = place(problem, Limits(effort=effort))
    assert (placement.interval, placement.interval_bound) == (2**50, 2**50)
