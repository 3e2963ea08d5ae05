"""Packings in columns: legal whatever the kernels and the grid, their bookkeeping right, near the bound."""

from __future__ import annotations

import itertools
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
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
    place,
)
from wsec.compiler.placement.columns import layout, search, walk
from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.preparation import prepare
from wsec.compiler.placement.random_numbers import random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.placement.candidate import Candidate


def _bench(work: int, least: int, most: int) -> ShapeOptions:
    """Any sides of `least` to `most` cores; the time is the work over the cores."""
    sides = np.arange(least, most + 1)
    widths, heights = (side.ravel() for side in np.meshgrid(sides, sides))
    return ShapeOptions(widths, heights, -(-work // (widths * heights)))


@pytest.fixture
def columns_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage for many kernels takes part however few they are."""
    monkeypatch.setattr(search, "_MANY", 1)


@st.composite
def problems(draw: st.DrawFn) -> PlacementProblem:
    """Kernels of few kinds, flexible or rigid, on a grid with holes."""
    width, height = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    kinds = [
        _bench(draw(st.integers(1, 300)), low := draw(st.integers(1, 5)), low + draw(st.integers(0, 6)))
        for _ in range(draw(st.integers(1, 4)))
    ]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=25))
    corner = st.integers(-2, 40)
    blocks = st.lists(st.builds(Rectangle, corner, corner, st.integers(1, 6), st.integers(1, 6)), max_size=2)
    ends = st.integers(0, len(chosen) - 1)
    return PlacementProblem(
        width,
        height,
        tuple(
            PlacementKernel(f"k{at}", shapes, rotatable=draw(st.booleans()))
            for at, shapes in enumerate(chosen)
        ),
        tuple(draw(st.lists(st.builds(Net, ends, ends, st.floats(0, 9)), max_size=4))),
        tuple(draw(blocks)),
        draw(st.sampled_from([0.0, 0.05])),
    )


def _alone(problem: PlacementProblem, limits: Limits) -> Iterator[Candidate]:
    try:
        instance = prepare(problem)
    except WsecError as error:
        assert error.code in {"WSEC320", "WSEC321"}  # noqa: PT017 - any other code is a failure
        return
    yield from search.search(instance, limits)


@given(problems(), st.integers(0, 2))
@settings(deadline=None, max_examples=40)
def test_kernels_in_columns_keep_off_each_other_and_off_reserved_cores(
    problem: PlacementProblem, seed: int
) -> None:
    """Every placement of the stage, not only the one that is chosen."""
    for candidate in _alone(problem, Limits(effort=0.2, seed=seed)):
        taken = np.zeros((problem.height, problem.width), dtype=np.int64)
        for block in problem.reserved:
            taken[max(0, block.y) : max(0, block.bottom), max(0, block.x) : max(0, block.right)] = 1
        for box in candidate.placed:
            assert box.x >= 0 and box.y >= 0  # noqa: PT018 - a corner is one thing
            part = taken[box.y : box.bottom, box.x : box.right]
            assert part.shape == (box.height, box.width)
            assert not part.any()
            part[:] = 1


@pytest.mark.usefixtures("columns_for_few")
def test_the_answer_in_columns_is_legal_and_repeatable() -> None:
    """The independent check finds nothing, and the same limits give the same placement, threads and all."""
    kernels = tuple(
        PlacementKernel(f"k{at}", _bench(100 + 37 * at, 2, 20), rotatable=at % 2 == 0) for at in range(40)
    )
    nets = tuple(Net(at, at + 1, 1.0) for at in range(39))
    problem = PlacementProblem(90, 80, kernels, nets, (Rectangle(30, 20, 8, 9),))
    first = place(problem, Limits(effort=0.1, seed=3))
    assert explain(problem, first) == []
    assert place(problem, Limits(effort=0.1, seed=3)) == first


@given(st.integers(0, 99), st.sampled_from([1, 3]), st.sampled_from([0.5, 50.0]))
@settings(deadline=None, max_examples=20)
def test_a_walk_keeps_the_columns_that_it_may_use_and_counts_their_rows(
    seed: int, blocks: int, temperature: float
) -> None:
    """What is added up move by move is what is counted anew; no kernel leaves its blocks, no core is lost."""
    kernels = tuple(PlacementKernel(f"k{at}", _bench(50 + 11 * at, 1, 12)) for at in range(30))
    problem = PlacementProblem(60, 50, kernels, reserved=(Rectangle(20, 0, 10, 50),))
    instance = prepare(problem)
    kinds = layout.kinds_of(instance, transposed=False)
    arrangement = layout.arrange(kinds, 2 * instance.bound, 0.7, blocks)
    packing = layout.first_packing(arrangement)
    columns = layout.at_time(kinds, arrangement.columns, instance.bound)
    over = walk.walk(columns, packing, temperature, 3000, random_state(seed))
    load = packing.load.copy()
    assert walk.beyond(columns, packing) == over
    assert load.tolist() == packing.load.tolist()
    assert (columns.first <= packing.column).all()
    assert (packing.column < columns.behind).all()
    widths = [int(packing.width[columns.tile == tile].sum()) for tile in range(2)]
    assert sorted(widths) == [20, 30]


def test_hundreds_of_different_kernels_come_near_the_bound() -> None:
    """Within 2 % of the area bound, by the stage alone."""
    random = np.random.default_rng(5)
    works = random.integers(2_000, 90_000, size=240)
    kernels = tuple(PlacementKernel(f"k{at}", _bench(int(work), 2, 60)) for at, work in enumerate(works))
    instance = prepare(PlacementProblem(300, 250, kernels))
    best = min(candidate.interval for candidate in search.search(instance, Limits(effort=0.7)))
    assert best <= 1.02 * instance.bound


def test_more_blocks_keep_neighbours_nearer() -> None:
    """Blocks hold consecutive kernels: the wires of a chain are shorter with ten than with one."""
    kernels = tuple(PlacementKernel(f"k{at}", _bench(900 + 13 * at, 2, 30)) for at in range(200))
    nets = tuple(Net(at, at + 1, 1.0) for at in range(199))
    instance = prepare(PlacementProblem(200, 200, kernels, nets))
    kinds = layout.kinds_of(instance, transposed=False)
    hops = []
    for blocks in (1, 10):
        arrangement = layout.arrange(kinds, 2 * instance.bound, 0.7, blocks)
        columns = layout.at_time(kinds, arrangement.columns, 2 * instance.bound)
        packing = layout.first_packing(arrangement)
        boxes = layout.rectangles_of(kinds, arrangement, columns, packing)
        hops.append(sum(abs(a.x - b.x) + abs(a.y - b.y) for a, b in itertools.pairwise(boxes)))
    assert hops[1] < 0.6 * hops[0]


def test_without_wires_the_search_is_of_one_block() -> None:
    """Narrow blocks pack worse: they only take part where short wires are worth something."""
    kernels = tuple(PlacementKernel(f"k{at}", _bench(900 + 13 * at, 2, 30)) for at in range(20))
    problem = PlacementProblem(80, 80, kernels, (Net(0, 1, 1.0),))
    wired, free = (
        {int(lane.arrangement.upwards.any()) for lane in search._lanes(prepare(each))}
        for each in (problem, replace(problem, wirelength_weight=0.0))
    )
    assert (wired, free) == ({0, 1}, {0})


def test_no_column_is_wider_than_heights_are_known_for() -> None:
    """A wide block of which no kernel has its middle: its columns, too, are of widths that kernels' heights are known for."""
    shapes = ShapeOptions(np.array([1]), np.array([1]), np.array([1]))
    kernels = tuple(PlacementKernel(f"k{at}", shapes) for at in range(3))
    kinds = layout.kinds_of(prepare(PlacementProblem(400, 2, kernels)), transposed=False)
    arrangement = layout.arrange(kinds, 1, 0.1, 4)
    assert arrangement.width.sum() == 400
    assert arrangement.width.max() < arrangement.columns.rows.shape[1]
