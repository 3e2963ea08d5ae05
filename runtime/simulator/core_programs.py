"""Core programs: what a compute engine can be told, and its form as a table of whole numbers.

Addresses and lengths count fp32 elements of the core's memory, from 0. A program is a main task and further ones that
`Start` sets off; the tasks of a core take turns, a word or a vector at a time.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LOOP_DEPTH: Final = 4


class Field(enum.IntEnum):
    """The columns of the table."""

    OPERATION = 0
    RECEIVED = 1  # colour
    SENT = 2  # colour
    COUNT = 3  # words, or vectors
    RESULT = 4  # address
    LEFT = 5  # address; of control instructions the number of a task, or the line to go back to
    RIGHT = 6  # address; of control instructions the line of a task
    LENGTH = 7  # of a vector
    RESULT_STEP = 8  # from one vector to the next
    LEFT_STEP = 9
    RIGHT_STEP = 10
    DEPTH = 11  # loops around a loop


class Operation(enum.IntEnum):
    """The first column."""

    HALT = 0
    SEND = 1
    RECEIVE = 2
    RECEIVE_ADD = 3
    RECEIVE_FMA = 4
    RECEIVE_ADD_SEND = 5
    FMA = 6
    ADD = 7
    COPY = 8
    FILL_ZERO = 9
    WAIT = 10
    LOOP = 11
    REPEAT = 12
    START = 13
    JOIN = 14


@dataclass(frozen=True, slots=True)
class Send:
    """Send `count` words from `source` on."""

    colour: int
    count: int
    source: int


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive `count` words to `result` on."""

    colour: int
    count: int
    result: int


@dataclass(frozen=True, slots=True)
class ReceiveAdd:
    """Receive `count` words and add each to what is in memory from `result` on."""

    colour: int
    count: int
    result: int


@dataclass(frozen=True, slots=True)
class ReceiveFma:
    """For each of `count` words w: result[:length] += w * matrix[:length], `matrix` moving on by `length`."""

    colour: int
    count: int
    result: int
    matrix: int
    length: int


@dataclass(frozen=True, slots=True)
class ReceiveAddSend:
    """Reduce in the stream: receive `count` words, add those from `source` on, send the sums."""

    received: int
    sent: int
    count: int
    source: int


@dataclass(frozen=True, slots=True)
class Fma:
    """`count` times: result[:length] += scalar[0] * vector[:length]; the addresses move on by their steps."""

    result: int
    scalar: int
    vector: int
    length: int
    count: int = 1
    result_step: int = 0
    scalar_step: int = 0
    vector_step: int = 0


@dataclass(frozen=True, slots=True)
class Add:
    """result[:length] = left[:length] + right[:length]."""

    result: int
    left: int
    right: int
    length: int


@dataclass(frozen=True, slots=True)
class Copy:
    """result[:length] = source[:length]."""

    result: int
    source: int
    length: int


@dataclass(frozen=True, slots=True)
class FillZero:
    """result[:length] = 0."""

    result: int
    length: int


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


Instruction: TypeAlias = (
    Send
    | Receive
    | ReceiveAdd
    | ReceiveFma
    | ReceiveAddSend
    | Fma
    | Add
    | Copy
    | FillZero
    | Wait
    | Loop
    | Start
    | Join
)


_COLUMNS: Final[dict[type, tuple[Operation, tuple[Field, ...]]]] = {
    Send: (Operation.SEND, (Field.SENT, Field.COUNT, Field.LEFT)),
    Receive: (Operation.RECEIVE, (Field.RECEIVED, Field.COUNT, Field.RESULT)),
    ReceiveAdd: (Operation.RECEIVE_ADD, (Field.RECEIVED, Field.COUNT, Field.RESULT)),
    ReceiveFma: (
        Operation.RECEIVE_FMA,
        (Field.RECEIVED, Field.COUNT, Field.RESULT, Field.LEFT, Field.LENGTH),
    ),
    ReceiveAddSend: (Operation.RECEIVE_ADD_SEND, (Field.RECEIVED, Field.SENT, Field.COUNT, Field.LEFT)),
    Fma: (
        Operation.FMA,
        (
            *(Field.RESULT, Field.LEFT, Field.RIGHT, Field.LENGTH, Field.COUNT),
            *(Field.RESULT_STEP, Field.LEFT_STEP, Field.RIGHT_STEP),
        ),
    ),
    Add: (Operation.ADD, (Field.RESULT, Field.LEFT, Field.RIGHT, Field.LENGTH)),
    Copy: (Operation.COPY, (Field.RESULT, Field.LEFT, Field.LENGTH)),
    FillZero: (Operation.FILL_ZERO, (Field.RESULT, Field.LENGTH)),
    Wait: (Operation.WAIT, (Field.RECEIVED,)),
    Start: (Operation.START, (Field.LEFT,)),
    Join: (Operation.JOIN, (Field.LEFT,)),
}
"""The operation of each instruction, and the columns that its attributes go to, in their order."""

