"""How the words of a link come home: which land where, and the exchanges that bring them to all cores that need them.

The ways that docs/fabric.md allows are measured word by word, one after the other: direct, or dealt with rows or columns as
the last side, each side in one tiling or two. `wsec.compiler.fabric.delivery_choice` chooses, and measures no more than it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collectives import exchange
from wsec.compiler.fabric.delivery_loops import (
    blocks_of_words,
    count_landed,
    count_pairs,
    count_sent_not_kept,
    gather_by_line,
    land,
    order_streams,
    reach,
    segment_words,
    split_cores,
)
from wsec.compiler.fabric.direct import group_needs, in_own_streams
from wsec.compiler.fabric.needs import side_needs
from wsec.compiler.plan import Exchange
from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from wsec.compiler.fabric.fans import Fan
    from wsec.compiler.fabric.needs import SideNeeds
    from wsec.compiler.sharding import Mesh, Sharding, Side
    from wsec.compiler.target import Fabric

    Numbers = NDArray[np.int32]
    Indices = NDArray[np.int64]

Tiling = tuple[Exchange, ...]
OTHER: Final[dict[Side, Side]] = {"rows": "columns", "columns": "rows"}


@dataclass(frozen=True, slots=True)
class ExchangeLoad:
    """What an exchange asks of the wires.

    Attributes:
        exchange: Which.
        elements: Sent in its busiest segment: what passes each of its wires.
        cores: Of its longest segment.
        by_segment: Elements sent in each segment of each line across, [lines, segments].
    """

    exchange: Exchange
    elements: int
    cores: int
    by_segment: Indices = field(compare=False, repr=False)

    def seen(self, height: int, width: int) -> Indices:
        """Elements that each core of the rectangle sees, [height, width]."""
        count = width if self.exchange.along == "rows" else height
        shift = (self.exchange.segment - self.exchange.offset) % self.exchange.segment
        by_place = self.by_segment[:, (np.arange(count) + shift) // self.exchange.segment]
        return by_place if self.exchange.along == "rows" else by_place.T

    def cycles(self, words_per_element: float, fabric: Fabric) -> int:
        """From the first word to the last: the turn goes along the segment, the last word back to its beginning."""
        if not self.elements:
            return 0
        return math.ceil(exchange(math.ceil(self.elements * words_per_element), self.cores).cycles(fabric))


Loads = tuple[ExchangeLoad, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One way in which the words of a link come home, and what it takes, counted in elements.

    Attributes:
        direct: Whether each core takes what it needs out of its stream.
        early: Exchanges of the link, as soon as a sample has arrived.
        late: Exchanges of the kernel, when the sample's turn comes.
        lanes: In the stream of each lane, [lanes].
        taken: Dealt to each core, or of a direct link what it takes, [cores].
        across: What each core sends and takes in exchanges of the link, [cores].
        waiting: At the fullest core of a sample that waits.
        farthest: Along each side, how far a word goes from where it is, in cores.
        loads: What other tilings of a side would take, for sides along which words go.
    """

    direct: bool
    early: tuple[ExchangeLoad, ...]
    late: tuple[ExchangeLoad, ...]
    lanes: Indices
    taken: Indices
    across: Indices
    waiting: int
    farthest: dict[Side, int] = field(default_factory=dict)
    loads: dict[Side, Callable[[Tiling], Loads]] = field(default_factory=dict, repr=False)

    def tiled(self, tilings: Mapping[Side, Tiling]) -> Delivery:
        """The same with these tilings, which must reach as far as words go; the last side stays the last."""
        early, late = (
            tuple(
                load
                for side in dict.fromkeys(load.exchange.along for load in loads)
                for load in (self.loads[side](tilings[side]) if side in self.loads else loads)
            )
            for loads in (self.early, self.late)
        )
        return replace(self, early=early, late=late)

    @property
    def landed(self) -> int:
        """What the busiest core takes."""
        return int(self.taken.max())

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """As the plan has them."""
        return tuple(load.exchange for load in (*self.early, *self.late))


