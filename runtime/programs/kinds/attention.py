"""Fused attention: a turn of the rows at a time, scores, softmax over all keys, weighted values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.kernels.arguments import output_sharding, texts
from wsec.runtime.programs.context import Block
from wsec.runtime.programs.kinds.formulas import write_step
from wsec.runtime.programs.kinds.geometry import positions, sharding_of, table
from wsec.runtime.programs.kinds.products import fill
from wsec.runtime.programs.kinds.statistics import summed
from wsec.runtime.programs.kinds.tiles import Tile, part, row_major, tile_of, vectors
from wsec.runtime.programs.kinds.writer import Pool, Value, Writer
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import ChainStep
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction

_STRUCTURE: Final = frozenset({"Concat", "MatMul", "Slice", "Softmax"})
"""Steps of a body that are not element-wise."""


def attention(context: KernelContext, result: Block) -> list[Instruction]:
    """The steps of the body for each turn of rows; what all turns need of keys and values is made once."""
    kernel = context.kernel
    reader = _Reader(context)
    y = tile_of(result, texts(kernel, "out"))
    instructions = reader.steps_of_keys_and_values()
    rows = max((tile.sizes.get("m", 1) for tile in (y, reader.tiles["q"])), default=1)
    size = -(-rows // kernel.turns.get("m", 1))
    for first in range(0, rows, size):
        instructions += reader.turn(
            part(y, "m", first, min(size, rows - first)), first, min(size, rows - first)
        )
    root = output_sharding(kernel).root
    return [*instructions, *context.combine(root, y.address, y.words, Operation.ADD, everywhere=False)]


class _Reader:
    """Writes the steps of one kernel's body."""

    def __init__(self, context: KernelContext) -> None:
        kernel = context.kernel
        self.context = context
        self.pool = Pool(context)
        self.types = {item.role: item.dtype for item in kernel.inputs} | {
            step.output: step.dtype for step in kernel.body
        }
        loops = {label for role in ("q", "k", "v", "out") for label in texts(kernel, role)}
        batch = sorted(loops - {"", "m", "n", "h", "d", "t"}, key=lambda name: int(name[1:]))
        self.features = tuple(name for name in ("h", "d") if name in texts(kernel, "q"))
        self.scores = (*batch, "m", "t")
        self.orders = _orders_of_states(context)
        self.held = {"k", "v"}
        self.tiles = {item.role: self._tile(item.role) for item in kernel.inputs if item.role[:1] != "e"}
        self.there = self._keys_that_are_there()
        self.ready: set[str] = set()

    def _tile(self, role: str) -> Tile:
        """The block of an input by its loops; operands of steps that are no scalar lie as the scores do."""
        block = self.context.block(role)
        if role in {"q", "k", "v"}:
            return tile_of(block, texts(self.context.kernel, role))
        if role in self.orders:
            return tile_of(block, self.orders[role])
        if len(block.shape) != len(self.scores):
            return Tile(block.address)
        return tile_of(block, (*self.scores[:-1], "s" if role == "sink" else "t"))

    def _keys_that_are_there(self) -> Tile | None:
        """Minus infinity for keys outside the extent, else 0; None where all are there."""
        kernel = self.context.kernel
        order = texts(kernel, "k")
        if "t" not in order:
            return None
        held = sharding_of(kernel, "k").dimensions[order.index("t")]
        at = positions(held, kernel.mesh)
        there = at < held.extent
        return None if there.all() else table(self.context, np.where(there, 0, -np.inf), ["t"])

    def steps_of_keys_and_values(self) -> list[Instruction]:
        """Element-wise steps that read neither queries nor scores."""
        fixed = {role for role in self.tiles if role not in {"q", "sink"}}
        given = {role for role in fixed if role[:1] == "m"}
        instructions: list[Instruction] = []
        for step in self.context.kernel.body:
            names = {name for name in step.inputs if name}
            if step.output in self.orders:
                instructions += self._update(step)
                fixed.add(step.output)
                continue
            if step.operator in _STRUCTURE or not names <= fixed or names <= given:
                continue
            writer = Writer(self.pool)
            wires = {name: writer.given(self.tiles[name]) for name in names}
            value = write_step(self.context, writer, step, wires, self.types)
            own = row_major(self.context.scratch(_words(value)), value.sizes)
            instructions += writer.finish(value, own)
            self.tiles[step.output] = own
            self.ready.add(step.output)
            fixed.add(step.output)
        return instructions

    def _update(self, step: ChainStep) -> list[Instruction]:
        """New rows of a state, written over it: its block is that of the output too."""
        context = self.context
        marks, one, other = (self.tiles[name] for name in step.inputs)
        instructions: list[Instruction] = []
        if step.inputs[1] in self.held:  # what is marked stays
            clear = row_major(context.scratch(marks.words), marks.sizes)
            instructions = vectors(Operation.SUBTRACT, clear, Tile(context.constant(1)), marks)
            marks, rows, held = clear, other, one
        else:
            rows, held = one, other
        self.held.add(step.output)
        self.tiles[step.output] = held
        self.ready.add(step.output)
        states = texts(context.kernel, "states") if "states" in context.kernel.arguments else ()
        if step.output in states:
            number = 1 + states.index(step.output)
            context.outputs[number] = Block(held.address, context.kernel.outputs[number].sharding.block_shape)
        return [*instructions, *vectors(Operation.COPY_WHERE, held, rows, marks)]

    def turn(self, result: Tile, first: int, size: int) -> list[Instruction]:
        """The instructions for rows `[first, first + size)`."""
        writer = Writer(self.pool)
        wires = {name: writer.given(part(tile, "m", first, size)) for name, tile in self.tiles.items()}
        sink: Value | None = None
        normalised = False
        for step in self.context.kernel.body:
            given = [wires[name] for name in step.inputs if name]
            if step.output in self.ready:
                continue
            if step.operator == "MatMul":
                order = tuple(result.sizes) if normalised else self.scores
                wires[step.output] = self._product(
                    writer, given[0], given[1], order, ("t",) if normalised else self.features
                )
            elif step.operator == "Softmax":
                wires[step.output], normalised = self._softmax(writer, given[0], sink), True
            elif step.operator == "Concat":
                sink, wires[step.output] = given if step.inputs[0] == "sink" else given[::-1]
            elif step.operator == "Slice":
                wires[step.output] = given[0]
            else:
                wires[step.output] = write_step(self.context, writer, step, wires, self.types)
        return writer.finish(wires[self.context.kernel.body[-1].output], result)

    def _product(
        self, writer: Writer, left: Value, right: Value, order: Sequence[str], inner: Sequence[str]
    ) -> Value:
        sizes = {**left.sizes, **right.sizes}

        def emit(result: Tile, tiles: Sequence[Tile]) -> list[Instruction]:
            return [
                *fill(self.context, result, 0),
                *vectors(Operation.FMA, result, *tiles, summed=inner),
                *self.context.combine(
                    ["d"] if "d" in inner else [],
                    result.address,
                    result.words,
                    Operation.ADD,
                    everywhere=True,
                ),
            ]

        return writer.step({label: sizes[label] for label in order if label in sizes}, (left, right), emit)

    def _softmax(self, writer: Writer, scores: Value, sink: Value | None) -> Value:
        values = scores
        if self.there is not None:
            values = writer.vector(Operation.ADD, scores, writer.given(self.there))
        greatest = self._over(writer, values, "t", Operation.MAXIMUM, -np.inf)
        if sink is not None:
            own = self._over(writer, sink, "s", Operation.MAXIMUM, -np.inf)
            greatest = writer.vector(Operation.MAXIMUM, greatest, own)
        powers = writer.vector(Operation.EXP, writer.vector(Operation.SUBTRACT, values, greatest))
        total = self._over(writer, powers, "t", Operation.ADD, 0)
        if sink is not None:
            shifted = writer.vector(Operation.SUBTRACT, sink, greatest)
            own = self._over(writer, writer.vector(Operation.EXP, shifted), "s", Operation.ADD, 0)
            total = writer.vector(Operation.ADD, total, own)
        return writer.vector(
            Operation.MULTIPLY, powers, writer.vector(Operation.DIVIDE, writer.constant(1), total)
        )

    def _over(self, writer: Writer, value: Value, label: str, operation: Operation, start: float) -> Value:
        """A statistic of every row: of the keys of all cores, or of the sink's columns, which every core has."""

        def emit(result: Tile, tiles: Sequence[Tile]) -> list[Instruction]:
            axes = ["t"] if label == "t" else []
            return [
                *fill(self.context, result, start),
                *summed(operation, result, result, tiles[0], (label,)),
                *self.context.combine(axes, result.address, result.words, operation, everywhere=True),
            ]

        return writer.step(
            {name: size for name, size in value.sizes.items() if name != label}, (value,), emit
        )


def _orders_of_states(context: KernelContext) -> dict[str, tuple[str, ...]]:
    """The loops of what updates of states read and give, by role and step: those of the state."""
    kernel = context.kernel
    held = {role: texts(kernel, role) for role in ("k", "v")}
    found: dict[str, tuple[str, ...]] = {}
    for step in kernel.body:
        if not any(name[:1] == "u" for name in step.inputs):
            continue
        states = [name for name in step.inputs[1:] if name in held]
        if step.operator != "Where" or len(states) != 1:
            raise context.refuse(f"updates of states by {step.operator}")
        order = held[step.output] = held[states[0]]
        found |= dict.fromkeys({*step.inputs, step.output} - {"k", "v"}, order)
    return found


def _words(value: Value) -> int:
    return int(np.prod(list(value.sizes.values()), initial=1))
