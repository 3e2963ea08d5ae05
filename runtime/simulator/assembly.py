"""Core programs as a table of whole numbers, which the engines run, and what each line of it touches in memory."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.simulator.instructions import (
    COMBINING,
    LOOP_DEPTH,
    CopyListed,
    CoreProgram,
    Instruction,
    Join,
    LookUp,
    Loop,
    Mark,
    Operation,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    ReceiveFma,
    ReceiveListed,
    Send,
    SendListed,
    Start,
    Vector,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Opcode(enum.IntEnum):
    """What a line does: stops the task, moves words, computes in memory, or controls what comes next."""

    HALT = 0
    SEND = 1
    RECEIVE = 2
    RECEIVE_COMBINE = 3
    RECEIVE_FMA = 4
    RECEIVE_COMBINE_SEND = 5
    WAIT = 6
    VECTOR = 7
    LOOK_UP = 8
    COPY_LISTED = 9
    LOOP = 10
    REPEAT = 11
    START = 12
    JOIN = 13
    MARK = 14


class Rate(enum.IntEnum):
    """What the elements of a vector cost, or an iteration of a loop."""

    LANES = 0
    DIVIDE = 1
    TRANSCENDENTAL = 2
    LOOP = 0
    FREE = 1


class Field(enum.IntEnum):
    """The columns of the table."""

    OPCODE = 0
    OPERATION = 1
    RATE = 2
    RECEIVED = 3  # colour; -1: none
    SENT = 4  # colour; -1: none
    COUNT = 5  # words or iterations
    LIST = 6  # of the addresses of the words; -1: they lie one behind the other
    LIST_TO = 7
    RESULT = 8  # address
    LEFT = 9  # address; of control instructions the number of a task or mark, or the line to go to
    RIGHT = 10  # address; of control instructions the line of a task
    LENGTH = 11  # of a vector
    FIRST = 12  # row of a table
    ROWS = 13
    DEPTH = 14  # loops around a loop; loops that move the addresses of a vector
    STRIDE_RESULT = 15
    STRIDE_LEFT = 16
    STRIDE_RIGHT = 17
    STEPS = 18  # the first of `LOOP_DEPTH` times three


FIELDS: Final = Field.STEPS + 3 * LOOP_DEPTH

_RATES: Final = {
    **dict.fromkeys((Operation.DIVIDE, Operation.SQUARE_ROOT), Rate.DIVIDE),
    **dict.fromkeys(
        (
            *(Operation.POWER, Operation.EXP, Operation.EXP_MINUS_ONE, Operation.LOG, Operation.LOG_ONE_PLUS),
            *(Operation.TANH, Operation.ERF, Operation.SINE, Operation.COSINE),
        ),
        Rate.TRANSCENDENTAL,
    ),
}

_ISSUED: Final = (
    *(Send, SendListed, Receive, ReceiveListed, ReceiveCombine, ReceiveCombineSend, ReceiveFma),
    *(CopyListed, Vector, LookUp),
)
"""Instructions that, alone in a loop, are repeated by the issue of the next: the loop costs nothing more."""

_Row = list[int]


@dataclass(frozen=True, slots=True)
class Assembled:
    """A program as a table.

    Attributes:
        code: int32 [lines, FIELDS]; lines that others go to count from the first of this table.
        reach: int64 [lines, 2], the lowest address that a line touches, and one past the highest; 0, 0 if it touches none,
            or those of a list.
    """

    code: NDArray[np.int32]
    reach: NDArray[np.int64]


@dataclass(slots=True)
class _Lines:
    """The table as it grows, and the loops around the line that comes next, by their counts."""

    rows: list[_Row]
    reach: list[tuple[int, int]]
    starts: list[int]
    loops: list[int]

    def add(self, row: _Row, *touched: tuple[int, int]) -> None:
        """A line, and the ranges of addresses that it touches if it is ever reached."""
        if touched and row[Field.COUNT] and all(self.loops):
            self.reach.append((min(low for low, _ in touched), max(high for _, high in touched)))
        else:
            self.reach.append((0, 0))
        self.rows.append(row)


def assemble(program: CoreProgram) -> Assembled:
    """The program as a table.

    Raises:
        ValueError: A count, length or number of a list is negative, a task does not exist, loops nest deeper than
            `LOOP_DEPTH`, a vector has more steps than loops around it, or words are received by an operation that is none of
            `COMBINING`.
    """
    starts, line = [], _lines(program.main) + 1
    for task in program.tasks:
        starts.append(line)
        line += _lines(task) + 1
    lines = _Lines([], [], starts, [])
    for body in (program.main, *program.tasks):
        _add_body(body, lines)
        lines.add(_row(Opcode.HALT))
    return Assembled(np.array(lines.rows, np.int32), np.array(lines.reach, np.int64))


def _lines(body: Sequence[Instruction]) -> int:
    return sum(2 + _lines(step.body) if isinstance(step, Loop) else 1 for step in body)


def _add_body(body: Sequence[Instruction], lines: _Lines) -> None:
    for step in body:
        if isinstance(step, Loop):
            _add_loop(step, lines)
        else:
            _add_step(step, lines)


def _add_loop(loop: Loop, lines: _Lines) -> None:
    depth = len(lines.loops)
    if depth == LOOP_DEPTH:
        raise ValueError(f"loops nest deeper than {LOOP_DEPTH}")
    if loop.count < 0:
        raise ValueError(f"a loop runs {loop.count} times")
    opening = len(lines.rows)
    lines.add(_row(Opcode.LOOP, COUNT=loop.count, DEPTH=depth))
    lines.loops.append(loop.count)
    _add_body(loop.body, lines)
    lines.loops.pop()
    alone = len(loop.body) == 1 and isinstance(loop.body[0], _ISSUED)
    rate = Rate.FREE if alone else Rate.LOOP
    lines.add(_row(Opcode.REPEAT, RATE=rate, COUNT=loop.count, LEFT=opening + 1, DEPTH=depth))
    lines.rows[opening][Field.LEFT] = len(lines.rows)


def _add_step(step: Instruction, lines: _Lines) -> None:  # noqa: C901, PLR0912 - one case for each instruction
    match step:
        case Send(colour, count, source):
            _add_words(_row(Opcode.SEND, SENT=colour, COUNT=count, LEFT=source), source, step, lines)
        case Receive(colour, count, result):
            _add_words(_row(Opcode.RECEIVE, RECEIVED=colour, COUNT=count, RESULT=result), result, step, lines)
        case ReceiveCombine(operation, colour, count, result):
            _check_combining(operation)
            row = _row(
                Opcode.RECEIVE_COMBINE, OPERATION=operation, RECEIVED=colour, COUNT=count, RESULT=result
            )
            _add_words(row, result, step, lines)
        case ReceiveCombineSend(operation, received, sent, count, source):
            _check_combining(operation)
            row = _row(
                Opcode.RECEIVE_COMBINE_SEND, OPERATION=operation, RECEIVED=received, COUNT=count, LEFT=source
            )
            row[Field.SENT] = sent
            _add_words(row, source, step, lines)
        case SendListed(colour, number):
            lines.add(_row(Opcode.SEND, SENT=colour, LIST=_checked(number, step)))
        case ReceiveListed(colour, number):
            lines.add(_row(Opcode.RECEIVE, RECEIVED=colour, LIST=_checked(number, step)))
        case CopyListed(source, target):
            lists = {"LIST": _checked(source, step), "LIST_TO": _checked(target, step)}
            lines.add(_row(Opcode.COPY_LISTED, **lists))
        case ReceiveFma(colour, count, result, matrix, length):
            row = _row(Opcode.RECEIVE_FMA, RECEIVED=colour, COUNT=_checked(count, step))
            row[Field.RESULT], row[Field.LEFT], row[Field.LENGTH] = result, matrix, _checked(length, step)
            touched = [(result, result + length), (matrix, matrix + count * length)] if length else []
            lines.add(row, *touched)
        case Vector():
            _add_vector(step, lines)
        case LookUp():
            _add_look_up(step, lines)
        case Wait(colour):
            lines.add(_row(Opcode.WAIT, RECEIVED=colour, COUNT=1))
        case Start(task) | Join(task):
            opcode = Opcode.START if isinstance(step, Start) else Opcode.JOIN
            lines.add(_row(opcode, LEFT=task, RIGHT=lines.starts[_checked_task(task, lines.starts)]))
        case Mark(number, until):
            lines.add(_row(Opcode.MARK, LEFT=_checked(number, step), COUNT=_checked(until, step)))
        case Loop():  # has lines of its own
            _add_loop(step, lines)


def _add_words(row: _Row, address: int, step: Instruction, lines: _Lines) -> None:
    """A line that moves words from or to addresses one behind the other."""
    lines.add(row, (address, address + _checked(row[Field.COUNT], step)))


def _add_vector(step: Vector, lines: _Lines) -> None:
    operation = step.operation
    row = _row(Opcode.VECTOR, OPERATION=operation, RATE=_RATES.get(operation, Rate.LANES), COUNT=1)
    addresses = (step.result, step.left, step.right)
    row[Field.RESULT : Field.LENGTH] = addresses
    row[Field.LENGTH] = _checked(step.length, step)
    row[Field.STRIDE_RESULT : Field.STEPS] = step.strides
    _set_steps(row, step, lines)
    operands = 3 if operation < Operation.COPY else 2
    touched = [
        _range(address, [(stride, step.length), *_moves(step.steps, index, lines)])
        for index, (address, stride) in enumerate(zip(addresses, step.strides, strict=True))
    ]
    lines.add(row, *(touched[:operands] if step.length else []))


def _add_look_up(step: LookUp, lines: _Lines) -> None:
    row = _row(Opcode.LOOK_UP, COUNT=1, FIRST=step.first, ROWS=_checked(step.rows, step))
    row[Field.RESULT : Field.LENGTH] = step.result, step.table, step.index
    row[Field.LENGTH] = _checked(step.length, step)
    _set_steps(row, step, lines)
    sizes = (step.length, step.rows * step.length, 1)
    touched = [
        _range(address, [(1, size), *_moves(step.steps, index, lines)])
        for index, (address, size) in enumerate(
            zip((step.result, step.table, step.index), sizes, strict=True)
        )
        if size
    ]
    lines.add(row, *touched)


def _set_steps(row: _Row, step: Vector | LookUp, lines: _Lines) -> None:
    if len(step.steps) > len(lines.loops):
        raise ValueError(f"{step} has more steps than the {len(lines.loops)} loops around it")
    row[Field.DEPTH] = len(step.steps)
    flat = [words for steps in step.steps for words in steps]
    row[Field.STEPS : Field.STEPS + len(flat)] = flat


def _moves(steps: Sequence[tuple[int, int, int]], operand: int, lines: _Lines) -> list[tuple[int, int]]:
    """How far each loop moves an address with an iteration, and how many iterations it has."""
    return [(step[operand], count) for step, count in zip(steps, lines.loops, strict=False)]


def _range(address: int, moves: list[tuple[int, int]]) -> tuple[int, int]:
    """The lowest address that is reached from one by all moves, and one past the highest."""
    ends = [step * (count - 1) for step, count in moves]
    return address + sum(min(end, 0) for end in ends), address + sum(max(end, 0) for end in ends) + 1


def _checked(count: int, step: Instruction) -> int:
    if count < 0:
        raise ValueError(f"{step} has a negative count, length or number")
    return count


def _check_combining(operation: Operation) -> None:
    if operation not in COMBINING:
        raise ValueError(f"words cannot be received by {operation.name}")


def _checked_task(task: int, starts: list[int]) -> int:
    if not 1 <= task <= len(starts):
        raise ValueError(
            f"the program has {len(starts)} tasks beside the main one, and none is number {task}"
        )
    return task - 1


def _row(opcode: Opcode, **fields: int) -> _Row:
    row = [0] * FIELDS
    row[Field.OPCODE] = opcode
    row[Field.RECEIVED] = row[Field.SENT] = row[Field.LIST] = row[Field.LIST_TO] = -1
    for name, value in fields.items():
        row[Field[name]] = value
    return row
