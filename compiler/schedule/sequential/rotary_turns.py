"""Turns of rotations: those of queries and of keys by the same tables, one after the other on the same cores.

Neither waits for the other, so that both are one walk: a core takes the time from one walk to the next once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.middle_collectives import step_cycles
from wsec.compiler.kernels.head_parts import PAIRS
from wsec.compiler.placement.problem import ShapeOptions
from wsec.compiler.schedule.sequential.options import TurnTable, turn_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.schedule.sequential.options import Repeats
    from wsec.compiler.target import Target

_TABLES = ("in1", "in2")


def shared_tables(nest: LoopNest) -> object | None:
    """What rotations by the same tables have in common; None for any other kernel."""
    if PAIRS not in nest.arguments or nest.chain:
        return None
    return PAIRS, *(item.tensor for item in nest.inputs if item.role in _TABLES)


def rotations_together(
    nests: Sequence[LoopNest], target: Target, algorithm: str, repeats: Repeats
) -> tuple[tuple[TurnTable, ...], NDArray[np.int64]]:
    """The ways of each, and the rows of all tables in which they are cut alike, [ways, kernels].

    Where none is like any of the others, each way of one with the fastest of the others.
    """
    tables = [turn_options(nest, target, algorithm, repeats) for nest in nests]
    tables = [tables[0], *(_without_step(table, target) for table in tables[1:])]
    rows = [_by_cut(table) for table in tables]
    alike = [key for key in rows[0] if all(key in other for other in rows)]
    if alike:
        return tuple(tables), np.array([[of_table[key] for of_table in rows] for key in alike])
    fastest = [int(table.cycles.argmin()) for table in tables]
    return tuple(tables), np.array([[at, *fastest[1:]] for at in range(len(tables[0].cycles))])


def _by_cut(table: TurnTable) -> dict[object, int]:
    """The row of each way by parts and sides of the loops that are cut, and replicas."""
    splits = table.splits
    on_rows = splits.on_rows & (splits.parts > 1)
    keys = np.column_stack([splits.parts, on_rows, table.replicas]).tolist()
    return {tuple(key): at for at, key in enumerate(keys)}


def _without_step(table: TurnTable, target: Target) -> TurnTable:
    splits, step = table.splits, step_cycles(target)
    costs = replace(splits.costs, communication=np.maximum(0, np.floor(splits.costs.communication - step)))
    shapes = splits.shapes
    cycles = np.ceil(np.maximum(costs.compute, costs.memory) + costs.communication).astype(np.int64)
    less = ShapeOptions(shapes.widths, shapes.heights, cycles)
    return TurnTable(replace(splits, costs=costs, shapes=less, least=less), table.replicas)
