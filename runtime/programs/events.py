"""What a word-counting router or ramp must know of the transfers that use a kernel's colours one after the other.

Each transfer adds the turns of its routers' switches and the words that ramps drop and take; the lists that come out are in
the order of the transfers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.programs.ragged import rank_in_row
from wsec.runtime.simulator.switching import RampFilters, SwitchTurns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.programs.ragged import Ragged
    from wsec.runtime.programs.settings import Settings

_COLOURS: Final = 256


@dataclass(slots=True)
class Transfers:
    """Collects turns and filters; rows are (core, colour, position, words) and (core, colour, skip, take)."""

    turns: list[NDArray[np.int64]] = field(default_factory=list)
    filters: list[NDArray[np.int64]] = field(default_factory=list)

    def pass_words(self, settings: Settings, words: NDArray[np.int64]) -> None:
        """Routers with several positions go through them once, with `words` [entries, 4] at each."""
        entry, position = np.nonzero(settings.several[:, None] & (words > 0))
        self.turns.append(
            np.stack(
                [
                    settings.core[entry],
                    np.full(entry.size, settings.colour),
                    position,
                    words[entry, position],
                ],
                1,
            )
        )

    def take(
        self, cores: NDArray[np.int64], colour: NDArray[np.int64], index: Ragged, passing: NDArray[np.int64]
    ) -> None:
        """Cores [cores] take words number `index` of the `passing` ones of a colour and drop the others."""
        row, value = index.rows, index.values
        rank = rank_in_row(row)
        previous = np.concatenate([[0], value[:-1] + 1])[: value.size]
        gap = value - np.where(rank == 0, 0, previous)
        first = np.flatnonzero((rank == 0) | (gap > 0))
        take = np.diff(first, append=value.size)
        last = np.full(passing.size, 0, np.int64)
        last[row] = value + 1  # rows are ascending: the last one stays
        rest = np.flatnonzero((passing > last) & (colour >= 0))
        runs = [
            np.stack([cores[row[first]], colour[row[first]], gap[first], take], 1),
            np.stack(
                [cores[rest], colour[rest], passing[rest] - last[rest], np.zeros(rest.size, np.int64)], 1
            ),
        ]
        self.filters.append(np.concatenate(runs))

    def switch_turns(self, circuits: Sequence[Settings]) -> SwitchTurns:
        """All turns, by core and colour; switches of circuits that no word comes by stay at their first position."""
        core, colour, position, words = _sorted(self.turns)
        moving = np.unique(_keys(core, colour))
        idle = [_keys(each.core[each.several], each.colour) for each in circuits]
        still = np.setdiff1d(np.concatenate([*idle, np.zeros(0, np.int64)]), moving)
        stay = np.stack([still // _COLOURS, still % _COLOURS, np.zeros_like(still), np.ones_like(still)], 1)
        return SwitchTurns(*_sorted([np.stack([core, colour, position, words], 1), stay]))

    def ramp_filters(self) -> RampFilters:
        """All filters, by core and colour; none for cores that take all that passes."""
        core, colour, skip, take = _sorted(self.filters)
        key = _keys(core, colour)
        dropping = np.isin(key, key[skip > 0])
        return RampFilters(core[dropping], colour[dropping], skip[dropping], take[dropping])


def _keys(core: NDArray[np.int64], colour: NDArray[np.int64] | int) -> NDArray[np.int64]:
    return core * _COLOURS + colour


def _sorted(rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], ...]:
    table = np.concatenate([*rows, np.zeros((0, 4), np.int64)])
    order = np.lexsort((np.arange(len(table)), table[:, 1], table[:, 0]))
    return tuple(np.ascontiguousarray(column) for column in table[order].T)
