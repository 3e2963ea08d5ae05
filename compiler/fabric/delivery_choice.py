"""Which way the words of each link come home: the fewest cycles for which the kernel has memory.

Exchanges along the other side happen beside the work on earlier samples: they count where they take longer than an interval.
Those along the last side are part of the kernel's own cycles. Kernels and links come back with what was chosen and what it takes.

Ways are measured in turn, direct first. One that keeps the interval and asks no more of the kernel than its split counted is
taken as it is found; the others are measured only if memory is short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.fabric.delivery import deliveries, two_tilings
from wsec.compiler.fabric.delivery_cost import measure, more_bytes
from wsec.compiler.fabric.delivery_memory import fits, fitted
from wsec.compiler.fabric.holdings import held_words, item_bytes
from wsec.compiler.fabric.kernel_circuits import count_kernel_circuits
from wsec.compiler.fabric.link_fans import link_fans
from wsec.compiler.plan import Exchange
from wsec.compiler.routing.geometry import some_lanes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wsec.compiler.fabric.delivery import Tiling
    from wsec.compiler.fabric.delivery_cost import Way
    from wsec.compiler.fabric.link_fans import LinkFans
    from wsec.compiler.plan import Kernel, Link
    from wsec.compiler.sharding import Side
    from wsec.compiler.target import Target

    Arrival = tuple[Link, LinkFans]

_COLOURS_OF_TWO_TILINGS: Final = 4  # two along each side
_NARROWER: Final = 4  # times fewer lanes where so many words on some cores do not fit


@dataclass(frozen=True, slots=True)
class Delivered:
    """Kernels and links with their deliveries.

    Attributes:
        kernels: Their memory and cycles are those of what was chosen.
        links: Each direct, or with its exchanges; on fewer lanes where with all of them some cores got more words than fit.
        fans: Of each link.
        ways: How the words of each link come home, by its name.
        slot_bytes: Of a sample on the fullest core: of an input that waits, by kernel and role; of a kernel's result, by kernel and
            name of the tensor.
    """

    kernels: tuple[Kernel, ...]
    links: tuple[Link, ...]
    fans: tuple[LinkFans, ...]
    ways: dict[str, Way]
    slot_bytes: dict[tuple[str, str], int]


def deliver(
    kernels: Sequence[Kernel],
    arrivals: Sequence[Arrival],
    passing: Mapping[str, int],
    target: Target,
    interval: int,
) -> Delivered:
    """Choose a delivery for each link.

    Args:
        kernels: Of a phase.
        arrivals: The links of the phase with their routes, and the fans of each.
        passing: Cycles of exchanges that the split of each kernel counted, by name, which give way to those of the links.
        target: Gives the memory of a core and the speed of the fabric.
        interval: Cycles between two samples that links should keep.

    Raises:
        WsecError: WSEC344 where the words that come to a kernel do not fit its cores beside the rest.
    """
    by_name = {kernel.name: kernel for kernel in kernels}
    routed = {link.name: (link, fans) for link, fans in arrivals}
    coming: dict[str, list[Arrival]] = {}
    sent = {
        kernel.name: np.zeros(kernel.rectangle.width * kernel.rectangle.height, np.int64)
        for kernel in kernels
    }
    for link, fans in arrivals:
        coming.setdefault(link.target, []).append((link, fans))
        if link.source in sent and fans.held is not None:
            sent[link.source] += fans.held.reshape(-1)
    ways: dict[str, Way] = {}
    found = []
    slot_bytes: dict[tuple[str, str], int] = {}
    for kernel in kernels:
        communication = kernel.cycles.communication - passing.get(kernel.name, 0)
        own = replace(kernel, cycles=replace(kernel.cycles, communication=communication))
        inputs, best = _Choice(own, by_name, target, interval).of_inputs(coming.get(kernel.name, []))
        found.append(fitted(own, best, sent[kernel.name], target))
        slot_bytes |= {(kernel.name, role): way.slot_bytes for role, way in best.items()}
        slot_bytes |= {
            (kernel.name, item.tensor): item.sharding.block_elements * item_bytes(item.dtype)
            for item in kernel.outputs
        }
        for link, fans in inputs:
            ways[link.name] = best[link.role]
            routed[link.name] = link, fans
    samples = {(kernel.name, item.role): item.slots for kernel in found for item in kernel.inputs}
    links = tuple(_link(link, ways.get(link.name), samples) for link, _ in routed.values())
    return Delivered(tuple(found), links, tuple(fans for _, fans in routed.values()), ways, slot_bytes)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a choice for a kernel depends on: its record, those of all, the machine, and the interval that links should keep."""

    kernel: Kernel
    kernels: Mapping[str, Kernel]
    target: Target
    interval: int

    def of_inputs(self, inputs: list[Arrival]) -> tuple[list[Arrival], dict[str, Way]]:
        """A way for each role; where memory does not last, inputs come over fewer lanes, which reach more cores each."""
        every = {link.role: self._ways(link, fans) for link, fans in inputs}
        known = {role: self._first(ways) for role, ways in every.items()}
        while True:
            if self._more_bytes(self._fastest(known)) > self._room:
                for role, ways in every.items():
                    known[role] += ways
            best = _on_few_colours(self.kernel, self._best(known), self.target)
            wide = [
                at for at, (link, _) in enumerate(inputs) if sum(route.lanes for route in link.routes) > 1
            ]
            if not wide or fits(self.kernel, best, self.target):
                return inputs, best
            at = max(wide, key=lambda each: more_bytes(best[inputs[each][0].role], 1))
            narrower = self._narrower(inputs[at][0])
            inputs = [*inputs[:at], narrower, *inputs[at + 1 :]]
            role = narrower[0].role
            every[role] = self._ways(*narrower)
            known[role] = self._first(every[role])

    def _narrower(self, link: Link) -> Arrival:
        """The link on some of the lanes of its widest route, those in the middle."""
        widest = max(link.routes, key=lambda route: route.lanes)
        lanes = -(-widest.lanes // _NARROWER)
        routes = (some_lanes(widest, (widest.lanes - lanes) // 2, lanes),)
        producer = self.kernels.get(link.source)
        source, held = None, None
        if producer is not None:
            output = next(item for item in producer.outputs if item.tensor == link.tensor)
            source = producer.rectangle
            held = held_words(output, producer.mesh, self.target.fabric.word_bytes)
        return replace(link, routes=routes), link_fans(routes, source, self.kernel.rectangle, held)

    def _ways(self, link: Link, fans: LinkFans) -> Iterator[Way]:
        """Every delivery of an input, measured as it is asked for."""
        kernel = self.kernel
        entry = next(item for item in kernel.inputs if item.role == link.role)
        producer = self.kernels.get(link.source)
        produced = None
        if producer is not None and fans.gather is not None:
            output = next(item for item in producer.outputs if item.tensor == link.tensor)
            produced = output.sharding, producer.mesh
        if fans.spread is None:
            raise ValueError(f"link {link.name} has no end in its consumer")
        found = deliveries(produced, fans.gather, (entry.sharding, kernel.mesh), fans.spread)
        return (measure(delivery, kernel, entry, self.target) for delivery in found)

    def _first(self, ways: Iterator[Way]) -> list[Way]:
        """Ways up to the first that costs nothing: within the interval, with no more of the kernel's cycles than counted."""
        found = []
        for way in ways:
            found.append(way)
            if max(way.lane, way.early_words) <= self.interval and way.late + way.transfer <= 0:
                break
        return found

    def _best(self, ways: Mapping[str, Sequence[Way]]) -> dict[str, Way]:
        """Fewest cycles first; where memory does not last, those that need least of it instead."""
        chosen = self._fastest(ways)
        for role in sorted(ways, key=lambda role: -_more(chosen[role])):
            if self._more_bytes(chosen) <= self._room:
                break
            chosen[role] = min(ways[role], key=lambda way: (_more(way), self._cycles(way)))
        return chosen

    def _fastest(self, ways: Mapping[str, Sequence[Way]]) -> dict[str, Way]:
        return {role: min(each, key=self._cycles) for role, each in ways.items()}

    @property
    def _room(self) -> int:
        return self.target.core.sram_bytes - self.kernel.memory.total

    def _more_bytes(self, ways: Mapping[str, Way]) -> int:
        return sum(map(_more, ways.values()))

    def _cycles(self, way: Way) -> tuple[int, int, int]:
        """Of the interval where it is longer than it should be and of the kernel; of the sample; and bytes."""
        longest = max(self.interval, way.lane, way.early_words)
        work = way.late + way.transfer
        return longest + work, way.early + work, way.slot_bytes


def _more(way: Way) -> int:
    return more_bytes(way, way.entry.slots)


def _on_few_colours(kernel: Kernel, ways: dict[str, Way], target: Target) -> dict[str, Way]:
    """The same ways, with equal tilings of all inputs where the kernel has not colours enough for different ones."""
    exchanges = {each for way in ways.values() for each in way.delivery.exchanges if each.segment > 1}
    left = target.fabric.kernel_colours - count_kernel_circuits(kernel)
    if len(exchanges) <= left:
        return ways
    tilings: dict[Side, Tiling] = {}
    lengths: dict[Side, int] = {"rows": kernel.mesh.width, "columns": kernel.mesh.height}
    for side, cores in lengths.items():
        far = max((way.delivery.farthest.get(side, 0) for way in ways.values()), default=0)
        two = 2 * far < cores and left >= _COLOURS_OF_TWO_TILINGS
        tilings[side] = two_tilings(side, far) if two and far else (Exchange(side, cores),)
    return {role: way.measured(way.delivery.tiled(tilings)) for role, way in ways.items()}


def _link(link: Link, way: Way | None, slots: Mapping[tuple[str, str], int]) -> Link:
    if way is None:
        return link
    delivery = way.delivery
    held = slots[link.target, link.role]
    return replace(link, direct=delivery.direct, exchanges=delivery.exchanges, slots=held)
