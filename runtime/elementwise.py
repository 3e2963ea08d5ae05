"""The chain: element-wise operators on the blocks of a kernel's output.

Common operators are numpy functions; every other one runs through onnxruntime on the same blocks. Results have the
element type that the plan gives for the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.element_types import Array, element_type, highest, is_floating, lowest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.compiler.plan import Argument, ChainStep
    from wsec.runtime.node_sessions import NodeSessions

    Function = Callable[[Sequence[Array], Mapping[str, Argument]], Array]

RESULT = "result"


def apply_chain(steps: Sequence[ChainStep], values: Mapping[str, Array], sessions: NodeSessions) -> Array:
    """The output of the last step.

    Args:
        steps: At least one, each after the steps that it reads.
        values: Blocks by role, and `"result"` where the kernel has an operator of its own.
        sessions: Runs the operators that numpy has not.

    Raises:
        KeyError: A step reads something that is not there.
        SESSION_ERRORS: onnxruntime cannot run a step.
    """
    known = dict(values)
    last_use = {name: index for index, step in enumerate(steps) for name in step.inputs}
    output = ""
    for index, step in enumerate(steps):
        operands = [known[name] if name else None for name in step.inputs]
        known[step.output] = apply_step(step, operands, sessions)
        output = step.output
        for name in step.inputs:
            if name and last_use[name] == index and name != output:
                known.pop(name, None)
    return known[output]


def apply_step(
    step: ChainStep, operands: Sequence[Array | None], sessions: NodeSessions | None = None
) -> Array:
    """The output of one step. Raises ValueError where numpy has not its operator and there are no sessions."""
    dtype = element_type(step.dtype)
    function = _FUNCTIONS.get(step.operator)
    given = [operand for operand in operands if operand is not None]
    if step.operator == "Cast":
        return given[0].astype(dtype)
    if step.operator == "Clip":
        return _clip(operands, step.attributes).astype(dtype, copy=False)
    if function is not None:
        return function(given, step.attributes).astype(dtype, copy=False)
    if sessions is None:
        raise ValueError(f"{step.operator} is no step of a kernel's body")
    shape = np.broadcast_shapes(*(operand.shape for operand in given))
    flat = [None if item is None else _flat(item, shape) for item in operands]
    result = sessions.run_operator(step.operator, step.attributes, flat, step.dtype)
    return result.reshape(shape)


def _flat(operand: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(operand, shape).reshape(-1)


def _clip(operands: Sequence[Array | None], attributes: Mapping[str, Argument]) -> Array:
    x, low, high = (*operands, None, None, None)[:3]
    if x is None:
        raise ValueError("Clip has no input")
    if low is None and "min" in attributes:
        low = np.asarray(attributes["min"], dtype=x.dtype)
    if high is None and "max" in attributes:
        high = np.asarray(attributes["max"], dtype=x.dtype)
    floor = np.asarray(lowest(x.dtype), x.dtype) if low is None else low
    ceiling = np.asarray(highest(x.dtype), x.dtype) if high is None else high
    result: Array = np.minimum(np.maximum(x, floor), ceiling)
    return result


def _number(attributes: Mapping[str, Argument], name: str, default: float, like: Array) -> Any:
    """An attribute as a scalar of the operand's type, so that nothing is widened on the way."""
    value = attributes.get(name, default)
    return like.dtype.type(value)


def _one(like: Array) -> Any:
    return like.dtype.type(1)


def _sigmoid(x: Array) -> Array:
    result: Array = _one(x) / (_one(x) + np.exp(-x))
    return result


def _hard_sigmoid(x: Array, alpha: Any, beta: Any) -> Array:
    result: Array = np.clip(alpha * x + beta, x.dtype.type(0), _one(x))
    return result


def _divide(a: Array, b: Array) -> Array:
    """Division as ONNX has it: of whole numbers, towards zero."""
    quotient: Array
    if is_floating(a.dtype):
        quotient = a / b
        return quotient
    quotient = np.abs(a) // np.abs(b) if a.dtype.kind == "i" else a // b
    return np.where((a < 0) != (b < 0), -quotient, quotient) if a.dtype.kind == "i" else quotient


