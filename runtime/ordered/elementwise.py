"""Element-wise operators by the formulas of the core programs (docs/core-programs.md), in float32."""

from __future__ import annotations

import math
from functools import reduce
from operator import add, mul, sub, truediv
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from wsec.runtime.element_types import Array, element_type
from wsec.runtime.ordered.operations import cosine, erf, exp, log, maximum, minimum, power, sine, tanh
from wsec.runtime.programs.unsupported import not_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.compiler.plan import Argument, ChainStep

    Attributes = Mapping[str, Argument]
    Function = Callable[[Sequence[Array], Attributes], Array]


def _constant(value: Any) -> Array:
    return np.asarray(value, np.float32)


_ZERO, _HALF, _ONE, _SIXTH = (_constant(value) for value in (0, 1 / 2, 1, 1 / 6))
_ROOT_HALF, _ROOT_TWO_OVER_PI, _CUBIC = (
    _constant(value) for value in (math.sqrt(1 / 2), math.sqrt(2 / math.pi), 0.044715)
)


WHOLE_TYPES: Final = frozenset({"int32", "int64"})
_EXACT: Final = 2**24

WHOLE: Final = frozenset(
    {
        "Abs", "Add", "Cast", "Clip", "Equal", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min",
        "Mul", "Neg", "Relu", "Sign", "Sub", "Sum", "Where",
    }
)  # fmt: skip
"""Operators whose results are whole numbers, or truth values, where the operands are: exact up to 2^24."""


def apply_chain_in_order(steps: Sequence[ChainStep], values: Mapping[str, Array]) -> Array:
    """The output of the last step.

    Raises:
        KeyError: A step reads something that is not there.
        WsecError: WSEC596 an operator has no formula.
    """
    known = dict(values)
    for step in steps:
        known[step.output] = apply_step_in_order(
            step, [known[name] if name else None for name in step.inputs]
        )
    return known[steps[-1].output]


def apply_step_in_order(step: ChainStep, operands: Sequence[Array | None]) -> Array:
    """The output of one step; truth values are 1 and 0 on the way.

    Raises:
        WsecError: WSEC596 the operator has no formula, or a whole number is beyond 2^24.
    """
    if step.operator == "Clip":
        given = _clip_operands(operands, step.attributes)
    else:
        given = [operand for operand in operands if operand is not None]
    _check_types(step, given)
    floats = [operand.astype(np.float32, copy=False) for operand in given]
    if step.operator == "Cast":
        floats = [_cast(floats[0], step.dtype)]
    function = FORMULAS.get(step.operator)
    if function is None:
        raise not_simulated(f"step {step.output} of a chain", f"operator {step.operator}")
    result = function(floats, step.attributes)
    _check_exact(step, result)
    return result.astype(element_type(step.dtype), copy=False)


def _check_types(step: ChainStep, operands: Sequence[Array]) -> None:
    """Every word of memory holds a number of single precision."""
    types = {*(operand.dtype.name for operand in operands), step.dtype}
    if types - {"float32", "bool"} - WHOLE_TYPES:
        raise not_simulated(
            f"step {step.output} of a chain", f"{step.operator} of {', '.join(sorted(types))}"
        )
    whole = types & WHOLE_TYPES
    if whole and step.operator not in WHOLE:
        raise not_simulated(
            f"step {step.output} of a chain", f"{step.operator} of {', '.join(sorted(whole))}"
        )


def _check_exact(step: ChainStep, result: Array) -> None:
    """Whole numbers that a float does not hold would silently become others."""
    if step.dtype in WHOLE_TYPES and result.size and (abs(result) > _EXACT).any():
        raise not_simulated(f"step {step.output} of a chain", f"whole numbers beyond {_EXACT:,}")


def _cast(x: Array, dtype: str) -> Array:
    if dtype == "bool":
        result: Array = x != 0
        return result
    if dtype in WHOLE_TYPES:
        x = np.floor(maximum(x, _ZERO)) - np.floor(maximum(-x, _ZERO))
    return x.astype(element_type(dtype), copy=False)


def _clip_operands(operands: Sequence[Array | None], attributes: Attributes) -> list[Array]:
    """The operand, then the bounds; those that are not given let everything pass."""
    x, low, high = (*operands, None, None, None)[:3]
    if x is None:
        raise ValueError("Clip has no input")
    floor = attributes.get("min", -np.inf) if low is None else low
    ceiling = attributes.get("max", np.inf) if high is None else high
    return [x, _constant(floor), _constant(ceiling)]


def _number(attributes: Attributes, name: str, default: float) -> Array:
    return _constant(attributes.get(name, default))


def _one(function: Callable[[Array], Array]) -> Function:
    return lambda args, _attributes: function(args[0])


def _two(function: Callable[[Array, Array], Any]) -> Function:
    return lambda args, _attributes: np.asarray(function(args[0], args[1]))


def _fold(function: Callable[[Array, Array], Array]) -> Function:
    return lambda args, _attributes: reduce(function, args)


def _mean(args: Sequence[Array], _attributes: Attributes) -> Array:
    return reduce(add, args) * (_ONE / _constant(len(args)))


def _sigmoid(x: Array) -> Array:
    result: Array = _ONE / (_ONE + exp(-x))
    return result


def _softplus(x: Array) -> Array:
    return maximum(x, _ZERO) + log(_ONE + exp(-np.abs(x)))


