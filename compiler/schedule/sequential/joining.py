"""Tables of the ways of one kernel put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.kernel_cost import SplitCosts
from wsec.compiler.placement.problem import ShapeOptions
from wsec.compiler.schedule.sequential.options import TurnTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.kernels.splits import SplitTable


def joined(tables: list[TurnTable]) -> TurnTable:
    """The ways of all; each table is one of the same kernel, named as in the first."""
    if len(tables) == 1:
        return tables[0]
    splits = [table.splits for table in tables]
    shapes = ShapeOptions(
        *(
            np.concatenate([getattr(each.shapes, name) for each in splits])
            for name in ("widths", "heights", "cycles")
        )
    )
    costs = SplitCosts(
        *(np.concatenate([getattr(each.costs, name) for each in splits]) for name in SplitCosts.__slots__)
    )
    return TurnTable(
        replace(
            splits[0],
            parts=np.concatenate([each.parts for each in splits]),
            turns=np.concatenate([each.turns for each in splits]),
            on_rows=np.concatenate([each.on_rows for each in splits]),
            costs=costs,
            shapes=shapes,
            least=shapes,
            rotated=_loops([(each, each.rotated) for each in splits]),
            turned=_loops([(each, each.turned) for each in splits]),
            weights_placed=all(each.weights_placed for each in splits),
        ),
        np.concatenate([table.replicas for table in tables]),
    )


def _loops(columns: list[tuple[SplitTable, NDArray[np.int64] | None]]) -> NDArray[np.int64] | None:
    """A loop for each option, -1 for those of tables that name none; None where no table names any."""
    if all(named is None for _, named in columns):
        return None
    none = [np.full(len(table.turns), -1, dtype=np.int64) for table, _ in columns]
    return np.concatenate(
        [other if named is None else named for (_, named), other in zip(columns, none, strict=True)]
    )
