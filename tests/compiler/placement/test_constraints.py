"""Constraints: every answer keeps them, and every refusal names the one at fault, each message read whole."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.placement import (
    Adjacent,
    Constraint,
    Forbid,
    Limits,
    Net,
    Pin,
    Placement,
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
    TouchEdge,
    Within,
    interval_bound,
    least_area,
    objective_bound,
    place,
)
from wsec.compiler.placement.legality import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakeNetwork = Callable[[int, int, int, int], PlacementProblem]

REFUSED = {"WSEC320", "WSEC321", "WSEC322", "WSEC323", "WSEC335"}


def _kernel(name: str, *sides: tuple[int, int]) -> PlacementKernel:
    widths, heights = zip(*sides, strict=True)
    return PlacementKernel(name, ShapeOptions(np.array(widths), np.array(heights), 7 + np.arange(len(sides))))


GRID = PlacementProblem(8, 8, (_kernel("a", (4, 4)), _kernel("b", (4, 4)), _kernel("c", (2, 2), (1, 3))))


def _place(*constraints: Constraint, effort: float = 1.0) -> Placement:
    return place(replace(GRID, constraints=constraints), Limits(effort=effort))


def _corners(placement: Placement) -> list[tuple[int, int]]:
    return list(zip(placement.x, placement.y, strict=True))


def test_a_pinned_kernel_stands_where_it_is_pinned() -> None:
    """With the option of that shape, and nets to it count."""
    constraints = (Pin("c", Rectangle(4, 0, 1, 3)),)
    problem = replace(GRID, nets=(Net(0, 2, 1.0), Net(1, 2, 1.0)), constraints=constraints)
    placement = place(problem)
    assert explain(problem, placement) == []
    assert (_corners(placement)[2], placement.option[2], placement.interval) == ((4, 0), 1, 8)
    assert placement.proven_optimal
    assert objective_bound(problem) <= placement.cost


def test_a_kernel_that_is_turned_can_be_pinned() -> None:
    """The pin says the sides as they lie."""
    kernel = replace(_kernel("a", (2, 5)), rotatable=True)
    problem = PlacementProblem(6, 6, (kernel,), constraints=(Pin("a", Rectangle(1, 2, 5, 2)),))
    placement = place(problem)
    assert explain(problem, placement) == []
    assert (placement.turned, placement.method) == ((True,), "pins")


def test_the_bound_counts_pins_and_what_they_take() -> None:
    """A pin that is slower than all others is the bound."""
    problem = replace(GRID, constraints=(Pin("c", Rectangle(0, 0, 1, 3)),))
    assert (interval_bound(GRID), interval_bound(problem)) == (7, 8)


@pytest.mark.parametrize(
    "constraints",
    [
        (Within("c", Rectangle(5, 3, 3, 3)),),
        (Forbid(Rectangle(0, 0, 8, 1)), Forbid(Rectangle(6, 0, 2, 4))),
        (Adjacent("a", "c"), Adjacent("b", "c")),
        (TouchEdge("c", ("right",)), TouchEdge("a", ("bottom",))),
        (TouchEdge("c", ("left", "top")), Pin("a", Rectangle(0, 0, 4, 4)), Adjacent("c", "a")),
    ],
)
@pytest.mark.parametrize("effort", [0.0, 1.0])
def test_each_kind_is_kept(constraints: tuple[Constraint, ...], effort: float) -> None:
    """Also by the first heuristic answer."""
    assert explain(replace(GRID, constraints=constraints), _place(*constraints, effort=effort)) == []


def _refusal(*constraints: Constraint) -> str:
    with pytest.raises(WsecError) as caught:
        _place(*constraints)
    assert caught.value.exit_status is ExitStatus.DOES_NOT_FIT
    return str(caught.value)


@pytest.mark.parametrize(
    ("constraints", "where", "expected", "found"),
    [
        (
            (Pin("a", Rectangle(6, 0, 4, 4), name="keep-a", origin="file.toml, line 3"),),
            "constraint 'keep-a' (file.toml, line 3)",
            "cores of the grid, columns 0 ... 7 and rows 0 ... 7",
            "columns 6 ... 9 and rows 0 ... 3",
        ),
        (
            (Within("a", Rectangle(0, 0, 4, 0)),),
            "the region 4 x 0 at column 0, row 0 of 'a'",
            "width and height of at least 1",
            "4 x 0",
        ),
        (
            (Pin("a", Rectangle(0, 0, 4, 4)), Pin("b", Rectangle(3, 3, 4, 4))),
            "the pin of 'b'",
            "no other pin in 4 x 4 at column 3, row 3",
            "the pin of 'a' takes 4 x 4 at column 0, row 0",
        ),
        (
            (Pin("a", Rectangle(0, 0, 4, 4)), Pin("a", Rectangle(4, 4, 4, 4))),
            "the pin of 'a'",
            "one pin for each kernel; the pin of 'a' pins 'a' too",
            "a second pin",
        ),
        (
            (Forbid(Rectangle(0, 0, 2, 2), name="aisle"), Pin("a", Rectangle(1, 1, 4, 4))),
            "the pin of 'a'",
            "no forbidden core in 4 x 4 at column 1, row 1",
            "constraint 'aisle' forbids 2 x 2 at column 0, row 0",
        ),
        (
            (TouchEdge("a", ()),),
            "the missing edge of 'a'",
            "at least one of the sides left, right, top, bottom",
            "none",
        ),
        ((Adjacent("a", "a"),), "the adjacency of 'a' and 'a'", "two different kernels", "'a' twice"),
        (
            (Pin("a", Rectangle(0, 0, 4, 4)), Within("a", Rectangle(1, 0, 6, 6))),
            "the region 6 x 6 at column 1, row 0 of 'a'",
            "'a' inside 6 x 6 at column 1, row 0",
            "the pin of 'a' puts it at 4 x 4 at column 0, row 0",
        ),
        (
            (Pin("a", Rectangle(0, 0, 4, 4)), TouchEdge("a", ("right", "bottom"))),
            "the right or bottom edge of 'a'",
            "'a' at the right or bottom",
            "the pin of 'a' puts it at 4 x 4 at column 0, row 0",
        ),
        (
            (Pin("a", Rectangle(0, 0, 4, 4)), Pin("b", Rectangle(4, 4, 4, 4)), Adjacent("a", "b")),
            "the adjacency of 'a' and 'b'",
            "two pins that share a border",
            "the pin of 'a' is 4 x 4 at column 0, row 0, the pin of 'b' is 4 x 4 at column 4, row 4",
        ),
        (
            (Within("a", Rectangle(0, 0, 3, 8)),),
            "the region 3 x 8 at column 0, row 0 of 'a'",
            "room for a shape of kernel 'a'",
            "3 x 8 at column 0, row 0 is free there, and the nearest shape is 4 x 4",
        ),
        (
            (Forbid(Rectangle(0, 0, 1, 8)), TouchEdge("a", ("left",))),
            "the left edge of 'a'",
            "room for a shape of kernel 'a'",
            "no free core there; against it stand:\n            the forbidden area of 1 x 8 at column 0, row 0",
        ),
        (
            (
                Within("a", Rectangle(0, 0, 4, 4)),
                Within("b", Rectangle(0, 4, 4, 4)),
                Within("a", Rectangle(1, 0, 7, 8)),
            ),
            "the region 7 x 8 at column 1, row 0 of 'a'",
            "room for a shape of kernel 'a'",
            "3 x 4 at column 1, row 0 is free there, and the nearest shape is 4 x 4; against it stand:\n            the region 4 x 4 at column 0, row 0 of 'a'",
        ),
        (
            (
                Pin("b", Rectangle(4, 0, 4, 4)),
                Pin("c", Rectangle(0, 0, 2, 2)),
                Within("a", Rectangle(3, 0, 5, 5), name="desk"),
            ),
            "constraint 'desk'",
            "room for a shape of kernel 'a'",
            "1 x 5 at column 3, row 0 is free there, and the nearest shape is 4 x 4; against it stand:\n            the pin of 'b'",
        ),
        (
            (Within("a", Rectangle(0, 0, 4, 7)), Within("b", Rectangle(0, 0, 4, 7))),
            "the region 4 x 7 at column 0, row 0 of 'b'",
            "sum of least areas <= free cores of 4 x 7 at column 0, row 0, 32 <= 28",
            "in it too:\n            the region 4 x 7 at column 0, row 0 of 'a'",
        ),
    ],
)
def test_a_contradiction_is_told_at_once(
    constraints: tuple[Constraint, ...], where: str, expected: str, found: str
) -> None:
    """The constraint at fault, what would do, and what stands against it."""
    assert _refusal(*constraints) == (
        "error[WSEC335]: a constraint cannot be kept\n"
        f"  where:    {where}\n"
        f"  expected: {expected}\n"
        f"  found:    {found}\n"
        "  try:      change one of them, or leave one out"
    )


def test_a_pin_on_reserved_cores_is_refused() -> None:
    """Reserved areas have no name; where they are is said."""
    problem = replace(GRID, reserved=(Rectangle(0, 7, 8, 1),), constraints=(Pin("c", Rectangle(0, 6, 2, 2)),))
    with pytest.raises(WsecError) as caught:
        place(problem)
    assert str(caught.value) == (
        "error[WSEC335]: a constraint cannot be kept\n"
        "  where:    the pin of 'c'\n"
        "  expected: no reserved core in 2 x 2 at column 0, row 6\n"
        "  found:    8 x 1 at column 0, row 7 is reserved\n"
        "  try:      change one of them, or leave one out"
    )


def test_a_pin_of_another_shape_says_the_nearest() -> None:
    """By columns and rows that differ."""
    assert _refusal(Pin("c", Rectangle(0, 0, 2, 3))) == (
        "error[WSEC335]: a constraint cannot be kept\n"
        "  where:    the pin of 'c'\n"
        "  expected: a shape of kernel 'c'; nearest: 1 x 3, 2 x 2\n"
        "  found:    2 x 3\n"
        "  try:      take one of the nearest shapes"
    )


def test_an_unknown_kernel_is_named_with_the_nearest() -> None:
    """Names that look alike are offered."""
    problem = replace(
        GRID, kernels=(_kernel("conv1", (1, 1)),), constraints=(Adjacent("conv1", "conv2", name="x"),)
    )
    with pytest.raises(WsecError) as caught:
        place(problem)
    assert str(caught.value) == (
        "error[WSEC334]: a constraint names something that is not placed\n"
        "  where:    constraint 'x'\n"
        "  expected: the name of something to place; nearest: 'conv1'\n"
        "  found:    'conv2'"
    )


def test_constraints_that_only_the_search_refuses_are_named() -> None:
    """Not those that have nothing to do with it."""
    assert _refusal(
        Within("b", Rectangle(0, 0, 8, 8)),
        Pin("c", Rectangle(2, 2, 2, 2)),
        TouchEdge("a", ("left",)),
        TouchEdge("b", ("left",)),
    ) == (
        "error[WSEC323]: no arrangement of the kernels was found that keeps the constraints\n"
        "  where:    the pin of 'c'\n"
        "            the left edge of 'a'\n"
        "            the left edge of 'b'\n"
        "  expected: an arrangement of 3 kernels that keeps the 3 constraints named\n"
        "  found:    none; no arrangement of the kernels was found, although their areas would allow one\n"
        "  try:      leave one of them out, or give it more room"
    )


def test_a_constraint_that_takes_the_room_is_named() -> None:
    """What does not fit because of one constraint is the fault of that one."""
    assert _refusal(Forbid(Rectangle(2, 0, 4, 8), name="aisle"), TouchEdge("c", ("left",))) == (
        "error[WSEC323]: no arrangement of the kernels was found that keeps the constraints\n"
        "  where:    constraint 'aisle'\n"
        "  expected: an arrangement of 3 kernels that keeps the constraint named\n"
        "  found:    none; kernel 'a' does not fit the region in any of its 1 shapes\n"
        "  try:      leave it out, or give it more room"
    )


@pytest.mark.parametrize(
    "function",
    [place, interval_bound, objective_bound, partial(least_area, time=9)],
    ids=["place", "interval_bound", "objective_bound", "least_area"],
)
def test_bounds_name_the_constraint_too(function: Callable[[PlacementProblem], object]) -> None:
    """Whoever asks for a bound first reads no advice to take a larger grid."""
    problem = replace(GRID, constraints=(Forbid(Rectangle(2, 0, 4, 8), name="aisle"),))
    with pytest.raises(WsecError) as caught:
        function(problem)
    assert (caught.value.code, caught.value.where) == ("WSEC323", "constraint 'aisle'")


def test_what_does_not_fit_anyhow_is_no_fault_of_constraints() -> None:
    """The error is that of the problem without them."""
    problem = replace(
        GRID, kernels=(*GRID.kernels, _kernel("d", (9, 9))), constraints=(TouchEdge("c", ("left",)),)
    )
    with pytest.raises(WsecError) as caught:
        place(problem)
    assert caught.value.code == "WSEC320"


@st.composite
def constrained(draw: st.DrawFn, side: int, kernels: int) -> PlacementProblem:
    """Small grids; each constraint on a kernel of its own choice, rectangles anywhere on the grid."""
    width, height = draw(st.integers(1, side)), draw(st.integers(1, side))
    sides = st.tuples(st.integers(1, max(1, width // 2)), st.integers(1, max(1, height // 2)))
    chosen = draw(st.lists(st.lists(sides, min_size=1, max_size=4), min_size=1, max_size=kernels))
    placed = tuple(_kernel(f"k{index}", *options) for index, options in enumerate(chosen))
    name = st.sampled_from([kernel.name for kernel in placed])

    def box(least: int) -> Rectangle:
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        wide, high = min(least, width - x), min(least, height - y)
        return Rectangle(x, y, draw(st.integers(wide, width - x)), draw(st.integers(high, height - y)))

    def pin() -> Pin:
        kernel = placed[draw(st.integers(0, len(placed) - 1))]
        option = draw(st.integers(0, len(kernel.shapes.cycles) - 1))
        wide, high = int(kernel.shapes.widths[option]), int(kernel.shapes.heights[option])
        x, y = draw(st.integers(0, width - wide)), draw(st.integers(0, height - high))
        return Pin(kernel.name, Rectangle(x, y, wide, high))

    kinds: dict[str, Callable[[], Constraint]] = {
        "pin": pin,
        "region": lambda: Within(draw(name), box(2)),
        "forbid": lambda: Forbid(replace(box(1), width=1)),
        "adjacent": lambda: Adjacent(draw(name), draw(name)),
        "edge": lambda: TouchEdge(
            draw(name), tuple(draw(st.sets(st.sampled_from(["left", "right", "top", "bottom"]), min_size=1)))
        ),
    }
    constraints = tuple(kinds[kind]() for kind in draw(st.lists(st.sampled_from(sorted(kinds)), max_size=3)))
    end = st.integers(0, len(placed) - 1)
    nets = tuple(draw(st.lists(st.builds(Net, end, end, st.floats(0, 100)), max_size=4)))
    return PlacementProblem(width, height, placed, nets, constraints=constraints)


def _try_place(problem: PlacementProblem, effort: float) -> Placement | None:
    try:
        return place(problem, Limits(effort=effort))
    except WsecError as error:
        assert error.code in REFUSED  # noqa: PT017 - any other code is a failure
        return None


@given(constrained(side=16, kernels=12))
@settings(deadline=None, max_examples=50)
def test_every_answer_keeps_its_constraints(problem: PlacementProblem) -> None:
    """The independent check finds nothing in the first answer nor in the best, which is no worse."""
    first = _try_place(problem, 0)
    if first is None:
        return
    best = place(problem, Limits(effort=0.1))
    assert explain(problem, first) == explain(problem, best) == []
    assert objective_bound(problem) <= best.cost <= first.cost
    assert interval_bound(problem) <= best.interval_bound <= best.interval


def _legal(problem: PlacementProblem) -> Iterator[int]:
    """The interval of every legal placement, by trying all and asking the independent check."""
    per_kernel = [
        [
            (option, x, y)
            for option in range(len(kernel.shapes.cycles))
            for x in range(problem.width - int(kernel.shapes.widths[option]) + 1)
            for y in range(problem.height - int(kernel.shapes.heights[option]) + 1)
        ]
        for kernel in problem.kernels
    ]
    for chosen in itertools.product(*per_kernel):
        option, x, y = zip(*chosen, strict=True)
        interval = max(
            int(kernel.shapes.cycles[at]) for kernel, at in zip(problem.kernels, option, strict=True)
        )
        placement = Placement(option, x, y, interval, 0, 0.0, "", proven_optimal=False, interrupted=False)
        if not explain(problem, placement):
            yield interval


@given(constrained(side=4, kernels=3))
@settings(deadline=None, max_examples=50)
def test_tiny_constrained_problems_agree_with_trying_everything(problem: PlacementProblem) -> None:
    """A refusal is right, and the interval is the least that the constraints allow."""
    problem = replace(problem, nets=())
    least = min(_legal(problem), default=None)
    placement = _try_place(problem, 1.0)
    assert (placement and placement.interval) == least


def test_a_network_keeps_its_constraints_at_little_cost(make_residual_network: MakeNetwork) -> None:
    """A pin, a region, neighbours and both edges in one problem of forty kernels."""
    problem = make_residual_network(40, 1, 250, 330)
    free = place(problem, Limits(effort=0))
    shapes = problem.kernels[20].shapes
    sides = int(shapes.widths[free.option[20]]), int(shapes.heights[free.option[20]])
    constrained = replace(
        problem,
        constraints=(
            TouchEdge("conv0", ("left",)),
            TouchEdge("conv39", ("right",)),
            Pin("conv20", Rectangle(0, 200, *sides)),
            Adjacent("conv1", "conv30"),
            Within("conv5", Rectangle(0, 0, 200, 200)),
        ),
    )
    placement = place(constrained, Limits(effort=0))
    assert explain(constrained, placement) == []
    assert placement.interval <= 1.15 * placement.interval_bound


@pytest.mark.parametrize("weight", [0.0, 0.05])
def test_annealing_keeps_constraints_at_nearly_no_cost(
    make_residual_network: MakeNetwork, weight: float
) -> None:
    """Better than the first answer, and near to what is reached without constraints; with wires or without."""
    problem = replace(make_residual_network(24, 2, 120, 120), wirelength_weight=weight)
    constraints = (
        TouchEdge("conv0", ("left",)),
        TouchEdge("conv23", ("bottom", "right")),
        Within("conv5", Rectangle(0, 40, 80, 80)),
        Adjacent("conv1", "conv20"),
    )
    constrained = replace(problem, constraints=constraints)
    first, best = (place(constrained, Limits(effort=effort)) for effort in (0, 0.5))
    assert explain(constrained, best) == []
    assert (best.cost, best.wirelength) < (first.cost, first.wirelength)
    assert best.cost <= 1.05 * place(problem, Limits(effort=0.5)).cost


@pytest.mark.parametrize("weight", [0.0, 0.05])
def test_annealing_goes_on_around_a_hole(make_residual_network: MakeNetwork, weight: float) -> None:
    """Four free rectangles around a pin and reserved cores: faster than the first answer, constraints and all."""
    problem = make_residual_network(24, 2, 120, 120)
    shapes = problem.kernels[9].shapes
    option = int(np.argmin(np.abs(shapes.widths - 30) + np.abs(shapes.heights - 30)))
    problem = replace(
        problem,
        wirelength_weight=weight,
        reserved=(Rectangle(90, 20, 4, 4),),
        constraints=(
            Pin("conv9", Rectangle(40, 40, int(shapes.widths[option]), int(shapes.heights[option]))),
            TouchEdge("conv0", ("left", "top")),
        ),
    )
    first, best = (place(problem, Limits(effort=effort)) for effort in (0, 0.3))
    assert explain(problem, first) == explain(problem, best) == []
    assert (best.cost, best.wirelength) < (first.cost, first.wirelength)
    assert best == place(problem, Limits(effort=0.3))


@pytest.mark.parametrize("at", [9, 27, 28])
def test_effort_never_worsens_the_first_answer(at: int) -> None:
    """Where the first floorplan breaks a constraint, what effort 0 then finds is among what more effort starts from."""
    kernels = tuple(_kernel(f"k{index}", (2, 2)) for index in range(12))
    nets = tuple(Net(index, (5 * index + 1) % 12, 1.0) for index in range(12))
    constraints = (Adjacent(f"k{at % 5}", f"k{at % 7 + 5}"),)
    problem = PlacementProblem(9, 8, kernels, nets, hop_cycles=100.0, constraints=constraints)
    assert place(problem, Limits(effort=0.001)).cost <= place(problem, Limits(effort=0)).cost
