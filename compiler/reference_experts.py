"""MoE and QMoE of com.microsoft for `onnx.reference`, row by row from the text of their schemas in onnxruntime.

For forms that onnxruntime's CPU build has not: gates apart or in halves, MXFP4 weights, weights of the router. It is slow,
and shares no code with the kernels that it judges.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]

DOMAIN = "com.microsoft"
_SMALLEST = 2  # dimensions of scales without blocks


@cache
def reference_operators() -> list[Any]:
    """Both operators as classes of `onnx.reference`."""
    from onnx.reference.op_run import OpRun

    class MoE(OpRun):
        op_domain = DOMAIN

        def _run(self, *inputs: Array | None, **attributes: Any) -> tuple[Array]:
            x, router, *matrices = inputs
            matrices += [None] * (6 - len(matrices))
            return (_mixture(x, router, router, matrices, attributes),)

    class QMoE(OpRun):
        op_domain = DOMAIN

        def _run(self, *inputs: Array | None, **attributes: Any) -> tuple[Array]:
            given = [*inputs, *[None] * (20 - len(inputs))]
            matrices: list[Array | None] = []
            for number, (weights, zeros, factor) in enumerate(((2, 11, 15), (5, 12, 16), (8, 13, 19))):
                codes = (given[weights], given[weights + 1], given[zeros], given[factor])
                matrices += [_dequantised(number + 1, *codes, attributes), given[weights + 2]]
            weights_of_router = given[1] if given[14] is None else given[14]
            return (
                _mixture(
                    given[0], given[1], weights_of_router, matrices, attributes, given=given[14] is not None
                ),
            )

    return [MoE, QMoE]


def _mixture(
    x: Any, router: Any, weights: Any, matrices: list[Any], attributes: dict[str, Any], *, given: bool = False
) -> Array:
    """The weighted sum of the chosen experts of each row, in double precision."""
    first, first_bias, second, second_bias, third, third_bias = (
        None if item is None else np.asarray(item, np.float64) for item in matrices
    )
    rows = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    result = np.zeros_like(rows)
    logits = np.asarray(router, np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = np.asarray(weights, np.float64) if given else powers / powers.sum(axis=1, keepdims=True)
    for row, values in enumerate(rows):
        chosen = np.argsort(-logits[row], kind="stable")[: attributes.get("k") or 1]
        share = shares[row, chosen]
        if attributes.get("normalize_routing_weights"):
            share = share / share.sum()
        for expert, part in zip(chosen, share, strict=True):
            inner = _product(first, first_bias, expert, values)
            up = None if third is None else _product(third, third_bias, expert, values)
            activated = _activated(inner, up, attributes)
            result[row] += part * _product(second, second_bias, expert, activated)
    return result.reshape(x.shape).astype(x.dtype)


def _product(matrix: Any, bias: Any, expert: int, values: Array) -> Array:
    product: Array = matrix[expert] @ values
    return product if bias is None else product + bias[expert]


def _activated(inner: Array, up: Array | None, attributes: dict[str, Any]) -> Array:
    name, fusion = attributes.get("activation_type") or "relu", attributes.get("swiglu_fusion") or 0
    if name in {"swiglu", "geglu"} and fusion == 1:
        inner, up = inner[0::2], inner[1::2]
    elif name in {"swiglu", "geglu"} and fusion == 2:
        inner, up = np.split(inner, 2)
    if name == "swiglu" and up is not None:
        return _swiglu(inner, up, attributes)
    result: Array = _ACTIVATIONS[name](inner)
    return result if up is None else result * up


def _swiglu(gate: Array, up: Array, attributes: dict[str, Any]) -> Array:
    limit = attributes.get("swiglu_limit")
    alpha, beta = attributes.get("activation_alpha"), attributes.get("activation_beta")
    bound = np.inf if limit is None else limit
    late = bool(attributes.get("swiglu_limit_after_activation"))
    gate = gate if late else np.minimum(gate, bound)
    swish = gate / (1 + np.exp(-(1.0 if alpha is None else alpha) * gate))
    swish = np.minimum(swish, bound) if late else swish
    result: Array = swish * (np.clip(up, -bound, bound) + (0.0 if beta is None else beta))
    return result


def _gelu(x: Array) -> Array:
    result: Array = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return result


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "geglu": _gelu,
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "silu": lambda x: np.asarray(x / (1 + np.exp(-x))),
}


def _dequantised(  # noqa: PLR0917 - the inputs of one matrix
    number: int, packed: Any, scales: Any, zeros: Any, factor: Any, attributes: dict[str, Any]
) -> Array | None:
    """[experts, N, K] in double precision; None where the matrix is not given."""
    if packed is None:
        return None
    kind = attributes.get("quant_type") or "int"
    inherited = attributes.get("expert_weight_bits") or 4
    bits = 4 if kind == "fp4" else attributes.get(f"fc{number}_expert_weight_bits") or inherited
    codes = _codes(packed, bits)
    features = codes.shape[-1]
    block = 32 if kind == "fp4" else attributes.get("block_size") or features
    scale = np.asarray(scales, np.float64)
    scale = scale[..., None] if scale.ndim == _SMALLEST else scale
    if kind == "fp4":
        values = _E2M1[codes]
    else:
        values = codes - _zeros(zeros, scale.shape, bits, block)[..., :features]
    result: Array = values * np.repeat(scale, block, axis=-1)[..., :features]
    return result if factor is None else result * np.asarray(factor, np.float64)[:, None, None]


_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def _codes(packed: Array, bits: int) -> Array:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    split: Array = (packed.astype(np.uint8)[..., None] >> shifts) & ((1 << bits) - 1)
    return split.reshape(*packed.shape[:-1], -1).astype(np.int64)


def _zeros(zeros: Array | None, shape: tuple[int, ...], bits: int, block: int) -> Array:
    if zeros is None:
        return np.full((1, 1, shape[-1] * block), 1 << (bits - 1))
    points = _codes(zeros, bits)
    points = points[..., : shape[1]].reshape(shape) if zeros.ndim == _SMALLEST else points[..., : shape[2]]
    return np.repeat(points, block, axis=-1)
