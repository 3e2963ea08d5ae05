"""Compiled: where each word of a link lands, by docs/fabric.md, and who then sends it on in the exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]


_MOST_SHARES = 2
"""Times its even share of a stream that a core may be dealt by being near."""

MOST_EXCHANGES = 6
"""Along one side of a link, in the bits of a byte beside these:"""
_LOST, _SEEN = 64, 128


class Sides(NamedTuple):
    """Which lines of one side need each word, and how far exchanges bring it along that side.

    Attributes:
        key: Number of the word's set of lines: [words].
        before: For each set, how many of the lines before each one it has: [sets, lines + 1].
        low: For each exchange and line, the first line of its segment: [exchanges, lines].
        high: The line behind its last one.
    """

    key: Numbers
    before: NDArray[np.int16]
    low: Integers
    high: Integers


@compiled
def owners(starts: Integers, block: int, extent: int, owner: Numbers, first: Numbers, last: Numbers) -> None:
    """The block that each element of a dimension belongs to, and the first and last of those that contain it.

    Args:
        starts: Of the blocks, not clipped.
        block: Elements of a block.
        extent: Of the dimension.
        owner: Filled; -1 for an element in no block: [extent].
        first: Filled likewise.
        last: Filled likewise.
    """
    nearest = np.empty(extent, np.int64)
    owner[:] = first[:] = last[:] = -1
    for number in range(len(starts)):
        start = starts[number]
        for element in range(max(start, 0), min(start + block, extent)):
            distance = abs(2 * element + 1 - (2 * start + block))
            if owner[element] < 0:
                first[element] = number
            if owner[element] < 0 or distance < nearest[element]:
                nearest[element], owner[element] = distance, number
            last[element] = number


@compiled
def list_elements(
    low: Integers, high: Integers, strides: Integers, elements: Numbers, ends: Integers
) -> None:
    """Row-major numbers of the elements of blocks, one block after the other.

    Args:
        low: First element of each block by dimension: [blocks, dimensions].
        high: The one behind the last; none is empty.
        strides: Elements from one index of a dimension to the next.
        elements: Filled.
        ends: Filled with the number of elements after each block: [blocks + 1].
    """
    dimensions = low.shape[1]
    index = np.empty(dimensions, np.int64)
    filled = 0
    for block in range(len(low)):
        index[:] = low[block]
        while True:
            base = 0
            for dimension in range(dimensions):
                base += index[dimension] * strides[dimension]
            run = high[block, dimensions - 1] - low[block, dimensions - 1] if dimensions else 1
            for step in range(run):
                elements[filled + step] = base + step
            filled += run
            dimension = dimensions - 2
            while dimension >= 0:
                index[dimension] += 1
                if index[dimension] < high[block, dimension]:
                    break
                index[dimension] = low[block, dimension]
                dimension -= 1
            if dimension < 0:
                break
        ends[block + 1] = filled


@compiled
def land(
    stream: Numbers,
    word_block: Numbers,
    group: Integers,
    core_sets: Numbers,
    block_sets: Numbers,
    room: Integers,
    landed: Numbers,
) -> None:
    """Deal the words of one stream to the cores of its group.

    Cores and blocks are in four sets each, one for each rule by which words are dealt: the owners of a block, the cores on
    their lines across, those on their lines, and all.

    Args:
        stream: Numbers of its words, in order.
        word_block: Block that each word belongs to, -1 for one that is needed nowhere: [words].
        group: Numbers of the cores, rising.
        core_sets: Of each core: [cores, 4].
        block_sets: Of each block: [blocks, 4].
        room: All 0, and left so: [6, sets].
        landed: Filled with the core of each word of the stream; -1 for those that are needed nowhere: [words].
    """
    members = _list_members(group, core_sets, room)
    size, first, words, dealt, count, chosen = room[0], room[1], room[2], room[3], room[4], room[5]
    present = np.empty(min(len(stream), len(block_sets)), np.int64)
    blocks = landing = 0
    for word in stream:
        block = word_block[word]
        if block >= 0:
            if not count[block]:
                present[blocks] = block
                blocks += 1
            count[block] += 1
            landing += 1
    fair = _MOST_SHARES * -(-landing // max(len(group), 1))
    _choose(present[:blocks], block_sets, room, fair)
    for word in stream:
        block = word_block[word]
        landed[word] = -1
        if block >= 0:
            own = chosen[block]
            turn = dealt[own]
            landed[word] = members[first[own] + (turn * size[own] // words[own] if size[own] > 1 else 0)]
            dealt[own] = turn + 1
    for core in group:
        for own in core_sets[core]:
            room[:4, own] = 0
    for block in present[:blocks]:
        room[4:, block] = 0


@compiled
def _choose(present: Integers, block_sets: Numbers, room: Integers, fair: int) -> None:
    """The set to which the words of each block are dealt: the first that has cores in the group, and enough of them.

    Fills the set of each block, and how many words are dealt to each set.

    Args:
        present: The blocks to which words of the stream belong.
        block_sets: As in `land`.
        room: Likewise; with the cores of each set, and the words of each block.
        fair: Words that may be dealt to a core of a set that does not have all.
    """
    size, words, count, chosen = room[0], room[2], room[4], room[5]
    for block in present:
        chosen[block] = -1
    for rule in range(4):
        for block in present:
            own = block_sets[block, rule]
            if chosen[block] < 0 and size[own]:
                words[own] += count[block]
        for block in present:
            own = block_sets[block, rule]
            if chosen[block] < 0 and size[own] and (rule == 3 or words[own] <= fair * size[own]):
                chosen[block] = own


@compiled
def _list_members(group: Integers, core_sets: Numbers, room: Integers) -> Integers:
    """The cores of the group by set; fills how many each set has, and where in the list they begin."""
    size, first, dealt = room[0], room[1], room[3]
    members = np.empty(4 * len(group), np.int64)
    for core in group:
        for own in core_sets[core]:
            size[own] += 1
    filled = 0
    for core in group:
        for own in core_sets[core]:
            if not dealt[own]:
                first[own] = filled
                filled += size[own]
            members[first[own] + dealt[own]] = core
            dealt[own] += 1
    for core in group:
        for own in core_sets[core]:
            dealt[own] = 0
    return members


@compiled
def send_on(
    landed: Numbers,
    width: int,
    turned: bool,
    early: Sides,
    late: Sides,
    early_sends: Integers,
    late_sends: Integers,
    missing: Integers,
) -> int:
    """Follow each word through the exchanges: who sends it, and whether it comes to all cores that need it.

    Exchanges along the other side come first and bring it to the lines that need it, in the place across where it landed; those
    along the last side bring it from there to the cores.

    Args:
        landed: Core of each word as row * width + column, -1 for those that are needed nowhere.
        width: Columns of the consumer.
        turned: Whether lines are columns, as the last exchange runs along columns; else they are rows.
        early: Which lines need each word, and the segments of the exchanges along the other side.
        late: Which places on a line do, and those of the last side.
        early_sends: Words that cores send, by exchange, line and place; added to: [exchanges, lines, places].
        late_sends: Likewise of the last side: [exchanges, lines, places].
        missing: Filled with a word that does not come everywhere, the core where it landed, and 0 where a line misses it, 1
            where a place does.

    Returns:
        The number of words that do not come everywhere.
    """
    lost = 0
    early_done = np.zeros((len(early.before), early.before.shape[1] - 1), np.uint8)
    late_done = np.zeros((len(late.before), late.before.shape[1] - 1), np.uint8)
    sets = len(early.before) if len(early_sends) else 0
    by_set = np.zeros((len(late_sends), sets, late_sends.shape[2]), np.int64)
    for word in range(len(landed)):
        core = landed[word]
        if core < 0:
            continue
        line, place = core // width, core % width
        if turned:
            line, place = place, line
        line_set, place_set = early.key[word], late.key[word]
        across, along = early_done[line_set, line], late_done[place_set, place]
        if not across:
            across = early_done[line_set, line] = _follow(early, line_set, line)
        if not along:
            along = late_done[place_set, place] = _follow(late, place_set, place)
        _count(across, early_sends, line, place)
        if len(early_sends):
            _count(along, by_set, line_set, place)
        else:
            _count(along, late_sends, line, place)
        if (across | along) & _LOST:
            if not lost:
                missing[0], missing[1], missing[2] = word, core, 0 if across & _LOST else 1
            lost += 1
    _send_on_lines(early, by_set, late_sends)
    return lost


@compiled
def _count(bits: int, sends: Integers, row: int, column: int) -> None:
    for exchange in range(len(sends)):
        if bits >> exchange & 1:
            sends[exchange, row, column] += 1


@compiled
def _send_on_lines(early: Sides, by_set: Integers, late_sends: Integers) -> None:
    """Words that exchanges between lines have brought: each line that needs one sends it on."""
    for exchange in range(len(by_set)):
        for line_set in range(by_set.shape[1]):
            for line in range(early.before.shape[1] - 1):
                if early.before[line_set, line + 1] > early.before[line_set, line]:
                    late_sends[exchange, line] += by_set[exchange, line_set]


@compiled
def _follow(side: Sides, own: int, at: int) -> int:
    """The exchanges of a side in which the core at `at` sends a word of a set, a bit each; whether any line is left without."""
    low, high = at, at + 1
    before = side.before[own]
    found = _SEEN
    for exchange in range(len(side.low)):
        first, end = side.low[exchange, at], side.high[exchange, at]
        brought = before[min(high, end)] - before[max(low, first)]
        if before[end] - before[first] > brought:
            found |= 1 << exchange
        low, high = min(low, first), max(high, end)
    return found if before[high] - before[low] == before[-1] else found | _LOST
