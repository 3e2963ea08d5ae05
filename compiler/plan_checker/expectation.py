"""What a kernel should look like, derived from the node that it computes: operands, loops, reads and arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Argument

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Which elements of one dimension of an operand are read, at every position of the loop that walks through it.

    Attributes:
        extent: Elements of the dimension in the operand's view.
        loop: Loop that decides what is read; empty where every core needs the whole dimension.
        low: First element read at each position of the loop; may lie outside the dimension.
        high: Last element read at each position, plus one.
        stride: Elements between the reads of two positions.
        anchored: True where the kind counts positions from the beginning of the block, which is then the first element
            (the lowest, where `stride` is negative) that the first position of the output's block reads.
        window: True where a block must be long enough for every position of the output's padded block.
        shared: A loop that is summed over, where every element is added to one of the partial sums only: cores along it may hold
            equal shares of a block instead.
    """

    extent: int
    loop: str = ""
    low: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    high: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    stride: int = 1
    anchored: bool = True
    window: bool = False
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that the kernel reads under `role`; only on cores that hold results where `at_root`.

    `reads` describes each dimension of its view. Where `view_fits` is False they mean nothing, as the view is wrong.
    """

    role: str
    tensor: str
    reads: tuple[Read, ...]
    at_root: bool = False
    view_fits: bool = True


@dataclass(frozen=True, slots=True)
class Loop:
    """A dimension of an output's view: its extent and the loop that walks through it, empty for one that none cuts."""

    name: str
    extent: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """The kernel that a node asks for.

    Attributes:
        operands: What it reads, with the kind's roles.
        output: The dimensions of the output's view.
        reductions: Loops that are summed (or otherwise combined) over, and their extents.
        arguments: Formal arguments.
        others: The dimensions of the views of further outputs, where the node gives several.
        inner: Loops that no output follows and nothing may cut, and their extents.
    """

    operands: tuple[Operand, ...]
    output: tuple[Loop, ...]
    reductions: dict[str, int]
    arguments: dict[str, Argument]
    others: tuple[tuple[Loop, ...], ...] = ()
    inner: dict[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[tuple[Loop, ...], ...]:
        """The dimensions of the view of each output."""
        return (self.output, *self.others)


def whole(extent: int) -> Read:
    """The read of a dimension that every core needs whole."""
    return Read(extent)


def along(loop: str, extent: int) -> Read:
    """The read of a dimension that a loop walks through one by one."""
    positions = np.arange(extent, dtype=np.int64)
    return Read(extent, loop, positions, positions + 1)


def strided(loop: str, positions: int, extent: int, *, stride: int, offset: int) -> Read:
    """The read of a dimension at `position * stride + offset`."""
    low = np.arange(positions, dtype=np.int64) * stride + offset
    return Read(extent, loop, low, low + 1, stride)


def broadcast(loop: Loop, extent: int) -> Read:
    """The read of an operand's dimension that is either the output's or 1."""
    return whole(1) if extent == 1 else along(loop.name, extent)


def output_loops(shape: tuple[int, ...]) -> tuple[Loop, ...]:
    """Loops d0, d1 ... over a shape."""
    return tuple(Loop(f"d{i}", extent) for i, extent in enumerate(shape))


def aligned(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """A shape with ones in front, as ONNX broadcasts it to `rank` dimensions."""
    return (1,) * (rank - len(shape)) + shape
