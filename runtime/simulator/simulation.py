"""A fabric with routes and programs, run cycle by cycle."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.simulator.cycles import run_cycles
from wsec.runtime.simulator.engine_building import build_engines
from wsec.runtime.simulator.engines import TICKS, WAITS_FOR_INPUT, WAITS_FOR_OUTPUT
from wsec.runtime.simulator.program_placement import place_programs
from wsec.runtime.simulator.route_table import expand_routes
from wsec.runtime.simulator.router_building import build_routers
from wsec.runtime.simulator.routers import (
    CORE_FULL,
    HEAD,
    LINK_TAKEN,
    MOVED,
    NEVER,
    NEXT_FULL,
    SWITCHED,
    TAIL,
    VISITED,
)
from wsec.runtime.simulator.size import MEMORY_LIMIT_BYTES, check_size
from wsec.runtime.simulator.switching import RampFilters, SwitchTurns, lay_out_filters, lay_out_switches
from wsec.runtime.simulator.timing import EngineTiming, FabricTiming
from wsec.runtime.simulator.waiting import waiting_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import ProgramArea
    from wsec.runtime.simulator.routes import Route

MAX_CYCLES: Final = 2**30
"""The longest simulation: cycles are 32-bit numbers."""


_BANDS_OF_A_THREAD: Final = 4
"""So that a thread that is late has less to be waited for."""


class Outcome(enum.Enum):
    """How a simulation ended."""

    FINISHED = "finished"
    STUCK = "stuck"
    CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What was seen. Arrays by core are [height, width].

    Attributes:
        outcome: `STUCK` when a program or a word waits for what never comes.
        cycles: Until the last engine finished or the last word moved, or where the simulation stopped.
        finished: int32, the cycle at which each core's program was done; -1 where it was not, or where there is none.
        link_words: int64 [height, width, 5], words that left through each port; those that a filter dropped did not.
        link_stalls: int64, cycles that front words waited for a link that another colour had.
        room_stalls: int64, the same for room in the next router.
        ramp_stalls: int64, the same for room on the way into the core.
        switch_stalls: int64, the same for a switch that stood at another position.
        input_stalls: int64, cycles that each engine waited for words.
        output_stalls: int64, cycles that it waited for room to send.
        marks: int32 [marks, height, width], the cycle in which each core last came to each mark; -1 where it never did.
        words_left: Words still in a queue.
        word_hops: Words moved over links and ramps.
        router_updates: Routers looked at, over all cycles.
    """

    outcome: Outcome
    cycles: int
    finished: NDArray[np.int32]
    link_words: NDArray[np.int64]
    link_stalls: NDArray[np.int64]
    room_stalls: NDArray[np.int64]
    ramp_stalls: NDArray[np.int64]
    switch_stalls: NDArray[np.int64]
    input_stalls: NDArray[np.int64]
    output_stalls: NDArray[np.int64]
    marks: NDArray[np.int32]
    words_left: int
    word_hops: int
    router_updates: int


