"""`place` as a whole: always legal, never below the bound, deterministic, interruptible, and good."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import (
    Limits,
    Net,
    Placement,
    PlacementKernel,
    PlacementProblem,
    Progress,
    Rectangle,
    ShapeOptions,
    interval_bound,
    legality,
    objective_bound,
    place,
)
from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.problem import objective
from wsec.compiler.placement.shape_curves import shape_table
from wsec.compiler.placement.slicing import order_preserving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    MakeNetwork = Callable[[int, int, int, int], PlacementProblem]


def _shapes(*options: tuple[int, int, int]) -> ShapeOptions:
    widths, heights, cycles = zip(*options, strict=True)
    return ShapeOptions(np.array(widths), np.array(heights), np.array(cycles))


@st.composite
def problems(draw: st.DrawFn, side: int = 16, kernels: int = 9, blocks: int = 2) -> PlacementProblem:
    """Grids from 1 x 1, kernels that share shapes or not, nets with loops, reserved rectangles over the edge."""
    width, height = draw(st.integers(1, side)), draw(st.integers(1, side))
    option = st.tuples(
        st.integers(1, max(1, width // 2)), st.integers(1, max(1, height // 2)), st.integers(0, 50)
    )
    pool = draw(st.lists(st.lists(option, min_size=1, max_size=8), min_size=1, max_size=3))
    known = [_shapes(*options) for options in pool]
    chosen = draw(st.lists(st.sampled_from(known), min_size=1, max_size=kernels))
    end = st.integers(0, len(chosen) - 1)
    corner = st.integers(-2, side)
    return PlacementProblem(
        width,
        height,
        tuple(
            PlacementKernel(f"k{index}", shapes, rotatable=draw(st.booleans()))
            for index, shapes in enumerate(chosen)
        ),
        tuple(draw(st.lists(st.builds(Net, end, end, st.floats(0, 100)), max_size=6))),
        tuple(
            draw(
                st.lists(
                    st.builds(Rectangle, corner, corner, st.integers(1, 4), st.integers(1, 4)),
                    max_size=blocks,
                )
            )
        ),
        draw(st.sampled_from([0.0, 0.05, 5.0])),
        draw(st.sampled_from([None, 0.0, 0.5])),
    )


def _fits(problem: PlacementProblem, limits: Limits) -> Placement | None:
    try:
        return place(problem, limits)
    except WsecError as error:
        assert error.code in {"WSEC320", "WSEC321", "WSEC322"}  # noqa: PT017 - any other code is a failure
        return None


@given(problems(), st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_every_answer_is_legal_and_not_worse_than_the_first(problem: PlacementProblem, seed: int) -> None:
    """The independent check finds nothing, and effort never makes the objective worse."""
    first = _fits(problem, Limits(effort=0, seed=seed))
    if first is None:
        return
    best = place(problem, Limits(effort=0.1, seed=seed))
    bound = interval_bound(problem)
    costs = []
    for placement in (first, best):
        assert explain(problem, placement) == []
        assert placement.interval >= placement.interval_bound >= bound
        assert placement.proven_optimal == (placement.interval == placement.interval_bound)
        costs.append(objective(problem, placement.interval, bound, placement.wirelength))
    assert costs[1] <= costs[0]


def _options(kernel: PlacementKernel) -> list[tuple[int, int, int]]:
    """Width, height and cycles of each option, and of each that is turned."""
    shapes = kernel.shapes
    options = list(zip(shapes.widths.tolist(), shapes.heights.tolist(), shapes.cycles.tolist(), strict=True))
    return options + [(h, w, cycles) for w, h, cycles in options if kernel.rotatable]


def _packings(problem: PlacementProblem) -> Iterator[tuple[int, float]]:
    """Interval and word-hops of every legal placement, by trying all: for grids of a few cores."""
    per_kernel = [
        [
            (x, y, w, h, cycles)
            for w, h, cycles in dict.fromkeys(_options(kernel))
            for x in range(problem.width - w + 1)
            for y in range(problem.height - h + 1)
        ]
        for kernel in problem.kernels
    ]
    blocks = [(block.x, block.y, block.width, block.height) for block in problem.reserved]
    for chosen in itertools.product(*per_kernel):
        boxes = [*(each[:4] for each in chosen), *blocks]
        pairs = ((a, b) for at, a in enumerate(boxes[: len(chosen)]) for b in boxes[at + 1 :])
        if not any(
            a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
            for a, b in pairs
        ):
            centres = [(x + w / 2, y + h / 2) for x, y, w, h, _ in chosen]
            ends = [(net.weight, centres[net.source], centres[net.target]) for net in problem.nets]
            hops = sum(weight * (abs(a[0] - b[0]) + abs(a[1] - b[1])) for weight, a, b in ends)
            yield max(each[4] for each in chosen), hops


@given(problems(side=4, kernels=3, blocks=1))
@settings(deadline=None, max_examples=50)
def test_tiny_problems_agree_with_trying_everything(problem: PlacementProblem) -> None:
    """Nothing is below the bounds, a refusal is right, and for so few kernels without wires the interval is the least."""
    everything = list(_packings(problem))
    placement = _fits(problem, Limits())
    if placement is None:
        assert not everything
        return
    least = min(interval for interval, _ in everything)
    bound = interval_bound(problem)
    cheapest = min(objective(problem, interval, bound, hops) for interval, hops in everything)
    assert placement.interval_bound == least
    assert placement.interval == least or problem.wires_matter
    assert objective_bound(problem) <= placement.cost_bound <= cheapest * (1 + 1e-9)
    assert placement.cost == pytest.approx(
        objective(problem, placement.interval, bound, placement.wirelength)
    )


@pytest.mark.parametrize(
    ("width", "height", "kernels"),
    [(1, 1, 1), (1, 9, 9), (9, 1, 9), (3, 40, 60), (40, 3, 60)],
)
def test_single_cores_fill_the_grid(width: int, height: int, kernels: int) -> None:
    """Kernels of one core, grids of one row or column, more kernels than columns, no nets."""
    one = _shapes((1, 1, 5))
    problem = PlacementProblem(
        width, height, tuple(PlacementKernel(f"k{index}", one) for index in range(kernels))
    )
    placement = place(problem)
    assert (placement.interval, placement.proven_optimal, placement.wirelength) == (5, True, 0.0)
    assert len(set(zip(placement.x, placement.y, strict=True))) == kernels


def test_small_problems_are_solved_where_slicing_cannot() -> None:
    """The pinwheel of four rectangles around a core is not slicing; the exact stage finds it."""
    problem = PlacementProblem(
        5,
        5,
        tuple(
            PlacementKernel(name, _shapes((*side, 9)))
            for name, side in (("n", (3, 2)), ("e", (2, 3)), ("s", (3, 2)), ("w", (2, 3)), ("o", (1, 1)))
        ),
    )
    placement = place(problem)
    assert explain(problem, placement) == []
    assert placement.method == "exact"


def test_small_problems_are_solved_faster_than_slicing_can() -> None:
    """The same pinwheel where slicing has a slow way out: the exact stage lowers the interval to the bound."""
    problem = PlacementProblem(
        5,
        5,
        tuple(
            PlacementKernel(name, _shapes((*side, 9), (1, 1, 20)))
            for name, side in (("n", (3, 2)), ("e", (2, 3)), ("s", (3, 2)), ("w", (2, 3)))
        ),
        reserved=(Rectangle(2, 2, 1, 1),),
    )
    seen: list[Progress] = []
    placement = place(problem, callback=seen.append)
    assert explain(problem, placement) == []
    assert [(each.stage, each.incumbent) for each in seen] == [
        ("slicing", 20),
        ("exact", 20),
        ("exact", 9),
        ("windows", 9),
    ]
    assert (placement.method, placement.proven_optimal) == ("exact", True)


def test_the_bound_rises_where_areas_promise_too_much() -> None:
    """Areas allow 5 x 5 and 5 x 5 on 8 x 8 in time 1; geometry does not, and the answer says it is optimal."""
    shapes = _shapes((5, 5, 1), (4, 8, 2))
    problem = PlacementProblem(8, 8, (PlacementKernel("a", shapes), PlacementKernel("b", shapes)))
    placement = place(problem)
    assert interval_bound(problem) == 1
    assert (placement.interval, placement.interval_bound, placement.proven_optimal) == (2, 2, True)


@pytest.mark.parametrize(
    ("reserved", "limit"),
    [
        ((Rectangle(0, 0, 4, 330), Rectangle(247, 0, 3, 330)), 1.05),
        ((Rectangle(0, 0, 250, 2), Rectangle(120, 150, 20, 30)), 1.15),
    ],
)
def test_reserved_cores_cost_little(
    make_residual_network: MakeNetwork, reserved: tuple[Rectangle, ...], limit: float
) -> None:
    """Columns at the edges cost nothing but their area, a hole in the middle little more."""
    problem = replace(make_residual_network(40, 1, 250, 330), reserved=reserved)
    placement = place(problem, Limits(effort=0))
    assert explain(problem, placement) == []
    assert placement.interval <= limit * placement.interval_bound


@pytest.mark.parametrize(
    ("kernels", "seed", "width", "height"),
    [(30, 0, 250, 330), (54, 1, 250, 330), (54, 2, 330, 250), (100, 3, 250, 330), (100, 4, 400, 400)],
)
def test_residual_networks_come_near_the_bound(
    make_residual_network: MakeNetwork, kernels: int, seed: int, width: int, height: int
) -> None:
    """Within 5 % of the area bound, by the heuristic stages alone."""
    problem = replace(make_residual_network(kernels, seed, width, height), wirelength_weight=0.0)
    placement = place(problem, Limits(effort=0))
    assert placement.interval <= 1.05 * placement.interval_bound


def test_windows_shorten_the_wires(make_residual_network: MakeNetwork) -> None:
    """With effort, wires get shorter than slicing leaves them."""
    problem = make_residual_network(30, 5, 120, 120)
    seen: list[Progress] = []
    place(problem, Limits(effort=0.5), seen.append)
    stages = [each.stage for each in seen]
    before = seen[stages.index("windows")]
    assert seen[-1].wirelength < before.wirelength
    assert seen[-1].incumbent == before.incumbent


def test_short_wires_are_worth_what_the_weight_says(make_residual_network: MakeNetwork) -> None:
    """A heavy weight buys shorter wires with a longer interval than a weight of zero."""
    problem = make_residual_network(30, 5, 120, 120)
    fast = place(replace(problem, wirelength_weight=0.0), Limits(effort=0.2))
    near = place(replace(problem, wirelength_weight=5.0), Limits(effort=0.2))
    assert near.wirelength < fast.wirelength
    assert near.interval >= fast.interval


def test_the_same_limits_give_the_same_placement(make_residual_network: MakeNetwork) -> None:
    """Twice in one process, solver threads and all."""
    problem = make_residual_network(24, 6, 100, 100)
    limits = Limits(effort=0.3, seed=4)
    assert place(problem, limits) == place(problem, limits)


SCRIPT = """
import numpy as np
from wsec.compiler.placement import Limits, Net, PlacementKernel, PlacementProblem, ShapeOptions, place
sides = np.arange(1, 30)
shapes = [ShapeOptions(sides, -(-area // sides), 7 + sides % 5) for area in (40, 90, 130)]
kernels = tuple(PlacementKernel(f"k{i}", shapes[i % 3]) for i in range(12))
nets = tuple(Net(i, (5 * i + 1) % 12, 1.0 + i) for i in range(12))
print(place(PlacementProblem(40, 40, kernels, nets), Limits(effort=0.3)))
"""


def test_the_hash_seed_does_not_reach_the_placement() -> None:
    """Two processes with different hash seeds print the same placement."""
    answers = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert answers[0].startswith("Placement(")
    assert answers[0] == answers[1]


def test_a_stopped_search_keeps_a_legal_placement(make_residual_network: MakeNetwork) -> None:
    """Stopped at once, and stopped in the windows: legal, and marked as interrupted."""
    problem = make_residual_network(30, 7, 120, 120)
    at_once = place(problem, Limits(stop=lambda: True))
    seen: list[Progress] = []
    later = place(problem, Limits(stop=lambda: bool(seen) and seen[-1].stage == "windows"), seen.append)
    for placement in (at_once, later):
        assert placement.interrupted
        assert explain(problem, placement) == []
    assert objective(problem, later.interval, later.interval_bound, later.wirelength) <= objective(
        problem, at_once.interval, at_once.interval_bound, at_once.wirelength
    )


def test_progress_tells_bound_incumbent_and_gap(make_residual_network: MakeNetwork) -> None:
    """What a progress line shows is consistent and ends at the answer."""
    problem = make_residual_network(12, 8, 60, 60)
    seen: list[Progress] = []
    placement = place(problem, Limits(effort=0.2), seen.append)
    assert seen[0].stage == "slicing"
    assert all(each.gap == pytest.approx(each.incumbent / each.bound - 1) for each in seen)
    assert (seen[-1].incumbent, seen[-1].wirelength) == (placement.interval, placement.wirelength)


def test_an_illegal_answer_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the independent check finds ends the search as a bug of wsec, with the findings."""
    monkeypatch.setattr(legality, "explain", lambda *_: ["first finding", "second finding"])
    problem = PlacementProblem(2, 2, (PlacementKernel("a", _shapes((1, 1, 1))),))
    with pytest.raises(WsecError) as caught:
        place(problem)
    assert str(caught.value) == (
        "error[WSEC610]: the placement solver made an illegal placement; this is a bug in wsec\n"
        "  expected: no findings of the legality check\n"
        "  found:    first finding\n"
        "            second finding\n"
        "  try:      report it with the model and the command line; another effort or seed may avoid it"
    )


def test_importing_the_package_does_not_import_the_solvers() -> None:
    """`import wsec` must stay fast: OR-Tools comes with the first call."""
    code = "import sys, wsec.compiler.placement; print('ortools' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_equal_groups_are_computed_once(
    make_residual_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten equal layers have hardly more different groups than three, and the same curves as if all were different."""
    layer = make_residual_network(5, 9, 60, 60).kernels
    inverse = order_preserving._inverse
    rows: list[int] = []

    def counting(curves: NDArray[np.int32], size: int) -> NDArray[np.int32]:
        rows.append(len(curves))
        return inverse(curves, size)

    monkeypatch.setattr(order_preserving, "_inverse", counting)
    spaces = [Rectangle(0, 0, 60, 60)]
    shared = {id(kernel.shapes): shape_table(kernel.shapes, spaces) for kernel in layer}
    equal = [shared[id(kernel.shapes)] for kernel in layer * 10]
    different = [shape_table(kernel.shapes, spaces) for kernel in layer * 10]
    time = max(int(table.cycles[len(table.cycles) // 2]) for table in equal)
    found = [order_preserving.group_curves(tables, time, 60, 60, 6) for tables in (equal, different)]
    one, two = (rows[:10], rows[10:])
    assert max(one) <= 5
    assert two == [50 - size for size in range(1, 6) for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    for mine, theirs in zip(
        [*found[0].heights, *found[0].widths], [*found[1].heights, *found[1].widths], strict=True
    ):
        assert mine.tolist() == theirs.tolist()
