"""Runs core programs of one kernel instruction by instruction, without a fabric: numpy over all cores, one vector at a time.

Shares nothing with the simulator's engine but the records of instructions. Cores talk at `Combine` alone,
whose order is that of `wsec.runtime.collectives`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.blocks import gather, scatter
from wsec.runtime.collectives import combine
from wsec.runtime.executor import block_fill
from wsec.runtime.programs.context import Combine, KernelContext
from wsec.runtime.programs.kinds.geometry import by_core
from wsec.runtime.programs.kinds.registry import COMPUTE
from wsec.runtime.simulator.instructions import (
    CopyListed,
    CoreProgram,
    Instruction,
    LookUp,
    Loop,
    Operation,
    ProgramArea,
    Vector,
)
from wsec.runtime.simulator.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel

    Array = NDArray[Any]


def interpreted(kernel: Kernel, tensors: Mapping[str, Array]) -> Array:
    """The kernel's output, in the shape of its view, as its cores' programs leave it."""
    prepared = prepare(kernel, tensors)
    context, cores = prepared.context, prepared.cores
    before = {role: cores.read(block.address, block.words) for role, block in context.blocks.items()}
    with np.errstate(all="ignore"):
        cores.run(prepared.instructions, ())
    for role, block in context.blocks.items():
        np.testing.assert_array_equal(
            cores.read(block.address, block.words), before[role], f"{role} was overwritten"
        )
    return prepared.output()


def on_engine(kernel: Kernel, tensors: Mapping[str, Array]) -> tuple[Array, int]:
    """The same by the engines of the simulator, for kernels whose cores do not talk, and the cycles that they took."""
    prepared = prepare(kernel, tensors)
    mesh, cores = kernel.mesh, prepared.cores
    program = CoreProgram(tuple(prepared.instructions))
    area = ProgramArea(
        0, 0, mesh.width, mesh.height, program, prepared.context.words, tuple(prepared.context.lists)
    )
    simulation = Simulation((), (area,), width=mesh.width, height=mesh.height)
    before = by_core(cores.memory, mesh)
    for y, x in np.ndindex(mesh.height, mesh.width):
        simulation.memory(x, y)[:] = before[y, x]
    cycles = simulation.run_to_end().cycles
    memory = simulation.memories(0).reshape(mesh.height, mesh.width, -1)
    cores.memory = cores.by_mesh(memory)
    return prepared.output(), cycles


@dataclass(frozen=True)
class Prepared:
    """A kernel's program, and the memories of its cores when it begins."""

    context: KernelContext
    instructions: list[Instruction]
    cores: _Cores

    def output(self) -> Array:
        """The kernel's output, in the shape of its view, as it now lies in the memories."""
        kernel, output = self.context.kernel, self.context.output()
        read = self.cores.read(output.address, output.words)
        blocks = read.reshape((*kernel.mesh.shape, *output.shape))
        return gather(blocks, kernel.outputs[0].sharding, kernel.mesh)


def prepare(kernel: Kernel, tensors: Mapping[str, Array]) -> Prepared:
    """The program of a kernel, and memories with its inputs."""
    context = KernelContext(kernel)
    instructions = COMPUTE[kernel.kind](context)
    cores = _Cores(context)
    for item in kernel.inputs:
        values = tensors[item.tensor].astype(np.float32)
        blocks = scatter(values, item.sharding, kernel.mesh, block_fill(kernel, item))
        block = context.block(item.role)
        cores.write(block.address, blocks.reshape(*blocks.shape[: len(kernel.mesh.axes)], -1))
    return Prepared(context, instructions, cores)