@dataclass(frozen=True, slots=True, eq=False)
class _Streams:
    """Words in the order in which they come, lane by lane, by what rows and columns need."""

    begins: Indices
    classes: dict[Side, Numbers]

    def blocks(self, needs: dict[Side, SideNeeds]) -> Numbers:
        """The block that each word belongs to; negative for words that no core needs."""
        rows, columns = needs["rows"], needs["columns"]
        classes = self.classes["rows"], self.classes["columns"]
        return blocks_of_words(*classes, rows.owner, columns.owner, columns.blocks)


def deliveries(
    produced: tuple[Sharding, Mesh] | None, gather: Fan | None, needed: tuple[Sharding, Mesh], spread: Fan
) -> Iterator[Delivery]:
    """Every way in which the words of a link may come home, at least one; each is measured when it is asked for.

    Args:
        produced: How the tensor lies on the producer; None for the host.
        gather: Which lane gathers from each of its cores; None for the host.
        needed: What the cores of the consumer need, in any view of the same tensor.
        spread: Which lane reaches each of them.
    """
    needs: dict[Side, SideNeeds] = {side: side_needs(*needed, side) for side in OTHER}
    lanes = 1 + int(max(spread.lane.max(), 0 if gather is None else gather.lane.max()))
    if produced is None or gather is None:
        yield from _from_host(needs, needed, lanes, spread)
        return
    streams = _gathered(produced, gather, needs, lanes)
    words = np.diff(streams.begins)
    if in_own_streams(streams.classes, streams.begins, needs, spread.lane):
        yield _direct(words, *needed)
    blocks = streams.blocks(needs)
    for final in OTHER:
        landed = _land(streams.begins, blocks, needs, _groups(spread.lane, lanes), final)
        yield from _dealt(streams, landed, needs, words, final)


def _direct(words: Indices, needed: Sharding, mesh: Mesh) -> Delivery:
    """Each core takes what lies inside the extents, and has room for whole blocks."""
    taken = np.ones((mesh.height, mesh.width), np.int64)
    for start, stop in block_bounds(needed, mesh):
        taken = taken * (stop - start)
    waiting = needed.block_elements
    none = np.zeros(taken.size, np.int64)
    flat = taken.reshape(-1)
    return Delivery(direct=True, early=(), late=(), lanes=words, taken=flat, across=none, waiting=waiting)


def _from_host(
    needs: dict[Side, SideNeeds], needed: tuple[Sharding, Mesh], lanes: int, spread: Fan
) -> Iterator[Delivery]:
    """The host sends each word where it belongs, or, directly, wherever it is needed."""
    elements = len(needs["rows"].classes)
    everything = _Streams(np.array([0, elements]), {side: needs[side].classes for side in OTHER})
    whole = np.zeros_like(spread.lane)
    yield _direct(group_needs(needs, spread.lane, lanes), *needed)
    blocks = everything.blocks(needs)
    for final in OTHER:
        landed = _land(everything.begins, blocks, needs, _groups(whole, 1), final)
        words = np.bincount(spread.lane.reshape(-1)[landed[landed >= 0]], minlength=lanes)
        yield from _dealt(everything, landed, needs, words, final)


def _gathered(
    produced: tuple[Sharding, Mesh], gather: Fan, needs: dict[Side, SideNeeds], lanes: int
) -> _Streams:
    """Streams from a kernel: core after core in the order of its tree, each with its elements by rising number."""
    cores = _holders(*produced)
    held = np.bincount(cores, minlength=gather.lane.size)
    order = np.lexsort((gather.order.reshape(-1), gather.lane.reshape(-1)))
    core_begins = np.empty(len(order), np.int64)
    core_begins[order] = np.cumsum(held[order]) - held[order]
    lane_words = np.bincount(gather.lane.reshape(-1), weights=held, minlength=lanes).astype(np.int64)
    rows, columns = order_streams(cores, core_begins, needs["rows"].classes, needs["columns"].classes)
    return _Streams(np.concatenate([[0], np.cumsum(lane_words)]), {"rows": rows, "columns": columns})


