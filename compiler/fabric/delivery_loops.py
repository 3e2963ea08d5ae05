"""Deliveries, the loops over words and cores: compiled. Shapes and meanings are those of `wsec.compiler.fabric.delivery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Numbers = NDArray[np.int32]

NOWHERE = -1
MOST_SHARES = 2  # times its share of a stream is what a core gets at most by one rule
_FEW = 4  # members that are looked at one by one
_WORDS, _SEEN, _CORES, _BEGIN = range(4)  # what is counted of blocks and lines while the words of a lane land


@compiled
def owners_in_blocks(starts: Indices, block: int, extent: int) -> tuple[Indices, Indices, Indices]:
    """First and last block that contain an index, and the one whose middle is nearest; size, -1 and -1 where none does."""
    first = np.full(extent, len(starts), np.int64)
    last = np.full(extent, -1, np.int64)
    owner = np.full(extent, -1, np.int64)
    nearest = np.zeros(extent, np.int64)
    for number in range(len(starts)):
        start = starts[number]
        for index in range(max(start, 0), min(start + block, extent)):
            distance = abs(2 * index + 1 - 2 * start - block)
            if owner[index] < 0 or distance < nearest[index]:
                owner[index] = number
                nearest[index] = distance
            first[index] = min(first[index], number)
            last[index] = max(last[index], number)
    return first, last, owner


@compiled
def classes_of_lines(
    digits: Indices, starts: Indices, members: Indices, strides: Indices, lines: int
) -> tuple[Indices, Numbers]:
    """For each line all combinations of the classes of its digits: where they begin, [lines + 1], and their numbers."""
    cuts = len(strides)
    line_starts = np.zeros(lines + 1, np.int64)
    for line in range(lines):
        number = 1
        for cut in range(cuts):
            digit = digits[cut, line]
            number *= starts[cut, digit + 1] - starts[cut, digit]
        line_starts[line + 1] = line_starts[line] + number
    classes = np.zeros(line_starts[lines], np.int32)
    for line in range(lines):
        begin, filled = line_starts[line], min(1, line_starts[line + 1] - line_starts[line])
        for cut in range(cuts):
            digit = digits[cut, line]
            low, high = starts[cut, digit], starts[cut, digit + 1]
            for place in range(high - low - 1, -1, -1):
                added = members[low + place] * strides[cut]
                for before in range(filled):
                    classes[begin + place * filled + before] = classes[begin + before] + added
            filled *= high - low
    return line_starts, classes


@compiled
def lines_of_classes(line_starts: Indices, line_classes: Numbers, count: int) -> tuple[Indices, Numbers]:
    """The same the other way round: for each class its lines, rising."""
    starts = np.zeros(count + 1, np.int64)
    for each in line_classes:
        starts[each + 1] += 1
    for each in range(count):
        starts[each + 1] += starts[each]
    free = starts[:-1].copy()
    lines = np.empty(len(line_classes), np.int32)
    for line in range(len(line_starts) - 1):
        for place in range(line_starts[line], line_starts[line + 1]):
            each = line_classes[place]
            lines[free[each]] = line
            free[each] += 1
    return starts, lines


@compiled
def order_streams(
    cores: Numbers, begins: Indices, rows: Numbers, columns: Numbers
) -> tuple[Numbers, Numbers]:
    """Classes of the words in the order of the streams; a core's words rise, from `begins` of the core on."""
    free = begins.copy()
    row_classes = np.empty(len(cores), np.int32)
    column_classes = np.empty(len(cores), np.int32)
    for element in range(len(cores)):
        core = cores[element]
        place = free[core]
        free[core] = place + 1
        row_classes[place] = rows[element]
        column_classes[place] = columns[element]
    return row_classes, column_classes


@compiled
def blocks_of_words(
    rows: Numbers, columns: Numbers, row_owner: Indices, column_owner: Indices, column_blocks: int
) -> Numbers:
    """The block that each word belongs to, from its classes; NOWHERE where no core needs it."""
    blocks = np.empty(len(rows), np.int32)
    for word in range(len(rows)):
        row, column = row_owner[rows[word]], column_owner[columns[word]]
        blocks[word] = NOWHERE if row < 0 or column < 0 else row * column_blocks + column
    return blocks


@compiled
def split_cores(cores: Numbers, width: int) -> tuple[Numbers, Numbers]:
    """Row and column of each core; NOWHERE for those that are."""
    rows = np.empty(len(cores), np.int32)
    columns = np.empty(len(cores), np.int32)
    narrow = np.int32(width)
    for number in range(len(cores)):
        core = cores[number]
        rows[number] = NOWHERE if core < 0 else core // narrow
        columns[number] = NOWHERE if core < 0 else core % narrow
    return rows, columns


