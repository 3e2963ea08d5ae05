"""The ways of an attention that walks its keys in turns: parts of keys and values are passed around, scores stay.

What a core needs of keys and values at a time is a part of its part, so that many rows and keys may lie on few cores. A prefill needs
this where the scores of all rows are on the wafer at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.schedule.sequential.joining import joined
from wsec.compiler.schedule.sequential.options import Repeats, TurnTable, select_splits, turn_options

if TYPE_CHECKING:
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.target import Target

_KEYS: Final = "t"
_SHARES: Final = (2, 4)  # parts of the memory of a core: weights and what later turns read need the rest


def ways_in_turns_of_keys(
    nest: LoopNest, target: Target, algorithm: str, repeats: Repeats
) -> TurnTable | None:
    """The ways that take several turns, of which each fits half of a core, or less; None where keys and values stay, or none fits."""
    factors = [item for item in nest.inputs if item.role in {"k", "v"}]
    if nest.kind != "attention" or any(item.resident for item in factors):
        return None
    found = [_within(nest, target, share, (algorithm, repeats)) for share in _SHARES]
    tables = [table for table in found if table is not None]
    return joined(tables) if tables else None


def _within(nest: LoopNest, target: Target, share: int, others: tuple[str, Repeats]) -> TurnTable | None:
    core = target.core
    less = replace(core, sram_bytes=core.code_reserve_bytes + core.data_bytes // share)
    named = replace(nest, turned=_KEYS)
    try:
        found = turn_options(named, replace(target, core=less), *others)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None
    several = np.flatnonzero(found.splits.turns > 1)  # the others are ways without turns
    if not len(several):
        return None
    turned = np.full(len(several), nest.position(_KEYS), dtype=np.int64)
    splits = replace(select_splits(found.splits, several), nest=nest, turned=turned)
    return TurnTable(splits, found.replicas[several])
