"""Splits that make links straight, among those that cost nothing once kernels have their rectangles.

Most kernels have several splits of one rectangle: axes change sides, parts move from one loop to another. Of those that take
no more cycles and memory, those are chosen together that carry the most words straight (`wsec.compiler.layouts`). Exact: a
small model of CP-SAT, one worker, limited in deterministic time. Neither rectangles nor routes change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.splits import mesh_of, no_dearer_splits, sharding_of
from wsec.compiler.layouts import Laid, Layout, layout_of
from wsec.compiler.running_solvers import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ortools.sat.python import cp_model

    from wsec.compiler.kernels.graph import GraphLink, KernelGraph
    from wsec.compiler.kernels.loop_nest import Operand
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement.problem import Placement
    from wsec.compiler.target import Target

_DETERMINISTIC_SECONDS: Final = 2.0  # a bound against odd graphs: YOLOX with 116 kernels needs 0.0003
_Layouts = tuple[Layout | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """What a kernel may be.

    Attributes:
        table: Its splits, the one that it has first.
        ends: Of each link at the kernel, in the order of the graph: its number, and whether it leaves here.
        ways: Different layouts of the tensors of these links -> the first split that has them.
    """

    table: SplitTable
    ends: tuple[tuple[int, bool], ...]
    ways: dict[_Layouts, int]


def share_layouts(
    graph: KernelGraph, tables: Sequence[SplitTable], placement: Placement, target: Target
) -> tuple[list[SplitTable], Placement]:
    """The same rectangles, with splits that carry as many words straight as any that are no dearer.

    Returns:
        Tables and placement whose options belong together.
    """
    links = dict(enumerate(graph.links))
    between = {at: link for at, link in links.items() if HOST_INDEX not in (link.source, link.target)}
    known: dict[tuple[int, int], SplitTable] = {}
    choices = []
    for index, (table, option) in enumerate(zip(tables, placement.option, strict=True)):
        key = id(table.shapes), option  # equal kernels share their shapes
        if key not in known:
            known[key] = no_dearer_splits(table, option, target)
        choices.append(_choice(index, replace(known[key], nest=table.nest), between))
    options = _best(choices, between)
    return [choice.table for choice in choices], replace(placement, option=options)


def _choice(index: int, table: SplitTable, links: dict[int, GraphLink]) -> _Choice:
    ends = tuple(
        (at, index == link.source) for at, link in links.items() if index in (link.source, link.target)
    )
    operands = [(_operand(table, links[at], leaves=leaves), leaves) for at, leaves in ends]
    ways: dict[_Layouts, int] = {}
    for option in range(len(table.turns)):
        mesh = mesh_of(table, option)
        layouts = tuple(
            layout_of(Laid(sharding_of(table, option, operand, output=leaves), mesh))
            for operand, leaves in operands
        )
        ways.setdefault(layouts, option)
    return _Choice(table, ends, ways)


def _operand(table: SplitTable, link: GraphLink, *, leaves: bool) -> Operand:
    if leaves:
        return next(item for item in table.nest.outputs if item.tensor == link.tensor)
    return next(item for item in table.nest.inputs if item.role == link.role)


def _best(choices: Sequence[_Choice], links: dict[int, GraphLink]) -> tuple[int, ...]:
    """One option for each kernel: most words straight, then fewest kernels changed."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    taken = [{way: model.new_bool_var("") for way in choice.ways} for choice in choices]
    for variables in taken:
        model.add_exactly_one(variables.values())
        for position, variable in enumerate(variables.values()):
            model.add_hint(variable, position == 0)
    words = sum(
        link.words * straight
        for at, link in links.items()
        for straight in _straight_ways(
            model,
            _by_layout(choices[link.source], taken[link.source], (at, True)),
            _by_layout(choices[link.target], taken[link.target], (at, False)),
        )
    )
    kept = sum(next(iter(variables.values())) for variables in taken)
    model.maximize((len(choices) + 1) * words + kept)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = _DETERMINISTIC_SECONDS
    with running(solver):
        status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return (0,) * len(choices)
    return tuple(
        next(choice.ways[way] for way, variable in variables.items() if solver.boolean_value(variable))
        for choice, variables in zip(choices, taken, strict=True)
    )


def _straight_ways(
    model: cp_model.CpModel,
    senders: dict[Layout, list[cp_model.IntVar]],
    readers: dict[Layout, list[cp_model.IntVar]],
) -> list[cp_model.IntVar]:
    """A variable for each layout in which the link may be straight; of these the model can make one true at most."""
    ways = []
    for produced, sending in senders.items():
        reading = [each for needed, found in readers.items() if produced.feeds(needed) for each in found]
        if reading:
            ways.append(model.new_bool_var(""))
            model.add(ways[-1] <= sum(sending))
            model.add(ways[-1] <= sum(reading))
    return ways


def _by_layout(
    choice: _Choice, taken: dict[_Layouts, cp_model.IntVar], end: tuple[int, bool]
) -> dict[Layout, list[cp_model.IntVar]]:
    """The ways of a kernel by the layout that they give the tensor at that end of a link."""
    position = choice.ends.index(end)
    found: dict[Layout, list[cp_model.IntVar]] = {}
    for way, variable in taken.items():
        layout = way[position]
        if layout is not None:
            found.setdefault(layout, []).append(variable)
    return found
