"""The words of a link: which core sends which, in which order they pass, and which core takes which.

Everything follows from the link's circuits and the shardings of its two ends (docs/fabric.md, "A link").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.exchanges import DealtWords, exchange_words, final_side, lines_of_cores, lost
from wsec.runtime.programs.flow import follow_streams, make_flow, words_of_positions
from wsec.runtime.programs.landing import land
from wsec.runtime.programs.ragged import Ragged, ragged
from wsec.runtime.programs.settings import broken, expand
from wsec.runtime.programs.words import BlockWords, block_words, owners
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, Kernel, Link, Rectangle
    from wsec.runtime.programs.flow import Flow, Streams


@dataclass(frozen=True, slots=True, eq=False)
class Sending:
    """What a kernel's cores send over a link.

    Attributes:
        colour: int64 [cores], on which; -1 for a core that sends nothing.
        elements: Of each core, in order.
        places: The same as places in the padded block of the output.
    """

    colour: NDArray[np.int64]
    elements: Ragged
    places: Ragged


@dataclass(frozen=True, slots=True, eq=False)
class Arriving:
    """What a kernel's cores take out of the streams of a link.

    Attributes:
        colour: int64 [cores], on which a stream passes; -1 where none does.
        taken: Elements that each core takes, in order.
        index: For each of these, how many words of the stream pass before it.
        passing: int64 [cores], words of the stream.
        needs: The elements of each core's block.
        dealt: What becomes of dealt words; None for a direct link.
    """

    colour: NDArray[np.int64]
    taken: Ragged
    index: Ragged
    passing: NDArray[np.int64]
    needs: BlockWords
    dealt: DealtWords | None


@dataclass(frozen=True, slots=True, eq=False)
class HostStream:
    """A stream that the host sends or takes, at a core of one of its columns.

    Attributes:
        core: Of the simulated grid.
        colour: Of the stream.
        elements: In order.
    """

    core: int
    colour: int
    elements: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LinkWords:
    """A link, followed.

    Attributes:
        link: Of the plan.
        flows: Of its circuits.
        positions: For each of them the words that pass each position, int64 [entries, 4].
        sending: Of the producer; None where words come from the host.
        arriving: Of the consumer; None towards the host.
        from_host: Streams that the host sends.
        to_host: Streams that the host takes.
    """

    link: Link
    flows: tuple[Flow, ...]
    positions: tuple[NDArray[np.int64], ...]
    sending: Sending | None
    arriving: Arriving | None
    from_host: tuple[HostStream, ...]
    to_host: tuple[HostStream, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """One stream of a circuit: the entries that see it, and its elements in order."""

    circuit: int
    number: int
    seen_by: NDArray[np.int64]
    elements: NDArray[np.int64]


def follow_link(
    link: Link,
    circuits: Sequence[Circuit],
    ends: tuple[Kernel | None, Kernel | None],
    region: tuple[int, int],
) -> LinkWords:
    """The words of a link whose producer and consumer are `ends`; None for the host, or for a kernel of another phase.

    Raises:
        WsecError: WSEC591 its circuits do not fit together, WSEC597 a core does not get a word that it needs.
    """
    producer, consumer = ends
    edges = producer is None or consumer is None
    flows = tuple(
        make_flow(expand(circuit, width=region[0], height=region[1], edges=edges)) for circuit in circuits
    )
    if not flows:
        raise broken(f"link {link.name}", "circuits that carry its words", "none")
    held = None if producer is None else _held(producer, link)
    sent = [_sent_by_entries(flow, producer, held) for flow in flows]
    followed = [follow_streams(flow, words) for flow, words in zip(flows, sent, strict=True)]
    streams = [
        stream
        for number, (flow, found) in enumerate(zip(flows, followed, strict=True))
        for stream in _streams(number, flow, found, producer, held)
    ]
    group = [_group(flows[each.circuit], each, consumer, link) for each in streams]
    arriving = None
    if consumer is not None:
        arriving, elements = _arriving(link, consumer, streams, group, flows, host=producer is None)
        streams = [
            _Stream(each.circuit, each.number, each.seen_by, words)
            for each, words in zip(streams, elements, strict=True)
        ]
    from_host, to_host = [], []
    if producer is None:
        from_host = _host_sends(flows, followed, streams, sent)
    if consumer is None:
        to_host = _host_takes(flows, streams)
    return LinkWords(
        link=link,
        flows=flows,
        positions=tuple(words_of_positions(flow, words) for flow, words in zip(flows, sent, strict=True)),
        sending=None if producer is None or held is None else _sending(link, flows, producer, held),
        arriving=arriving,
        from_host=tuple(from_host),
        to_host=tuple(to_host),
    )


def grid_cores(rectangle: Rectangle, wide: int) -> NDArray[np.int64]:
    """The cores of a rectangle of the region, by row and column, as numbers of the simulated grid."""
    x = np.arange(rectangle.x + 1, rectangle.x + 1 + rectangle.width)
    return (np.arange(rectangle.y, rectangle.y + rectangle.height)[:, None] * wide + x).reshape(-1)


def _held(producer: Kernel, link: Link) -> BlockWords:
    sharding = next(item.sharding for item in producer.outputs if item.tensor == link.tensor)
    return block_words(sharding, producer.mesh, once=True)


def _sent_by_entries(flow: Flow, producer: Kernel | None, held: BlockWords | None) -> NDArray[np.int64]:
    sent = np.zeros(flow.settings.core.size, np.int64)
    if producer is not None and held is not None:
        entry = flow.settings.find(grid_cores(producer.rectangle, flow.settings.width))
        sent[entry[entry >= 0]] = held.elements.lengths[entry >= 0]
    return sent


def _streams(
    number: int, flow: Flow, found: Streams, producer: Kernel | None, held: BlockWords | None
) -> list[_Stream]:
    """The streams of a circuit; those of the host have no elements yet."""
    result = []
    place = {}
    if producer is not None:
        cores = grid_cores(producer.rectangle, flow.settings.width)
        place = dict(zip(cores.tolist(), range(cores.size), strict=True))
    for stream in found.number.tolist():
        seen_by = found.destination[found.destination_stream == stream]
        mine = np.flatnonzero(found.source_stream == stream)
        mine = mine[np.argsort(found.start[mine], kind="stable")]
        pieces = []
        if held is not None:
            for entry in found.source[mine].tolist():
                core = place.get(int(flow.settings.core[entry]))
                if core is None:
                    raise broken(
                        flow.settings.place(entry), "words from cores of the producer", "another core sends"
                    )
                pieces.append(held.elements.row(core))
        result.append(
            _Stream(number, stream, seen_by, np.concatenate(pieces) if pieces else np.zeros(0, np.int64))
        )
    return result


def _group(flow: Flow, stream: _Stream, consumer: Kernel | None, link: Link) -> NDArray[np.int64]:
    """The cores of the consumer that see a stream, ascending."""
    if consumer is None:
        return np.zeros(0, np.int64)
    cores = grid_cores(consumer.rectangle, flow.settings.width)
    seen = flow.settings.core[stream.seen_by]
    place = np.minimum(np.searchsorted(cores, seen), cores.size - 1)
    if (cores[place] != seen).any():
        other = stream.seen_by[cores[place] != seen]
        raise broken(
            flow.settings.place(int(other[0])),
            f"words of link {link.name} for cores of {consumer.name}",
            "another core",
        )
    return np.sort(place)


def _arriving(
    link: Link,
    consumer: Kernel,
    streams: Sequence[_Stream],
    groups: Sequence[NDArray[np.int64]],
    flows: Sequence[Flow],
    *,
    host: bool,
) -> tuple[Arriving, list[NDArray[np.int64]]]:
    """What the consumer's cores take, and the elements of each stream."""
    item = next(item for item in consumer.inputs if item.role == link.role)
    needs = block_words(item.sharding, consumer.mesh)
    cores = consumer.mesh.height * consumer.mesh.width
    colour = np.full(cores, -1, np.int64)
    stream_of = np.full(cores, -1, np.int64)
    for number, (stream, group) in enumerate(zip(streams, groups, strict=True)):
        if (stream_of[group] >= 0).any():
            raise broken(f"link {link.name}", "one stream for each core of the consumer", "two")
        stream_of[group] = number
        colour[group] = flows[stream.circuit].settings.colour
    elements = [stream.elements for stream in streams]
    if link.direct:
        if host:
            elements = [_needed_by(needs, group) for group in groups]
        taking, dealt = needs.elements, None
        taken_by, words = taking.rows, taking.values
    else:
        landed = _landed(link, consumer, elements, groups, host=host)
        if host:
            order = np.flatnonzero(landed >= 0)
            elements = [order[stream_of[landed[order]] == number] for number in range(len(streams))]
        dealt = exchange_words(landed, needs, consumer.mesh, link.exchanges, link.name)
        words = np.flatnonzero(landed >= 0)
        taken_by = landed[words]
    index = _index(elements, stream_of[taken_by], words, needs.total)
    if (index < 0).any():
        first = int(np.flatnonzero(index < 0)[0])
        raise lost(link.name, consumer.mesh, int(taken_by[first]), int(words[first]), int((index < 0).sum()))
    order = np.lexsort((index, taken_by))
    taken = ragged(taken_by[order], words[order], cores)
    passing = np.array([*(each.size for each in elements), 0], np.int64)[stream_of]
    return Arriving(colour, taken, taken.with_values(index[order]), passing, needs, dealt), elements


