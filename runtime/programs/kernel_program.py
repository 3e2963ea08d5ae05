"""The programs of a kernel's cores: take what arrives, exchange it, compute, send.

All cores of a kernel run the same text; where colours or places in a tree differ, they have areas of their own. Each sample of a
pipeline has its own tasks, so that words of later samples arrive beside the work on earlier ones, as far as there are buffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from wsec.runtime.programs.combining import RingStep, combine_steps
from wsec.runtime.programs.context import Block, Combine, KernelContext
from wsec.runtime.programs.flow import make_flow, words_of_positions
from wsec.runtime.programs.links import grid_cores
from wsec.runtime.programs.settings import broken, rectangles
from wsec.runtime.programs.storage import as_lists, make_storage
from wsec.runtime.simulator.instructions import (
    CopyListed,
    CoreProgram,
    Join,
    Loop,
    Mark,
    ProgramArea,
    ReceiveListed,
    SendListed,
    Start,
    WordLists,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.programs.combining import CombineStep
    from wsec.runtime.programs.events import Transfers
    from wsec.runtime.programs.exchanges import ExchangeWords
    from wsec.runtime.programs.links import LinkWords
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.programs.storage import Storage
    from wsec.runtime.simulator.instructions import Instruction

    Compute = Callable[[KernelContext], list[Instruction]]
    _Step: TypeAlias = "Instruction | _OnColour | _Exchange | _RingSend"

MARKS = ("arrived", "exchanged", "computed", "sent")
"""What the marks of a sample on a core say: all its words came, its blocks are whole, its result is made, it is sent."""


@dataclass(frozen=True, slots=True, eq=False)
class KernelCircuits:
    """Settings of what a kernel's cores send each other.

    Attributes:
        exchanges: By side, segment and offset.
        reduces: By side.
        broadcasts: By side.
    """

    exchanges: dict[tuple[str, int, int], Settings]
    reduces: dict[str, list[Settings]]
    broadcasts: dict[str, list[Settings]]


@dataclass(frozen=True, slots=True, eq=False)
class KernelPrograms:
    """What the simulator is given for a kernel.

    Attributes:
        kernel: Of the plan.
        areas: Its programs.
        rows: For each area the cores of the kernel that it has, by row and column of the area.
        memory: float32 [cores, words], before the first cycle.
        outputs: Of each output and slot the address of the block.
        received: int64 [cores], words of a sample that each takes from lanes, and sends and takes in exchanges across.
        sent: int64 [cores], words of a sample that each sends into lanes.
    """

    kernel: Kernel
    areas: tuple[ProgramArea, ...]
    rows: tuple[NDArray[np.int64], ...]
    memory: NDArray[np.float32]
    outputs: dict[tuple[str, int], int]
    received: NDArray[np.int64]
    sent: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _OnColour:
    """Stands for a listed send or receive whose colour differs by core: a column of `_Builder.features`."""

    feature: int
    list: int
    sends: bool


@dataclass(frozen=True, slots=True)
class _Exchange:
    """Stands for an exchange: a task sends, so that its words stand at the router when the core's turn comes."""

    feature: int
    task: int
    received: int


@dataclass(frozen=True, slots=True)
class _RingSend:
    """Stands for what a core sends in one step around a ring."""

    feature: int
    ring: RingStep
    combine: Combine
    step: int


@dataclass(slots=True)
class _Incoming:
    """An input that a link brings: its words, blocks and buffers by slot."""

    words: LinkWords
    role: str
    storage: Storage
    blocks: list[Block]
    buffers: list[int]
    feature: int

    @property
    def slots(self) -> int:
        return max(len(self.blocks), len(self.buffers))

    def block(self, sample: int) -> Block:
        return self.blocks[sample % len(self.blocks)]

    def buffer(self, sample: int) -> int:
        return self.buffers[sample % len(self.buffers)] if self.buffers else 0

    @property
    def exchanges(self) -> Sequence[ExchangeWords]:
        dealt = self.words.arriving.dealt if self.words.arriving is not None else None
        return dealt.exchanges if dealt is not None else ()