def _holders(sharding: Sharding, mesh: Mesh) -> Numbers:
    """The core that sends each element, [elements]: index 0 along all axes that no dimension names."""
    shape = sharding.shape
    cores: Numbers = np.zeros((1,) * len(shape), np.int32)
    for position, dimension in enumerate(sharding.dimensions):
        blocks = np.arange(dimension.extent) // dimension.block
        offsets = np.zeros(dimension.extent, np.int64)
        for name in reversed(dimension.axes):
            axis = mesh.axes[mesh.index(name)]
            step = mesh.spacing(name) * (mesh.width if axis.side == "rows" else 1)
            offsets += blocks % axis.size * step
            blocks //= axis.size
        along = [1] * len(shape)
        along[position] = dimension.extent
        cores = cores + offsets.astype(np.int32).reshape(along)
    return np.ascontiguousarray(np.broadcast_to(cores, shape)).reshape(-1)


def _groups(lane: Numbers, lanes: int) -> tuple[Indices, Numbers]:
    """The cores of each lane in row-major order: where they begin, [lanes + 1], and their numbers."""
    cores = np.argsort(lane.reshape(-1), kind="stable").astype(np.int32)
    return np.searchsorted(lane.reshape(-1)[cores], np.arange(lanes + 1)), cores


def _land(
    begins: Indices,
    words: Numbers,
    needs: dict[Side, SideNeeds],
    groups: tuple[Indices, Numbers],
    final: Side,
) -> Numbers:
    """The core on which each word lands, in the order of the streams; negative for words that no core needs."""
    rows, columns = needs["rows"], needs["columns"]
    blocks = (rows.block[:, None] * columns.blocks + columns.block[None, :]).reshape(-1).astype(np.int32)
    row, column = np.divmod(np.arange(rows.blocks * columns.blocks), columns.blocks)
    lines = [column + rows.blocks, row] if final == "rows" else [row, column + rows.blocks]
    return land(words, begins, *groups, blocks, np.stack(lines))


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """Where words are along one side, and who needs them there.

    Attributes:
        side: The side.
        places: Of each word, along it; negative for words that landed nowhere.
        classes: Of each word, on this side.
        needs: Who needs which class there.
    """

    side: Side
    places: Numbers
    classes: Numbers
    needs: SideNeeds