def _needed_by(needs: BlockWords, group: NDArray[np.int64]) -> NDArray[np.int64]:
    marked = np.zeros(needs.elements.starts.size - 1, np.bool_)
    marked[group] = True
    return np.unique(needs.elements.values[marked[needs.elements.rows]])


def _landed(
    link: Link,
    consumer: Kernel,
    elements: Sequence[NDArray[np.int64]],
    groups: Sequence[NDArray[np.int64]],
    *,
    host: bool,
) -> NDArray[np.int64]:
    """The core on which each element lands, -1 where nobody needs it."""
    sharding = next(item.sharding for item in consumer.inputs if item.role == link.role)
    belongs = owners(sharding, consumer.mesh)
    final = final_side(link.exchanges)
    line = lines_of_cores(consumer.mesh, final)
    across = lines_of_cores(consumer.mesh, "columns" if final == "rows" else "rows")
    landed = np.full(belongs.of_element.size, -1, np.int64)
    if host:
        elements, groups = [np.arange(landed.size)], [np.arange(line.size)]
    for stream, group in zip(elements, groups, strict=True):
        if group.size:
            landed[stream] = land(stream, group, belongs, line, across)
    return landed


def _index(
    streams: Sequence[NDArray[np.int64]], stream: NDArray[np.int64], words: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Where each word stands in its stream; -1 where it is not there."""
    index = np.full(words.size, -1, np.int64)
    order = np.argsort(stream, kind="stable")
    bounds = np.searchsorted(stream[order], np.arange(len(streams) + 1))
    for number, elements in enumerate(streams):
        mine = order[bounds[number] : bounds[number + 1]]
        position = np.full(total, -1, np.int64)
        position[elements] = np.arange(elements.size)
        index[mine] = position[words[mine]]
    return index


def _sending(link: Link, flows: Sequence[Flow], producer: Kernel, held: BlockWords) -> Sending:
    colour = np.full(held.elements.starts.size - 1, -1, np.int64)
    for flow in flows:
        settings = flow.settings
        entry = settings.find(grid_cores(producer.rectangle, settings.width))
        from_ramp = np.zeros(settings.core.size + 1, np.bool_)
        from_ramp[:-1] = (settings.source == Port.RAMP).any(axis=1)
        sends = from_ramp[entry] & (held.elements.lengths > 0)
        if (colour[sends] >= 0).any():
            raise broken(f"link {link.name}", "one colour on which a core sends", "two")
        colour[sends] = settings.colour
    silent = np.flatnonzero((colour < 0) & (held.elements.lengths > 0))
    if silent.size:
        y, x = divmod(int(silent[0]), producer.mesh.width)
        raise broken(
            f"link {link.name}",
            "a way for the words of each core",
            f"column {x}, row {y} of {producer.name} has none",
        )
    return Sending(colour, held.elements, held.places)


def _host_sends(
    flows: Sequence[Flow],
    followed: Sequence[Streams],
    streams: Sequence[_Stream],
    sent: list[NDArray[np.int64]],
) -> list[HostStream]:
    """The streams of the host, whose words are counted in `sent`."""
    found = []
    for stream in streams:
        flow, ends = flows[stream.circuit], followed[stream.circuit]
        entries = ends.source[ends.source_stream == stream.number]
        if entries.size != 1 or flow.settings.core[entries[0]] % flow.settings.width:
            raise broken(
                flow.settings.place(int(entries[0])),
                "one lane from the west edge for each stream",
                "another source",
            )
        sent[stream.circuit][entries[0]] = stream.elements.size
        found.append(HostStream(int(flow.settings.core[entries[0]]), flow.settings.colour, stream.elements))
    return found


def _host_takes(flows: Sequence[Flow], streams: Sequence[_Stream]) -> list[HostStream]:
    found = []
    for stream in streams:
        settings = flows[stream.circuit].settings
        cores = settings.core[stream.seen_by]
        if cores.size != 1 or int(cores[0]) % settings.width != settings.width - 1:
            raise broken(
                settings.name, "streams that end at the east edge, one lane each", f"{cores.size} ends"
            )
        found.append(HostStream(int(cores[0]), settings.colour, stream.elements))
    return found