@compiled
def land(
    word_blocks: Numbers,
    streams: Indices,
    group_starts: Indices,
    group_cores: Numbers,
    core_blocks: Numbers,
    block_lines: Indices,
) -> Numbers:
    """The core on which each word lands, or NOWHERE; in the order of the streams.

    Args:
        word_blocks: The block that each word belongs to; negative where no core needs it.
        streams: Where that of each lane begins, [lanes + 1].
        group_starts: Where the cores of each lane begin in `group_cores`, [lanes + 1].
        group_cores: Cores of the groups, in row-major order.
        core_blocks: The block of each core.
        block_lines: Of each block the line across and the line that it lies on, [2, blocks]; all lines have different numbers.
    """
    landed = np.full(len(word_blocks), NOWHERE, np.int32)
    blocks = np.zeros((4, block_lines.shape[1]), np.int64)
    lines = np.zeros((4, block_lines.max() + 1), np.int64)
    for lane in range(len(streams) - 1):
        words = word_blocks[streams[lane] : streams[lane + 1]]
        group = group_cores[group_starts[lane] : group_starts[lane + 1]]
        _count_cores(group, core_blocks, block_lines, blocks, lines)
        stray = _count_words(words, len(group), block_lines, blocks, lines)
        owned = _cores_of_blocks(group, core_blocks, blocks)
        on_lines = _cores_of_lines(group, core_blocks, block_lines, lines)
        strays = 0
        for number in range(len(words)):
            block = words[number]
            if block < 0:
                continue
            line = _line(block, block_lines, lines, 2)
            if blocks[_CORES, block] > 0:
                core = owned[_turn(blocks, block)]
            elif line >= 0:
                core = on_lines[_turn(lines, line)]
            else:
                core = group[strays * len(group) // stray]
                strays += 1
            landed[streams[lane] + number] = core
        _clear(words, group, core_blocks, block_lines, blocks, lines)
    return landed


@compiled
def _turn(counts: Indices, key: int) -> int:
    """Where the next word of a block or line goes in the list of cores: evenly over its own."""
    seen = counts[_SEEN, key]
    counts[_SEEN, key] = seen + 1
    turn: int = counts[_BEGIN, key] + seen * counts[_CORES, key] // counts[_WORDS, key]
    return turn


@compiled
def _line(block: int, block_lines: Indices, lines: Indices, families: int) -> int:
    """The line on which words of a block land that has no core in the group: across, else the other; -1 for neither."""
    found: int = NOWHERE
    for family in range(families - 1, -1, -1):
        if lines[_CORES, block_lines[family, block]] > 0:
            found = block_lines[family, block]
    return found


@compiled
def _count_cores(
    group: Numbers, core_blocks: Numbers, block_lines: Indices, blocks: Indices, lines: Indices
) -> None:
    for core in group:
        block = core_blocks[core]
        blocks[_CORES, block] += 1
        for family in range(2):
            lines[_CORES, block_lines[family, block]] += 1


@compiled
def _count_words(words: Numbers, cores: int, block_lines: Indices, blocks: Indices, lines: Indices) -> int:
    """Count the words of blocks, of lines across and of lines, each of what is left by those before; the rest is returned.

    Blocks and lines that would get too many words for a core lose their cores.
    """
    landing = 0
    for block in words:
        if block >= 0:
            blocks[_WORDS, block] += 1
            landing += 1
    most = MOST_SHARES * -(-landing // max(cores, 1))
    for block in words:
        if block >= 0 and blocks[_WORDS, block] > most * blocks[_CORES, block]:
            blocks[_CORES, block] = 0
    for family in range(2):
        _count_on_lines(words, family, block_lines, blocks, lines)
        for line in range(block_lines[family].min(), block_lines[family].max() + 1):
            if lines[_WORDS, line] > most * lines[_CORES, line]:
                lines[_CORES, line] = 0
    stray = 0
    for block in words:
        if block >= 0 and blocks[_CORES, block] == 0 and _line(block, block_lines, lines, 2) < 0:
            stray += 1
    return stray


@compiled
def _count_on_lines(
    words: Numbers, family: int, block_lines: Indices, blocks: Indices, lines: Indices
) -> None:
    """Count the words on lines of a family whose blocks, and lines of the families before, have no cores."""
    for block in words:
        if block >= 0 and blocks[_CORES, block] == 0 and _line(block, block_lines, lines, family) < 0:
            lines[_WORDS, block_lines[family, block]] += 1


@compiled
def _cores_of_blocks(group: Numbers, core_blocks: Numbers, blocks: Indices) -> Numbers:
    """The cores of a group, those of one block together."""
    found = np.empty(len(group), np.int32)
    free = 0
    for core in group:
        block = core_blocks[core]
        if blocks[_CORES, block] == 0:
            continue
        if blocks[_SEEN, block] == 0:
            blocks[_BEGIN, block] = free
            free += blocks[_CORES, block]
        found[blocks[_BEGIN, block] + blocks[_SEEN, block]] = core
        blocks[_SEEN, block] += 1
    for core in group:
        blocks[_SEEN, core_blocks[core]] = 0
    return found


@compiled
def _cores_of_lines(group: Numbers, core_blocks: Numbers, block_lines: Indices, lines: Indices) -> Numbers:
    """The cores of a group on each line that words land on, those of one line together."""
    found = np.empty(2 * len(group), np.int32)
    free = 0
    for core in group:
        for family in range(2):
            line = block_lines[family, core_blocks[core]]
            if lines[_WORDS, line] == 0 or lines[_CORES, line] == 0:
                continue
            if lines[_SEEN, line] == 0:
                lines[_BEGIN, line] = free
                free += lines[_CORES, line]
            found[lines[_BEGIN, line] + lines[_SEEN, line]] = core
            lines[_SEEN, line] += 1
    for core in group:
        for family in range(2):
            lines[_SEEN, block_lines[family, core_blocks[core]]] = 0
    return found


@compiled
def _clear(
    words: Numbers,
    group: Numbers,
    core_blocks: Numbers,
    block_lines: Indices,
    blocks: Indices,
    lines: Indices,
) -> None:
    for block in words:
        if block >= 0:
            blocks[_WORDS, block] = 0
            blocks[_SEEN, block] = 0
            for family in range(2):
                lines[_WORDS, block_lines[family, block]] = 0
                lines[_SEEN, block_lines[family, block]] = 0
    for core in group:
        blocks[_CORES, core_blocks[core]] = 0
        for family in range(2):
            lines[_CORES, block_lines[family, core_blocks[core]]] = 0


@compiled
def reach(
    places: Numbers, classes: Numbers, starts: Indices, members: Numbers, crossings: Indices
) -> tuple[int, int]:
    """How far words must go along a side: words that go anywhere, and the farthest way, in cores.

    Args:
        places: Where each word is, along the side; negative for words that landed nowhere.
        classes: Of each word, on that side.
        starts: Where the members of a class begin, [classes + 1].
        members: Who needs it, rising.
        crossings: Out, [cores + 1], zeros: how many words cross the border before a core, as differences.
    """
    going, farthest = 0, 0
    for word in range(len(places)):
        place = places[word]
        if place < 0:
            continue
        begin, end = starts[classes[word]], starts[classes[word] + 1]
        low, high = min(place, members[begin]), max(place, members[end - 1])
        if low < high:
            crossings[low + 1] += 1
            crossings[high + 1] -= 1
            going += 1
            farthest = max(farthest, place - low, high - place)
    return going, farthest


@compiled
def segment_words(
    places: Numbers,
    across: Numbers,
    classes: Numbers,
    starts: Indices,
    members: Numbers,
    segments: Indices,
    offsets: Indices,
    counts: Indices,
) -> None:
    """Count the words that each tiling of a side sends: `counts`, [tilings, across, segments].

    Args:
        places: Where each word is, along the side; negative for words that landed nowhere.
        across: Which of the counts it belongs to.
        classes: Of each word, on that side.
        starts: Where the members of a class begin.
        members: Who needs it, rising.
        segments: Cores of a segment, by tiling: one or two.
        offsets: Cores of the first segment where it is shorter, else 0.
        counts: Out, zeros.
    """
    two = len(segments) > 1
    for word in range(len(places)):
        place = places[word]
        if place < 0:
            continue
        begin, end = starts[classes[word]], starts[classes[word] + 1]
        if end - begin == 1 and members[begin] == place:
            continue
        low, high, number = _segment(place, segments[0], offsets[0])
        if _anyone(members, begin, end, low, high, place):
            counts[0, across[word], number] += 1
        if two:
            left, right, number = _segment(place, segments[1], offsets[1])
            before = left < low and _anyone(members, begin, end, left, low, place)
            behind = high < right and _anyone(members, begin, end, high, right, place)
            if before or behind:
                counts[1, across[word], number] += 1


@compiled
def _segment(place: int, segment: int, offset: int) -> tuple[int, int, int]:
    """The segment that a core is in: its first core, the one behind its last, its number."""
    shift = (segment - offset) % segment
    number = (place + shift) // segment
    return number * segment - shift, (number + 1) * segment - shift, number


@compiled
def _anyone(members: Numbers, begin: int, end: int, low: int, high: int, place: int) -> bool:
    """Whether any of `members[begin:end]` but `place` lies in [low, high)."""
    while end - begin > _FEW:
        middle = (begin + end) // 2
        if members[middle] < low:
            begin = middle + 1
        elif members[middle] >= high:
            end = middle
        elif members[middle] != place:
            return True
        else:
            return (middle > begin and members[middle - 1] >= low) or (
                middle + 1 < end and members[middle + 1] < high
            )
    found = False
    for at in range(begin, end):
        found |= low <= members[at] < high and members[at] != place
    return found


@compiled
def gather_by_line(counts: Indices, line_starts: Indices, line_classes: Numbers) -> Indices:
    """Sums over the classes that each line needs: [lines, ...] of [classes, ...]."""
    lines = np.zeros((len(line_starts) - 1, counts.shape[1]), np.int64)
    for line in range(len(line_starts) - 1):
        for place in range(line_starts[line], line_starts[line + 1]):
            each = line_classes[place]
            for column in range(counts.shape[1]):
                lines[line, column] += counts[each, column]
    return lines
