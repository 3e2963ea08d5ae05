"""Element-wise operators as vector operations, by the formulas of docs/core-programs.md."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.compiler.plan import Argument, ChainStep
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.programs.kinds.writer import Value, Writer

    Attributes = Mapping[str, Argument]
    Formula = Callable[[Writer, Sequence[Value], Attributes], Value]

WHOLE_TYPES: Final = frozenset({"int32", "int64"})
"""Types of whole numbers, which lie in memory as floats of the same value."""

_TYPES: Final = frozenset({"float32", "bool"}) | WHOLE_TYPES
_WHOLE: Final = frozenset(
    {
        "Abs", "Add", "Cast", "Clip", "Equal", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min",
        "Mul", "Neg", "Relu", "Sign", "Sub", "Sum", "Where",
    }
)  # fmt: skip
"""Operators that leave whole numbers whole."""


def write_step(
    context: KernelContext,
    writer: Writer,
    step: ChainStep,
    wires: Mapping[str, Value],
    types: Mapping[str, str],
) -> Value:
    """What a step gives.

    Args:
        context: Of the kernel.
        writer: Takes the vector operations.
        step: One operator.
        wires: Values by name.
        types: Element types by name.

    Raises:
        WsecError: WSEC596 the operator has no formula, or none for these element types.
        KeyError: The step reads something that is not there.
    """
    given = {step.dtype, *(types[name] for name in step.inputs if name)}
    if step.operator not in FORMULAS:
        raise context.refuse(f"operator {step.operator}")
    if given - _TYPES or (given & WHOLE_TYPES and step.operator not in _WHOLE):
        raise context.refuse(f"{step.operator} of {', '.join(sorted(given))}")
    operands = [wires[name] for name in step.inputs if name]
    if step.operator == "Clip":
        operands = _clip_operands(
            writer, [wires[name] if name else None for name in step.inputs], step.attributes
        )
    if step.operator == "Cast":
        return _cast(writer, operands[0], types[step.inputs[0]], step.dtype)
    return FORMULAS[step.operator](writer, operands, step.attributes)


def _cast(w: Writer, x: Value, source: str, target: str) -> Value:
    if target == "bool" and source != "bool":
        return _not(w, w.vector(Operation.EQUAL, x, w.constant(0)))
    if target in WHOLE_TYPES and source == "float32":
        above, below = _above(w, x), _above(w, w.vector(Operation.NEGATE, x))
        floors = (w.vector(Operation.FLOOR, part) for part in (above, below))
        return w.vector(Operation.SUBTRACT, *floors)
    return w.vector(Operation.COPY, x)


def _clip_operands(w: Writer, operands: Sequence[Value | None], attributes: Attributes) -> list[Value]:
    x, low, high = (*operands, None, None, None)[:3]
    if x is None:
        raise ValueError("Clip has no input")
    return [
        x,
        low or w.constant(_number(attributes, "min", -math.inf)),
        high or w.constant(_number(attributes, "max", math.inf)),
    ]


def _number(attributes: Attributes, name: str, default: float) -> float:
    """An attribute in single precision."""
    return float(np.float32(attributes.get(name, default)))  # type: ignore[arg-type]


def _rounded(value: Any) -> float:
    return float(np.float32(value))


def _reciprocal(value: float) -> float:
    return float(np.float32(1) / np.float32(value))


def _unary(operation: Operation) -> Formula:
    return lambda w, args, _attributes: w.vector(operation, args[0])


def _binary(operation: Operation, *, swapped: bool = False) -> Formula:
    def formula(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
        left, right = args
        return w.vector(operation, right, left) if swapped else w.vector(operation, left, right)

    return formula


def _fold(operation: Operation) -> Formula:
    def formula(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
        if len(args) == 1:
            return w.vector(Operation.COPY, args[0])
        return reduce(lambda left, right: w.vector(operation, left, right), args)

    return formula


def _times(w: Writer, x: Value, number: float) -> Value:
    return w.vector(Operation.MULTIPLY, x, w.constant(number))


def _above(w: Writer, x: Value) -> Value:
    return w.vector(Operation.MAXIMUM, x, w.constant(0))


def _below(w: Writer, x: Value) -> Value:
    return w.vector(Operation.MINIMUM, x, w.constant(0))


def _not(w: Writer, x: Value) -> Value:
    return w.vector(Operation.SUBTRACT, w.constant(1), x)


def _mean(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    return _times(w, _fold(Operation.ADD)(w, args, attributes), _reciprocal(len(args)))


def _sigmoid(w: Writer, x: Value) -> Value:
    power = w.vector(Operation.EXP, w.vector(Operation.NEGATE, x))
    return w.vector(Operation.DIVIDE, w.constant(1), w.vector(Operation.ADD, w.constant(1), power))


def _softplus(w: Writer, x: Value) -> Value:
    below = w.vector(Operation.NEGATE, w.vector(Operation.ABSOLUTE, x))
    more = w.vector(Operation.ADD, w.constant(1), w.vector(Operation.EXP, below))
    return w.vector(Operation.ADD, _above(w, x), w.vector(Operation.LOG, more))


def _mish(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    return w.vector(Operation.MULTIPLY, args[0], w.vector(Operation.TANH, _softplus(w, args[0])))


def _softsign(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    below = w.vector(Operation.ADD, w.constant(1), w.vector(Operation.ABSOLUTE, args[0]))
    return w.vector(Operation.DIVIDE, args[0], below)


def _swish(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    gate = _sigmoid(w, _times(w, args[0], _number(attributes, "alpha", 1)))
    return w.vector(Operation.MULTIPLY, args[0], gate)


def _gelu(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    x = args[0]
    if attributes.get("approximate", "none") == "tanh":
        square = w.vector(Operation.MULTIPLY, x, x)
        cube = _times(w, w.vector(Operation.MULTIPLY, square, x), _rounded(0.044715))
        inside = _times(w, w.vector(Operation.ADD, x, cube), _rounded(math.sqrt(2 / math.pi)))
        curve = w.vector(Operation.TANH, inside)
    else:
        curve = w.vector(Operation.ERF, _times(w, x, _rounded(math.sqrt(1 / 2))))
    half = _times(w, x, 0.5)
    return w.vector(Operation.MULTIPLY, half, w.vector(Operation.ADD, curve, w.constant(1)))


def _powers(w: Writer, x: Value, below: float) -> Value:
    """Below 0, e to the power x less one, times `below`."""
    power = w.vector(Operation.EXP, _below(w, x))
    return _times(w, w.vector(Operation.SUBTRACT, power, w.constant(1)), below)


def _rectified(w: Writer, x: Value, below: float, above: float) -> Value:
    return w.vector(Operation.ADD, _times(w, _above(w, x), above), _powers(w, x, below))


def _elu(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    return _rectified(w, args[0], _number(attributes, "alpha", 1), 1)


def _selu(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    alpha = np.float32(_number(attributes, "alpha", 1.6732631921768188))
    gamma = np.float32(_number(attributes, "gamma", 1.0507010221481323))
    return _rectified(w, args[0], float(alpha * gamma), float(gamma))


def _celu(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    alpha = _number(attributes, "alpha", 1)
    power = w.vector(Operation.EXP, _times(w, _below(w, args[0]), _reciprocal(alpha)))
    below = _times(w, w.vector(Operation.SUBTRACT, power, w.constant(1)), alpha)
    return w.vector(Operation.ADD, _above(w, args[0]), below)


def _leaky(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    slope = _number(attributes, "alpha", 0.01)
    operation = Operation.MAXIMUM if slope <= 1 else Operation.MINIMUM
    return w.vector(operation, args[0], _times(w, args[0], slope))


def _slopes(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    x, slope = args
    below = w.vector(Operation.MULTIPLY, _below(w, x), slope)
    return w.vector(Operation.ADD, _above(w, x), below)


def _hard(w: Writer, x: Value, alpha: float, beta: float) -> Value:
    line = w.vector(Operation.ADD, _times(w, x, alpha), w.constant(beta))
    return w.vector(Operation.MINIMUM, _above(w, line), w.constant(1))


def _hard_sigmoid(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    return _hard(w, args[0], _number(attributes, "alpha", 0.2), _number(attributes, "beta", 0.5))


def _hard_swish(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    return w.vector(Operation.MULTIPLY, args[0], _hard(w, args[0], _rounded(1 / 6), 0.5))


def _clip(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    x, low, high = args
    return w.vector(Operation.MINIMUM, w.vector(Operation.MAXIMUM, x, low), high)


def _xor(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    return w.vector(Operation.ABSOLUTE, w.vector(Operation.SUBTRACT, *args))


def _infinite(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    above, below = (bool(attributes.get(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    x = w.vector(Operation.ABSOLUTE, args[0]) if above and below else args[0]
    sought = math.inf if above else -math.inf if below else math.nan
    return w.vector(Operation.EQUAL, x, w.constant(sought))


def _shrunk(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    x, bias = args[0], w.constant(_number(attributes, "bias", 0))
    bound = _number(attributes, "lambd", 0.5)
    above = w.vector(Operation.GREATER, x, w.constant(bound))
    below = w.vector(Operation.GREATER, w.constant(-bound), x)
    raised = w.where(below, w.vector(Operation.ADD, x, bias), w.constant(0))
    return w.where(above, w.vector(Operation.SUBTRACT, x, bias), raised)


def _thresholded(w: Writer, args: Sequence[Value], attributes: Attributes) -> Value:
    above = w.vector(Operation.GREATER, args[0], w.constant(_number(attributes, "alpha", 1)))
    return w.where(above, args[0], w.constant(0))


def _tangent(w: Writer, args: Sequence[Value], _attributes: Attributes) -> Value:
    x = args[0]
    return w.vector(Operation.DIVIDE, w.vector(Operation.SINE, x), w.vector(Operation.COSINE, x))


FORMULAS: Final[dict[str, Formula]] = {
    "Abs": _unary(Operation.ABSOLUTE),
    "Add": _binary(Operation.ADD),
    "And": _binary(Operation.MULTIPLY),
    "Cast": _unary(Operation.COPY),
    "Ceil": _unary(Operation.CEILING),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _unary(Operation.COSINE),
    "Div": _binary(Operation.DIVIDE),
    "Elu": _elu,
    "Equal": _binary(Operation.EQUAL),
    "Erf": _unary(Operation.ERF),
    "Exp": _unary(Operation.EXP),
    "Floor": _unary(Operation.FLOOR),
    "Gelu": _gelu,
    "Greater": _binary(Operation.GREATER),
    "GreaterOrEqual": _binary(Operation.GREATER_OR_EQUAL),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _unary(Operation.COPY),
    "IsInf": _infinite,
    "IsNaN": _unary(Operation.IS_NAN),
    "LeakyRelu": _leaky,
    "Less": _binary(Operation.GREATER, swapped=True),
    "LessOrEqual": _binary(Operation.GREATER_OR_EQUAL, swapped=True),
    "Log": _unary(Operation.LOG),
    "Max": _fold(Operation.MAXIMUM),
    "Mean": _mean,
    "Min": _fold(Operation.MINIMUM),
    "Mish": _mish,
    "Mul": _binary(Operation.MULTIPLY),
    "Neg": _unary(Operation.NEGATE),
    "Not": lambda w, args, _attributes: _not(w, args[0]),
    "Or": _binary(Operation.MAXIMUM),
    "PRelu": _slopes,
    "Pow": _binary(Operation.POWER),
    "Reciprocal": lambda w, args, _attributes: w.vector(Operation.DIVIDE, w.constant(1), args[0]),
    "Relu": lambda w, args, _attributes: _above(w, args[0]),
    "Round": _unary(Operation.ROUND),
    "Selu": _selu,
    "Sigmoid": lambda w, args, _attributes: _sigmoid(w, args[0]),
    "Shrink": _shrunk,
    "Sign": _unary(Operation.SIGN),
    "Sin": _unary(Operation.SINE),
    "Softplus": lambda w, args, _attributes: _softplus(w, args[0]),
    "Softsign": _softsign,
    "Sqrt": _unary(Operation.SQUARE_ROOT),
    "Sub": _binary(Operation.SUBTRACT),
    "Sum": _fold(Operation.ADD),
    "Swish": _swish,
    "Tan": _tangent,
    "Tanh": _unary(Operation.TANH),
    "ThresholdedRelu": _thresholded,
    "Where": lambda w, args, _attributes: w.where(*args),
    "Xor": _xor,
}
"""By ONNX operator; `Cast` and the bounds of `Clip` are seen to before."""
