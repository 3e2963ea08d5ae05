"""Deliveries: each core of a consumer ends with every element of its block, out of its stream or through exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.holders import block_numbers, ranges
from wsec.compiler.plan_checker.fabric.landing import Sides, land, list_elements, send_on
from wsec.compiler.plan_checker.fabric.needs import Needs, line_needs, needs_of, parts_of
from wsec.compiler.plan_checker.findings import DELIVERY, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Exchange, Kernel, Link
    from wsec.compiler.sharding import Mesh, Sharding

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """What comes to the rectangle of a consumer.

    Attributes:
        streams: Elements of each lane in order, one lane after the other; None from the host.
        stream_ends: Where each lane's end, [lanes + 1]; from the host of no meaning.
        groups: Cores of each lane as row * width + column of the rectangle, rising, one lane after the other.
        group_ends: Where each lane's end.
    """

    streams: Numbers | None
    stream_ends: Integers
    groups: Integers
    group_ends: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """Who sends what.

    Attributes:
        lane_words: Elements that come along each lane: [lanes].
        landed: Core on which each element lands, -1 for those that are needed nowhere, or of direct links: [elements].
        sends: Elements that each core sends, by exchange: [exchanges, height, width].
        missing: An element that does not come to all that need it, the core where it landed, and 0 where a line misses it.
        lost: How many such there are.
    """

    lane_words: Integers
    landed: Numbers
    sends: Integers
    missing: Integers
    lost: int


def stream_elements(
    sharding: Sharding, mesh: Mesh, cores: Integers, core_ends: Integers
) -> tuple[Numbers, Integers]:
    """The elements of each lane in order, and where each lane's end.

    Args:
        sharding: Of the producer's output.
        mesh: Of the producer.
        cores: Those that send, in the order of the stream, as row * width + column of the rectangle.
        core_ends: Where each lane's end: [lanes + 1].
    """
    bounds = [ranges(dimension, block_numbers(dimension, mesh)) for dimension in sharding.dimensions]
    shape = (mesh.height, mesh.width)
    low, high = (
        np.column_stack(
            [np.zeros((len(cores), 0), np.int64)]
            + [np.broadcast_to(bound[side], shape).reshape(-1)[cores] for bound in bounds]
        )
        for side in (0, 1)
    )
    elements, ends = _list(low, high, _strides(sharding))
    return elements, ends[core_ends]


def deal(link: Link, mesh: Mesh, arrival: Arrival) -> Dealt:
    """Where the words of a link land that is not direct, and who sends them on."""
    needs = needs_of(link.sharding, mesh)
    words = len(needs.word_block)
    final = link.exchanges[-1].along if link.exchanges else "rows"
    core_sets, block_sets = _sets(needs, final)
    room = np.zeros((6, int(block_sets.max()) + 2), np.int64)
    landed = np.full(words, -1, np.int32)
    lanes = len(arrival.group_ends) - 1
    if arrival.streams is None:
        everything = np.arange(words, dtype=np.int32)
        group = np.arange(mesh.height * mesh.width)
        land(everything, needs.word_block, group, core_sets, block_sets, room, landed)
        lane_of = np.full(mesh.height * mesh.width, -1, np.int64)
        lane_of[arrival.groups] = np.repeat(np.arange(lanes), np.diff(arrival.group_ends))
        lane_words = np.bincount(lane_of[landed[landed >= 0]], minlength=lanes)
    else:
        lane_words = np.diff(arrival.stream_ends)
        for lane in range(lanes):
            stream = arrival.streams[arrival.stream_ends[lane] : arrival.stream_ends[lane + 1]]
            group = arrival.groups[arrival.group_ends[lane] : arrival.group_ends[lane + 1]]
            land(stream, needs.word_block, group, core_sets, block_sets, room, landed)
    return _exchange(link, mesh, lane_words, landed, final)


def check_direct(link: Link, mesh: Mesh, arrival: Arrival) -> Iterator[Finding]:
    """Whether all that each core needs is in the stream of its group; of a direct link that comes from a kernel."""
    if arrival.streams is None:
        return
    lane_of_word = np.full(int(np.prod(link.sharding.shape, dtype=np.int64)), -1, np.int32)
    lanes = np.arange(len(arrival.stream_ends) - 1, dtype=np.int32)
    lane_of_word[arrival.streams] = np.repeat(lanes, np.diff(arrival.stream_ends))
    group_of = np.full(mesh.height * mesh.width, -1, np.int64)
    group_of[arrival.groups] = np.repeat(lanes, np.diff(arrival.group_ends))
    least, most = _bounds_of_blocks(link.sharding, mesh, lane_of_word)
    needs = needs_of(link.sharding, mesh).core_block.reshape(-1)
    own = np.maximum(needs, 0)
    wrong = (needs >= 0) & (least[own] <= most[own]) & ((least[own] != group_of) | (most[own] != group_of))
    if wrong.any():
        core = int(wrong.argmax())
        rule = "each core of a direct link finds all that it needs in the stream that passes it"
        expected = f"lane {group_of[core]} alone at row {core // mesh.width}, column {core % mesh.width} of the consumer"
        lanes_there = f"lanes {least[own[core]]} to {most[own[core]]}"
        found = f"words of {lanes_there}; {count(int(wrong.sum()), 'such core')}"
        yield Finding(DELIVERY, rule, f"link {link.name}", expected, found)


def direct_words(link: Link, mesh: Mesh, arrival: Arrival) -> Integers:
    """Elements that come along each lane of a direct link: all that a kernel sends, or what the group needs from the host."""
    if arrival.streams is not None:
        return np.diff(arrival.stream_ends)
    blocks = needs_of(link.sharding, mesh).core_block.reshape(-1)
    low, high = _block_ranges(link.sharding, mesh)
    needed = np.zeros(int(np.prod(link.sharding.shape, dtype=np.int64)), np.bool_)
    found = []
    for first, end in pairwise(arrival.group_ends.tolist()):
        own = np.unique(blocks[arrival.groups[first:end]])
        own = own[own >= 0]
        elements, _ = _list(low[own], high[own], _strides(link.sharding))
        needed[elements] = True
        found.append(int(np.count_nonzero(needed)))
        needed[elements] = False
    return np.array(found, np.int64)


def check_dealt(link: Link, kernel: Kernel, dealt: Dealt) -> Iterator[Finding]:
    """Whether every word comes to all cores that need it."""
    if dealt.lost:
        word, core, where = dealt.missing.tolist()
        width = kernel.rectangle.width
        x, y = kernel.rectangle.x + core % width, kernel.rectangle.y + core // width
        final = link.exchanges[-1].along if link.exchanges else "rows"
        line = "row" if (final == "rows") == (where == 0) else "column"
        rule = "exchanges bring each word to all cores that need it"
        found = f"element {word}, which lands at x={x}, y={y}, misses a {line}; {count(dealt.lost, 'such element')}"
        yield Finding(DELIVERY, rule, f"link {link.name}", "all its cores", found)


def _exchange(link: Link, mesh: Mesh, lane_words: Integers, landed: Numbers, final: str) -> Dealt:
    height, width = mesh.height, mesh.width
    turned = final == "columns"
    lines, places = (width, height) if turned else (height, width)
    early = [exchange for exchange in link.exchanges if exchange.along != final]
    late = [exchange for exchange in link.exchanges if exchange.along == final]
    other = "rows" if turned else "columns"
    early_side = Sides(*line_needs(link.sharding, mesh, final), *segments(early, lines))
    late_side = Sides(*line_needs(link.sharding, mesh, other), *segments(late, places))
    early_sends = np.zeros((len(early), lines, places), np.int64)
    late_sends = np.zeros((len(late), lines, places), np.int64)
    missing = np.full(3, -1, np.int64)
    lost = send_on(landed, width, turned, early_side, late_side, early_sends, late_sends, missing)
    by_exchange = {
        id(each): sends for each, sends in zip([*early, *late], [*early_sends, *late_sends], strict=True)
    }
    sends = [by_exchange[id(each)] for each in link.exchanges]
    stacked = (
        np.stack([each.T if turned else each for each in sends])
        if sends
        else np.zeros((0, height, width), np.int64)
    )
    return Dealt(lane_words, landed, stacked, missing, lost)


def _sets(needs: Needs, final: str) -> tuple[Numbers, Numbers]:
    """The four sets of `land` in which each core and each block is."""
    lines, across = (needs.row_part, needs.column_part), (needs.block_row_part, needs.block_column_part)
    turned = final == "columns"
    shape = needs.core_block.shape
    line, beside = (np.broadcast_to(lines[0][:, None], shape), np.broadcast_to(lines[1][None, :], shape))
    block_line, block_beside = across
    if turned:
        line, beside, block_line, block_beside = beside, line, block_beside, block_line
    first_beside = needs.blocks
    first_line = first_beside + int(beside.max()) + 1
    last = first_line + int(line.max()) + 1
    nobody = last + 1  # the set of cores that need nothing, to which no word is dealt
    core_sets = np.stack(
        [
            np.where(needs.core_block >= 0, needs.core_block, nobody),
            np.where(beside >= 0, beside + first_beside, nobody),
            np.where(line >= 0, line + first_line, nobody),
            np.full(shape, last),
        ],
        axis=-1,
    )
    block_sets = np.stack(
        [
            np.arange(needs.blocks),
            block_beside + first_beside,
            block_line + first_line,
            np.full(needs.blocks, last),
        ],
        axis=-1,
    )
    return core_sets.reshape(-1, 4).astype(np.int32), block_sets.astype(np.int32)


def segments(exchanges: list[Exchange], length: int) -> tuple[Integers, Integers]:
    """For each exchange and place on a line, where its segment begins and ends."""
    at = np.arange(length)
    low, high = (np.zeros((len(exchanges), length), np.int64) for _ in range(2))
    for number, exchange in enumerate(exchanges):
        shift = (exchange.segment - exchange.offset) % exchange.segment
        start = (at + shift) // exchange.segment * exchange.segment - shift
        low[number], high[number] = np.maximum(start, 0), np.minimum(start + exchange.segment, length)
    return low, high


def _bounds_of_blocks(sharding: Sharding, mesh: Mesh, values: Numbers) -> tuple[Integers, Integers]:
    """Least and greatest of the values at the elements of each block; 1 and 0 of an empty one: [blocks] each."""
    low, high = _block_ranges(sharding, mesh)
    elements, ends = _list(low, high, _strides(sharding))
    filled = np.diff(ends) > 0
    least, most = np.ones(len(low), np.int64), np.zeros(len(low), np.int64)
    if filled.any():
        least[filled] = np.minimum.reduceat(values[elements], ends[:-1][filled])
        most[filled] = np.maximum.reduceat(values[elements], ends[:-1][filled])
    return least, most


def _block_ranges(sharding: Sharding, mesh: Mesh) -> tuple[Integers, Integers]:
    """First elements of all blocks, and the ones behind their last: [blocks, dimensions] each."""
    numbers = [np.arange(parts_of(dimension, mesh)) for dimension in sharding.dimensions]
    bounds = [ranges(dimension, own) for dimension, own in zip(sharding.dimensions, numbers, strict=True)]
    low, high = (
        np.stack(np.meshgrid(*(bound[side] for bound in bounds), indexing="ij"), axis=-1).reshape(
            -1, len(bounds)
        )
        if bounds
        else np.zeros((1, 0), np.int64)
        for side in (0, 1)
    )
    return low, high


def _list(low: Integers, high: Integers, strides: Integers) -> tuple[Numbers, Integers]:
    """Elements of blocks, one block after the other, and where each block's end."""
    sizes = (high - low).prod(axis=1)
    filled = sizes > 0
    elements = np.empty(int(sizes.sum()), np.int32)
    own = np.zeros(int(filled.sum()) + 1, np.int64)
    list_elements(low[filled], high[filled], strides, elements, own)
    return elements, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def _strides(sharding: Sharding) -> Integers:
    shape = np.array(sharding.shape, np.int64)
    return np.append(np.cumprod(shape[::-1])[::-1][1:], 1) if len(shape) else np.zeros(0, np.int64)
