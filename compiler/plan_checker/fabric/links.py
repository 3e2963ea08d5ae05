"""Links as a whole: all streams of a link together begin and end where they should, and deliver what is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.delivery import (
    Arrival,
    Dealt,
    check_dealt,
    check_direct,
    deal,
    direct_words,
    stream_elements,
)
from wsec.compiler.plan_checker.fabric.holders import held_elements
from wsec.compiler.plan_checker.fabric.landing import MOST_EXCHANGES
from wsec.compiler.plan_checker.findings import DELIVERY, STREAM, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, KernelOutput, Link, Rectangle
    from wsec.compiler.plan_checker.fabric.streams import Streams

    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """What a link without faults moves for one sample, in elements.

    Attributes:
        link: The link.
        streams: Of its circuits.
        sent: By each core of the gather trees, in the order of their cells, circuit by circuit.
        lane_words: Along each lane, circuit by circuit.
        dealt: Who sends it on; None of direct links and towards the host.
    """

    link: Link
    streams: tuple[Streams, ...]
    sent: tuple[Integers, ...]
    lane_words: tuple[Integers, ...]
    dealt: Dealt | None


def follow_link(
    link: Link, ends: tuple[Kernel | None, Kernel | None], streams: Sequence[Streams], width: int
) -> tuple[Flow | None, list[Finding]]:
    """What a link moves, and what is wrong with that; no flow where something is.

    Args:
        link: The link.
        ends: Producer and consumer; None for what is outside.
        streams: Of all of its circuits, without a fault.
        width: Columns of the region.
    """
    source, target = ends
    findings = list(_check_exchanges(link, target))
    output = None
    if source is not None:
        output = next((item for item in source.outputs if item.tensor == link.tensor), None)
        if output is None:  # found already, by who looks at links
            return None, []
        findings += _check_begin(link, source, output, streams, width)
    if target is not None:
        findings += _check_end(link, target, streams, width)
    if findings:
        return None, findings
    elements = ends_of_lanes = None
    if source is not None and output is not None:
        cores = _local(_joined([each.gathered.ends for each in streams]), source.rectangle, width)
        lane_ends = _joined_ends([each.gathered.end_ends for each in streams])
        elements, ends_of_lanes = stream_elements(output.sharding, source.mesh, cores, lane_ends)
    dealt = None
    if target is not None:
        arrival = _arrival(streams, target.rectangle, width, elements, ends_of_lanes)
        if link.direct:
            findings += check_direct(link, target.mesh, arrival)
            lane_words = direct_words(link, target.mesh, arrival)
        else:
            dealt = deal(link, target.mesh, arrival)
            findings += check_dealt(link, target, dealt)
            lane_words = dealt.lane_words
    elif ends_of_lanes is not None:
        lane_words = np.diff(ends_of_lanes)
    else:
        return None, findings
    lanes = np.cumsum([len(each.lanes.numbers) for each in streams])[:-1]
    sent = tuple(_sent(each, source, output, width) for each in streams)
    return Flow(link, tuple(streams), sent, tuple(np.split(lane_words, lanes)), dealt), findings


def _check_exchanges(link: Link, target: Kernel | None) -> Iterator[Finding]:
    where = f"link {link.name}"
    if link.exchanges and (target is None or link.direct):
        rule = "words that are not dealt are not exchanged"
        yield Finding(DELIVERY, rule, where, "no exchange", count(len(link.exchanges), "exchange"))
    if link.direct and target is None:
        rule = "the host takes words as they come"
        yield Finding(DELIVERY, rule, where, "a link that is not direct", "a direct one")
    for exchange in link.exchanges:
        if exchange.segment < 1 or not 0 <= exchange.offset < exchange.segment:
            rule = "exchanges cut lines in segments, of which the first may be shorter"
            found = f"segments of {exchange.segment}, the first of {exchange.offset}"
            yield Finding(DELIVERY, rule, where, "segments of at least 1 core", found)
    for side in ("rows", "columns"):
        times = sum(1 for exchange in link.exchanges if exchange.along == side)
        if times > MOST_EXCHANGES:
            rule = "a link is exchanged a few times along each side"
            yield Finding(DELIVERY, rule, f"{where}, {side}", f"at most {MOST_EXCHANGES}", str(times))


def _check_begin(
    link: Link, source: Kernel, output: KernelOutput, streams: Sequence[Streams], width: int
) -> Iterator[Finding]:
    held = held_elements(output.sharding, source.mesh) > 0
    begun = _times(_joined([each.gathered.ends for each in streams]), source.rectangle, width)
    for each in streams:  # the root of a tree that holds nothing sends no words
        alone = np.flatnonzero(np.diff(each.gathered.end_ends) == 1)
        cores = each.gathered.ends[each.gathered.end_ends[alone]]
        roots = cores == each.lanes.corners[alone, 0, 1] * width + each.lanes.corners[alone, 0, 0]
        empty = _times(cores[roots], source.rectangle, width).astype(np.bool_) & ~held
        begun[empty] = 0
    rule = "streams of a link begin at the cores that hold the tensor, and nowhere else"
    yield from _check_cores(rule, link, held, begun, source.rectangle)


def _check_end(link: Link, target: Kernel, streams: Sequence[Streams], width: int) -> Iterator[Finding]:
    ended = _times(_joined([each.spread.ends for each in streams]), target.rectangle, width)
    rule = "streams of a link end at each core of the consumer"
    yield from _check_cores(rule, link, np.ones(ended.shape, np.bool_), ended, target.rectangle)


def _check_cores(
    rule: str, link: Link, wanted: Bools, times: Integers, place: Rectangle
) -> Iterator[Finding]:
    for wrong, what in (
        (wanted & (times == 0), "they leave out"),
        (~wanted & (times > 0), "they have beside these"),
        (times > 1, "they have twice"),
    ):
        if wrong.any():
            y, x = np.unravel_index(int(wrong.argmax()), wrong.shape)
            number = count(int(wrong.sum()), "core")
            found = f"{number} that {what}, the first at x={place.x + x}, y={place.y + y}"
            yield Finding(STREAM, rule, f"link {link.name}", count(int(wanted.sum()), "core"), found)


def _arrival(
    streams: Sequence[Streams],
    place: Rectangle,
    width: int,
    elements: NDArray[np.int32] | None,
    ends: Integers | None,
) -> Arrival:
    group_ends = _joined_ends([each.spread.end_ends for each in streams])
    cores = _local(_joined([each.spread.ends for each in streams]), place, width)
    lanes = np.repeat(np.arange(len(group_ends) - 1), np.diff(group_ends))
    order = np.lexsort((cores, lanes))
    return Arrival(elements, group_ends if ends is None else ends, cores[order], group_ends)


def _sent(streams: Streams, source: Kernel | None, output: KernelOutput | None, width: int) -> Integers:
    if source is None or output is None:
        return np.zeros(0, np.int64)
    sizes = held_elements(output.sharding, source.mesh)
    cells = _local(streams.gathered.cells, source.rectangle, width)
    return sizes.reshape(-1)[cells]


def _times(cores: Integers, place: Rectangle, width: int) -> Integers:
    """How often each core of a rectangle is among those, [height, width]."""
    local = _local(cores, place, width)
    return np.bincount(local, minlength=place.height * place.width).reshape(place.height, place.width)


def _local(cores: Integers, place: Rectangle, width: int) -> Integers:
    """Numbers of cores of the region as those of the rectangle."""
    return (cores // width - place.y) * place.width + cores % width - place.x


def _joined(parts: list[Integers]) -> Integers:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _joined_ends(parts: list[Integers]) -> Integers:
    sizes = [np.diff(part) for part in parts]
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(_joined(sizes))])
