"""Says why a simulation does not get on: who waits for whom, on which core and colour, behind which switch or filter.

Everything that stands still waits for all of its causes, so following one of them, step by step, ends in a proof:
either in a program that is over, or in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.assembly import Field
from wsec.runtime.simulator.engines import WAITS_FOR_INPUT, WAITS_FOR_OUTPUT, WAITS_FOR_TASK, Engines
from wsec.runtime.simulator.route_table import OPPOSITE, STEP_X, STEP_Y
from wsec.runtime.simulator.router_building import ways_of_cores
from wsec.runtime.simulator.routers import CAPACITY, CLOSED, HEAD, LEFT, TAIL, TURN, TURNING, Routers
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from wsec.runtime.simulator.program_placement import Placement
    from wsec.runtime.simulator.route_table import RouteTable

_Place = tuple[str, int]
"""What stands still: `core`, `queue` (one with words), `empty` (one without), and its number."""

_SHOWN: Final = 8
"""Lines of a message that list waiting programs or links of a chain; the others are counted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One link of a chain: a core or the queue of a colour in a router, what it waits for, and the next link.

    Attributes:
        core: y * width + x.
        colour: -1 for a core whose program is over.
        text: What stands still, and why; empty for what only passes on that nothing came to it.
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

    def setting(self, core: int, colour: int) -> int:
        return int(self.table.find(np.array([core]), np.array([colour]))[0])

    def holder(self, entry: int) -> _Place:
        """The entry, as one with words or without."""
        return ("queue" if self.words(entry) else "empty"), entry

    def position(self, setting: int) -> tuple[int, int]:
        """Where a switch stands, -1 if nowhere, and how many words of its turn are left; 0: it never moves."""
        first, routers = int(self.table.first_position[setting]), self.routers
        counter = int(routers.counter[self.table.position_entry[first]])
        if counter < 0:
            return first, 0
        if routers.first_turn[counter] == routers.first_turn[counter + 1]:
            return -1, 0
        turn, left = routers.turning[counter, TURN], routers.turning[counter, LEFT]
        return int(routers.turn_choice[turn]), int(left)


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
    seen: dict[_Place, int] = {}
    at: _Place | None = _first_waiting(fabric)
    while at is not None:
        if at in seen:
            return chain[seen[at] :], True
        seen[at] = len(chain)
        link, at = _FOLLOW[at[0]](fabric, at[1])
        chain.append(link)
    return chain, False


def _first_waiting(fabric: _Fabric) -> _Place:
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


def _follow_core(fabric: _Fabric, core: int) -> tuple[Waiting, _Place | None]:
    engine, name = int(fabric.placement.engine[core]), fabric.name(core)
    if engine < 0:
        return Waiting(core, -1, f"core {name} has no program"), None
    if fabric.engines.finished[engine] >= 0:
        return Waiting(core, -1, f"core {name} has come to the end of its program"), None
    waiting = _waiting_line(fabric, engine)
    if waiting is None:
        return Waiting(core, -1, f"core {name} waits for a task of its own that never ends"), None
    cause, number = waiting
    colour = int(np.unique(fabric.table.setting_colour)[number])
    if cause == WAITS_FOR_OUTPUT:
        entry = int(fabric.engines.outbox[engine, number])
        return Waiting(core, colour, f"core {name} waits to send on colour {colour}"), ("queue", entry)
    queue = int(fabric.engines.inbox[engine, number])
    text = f"core {name} waits to receive on colour {colour}{_dropped(fabric, queue)}"
    link, at = _look_up_stream(fabric, fabric.setting(core, colour), Port.RAMP)
    return Waiting(core, colour, f"{text}\n{link.text}" if link.text else text), at


def _dropped(fabric: _Fabric, queue: int) -> str:
    """What the filter of a way into a core has still to drop, if it drops."""
    routers = fabric.routers
    if not routers.marks[queue] & TURNING:
        return ""
    turn, left = routers.turning[routers.counter[queue]]
    return f", where a filter drops {left} more words" if routers.turn_choice[turn] else ""


def _look_up_stream(fabric: _Fabric, setting: int, port: int | None) -> tuple[Waiting, _Place | None]:
    """Why nothing leaves a router by a port: the switch stands elsewhere, or no word came to the entry behind it."""
    table = fabric.table
    core, colour = int(table.setting_core[setting]), int(table.setting_colour[setting])
    position, left = fabric.position(setting)
    if position < 0:
        return Waiting(core, colour, f"router {fabric.name(core)} lets no word of colour {colour} pass"), None
    text = ""
    if port is None or not table.outputs[position, port]:
        text = f"router {fabric.name(core)} stays at {table.position(position)} of colour {colour} for {left} more words"
    return Waiting(core, colour, text), fabric.holder(int(table.position_entry[position]))


def _follow_empty(fabric: _Fabric, entry: int) -> tuple[Waiting, _Place | None]:
    """An entry without words waits for its core, or for the router that it takes its words from."""
    table = fabric.table
    core, source = int(table.core[entry]), int(table.source[entry])
    colour = int(table.setting_colour[table.setting[entry]])
    if source == Port.RAMP:
        return Waiting(core, colour, ""), ("core", core)
    beyond = core + int(STEP_X[source]) + int(STEP_Y[source]) * table.width
    return _look_up_stream(fabric, fabric.setting(beyond, colour), int(OPPOSITE[source]))


def _follow_queue(fabric: _Fabric, queue: int) -> tuple[Waiting, _Place | None]:
    routers, table = fabric.routers, fabric.table
    if queue >= table.source.size:
        return _follow_ramp(fabric, queue)
    setting = int(table.setting[queue])
    core, colour = int(table.setting_core[setting]), int(table.setting_colour[setting])
    if routers.ports[queue] & CLOSED:
        side = Port(int(table.source[queue])).name.lower()
        text = f"words from the {side} wait in router {fabric.name(core)}"
        link, at = _look_up_stream(fabric, setting, None)
        return Waiting(core, colour, f"{text}\n{link.text}"), at
    for output in range(routers.outputs[queue, 0], routers.outputs[queue, 1]):
        target = int(routers.output_queue[output])
        if fabric.words(target) >= routers.queues[target, CAPACITY]:
            text = f"colour {colour} in router {fabric.name(core)} is full"
            return Waiting(core, colour, text, queued=True), ("queue", target)
    raise AssertionError("a queue that can move its word is not stuck")


def _follow_ramp(fabric: _Fabric, queue: int) -> tuple[Waiting, _Place]:
    """A queue into a core waits for the core's program."""
    setting = int(np.flatnonzero(ways_of_cores(fabric.table).into == queue)[0])
    core, colour = int(fabric.table.setting_core[setting]), int(fabric.table.setting_colour[setting])
    text = f"colour {colour} has {fabric.words(queue)} words that core {fabric.name(core)} does not receive"
    return Waiting(core, colour, text), ("core", core)


_FOLLOW: Final = {"core": _follow_core, "queue": _follow_queue, "empty": _follow_empty}


def _told(fabric: _Fabric, chain: list[Waiting]) -> list[str]:
    """The chain in lines, a run of queues of one colour as one line, a long chain with its middle left out."""
    lines: list[str] = []
    chain = [link for link in chain if link.text]
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
            lines += chain[at].text.splitlines()
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
    colour = int(np.unique(fabric.table.setting_colour)[waiting[1]])
    return f"core {name} waits to {'receive' if waiting[0] == WAITS_FOR_INPUT else 'send'} on colour {colour}"
