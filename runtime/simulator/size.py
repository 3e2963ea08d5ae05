"""What a simulation would take, from its routes and programs alone, before anything is laid out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.instructions import Instruction, Loop, ReceiveCombineSend, Send, SendListed
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.runtime.simulator.instructions import ProgramArea
    from wsec.runtime.simulator.routes import Route
    from wsec.runtime.simulator.timing import FabricTiming

MEMORY_LIMIT_BYTES: Final = 4 * 2**30

_ENTRY_BYTES: Final = 300
"""An entry of the route table while it is laid out, without its queue: measured, `benchmarks/simulator.py`."""

_ENGINE_BYTES: Final = 200

_HOPS_PER_SECOND: Final = 8e6
"""A slow machine on a large grid, `benchmarks/simulator.py`."""


@dataclass(frozen=True, slots=True)
class SimulationSize:
    """What a simulation would take.

    Attributes:
        memory_bytes: At its peak.
        word_hops: Words times the links they cross, if the streams of a colour are about equally long.
        seconds: On one thread of a slow machine.
    """

    memory_bytes: int
    word_hops: float
    seconds: float


def simulation_size(
    routes: Sequence[Route], programs: Sequence[ProgramArea], fabric: FabricTiming
) -> SimulationSize:
    """The size of a simulation; takes no longer for a large grid than for a small one."""
    capacity = fabric.queue_words + max(fabric.hop_cycles, fabric.ramp_cycles + 1)
    queue_bytes = 8 * 2 ** math.ceil(math.log2(capacity)) + 16
    entries, sources, ways = Counter[int](), Counter[int](), 0
    for route in routes:
        cores = route.width * route.height
        ports = {position.source for position in route.positions}
        entries[route.colour] += cores * len(ports)
        sources[route.colour] += cores * (Port.RAMP in ports)
        ways += cores * any(Port.RAMP in position.outputs for position in route.positions)
    engines = sum(area.width * area.height for area in programs)
    memory_words = sum(area.width * area.height * area.memory_words for area in programs)
    listed_words = sum(each.addresses.size + 2 * each.starts.size for area in programs for each in area.lists)
    sent = Counter[int]()
    for area in programs:
        for body in (area.program.main, *area.program.tasks):
            for colour, words in _sent(body, area).items():
                sent[colour] += words
    hops = sum(words * entries[colour] / max(1, sources[colour]) for colour, words in sent.items())
    memory = entries.total() * (_ENTRY_BYTES + queue_bytes) + ways * queue_bytes
    memory += engines * _ENGINE_BYTES + 4 * memory_words + 4 * listed_words
    return SimulationSize(memory, hops, hops / _HOPS_PER_SECOND)


def check_size(
    routes: Sequence[Route],
    programs: Sequence[ProgramArea],
    fabric: FabricTiming,
    *,
    width: int,
    height: int,
    limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> SimulationSize:
    """The size of a simulation that fits.

    Raises:
        WsecError: WSEC350 it would take more memory than `limit_bytes`.
    """
    size = simulation_size(routes, programs, fabric)
    if size.memory_bytes <= limit_bytes:
        return size
    shrink = math.sqrt(limit_bytes / size.memory_bytes)
    smaller = f"{max(1, int(width * shrink))}x{max(1, int(height * shrink))}"
    raise WsecError(
        code="WSEC350",
        what="the simulation is too large",
        where=f"{width} x {height} cores",
        expected=f"at most {bytes_text(limit_bytes)}",
        found=f"{bytes_text(size.memory_bytes)} and about {seconds_text(size.seconds)} for {size.word_hops:.3g} words over links",
        hint=f"simulate a region of about {smaller}",
    )


def bytes_text(number: float) -> str:
    """Bytes in a unit in which they have few digits."""
    return _in_units(number, _BYTES)


def seconds_text(number: float) -> str:
    """Seconds in a unit in which they have few digits."""
    return _in_units(number, _SECONDS)


_Units = tuple[tuple[float, float, str], ...]

_BYTES: Final[_Units] = (
    (0, 1, "bytes"),
    (1e4, 1e3, "KB"),
    (1e6, 1e6, "MB"),
    (1e10, 1e9, "GB"),
    (1e13, 1e12, "TB"),
    (1e16, 1e15, "PB"),
)
"""From which amount on a unit is used, the unit, and its name."""

_SECONDS: Final[_Units] = (
    (0, 1, "s"),
    (600, 60, "minutes"),
    (4 * 3600, 3600, "hours"),
    (4 * 86400, 86400, "days"),
    (4 * 365 * 86400, 365 * 86400, "years"),
)
_MOST: Final = 10_000


def _in_units(number: float, units: _Units) -> str:
    unit, name = next((unit, name) for least, unit, name in reversed(units) if number >= least)
    return f"{number / unit:,.0f} {name}" if number < _MOST * unit else f"more than {_MOST:,} {name}"


def _sent(body: Sequence[Instruction], area: ProgramArea) -> Counter[int]:
    """Words sent by colour, by all cores of an area."""
    words, cores = Counter[int](), area.width * area.height
    for step in body:
        match step:
            case Send(colour=colour, count=count) | ReceiveCombineSend(sent=colour, count=count):
                words[colour] += count * cores
            case SendListed(colour, number):
                words[colour] += area.lists[number].addresses.size
            case Loop(count, inner):
                for colour, each in _sent(inner, area).items():
                    words[colour] += count * each
            case _:
                pass
    return words
