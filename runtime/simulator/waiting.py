"""Says why a simulation does not get on: who waits for whom, on which core and colour.

Everything that stands still waits for all of its causes, so following one of them, step by step, ends in a proof:
either in a program that is over, or in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.core_programs import Field
from wsec.runtime.simulator.engines import WAITS_FOR_INPUT, WAITS_FOR_OUTPUT, WAITS_FOR_TASK, Engines
from wsec.runtime.simulator.routers import CAPACITY, HEAD, TAIL, Routers
from wsec.runtime.simulator.routes import Port, RouteTable

if TYPE_CHECKING:
    from wsec.runtime.simulator.building import Placement

_SHOWN: Final = 8
"""Lines of a message that list waiting programs or links of a chain; the others are counted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One link of a chain: a core or the queue of a colour in a router, what it waits for, and the next link.

    Attributes:
        core: y * width + x.
        colour: -1 for a core whose program is over.
        text: What stands still, and why.
        queued: Whether it is a queue; a run of such of one colour is told as one.
    """

    core: int
    colour: int
    text: str
    queued: bool = False


@dataclass(frozen=True, slots=True)
class _Fabric:
    table: RouteTable
    placement: Placement
    routers: Routers
    engines: Engines

    def words(self, queue: int) -> int:
        return int(self.routers.queues[queue, TAIL] - self.routers.queues[queue, HEAD])

    def name(self, core: int) -> str:
        y, x = divmod(core, self.table.width)
        return f"({x}, {y})"


def waiting_error(
    table: RouteTable, placement: Placement, routers: Routers, engines: Engines, *, cycles: int, stuck: bool
) -> WsecError:
    """WSEC594 with a chain of waiting if nothing can happen any more, WSEC595 with what was waiting if time was over."""
    fabric = _Fabric(table, placement, routers, engines)
    unfinished = np.flatnonzero(engines.finished < 0)
    left = int((routers.queues[:, TAIL] - routers.queues[:, HEAD]).sum())
    state = (
        f"{unfinished.size} of {engines.finished.size} programs are not over, {left} words are on their way"
    )
    if not stuck:
        lines = [_engine_state(fabric, int(engine)) for engine in unfinished[:_SHOWN]]
        more = [f"... and {unfinished.size - _SHOWN} more"] if unfinished.size > _SHOWN else []
        return WsecError(
            code="WSEC595",
            what="the simulation was cut off before it was over",
            where=f"cycle {cycles}",
            found="\n".join([state, *lines, *more]),
            hint="allow more cycles, or simulate a smaller region",
        )
    chain, circular = find_chain(fabric)
    lines = _told(fabric, chain)
    return WsecError(
        code="WSEC594",
        what="the fabric waits in a circle" if circular else "the fabric waits for what never comes",
        where=f"cycle {cycles}",
        found="\n".join([state, *lines, "which closes the circle"] if circular else [state, *lines]),
        hint="the plan is broken: compile it again, and report it if that does not help",
    )


def find_chain(fabric: _Fabric) -> tuple[list[Waiting], bool]:
    """A chain of waiting from the first core or queue that stands still, and whether it is a circle."""
    chain: list[Waiting] = []
    seen: dict[tuple[str, int], int] = {}
    at = _first_waiting(fabric)
    while at is not None:
        if at in seen:
            return chain[seen[at] :], True
        seen[at] = len(chain)
        kind, index = at
        link, at = (_follow_core if kind == "core" else _follow_queue)(fabric, index)
        chain.append(link)
    return chain, False


def _first_waiting(fabric: _Fabric) -> tuple[str, int] | None:
    unfinished = np.flatnonzero(fabric.engines.finished < 0)
    if unfinished.size:
        return "core", int(fabric.placement.cores[unfinished[0]])
    queues = fabric.routers.queues
    return "queue", int(np.flatnonzero(queues[:, TAIL] != queues[:, HEAD])[0])


def _waiting_line(fabric: _Fabric, engine: int) -> tuple[int, int] | None:
    """What the first task that waits for the fabric waits for, and the colour as the engine numbers it."""
    engines = fabric.engines
    for task in range(engines.running.shape[1]):
        cause = int(engines.waits_for[engine, task])
        if engines.running[engine, task] and cause in {WAITS_FOR_INPUT, WAITS_FOR_OUTPUT}:
            field = Field.RECEIVED if cause == WAITS_FOR_INPUT else Field.SENT
            return cause, int(engines.code[engines.line[engine, task], field])
    return None


def _follow_core(fabric: _Fabric, core: int) -> tuple[Waiting, tuple[str, int] | None]:
    engine, name = int(fabric.placement.engine[core]), fabric.name(core)
    if engine < 0:
        return Waiting(core, -1, f"core {name} has no program"), None
    if fabric.engines.finished[engine] >= 0:
        return Waiting(core, -1, f"core {name} has come to the end of its program"), None
    waiting = _waiting_line(fabric, engine)
    if waiting is None:
        return Waiting(core, -1, f"core {name} waits for a task of its own that never ends"), None
    cause, number = waiting
    colour = int(np.unique(fabric.table.colour)[number])
    if cause == WAITS_FOR_OUTPUT:
        entry = int(fabric.engines.outbox[engine, number])
        return Waiting(core, colour, f"core {name} waits to send on colour {colour}"), ("queue", entry)
    entry = int(fabric.table.find(np.array([core]), np.array([colour]))[0])
    return Waiting(core, colour, f"core {name} waits to receive on colour {colour}"), _sender(fabric, entry)


def _sender(fabric: _Fabric, entry: int) -> tuple[str, int]:
    """The nearest queue up the stream that holds a word, or the core that should send one."""
    table = fabric.table
    while not fabric.words(entry):
        if table.source[entry] == Port.RAMP:
            return "core", int(table.core[entry])
        beyond = _beyond(fabric, entry)
        entry = int(table.find(np.array([beyond]), table.colour[entry : entry + 1])[0])
    return "queue", entry


def _beyond(fabric: _Fabric, entry: int) -> int:
    """The core that an entry takes its words from."""
    core, width = int(fabric.table.core[entry]), fabric.table.width
    return (
        core
        + {Port.NORTH: -width, Port.EAST: 1, Port.SOUTH: width, Port.WEST: -1}[
            Port(int(fabric.table.source[entry]))
        ]
    )


def _follow_queue(fabric: _Fabric, queue: int) -> tuple[Waiting, tuple[str, int] | None]:
    routers, table = fabric.routers, fabric.table
    if queue >= table.core.size:
        return _follow_ramp(fabric, queue)
    core, colour = int(table.core[queue]), int(table.colour[queue])
    text = f"colour {colour} in router {fabric.name(core)} is full"
    for output in range(routers.first_output[queue], routers.first_output[queue + 1]):
        target = int(routers.output_queue[output])
        if fabric.words(target) >= routers.queues[target, CAPACITY]:
            return Waiting(core, colour, text, queued=True), ("queue", target)
    raise AssertionError("a queue that can move its word is not stuck")


def _follow_ramp(fabric: _Fabric, queue: int) -> tuple[Waiting, tuple[str, int]]:
    """A queue into a core waits for the core's program."""
    outputs = fabric.routers.output_queue
    output = int(np.flatnonzero(outputs == queue)[0])
    entry = int(np.searchsorted(fabric.routers.first_output, output, side="right")) - 1
    core, colour = int(fabric.table.core[entry]), int(fabric.table.colour[entry])
    text = f"colour {colour} has {fabric.words(queue)} words that core {fabric.name(core)} does not receive"
    return Waiting(core, colour, text), ("core", core)


