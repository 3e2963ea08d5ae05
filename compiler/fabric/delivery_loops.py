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
_LISTS = 4  # times a core may be listed: for its block, two lines, and the words left
# How the words of a block or line are dealt while those of a lane land: how many, to how many cores; the place of the next
# word's core in the list and what is left of a division there; what each word adds to both.
_WORDS, _CORES, _PLACE, _REST, _STEP, _PART = range(6)
_KNOWN, _FIRST_SENDS, _SECOND_SENDS = 1, 2, 4  # of a place and a class: bits
_MOST_KNOWN = 1 << 24  # places times classes that are kept


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
    count = block_lines.shape[1]
    # The numbers of three deals of each block: its own, that of its line across, that of its line.
    own = np.empty((3, count), np.int64)
    own[0] = np.arange(count)
    own[1:] = block_lines + count
    deals = np.zeros((own.max() + 2, 6), np.int64)  # the last is that of the words left
    dealt = np.empty(count, np.int64)  # by which of them the words of a block land
    met = np.empty(count, np.int32)
    listed = np.empty(_LISTS * (group_starts[1:] - group_starts[:-1]).max(), np.int32)
    for lane in range(len(streams) - 1):
        words = word_blocks[streams[lane] : streams[lane + 1]]
        group = group_cores[group_starts[lane] : group_starts[lane + 1]]
        for core in group:
            for family in range(3):
                deals[own[family, core_blocks[core]], _CORES] += 1
        blocks, landing = _count_words(words, deals, met)
        most = MOST_SHARES * -(-landing // max(len(group), 1))
        _choose_deals(met[:blocks], most, own, deals, dealt)
        _drop_overfull(met[:blocks], most, own, deals)
        _list_cores(group, core_blocks, own, deals, listed)
        for block in met[:blocks]:
            deal = deals[dealt[block]]
            deal[_STEP], deal[_PART] = deal[_CORES] // deal[_WORDS], deal[_CORES] % deal[_WORDS]
        for number in range(len(words)):
            if words[number] >= 0:
                landed[streams[lane] + number] = listed[_next_place(deals, dealt[words[number]])]
        _clear(met[:blocks], group, core_blocks, own, deals)
    return landed


@compiled
def _next_place(deals: Indices, deal: int) -> int:
    """Place of the core of the next word: number `j` of `words` lands at `j * cores // words`, without the division."""
    place: int = deals[deal, _PLACE]
    rest = deals[deal, _REST] + deals[deal, _PART]
    over = rest >= deals[deal, _WORDS]
    deals[deal, _PLACE] = place + deals[deal, _STEP] + over
    deals[deal, _REST] = rest - deals[deal, _WORDS] if over else rest
    return place


@compiled
def _count_words(words: Numbers, deals: Indices, met: Numbers) -> tuple[int, int]:
    """Count the words of each block; how many blocks there are, which `met` then lists, and how many words land."""
    blocks, landing = 0, 0
    for block in words:
        if block >= 0:
            if deals[block, _WORDS] == 0:
                met[blocks] = block
                blocks += 1
            deals[block, _WORDS] += 1
            landing += 1
    return blocks, landing


@compiled
def _choose_deals(met: Numbers, most: int, own: Indices, deals: Indices, dealt: Indices) -> None:
    """By which deal the words of each block land: its own, that of its line across, that of its line, or that of the rest.

    None that would bring more than `most` words to a core.
    """
    rest = len(deals) - 1
    for block in met:
        dealt[block] = block if deals[block, _WORDS] <= most * deals[block, _CORES] else rest
    for family in range(1, 3):
        for block in met:
            if dealt[block] == rest:
                deals[own[family, block], _WORDS] += deals[block, _WORDS]
        for block in met:
            line = own[family, block]
            if dealt[block] == rest and deals[line, _WORDS] <= most * deals[line, _CORES]:
                dealt[block] = line
    for block in met:
        if dealt[block] == rest:
            deals[rest, _WORDS] += deals[block, _WORDS]


@compiled
def _drop_overfull(met: Numbers, most: int, own: Indices, deals: Indices) -> None:
    """Take their cores from blocks and lines that would bring more than `most` words to one."""
    for block in met:
        for family in range(3):
            deal = own[family, block]
            if deals[deal, _WORDS] > most * deals[deal, _CORES]:
                deals[deal, _CORES] = 0


@compiled
def _list_cores(group: Numbers, core_blocks: Numbers, own: Indices, deals: Indices, listed: Numbers) -> None:
    """List the cores of every deal that has words and cores, those of one deal together, and note where they begin."""
    free = 0
    for core in group:
        for family in range(3):
            deal = own[family, core_blocks[core]]
            if deals[deal, _WORDS] == 0 or deals[deal, _CORES] == 0:
                continue
            if deals[deal, _REST] == 0:
                deals[deal, _PLACE] = free
                free += deals[deal, _CORES]
            listed[deals[deal, _PLACE] + deals[deal, _REST]] = core
            deals[deal, _REST] += 1
    for core in group:
        for family in range(3):
            deals[own[family, core_blocks[core]], _REST] = 0
    rest = len(deals) - 1
    deals[rest, _CORES] = len(group)
    deals[rest, _PLACE] = free
    listed[free : free + len(group)] = group


@compiled
def _clear(met: Numbers, group: Numbers, core_blocks: Numbers, own: Indices, deals: Indices) -> None:
    for block in met:
        for family in range(3):
            deals[own[family, block]] = 0
    for core in group:
        for family in range(3):
            deals[own[family, core_blocks[core]]] = 0
    deals[-1] = 0


@compiled
def count_landed(landed: Numbers, cores: int) -> Indices:
    """Words that land on each core."""
    counts = np.zeros(cores, np.int64)
    for core in landed:
        if core >= 0:
            counts[core] += 1
    return counts


@compiled
def count_sent_not_kept(
    landed: Numbers, places: Numbers, classes: Numbers, starts: Indices, members: Numbers, cores: int
) -> Indices:
    """Words that each core sends along a side, as others there need them, less those that its own line needs, [cores].

    Args:
        landed: The core that each word is on; negative for words that landed nowhere.
        places: Where that is, along the side.
        classes: Of each word, on that side.
        starts: Where the members of a class begin.
        members: Who needs it, rising.
        cores: Of the rectangle.
    """
    counts = np.zeros(cores, np.int64)
    for word in range(len(landed)):
        if landed[word] < 0:
            continue
        begin, end, place = starts[classes[word]], starts[classes[word] + 1], places[word]
        kept = int(_anyone(members, begin, end, place, place + 1, NOWHERE))
        counts[landed[word]] += int(end - begin > kept) - kept
    return counts


@compiled
def count_pairs(places: Numbers, classes: Numbers, others: Numbers, class_count: int, count: int) -> Indices:
    """How many words that landed have each class and each place on the other side: [classes, others]."""
    counts = np.zeros((class_count, count), np.int64)
    for word in range(len(places)):
        if places[word] >= 0:
            counts[classes[word], others[word]] += 1
    return counts


@compiled
def reach(places: Numbers, classes: Numbers, starts: Indices, members: Numbers, crossings: Indices) -> int:
    """How far words must go along a side, in cores.

    Args:
        places: Where each word is, along the side; negative for words that landed nowhere.
        classes: Of each word, on that side.
        starts: Where the members of a class begin, [classes + 1].
        members: Who needs it, rising.
        crossings: Out, [cores + 1], zeros: how many words cross the border before a core, as differences.
    """
    farthest = 0
    for word in range(len(places)):
        place = places[word]
        if place < 0:
            continue
        begin, end = starts[classes[word]], starts[classes[word] + 1]
        low, high = min(place, members[begin]), max(place, members[end - 1])
        if low < high:
            crossings[low + 1] += 1
            crossings[high + 1] -= 1
            farthest = max(farthest, place - low, high - place)
    return farthest


@compiled
def segment_words(
    places: Numbers,
    across: Numbers,
    classes: Numbers,
    starts: Indices,
    members: Numbers,
    segments: Indices,
    offsets: Indices,
    count: int,
    counts: Indices,
) -> None:
    """Count the words that each tiling of a side sends: `counts`, [tilings, across, segments].

    What a place does with the words of a class is found out once.

    Args:
        places: Where each word is, along the side; negative for words that landed nowhere.
        across: Which of the counts it belongs to.
        classes: Of each word, on that side.
        starts: Where the members of a class begin.
        members: Who needs it, rising.
        segments: Cores of a segment, by tiling: one or two.
        offsets: Cores of the first segment where it is shorter, else 0.
        count: Cores along the side.
        counts: Out, zeros.
    """
    numbers = np.empty((len(segments), count), np.int64)  # of the segment that each place is in
    for tiling in range(len(segments)):
        for place in range(count):
            numbers[tiling, place] = _segment(place, segments[tiling], offsets[tiling])[2]
    kept = (len(starts) - 1) * count <= _MOST_KNOWN
    known = np.zeros((len(starts) - 1, count) if kept else (1, 1), np.uint8)
    for word in range(len(places)):
        place = places[word]
        if place < 0:
            continue
        each = classes[word]
        found = int(known[each, place]) if kept else 0
        if found == 0:
            found = _sends(place, members, starts[each], starts[each + 1], segments, offsets)
            if kept:
                known[each, place] = found
        if found & _FIRST_SENDS:
            counts[0, across[word], numbers[0, place]] += 1
        if found & _SECOND_SENDS:
            counts[1, across[word], numbers[1, place]] += 1


@compiled
def _sends(place: int, members: Numbers, begin: int, end: int, segments: Indices, offsets: Indices) -> int:
    """By which of the tilings a core sends a word that `members[begin:end]` need: bits, `_KNOWN` among them."""
    found = _KNOWN
    low, high, _ = _segment(place, segments[0], offsets[0])
    if _anyone(members, begin, end, low, high, place):
        found |= _FIRST_SENDS
    if len(segments) > 1:
        left, right, _ = _segment(place, segments[1], offsets[1])
        before = left < low and _anyone(members, begin, end, left, low, place)
        if before or (high < right and _anyone(members, begin, end, high, right, place)):
            found |= _SECOND_SENDS
    return found


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
