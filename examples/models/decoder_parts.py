"""What a decoder of tokens is made from: its sizes, how it is exported, and the matrix products of both forms.

The *contrib* form has the operators of com.microsoft that onnxruntime-genai's builder uses, the *standard* form those of
ai.onnx only. Weights are drawn by name, so that both forms and every precision start from the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from block_quantization import (
    BLOCK,
    INTEGER_BITS,
    MXFP4,
    PRECISIONS,
    Blocks,
    pack_nibbles,
    pack_unsigned,
    quantize,
)
from model_writer import ONNXRUNTIME, GraphMaker, random_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

FORMS = ("contrib", "standard")
ENTRIES = ("prefill", "decode")

_FLOATS: dict[str, tuple[int, type[np.generic]]] = {
    "fp32": (TensorProto.FLOAT, np.float32),
    "fp16": (TensorProto.FLOAT16, np.float16),
}
_STORED = {"int4": TensorProto.INT4, "int8": TensorProto.INT8, MXFP4: TensorProto.FLOAT4E2M1}


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embedding; `factor` above 1 is YaRN (arXiv 2309.00071) from a model trained on `trained_context`."""

    theta: float = 10_000.0
    factor: float = 1.0
    trained_context: int = 4_096
    fast: float = 32.0
    slow: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """The sizes of a decoder.

    Attributes:
        windows: How many positions a query sees, itself included, layer by layer and then from the start; 0 is all.
        sinks: Whether each head has a learned logit that takes part in the softmax and has no value.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    epsilon: float = 1e-5
    rope: Rope = Rope()
    windows: tuple[int, ...] = (0,)
    sinks: bool = False
    qkv_bias: bool = False
    output_bias: bool = False

    def window(self, layer: int) -> int:
        """How many positions a query of this layer sees, or 0."""
        return self.windows[layer % len(self.windows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """How a decoder is written.

    Attributes:
        sequence: New tokens of a step.
        context: Positions that the cache has room for.
        precision: Of the weights of matrix products.
        activations: `fp32` or `fp16`; also that of embeddings, norms and scales.
    """

    form: str = "standard"
    entry: str = "decode"
    batch: int = 1
    sequence: int = 1
    context: int = 32
    precision: str = "fp32"
    activations: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("form", self.form, FORMS)
        _one_of("entry", self.entry, ENTRIES)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("activations", self.activations, _FLOATS)
        if min(self.batch, self.sequence, self.context) < 1:
            raise ValueError("batch, sequence and context are at least 1")
        if self.sequence > self.context:
            raise ValueError(f"{self.sequence} tokens exceed the context of {self.context}")
        if self.contrib and self.decodes and self.sequence > 1 and self.batch > 1:
            raise ValueError("GroupQueryAttention takes several tokens behind a past only for a batch of 1")

    @property
    def contrib(self) -> bool:
        """Whether operators of com.microsoft are used."""
        return self.form == "contrib"

    @property
    def decodes(self) -> bool:
        """Whether there is a past."""
        return self.entry == "decode"

    @property
    def kind(self) -> int:
        """The element type of activations."""
        return _FLOATS[self.activations][0]

    @property
    def dtype(self) -> type[np.generic]:
        """The numpy type of activations."""
        return _FLOATS[self.activations][1]

    @property
    def opset(self) -> int:
        """MXFP4 needs the scales that DequantizeLinear takes since 24."""
        return 24 if self.precision == MXFP4 else 23


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"{what} {value!r} is none of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph under construction together with what it is made from."""

    maker: GraphMaker
    config: DecoderConfig
    export: Export

    def scalar(self, value: float) -> str:
        """A constant of the activations' type without dimensions."""
        return self.maker.constant(np.asarray(value, dtype=self.export.dtype))

    def vector(self, name: str, *shape: int, centre: float = 0.0, deviation: float = 0.1) -> str:
        """A weight that is never quantised."""
        export = self.export

        def make() -> bytes:
            values = centre + random_values(export.seed, name, shape, deviation)
            return values.astype(export.dtype).tobytes()

        return self.maker.weight(name, export.kind, shape, make)


def linear_values(seed: int, name: str, outputs: int, inputs: int) -> NDArray[np.float32]:
    """The weight `name` [outputs, inputs] before quantisation; results keep about the variance of what comes in."""
    return random_values(seed, name, (outputs, inputs), inputs**-0.5)


