"""Slicing trees and their annealing: what the compiled code computes agrees with plain geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.placement import (
    Limits,
    Net,
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
    place,
)
from wsec.compiler.placement.annealing import anneal
from wsec.compiler.placement.annealing.guillotine import tree_of
from wsec.compiler.placement.annealing.topologies import make_task, search
from wsec.compiler.placement.annealing.tree import LEFT, PARENT, RIGHT, realise
from wsec.compiler.placement.candidate import candidate_from, make_candidate
from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.preparation import prepare
from wsec.compiler.placement.problem import objective, wirelength
from wsec.compiler.placement.random_numbers import draw, random_state

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeNetwork = Callable[[int, int, int, int], PlacementProblem]


@st.composite
def cut_boxes(draw_from: st.DrawFn, depth: int = 4) -> list[Rectangle]:
    """A rectangle cut again and again from side to side."""

    def cut(box: Rectangle, left: int) -> list[Rectangle]:
        side = draw_from(st.sampled_from(["width", "height", "none"])) if left else "none"
        if side == "none" or getattr(box, side) < 2:
            return [box]
        at = draw_from(st.integers(1, getattr(box, side) - 1))
        if side == "width":
            parts = (
                Rectangle(box.x, box.y, at, box.height),
                Rectangle(box.x + at, box.y, box.width - at, box.height),
            )
        else:
            parts = (
                Rectangle(box.x, box.y, box.width, at),
                Rectangle(box.x, box.y + at, box.width, box.height - at),
            )
        return [each for part in parts for each in cut(part, left - 1)]

    return cut(Rectangle(0, 0, 24, 18), depth)


def _rigid(boxes: list[Rectangle], nets: tuple[Net, ...] = ()) -> PlacementProblem:
    shapes = [ShapeOptions(np.array([box.width]), np.array([box.height]), np.array([5])) for box in boxes]
    kernels = tuple(PlacementKernel(f"k{at}", each) for at, each in enumerate(shapes))
    return PlacementProblem(24, 18, kernels, nets, hop_cycles=1.0)


@given(cut_boxes())
@settings(deadline=None, max_examples=60)
def test_a_cut_floorplan_comes_back_from_its_tree(boxes: list[Rectangle]) -> None:
    """The tree of rectangles that fill the grid is realised as rectangles that fill the grid, each of its own size."""
    if len(boxes) < 2:
        return
    found = tree_of(boxes)
    assert found is not None
    tree, root = found
    instance = prepare(_rigid(boxes))
    task = make_task(
        instance, make_candidate(instance, [0] * len(boxes), boxes, "test"), Rectangle(0, 0, 24, 18)
    )
    room = anneal.make_room(task)
    spot = np.array([root, 0, 24])
    _, beyond, _ = anneal.settle(task, room, tree, spot, 1.0)
    assert beyond == 0
    realise(
        tree,
        root,
        task.leaves.kind,
        room.curves,
        anneal.root_point(task, room, spot),
        room.box,
        room.stack,
    )
    assert [(w, h) for _, _, w, h in room.box.tolist()] == [(box.width, box.height) for box in boxes]
    cores = np.zeros((18, 24), dtype=np.int64)
    for x, y, width, height in room.box.tolist():
        cores[y : y + height, x : x + width] += 1
    assert (cores == 1).all()


def test_a_pinwheel_has_no_tree() -> None:
    """Four rectangles around a core cannot be cut from side to side."""
    pinwheel = [(0, 0, 3, 2), (3, 0, 2, 3), (2, 3, 3, 2), (0, 2, 2, 3), (2, 2, 1, 1)]
    assert tree_of([Rectangle(*box) for box in pinwheel]) is None


@pytest.mark.parametrize("wired", [False, True])
def test_a_walk_keeps_its_tree_whole_and_its_energy_true(
    make_residual_network: MakeNetwork, *, wired: bool
) -> None:
    """After thousands of moves and undone moves every node has its parent, and the energy is what geometry says."""
    problem = replace(make_residual_network(14, 3, 90, 80), hop_cycles=2.0 if wired else 0.0)
    instance = prepare(problem)
    first = place(problem, Limits(effort=0))
    boxes = [
        Rectangle(x, y, int(kernel.shapes.widths[at]), int(kernel.shapes.heights[at]))
        for kernel, at, x, y in zip(problem.kernels, first.option, first.x, first.y, strict=True)
    ]
    choice = [
        int(np.flatnonzero(table.origin == at)[0])
        for table, at in zip(instance.tables, first.option, strict=True)
    ]
    start = make_candidate(instance, choice, boxes, "test")
    task = make_task(instance, start, Rectangle(0, 0, 90, 80))
    found = tree_of(boxes)
    assert found is not None
    tree, root = found
    room = anneal.make_room(task)
    spot = np.array([root, len(task.times) - 1, 90])
    best_tree, best_spot = tree.copy(), spot.copy()
    energy = anneal.anneal(
        task,
        room,
        tree,
        spot,
        np.array([200.0, 20.0]),
        4000,
        random_state(1),
        anneal.IMPOSSIBLE,
        best_tree,
        best_spot,
    )
    nodes = range(2 * 14 - 1)
    assert [node for node in nodes if best_tree[PARENT, node] < 0] == [best_spot[0]]
    for node in nodes[14:]:
        assert best_tree[PARENT, best_tree[LEFT, node]] == best_tree[PARENT, best_tree[RIGHT, node]] == node
    value, beyond, _ = anneal.settle(task, room, best_tree, best_spot, 1.0)
    assert beyond == 0
    interval = float(task.times[best_spot[1]])
    assert energy == (value if wired else interval)
    point = anneal.root_point(task, room, best_spot)
    realise(best_tree, best_spot[0], task.leaves.kind, room.curves, point, room.box, room.stack)
    placed = [Rectangle(*box) for box in room.box.tolist()]
    if wired:
        assert energy == pytest.approx(interval + 2.0 * wirelength(problem.nets, placed))


def _anneal_from(boxes: list[Rectangle], fast: list[tuple[int, int]], count: int) -> tuple[float, int, float]:
    """Walk from a floorplan whose kernels of 9 cycles would be the rectangles `fast` within 5.

    Returns:
        The best energy, the time level where the walk ended, and the energy of its last tree as computed afresh.
    """
    kernels = tuple(
        PlacementKernel(
            f"k{at}", ShapeOptions(np.array([box.width, w]), np.array([box.height, h]), np.array([9, 5]))
        )
        for at, (box, (w, h)) in enumerate(zip(boxes, fast, strict=True))
    )
    instance = prepare(PlacementProblem(24, 18, kernels))
    task = make_task(instance, candidate_from(instance, boxes, "test"), Rectangle(0, 0, 24, 18))
    found = tree_of(boxes)
    assert found is not None
    tree, root = found
    spot, room = np.array([root, len(task.times) - 1, 24]), anneal.make_room(task)
    energy = anneal.anneal(
        task,
        room,
        tree,
        spot,
        np.array([1.0]),
        count,
        random_state(3),
        anneal.IMPOSSIBLE,
        tree.copy(),
        spot.copy(),
    )
    return energy, int(spot[1]), anneal.settle(task, room, tree, spot, 1.0)[0]


@pytest.mark.parametrize("count", [1, 4000])
def test_a_walk_stays_at_a_time_limit_below_which_its_tree_is_far_too_large(count: int) -> None:
    """Six columns that would each be as wide as the grid: the tree has no box in less time, so the walk does not go there."""
    boxes = [Rectangle(4 * at, 0, 4, 18) for at in range(6)]
    energy, level, last = _anneal_from(boxes, [(24, 3)] * 6, count)
    assert last < anneal.IMPOSSIBLE
    assert (energy, level) == (9.0, 1)


@given(cut_boxes(), st.data(), st.integers(1, 300))
@settings(deadline=None, max_examples=60)
def test_a_walk_never_stands_on_a_tree_without_boxes(
    boxes: list[Rectangle], data: st.DataObject, count: int
) -> None:
    """Whatever shapes kernels have in less time, every tree of a walk has boxes near the grid: moves read whole curves only."""
    if len(boxes) < 2:
        return
    widths = [data.draw(st.integers(1, min(24, box.width * box.height))) for box in boxes]
    # The fast kernels, too, would fill the grid at most, so that the lower time limit is not out of the question.
    fast = [
        (width, min(18, box.width * box.height // width)) for width, box in zip(widths, boxes, strict=True)
    ]
    energy, _, last = _anneal_from(boxes, fast, count)
    assert last < anneal.IMPOSSIBLE
    assert energy in {5.0, 9.0}


def test_annealing_shortens_what_slicing_leaves(make_residual_network: MakeNetwork) -> None:
    """The search's own candidates include a better one than it was given."""
    instance = prepare(replace(make_residual_network(20, 2, 120, 110), hop_cycles=3.0))
    first = place(instance.problem, Limits(effort=0))
    boxes = [
        Rectangle(x, y, int(kernel.shapes.widths[at]), int(kernel.shapes.heights[at]))
        for kernel, at, x, y in zip(instance.problem.kernels, first.option, first.x, first.y, strict=True)
    ]
    choice = [
        int(np.flatnonzero(table.origin == at)[0])
        for table, at in zip(instance.tables, first.option, strict=True)
    ]
    start = make_candidate(instance, choice, boxes, "test")
    assert min(each.cost for each in search(instance, [start], Limits(effort=0.5))) < start.cost


