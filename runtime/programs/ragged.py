"""Lists of numbers, one for each core, of different lengths: a CSR matrix without values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A list of whole numbers for each row.

    Attributes:
        starts: int64 [rows + 1].
        values: int64, those of all rows, one row after the other.
    """

    starts: NDArray[np.int64]
    values: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers of each row, int64 [rows]."""
        return np.diff(self.starts)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each value."""
        return np.repeat(np.arange(self.starts.size - 1), self.lengths)

    def row(self, index: int) -> NDArray[np.int64]:
        """The numbers of a row."""
        return self.values[self.starts[index] : self.starts[index + 1]]

    def with_values(self, values: NDArray[np.int64]) -> Ragged:
        """Other values at the same places."""
        return Ragged(self.starts, values)


def ragged(rows: NDArray[np.int64], values: NDArray[np.int64], count: int) -> Ragged:
    """The values by row, each row's in the order in which they stand."""
    order = np.argsort(rows, kind="stable")
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=starts[1:])
    return Ragged(starts, values[order])


def rank_in_row(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For sorted row numbers, the place of each within its row, from 0."""
    if not rows.size:
        return np.zeros(0, np.int64)
    new = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
    first = np.repeat(new, np.diff(new, append=rows.size))
    return np.arange(rows.size) - first
