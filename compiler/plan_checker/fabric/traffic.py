"""Traffic: no port between routers is asked for more words in an interval than it carries, and no core for too many queues.

Loads count the words of one sample: of links along gather trees, lanes and spread trees, and, inside kernels, of exchanges and
collectives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.delivery import segments
from wsec.compiler.plan_checker.fabric.lines import axes_along, parents, segment_of
from wsec.compiler.plan_checker.fabric.loads import add_gathered, add_ways, exchange_loads
from wsec.compiler.plan_checker.findings import LOAD, QUEUE, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from wsec.compiler.plan import Collective, Kernel, Phase, Plan
    from wsec.compiler.plan_checker.fabric.links import Flow
    from wsec.compiler.sharding import MeshAxis
    from wsec.compiler.target import Fabric

    Loads = NDArray[np.float64]

_SIDES = ("north", "east", "south", "west")
_PORTS = {"rows": (1, 3), "columns": (2, 0)}
"""Numbers of the ports forwards and backwards."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Words of one sample by port (N, E, S, W) and core of the region: [4, height * width].

    Attributes:
        links: On the ways of links.
        inner: Inside kernels.
    """

    links: Loads
    inner: Loads


def check_queues(phase: Phase, fabric: Fabric) -> Iterator[Finding]:
    """Findings on kernels with more links and circuits of their own than a core has queues for."""
    own = {circuit.name for circuit in phase.circuits if circuit.purpose != "link"}
    for kernel in phase.kernels:
        coming = sum(1 for link in phase.links if link.target == kernel.name)
        going = sum(1 for link in phase.links if link.source == kernel.name)
        inside = kernel.name in own
        for links, more, queues, what in (
            (coming, 2 * inside, fabric.input_queues, "input"),
            (going, 1 * inside, fabric.output_queues, "output"),
        ):
            if links + more > queues:
                rule = f"a core has an {what} queue for each link and those of its own circuits"
                found = f"{count(links, 'link')} and {more} more"
                expected = f"at most {queues} {what} queues"
                yield Finding(QUEUE, rule, f"kernel {kernel.name}", expected, found)


def measure(phase: Phase, flows: Sequence[Flow], width: int, height: int) -> Traffic:
    """The words through all ports."""
    links, inner = (np.zeros((4, height * width)) for _ in range(2))
    kernels = {kernel.name: kernel for kernel in phase.kernels}
    for flow in flows:
        _add_flow(links, flow)
        if flow.link.target in kernels:
            _add_exchanges(inner, flow, kernels[flow.link.target], width)
    for kernel in phase.kernels:
        _add_collectives(inner, kernel, width)
    return Traffic(links, inner)


def check_loads(traffic: Traffic, phase: Phase, flows: Sequence[Flow], plan: Plan) -> Iterator[Finding]:
    """Findings on ports that are asked for too much: by the links of which one says how long it takes, and by all."""
    rate = plan.target.fabric.link_words_per_cycle
    for flow in flows:
        port, core, words = _busiest(traffic.links, flow)
        segment = _busiest_early_segment(flow)
        for most, what in (
            (words, _port(port, core, plan.region_width) if words else ""),
            (segment, "the busiest segment of its first exchanges"),
        ):
            if most > flow.link.interval * rate + _ROUNDING:
                rule = "a link leaves time for all words through its ports"
                expected = f"at least {int(np.ceil(most / rate))} cycles for {most:g} words through {what}"
                if most is words:
                    expected += f", of {_users(flows, port, core)}"
                found = f"{flow.link.interval} cycles"
                yield Finding(LOAD, rule, f"link {flow.link.name}, interval", expected, found)
    cycles = [kernel.cycles.total for kernel in phase.kernels]
    placed = plan.placement if phase.summary is None else phase.summary.placement
    interval = max([placed.interval, *cycles, *(link.interval for link in phase.links)])
    total = traffic.links + traffic.inner
    over = total > interval * rate + _ROUNDING
    if over.any():
        port, core = divmod(int(total.argmax()), total.shape[1])
        rule = "no port between routers is asked for more words than it carries in an interval"
        where = _port(port, core, plan.region_width)
        users = _users(flows, port, core)
        found = f"{total[port, core]:g} words, {traffic.inner[port, core]:g} of them inside a kernel, of {users}; {count(int(over.sum()), 'such port')}"
        yield Finding(LOAD, rule, where, f"at most {interval * rate} words in {interval} cycles", found)


_ROUNDING = 1e-6
"""Of fractions of words that elements narrower than a word take."""


def _add_flow(loads: Loads, flow: Flow) -> None:
    scale = _words_per_element(flow)
    for streams, sent, lane_words in zip(flow.streams, flow.sent, flow.lane_words, strict=True):
        gathered, run, spread = streams.given
        own = np.asarray(sent * scale, np.float64)
        add_gathered(loads, streams.gathered.cells, streams.gathered.parents, gathered, own)
        words = np.asarray(lane_words * scale, np.float64)
        add_ways(loads, streams.run.cells, streams.run.cell_ends, run, words)
        add_ways(loads, streams.spread.cells, streams.spread.cell_ends, spread, words)


def _words_per_element(flow: Flow) -> float:
    elements = int(np.prod(flow.link.sharding.shape, dtype=np.int64))
    return flow.link.words / elements if elements else 0.0


def _add_exchanges(loads: Loads, flow: Flow, kernel: Kernel, width: int) -> None:
    if flow.dealt is None:
        return
    for exchange, sends in zip(flow.link.exchanges, flow.dealt.sends, strict=True):
        turned = exchange.along == "columns"
        words = (sends.T if turned else sends) * _words_per_element(flow)
        low, high = segments([exchange], words.shape[1])
        for port, given in zip(_PORTS[exchange.along], exchange_loads(words, low[0], high[0]), strict=True):
            _inside(loads[port], kernel, width)[:] += given.T if turned else given


def _add_collectives(loads: Loads, kernel: Kernel, width: int) -> None:
    for along in ("rows", "columns"):
        axes = axes_along(kernel, along)
        sizes = {axis.name: axis.size for axis in axes}
        chosen = {each.axis: each for each in kernel.collectives if sizes.get(each.axis, 1) > 1}
        if not chosen:
            continue
        forwards, backwards = (np.zeros(segment_of(axes, list(chosen))) for _ in range(2))
        words = _words_along(kernel, chosen, {"reduce", "all_reduce"})
        if any(each.algorithm == "ring" for each in chosen.values()):
            for name, total in words.items():
                around = 2 * (sizes[name] - 1) * -(-total // sizes[name])
                forwards[:-1] += around
                backwards[1:] += around
        else:
            for name in chosen:
                above = parents(axes, chosen)
                for core, parent in enumerate(above):
                    if parent is not None and _axis_of(core, axes, chosen) == name:
                        backwards[parent + 1 : core + 1] += words[name]
            forwards[:-1] += max(_words_along(kernel, chosen, {"all_reduce"}).values())
        for port, line in zip(_PORTS[along], (forwards, backwards), strict=True):
            part = _inside(loads[port], kernel, width)
            part = part if along == "rows" else part.T
            part += np.tile(line, part.shape[1] // len(line))


def _words_along(kernel: Kernel, axes: Iterable[str], kinds: AbstractSet[str]) -> dict[str, int]:
    """Words of a core in all collectives of these kinds along each axis."""
    return {
        name: sum(
            each.words * each.times for each in kernel.collectives if each.axis == name and each.kind in kinds
        )
        for name in axes
    }


def _axis_of(core: int, axes: Sequence[MeshAxis], chosen: dict[str, Collective]) -> str:
    """The innermost of the axes that are combined on which a core is not the first."""
    spacing = 1
    for axis in reversed(axes):
        if axis.name in chosen and core // spacing % axis.size:
            return axis.name
        spacing *= axis.size
    return ""


def _inside(loads: Loads, kernel: Kernel, width: int) -> Loads:
    place = kernel.rectangle
    return loads.reshape(-1, width)[place.y : place.y + place.height, place.x : place.x + place.width]


def _busiest(loads: Loads, flow: Flow) -> tuple[int, int, float]:
    """The port on the ways of a link that most words pass, its core, and their number."""
    best = (0, 0, 0.0)
    for streams in flow.streams:
        parts = (streams.gathered, streams.run, streams.spread)
        for part, given in zip(parts, streams.given, strict=True):
            for port in range(4):
                cells = part.cells[given >> port & 1 == 1]
                if len(cells):
                    at = int(loads[port, cells].argmax())
                    best = max(
                        best, (port, int(cells[at]), float(loads[port, cells[at]])), key=lambda each: each[2]
                    )
    return best


def _busiest_early_segment(flow: Flow) -> float:
    """Words of the busiest segment of those exchanges that belong to the link: along the other side than the last."""
    if flow.dealt is None or not flow.link.exchanges:
        return 0.0
    most = 0.0
    for exchange, sends in zip(flow.link.exchanges, flow.dealt.sends, strict=True):
        if exchange.along != flow.link.exchanges[-1].along:
            words = sends.T if exchange.along == "columns" else sends
            low, _ = segments([exchange], words.shape[1])
            starts = np.unique(low[0])
            most = max(most, float(np.add.reduceat(words, starts, axis=1).max(initial=0)))
    return most * _words_per_element(flow)


def _users(flows: Sequence[Flow], port: int, core: int) -> str:
    """The links whose words pass a port, those with most first."""
    found = []
    for flow in flows:
        cores = np.concatenate(
            [part.cells for each in flow.streams for part in (each.gathered, each.run, each.spread)]
        )
        if core in cores:
            loads = np.zeros((4, int(cores.max()) + 1))
            _add_flow(loads, flow)
            if loads[port, core]:
                found.append((-loads[port, core], flow.link.name))
    found.sort()
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return (", ".join(f"{name} ({-words:g})" for words, name in found[:4]) or "no link") + more


def _port(port: int, core: int, width: int) -> str:
    return f"the {_SIDES[port]} port at x={core % width}, y={core // width}"
