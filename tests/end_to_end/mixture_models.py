"""Small mixtures of experts: a router, MoE or QMoE, and a sum behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, Any]

FP4_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a mixture looks like; `bits` 0 for floats, 4 and `mxfp4` for MXFP4, `block` 0 for a scale a column."""

    shape: tuple[int, ...] = (3, 64)
    experts: int = 6
    inner: int = 48
    chosen: int = 2
    activation: str = "swiglu"
    fusion: int = 1
    third: bool = False
    normalized: int = 1
    limit: float | None = 1.0
    dtype: type = np.float32
    bias: bool = True
    bits: int = 0
    block: int = 16
    zero_points: bool = False
    mxfp4: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)


def pack(codes: Array, bits: int) -> Array:
    """Codes of the last dimension, put together in bytes from the lowest bits up."""
    per_byte = 8 // bits
    split = codes.astype(np.uint8).reshape(*codes.shape[:-1], -1, per_byte)
    packed: Array = (split << np.arange(0, 8, bits, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8)
    return packed


def save_mixture(path: Path, mixture: Mixture, seed: int = 0) -> Path:
    """A model with input `x` and output `y`, rows of the mixture plus the rows themselves."""
    rng = np.random.default_rng(seed)
    rows, hidden = math.prod(mixture.shape[:-1]), mixture.shape[-1]
    joined = 2 if mixture.fusion and mixture.activation in {"swiglu", "geglu"} else 1
    sizes = {"w1": (joined * mixture.inner, hidden), "w2": (hidden, mixture.inner)}
    if mixture.third:
        sizes["w3"] = (mixture.inner, hidden)
    tensors: dict[str, Array] = {
        "router": (rng.standard_normal((hidden, mixture.experts)) * 0.3).astype(mixture.dtype),
        "flat": np.array([rows, hidden], np.int64),
    }
    for name, size in sizes.items():
        tensors |= _matrix(mixture, name, size, rng)
        if mixture.bias:
            bias: Array = rng.standard_normal((mixture.experts, size[0])).astype(mixture.dtype)
            tensors[f"{name}_bias"] = bias
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "router"], ["logits"]),
        helper.make_node(
            "QMoE" if mixture.bits else "MoE",
            _inputs(mixture, tensors),
            ["m"],
            domain="com.microsoft",
            **_attributes(mixture),
        ),
        helper.make_node("Add", ["m", "x"], ["y"]),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(mixture.dtype))
    infos = [helper.make_tensor_value_info(name, kind, mixture.shape) for name in ("x", "y")]
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def _matrix(mixture: Mixture, name: str, size: tuple[int, int], rng: np.random.Generator) -> dict[str, Array]:
    shape, bits = (mixture.experts, *size), mixture.bits
    if not bits:
        return {name: (rng.standard_normal(shape) * 0.2).astype(mixture.dtype)}
    found = {name: pack(rng.integers(0, 1 << bits, shape), bits)}
    if mixture.mxfp4:
        scales = np.exp2(rng.integers(-6, -2, (*shape[:2], size[1] // FP4_BLOCK)))
        ones = np.ones(mixture.experts, np.float32)
        return found | {f"{name}_scale": scales.astype(ml_dtypes.float8_e8m0fnu), f"{name}_factor": ones}
    blocks = size[1] // mixture.block if mixture.block else 1
    scale: Array = (rng.uniform(0.5, 1, (*shape[:2], blocks)) * 0.8 / (1 << bits)).astype(mixture.dtype)
    found[f"{name}_scale"] = scale if mixture.block else scale[..., 0]
    if mixture.zero_points:
        filled = blocks + -blocks % (8 // bits)
        zeros = rng.integers(0, 1 << bits, (*shape[:2], filled))
        found[f"{name}_zero"] = pack(zeros if mixture.block else zeros[..., 0], bits)
    return found


def _inputs(mixture: Mixture, tensors: dict[str, Array]) -> list[str]:
    parts = ("", "_scale", "_bias") if mixture.bits else ("", "_bias")
    names = [f"{name}{part}" for name in ("w1", "w2", "w3") for part in parts]
    if mixture.bits:
        names += ["w1_zero", "w2_zero", "w3_zero", "", "w1_factor", "w2_factor"]
    return ["x", "logits", *(name if name in tensors else "" for name in names)]


def _attributes(mixture: Mixture) -> dict[str, Any]:
    found: dict[str, Any] = {
        "k": mixture.chosen,
        "activation_type": mixture.activation,
        "normalize_routing_weights": mixture.normalized,
        "swiglu_fusion": mixture.fusion,
    }
    if mixture.activation == "swiglu":
        found |= {"activation_alpha": 1.702, "activation_beta": 1.0}
        found |= {} if mixture.limit is None else {"swiglu_limit": mixture.limit}
    if mixture.bits:
        found |= {"expert_weight_bits": mixture.bits}
        found |= {"quant_type": "fp4"} if mixture.mxfp4 else {}
        found |= {"block_size": mixture.block} if mixture.block and not mixture.mxfp4 else {}
    return found | mixture.attributes
