"""What a kernel's arithmetic sees when it is made into instructions: where its blocks lie, and how cores combine.

Every core of a kernel runs the same instructions on memory that is laid out alike; addresses count words of 32 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.simulator.instructions import COMBINING, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.simulator.instructions import Instruction, WordLists


@dataclass(frozen=True, slots=True)
class Block:
    """A padded block in core memory, row-major, the same place on every core of the kernel."""

    address: int
    shape: tuple[int, ...]

    @property
    def words(self) -> int:
        """Words that it takes."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Combine:
    """Partial results of the cores along mesh axes are combined; stands for the instructions of each core's part in it.

    Attributes:
        axes: Names of mesh axes; they are combined from the last of the mesh to the first.
        address: Of the words, the same on every core.
        count: Words of a core.
        operation: `ADD`, `MULTIPLY`, `MAXIMUM` or `MINIMUM`.
        everywhere: The result comes back to all cores; else it lies at index 0 of the axes, and the others keep what they
            happen to hold.
    """

    axes: tuple[str, ...]
    address: int
    count: int
    operation: Operation
    everywhere: bool


@dataclass(slots=True)
class KernelContext:
    """Lays out the memory of a kernel's cores while its instructions are made.

    Blocks of inputs hold their elements, and outside the extents the fill that the executor uses, when the instructions
    begin. They stay as they are: instructions write to outputs and scratch words only, as blocks of weights are loaded
    once and what lies outside the extents is written once.
    """

    kernel: Kernel
    words: int = 0
    blocks: dict[str, Block] = field(default_factory=dict)
    outputs: dict[int, Block] = field(default_factory=dict)
    constants: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    lists: list[WordLists] = field(default_factory=list)
    _values: dict[bytes, int] = field(default_factory=dict)

    def block(self, role: str) -> Block:
        """The filled block of an input. Raises KeyError where the kernel has none of that role."""
        if role not in self.blocks:
            sharding = {item.role: item.sharding for item in self.kernel.inputs}[role]
            self.blocks[role] = Block(self.scratch(sharding.block_elements), sharding.block_shape)
        return self.blocks[role]

    def output(self, number: int = 0) -> Block:
        """The block of an output, which the instructions fill."""
        if number not in self.outputs:
            sharding = self.kernel.outputs[number].sharding
            self.outputs[number] = Block(self.scratch(sharding.block_elements), sharding.block_shape)
        return self.outputs[number]

    def scratch(self, words: int) -> int:
        """The address of so many further words; they hold 0 before the first sample, and what they held after it."""
        if words < 0:
            raise ValueError(f"{words} words of memory")
        address = self.words
        self.words += words
        return address

    def constant(self, value: float) -> int:
        """The address of a word that holds this value on every core; equal values share one."""
        word = np.full((1, 1, 1), value, np.float32)
        key = word.tobytes()
        if key not in self._values:
            self._values[key] = self.table(word)
        return self._values[key]

    def table(self, values: NDArray[np.float32]) -> int:
        """The address of `n` words that hold `values`, float32 [height, width, n], or 1 for a side along which they agree.

        Raises:
            ValueError: The values are not those of the kernel's cores.
        """
        mesh = self.kernel.mesh
        np.broadcast_shapes(values.shape, (mesh.height, mesh.width, values.shape[2]))
        address = self.scratch(values.shape[2])
        self.constants[address] = values
        return address

    def word_list(self, lists: WordLists) -> int:
        """The number of a list of addresses for each core of the kernel, by row, then column: what `CopyListed` names."""
        self.lists.append(lists)
        return len(self.lists) - 1

    def combine(
        self, axes: Iterable[str], address: int, count: int, operation: Operation, *, everywhere: bool
    ) -> list[Instruction]:
        """Instructions that combine `count` words from `address` on over the cores along mesh axes, in the contract's order.

        Axes that the mesh has not are left out: nothing is cut there. The operation is `ADD`,
        `MULTIPLY`, `MAXIMUM` or `MINIMUM`.

        Raises:
            ValueError: Another operation.
        """
        if operation not in COMBINING:
            raise ValueError(f"partial results are not combined by {operation.name}")
        wanted = frozenset(axes)
        present = tuple(axis.name for axis in self.kernel.mesh.axes if axis.name in wanted and axis.size > 1)
        if not present:
            return []
        # it stands for instructions that differ by core, and is replaced before the program is assembled
        return [cast("Instruction", Combine(present, address, count, operation, everywhere))]

    def refuse(self, subject: str, hint: str = "") -> Exception:
        """WSEC596, to be raised where the kind has no program for something in this kernel."""
        return not_simulated(f"kernel {self.kernel.name} of kind {self.kernel.kind}", subject, hint)