def _told(fabric: _Fabric, chain: list[Waiting]) -> list[str]:
    """The chain in lines, a run of queues of one colour as one line, a long chain with its middle left out."""
    lines: list[str] = []
    at = 0
    while at < len(chain):
        end = at + 1
        while (
            end < len(chain)
            and chain[end].queued
            and chain[at].queued
            and chain[end].colour == chain[at].colour
        ):
            end += 1
        if end - at > 1:
            first, last = fabric.name(chain[at].core), fabric.name(chain[end - 1].core)
            lines.append(f"colour {chain[at].colour} is full from router {first} to router {last}")
        else:
            lines.append(chain[at].text)
        at = end
    if len(lines) > 2 * _SHOWN:
        lines[_SHOWN:-_SHOWN] = [f"... {len(lines) - 2 * _SHOWN} more ..."]
    return lines


def _engine_state(fabric: _Fabric, engine: int) -> str:
    name = fabric.name(int(fabric.placement.cores[engine]))
    waiting = _waiting_line(fabric, engine)
    if waiting is None or fabric.engines.stall_cause[engine] not in {
        WAITS_FOR_INPUT,
        WAITS_FOR_OUTPUT,
        WAITS_FOR_TASK,
    }:
        return f"core {name} computes"
    colour = int(np.unique(fabric.table.colour)[waiting[1]])
    return f"core {name} waits to {'receive' if waiting[0] == WAITS_FOR_INPUT else 'send'} on colour {colour}"
