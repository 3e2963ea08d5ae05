"""`place`: from a problem to the best legal placement that the effort finds, with a lower bound beside it.

Stages: columns of free width for many kernels, slicing floorplans by dynamic programming, other packing orders only
where the topological one does not fit, CP-SAT for the whole of small problems, groups where the interval matters more
than wires, the exact slicing search where it matters alone, annealing, CP-SAT on windows. Each takes the best placement
so far and may only improve it. The answer depends on problem, effort and seed, and is checked by `legality` before it
leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import bounds, conflicts, legality
from wsec.compiler.placement.annealing import tiles, topologies
from wsec.compiler.placement.candidate import Candidate, Instance, better, make_candidate
from wsec.compiler.placement.columns import search as column_search
from wsec.compiler.placement.packing import anchors, exact, windows
from wsec.compiler.placement.problem import Limits, Placement, Progress
from wsec.compiler.placement.slicing import exact as exact_slicing
from wsec.compiler.placement.slicing import groups
from wsec.compiler.placement.slicing import search as slicing_search
from wsec.compiler.placement.validation import check_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wsec.compiler.placement.problem import PlacementProblem

_COLUMNS: Final = 0.4
_COLUMNS_ALONE: Final = 0.85
"""The share of the search in columns where slicing follows, and where it does not."""

_WARM_UP: Final = 0.1
"""The share of the search in groups before the exact search, which is faster the less it has to improve, and before
annealing where wires matter, which shortens them."""

_GROUPS: Final = 0.7
"""Its share where only the interval counts and the exact search does not apply; annealing has the rest."""

_ANNEALING: Final = 0.9
"""The share of annealing where wires count; windows have the rest."""


def place(
    problem: PlacementProblem,
    limits: Limits | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Placement:
    """Place every kernel of `problem`.

    Args:
        problem: What to place.
        limits: How hard to search; default `Limits()`.
        callback: Told of every improvement and of the start of a stage.

    Returns:
        A legal placement, for sure: `legality.explain` finds nothing in it.

    Raises:
        WsecError: WSEC320 if a kernel is larger than the free region, WSEC321 if the kernels' least areas are, WSEC322
            if no arrangement was found although the areas would allow one, WSEC323 if constraints are the reason of
            these, WSEC330 to WSEC333 for a malformed problem or limits, WSEC334 and WSEC335 for constraints that
            cannot be kept.
    """
    limits = limits or Limits()
    check_limits(limits)
    timed = limits.started()
    instance = conflicts.prepare(problem)
    search = _Search(instance, limits, callback)
    for candidate in _stages(search, timed):
        search.offer(candidate)
        if timed.stopped() and search.best is not None:
            break
    best = search.best
    if best is None:
        raise conflicts.named(problem, _no_arrangement(instance, proven=search.impossible))
    return _checked(problem, search.answer(best, interrupted=limits.stopped()))


class _Search:
    """The best placement so far, the front of what was seen, and the best bound so far; reports each improvement."""

    def __init__(
        self, instance: Instance, limits: Limits, callback: Callable[[Progress], None] | None
    ) -> None:
        self.instance = instance
        self.limits = limits
        self.bound = instance.bound
        self.best: Candidate | None = None
        self.seen: list[Candidate] = []
        self.astray: list[Candidate] = []
        self.impossible = False
        self._callback = callback

    def offer(self, candidate: Candidate) -> None:
        if not self.instance.demands.kept(candidate.placed):
            self.astray.append(candidate)
            return
        beaten = (
            other.interval <= candidate.interval and other.wirelength <= candidate.wirelength
            for other in self.seen
        )
        if not any(beaten):
            self.seen = [
                other
                for other in self.seen
                if other.interval < candidate.interval or other.wirelength < candidate.wirelength
            ]
            self.seen.append(candidate)
        if better(candidate, self.best):
            self.best = candidate
            self.report(candidate.method)

    def report(self, stage: str) -> None:
        if self._callback is None or self.best is None:
            return
        gap = self.best.interval / max(1, self.bound) - 1
        self._callback(Progress(stage, self.bound, self.best.interval, gap, self.best.wirelength))

    def answer(self, best: Candidate, *, interrupted: bool) -> Placement:
        instance = self.instance
        chosen = dict(instance.movable.options)
        for at, table, choice in zip(instance.movable.index, instance.tables, best.choice, strict=True):
            chosen[at] = int(table.origin[choice]), bool(table.turned[choice])
        whole = range(len(instance.whole.kernels))
        boxes = dict(
            zip(
                (*instance.movable.index, *instance.movable.options),
                (*best.placed, *instance.demands.fixed),
                strict=True,
            )
        )
        return Placement(
            option=tuple(chosen[at][0] for at in whole),
            x=tuple(boxes[at].x for at in whole),
            y=tuple(boxes[at].y for at in whole),
            interval=best.interval,
            interval_bound=self.bound,
            wirelength=best.wirelength,
            method=best.method,
            proven_optimal=best.interval == self.bound,
            interrupted=interrupted,
            turned=tuple(chosen[at][1] for at in whole),
            cost=best.cost,
            cost_bound=bounds.objective_bound(instance, self.bound),
            front=tuple(sorted((each.interval, each.wirelength) for each in self.seen)),
        )


def _stages(search: _Search, limits: Limits) -> Iterator[Candidate]:
    """Candidates, stage by stage; the next stage starts from the best so far."""
    instance = search.instance
    if not instance.tables:
        yield make_candidate(instance, (), (), "pins")
        return
    affordable = slicing_search.is_affordable(instance)
    if column_search.is_many(instance):
        share = _COLUMNS if affordable else _COLUMNS_ALONE
        yield from column_search.search(instance, limits.part(share))
    if search.best is None or affordable:
        for order in _packing_orders(instance):
            yield from slicing_search.search(instance, order, limits)
            if search.best is not None or search.astray:
                break
    if instance.demands and (search.best is None or (search.astray and not limits.stopped())):
        # The first answer of all, if the first floorplan went astray.
        yield from anchors.search(instance, limits)
    searching = limits.effort > 0 and not limits.stopped()
    if search.best is None or (exact.is_small(instance) and searching):
        search.report("exact")
        result = exact.solve(instance, search.best, limits)
        search.bound = max(search.bound, result.bound)
        search.impossible = result.impossible
        yield from result.candidates
    if search.best is not None and searching:
        if affordable:
            yield from _slice(search, limits)
        search.report("windows")
        yield from windows.search(instance, search.best, limits)


def _slice(search: _Search, limits: Limits) -> Iterator[Candidate]:
    """Better slicing floorplans: the best of all where that can be told, before other searches go on in vain."""
    instance, best = search.instance, search.best
    assert best is not None  # noqa: S101 - the caller has one; this tells mypy
    if len(instance.tilings[0]) > 1:
        if exact.is_small(instance):  # solved as a whole already, which rectangles apart hardly better
            return
        search.report("annealing")
        yield from tiles.search(instance, best, limits)
        return
    kinds = exact_slicing.kinds_of(instance)
    if groups.applies(instance) and best.interval - search.bound > best.cost - best.interval:
        # More to gain than all wires cost, which grow longer.
        search.report("groups")
        alone = kinds is None and not instance.problem.wires_matter
        share = _GROUPS if alone else _WARM_UP
        yield from groups.search(instance, best, limits.part(share))
    if kinds is not None:
        search.report("exact slicing")
        if (yield from exact_slicing.search(instance, kinds, search.best or best, limits)):
            return
    search.report("annealing")
    part = limits.part(_ANNEALING) if instance.problem.wires_matter else limits
    yield from topologies.search(instance, [search.best or best, *search.seen], part)


def _packing_orders(instance: Instance) -> Iterable[list[int]]:
    """The topological order, then orders that put the bulky, the wide and the high kernels first."""
    indices = range(len(instance.tables))
    yield list(indices)
    for size in (
        [-int(table.least_area[-1]) for table in instance.tables],
        [-int(table.widths.min()) for table in instance.tables],
        [-int(table.heights.min()) for table in instance.tables],
    ):
        yield sorted(indices, key=lambda index, size=size: (size[index], index))  # type: ignore[misc]


def _no_arrangement(instance: Instance, *, proven: bool) -> WsecError:
    least = sum(int(table.least_area[-1]) for table in instance.tables)
    end = "it is proven that no arrangement exists" if proven else "that none exists is not proven"
    return WsecError(
        "WSEC322",
        "no arrangement of the kernels was found, although their areas would allow one",
        expected=f"rectangles that pack into the {instance.free_area:,} free cores; their least areas sum to {least:,}",
        found=f"{len(instance.tables)} kernels that no stage of the search could place together; {end}",
        hint="use a larger region, reserve fewer cores, spread the kernels over several wafers (--wafers auto), let them take "
        "turns (--phases auto), or raise the effort",
    )


def _checked(problem: PlacementProblem, placement: Placement) -> Placement:
    findings = legality.explain(problem, placement)
    if findings:
        raise WsecError(
            "WSEC610",
            "the placement solver made an illegal placement; this is a bug in wsec",
            expected="no findings of the legality check",
            found="\n".join(findings[:10]),
            hint="report it with the model and the command line; another effort or seed may avoid it",
        )
    return placement
