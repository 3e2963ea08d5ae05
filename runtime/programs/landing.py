"""Where the words of a link land: on which core each word of a stream is taken (docs/fabric.md, "Where words land")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.ragged import rank_in_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.programs.words import Owners

NOWHERE = -1
MOST_SHARES = 2
"""Times its share of a stream that a core may get by one of the first three rules."""


def land(
    stream: NDArray[np.int64],
    group: NDArray[np.int64],
    owners: Owners,
    line: NDArray[np.int64],
    across: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The core on which each word of a stream lands, -1 for words that nobody needs.

    Args:
        stream: int64 [words], elements in their order.
        group: int64, the cores that see the stream, ascending.
        owners: Which block each element belongs to.
        line: int64 [cores], the line of each core of the whole rectangle.
        across: int64 [cores], its line across.
    """
    block = owners.of_element[stream]
    landed = np.full(stream.size, NOWHERE, np.int64)
    left = block >= 0
    most = MOST_SHARES * -(-int(np.count_nonzero(left)) // max(1, group.size))
    _to_owners((landed, left, block), group, owners, most)
    for lines in (across, line):
        if left.any():
            _to_lines((landed, left, block), group, owners, lines, most)
    rest = np.flatnonzero(left)
    landed[rest] = group[np.arange(rest.size) * group.size // max(1, rest.size)]
    return landed


def _to_owners(
    words_so_far: tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]],
    group: NDArray[np.int64],
    owners: Owners,
    most: int,
) -> None:
    """Words whose owners are in the group are dealt evenly to them, where that is at most `most` for each."""
    landed, left, block = words_so_far
    own = owners.of_core[group]
    order = np.argsort(own, kind="stable")
    blocks, first, count = np.unique(own[order], return_index=True, return_counts=True)
    place = np.minimum(np.searchsorted(blocks, block), blocks.size - 1)
    words = np.flatnonzero(left & (blocks[place] == block))
    words = words[np.argsort(place[words], kind="stable")]
    at = place[words]
    total = np.bincount(at, minlength=blocks.size)
    few = (total <= most * count)[at]
    words, at = words[few], at[few]
    number = rank_in_row(at) * count[at] // np.maximum(1, total[at])
    landed[words] = group[order[first[at] + number]]
    left[words] = False


def _to_lines(
    words_so_far: tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]],
    group: NDArray[np.int64],
    owners: Owners,
    line: NDArray[np.int64],
    most: int,
) -> None:
    """Words whose owners lie on the same lines are dealt evenly to the group's cores on these, at most `most` to each."""
    landed, left, block = words_so_far
    words = np.flatnonzero(left)
    blocks, at = np.unique(block[words], return_inverse=True)
    lines = np.zeros((blocks.size, int(line.max()) + 1), np.bool_)
    place = np.minimum(np.searchsorted(blocks, owners.of_core), blocks.size - 1)
    mine = blocks[place] == owners.of_core
    lines[place[mine], line[mine]] = True
    sets, of_block = np.unique(lines, axis=0, return_inverse=True)
    for number, these in enumerate(sets):
        cores = group[these[line[group]]]
        same = words[of_block.reshape(-1)[at] == number]
        if same.size and same.size <= most * cores.size:
            landed[same] = cores[np.arange(same.size) * cores.size // same.size]
            left[same] = False