def _gelu(args: Sequence[Array], attributes: Attributes) -> Array:
    x = args[0]
    if attributes.get("approximate", "none") == "tanh":
        curve = tanh((x + x * x * x * _CUBIC) * _ROOT_TWO_OVER_PI)
    else:
        curve = erf(x * _ROOT_HALF)
    result: Array = x * _HALF * (curve + _ONE)
    return result


def _elu(args: Sequence[Array], attributes: Attributes) -> Array:
    return _rectified(args[0], _number(attributes, "alpha", 1), _ONE)


def _rectified(x: Array, below: Array, above: Array) -> Array:
    """X times `above` where it is positive, `below` times (e to the power x, less one) elsewhere."""
    result: Array = maximum(x, _ZERO) * above + (exp(minimum(x, _ZERO)) - _ONE) * below
    return result


def _leaky(args: Sequence[Array], attributes: Attributes) -> Array:
    slope = _number(attributes, "alpha", 0.01)
    return (maximum if slope <= 1 else minimum)(args[0], args[0] * slope)


def _hard(x: Array, alpha: Array, beta: Array) -> Array:
    return minimum(maximum(x * alpha + beta, _ZERO), _ONE)


def _celu(args: Sequence[Array], attributes: Attributes) -> Array:
    x, alpha = args[0], _number(attributes, "alpha", 1)
    result: Array = maximum(x, _ZERO) + (exp(minimum(x, _ZERO) * (_ONE / alpha)) - _ONE) * alpha
    return result


def _selu(args: Sequence[Array], attributes: Attributes) -> Array:
    alpha, gamma = (
        _number(attributes, "alpha", 1.6732631921768188),
        _number(attributes, "gamma", 1.0507010221481323),
    )
    return _rectified(args[0], alpha * gamma, gamma)


def _infinite(args: Sequence[Array], attributes: Attributes) -> Array:
    above, below = (bool(attributes.get(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    x = np.abs(args[0]) if above and below else args[0]
    sought = np.float32(np.inf) if above else np.float32(-np.inf) if below else np.float32(np.nan)
    return np.asarray(x == sought)


def _shrunk(args: Sequence[Array], attributes: Attributes) -> Array:
    x, bias, bound = args[0], _number(attributes, "bias", 0), _number(attributes, "lambd", 0.5)
    return np.where(x > bound, x - bias, np.where(-bound > x, x + bias, _ZERO))


FORMULAS: Final[dict[str, Function]] = {
    "Abs": _one(np.abs),
    "Add": _two(add),
    "And": _two(mul),
    "Ceil": _one(np.ceil),
    "Celu": _celu,
    "Cast": _one(np.asarray),
    "Clip": lambda args, _attributes: minimum(maximum(args[0], args[1]), args[2]),
    "Cos": _one(cosine),
    "Div": _two(truediv),
    "Elu": _elu,
    "Equal": _two(np.equal),
    "Erf": _one(erf),
    "Exp": _one(exp),
    "Floor": _one(np.floor),
    "Gelu": _gelu,
    "Greater": _two(np.greater),
    "GreaterOrEqual": _two(np.greater_equal),
    "HardSigmoid": lambda args, attributes: _hard(
        args[0], _number(attributes, "alpha", 0.2), _number(attributes, "beta", 0.5)
    ),
    "HardSwish": lambda args, _attributes: args[0] * _hard(args[0], _SIXTH, _HALF),
    "Identity": _one(np.asarray),
    "IsNaN": _one(np.isnan),
    "LeakyRelu": _leaky,
    "IsInf": _infinite,
    "Less": _two(np.less),
    "LessOrEqual": _two(np.less_equal),
    "Log": _one(log),
    "Max": _fold(maximum),
    "Mean": _mean,
    "Min": _fold(minimum),
    "Mish": _one(lambda x: x * tanh(_softplus(x))),
    "Mul": _two(mul),
    "Neg": _one(np.negative),
    "Not": _one(lambda x: _ONE - x),
    "Or": _two(maximum),
    "PRelu": _two(lambda x, slope: maximum(x, _ZERO) + minimum(x, _ZERO) * slope),
    "Pow": _two(power),
    "Reciprocal": _one(lambda x: _ONE / x),
    "Relu": _one(lambda x: maximum(x, _ZERO)),
    "Round": _one(np.rint),
    "Selu": _selu,
    "Sigmoid": _one(_sigmoid),
    "Shrink": _shrunk,
    "Sign": _one(np.sign),
    "Sin": _one(sine),
    "Softplus": _one(_softplus),
    "Softsign": _one(lambda x: x / (_ONE + np.abs(x))),
    "Sqrt": _one(np.sqrt),
    "Sub": _two(sub),
    "Sum": _fold(add),
    "Swish": lambda args, attributes: args[0] * _sigmoid(args[0] * _number(attributes, "alpha", 1)),
    "Tan": _one(lambda x: sine(x) / cosine(x)),
    "Tanh": _one(tanh),
    "ThresholdedRelu": lambda args, attributes: np.where(
        args[0] > _number(attributes, "alpha", 1), args[0], _ZERO
    ),
    "Where": lambda args, _attributes: np.where(args[0] != 0, args[1], args[2]),
    "Xor": _two(lambda left, right: np.abs(left - right)),
}
"""By ONNX operator; `Cast` and the bounds of `Clip` are seen to before."""