class _Cores:
    """The memories of a kernel's cores, float32 [mesh axes, words]; what nobody wrote is no number."""

    def __init__(self, context: KernelContext) -> None:
        self.mesh = context.kernel.mesh
        self.collectives = context.kernel.collectives
        self.rank = len(self.mesh.axes)
        self.memory = np.zeros((*self.mesh.shape, context.words), np.float32)
        for address, values in context.constants.items():
            shape = (self.mesh.height, self.mesh.width, values.shape[2])
            self.write(address, self.by_mesh(np.broadcast_to(values, shape)))
        self.lists = []
        for lists in context.lists:
            parts = np.split(lists.addresses, lists.starts[1:-1])
            cores = np.arange(self.mesh.height * self.mesh.width).reshape(
                self.mesh.height, self.mesh.width, 1
            )
            self.lists.append([parts[core] for core in self.by_mesh(cores).ravel()])

    def by_mesh(self, values: Array) -> Array:
        """Values [height, width, n] as [mesh axes, n]."""
        axes = self.mesh.axes
        rows = [index for index, axis in enumerate(axes) if axis.side == "rows"]
        columns = [index for index, axis in enumerate(axes) if axis.side == "columns"]
        split = values.reshape([axes[index].size for index in (*rows, *columns)] + [values.shape[2]])
        return split.transpose([*np.argsort([*rows, *columns]), self.rank])

    def write(self, address: int, values: Array) -> None:
        """The same place on every core gets that core's words."""
        self.memory[..., address : address + values.shape[-1]] = values

    def read(self, address: int, words: int) -> Array:
        """A copy of words of every core."""
        return self.memory[..., address : address + words].copy()

    def run(self, instructions: Sequence[Instruction | Combine], iterations: tuple[int, ...]) -> None:
        """Each in turn, inside loops that are at these iterations."""
        for step in instructions:
            match step:
                case Loop():
                    for index in range(step.count):
                        self.run(step.body, (*iterations, index))
                case Vector():
                    self._vector(step, iterations)
                case LookUp():
                    self._look_up(step, iterations)
                case CopyListed():
                    self._copy(self.lists[step.list_from], self.lists[step.list_to])
                case Combine():
                    self._combine(step)
                case _:
                    raise NotImplementedError(step)

    def _moved(
        self, step: Vector | LookUp, iterations: tuple[int, ...], addresses: tuple[int, int, int]
    ) -> list[int]:
        assert len(step.steps) == len(iterations), "steps for each loop around"
        return [
            address + sum(index * moves[place] for index, moves in zip(iterations, step.steps, strict=True))
            for place, address in enumerate(addresses)
        ]

    def _vector(self, step: Vector, iterations: tuple[int, ...]) -> None:
        starts = self._moved(step, iterations, (step.result, step.left, step.right))
        together = step.strides[0] != 0 or step.length == 1
        for element in [np.arange(step.length)] if together else np.arange(step.length)[:, None]:
            result, left, right = (
                start + element * stride for start, stride in zip(starts, step.strides, strict=True)
            )
            assert min(result.min(), left.min(), right.min()) >= 0
            held, first, second = (self.memory[..., at] for at in (result, left, right))
            self.memory[..., result] = _apply(step.operation, held, first, second)

    def _look_up(self, step: LookUp, iterations: tuple[int, ...]) -> None:
        result, table, index = self._moved(step, iterations, (step.result, step.table, step.index))
        rows = self.memory[..., index].astype(np.int64) - step.first
        words = table + np.clip(rows, 0, step.rows - 1)[..., None] * step.length + np.arange(step.length)
        found = np.take_along_axis(self.memory, words, axis=-1)
        there = (rows >= 0) & (rows < step.rows)
        self.memory[..., result : result + step.length] = np.where(there[..., None], found, np.float32(0))

    def _copy(self, sources: list[Array], targets: list[Array]) -> None:
        flat = self.memory.reshape(-1, self.memory.shape[-1])
        for core, (source, target) in enumerate(zip(sources, targets, strict=True)):
            flat[core, target] = flat[core, source]

    def _combine(self, step: Combine) -> None:
        words = self.read(step.address, step.count)
        places = [self.mesh.index(name) for name in step.axes]
        operation = step.operation

        def combined(own: Array, received: Array) -> Array:
            return _apply(operation, own, own, received)

        words = combine(words, self.mesh, step.axes, combined, self.collectives)
        if step.everywhere:
            self.write(step.address, words)
        else:  # cores elsewhere keep something that is no result
            self.write(step.address, np.full_like(self.read(step.address, step.count), np.nan))
            root = tuple(slice(1) if place in places else slice(None) for place in range(self.rank))
            self.memory[(*root, slice(step.address, step.address + step.count))] = words


_ERF = np.frompyfunc(math.erf, 1, 1)


def _apply(operation: Operation, held: Array, left: Array, right: Array) -> Array:
    if operation in _HELD:
        return _HELD[operation](held, left, right)
    if operation in _SERIES:
        operands = [left.astype(np.float64)] + (
            [right.astype(np.float64)] if operation is Operation.POWER else []
        )
        return np.asarray(_SERIES[operation](*operands), np.float64).astype(np.float32)
    if operation in _TWO:
        return np.asarray(_TWO[operation](left, right), np.float32)
    return np.asarray(_ONE[operation](left), np.float32)


_HELD: dict[Operation, Callable[[Array, Array, Array], Array]] = {
    Operation.FMA: lambda held, left, right: held + left * right,
    Operation.COPY_WHERE: lambda held, left, right: np.where(right != 0, left, held),
}
_SERIES: dict[Operation, Callable[..., Any]] = {
    Operation.EXP: np.exp,
    Operation.EXP_MINUS_ONE: np.expm1,
    Operation.LOG: np.log,
    Operation.LOG_ONE_PLUS: np.log1p,
    Operation.TANH: np.tanh,
    Operation.ERF: _ERF,
    Operation.SINE: np.sin,
    Operation.COSINE: np.cos,
    Operation.POWER: np.power,
}
_TWO: dict[Operation, Callable[[Array, Array], Any]] = {
    Operation.ADD: np.add,
    Operation.SUBTRACT: np.subtract,
    Operation.MULTIPLY: np.multiply,
    Operation.DIVIDE: np.divide,
    Operation.MAXIMUM: lambda left, right: np.where((left >= right) | np.isnan(left), left, right),
    Operation.MINIMUM: lambda left, right: np.where((left <= right) | np.isnan(left), left, right),
    Operation.EQUAL: np.equal,
    Operation.GREATER: np.greater,
    Operation.GREATER_OR_EQUAL: np.greater_equal,
}
_ONE: dict[Operation, Callable[[Array], Any]] = {
    Operation.COPY: np.asarray,
    Operation.NEGATE: np.negative,
    Operation.ABSOLUTE: np.abs,
    Operation.SIGN: np.sign,
    Operation.FLOOR: np.floor,
    Operation.CEILING: np.ceil,
    Operation.ROUND: np.rint,
    Operation.IS_NAN: np.isnan,
    Operation.SQUARE_ROOT: np.sqrt,
}