_ACCESSES: Final[dict[Operation, tuple[tuple[Field, Field | None, bool], ...]]] = {
    Operation.SEND: ((Field.LEFT, None, False),),
    Operation.RECEIVE: ((Field.RESULT, None, False),),
    Operation.RECEIVE_ADD: ((Field.RESULT, None, False),),
    Operation.RECEIVE_FMA: ((Field.RESULT, Field.RESULT_STEP, True), (Field.LEFT, Field.LENGTH, True)),
    Operation.RECEIVE_ADD_SEND: ((Field.LEFT, None, False),),
    Operation.FMA: (
        (Field.RESULT, Field.RESULT_STEP, True),
        (Field.LEFT, Field.LEFT_STEP, False),
        (Field.RIGHT, Field.RIGHT_STEP, True),
    ),
    Operation.ADD: tuple((field, None, True) for field in (Field.RESULT, Field.LEFT, Field.RIGHT)),
    Operation.COPY: tuple((field, None, True) for field in (Field.RESULT, Field.LEFT)),
    Operation.FILL_ZERO: ((Field.RESULT, None, True),),
}
"""What an operation touches in memory: the address, the column of its step (none: 1), and whether it is a vector."""


@dataclass(frozen=True, slots=True)
class CoreProgram:
    """What one core runs: `main` from cycle 0, each of `tasks` when it is started."""

    main: tuple[Instruction, ...]
    tasks: tuple[tuple[Instruction, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramArea:
    """A rectangle of cores that run the same program, each on `memory_words` elements of its own."""

    x: int
    y: int
    width: int
    height: int
    program: CoreProgram
    memory_words: int = 0


def assemble(program: CoreProgram, first_line: int = 0) -> NDArray[np.int32]:
    """The program as a table [lines, fields] that starts at `first_line` of a larger one.

    Raises:
        ValueError: A count or length is negative, a task does not exist, loops nest deeper than `LOOP_DEPTH`.
    """
    starts, line = [], first_line + _lines(program.main) + 1
    for task in program.tasks:
        starts.append(line)
        line += _lines(task) + 1
    rows: list[list[int]] = []
    for body in (program.main, *program.tasks):
        _assemble_body(body, rows, first_line, starts, depth=0)
        rows.append(_row(Operation.HALT))
    return np.array(rows, np.int32)


def _lines(body: Sequence[Instruction]) -> int:
    return sum(2 + _lines(step.body) if isinstance(step, Loop) else 1 for step in body)


def _assemble_body(
    body: Sequence[Instruction], rows: list[list[int]], first_line: int, starts: list[int], depth: int
) -> None:
    for step in body:
        if not isinstance(step, Loop):
            rows.append(_assemble_step(step, starts))
            continue
        if depth == LOOP_DEPTH:
            raise ValueError(f"loops nest deeper than {LOOP_DEPTH}")
        if step.count < 0:
            raise ValueError(f"a loop runs {step.count} times")
        opening = len(rows)
        rows.append(_row(Operation.LOOP, count=step.count, depth=depth))
        _assemble_body(step.body, rows, first_line, starts, depth + 1)
        rows.append(_row(Operation.REPEAT, left=first_line + opening + 1, depth=depth))
        rows[opening][Field.LEFT] = first_line + len(rows)


def _assemble_step(step: Instruction, starts: list[int]) -> list[int]:
    operation, fields = _COLUMNS[type(step)]
    row = _row(operation, count=1)
    for field, attribute in zip(fields, dataclasses.fields(step), strict=True):
        row[field] = getattr(step, attribute.name)
    if isinstance(step, Start | Join):
        row[Field.RIGHT] = starts[_checked_task(step.task, starts)]
    if row[Field.COUNT] < 0 or row[Field.LENGTH] < 0:
        raise ValueError(f"{step} has a negative count or length")
    return row


def _checked_task(task: int, starts: list[int]) -> int:
    if not 1 <= task <= len(starts):
        raise ValueError(
            f"the program has {len(starts)} tasks beside the main one, and none is number {task}"
        )
    return task - 1


def _row(operation: Operation, *, count: int = 0, left: int = 0, depth: int = 0) -> list[int]:
    row = [0] * len(Field)
    row[Field.OPERATION], row[Field.COUNT], row[Field.LEFT], row[Field.DEPTH] = operation, count, left, depth
    row[Field.RECEIVED] = row[Field.SENT] = -1
    return row


def memory_reach(row: NDArray[np.int32]) -> tuple[int, int]:
    """The lowest address that a line of the table touches, and one past the highest."""
    count, low, high = int(row[Field.COUNT]), 0, 0
    for field, step_field, vector in _ACCESSES.get(Operation(int(row[Field.OPERATION])), ()):
        elements = int(row[Field.LENGTH]) if vector else 1
        if count and elements:
            first = int(row[field])
            last = first + (count - 1) * (1 if step_field is None else int(row[step_field]))
            low, high = min(low, first, last), max(high, first + elements, last + elements)
    return low, high
