"""What vector instructions compute, element by element, with the bits that numpy gives in fp32.

Functions that the machine computes by series are computed in double and rounded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import inlined
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Compiled functions see plain numbers, not members of an enumeration.
_FMA, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _MAXIMUM, _MINIMUM, _POWER = (
    int(each) for each in list(Operation)[:8]
)
_EQUAL, _GREATER, _GREATER_OR_EQUAL, _COPY_WHERE = (int(each) for each in list(Operation)[8:12])
_COPY, _NEGATE, _ABSOLUTE, _SIGN, _FLOOR, _CEILING, _ROUND = (int(each) for each in list(Operation)[12:19])
_IS_NAN, _SQUARE_ROOT, _EXP, _EXP_MINUS_ONE, _LOG = (int(each) for each in list(Operation)[19:24])
_LOG_ONE_PLUS, _TANH, _ERF, _SINE, _COSINE = (int(each) for each in list(Operation)[24:])


@inlined
def apply_operation(
    memory: NDArray[np.float32],
    operation: int,
    addresses: tuple[int, int, int],
    strides: tuple[int, int, int],
    length: int,
) -> None:
    """Write operation(left, right) to result for each element, one after the other; addresses and strides are of these three."""
    result, left, right = addresses
    result_stride, left_stride, right_stride = strides
    if operation == _FMA:
        _multiply_add(memory, addresses, strides, length)
    elif operation == _COPY:
        for index in range(length):
            memory[result + index * result_stride] = memory[left + index * left_stride]
    elif operation < _COPY:
        for index in range(length):
            at = result + index * result_stride
            memory[at] = _binary(
                operation,
                memory[at],
                memory[left + index * left_stride],
                memory[right + index * right_stride],
            )
    else:
        for index in range(length):
            value = memory[left + index * left_stride]
            memory[result + index * result_stride] = (
                _rounded(operation, value) if operation <= _SQUARE_ROOT else _series(operation, value)
            )


@inlined
def _multiply_add(
    memory: NDArray[np.float32],
    addresses: tuple[int, int, int],
    strides: tuple[int, int, int],
    length: int,
) -> None:
    result, left, right = addresses
    result_stride, left_stride, right_stride = strides
    if result_stride == 1 and left_stride == 0 and right_stride == 1 and not result <= left < result + length:
        scalar = memory[left]
        for index in range(length):
            memory[result + index] += scalar * memory[right + index]
        return
    for index in range(length):
        product = memory[left + index * left_stride] * memory[right + index * right_stride]
        memory[result + index * result_stride] += product


@inlined
def combine(operation: int, held: np.float32, received: np.float32) -> np.float32:
    """What is held after a word was received."""
    if operation == _ADD:
        return held + received
    if operation == _MULTIPLY:
        return held * received
    return _larger(held, received) if operation == _MAXIMUM else _smaller(held, received)


@inlined
def _larger(left: np.float32, right: np.float32) -> np.float32:
    return left if left >= right or left != left else right  # noqa: PLR0124 - what is no number differs from itself


@inlined
def _smaller(left: np.float32, right: np.float32) -> np.float32:
    return left if left <= right or left != left else right  # noqa: PLR0124 - what is no number differs from itself


@inlined
def _binary(operation: int, held: np.float32, left: np.float32, right: np.float32) -> np.float32:  # noqa: PLR0911 - a table
    if operation == _ADD:
        return left + right
    if operation == _SUBTRACT:
        return left - right
    if operation == _MULTIPLY:
        return left * right
    if operation == _DIVIDE:
        return left / right
    if operation == _MAXIMUM:
        return _larger(left, right)
    if operation == _MINIMUM:
        return _smaller(left, right)
    if operation == _POWER:
        return np.float32(math.pow(np.float64(left), np.float64(right)))
    if operation == _COPY_WHERE:
        return left if right != 0 else held
    if operation == _EQUAL:
        return np.float32(left == right)
    return np.float32(left > right) if operation == _GREATER else np.float32(left >= right)


@inlined
def _rounded(operation: int, value: np.float32) -> np.float32:  # noqa: PLR0911 - a table
    """Functions whose results are rounded correctly."""
    if operation == _NEGATE:
        return -value
    if operation == _ABSOLUTE:
        return np.abs(value)  # type: ignore[no-any-return]
    if operation == _SIGN:
        return value if value != value else np.float32(value > 0) - np.float32(value < 0)  # noqa: PLR0124 - no number
    if operation == _FLOOR:
        return np.floor(value)  # type: ignore[no-any-return]
    if operation == _CEILING:
        return np.ceil(value)  # type: ignore[no-any-return]
    if operation == _ROUND:
        return np.rint(value)  # type: ignore[no-any-return]
    if operation == _IS_NAN:
        return np.float32(value != value)  # noqa: PLR0124 - what is no number differs from itself
    return np.sqrt(value)  # type: ignore[no-any-return]


@inlined
def _series(operation: int, value: np.float32) -> np.float32:  # noqa: PLR0911 - a table
    """Functions that the machine computes by series."""
    exact = np.float64(value)
    if operation == _EXP:
        return np.float32(math.exp(exact))
    if operation == _EXP_MINUS_ONE:
        return np.float32(math.expm1(exact))
    if operation == _LOG:
        return np.float32(np.log(exact))
    if operation == _LOG_ONE_PLUS:
        return np.float32(np.log1p(exact))
    if operation == _TANH:
        return np.float32(math.tanh(exact))
    if operation == _ERF:
        return np.float32(math.erf(exact))
    return np.float32(math.sin(exact)) if operation == _SINE else np.float32(math.cos(exact))