def test_random_numbers_are_spread_and_repeat() -> None:
    """Equal seeds give equal streams, different ones different streams, and every value comes up."""
    one, same, other = random_state(1, 2), random_state(1, 2), random_state(2, 1)
    drawn = [[draw(state, 5) for _ in range(200)] for state in (one, same, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(set(drawn[0])) == [0, 1, 2, 3, 4]


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40)), min_size=2, max_size=5),
    st.floats(0.1, 5),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=25)
def test_rotatable_kernels_and_the_bound_on_the_objective(
    options: list[tuple[int, int, int]], price: float, seed: int
) -> None:
    """Turned kernels are legal, and no placement found costs less than the bound says."""
    shapes = ShapeOptions(*(np.array(side) for side in zip(*options, strict=True)))
    kernels = tuple(PlacementKernel(f"k{at}", shapes, rotatable=True) for at in range(5))
    nets = tuple(Net(at, (2 * at + 1) % 5, 1.0 + at) for at in range(5))
    problem = PlacementProblem(14, 13, kernels, nets, hop_cycles=price)
    placement = place(problem, Limits(effort=0.1, seed=seed))
    assert explain(problem, placement) == []
    cost = objective(problem, placement.interval, placement.interval_bound, placement.wirelength)
    assert placement.cost == pytest.approx(cost)
    assert placement.cost_bound <= placement.cost * (1 + 1e-12)
    assert placement.cost_bound > placement.interval_bound - 1
    assert (placement.interval, placement.wirelength) in placement.front


def test_a_kernel_that_may_not_turn_is_not_turned() -> None:
    """A rectangle that fits only with its sides swapped needs leave to turn; the check finds it otherwise."""
    shapes = ShapeOptions(np.array([6]), np.array([2]), np.array([1]))
    free = PlacementProblem(3, 7, (PlacementKernel("a", shapes, rotatable=True),))
    placement = place(free)
    assert placement.turned == (True,)
    held = replace(free, kernels=(PlacementKernel("a", shapes),))
    assert explain(held, placement) == [
        "kernel 'a': expected its sides as they are, found them swapped, and it is not rotatable"
    ]


def test_no_seconds_give_the_first_answer(make_residual_network: MakeNetwork) -> None:
    """A time limit of zero still ends in a legal placement."""
    problem = make_residual_network(20, 4, 100, 100)
    placement = place(problem, Limits(seconds=0.0))
    assert explain(problem, placement) == []
    assert not placement.interrupted
