"""Core programs: what a compute engine can be told.

Addresses and lengths count 32-bit words of the core's memory, from 0; every word holds an fp32 number. A program is a main
task and further ones that `Start` sets off; the tasks of a core take turns, a word or a vector at a time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOP_DEPTH: Final = 4
"""Loops around an instruction, at most."""

Steps: TypeAlias = tuple[tuple[int, int, int], ...]
"""For each loop around an instruction, the outermost first: how far its three addresses move with each iteration."""


class Operation(enum.IntEnum):
    """What is done to each element, in fp32; what the machine computes by series, in double and then rounded.

    Truth values are 1 and 0. A maximum or minimum of what is no number is no number.
    """

    FMA = 0  # result += left * right, the product rounded before it is added
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    DIVIDE = 4
    MAXIMUM = 5
    MINIMUM = 6
    POWER = 7
    EQUAL = 8
    GREATER = 9
    GREATER_OR_EQUAL = 10
    COPY_WHERE = 11  # result = left where right is not 0; elsewhere it stays
    COPY = 12  # this and those below: of left alone
    NEGATE = 13
    ABSOLUTE = 14
    SIGN = 15
    FLOOR = 16
    CEILING = 17
    ROUND = 18  # halves to the even number
    IS_NAN = 19
    SQUARE_ROOT = 20
    EXP = 21
    EXP_MINUS_ONE = 22
    LOG = 23
    LOG_ONE_PLUS = 24
    TANH = 25
    ERF = 26
    SINE = 27
    COSINE = 28


COMBINING: Final = frozenset({Operation.ADD, Operation.MULTIPLY, Operation.MAXIMUM, Operation.MINIMUM})
"""Operations that words can be received by."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send `count` words from `source` on."""

    colour: int
    count: int
    source: int


@dataclass(frozen=True, slots=True)
class SendListed:
    """Send the words at the addresses of a list."""

    colour: int
    list: int


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive `count` words to `result` on."""

    colour: int
    count: int
    result: int


@dataclass(frozen=True, slots=True)
class ReceiveListed:
    """Receive words to the addresses of a list."""

    colour: int
    list: int


@dataclass(frozen=True, slots=True)
class ReceiveCombine:
    """Receive `count` words: held = operation(held, received), from `result` on."""

    operation: Operation
    colour: int
    count: int
    result: int


@dataclass(frozen=True, slots=True)
class ReceiveCombineSend:
    """Reduce in the stream: receive `count` words, send operation(held, received); what is held from `source` on stays."""

    operation: Operation
    received: int
    sent: int
    count: int
    source: int


@dataclass(frozen=True, slots=True)
class ReceiveFma:
    """For each of `count` words w: result[:length] += w * matrix[:length], `matrix` moving on by `length`."""

    colour: int
    count: int
    result: int
    matrix: int
    length: int


@dataclass(frozen=True, slots=True)
class CopyListed:
    """Copy words from the addresses of one list to those of another as long, one after the other."""

    list_from: int
    list_to: int


@dataclass(frozen=True, slots=True)
class Vector:
    """For each of `length` elements, one after the other: result = operation(left, right).

    Strides are words from one element of `result`, `left` and `right` to the next; 0 is a scalar.
    """

    operation: Operation
    result: int
    left: int
    right: int
    length: int
    strides: tuple[int, int, int] = (1, 1, 1)
    steps: Steps = ()


@dataclass(frozen=True, slots=True)
class LookUp:
    """Copy a row of `table`, which has `rows` of `length` words; zeros for a row outside it.

    The row is the whole number in memory at `index`, minus `first`. Steps move `result`, `table` and `index`.
    """

    result: int
    table: int
    index: int
    first: int
    rows: int
    length: int
    steps: Steps = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for one word of a colour and drop it: a barrier, which wakes the task."""

    colour: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Run the body `count` times."""

    count: int
    body: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Set off a task of the program: 1 is the first of `tasks`. One that still runs is waited for."""

    task: int


@dataclass(frozen=True, slots=True)
class Join:
    """Wait until a task has come to its end."""

    task: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Note the cycle in which the task comes here, which takes no time; nothing else happens on the core before cycle `until`."""

    number: int
    until: int = 0


Instruction: TypeAlias = (
    Send
    | SendListed
    | Receive
    | ReceiveListed
    | ReceiveCombine
    | ReceiveCombineSend
    | ReceiveFma
    | CopyListed
    | Vector
    | LookUp
    | Wait
    | Loop
    | Start
    | Join
    | Mark
)


@dataclass(frozen=True, slots=True)
class CoreProgram:
    """What one core runs: `main` from cycle 0, each of `tasks` when it is started."""

    main: tuple[Instruction, ...]
    tasks: tuple[tuple[Instruction, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class WordLists:
    """Addresses of memory, a list for each core of an area; lengths may differ, and be 0.

    Attributes:
        starts: int64 [cores + 1], where the list of each core (by row, then column) starts in `addresses`.
        addresses: int32, those of all cores.
    """

    starts: NDArray[np.int64]
    addresses: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ProgramArea:
    """A rectangle of cores that run the same program, each on `memory_words` words and `lists` of its own."""

    x: int
    y: int
    width: int
    height: int
    program: CoreProgram
    memory_words: int = 0
    lists: tuple[WordLists, ...] = ()
