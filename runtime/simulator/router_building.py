"""Lays out the arrays of the routers, from the table of routes, turns and timings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.simulator.routers import (
    BLOCK,
    CAPACITY,
    CLOSED,
    LATENCY,
    LEFT,
    TURN,
    TURNING,
    WITH_ENGINE,
    Routers,
)
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.simulator.program_placement import Placement
    from wsec.runtime.simulator.route_table import RouteTable
    from wsec.runtime.simulator.switching import Turns
    from wsec.runtime.simulator.timing import FabricTiming


@dataclass(frozen=True, slots=True)
class Ways:
    """Into and out of cores, by setting.

    Attributes:
        into: int64 [settings], the queue into the core; -1 where no word comes in.
        out: int64 [settings], the entry out of the core; -1 where none leaves.
    """

    into: NDArray[np.int64]
    out: NDArray[np.int64]


def ways_of_cores(table: RouteTable) -> Ways:
    """Queues into cores are numbered behind the entries."""
    settings, entries = table.setting_core.size, table.source.size
    comes_in = np.zeros(settings, np.bool_)
    comes_in[table.position_setting[table.outputs[:, Port.RAMP]]] = True
    out = np.full(settings, -1, np.int64)
    from_core = np.flatnonzero(table.source == Port.RAMP)
    out[table.setting[from_core]] = from_core
    return Ways(np.where(comes_in, entries + np.cumsum(comes_in) - 1, -1), out)


def build_routers(
    table: RouteTable,
    placement: Placement,
    timing: FabricTiming,
    bands: int,
    *,
    switches: Turns,
    filters: Turns,
) -> Routers:
    """The routers of a table, empty. Queues are those of its entries, then one for each way into a core."""
    entries, cores, ways = table.source.size, table.width * table.height, ways_of_cores(table)
    into_core, from_core = np.flatnonzero(ways.into >= 0), table.source == Port.RAMP
    queues = _queues(from_core, into_core.size, timing)
    target = table.next_entry.copy()
    to_ramp = table.outputs[:, Port.RAMP]
    target[to_ramp, Port.RAMP] = ways.into[table.position_setting[to_ramp]]
    slots = 1 << int(queues[:, CAPACITY].max(initial=1) - 1).bit_length()
    engine = np.where(
        np.concatenate([from_core, np.ones(into_core.size, np.bool_)]),
        placement.engine[np.concatenate([table.core, table.setting_core[into_core]])],
        np.int32(-1),
    )
    position_ports = (table.outputs @ (1 << np.arange(len(Port)))).astype(np.uint8)
    position_output = np.concatenate([[0], np.cumsum(table.outputs.sum(axis=1))]).astype(np.int32)
    turning, first_turn = _first_turns(switches, filters)
    counter = np.full(len(queues), -1, np.int32)
    _set_counters(counter, table.setting, switches.owner, 0)
    _set_counters(counter[entries:], into_core, filters.owner, switches.owner.size)
    ports, outputs = _open_ways(table, switches, position_ports, position_output)
    return Routers(
        first_entry=np.searchsorted(table.core, np.arange(cores + 1)).astype(np.int32),
        router=table.core.astype(np.int32),
        engine=engine,
        marks=((engine >= 0) * WITH_ENGINE + (counter >= 0) * TURNING).astype(np.uint8),
        ports=ports,
        outputs=outputs,
        output_queue=target[table.outputs].astype(np.int32),
        queues=queues,
        words=np.zeros((len(queues), slots), np.float32),
        arrival=np.zeros((len(queues), slots), np.int32),
        sent=np.zeros(int(table.outputs.sum()), np.int32),
        stall_cause=np.zeros(entries, np.uint8),
        stall_start=np.zeros(entries, np.int32),
        stalls=np.zeros((entries, 5), np.int32),
        turn=np.zeros(cores, np.int16),
        active=np.zeros(cores, np.uint8),
        active_block=np.zeros(-(-cores // BLOCK), np.uint8),
        band_start=band_starts(cores, bands),
        granted=np.zeros(entries, np.int32),
        granted_count=np.zeros((bands, 8), np.int64),
        totals=np.zeros((bands, 8), np.int64),
        counter=counter,
        turning=turning,
        first_turn=first_turn,
        turn_words=np.concatenate([switches.words, filters.words]),
        turn_choice=_choices(table, switches, filters),
        position_entry=table.position_entry.astype(np.int32),
        position_ports=position_ports,
        position_output=position_output,
    )


def _queues(from_core: NDArray[np.bool_], ways_into_cores: int, timing: FabricTiming) -> NDArray[np.int32]:
    """Queues without words: of entries, then of ways into cores. What is on its way has room beside that of the queue."""
    entries = from_core.size
    queues = np.zeros((entries + ways_into_cores, 4), np.int32)
    queues[:entries, LATENCY] = np.where(from_core, 1 + timing.ramp_cycles, timing.hop_cycles)
    queues[entries:, LATENCY] = timing.ramp_cycles
    queues[:, CAPACITY] = timing.queue_words + np.maximum(queues[:, LATENCY] - 1, 0)
    return queues


def _open_ways(
    table: RouteTable, switches: Turns, position_ports: NDArray[np.uint8], position_output: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Ports and range of outputs of each entry as switches stand to begin with."""
    opened = _opened(table, switches)
    ports = np.full(table.source.size, CLOSED, np.uint8)
    ports[table.position_entry[opened]] = position_ports[opened]
    outputs = np.zeros((table.source.size, 2), np.int32)
    outputs[table.position_entry[opened]] = np.stack(
        [position_output[opened], position_output[opened + 1]], axis=1
    )
    return ports, outputs


def _choices(table: RouteTable, switches: Turns, filters: Turns) -> NDArray[np.int32]:
    """Of each turn the position of its switch, or what its filter does."""
    first = table.first_position[np.repeat(switches.owner, np.diff(switches.first))]
    return np.concatenate([first + switches.choice, filters.choice]).astype(np.int32)


def _first_turns(switches: Turns, filters: Turns) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All switches and filters at their first turns, and where the turns of each start."""
    first = np.concatenate([switches.first, switches.words.size + filters.first[1:]]).astype(np.int32)
    words = np.concatenate([switches.words, filters.words])
    turning = np.zeros((first.size - 1, 2), np.int32)
    turning[:, TURN] = first[:-1]
    turning[:, LEFT] = np.append(words, 0)[np.where(np.diff(first) > 0, first[:-1], words.size)]
    return turning, first


def _set_counters(
    counter: NDArray[np.int32], setting: NDArray[np.int64], owner: NDArray[np.int64], first: int
) -> None:
    """Give queues, by their settings, the number of the owner of turns that counts their words, from `first` on."""
    if not owner.size:
        return
    at = np.minimum(np.searchsorted(owner, setting), owner.size - 1)
    owned = owner[at] == setting
    counter[: setting.size][owned] = first + at[owned]


def _opened(table: RouteTable, switches: Turns) -> NDArray[np.int64]:
    """The positions at which switches stand to begin with; a switch all of whose turns are of 0 words stands at none."""
    position = table.first_position[:-1].copy()
    has_turns = np.diff(switches.first) > 0
    position[switches.owner] = -1
    some = switches.owner[has_turns]
    position[some] = table.first_position[some] + switches.choice[switches.first[:-1][has_turns]]
    return position[position >= 0]


def band_starts(cores: int, bands: int) -> NDArray[np.int64]:
    """The first core of each band, a whole number of blocks each, and the number of cores."""
    blocks = -(-cores // BLOCK)
    return np.minimum(np.arange(bands + 1) * blocks // bands * BLOCK, cores)
