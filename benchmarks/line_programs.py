"""Collectives on lines of cores as routes and core programs for the simulator, by docs/fabric.md, on the compiler's circuits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.kernel_circuits import kernel_circuits
from wsec.compiler.plan import Collective, Cycles, Exchange, Kernel, MemoryLedger, Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.runtime.collectives import children
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Instruction,
    Join,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    Send,
    Start,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.switching import SwitchTurns
from wsec.runtime.simulator.timing import EngineTiming, fabric_timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, CollectiveAlgorithm
    from wsec.compiler.target import Fabric, Target

    Memory = NDArray[np.float32]

_LETTERS = {"N": Port.NORTH, "E": Port.EAST, "S": Port.SOUTH, "W": Port.WEST, "R": Port.RAMP}


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs: a target's fabric, and engines that by default take a word a cycle and nothing for an instruction."""

    target: Target
    engines: EngineTiming = field(default_factory=EngineTiming)

    @property
    def fabric(self) -> Fabric:
        """Its cycles and colours."""
        return self.target.fabric


@dataclass(frozen=True, slots=True)
class Transfer:
    """Words from one core of the line to others, to one or both sides, on a colour."""

    colour: int
    source: int
    targets: tuple[int, ...]
    words: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a simulation gave: the cycle of the last core's end, and every core's memory [cores, words]."""

    cycles: int
    memory: Memory


def line_kernel(cores: int, record: Collective | None = None) -> Kernel:
    """A kernel on one row of cores that does nothing but combine."""
    return Kernel(
        name="line",
        kind="none",
        operators=("line",),
        arguments={},
        split={"a": cores},
        rectangle=Rectangle(0, 0, cores, 1),
        mesh=Mesh((MeshAxis("a", cores, "columns"),)),
        inputs=(),
        outputs=(),
        chain=(),
        memory=MemoryLedger(0, 0, 0, 0),
        cycles=Cycles(0, 0, 0),
        collectives=() if record is None else (record,),
    )


def reduce_line(
    algorithm: CollectiveAlgorithm, cores: int, group: int, held: Memory, machine: Machine
) -> Run:
    """Sums to core 0. `held` is [cores, words], what every core has."""
    record = Collective("reduce", "a", algorithm, group, held.shape[1])
    circuits = kernel_circuits(line_kernel(cores, record), (), machine.fabric)
    tree = children(algorithm, group, cores)
    words = held.shape[1]
    above = {child: core for core, below in enumerate(tree) for child in below}
    sends = {child: _colour(circuits, child) for child in above}
    transfers = [Transfer(sends[core], core, (above[core],), words) for core in above]
    programs = []
    for core, below in enumerate(tree):
        received = [sends[child] for child in below]
        streamed = bool(received) and core in sends and received[-1] != sends[core]
        instructions: list[Instruction] = [
            ReceiveCombine(Operation.ADD, colour, words, 0)
            for colour in (received[:-1] if streamed else received)
        ]
        if streamed:
            instructions.append(ReceiveCombineSend(Operation.ADD, received[-1], sends[core], words, 0))
        elif core in sends:
            instructions.append(Send(sends[core], words, 0))
        programs.append(instructions)
    return simulate(circuits, transfers, programs, held, machine)


def broadcast_line(cores: int, held: Memory, machine: Machine) -> Run:
    """What core 0 has, to all."""
    record = Collective("all_reduce", "a", "star", 0, held.shape[1])
    circuits = [
        item
        for item in kernel_circuits(line_kernel(cores, record), (), machine.fabric)
        if item.purpose == "broadcast"
    ]
    colour, words = circuits[0].colour, held.shape[1]
    programs: list[list[Instruction]] = [[Receive(colour, words, 0)] for _ in range(cores)]
    programs[0] = [Send(colour, words, 0)]
    transfers = [Transfer(colour, 0, tuple(range(1, cores)), words)]
    return simulate(circuits, transfers, programs, held, machine)


def ring_line(cores: int, held: Memory, machine: Machine) -> Run:
    """Sums to all cores: every part goes around to its owner, then the sum around to all.

    A task of its own sends each part, so that all cores can send and receive at the same time.
    """
    words = held.shape[1]
    part = -(-words // cores)
    record = Collective("all_reduce", "a", "ring", 0, words)
    circuits = kernel_circuits(line_kernel(cores, record), (), machine.fabric)
    sends = [_colour(circuits, core) for core in range(cores)]
    transfers, programs = [], []

    def place(owner: int) -> tuple[int, int]:
        first = min(owner % cores * part, words)
        return min(part, words - first), first

    for core in range(cores):
        on, back = sends[core], sends[core - 1]
        tasks = [Send(on, *place(core - 1))]
        main: list[Instruction] = [Start(1)]
        for step in range(1, 2 * cores - 1):
            count, first = place(core - 1 - step)
            if count:
                main.append(
                    ReceiveCombine(Operation.ADD, back, count, first)
                    if step < cores
                    else Receive(back, count, first)
                )
            main.append(Join(step))  # words of two parts must not mix
            if step < 2 * cores - 2:
                tasks.append(Send(on, count, first))
                main.append(Start(step + 1))
        programs.append(CoreProgram(tuple(main), tuple((task,) for task in tasks)))
        transfers.append(Transfer(on, core, ((core + 1) % cores,), sum(task.count for task in tasks)))
    return simulate(circuits, transfers, programs, held, machine)


def exchange_line(cores: int, tilings: Sequence[Exchange], held: Memory, machine: Machine) -> Run:
    """Every core's words to all cores of its segment, one tiling after the other.

    Core `i` keeps the words of core `j` from `(j + 1) * words` on. A task of its own sends, so that a core's words wait at
    its router when its turn comes.
    """
    words = held.shape[1]
    circuits = kernel_circuits(line_kernel(cores), tilings, machine.fabric)
    main: list[list[Instruction]] = [[] for _ in range(cores)]
    tasks: list[list[tuple[Send, ...]]] = [[] for _ in range(cores)]
    transfers = []
    for exchange, circuit in zip(tilings, circuits, strict=True):
        ends = [*range(exchange.offset or exchange.segment, cores, exchange.segment), cores]
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            segment = range(start, end)
            for core in segment if len(segment) > 1 else ():
                others = tuple(other for other in segment if other != core)
                transfers.append(Transfer(circuit.colour, core, others, words))
                tasks[core].append((Send(circuit.colour, words, 0),))
                task = len(tasks[core])
                received = [Receive(circuit.colour, words, (other + 1) * words) for other in others]
                main[core] += [Start(task), *received, Join(task)]
    programs = [CoreProgram(tuple(steps), tuple(sends)) for steps, sends in zip(main, tasks, strict=True)]
    memory = np.zeros((cores, (cores + 1) * words), np.float32)
    memory[:, :words] = held
    return simulate(circuits, transfers, programs, memory, machine)


def _colour(circuits: Iterable[Circuit], core: int) -> int:
    """On which a core of the line sends."""
    for circuit in circuits:
        for area in circuit.areas:
            if area.x <= core < area.x + area.width and any(item[0] == "R" for item in area.positions):
                return circuit.colour
    raise ValueError(f"core {core} sends on no colour")


def simulate(
    circuits: Sequence[Circuit],
    transfers: Iterable[Transfer],
    programs: Sequence[CoreProgram | Sequence[Instruction]],
    held: Memory,
    machine: Machine,
) -> Run:
    """Run a program on each core of one row."""
    positions = {
        (area.x + offset, circuit.colour): area.positions
        for circuit in circuits
        for area in circuit.areas
        for offset in range(area.width)
    }
    routes = [
        Route(area.x, area.y, area.width, area.height, circuit.colour, tuple(map(_position, area.positions)))
        for circuit in circuits
        for area in circuit.areas
    ]
    on_cores = {(core, 0): program for core, program in enumerate(programs)}
    return run_programs(
        routes, on_cores, _turns(positions, transfers), held=held, width=len(programs), machine=machine
    )


def run_programs(
    routes: Sequence[Route],
    programs: Mapping[tuple[int, int], CoreProgram | Sequence[Instruction]],
    turns: SwitchTurns,
    *,
    held: Memory,
    width: int,
    machine: Machine,
) -> Run:
    """Simulate programs by column and row, on cores that hold `held` by row and column; so is the memory that it gives."""
    areas = [
        ProgramArea(
            *core,
            1,
            1,
            program if isinstance(program, CoreProgram) else CoreProgram(tuple(program)),
            held.shape[1],
        )
        for core, program in programs.items()
    ]
    simulation = Simulation(
        routes,
        areas,
        width=width,
        height=len(held) // width,
        fabric=fabric_timing(machine.target),
        engines=machine.engines,
        turns=turns,
    )
    for number, words in enumerate(held):
        simulation.memory(number % width, number // width)[:] = words
    result = simulation.run_to_end()
    memory = [simulation.memory(number % width, number // width).copy() for number in range(len(held))]
    return Run(result.cycles, np.stack(memory))


def _position(text: str) -> SwitchPosition:
    return SwitchPosition(_LETTERS[text[0]], tuple(_LETTERS[port] for port in text[2:]))


def _turns(
    positions: Mapping[tuple[int, int], tuple[str, ...]], transfers: Iterable[Transfer]
) -> SwitchTurns:
    """How many words pass each position of each router."""
    words: defaultdict[tuple[int, int, int], int] = defaultdict(int)
    for item in transfers:
        for core, position in _ways(item):
            held = positions[core, item.colour]
            at = next(
                n for n, each in enumerate(held) if each[0] == position[0] and set(each) == set(position)
            )
            words[core, item.colour, at] += item.words
    rows = [(*key, count) for key, count in sorted(words.items()) if len(positions[key[0], key[1]]) > 1]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return SwitchTurns(*columns)


def _ways(item: Transfer) -> Iterable[tuple[int, str]]:
    """The cores that a transfer passes, and the position that it takes there."""
    low, high = min(*item.targets, item.source), max(*item.targets, item.source)
    sides = ("W" if low < item.source else "") + ("E" if high > item.source else "")
    yield item.source, f"R>{sides}"
    for core in range(low, high + 1):
        if core == item.source:
            continue
        back, on, last = ("W", "E", high) if core > item.source else ("E", "W", low)
        yield core, f"{back}>" + ("" if core == last else on) + ("R" if core in item.targets else "")