def _dealt(
    streams: _Streams, landed: Numbers, needs: dict[Side, SideNeeds], words: Indices, final: Side
) -> list[Delivery]:
    """The best tilings for words that landed so; none where the last exchange would run along the other side."""
    width = needs["columns"].count
    places = dict(zip(OTHER, split_cores(landed, width), strict=True))
    # A word that moves along rows goes from column to column.
    within = _Moves(final, places[OTHER[final]], streams.classes[OTHER[final]], needs[OTHER[final]])
    across = _Moves(OTHER[final], places[final], streams.classes[final], needs[final])
    across_far, within_far = _farthest(across), _farthest(within)
    if across_far and not within_far:
        shape = across.needs.count, within.needs.count
        # says which side is the last
        late: Loads = (ExchangeLoad(Exchange(final, 1), 0, 1, np.zeros(shape, np.int64)),)
    elif final == "columns" and not within_far:
        return []
    loads: dict[Side, Callable[[Tiling], Loads]] = {}
    early: Loads = ()
    if across_far:
        loads[across.side] = partial(_by_place, across, within)
        early = _best_tiling(across, across_far, loads[across.side])
    if within_far:
        loads[within.side] = partial(_by_line, within, across)
        late = _best_tiling(within, within_far, loads[within.side])
    elif not across_far:
        late = ()
    taken = count_landed(landed, width * needs["rows"].count)
    passed, waiting = np.zeros_like(taken), int(taken.max())
    if early:
        held = _held(within, across)
        passed, waiting = _passed(landed, within, across, held), int(held.max())
    return [
        Delivery(
            direct=False,
            early=early,
            late=late,
            lanes=words,
            taken=taken,
            across=passed,
            waiting=waiting,
            farthest={across.side: across_far.cores, within.side: within_far.cores},
            loads=loads,
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """How far words go along a side, in cores, and how many cross the border before each core, [cores + 1]."""

    cores: int
    crossings: Indices

    def __bool__(self) -> bool:
        return self.cores > 0


def _farthest(moves: _Moves) -> _Reach:
    needs = moves.needs
    crossings = np.zeros(needs.count + 1, np.int64)
    farthest = reach(moves.places, moves.classes, needs.starts, needs.lines, crossings)
    return _Reach(farthest, np.cumsum(crossings))


def _held(within: _Moves, across: _Moves) -> Indices:
    """Words at each core when all lines have what they need, each where it landed across: [lines, cores of one]."""
    lines, count = across.needs, within.needs.count
    held = count_pairs(across.places, across.classes, within.places, len(lines.owner), count)
    return gather_by_line(held, lines.line_starts, lines.line_classes)


def _passed(landed: Numbers, within: _Moves, across: _Moves, held: Indices) -> Indices:
    """Words that each core sends and takes when lines get what they need, [cores]: it takes those that it did not have."""
    needs = across.needs
    own = count_sent_not_kept(landed, across.places, across.classes, needs.starts, needs.lines, held.size)
    by_core = held if within.side == "rows" else held.T
    return np.asarray(own + by_core.reshape(-1))


def _best_tiling(moves: _Moves, far: _Reach, loads: Callable[[Tiling], Loads]) -> Loads:
    """The cheapest tilings that bring words along a side to all who need them there."""
    segment = _least_segment(far.crossings)
    tilings: list[Tiling] = [(Exchange(moves.side, segment),)]
    if 2 * far.cores < segment:
        tilings.append(two_tilings(moves.side, far.cores))
    return min(map(loads, tilings), key=lambda each: sum(load.elements + load.cores for load in each))


def two_tilings(side: Side, far: int) -> Tiling:
    """Tilings that bring words to all cores not farther than that."""
    return Exchange(side, 2 * far), Exchange(side, 2 * far, far)


def _least_segment(crossings: Indices) -> int:
    """The least segment of a tiling whose borders no word crosses; `crossings` are words over the border before a core."""
    count = len(crossings) - 1
    for segment in (np.flatnonzero(crossings[2:] == 0) + 2).tolist():
        if not crossings[segment:count:segment].any():
            return int(segment)
    return count


def _by_place(moves: _Moves, within: _Moves, tiling: Tiling) -> Loads:
    """Loads of exchanges that begin where words landed: one line across has each."""
    counts = _sent(moves, within.places, within.needs.count, tiling)
    return _busiest(tiling, counts, moves.needs.count)


def _by_line(moves: _Moves, across: _Moves, tiling: Tiling) -> Loads:
    """Loads of exchanges in all lines that have a word because they need it."""
    lines = across.needs
    counts = _sent(moves, across.classes, len(lines.owner), tiling)
    by_line = [gather_by_line(count, lines.line_starts, lines.line_classes) for count in counts]
    return _busiest(tiling, by_line, moves.needs.count)


def _sent(moves: _Moves, keys: Numbers, count: int, tiling: Tiling) -> Indices:
    """Words that each tiling sends, [tilings, keys, segments]."""
    segments = np.array([each.segment for each in tiling])
    offsets = np.array([each.offset for each in tiling])
    counts = np.zeros((len(tiling), count, moves.needs.count // int(segments.min()) + 2), np.int64)
    needs = moves.needs
    segment_words(
        moves.places,
        keys,
        moves.classes,
        needs.starts,
        needs.lines,
        segments,
        offsets,
        needs.count,
        counts,
    )
    return counts


def _busiest(tiling: Tiling, counts: Iterable[Indices], cores: int) -> Loads:
    return tuple(
        ExchangeLoad(each, int(count.max()), min(each.segment, cores), count)
        for each, count in zip(tiling, counts, strict=True)
    )
