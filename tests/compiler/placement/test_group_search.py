"""Groups of kernels: the same boxes as brute force, exchanges that never make it worse, and legal answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.placement import Limits, TouchEdge, place
from wsec.compiler.placement.candidate import better
from wsec.compiler.placement.preparation import prepare
from wsec.compiler.placement.random_numbers import draw, random_state
from wsec.compiler.placement.slicing import groups as group_search
from wsec.compiler.placement.slicing.search import search as slice_in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.placement import PlacementProblem
    from wsec.compiler.placement.candidate import Candidate, Instance

    MakeNetwork = Callable[[int, int, int, int], PlacementProblem]


def _sliced(make: MakeNetwork, kernels: int, seed: int) -> tuple[Instance, Candidate]:
    """A problem without a price for wires, and the best of its slicing floorplans in the order of the kernels."""
    instance = prepare(replace(make(kernels, seed, 110, 90), wirelength_weight=0.0))
    best: Candidate | None = None
    for each in slice_in_order(instance, list(range(kernels)), Limits(effort=0.2)):
        best = each if better(each, best) else best
    assert best is not None
    return instance, best


@pytest.mark.parametrize("kernels", [14, 31, 104])
def test_an_exchange_never_makes_it_worse(make_residual_network: MakeNetwork, kernels: int) -> None:
    """After each exchange every kernel is there once, and the curves are those of groups made anew in that order."""
    instance, best = _sliced(make_residual_network, kernels, 3)
    groups = group_search.make_groups(instance, range(kernels), best.interval - 1)
    random = random_state(1)
    for _ in range(12):
        before = group_search.excess(groups)
        group_search.exchange(groups, draw(random, kernels), draw(random, kernels))
        assert group_search.excess(groups) <= before
        assert sorted(groups.order) == list(range(kernels))
    anew = group_search.make_groups(instance, groups.order, best.interval - 1)
    assert group_search.excess(anew) == group_search.excess(groups)


@pytest.mark.parametrize("kernels", [30, 104])
def test_faster_placements_are_found_and_do_not_overlap(
    make_residual_network: MakeNetwork, kernels: int
) -> None:
    """Each placement of the search is faster than the one before, and its rectangles lie on the grid side by side."""
    instance, best = _sliced(make_residual_network, kernels, 5)
    interval = best.interval
    for found in group_search.search(instance, best, Limits(effort=0.3)):
        assert found.interval < interval
        interval = found.interval
        for at, box in enumerate(found.placed):
            assert min(box.x, box.y) >= 0
            assert box.right <= 110
            assert box.bottom <= 90
            assert not any(box.overlaps(other) for other in found.placed[:at])
    assert interval < best.interval


def test_equal_limits_of_effort_give_equal_placements(make_residual_network: MakeNetwork) -> None:
    """Two threads search, but the answer does not depend on which is faster."""
    instance, best = _sliced(make_residual_network, 40, 2)
    runs = [list(group_search.search(instance, best, Limits(effort=0.3, seed=4))) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]


def test_constraints_are_not_for_groups(make_residual_network: MakeNetwork) -> None:
    """The search knows no demands."""
    problem = make_residual_network(12, 1, 110, 90)
    demanding = replace(problem, constraints=(TouchEdge(problem.kernels[0].name, ("left",)),))
    assert group_search.applies(prepare(problem))
    assert not group_search.applies(prepare(demanding))


@pytest.mark.parametrize(("weight", "searched"), [(0.0, ["groups"]), (0.001, ["groups"]), (1.0, [])])
def test_groups_are_searched_where_they_may_gain_more_than_wires_cost(
    make_residual_network: MakeNetwork, weight: float, searched: list[str]
) -> None:
    """They shorten the interval and lengthen wires, which annealing then shortens."""
    problem = replace(make_residual_network(31, 3, 110, 90), wirelength_weight=weight)
    stages: list[str] = []
    place(problem, Limits(effort=0.3), lambda progress: stages.append(progress.stage))
    assert sorted({"groups"}.intersection(stages)) == searched
