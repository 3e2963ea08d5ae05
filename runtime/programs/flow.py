"""How words flow through the settings of a circuit: how many pass each position, in which order, and who sees them.

A node is a position of an entry; it is fed by the positions of the neighbour that lead to it. Nodes are taken in
topological order, a level at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.settings import OPPOSITE, POSITIONS, broken
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.programs.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """The graph of a circuit's positions; node `entry * 4 + position`.

    Attributes:
        settings: Of the circuit.
        source: int64 [edges], the node that words come from, by level.
        target: int64 [edges], the node that they go to.
        levels: int64 [levels + 1], where the edges of each level begin; those of a level depend on earlier ones alone.
    """

    settings: Settings
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    levels: NDArray[np.int64]

    def spans(self) -> list[slice]:
        """The edges of each level."""
        return [slice(int(a), int(b)) for a, b in zip(self.levels[:-1], self.levels[1:], strict=True)]


def make_flow(settings: Settings) -> Flow:
    """The graph of a circuit.

    Raises:
        WsecError: WSEC591 words come from where nobody sends any, or run in a circle.
    """
    entry, position = np.nonzero((settings.source >= 0) & (settings.source != Port.RAMP))
    port = settings.source[entry, position].astype(np.int64)
    before = settings.neighbours(entry, port)
    feeding = settings.outputs[before, :, OPPOSITE[port]] & (before >= 0)[:, None]
    unfed = np.flatnonzero(~feeding.any(axis=1))
    if unfed.size:
        first = int(unfed[0])
        raise broken(
            settings.place(int(entry[first])),
            f"words from the {Port(int(port[first])).name.lower()}",
            "the router there sends none",
        )
    edge, fed_by = np.nonzero(feeding)
    source = before[edge] * POSITIONS + fed_by
    target = entry[edge] * POSITIONS + position[edge]
    return _by_levels(settings, source, target)


def _by_levels(settings: Settings, source: NDArray[np.int64], target: NDArray[np.int64]) -> Flow:
    nodes = settings.core.size * POSITIONS
    order = np.argsort(source, kind="stable")
    source, target = source[order], target[order]
    starts = np.searchsorted(source, np.arange(nodes + 1))
    waiting = np.bincount(target, minlength=nodes)
    ready = np.flatnonzero((waiting == 0) & (starts[1:] > starts[:-1]))
    taken: list[NDArray[np.int64]] = []
    while ready.size:
        lengths = starts[ready + 1] - starts[ready]
        edges = np.repeat(starts[ready] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        taken.append(edges)
        np.subtract.at(waiting, target[edges], 1)
        reached = np.unique(target[edges])
        ready = reached[waiting[reached] == 0]
        ready = ready[starts[ready + 1] > starts[ready]]
    levels = np.cumsum([0, *(edges.size for edges in taken)])
    if levels[-1] < source.size:
        circle = int(np.flatnonzero(waiting > 0)[0]) // POSITIONS
        raise broken(settings.place(circle), "words that leave the circuit", "they run in a circle")
    edges = np.concatenate(taken) if taken else np.zeros(0, np.int64)
    return Flow(settings, source[edges], target[edges], levels)


def words_of_positions(flow: Flow, sent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Words that pass each position when each entry's core sends `sent` [entries] words; int64 [entries, 4]."""
    words = np.where(flow.settings.source == Port.RAMP, sent[:, None], 0).reshape(-1)
    for span in flow.spans():
        np.add.at(words, flow.target[span], words[flow.source[span]])
    return words.reshape(-1, POSITIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """The streams of a link's circuit.

    Attributes:
        number: int64 [streams], what names them below, ascending.
        source: int64 [sources], entries whose cores send.
        source_stream: int64 [sources], the stream that each feeds.
        start: int64 [sources], where its words stand in the stream.
        destination: int64 [destinations], entries whose cores see a stream.
        destination_stream: int64 [destinations], which.
    """

    number: NDArray[np.int64]
    source: NDArray[np.int64]
    source_stream: NDArray[np.int64]
    start: NDArray[np.int64]
    destination: NDArray[np.int64]
    destination_stream: NDArray[np.int64]


def follow_streams(flow: Flow, sent: NDArray[np.int64]) -> Streams:
    """Who feeds each stream and in which order, and who sees it, when each entry's core sends `sent` [entries] words."""
    settings = flow.settings
    words = words_of_positions(flow, sent)
    start = (np.cumsum(words, axis=1) - words).reshape(-1)
    tail = np.arange(start.size) // POSITIONS
    after = np.full(start.size, -1, np.int64)
    for span in reversed(flow.spans()):  # a node's edges are all of one level
        source, target = flow.source[span], flow.target[span]
        start[source] += start[target]
        np.maximum.at(after, source, tail[target])
        tail[source] = after[source]
    stream = np.where((settings.source == Port.RAMP).reshape(-1), tail, -1)
    for span in flow.spans():
        np.maximum.at(stream, flow.target[span], stream[flow.source[span]])
    from_ramp = np.flatnonzero((settings.source == Port.RAMP).reshape(-1))
    into_ramp = np.flatnonzero(settings.outputs[:, :, Port.RAMP].reshape(-1))
    return Streams(
        np.unique(stream[from_ramp]),
        from_ramp // POSITIONS,
        stream[from_ramp],
        start[from_ramp],
        into_ramp // POSITIONS,
        stream[into_ramp],
    )