def linear(drawing: Drawing, name: str, x: str, outputs: int, inputs: int, *, bias: bool = False) -> str:
    """Multiplies x [..., inputs] by the weight `name` [outputs, inputs] transposed, in the precision of the export."""
    export, maker, scope = drawing.export, drawing.maker, f"/{name}"
    if export.precision in {"fp32", "fp16"}:
        result = maker.apply(scope, "MatMul", x, _transposed_weight(drawing, name, outputs, inputs))
    elif export.contrib:
        result = _product_of_blocks(drawing, name, x, outputs, inputs)
    else:
        result = maker.apply(scope, "MatMul", x, dequantized(drawing, name, outputs, inputs))
    if not bias:
        return result
    return maker.apply(scope, "Add", result, drawing.vector(f"{name}.bias", outputs))


def _transposed_weight(drawing: Drawing, name: str, outputs: int, inputs: int) -> str:
    export = drawing.export

    def make() -> bytes:
        return linear_values(export.seed, name, outputs, inputs).T.astype(export.dtype).tobytes()

    return drawing.maker.weight(f"{name}.weight", export.kind, (inputs, outputs), make)


def blocks_of(drawing: Drawing, name: str, outputs: int, inputs: int, precision: str) -> Blocks:
    """The weight `name` in blocks."""
    values = linear_values(drawing.export.seed, name, outputs, inputs)
    return quantize(values, precision, np.dtype(drawing.export.dtype))


def _product_of_blocks(drawing: Drawing, name: str, x: str, outputs: int, inputs: int) -> str:
    export, maker = drawing.export, drawing.maker
    if export.precision not in INTEGER_BITS:
        raise ValueError(f"MatMulNBits takes integers, not {export.precision}")
    require_blocks(name, inputs)
    bits, count = INTEGER_BITS[export.precision], inputs // BLOCK

    def codes() -> bytes:
        return pack_unsigned(
            blocks_of(drawing, name, outputs, inputs, export.precision).codes, bits
        ).tobytes()

    def scales() -> bytes:
        return blocks_of(drawing, name, outputs, inputs, export.precision).scales.tobytes()

    shape = (outputs, count, BLOCK * bits // 8)
    packed = maker.weight(f"{name}.weight_packed", TensorProto.UINT8, shape, codes)
    scale = maker.weight(f"{name}.weight_scale", export.kind, (outputs, count), scales)
    attributes = {"K": inputs, "N": outputs, "bits": bits, "block_size": BLOCK}
    return maker.apply(f"/{name}", "MatMulNBits", x, packed, scale, domain=ONNXRUNTIME, **attributes)


def dequantized(drawing: Drawing, name: str, outputs: int, inputs: int, precision: str = "") -> str:
    """The weight `name` [inputs, outputs] behind a DequantizeLinear with blocks along the inputs."""
    export, maker, precision = drawing.export, drawing.maker, precision or drawing.export.precision
    require_blocks(name, inputs)

    def codes() -> bytes:
        stored = blocks_of(drawing, name, outputs, inputs, precision).codes.T
        return stored.tobytes() if precision == "int8" else pack_nibbles(stored.reshape(-1)).tobytes()

    def scales() -> bytes:
        return blocks_of(drawing, name, outputs, inputs, precision).scales.T.tobytes()

    micro = precision == MXFP4
    stored = maker.weight(f"{name}.weight_quantized", _STORED[precision], (inputs, outputs), codes)
    scale_kind = TensorProto.FLOAT8E8M0 if micro else export.kind
    scale = maker.weight(f"{name}.weight_scale", scale_kind, (inputs // BLOCK, outputs), scales)
    attributes: dict[str, Any] = {"axis": 0, "block_size": BLOCK}
    if micro:
        attributes["output_dtype"] = export.kind
    return maker.apply(f"/{name}", "DequantizeLinear", stored, scale, **attributes)


def require_blocks(name: str, inputs: int) -> None:
    """Refuses a weight whose inputs are not in whole blocks."""
    if inputs % BLOCK:
        raise ValueError(f"{name}: {inputs} inputs are not in whole blocks of {BLOCK}")