class Simulation:
    """A grid of cores, its routes and programs, from cycle 0.

    Args:
        routes: What routers hold.
        programs: What cores run.
        width: Columns of the grid.
        height: Rows of it.
        fabric: What routers and links take.
        engines: What instructions take.
        turns: When switches of several positions go on.
        filters: Which words cores take; all where there is no filter.
        threads: That share the work; the result is the same for any number.
        limit_bytes: The most memory to take.

    Raises:
        ValueError: `threads` is below 1.
        WsecError: WSEC590, WSEC591 the routes, turns or filters, WSEC593 the programs do not fit the grid or each other, WSEC350 it takes
            more memory than `limit_bytes`.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        programs: Sequence[ProgramArea],
        *,
        width: int,
        height: int,
        fabric: FabricTiming | None = None,
        engines: EngineTiming | None = None,
        turns: SwitchTurns | None = None,
        filters: RampFilters | None = None,
        threads: int = 1,
        limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        if threads < 1:
            raise ValueError(f"a simulation takes one thread or more, not {threads}")
        fabric = fabric or FabricTiming()
        check_size(routes, programs, fabric, width=width, height=height, limit_bytes=limit_bytes)
        self.table = expand_routes(routes, width=width, height=height, colours=fabric.colours)
        self.placement = place_programs(programs, width=width, height=height)
        self.routers = build_routers(
            self.table,
            self.placement,
            fabric,
            1 if threads == 1 else _BANDS_OF_A_THREAD * threads,
            switches=lay_out_switches(self.table, turns),
            filters=lay_out_filters(self.table, filters),
        )
        self.engines = build_engines(
            self.table, programs, self.placement, engines or EngineTiming(), self.routers.band_start
        )
        self.cycle = 0
        self._threads = threads
        self._memory_words = np.array([area.memory_words for area in programs], np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that a cycle may touch."""
        return sum(array.nbytes for array in (*self.routers, *self.engines))

    def memory(self, x: int, y: int) -> NDArray[np.float32]:
        """The memory of a core, to be written before a run and read after it. float32 [memory_words of its program]."""
        engine = self.placement.engine[y * self.table.width + x]
        if engine < 0:
            raise ValueError(f"core ({x}, {y}) has no program")
        start = int(self.engines.memory_start[engine])
        return self.engines.memory[start : start + int(self._memory_words[self.placement.area[engine]])]

    def memories(self, area: int) -> NDArray[np.float32]:
        """A copy of the memories of a program area: float32 [cores by row and column, memory_words]."""
        starts = self.engines.memory_start[self.placement.area == area]
        memories: NDArray[np.float32] = self.engines.memory[
            starts[:, None] + np.arange(self._memory_words[area])
        ]
        return memories

    def run(self, max_cycles: int = MAX_CYCLES) -> SimulationResult:
        """Run until all is done or stuck, at most to the cycle `max_cycles`; a further call goes on from there."""
        end = max(self.cycle, min(max_cycles, MAX_CYCLES))
        reached = run_cycles(self.routers, self.engines, self.cycle, end, threads=self._threads)
        self.cycle = self._settled_cycle() if reached == NEVER else min(reached, end)
        return self._result(settled=reached == NEVER)

    def run_to_end(self, max_cycles: int = MAX_CYCLES) -> SimulationResult:
        """The same, for callers who take no other end than all done.

        Raises:
            WsecError: WSEC594 something waits for ever, WSEC595 `max_cycles` did not suffice.
        """
        result = self.run(max_cycles)
        if result.outcome is Outcome.FINISHED:
            return result
        raise waiting_error(
            self.table,
            self.placement,
            self.routers,
            self.engines,
            cycles=result.cycles,
            stuck=result.outcome is Outcome.STUCK,
        )

    def _result(self, *, settled: bool) -> SimulationResult:
        routers, engines, table = self.routers, self.engines, self.table
        words_left = int((routers.queues[:, TAIL] - routers.queues[:, HEAD]).sum())
        done = words_left == 0 and bool((engines.finished >= 0).all())
        ended = Outcome.FINISHED if done else Outcome.STUCK
        stalls = _with_current(routers.stalls, routers.stall_cause, routers.stall_start, self.cycle)
        waits = _with_current(engines.stalls, engines.stall_cause, engines.stall_start, self.cycle)
        core = table.core
        position, port = np.nonzero(table.outputs)
        position_core = table.setting_core[table.position_setting[position]]
        finished = np.full(table.width * table.height, -1, np.int32)
        finished[self.placement.cores] = engines.finished
        return SimulationResult(
            outcome=ended if settled else Outcome.CUT_OFF,
            cycles=self.cycle,
            finished=finished.reshape(table.height, table.width),
            link_words=self._by_core(position_core * 5 + port, routers.sent, 5),
            link_stalls=self._by_core(core, stalls[:, LINK_TAKEN]),
            room_stalls=self._by_core(core, stalls[:, NEXT_FULL]),
            ramp_stalls=self._by_core(core, stalls[:, CORE_FULL]),
            switch_stalls=self._by_core(core, stalls[:, SWITCHED]),
            input_stalls=self._by_core(self.placement.cores, waits[:, WAITS_FOR_INPUT]),
            output_stalls=self._by_core(self.placement.cores, waits[:, WAITS_FOR_OUTPUT]),
            marks=self._marks(),
            words_left=words_left,
            word_hops=int(routers.totals[:, MOVED].sum()),
            router_updates=int(routers.totals[:, VISITED].sum()),
        )

    def _marks(self) -> NDArray[np.int32]:
        reached = self.engines.marks
        marks = np.full((reached.shape[1], self.table.height * self.table.width), -1, np.int32)
        marks[:, self.placement.cores] = reached.T
        return marks.reshape(-1, self.table.height, self.table.width)

    def _settled_cycle(self) -> int:
        """The cycle from which nothing changed any more."""
        engines_ready = -(-int(self.engines.ready.max(initial=0)) // TICKS)
        return max(
            engines_ready,
            int(self.engines.stall_start.max(initial=0)),
            int(self.routers.stall_start.max(initial=0)),
        )

    def _by_core(
        self, place: NDArray[np.int64], amounts: NDArray[np.int32], columns: int = 1
    ) -> NDArray[np.int64]:
        shape = (self.table.height, self.table.width)
        sums = np.bincount(place, amounts, minlength=shape[0] * shape[1] * columns).astype(np.int64)
        return sums.reshape((*shape, columns) if columns > 1 else shape)


def _with_current(
    stalls: NDArray[np.int32], cause: NDArray[np.uint8], start: NDArray[np.int32], cycle: int
) -> NDArray[np.int32]:
    """The stalls with those counted that last until now."""
    stalls = stalls.copy()
    stalls[np.arange(cause.size), cause] += np.maximum(cycle - start, 0)
    return stalls
