"""The program of a turn: its kernels one after the other on their cores, all blocks in place before the first cycle.

Kernels of one turn have one all-reduce together. What non-members of a kernel's rectangle would do for it they leave out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.context import Block, Combine, KernelContext
from wsec.runtime.programs.events import Transfers
from wsec.runtime.programs.kinds.registry import OWN, check_operands
from wsec.runtime.programs.settings import rectangles
from wsec.runtime.programs.turns.lines import Lines, reduced_first
from wsec.runtime.programs.turns.shared_chain import SharedChain, share_chain
from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.simulator.instructions import CoreProgram, Loop, Operation, ProgramArea, WordLists

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.programs.kernel_program import Compute
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.programs.turns.lines import LineStep
    from wsec.runtime.simulator.instructions import Instruction

    Numbers = NDArray[np.int64]
    Words = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TurnPrograms:
    """What the simulator is given for a turn.

    Attributes:
        areas: Programs.
        rows: For each area its cores, as numbers of the turn's rectangle, by row and column.
        memory: float32 [cores, words], before the first cycle.
        outputs: By tensor the address of its block.
        settings: Of all circuits.
        transfers: Turns of their switches.
        width: Columns of the turn's rectangle.
        all_reduces: How many a core waits for, one after the other; one for each axis.
    """

    areas: tuple[ProgramArea, ...]
    rows: tuple[Numbers, ...]
    memory: Words
    outputs: dict[str, int]
    settings: tuple[Settings, ...]
    transfers: Transfers
    width: int
    all_reduces: int


@dataclass(frozen=True, slots=True)
class _Collected:
    """Words of the members that go through line steps together: member, address and count of each."""

    steps: tuple[LineStep, ...]
    chunks: tuple[tuple[int, int, int], ...]
    operation: Operation


@dataclass(slots=True)
class _Member:
    """A kernel of the turn.

    Attributes:
        kernel: Of the plan.
        context: Its memory.
        before: Its instructions in front of the all-reduce of all; all of them where it is alone.
        combine: What it combines there.
        after: Its instructions behind it.
        shared: Its chain, where several cores share it.
    """

    kernel: Kernel
    context: KernelContext
    before: list[Instruction]
    combine: Combine | None
    after: list[Instruction]
    shared: SharedChain | None


def turn_programs(
    kernels: Sequence[Kernel],
    computing: Sequence[Compute],
    blocks: Sequence[Mapping[str, Words]],
    fabric: tuple[tuple[int, int], int],
) -> TurnPrograms:
    """The program of the kernels of a turn.

    Args:
        kernels: All rectangles begin at the first core of the region.
        computing: What makes the instructions of each.
        blocks: For each, by role, every core's block as it lies there, float32 [cores, elements], 1 core where all are equal.
        fabric: Columns and rows of the region, and the colours that kernels may use.

    Raises:
        WsecError: WSEC387 there are too few colours, WSEC596 a kernel cannot be simulated.
    """
    builder = _Builder(kernels, computing, *fabric)
    builder.write()
    return builder.finish(blocks)


@dataclass(slots=True)
class _Builder:
    kernels: Sequence[Kernel]
    computing: Sequence[Compute]
    region: tuple[int, int]
    colours: int
    lines: Lines = field(init=False)
    members: list[_Member] = field(default_factory=list)
    main: list[tuple[int, Instruction | _Collected | SharedChain]] = field(default_factory=list)
    transfers: Transfers = field(default_factory=Transfers)
    lists: list[WordLists] = field(default_factory=list)
    words: int = 0
    all_reduces: int = 0

    @property
    def width(self) -> int:
        return max(kernel.mesh.width for kernel in self.kernels)

    @property
    def height(self) -> int:
        return max(kernel.mesh.height for kernel in self.kernels)

    def write(self) -> None:
        """Lay out the members and write what all cores do, by member."""
        widest = max(self.kernels, key=lambda kernel: kernel.mesh.width * kernel.mesh.height)
        collectives = {item.axis: item for kernel in self.kernels for item in kernel.collectives}
        name = ", ".join(f"kernel {kernel.name}" for kernel in self.kernels)
        self.lines = Lines(name, widest.mesh, collectives, self.region, self.colours)
        for kernel, compute in zip(self.kernels, self.computing, strict=True):
            self._add_member(kernel, compute)
        if len(self.members) == 1:
            self._write_alone()
        else:
            self._write_together()

    def _add_member(self, kernel: Kernel, compute: Compute) -> None:
        context = KernelContext(kernel, words=self.words, lists=self.lists)
        for item in kernel.inputs:
            context.block(item.role)
        shared = None
        if kernel.chain_cores > 1 and kernel.chain and reduced_first(kernel):
            check_operands(context)
            output = context.output()
            result = Block(context.scratch(output.words), output.shape)
            steps = OWN[kernel.kind](context, result)
            shared = share_chain(context, self.lines, (result, output), self.transfers)
        else:
            steps = compute(context)
        self.words = context.words
        self.members.append(_Member(kernel, context, steps, None, [], shared))

    def _write_alone(self) -> None:
        member = self.members[0]
        self._take(0, member.before)
        if member.shared is not None:
            self.main.append((0, member.shared))
        self._bring_everywhere()

    def _write_together(self) -> None:
        """Own parts, one all-reduce, chains, and their results to all cores; one kernel after the other where none combines."""
        if not any(_combines(member.before) for member in self.members):
            self._write_in_turn()
            return
        for number, member in enumerate(self.members):
            places = [at for at, step in enumerate(member.before) if _combine(step) is not None]
            if len(places) != 1:
                raise not_simulated(
                    f"kernel {member.kernel.name}",
                    f"{len(places)} collectives in a turn that several kernels share",
                )
            member.combine = _combine(member.before[places[0]])
            member.before, member.after = member.before[: places[0]], member.before[places[0] + 1 :]
            self.main += [(number, step) for step in member.before]
        if self.lists:
            raise not_simulated(self.lines.name, "lists of addresses in a turn that several kernels share")
        combines = [member.combine for member in self.members if member.combine is not None]
        if len({each.axes for each in combines}) != 1 or len({each.operation for each in combines}) != 1:
            raise not_simulated(self.lines.name, "a turn whose kernels combine along different axes")
        chunks = tuple((number, each.address, each.count) for number, each in enumerate(combines))
        self._collect(self.lines.reduce(combines[0].axes), chunks, combines[0].operation)
        for number, member in enumerate(self.members):
            self.main += [(number, step) for step in member.after]
            if member.shared is not None:
                self.main.append((number, member.shared))
        self._bring_everywhere()

    def _write_in_turn(self) -> None:
        """Kernels that combine nothing, such as products whose summed loops are whole on each core."""
        if self.lists:
            raise not_simulated(self.lines.name, "lists of addresses in a turn that several kernels share")
        for number, member in enumerate(self.members):
            self.main += [(number, step) for step in member.before]
            if member.shared is not None:
                self.main.append((number, member.shared))
        self._bring_everywhere()

    def _take(self, number: int, steps: Sequence[Instruction]) -> None:
        """Instructions of one kernel, whose collectives become steps along lines."""
        for step in steps:
            combine = _combine(step)
            if combine is not None:
                chunks = ((number, combine.address, combine.count),)
                self._collect(self.lines.reduce(combine.axes), chunks, combine.operation)
                if combine.everywhere:
                    self._collect(self.lines.broadcast(combine.axes), chunks, combine.operation)
                    self.all_reduces += len(combine.axes)
            elif isinstance(step, Loop) and _combines(step.body):
                for _ in range(step.count):
                    self._take(number, step.body)
            else:
                self.main.append((number, step))

    def _bring_everywhere(self) -> None:
        """Results of all members that were combined leave the root together."""
        chunks = tuple(
            (number, member.context.output(at).address, member.context.output(at).words)
            for number, member in enumerate(self.members)
            for at, item in enumerate(member.kernel.outputs)
            if item.everywhere and not item.state and reduced_first(member.kernel)
        )
        if not chunks:
            return
        axes = reduced_first(self.members[chunks[0][0]].kernel)
        self._collect(self.lines.broadcast(axes), chunks, Operation.ADD)
        self.all_reduces += len(axes)

    def _collect(
        self,
        steps: Sequence[LineStep],
        chunks: tuple[tuple[int, int, int], ...],
        operation: Operation,
    ) -> None:
        words = np.zeros(self.width * self.height, np.int64)
        for number, _, count in chunks:
            words += count * self._members_cores(number)
        for step in steps:
            step.transfer(words, self.transfers)
        self.main.append((-1, _Collected(tuple(steps), chunks, operation)))

    def _members_cores(self, number: int) -> NDArray[np.bool_]:
        """The cores of the turn's rectangle that a kernel has, [cores]."""
        mesh = self.kernels[number].mesh
        row, column = np.divmod(np.arange(self.width * self.height), self.width)
        found: NDArray[np.bool_] = (row < mesh.height) & (column < mesh.width)
        return found

    def finish(self, blocks: Sequence[Mapping[str, Words]]) -> TurnPrograms:
        """Areas of cores with equal programs, and the memory of all cores."""
        steps = list(dict.fromkeys(self._parts()))
        members = [self._members_cores(number) for number in range(len(self.members))]
        table = np.stack([*members, *(step.part for step in steps)]).astype(np.int64)
        kinds, kind = np.unique(table, axis=1, return_inverse=True)
        index = {id(step): len(self.members) + at for at, step in enumerate(steps)}
        programs = [CoreProgram(tuple(self._program(row, index))) for row in kinds.T]
        numbers = np.arange(self.width * self.height).reshape(self.height, self.width)
        areas, rows = [], []
        for x, y, width, height, value in rectangles(kind.reshape(self.height, self.width)):
            mine = numbers[y : y + height, x : x + width].reshape(-1)
            lists = tuple(_of_cores(each, mine) for each in self.lists)
            areas.append(ProgramArea(1 + x, y, width, height, programs[value], max(1, self.words), lists))
            rows.append(mine)
        return TurnPrograms(
            tuple(areas),
            tuple(rows),
            self._memory(blocks),
            {
                item.tensor: member.context.output(at).address
                for member in self.members
                for at, item in enumerate(member.kernel.outputs)
            },
            tuple(circuit for step in steps for circuit in step.circuits),
            self.transfers,
            self.width,
            self.all_reduces,
        )

    def _parts(self) -> Iterator[LineStep | SharedChain]:
        """What differs between cores, as often as it happens."""
        for _, item in self.main:
            if isinstance(item, _Collected):
                yield from item.steps
            elif isinstance(item, SharedChain):
                yield item

    def _program(self, row: Numbers, index: Mapping[int, int]) -> list[Instruction]:
        """What cores do that have these parts."""
        found: list[Instruction] = []
        for number, item in self.main:
            if isinstance(item, _Collected):
                chunks = [(address, count) for member, address, count in item.chunks if row[member]]
                for step in item.steps:
                    found += step.instructions(int(row[index[id(step)]]), item.operation, chunks)
            elif isinstance(item, SharedChain):
                found += item.programs[int(row[index[id(item)]])] if row[number] else ()
            elif row[number]:
                found.append(item)
        return found

    def _memory(self, blocks: Sequence[Mapping[str, Words]]) -> Words:
        memory = np.zeros((self.height * self.width, max(1, self.words)), np.float32)
        for number, (member, given) in enumerate(zip(self.members, blocks, strict=True)):
            mine, mesh = np.flatnonzero(self._members_cores(number)), member.kernel.mesh
            for role, values in given.items():
                block = member.context.blocks[role]
                memory[mine, block.address : block.address + block.words] = values
            for address, values in member.context.constants.items():
                shape = (mesh.height, mesh.width, values.shape[2])
                memory[mine, address : address + shape[2]] = np.broadcast_to(values, shape).reshape(
                    -1, shape[2]
                )
        return memory


def _combine(step: object) -> Combine | None:
    """The collective that stands at the place of an instruction."""
    return step if isinstance(step, Combine) else None


def _combines(body: Sequence[Instruction]) -> bool:
    """Whether there is a collective among instructions."""
    return any(_combine(step) or (isinstance(step, Loop) and _combines(step.body)) for step in body)


def _of_cores(lists: WordLists, cores: Numbers) -> WordLists:
    """The lists of some cores of a kernel, in their order."""
    lengths = (lists.starts[1:] - lists.starts[:-1])[cores]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(lists.starts[cores] - starts[:-1], lengths) + np.arange(starts[-1])
    return WordLists(starts, lists.addresses[places])
