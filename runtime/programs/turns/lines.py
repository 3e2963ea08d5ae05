"""All-reduces along the lines of a rectangle as routes and parts of cores: towards the root, and out from there.

A message goes from a core to the one that adds its words. Messages whose ways along a line have a router in common have colours of
their own, but for a star, whose cores send one behind the other on the way to the root. From the root the result leaves for the lower
cores of the line, then for the higher ones (docs/modes.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Circuit, Rectangle, RouterArea
from wsec.runtime.collectives import children, parents, root_of
from wsec.runtime.programs.flow import make_flow, words_of_positions
from wsec.runtime.programs.links import grid_cores
from wsec.runtime.programs.settings import expand
from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.simulator.instructions import (
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    Send,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Collective, Kernel
    from wsec.compiler.sharding import Mesh
    from wsec.runtime.programs.events import Transfers
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.simulator.instructions import Instruction, Operation

    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

_LETTERS: Final = {"columns": str.maketrans("AB", "WE"), "rows": str.maketrans("AB", "NS")}
"""Ports towards lower and higher cores of a line, by the side that its axis lies on."""


@dataclass(frozen=True, slots=True)
class LinePart:
    """What a core does in a step.

    Attributes:
        receives: The colours on which words come, in the order in which they are added.
        sends: The colour on which it sends; -1 if it does not.
    """

    receives: tuple[int, ...] = ()
    sends: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class LineStep:
    """Partial results towards the root of an axis, or a result from there in one direction.

    Attributes:
        parts: What cores may do.
        part: int64 [cores], which of these each does.
        circuits: On which colours.
        cores: int64 [cores], as numbers of the simulated grid.
        combines: Whether what comes is added; else it is taken as it is.
        wakes: Whether messages wake the task that adds them, each by a word of its own.
    """

    parts: tuple[LinePart, ...]
    part: Numbers
    circuits: tuple[Settings, ...]
    cores: Numbers
    combines: bool
    wakes: bool = False

    def transfer(self, words: Numbers, transfers: Transfers) -> None:
        """The turns of switches when each core has so many words, int64 [cores]."""
        sends = np.array([part.sends for part in self.parts])[self.part]
        for settings in self.circuits:
            if not settings.several.any():
                continue
            sent = np.zeros(settings.core.size, np.int64)
            mine = sends == settings.colour
            sent[settings.find(self.cores[mine])] = words[mine]
            transfers.pass_words(settings, words_of_positions(make_flow(settings), sent))

    def instructions(
        self, part: int, operation: Operation, chunks: Sequence[tuple[int, int]]
    ) -> list[Instruction]:
        """What a core with this part does with words in chunks, (address, count) each."""
        mine = self.parts[part]
        if not chunks:
            return []
        if not self.combines:
            taken: list[Instruction] = [Receive(c, n, a) for c in mine.receives for a, n in chunks]
            return [*taken, *([Send(mine.sends, n, a) for a, n in chunks] if mine.sends >= 0 else [])]
        wake: list[Instruction] = (
            [Send(mine.sends, 1, chunks[0][0])] if mine.sends >= 0 and self.wakes else []
        )
        if not mine.receives:
            return [*wake, *([Send(mine.sends, n, a) for a, n in chunks] if mine.sends >= 0 else [])]
        steps: list[Instruction] = []
        for number, colour in enumerate(mine.receives):
            if self.wakes:
                steps.append(Wait(colour))
            if mine.sends >= 0 and number == len(mine.receives) - 1:
                steps += wake
                steps += [ReceiveCombineSend(operation, colour, mine.sends, n, a) for a, n in chunks]
            else:
                steps += [ReceiveCombine(operation, colour, n, a) for a, n in chunks]
        return steps


@dataclass(slots=True)
class Lines:
    """Makes the steps of one rectangle; all circuits of it have colours of their own.

    Attributes:
        name: Of what it is for, in messages.
        mesh: Of the rectangle, whose first core is the first of the region.
        collectives: By axis.
        region: Columns and rows.
        colours: That there are.
    """

    name: str
    mesh: Mesh
    collectives: Mapping[str, Collective]
    region: tuple[int, int]
    colours: int
    used: int = 0
    _reduces: dict[tuple[str, tuple[str, ...]], LineStep] = field(default_factory=dict)
    _outs: dict[tuple[str, tuple[str, ...]], tuple[LineStep, ...]] = field(default_factory=dict)

    @property
    def cores(self) -> Numbers:
        """As numbers of the simulated grid, by row and column."""
        return grid_cores(Rectangle(0, 0, self.mesh.width, self.mesh.height), self.region[0] + 2)

    def root(self, axis: str) -> int:
        """The index along an axis at which its results are made."""
        item = self._collective(axis)
        return root_of(item.algorithm, item.group, self.mesh.size(axis), item.root)

    def at_roots(self, axes: Sequence[str]) -> Flags:
        """True for the cores at the roots of all these axes, [cores]."""
        found = np.ones((self.mesh.height, self.mesh.width), np.bool_)
        for axis in axes:
            found = found & (self.mesh.coordinate(axis) == self.root(axis))
        return found.reshape(-1)

    def reduce(self, axes: Sequence[str]) -> list[LineStep]:
        """Towards the root of all these axes, the last of the mesh first."""
        order = sorted(axes, key=self.mesh.index, reverse=True)
        return [self._reduce(axis, tuple(order[:number])) for number, axis in enumerate(order)]

    def broadcast(self, axes: Sequence[str]) -> list[LineStep]:
        """From the root of all these axes to all cores, the first of the mesh first."""
        order = sorted(axes, key=self.mesh.index)
        found: list[LineStep] = []
        for number, axis in enumerate(order):
            found += self._broadcast(axis, tuple(order[number + 1 :]))
        return found

    def pieces(
        self, axis: str, others: Sequence[str], places: range, root: int
    ) -> tuple[tuple[Settings, Settings], tuple[Settings, Settings]]:
        """Circuits from the root of an axis to cores around it, and back: of either towards the lower cores first.

        Out, a router passes on the words of the cores behind it, then takes those of its core; back, a core sends its own, then passes on
        those of the cores behind it.
        """
        found = []
        for out in (True, False):
            pair = []
            for upwards in (False, True):
                first = self._take(axis, others, 1)
                line = _pieces_line(self.mesh.size(axis), places, root, out=out, upwards=upwards)
                pair.append(self._settings(axis, others, line, first, 0))
            found.append((pair[0], pair[1]))
        return found[0], found[1]

    def _collective(self, axis: str) -> Collective:
        if axis not in self.collectives:
            raise not_simulated(self.name, f"no collective along axis {axis}")
        return self.collectives[axis]

    def _reduce(self, axis: str, done: tuple[str, ...]) -> LineStep:
        if (axis, done) not in self._reduces:
            self._reduces[axis, done] = self._new_reduce(axis, done)
        return self._reduces[axis, done]

    def _broadcast(self, axis: str, later: tuple[str, ...]) -> tuple[LineStep, ...]:
        if (axis, later) not in self._outs:
            self._outs[axis, later] = self._new_broadcast(axis, later)
        return self._outs[axis, later]

    def _new_reduce(self, axis: str, done: tuple[str, ...]) -> LineStep:
        item, size = self._collective(axis), self.mesh.size(axis)
        try:
            above = parents(item.algorithm, item.group, size, item.root)
        except ValueError:
            raise not_simulated(self.name, f"the algorithm {item.algorithm} along axis {axis}") from None
        added = children(item.algorithm, item.group, size, item.root)
        star = item.algorithm == "star"
        root = self.root(axis)
        channel = _of_star(size, root) if star else _colouring(above)
        count = int(channel.max(initial=-1)) + 1
        first = self._take(axis, done, count)
        instance = self._instance(axis, done)
        parts = [
            LinePart(tuple(int(channel[child]) for child in added[core]), int(channel[core]))
            for core in range(size)
        ]
        circuits = [
            self._settings(
                axis,
                done,
                _star_line(size, root, number) if star else _message_line(above, channel, number),
                first + offset * count + number,
                offset,
            )
            for number in range(count)
            for offset in range(int(instance.max(initial=-1)) + 1)
        ]
        wakes = item.root == "middle" and not star
        return self._step(axis, instance, parts, circuits, (first, count), combines=True, wakes=wakes)

    def _new_broadcast(self, axis: str, later: tuple[str, ...]) -> tuple[LineStep, ...]:
        size, root = self.mesh.size(axis), self.root(axis)
        instance = self._instance(axis, later)
        found = []
        for upwards, end in ((False, 0), (True, size - 1)):
            if root == end:
                continue
            first = self._take(axis, later, 1)
            lower, higher = ("A", "B") if upwards else ("B", "A")
            reached = range(root + 1, size) if upwards else range(root)
            line: list[tuple[str, ...]] = [()] * size
            for core in reached:
                line[core] = (f"{lower}>R",) if core == end else (f"{lower}>{higher}R",)
            line[root] = (f"R>{higher}",)
            parts = [LinePart((0,)) if core in reached else LinePart() for core in range(size)]
            parts[root] = LinePart((), 0)
            lines = range(int(instance.max(initial=-1)) + 1)
            circuits = [self._settings(axis, later, line, first + offset, offset) for offset in lines]
            found.append(self._step(axis, instance, parts, circuits, (first, 1), combines=False, wakes=False))
        return tuple(found)

    def _step(
        self,
        axis: str,
        instance: Numbers,
        parts: Sequence[LinePart],
        circuits: Sequence[Settings],
        channels: tuple[int, int],
        *,
        combines: bool,
        wakes: bool,
    ) -> LineStep:
        """Parts by the index along the axis, whose channels become colours."""
        first, count = channels
        coordinate = np.broadcast_to(self.mesh.coordinate(axis), (self.mesh.height, self.mesh.width)).reshape(
            -1
        )
        numbers: dict[LinePart, int] = {LinePart(): 0}
        number_of = [
            numbers.setdefault(_on_colours(own, first + offset * count), len(numbers))
            for offset in range(int(instance.max(initial=-1)) + 1)
            for own in parts
        ]
        keys = instance * self.mesh.size(axis) + coordinate
        part = np.where(instance >= 0, np.array([*number_of, 0])[np.where(instance >= 0, keys, 0)], 0)
        return LineStep(tuple(numbers), part, tuple(circuits), self.cores, combines, wakes)

    def _instance(self, axis: str, others: Sequence[str]) -> Numbers:
        """For cores that take part, which of the lines that share their routers theirs is, from 0; -1 for others."""
        offset = self._position(axis) % self.mesh.spacing(axis)
        taking = self.at_roots(others)
        _, number = np.unique(offset[taking], return_inverse=True)
        found = np.full(offset.size, -1, np.int64)
        found[taking] = number
        return found

    def _position(self, axis: str) -> Numbers:
        """Of every core on its line, [cores]."""
        row, column = np.divmod(np.arange(self.mesh.height * self.mesh.width), self.mesh.width)
        return row if self._side(axis) == "rows" else column

    def _side(self, axis: str) -> str:
        return self.mesh.axes[self.mesh.index(axis)].side

    def _take(self, axis: str, others: Sequence[str], channels: int) -> int:
        """The first of so many new colours for each of the lines that share their routers."""
        lines = int(self._instance(axis, others).max(initial=-1)) + 1
        first = self.used
        self.used += channels * lines
        if self.used > self.colours:
            raise WsecError(
                code="WSEC387",
                what="the collectives of a turn need more colours than there are",
                where=self.name,
                expected=f"at most {self.colours} colours, those that the host does not keep",
                found=f"{self.used} up to the all-reduce along axis {axis}, of which {lines} share their routers",
                hint="compile with `--collective star`, which needs two colours for each all-reduce",
            )
        return first

    def _settings(
        self, axis: str, others: Sequence[str], line: Sequence[tuple[str, ...]], colour: int, offset: int
    ) -> Settings:
        """Of the settings along an axis those along the lines of the rectangle; between its cores words pass."""
        side, spacing = self._side(axis), self.mesh.spacing(axis)
        position, instance = self._position(axis), self._instance(axis, others)
        start = int((position[instance == offset] % spacing).min())
        long = self.mesh.height if side == "rows" else self.mesh.width
        physical: list[tuple[str, ...]] = [()] * long
        for segment in range(0, long, spacing * len(line)):
            for core, positions in enumerate(line):
                at = segment + start + core * spacing
                physical[at] = positions
                for text in positions:
                    _pass_on(physical, at, spacing, text)
        return expand(
            Circuit(colour, "reduce", self.name, tuple(self._areas(physical, side)), axis=side),
            width=self.region[0],
            height=self.region[1],
            edges=False,
        )

    def _areas(self, line: Sequence[tuple[str, ...]], side: str) -> list[RouterArea]:
        letters, start, found = _LETTERS[side], 0, []
        for at in range(1, len(line) + 1):
            if at < len(line) and line[at] == line[start]:
                continue
            positions = tuple(text.translate(letters) for text in line[start])
            if positions and side == "rows":
                found.append(RouterArea(0, start, self.mesh.width, at - start, positions))
            elif positions:
                found.append(RouterArea(start, 0, at - start, self.mesh.height, positions))
            start = at
        return found


def _on_colours(part: LinePart, first: int) -> LinePart:
    """A part whose channels count from a colour on."""
    sends = first + part.sends if part.sends >= 0 else -1
    return LinePart(tuple(first + channel for channel in part.receives), sends)


def _pass_on(physical: list[tuple[str, ...]], at: int, spacing: int, text: str) -> None:
    """Routers between neighbours of an axis whose cores are several hops apart pass their words on."""
    outputs = text.partition(">")[2]
    for step in range(1, spacing):
        if "B" in outputs:
            physical[at + step] = ("A>B",)
        if "A" in outputs:
            physical[at - step] = ("B>A",)


def _colouring(above: Sequence[int]) -> Numbers:
    """The channel on which each core of a line sends: the least that no message has with which it shares a router; -1 of the root."""
    channel = np.full(len(above), -1, np.int64)
    spans = sorted((min(core, up), max(core, up), core) for core, up in enumerate(above) if up >= 0)
    ends: list[int] = []
    for first, last, core in spans:
        free = next((number for number, end in enumerate(ends) if end < first), len(ends))
        if free == len(ends):
            ends.append(last)
        ends[free] = last
        channel[core] = free
    return channel


def _of_star(size: int, root: int) -> Numbers:
    """Lower cores send on the first channel, higher ones on the next."""
    channel = np.where(np.arange(size) < root, 0, 1 if root else 0)
    channel[root] = -1
    return channel.astype(np.int64)


def _message_line(above: Sequence[int], channel: Numbers, number: int) -> list[tuple[str, ...]]:
    """The settings along a line of the messages of one channel, which have no router in common."""
    line: list[tuple[str, ...]] = [()] * len(above)
    for core in np.flatnonzero(channel == number).tolist():
        up = above[core]
        step, towards, back = (1, "B", "A") if up > core else (-1, "A", "B")
        line[core] = (f"R>{towards}",)
        for between in range(core + step, up, step):
            line[between] = (f"{back}>{towards}",)
        line[up] = (f"{back}>R",)
    return line


def _star_line(size: int, root: int, number: int) -> list[tuple[str, ...]]:
    """The same of a star: each core sends its own words, then passes on those of the cores behind it."""
    line: list[tuple[str, ...]] = [()] * size
    lower = number == 0 and root > 0
    towards, back = ("B", "A") if lower else ("A", "B")
    end = 0 if lower else size - 1
    for core in range(root) if lower else range(root + 1, size):
        line[core] = (f"R>{towards}",) if core == end else (f"R>{towards}", f"{back}>{towards}")
    line[root] = (f"{back}>R",)
    return line


def _pieces_line(size: int, places: range, root: int, *, out: bool, upwards: bool) -> list[tuple[str, ...]]:
    """The settings along a line between the root and the cores on one side of it."""
    line: list[tuple[str, ...]] = [()] * size
    reached = range(root + 1, places.stop) if upwards else range(places.start, root)
    if not reached:
        return line
    near, far = ("A", "B") if upwards else ("B", "A")
    end = reached[-1] if upwards else reached[0]
    for core in reached:
        own, passing = (f"{near}>R", f"{near}>{far}") if out else (f"R>{near}", f"{far}>{near}")
        both = (passing, own) if out else (own, passing)
        line[core] = (own,) if core == end else both
    line[root] = (f"R>{far}",) if out else (f"{far}>R",)
    return line


def reduced_first(kernel: Kernel) -> tuple[str, ...]:
    """The axes along which the kernel's result is combined."""
    return tuple(name for name in kernel.outputs[0].sharding.root if kernel.mesh.size(name) > 1)