def kernel_programs(
    kernel: Kernel,
    links: tuple[Sequence[tuple[str, LinkWords]], Sequence[LinkWords]],
    circuits: KernelCircuits,
    compute: Compute,
    *,
    wide: int,
    samples: int,
    hold: int,
    transfers: Transfers,
    fills: dict[str, NDArray[np.float32]],
) -> KernelPrograms:
    """The programs of a kernel for so many samples.

    Args:
        kernel: Of the plan.
        links: What comes, by role and in the order of its inputs, and what goes.
        circuits: Its own.
        compute: From filled input blocks to the filled output blocks.
        wide: Columns of the simulated grid.
        samples: One after the other.
        hold: A cycle before which no core begins with the first sample.
        transfers: Takes the turns and filters of its colours.
        fills: Block of each input before a sample comes, float32 [cores, elements of a block], 1 core where all are equal.

    Raises:
        WsecError: WSEC591 its circuits do not fit what they are for, WSEC596 it cannot be simulated.
    """
    builder = _Builder(kernel, circuits, compute, wide, samples, hold, transfers)
    builder.lay_out(links[0], links[1])
    builder.write()
    return builder.finish(fills)


@dataclass(slots=True)
class _Builder:
    kernel: Kernel
    circuits: KernelCircuits
    compute: Compute
    wide: int
    samples: int
    hold: int
    transfers: Transfers
    context: KernelContext = field(init=False)
    incoming: list[_Incoming] = field(default_factory=list)
    outgoing: list[tuple[LinkWords, int]] = field(default_factory=list)
    outputs: dict[tuple[str, int], int] = field(default_factory=dict)
    features: list[NDArray[np.int64]] = field(default_factory=list)
    combines: dict[tuple[tuple[str, ...], bool], list[tuple[CombineStep | RingStep, int]]] = field(
        default_factory=dict
    )
    main: list[_Step] = field(default_factory=list)
    tasks: list[list[_Step]] = field(default_factory=list)
    ready: list[tuple[list[int], int]] = field(default_factory=list)
    rings: dict[tuple[int, Combine], int] = field(default_factory=dict)

    def lay_out(self, incoming: Sequence[tuple[str, LinkWords]], outgoing: Sequence[LinkWords]) -> None:
        """Blocks, buffers and output blocks, by slot."""
        self.context = KernelContext(self.kernel)
        for item in self.kernel.inputs:
            self.context.block(item.role)
        for role, words in incoming:
            if words.arriving is None:
                raise ValueError(f"link {words.link.name} ends at the host")
            slots = min(self.samples, words.link.slots)
            first = self.context.block(role)
            direct = words.arriving.dealt is None
            storage = make_storage(words.arriving, buffered=self.samples > 1 and not direct)
            copies = slots - 1 if direct else 0
            blocks = [first, *(Block(self.context.scratch(first.words), first.shape) for _ in range(copies))]
            buffers = [] if direct else [self.context.scratch(storage.words) for _ in range(slots)]
            self.incoming.append(
                _Incoming(words, role, storage, blocks, buffers, self._feature(words.arriving.colour))
            )
            self.transfers.take(
                self._cores(), words.arriving.colour, words.arriving.index, words.arriving.passing
            )
        for number, made in enumerate(self.kernel.outputs):
            for slot in range(min(self.samples, made.slots)):
                block = self.context.output(number) if slot == 0 else None
                words_of_block = made.sharding.block_elements
                address = self.context.scratch(words_of_block) if block is None else block.address
                self.outputs[made.tensor, slot] = address
        for words in outgoing:
            if words.sending is not None:
                self.outgoing.append((words, self._feature(words.sending.colour)))

    def _feature(self, values: NDArray[np.int64]) -> int:
        self.features.append(values)
        return len(self.features) - 1

    def _cores(self) -> NDArray[np.int64]:
        return grid_cores(self.kernel.rectangle, self.wide)

    def _task(self, body: list[_Step]) -> int:
        self.tasks.append(body)
        return len(self.tasks)

    def write(self) -> None:
        """The main task and all others."""
        base = self.context.words
        for number in range(self.samples):
            self.ready.append(self._arrival_tasks(number))
        ready = self.ready
        sends: dict[tuple[int, int], int] = {}
        for sample in range(self.samples):
            if sample == 0:
                self._begin(ready)
            if ready[sample][1] and self._in_turn():
                self.main.append(Start(ready[sample][1]))
            self.main += [
                Join(task) for task in ([ready[sample][1]] if ready[sample][1] else ready[sample][0])
            ]
            self.main.append(Mark(4 * sample, 0 if sample else self.hold))
            for item in self.incoming:
                self._take_turn(item, sample)
            self.main.append(Mark(4 * sample + 1))
            self._refill(ready, sample, direct=False)
            slots = [min(self.samples, out.slots) for out in self.kernel.outputs]
            earlier = sample - min(slots)
            self.main += [Join(task) for (s, _), task in sends.items() if s == earlier]
            self._compute(sample, base)
            self.main.append(Mark(4 * sample + 2))
            self._refill(ready, sample, direct=True)
            for number, (words, feature) in enumerate(self.outgoing):
                before = sends.get((sample - 1, number))
                sends[sample, number] = self._send_task(words, feature, sample, before)
                self.main.append(Start(sends[sample, number]))

    def _begin(self, ready: Sequence[tuple[list[int], int]]) -> None:
        """Let as many samples in as there are buffers. A task is joined only after it was started."""
        for number, item in enumerate(self.incoming):
            self.main += [Start(ready[sample][0][number]) for sample in range(min(item.slots, self.samples))]
        if not self._in_turn():
            self.main += [Start(across) for _, across in ready[: self._least_slots()] if across]

    def _in_turn(self) -> bool:
        """Whether exchanges across wait for the sample's turn: one of them shares a circuit with one of the last side."""
        sides = [
            {each.exchange for item in self.incoming for each in item.exchanges if each.late == late}
            for late in (False, True)
        ]
        return bool(sides[0] & sides[1])

    def _least_slots(self) -> int:
        return min((item.slots for item in self.incoming), default=self.samples)

    def _refill(self, ready: Sequence[tuple[list[int], int]], sample: int, *, direct: bool) -> None:
        """Let the next sample into the buffers that this one has left."""
        for number, item in enumerate(self.incoming):
            if (not item.buffers) == direct and sample + item.slots < self.samples:
                self.main.append(Start(ready[sample + item.slots][0][number]))
        following = sample + self._least_slots()
        if direct and following < self.samples and ready[following][1] and not self._in_turn():
            self.main.append(Start(ready[following][1]))

    def _arrival_tasks(self, sample: int) -> tuple[list[int], int]:
        """A task for each link, and one for the exchanges across; 0 where there are none."""
        arrivals = []
        for number, item in enumerate(self.incoming):
            block, buffer = item.block(sample), item.buffer(sample)
            arriving = item.words.arriving
            if arriving is None:
                continue
            lists = (
                item.storage.waiting(arriving.taken, block.address, buffer)
                if item.buffers
                else (item.storage.in_block(arriving.taken, block.address))
            )
            before: list[_Step] = [Join(self.ready[-1][0][number])] if sample else []
            arrivals.append(
                self._task([*before, _OnColour(item.feature, self.context.word_list(lists), sends=False)])
            )
        if not any(not each.late for item in self.incoming for each in item.exchanges):
            return arrivals, 0
        across: list[_Step] = [Join(self.ready[-1][1])] if sample else []
        for number, item in enumerate(self.incoming):
            across.append(Join(arrivals[number]))
            across += [self._exchange(item, each, sample) for each in item.exchanges if not each.late]
        return arrivals, self._task(across)

    def _take_turn(self, item: _Incoming, sample: int) -> None:
        """Bring the block of an input together from what waits at the cores."""
        own = item.storage.own()
        if own.values.size:
            block, buffer = item.block(sample), item.buffer(sample)
            lists = [
                item.storage.waiting(own, block.address, buffer),
                item.storage.in_block(own, block.address),
            ]
            first, second = (self.context.word_list(each) for each in lists)
            self.main.append(CopyListed(first, second))
        for each in item.exchanges:
            if each.late:
                self.main.append(self._exchange(item, each, sample))

    def _exchange(self, item: _Incoming, words: ExchangeWords, sample: int) -> _Exchange:
        """The part of the cores in an exchange; those in segments of one core have none."""
        exchange = words.exchange
        settings = self.circuits.exchanges.get((exchange.along, exchange.segment, exchange.offset))
        colour = np.full(self._cores().size, -1, np.int64)
        if settings is not None:
            colour[settings.find(self._cores()) >= 0] = settings.colour
        if (colour[words.sent.rows] < 0).any():
            raise broken(
                f"kernel {self.kernel.name}",
                f"a circuit for exchanges along {exchange.along}, segment {exchange.segment}, offset {exchange.offset}",
                "none at cores that send",
            )
        if sample == 0 and settings is not None:
            sent = np.zeros(settings.core.size, np.int64)
            sent[settings.find(self._cores()[colour >= 0])] = words.sent.lengths[colour >= 0]
            self.transfers.pass_words(settings, words_of_positions(make_flow(settings), sent))
            self.transfers.take(self._cores(), colour, words.index, words.passing)
        block, buffer = item.block(sample).address, item.buffer(sample)
        taken = (
            item.storage.in_block(words.taken, block)
            if words.late
            else item.storage.waiting(words.taken, block, buffer)
        )
        feature = self._feature(colour)
        sends = self.context.word_list(item.storage.waiting(words.sent, block, buffer))
        task = self._task([_OnColour(feature, sends, sends=True)])
        return _Exchange(feature, task, self.context.word_list(taken))

    def _compute(self, sample: int, base: int) -> None:
        context = KernelContext(
            self.kernel, words=base, lists=self.context.lists, blocks=dict(self.context.blocks)
        )
        context.blocks |= {item.role: item.block(sample) for item in self.incoming}
        for number, item in enumerate(self.kernel.outputs):
            slot = sample % min(self.samples, item.slots)
            context.outputs[number] = Block(self.outputs[item.tensor, slot], item.sharding.block_shape)
        steps = self.compute(context)
        self.context.words = max(self.context.words, context.words)
        self.context.constants |= context.constants
        self._follow(steps, transfer=sample == 0)
        self.main += steps

    def _follow(self, steps: Sequence[Instruction], *, transfer: bool) -> None:
        """Find out what each core does in the collectives, and count their words in the order in which they happen."""
        for step in steps:
            if isinstance(step, Loop):
                for _ in range(step.count if transfer and _combines(step.body) else 1):
                    self._follow(step.body, transfer=transfer)
            elif (combine := _combine(step)) is not None:
                for each, feature in self._steps_of(combine):
                    if transfer:
                        each.transfer(combine.count, self.transfers)
                    if isinstance(each, RingStep) and (feature, combine) not in self.rings:
                        self.rings[feature, combine] = len(self.tasks) + 1
                        for number in range(each.steps):
                            self._task([_RingSend(feature, each, combine, number)])

    def _steps_of(self, combine: Combine) -> list[tuple[CombineStep | RingStep, int]]:
        """The steps of a collective, each with the feature that says a core's part in it."""
        key = (combine.axes, combine.everywhere)
        if key not in self.combines:
            reduces, broadcasts = self.circuits.reduces, self.circuits.broadcasts
            found = combine_steps(
                self.kernel, combine.axes, reduces, broadcasts, everywhere=combine.everywhere
            )
            self.combines[key] = [(each, self._feature(each.part)) for each in found]
        return self.combines[key]

    def _send_task(self, words: LinkWords, feature: int, sample: int, before: int | None) -> int:
        tensor = words.link.tensor
        slots = min(self.samples, next(item.slots for item in self.kernel.outputs if item.tensor == tensor))
        address = self.outputs[tensor, sample % slots]
        if words.sending is None:
            raise ValueError(f"link {words.link.name} comes from the host")
        lists = as_lists(words.sending.places.with_values(words.sending.places.values + address))
        first: list[_Step] = [] if before is None else [Join(before)]
        number = self.context.word_list(lists)
        return self._task([*first, _OnColour(feature, number, sends=True), Mark(4 * sample + 3)])

    def finish(self, fills: dict[str, NDArray[np.float32]]) -> KernelPrograms:
        """Areas of cores with equal programs, and the memory of all cores."""
        cores = self.kernel.mesh.height * self.kernel.mesh.width
        table = np.stack(self.features or [np.zeros(cores, np.int64)])
        kinds, kind = np.unique(table, axis=1, return_inverse=True)
        programs = [self._program(row) for row in kinds.T]
        grid = kind.reshape(self.kernel.mesh.height, self.kernel.mesh.width)
        areas, rows = [], []
        numbers = np.arange(cores).reshape(grid.shape)
        place = self.kernel.rectangle
        for x, y, width, height, value in rectangles(grid):
            mine = numbers[y : y + height, x : x + width].reshape(-1)
            lists = tuple(_of_cores(each, mine) for each in self.context.lists)
            words = max(1, self.context.words)
            areas.append(
                ProgramArea(place.x + 1 + x, place.y + y, width, height, programs[value], words, lists)
            )
            rows.append(mine)
        received, sent = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
        for item in self.incoming:
            received += 0 if item.words.arriving is None else item.words.arriving.taken.lengths
            for each in item.exchanges:  # those across happen beside the work on other samples too
                received += 0 if each.late else each.taken.lengths + each.sent.lengths
        for words_of, _ in self.outgoing:
            sent += 0 if words_of.sending is None else words_of.sending.elements.lengths
        return KernelPrograms(
            self.kernel, tuple(areas), tuple(rows), self._memory(fills), self.outputs, received, sent
        )

    def _program(self, row: NDArray[np.int64]) -> CoreProgram:
        return CoreProgram(
            self._resolved(self.main, row), tuple(self._resolved(task, row) for task in self.tasks)
        )

    def _resolved(self, body: Sequence[_Step], row: NDArray[np.int64]) -> tuple[Instruction, ...]:
        """The instructions of cores with these features."""
        steps: list[Instruction] = []
        for step in body:
            if isinstance(step, _OnColour | _Exchange):
                steps += _on_colour(step, int(row[step.feature]))
            elif isinstance(step, _RingSend):
                steps += step.ring.sends(int(row[step.feature]), step.combine, step.step)
            elif (combine := _combine(step)) is not None:
                for each, feature in self._steps_of(combine):
                    first_task = self.rings.get((feature, combine), 0)
                    steps += each.instructions(int(row[feature]), combine, first_task)
            elif isinstance(step, Loop) and _combines(step.body):
                steps.append(Loop(step.count, self._resolved(step.body, row)))
            else:
                steps.append(step)
        return tuple(steps)

    def _memory(self, fills: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        mesh = self.kernel.mesh
        memory = np.zeros((mesh.height * mesh.width, max(1, self.context.words)), np.float32)
        for role, values in fills.items():
            copies = [item.blocks for item in self.incoming if item.role == role]
            for block in copies[0] if copies else [self.context.blocks[role]]:
                memory[:, block.address : block.address + block.words] = values
        for address, values in self.context.constants.items():
            shape = (mesh.height, mesh.width, values.shape[2])
            memory[:, address : address + shape[2]] = np.broadcast_to(values, shape).reshape(-1, shape[2])
        return memory


def _on_colour(step: _OnColour | _Exchange, colour: int) -> list[Instruction]:
    """What cores do that have this colour there; nothing without one."""
    if colour < 0:
        return []
    if isinstance(step, _Exchange):
        return [Start(step.task), ReceiveListed(colour, step.received), Join(step.task)]
    return [SendListed(colour, step.list) if step.sends else ReceiveListed(colour, step.list)]


def _combines(body: Sequence[Instruction]) -> bool:
    """Whether there is a collective among instructions."""
    return any(_combine(step) or (isinstance(step, Loop) and _combines(step.body)) for step in body)


def _combine(step: object) -> Combine | None:
    """The collective that stands at the place of an instruction."""
    return step if isinstance(step, Combine) else None


def _of_cores(lists: WordLists, cores: NDArray[np.int64]) -> WordLists:
    """The lists of some cores, in their order."""
    lengths = (lists.starts[1:] - lists.starts[:-1])[cores]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(lists.starts[cores] - starts[:-1], lengths) + np.arange(starts[-1])
    return WordLists(starts, lists.addresses[places])
