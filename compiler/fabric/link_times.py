"""How long the links of a phase take, with all words on the ports of routers: lanes, fans, and exchanges inside kernels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collectives import all_reduce_ring, broadcast, flight_cycles, reduction
from wsec.compiler.routing.fan_traffic import FanTraffic, LoadedLink, loaded, longest_way

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.delivery_choice import Delivered
    from wsec.compiler.fabric.delivery_cost import Way
    from wsec.compiler.fabric.link_fans import LinkFans
    from wsec.compiler.plan import Kernel, Link, Rectangle
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.sharding import Side
    from wsec.compiler.target import Target


def timed(home: Delivered, links: Sequence[RoutingLink], target: Target) -> tuple[Link, ...]:
    """The links with their cycles, and the least cycles between two samples, that follow from all loads together.

    A sample that meets no other takes the words of its busiest lane and its way, where it comes from the host with those of
    other inputs that come at once; between two samples all words on a port count.
    Exchanges of a link happen as soon as a sample is there: they add to its cycles. Those of the kernel are in the kernel's
    cycles; their words are on the same wires. So are those of collectives, which are not followed port by port: the words
    through the busiest port of each are added to every link at the kernel, as if all of them and its lanes shared one. Where
    they do not, the interval is an upper bound.

    Args:
        home: Links and how their words come home.
        links: What routing joined, in the same order.
        target: Gives the grid and the speed of the fabric.
    """
    grid, fabric = target.grid, target.fabric
    carried = [
        _loaded(link, each, fans, home.ways.get(link.name))
        for link, each, fans in zip(home.links, links, home.fans, strict=True)
    ]
    traffic = FanTraffic(carried, width=grid.width, height=grid.height)
    for link, each in zip(home.links, links, strict=True):
        for rectangle, along, words in _exchanged(each, home.ways.get(link.name)):
            traffic.exchange(rectangle, along, words)
    from_host = [each for each in carried if each.link.source is None]
    host = FanTraffic(from_host, width=grid.width, height=grid.height)
    inside = {kernel.name: _words_of_collectives(kernel) for kernel in home.kernels}
    found = []
    for link, those in zip(home.links, carried, strict=True):
        way = home.ways.get(link.name)
        exchanged = [traffic.busiest_exchange(*words) for words in _exchanged(those.link, way)]
        lanes = traffic.busiest(those)
        beside = max(inside.get(link.source, 0), inside.get(link.target, 0))
        interval = -(-(max([lanes, *exchanged]) + beside) // fabric.link_words_per_cycle)
        own = host.busiest(those) if those.link.source is None else int(those.words.max(initial=0))
        own = -(-own // fabric.link_words_per_cycle)
        flight = own + flight_cycles(longest_way(those), fabric)
        early = 0 if way is None else way.early
        found.append(replace(link, cycles=flight + early, interval=interval))
    return tuple(found)


def _words_of_collectives(kernel: Kernel) -> int:
    """Words through the busiest port of each collective, together: those that the contention of its algorithm counts."""
    words = 0.0
    for each in kernel.collectives:
        cores = kernel.mesh.size(each.axis)
        if each.algorithm == "ring":
            words += each.times * float(all_reduce_ring(each.words, cores).contention)
            continue
        words += each.times * float(reduction(each.algorithm, each.words, cores, group=each.group).contention)
        if each.kind == "all_reduce":
            words += each.times * float(broadcast(each.words, cores).contention)
    return math.ceil(words)


def _loaded(link: Link, each: RoutingLink, fans: LinkFans, way: Way | None) -> LoadedLink:
    """The link with the words that its lanes carry: of those from the host, the ones that land or are needed there."""
    found = loaded(each, link.routes, fans)
    if way is None or each.source is not None:
        return found
    return replace(found, words=np.ceil(way.delivery.lanes * way.words_of_element).astype(np.int64))


def _exchanged(each: RoutingLink, way: Way | None) -> Iterator[tuple[Rectangle, Side, NDArray[np.int64]]]:
    """The exchanges of a link: where, along which side, and the words that each core sees."""
    if way is None or each.target is None:
        return
    for load in (*way.delivery.early, *way.delivery.late):
        if load.elements:
            seen = load.seen(each.target.height, each.target.width) * way.words_of_element
            yield each.target, load.exchange.along, np.ceil(seen).astype(np.int64)