def _power(a: Array, b: Array) -> Array:
    if b.size == 1 and is_floating(a.dtype) and b.reshape(-1)[0] == 2:
        return np.broadcast_to(np.square(a), np.broadcast_shapes(a.shape, b.shape))
    if is_floating(a.dtype):
        result: Array = np.power(a, b.astype(a.dtype, copy=False))
    else:
        result = np.power(a.astype(np.float64), b.astype(np.float64))
    return result


def _modulo(args: Sequence[Array], attributes: Mapping[str, Argument]) -> Array:
    a, b = args
    remainder: Array = np.fmod(a, b) if attributes.get("fmod", 0) else np.mod(a, b)
    return remainder


def _fold(operation: np.ufunc) -> Function:
    def function(args: Sequence[Array], _attributes: Mapping[str, Argument]) -> Array:
        result = args[0]
        for operand in args[1:]:
            result = operation(result, operand)
        return result

    return function


def _mean(args: Sequence[Array], attributes: Mapping[str, Argument]) -> Array:
    total = _fold(np.add)(args, attributes)
    mean: Array = total / total.dtype.type(len(args))
    return mean


def _of(count: int, function: Callable[..., Any]) -> Function:
    """A function of exactly `count` operands: numpy would take one more for the place of its result."""

    def checked(args: Sequence[Array], _attributes: Mapping[str, Argument]) -> Array:
        if len(args) != count:
            raise ValueError(f"an operator of {count} operands is given {len(args)}")
        result: Array = function(*args)
        return result

    return checked


_FUNCTIONS: dict[str, Function] = {
    "Abs": _of(1, np.abs),
    "Add": _of(2, np.add),
    "And": _of(2, np.logical_and),
    "Ceil": _of(1, np.ceil),
    "Cos": _of(1, np.cos),
    "Div": _of(2, _divide),
    "Elu": lambda args, attributes: np.where(
        args[0] > 0, args[0], _number(attributes, "alpha", 1, args[0]) * np.expm1(args[0])
    ),
    "Equal": _of(2, np.equal),
    "Exp": _of(1, np.exp),
    "Floor": _of(1, np.floor),
    "Greater": _of(2, np.greater),
    "GreaterOrEqual": _of(2, np.greater_equal),
    "HardSigmoid": lambda args, attributes: _hard_sigmoid(
        args[0], _number(attributes, "alpha", 0.2, args[0]), _number(attributes, "beta", 0.5, args[0])
    ),
    "HardSwish": lambda args, _attributes: (
        args[0] * _hard_sigmoid(args[0], args[0].dtype.type(1 / 6), args[0].dtype.type(0.5))
    ),
    "Identity": _of(1, np.asarray),
    "IsNaN": _of(1, np.isnan),
    "LeakyRelu": lambda args, attributes: np.where(
        args[0] >= 0, args[0], _number(attributes, "alpha", 0.01, args[0]) * args[0]
    ),
    "Less": _of(2, np.less),
    "LessOrEqual": _of(2, np.less_equal),
    "Log": _of(1, np.log),
    "Max": _fold(np.maximum),
    "Mean": _mean,
    "Min": _fold(np.minimum),
    "Mod": _modulo,
    "Mul": _of(2, np.multiply),
    "Neg": _of(1, np.negative),
    "Not": _of(1, np.logical_not),
    "Or": _of(2, np.logical_or),
    "PRelu": _of(2, lambda x, slope: np.where(x < 0, x * slope, x)),
    "Pow": _of(2, _power),
    "Reciprocal": _of(1, lambda x: _one(x) / x),
    "Relu": _of(1, lambda x: np.maximum(x, x.dtype.type(0))),
    "Round": _of(1, np.rint),
    "Sigmoid": _of(1, _sigmoid),
    "Sign": _of(1, np.sign),
    "Sin": _of(1, np.sin),
    "Softplus": _of(1, lambda x: np.logaddexp(x, x.dtype.type(0))),
    "Sqrt": _of(1, np.sqrt),
    "Sub": _of(2, np.subtract),
    "Sum": _fold(np.add),
    "Tanh": _of(1, np.tanh),
    "Where": _of(3, np.where),
    "Xor": _of(2, np.logical_xor),
}
"""ONNX operators that numpy computes, by name; the rest run through onnxruntime."""
