"""The partition problem and its result, independent of ONNX and of placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

Objective = Literal["longest", "sum"]
"""What is to be least: the longest interval of a part, for wafers that work at once; the sum, for phases that take turns."""
TOO_LARGE: Final = 1 << 40
"""The area of a kernel that no number of cores makes fast enough. Sums of a million of them still fit in int64."""


@dataclass(frozen=True, slots=True, eq=False)
class PartitionKernel:
    """A kernel and how many cores it needs for how much time.

    Attributes:
        name: What messages call it.
        cycles: Times, ascending.
        areas: The least cores within each of these times, never rising.
    """

    name: str
    cycles: Integers
    areas: Integers


@dataclass(frozen=True, slots=True)
class PartitionNet:
    """Words of a sample that go from one kernel to others, by index; no words for an order without a transfer."""

    source: int
    targets: tuple[int, ...]
    words: int


@dataclass(frozen=True, slots=True, eq=False)
class PartitionProblem:
    """Kernels for a chain of parts.

    Attributes:
        kernels: In topological order.
        nets: Between them, each from a kernel to later ones.
        parts: How many; none is empty.
        capacity: Cores of each part.
        cycles_per_word: Between neighbouring parts, in which one word crosses.
        part_name: What messages call a part.

    Raises:
        WsecError: WSEC360 malformed: no capacity, a curve that rises, a net that is not between
            kernels or goes backwards. WSEC361 no parts, or more than kernels.
    """

    kernels: tuple[PartitionKernel, ...]
    nets: tuple[PartitionNet, ...]
    parts: int
    capacity: int
    cycles_per_word: float = 0.0
    part_name: str = "wafer"

    def __post_init__(self) -> None:
        _check_numbers(self)
        for kernel in self.kernels:
            _check_curve(kernel)
        for position, net in enumerate(self.nets):
            _check_net(net, position, len(self.kernels))


@dataclass(frozen=True, slots=True)
class KernelPartition:
    """A part for each kernel; no net goes to an earlier part.

    Attributes:
        part: Of each kernel, from 0.
        interval: Cycles of the slowest part, or of the words between two neighbouring parts where they take longer. Where
            the sum was to be least, that of the cycles of all parts and of all words across.
        interval_bound: No partition is faster: each part would need more cores than it has.
        part_intervals: Of each part, the least cycles within which its kernels need no more cores than there are.
        crossing_words: Between each part and the next, words of a sample. What goes further crosses each of them.
    """

    part: tuple[int, ...]
    interval: int
    interval_bound: int
    part_intervals: tuple[int, ...]
    crossing_words: tuple[int, ...]


def areas_within(kernels: Sequence[PartitionKernel], time: int) -> Integers:
    """The least cores of each kernel within `time` cycles; `TOO_LARGE` where none are enough."""
    known: dict[int, int] = {}
    for kernel in kernels:
        if id(kernel.cycles) not in known:
            known[id(kernel.cycles)] = int(np.searchsorted(kernel.cycles, time, side="right"))
    counts = [known[id(kernel.cycles)] for kernel in kernels]
    return np.array(
        [
            kernel.areas[count - 1] if count else TOO_LARGE
            for kernel, count in zip(kernels, counts, strict=True)
        ],
        dtype=np.int64,
    )


def _check_numbers(problem: PartitionProblem) -> None:
    if not 1 <= problem.parts <= len(problem.kernels):
        raise _no_such_number(problem)
    if problem.capacity < 1:
        raise _malformed("capacity", "at least 1", str(problem.capacity))
    if not 0 <= problem.cycles_per_word < float("inf"):
        raise _malformed("cycles_per_word", "a number of at least 0", str(problem.cycles_per_word))


def _check_curve(kernel: PartitionKernel) -> None:
    falls = (
        len(kernel.cycles) == len(kernel.areas) > 0
        and int(kernel.cycles[0]) >= 0
        and int(kernel.areas[-1]) > 0
        and bool((np.diff(kernel.cycles) >= 0).all())
        and bool((np.diff(kernel.areas) <= 0).all())
    )
    if not falls:
        raise _malformed(
            f"kernel {kernel.name!r}",
            "as many cycles as areas, at least one; cycles never fall, areas never rise and are above 0",
            f"cycles {_first(kernel.cycles)} and areas {_first(kernel.areas)}",
        )


def _check_net(net: PartitionNet, position: int, kernels: int) -> None:
    forward = net.targets and 0 <= net.source < min(net.targets) and max(net.targets) < kernels
    if not forward or net.words < 0:
        raise _malformed(
            f"net {position}",
            f"a source, later targets below {kernels}, and at least 0 words",
            f"source {net.source}, targets {list(net.targets)}, {net.words} words",
        )


def _first(values: Integers) -> str:
    shown = ", ".join(str(value) for value in values[:4].tolist())
    return f"[{shown}{', ...' if len(values) > 4 else ''}]"


def _malformed(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC360",
        "the partition problem is malformed",
        where=where,
        expected=expected,
        found=found,
        hint="docs/wafers.md says what the problem holds",
    )


def _no_such_number(problem: PartitionProblem) -> WsecError:
    parts, name = problem.parts, problem.part_name
    return WsecError(
        "WSEC361",
        f"the kernels cannot be spread over {parts} {name}{'s' * (parts != 1)}",
        expected=f"at least 1 {name}, and no more than kernels, of which there are {len(problem.kernels)}",
        found=str(parts),
        hint=f"ask for fewer {name}s, or for the least that the model fits on: --{name}s auto",
    )
