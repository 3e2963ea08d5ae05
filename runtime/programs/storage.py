"""Where a core keeps the words of a link: in the block of the input, or in a buffer until the sample's turn comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.ragged import Ragged, ragged, rank_in_row
from wsec.runtime.simulator.instructions import WordLists

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.programs.links import Arriving
    from wsec.runtime.programs.words import BlockWords


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The words of an input's link on all cores, before the exchanges of the last side bring the rest.

    Attributes:
        needs: The elements of each core's block.
        held: Elements that each core holds outside its block, ascending.
        buffered: All words wait in the buffer, also those of the core's own block.
    """

    needs: BlockWords
    held: Ragged
    buffered: bool

    @property
    def words(self) -> int:
        """Words of the buffer on the fullest core."""
        return int(self.held.lengths.max(initial=0))

    def in_block(self, words: Ragged, block: int) -> WordLists:
        """The addresses of words of the cores' blocks."""
        place, known = _find(self.needs.keys(), words, self.needs.total)
        if not known.all():
            raise ValueError("a word that is no part of the block")
        return as_lists(words.with_values(block + self.needs.places.values[place]))

    def waiting(self, words: Ragged, block: int, buffer: int) -> WordLists:
        """The addresses of words that were dealt, or brought to the core's line."""
        place, known = _find(self.needs.keys(), words, self.needs.total)
        in_buffer, kept = _find(self.held.rows * self.needs.total + self.held.values, words, self.needs.total)
        rank = rank_in_row(self.held.rows)
        inside = known & (not self.buffered)
        if not (inside | kept).all():
            raise ValueError("a word that the core never had")
        at = np.zeros(words.values.size, np.int64)
        at[inside] = block + self.needs.places.values[place[inside]]
        at[~inside] = buffer + rank[in_buffer[~inside]]
        return as_lists(words.with_values(at))

    def own(self) -> Ragged:
        """What the buffer holds of each core's own block, to be copied when the sample's turn comes."""
        if not self.buffered:
            return ragged(np.zeros(0, np.int64), np.zeros(0, np.int64), self.held.starts.size - 1)
        _, known = _find(self.needs.keys(), self.held, self.needs.total)
        return ragged(self.held.rows[known], self.held.values[known], self.held.starts.size - 1)


def make_storage(arriving: Arriving, *, buffered: bool) -> Storage:
    """The storage of a link's words; a direct link needs no buffer."""
    needs, cores = arriving.needs, arriving.taken.starts.size - 1
    if arriving.dealt is None:
        return Storage(needs, ragged(np.zeros(0, np.int64), np.zeros(0, np.int64), cores), buffered=False)
    brought = [arriving.taken, *(each.taken for each in arriving.dealt.exchanges if not each.late)]
    keys = np.unique(np.concatenate([each.rows * needs.total + each.values for each in brought]))
    if not buffered:
        keys = np.setdiff1d(keys, needs.keys(), assume_unique=True)
    rows, values = np.divmod(keys, max(1, needs.total))
    return Storage(needs, ragged(rows, values, cores), buffered)


def as_lists(addresses: Ragged) -> WordLists:
    """Lists of addresses for the simulator."""
    return WordLists(addresses.starts, addresses.values.astype(np.int32))


def _find(keys: NDArray[np.int64], words: Ragged, total: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the words stand in ascending keys, and whether they are there."""
    wanted = words.rows * total + words.values
    if not keys.size:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return place, keys[place] == wanted
