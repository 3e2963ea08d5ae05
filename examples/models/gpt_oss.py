"""Makes language models of the gpt-oss kind: attention with sinks and windows, and mixtures of experts.

    python examples/models/gpt_oss.py --config tiny --form standard --precision int4 -o build/models/tiny-oss.onnx
    python examples/models/gpt_oss.py --config 120b --weights none --precision mxfp4 -o build/models/120b.onnx

The precision is that of the experts; `--linear-precision` is that of the other matrix products. In the contrib form a
mixture is one MoE or QMoE, in the standard form every expert is written out: about 18,000 nodes for 20b and 100,000
for 120b. Floating-point experts are slices of one tensor for all of them, as exporters write them; those in blocks are
a tensor each, because Gather takes no 4-bit elements. onnxruntime runs MXFP4 in neither form on a processor.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from block_quantization import BLOCK, INTEGER_BITS, MXFP4, PRECISIONS, pack_nibbles, pack_unsigned
from decoder_graph import make_decoder
from decoder_parts import (
    DecoderConfig,
    Drawing,
    Export,
    Rope,
    blocks_of,
    dequantized,
    linear_values,
    require_blocks,
)
from llama import add_export_arguments, export_of, report
from model_writer import ONNXRUNTIME, GraphMaker, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from block_quantization import Blocks


_ROPE = Rope(theta=150_000.0, factor=32.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GptOssConfig(DecoderConfig):
    """The sizes of a model of the gpt-oss kind.

    Attributes:
        intermediate: Width of one expert.
        experts: Of a layer.
        chosen: Experts that a token goes through.
        limit: Bound of the gate from above, and of the linear part on both sides.
        slope: Factor inside the sigmoid of the gate.
    """

    intermediate: int
    experts: int
    chosen: int = 4
    limit: float = 7.0
    slope: float = 1.702
    qkv_bias: bool = True
    output_bias: bool = True
    sinks: bool = True
    windows: tuple[int, ...] = (128, 0)
    rope: Rope = _ROPE


_LARGE = GptOssConfig(
    layers=24,
    hidden=2880,
    heads=64,
    kv_heads=8,
    head_size=64,
    intermediate=2880,
    experts=32,
    vocabulary=201_088,
)
CONFIGS = {
    # the limit is low enough, and the window and the trained context short enough, that all three matter
    "tiny": GptOssConfig(
        layers=2, hidden=64, heads=4, kv_heads=2, head_size=16, intermediate=32, experts=8, vocabulary=128,
        limit=1.0, windows=(4, 0), rope=replace(_ROPE, factor=4.0, trained_context=256),
    ),
    "20b": _LARGE,
    "120b": replace(_LARGE, layers=36, experts=128),
}  # fmt: skip


def make_gpt_oss(config: GptOssConfig, export: Export, expert_precision: str = "") -> GraphMaker:
    """The graph with its weights declared; experts have the precision of the rest unless another is given.

    Raises:
        ValueError: The precision is unknown, or the sizes are not in whole blocks of it.
    """
    precision = expert_precision or export.precision
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if config.chosen > config.experts:
        raise ValueError(f"{config.chosen} experts are chosen of {config.experts}")
    return make_decoder(config, export, partial(_mixture, precision=precision))


def opset_of(export: Export, expert_precision: str) -> int:
    """The opset of a model with experts of this precision."""
    return replace(export, precision=expert_precision or export.precision).opset


def _mixture(drawing: Drawing, layer: int, x: str, *, precision: str) -> str:
    """The chosen experts of each token, weighted by the softmax of their logits."""
    config, maker, export, name = drawing.config, drawing.maker, drawing.export, f"layers.{layer}.mlp"
    assert isinstance(config, GptOssConfig)  # noqa: S101
    scope, rows = f"/{name}", export.batch * export.sequence
    if export.contrib:
        logits = _router(drawing, name, x)
        logits = maker.apply(f"{scope}.router", "Reshape", logits, maker.integers(rows, config.experts))
        return _fused_experts(drawing, name, x, logits, precision)
    tokens = maker.apply(scope, "Reshape", x, maker.integers(rows, config.hidden))
    mixed = _written_experts(drawing, name, tokens, _router(drawing, name, tokens), precision)
    return maker.apply(scope, "Reshape", mixed, maker.integers(export.batch, export.sequence, config.hidden))


def _router(drawing: Drawing, name: str, x: str) -> str:
    """The logits of the experts; their weights are never quantised."""
    config, export, scope = drawing.config, drawing.export, f"/{name}.router"
    assert isinstance(config, GptOssConfig)  # noqa: S101
    router, experts, hidden = f"{name}.router", config.experts, config.hidden

    def make() -> bytes:
        return linear_values(export.seed, router, experts, hidden).T.astype(export.dtype).tobytes()

    weight = drawing.maker.weight(f"{router}.weight", export.kind, (hidden, experts), make)
    logits = drawing.maker.apply(scope, "MatMul", x, weight)
    return drawing.maker.apply(scope, "Add", logits, drawing.vector(f"{router}.bias", experts))


def _projections(config: GptOssConfig) -> dict[str, tuple[int, int]]:
    """Outputs and inputs; the first gives the elements of the gate and of the linear part by turns."""
    return {
        "gate_up_proj": (2 * config.intermediate, config.hidden),
        "down_proj": (config.hidden, config.intermediate),
    }


def _fused_experts(drawing: Drawing, name: str, x: str, logits: str, precision: str) -> str:
    config, maker = drawing.config, drawing.maker
    assert isinstance(config, GptOssConfig)  # noqa: S101
    attributes: dict[str, Any] = {
        "k": config.chosen,
        "activation_type": "swiglu",
        "swiglu_fusion": 1,
        "swiglu_limit": config.limit,
        "activation_alpha": config.slope,
        "activation_beta": 1.0,
        "normalize_routing_weights": 1,
    }
    if precision in {"fp32", "fp16"}:
        operands = _float_operands(drawing, name)
        return maker.apply(f"/{name}", "MoE", x, logits, *operands, domain=ONNXRUNTIME, **attributes)
    attributes |= {"block_size": BLOCK, "expert_weight_bits": INTEGER_BITS.get(precision, 4)}
    operands = _block_operands(drawing, name, precision)
    if precision == MXFP4:
        attributes["quant_type"] = "fp4"
        factors = maker.constant(np.ones(config.experts, dtype=np.float32))
        operands += [""] * 7 + [factors] * 2  # the global scales, behind seven inputs that are not given
    else:
        attributes["weights_prepacked"] = 0
    return maker.apply(f"/{name}", "QMoE", x, logits, *operands, domain=ONNXRUNTIME, **attributes)


def _float_operands(drawing: Drawing, name: str) -> list[str]:
    """For both projections the weights [experts, outputs, inputs] and the biases [experts, outputs]."""
    config, operands = drawing.config, []
    assert isinstance(config, GptOssConfig)  # noqa: S101
    for part, (outputs, inputs) in _projections(config).items():
        stacked = _stacked(drawing, f"{name}.experts", part, (outputs, inputs), transposed=False)
        operands += [stacked, _biases(drawing, name, part, outputs)]
    return operands


def _block_operands(drawing: Drawing, name: str, precision: str) -> list[str]:
    """For both projections codes [experts, outputs, bytes], scales [experts, outputs, blocks] and biases."""
    config, maker, operands = drawing.config, drawing.maker, []
    assert isinstance(config, GptOssConfig)  # noqa: S101
    bits = INTEGER_BITS.get(precision, 4)
    scale_kind = TensorProto.FLOAT8E8M0 if precision == MXFP4 else drawing.export.kind
    for part, (outputs, inputs) in _projections(config).items():
        require_blocks(f"{name}.experts.{part}", inputs)
        names = [f"{name}.experts.{expert}.{part}" for expert in range(config.experts)]
        every = _Experts(drawing, names, (outputs, inputs), precision)
        shape = (config.experts, outputs, inputs * bits // 8)
        operands.append(maker.weight(f"{name}.experts.{part}.packed", TensorProto.UINT8, shape, every.codes))
        shape = (config.experts, outputs, inputs // BLOCK)
        operands.append(maker.weight(f"{name}.experts.{part}.scale", scale_kind, shape, every.scales))
        operands.append(_biases(drawing, name, part, outputs))
    return operands


@dataclass(frozen=True, slots=True)
class _Experts:
    """The weights of all experts as QMoE stores them."""

    drawing: Drawing
    names: Sequence[str]
    shape: tuple[int, int]
    precision: str

    def codes(self) -> bytes:
        """The codes, expert after expert."""
        return b"".join(_packed(blocks.codes, self.precision).tobytes() for blocks in self._blocks())

    def scales(self) -> bytes:
        """The scales, expert after expert."""
        return b"".join(blocks.scales.tobytes() for blocks in self._blocks())

    def _blocks(self) -> Iterator[Blocks]:
        return (blocks_of(self.drawing, name, *self.shape, self.precision) for name in self.names)


def _packed(codes: NDArray[Any], precision: str) -> NDArray[np.uint8]:
    return pack_nibbles(codes) if precision == MXFP4 else pack_unsigned(codes, INTEGER_BITS[precision])


def _stacked(drawing: Drawing, name: str, part: str, shape: tuple[int, int], *, transposed: bool) -> str:
    """The weights of all experts in one tensor, [experts, outputs, inputs] or with the last two exchanged."""
    config, export = drawing.config, drawing.export
    assert isinstance(config, GptOssConfig)  # noqa: S101

    def make() -> bytes:
        each = (
            linear_values(export.seed, f"{name}.{index}.{part}", *shape) for index in range(config.experts)
        )
        return b"".join((one.T if transposed else one).astype(export.dtype).tobytes() for one in each)

    sizes = (config.experts, *(shape[::-1] if transposed else shape))
    return drawing.maker.weight(f"{name}.{part}.weight", export.kind, sizes, make)


def _biases(drawing: Drawing, name: str, part: str, outputs: int) -> str:
    config = drawing.config
    assert isinstance(config, GptOssConfig)  # noqa: S101
    return drawing.vector(f"{name}.experts.{part}.bias", config.experts, outputs)


def _written_experts(drawing: Drawing, name: str, tokens: str, logits: str, precision: str) -> str:
    """Every expert for every token, weighted by 0 where it is not chosen; [tokens, hidden]."""
    config, maker, export = drawing.config, drawing.maker, drawing.export
    assert isinstance(config, GptOssConfig)  # noqa: S101
    scope = f"/{name}.router"
    best, which = maker.outputs_of(scope, "TopK", logits, maker.integers(config.chosen), outputs=2, axis=-1)
    shares = maker.apply(scope, "Softmax", best, axis=-1)
    zeros = np.zeros((export.batch * export.sequence, config.experts), dtype=export.dtype)
    shares = maker.apply(scope, "ScatterElements", maker.constant(zeros), which, shares, axis=1)
    biases = {part: _biases(drawing, name, part, size[0]) for part, size in _projections(config).items()}
    whole: dict[str, str] = {}
    if precision in {"fp32", "fp16"}:
        for part, size in _projections(config).items():
            whole[part] = _stacked(drawing, f"{name}.experts", part, size, transposed=True)
    total = ""
    for expert in range(config.experts):
        scope, index = f"/{name}.experts.{expert}", maker.constant(np.asarray(expert, dtype=np.int64))
        weights = _weights_of_expert(drawing, name, expert, whole, precision)
        chosen = {
            part: maker.apply(f"{scope}.{part}", "Gather", bias, index, axis=0)
            for part, bias in biases.items()
        }
        result = _expert(drawing, scope, tokens, weights, chosen)
        share = maker.apply(scope, "Gather", shares, index, axis=1)
        result = maker.apply(scope, "Mul", result, maker.apply(scope, "Unsqueeze", share, maker.integers(1)))
        total = maker.apply(scope, "Add", total, result) if total else result
    return total


def _weights_of_expert(
    drawing: Drawing, name: str, expert: int, whole: dict[str, str], precision: str
) -> dict[str, str]:
    """The weight [inputs, outputs] of each projection of one expert."""
    config, maker = drawing.config, drawing.maker
    assert isinstance(config, GptOssConfig)  # noqa: S101
    scope = f"{name}.experts.{expert}"
    if not whole:
        sizes = _projections(config)
        return {part: dequantized(drawing, f"{scope}.{part}", *sizes[part], precision) for part in sizes}
    index = maker.constant(np.asarray(expert, dtype=np.int64))
    return {part: maker.apply(f"/{scope}.{part}", "Gather", whole[part], index, axis=0) for part in whole}


def _expert(
    drawing: Drawing, scope: str, tokens: str, weights: dict[str, str], biases: dict[str, str]
) -> str:
    """Gives down((min(gate, limit) * sigmoid(slope * that)) * (clip(up) + 1)), [tokens, hidden]."""
    config, maker = drawing.config, drawing.maker
    assert isinstance(config, GptOssConfig)  # noqa: S101

    def project(part: str, x: str) -> str:
        product = maker.apply(f"{scope}.{part}", "MatMul", x, weights[part])
        return maker.apply(f"{scope}.{part}", "Add", product, biases[part])

    both, end = project("gate_up_proj", tokens), maker.integers(np.iinfo(np.int64).max)
    gate, up = (
        maker.apply(scope, "Slice", both, maker.integers(first), end, maker.integers(-1), maker.integers(2))
        for first in (0, 1)
    )
    gate = maker.apply(scope, "Clip", gate, "", drawing.scalar(config.limit))
    up = maker.apply(scope, "Clip", up, drawing.scalar(-config.limit), drawing.scalar(config.limit))
    inner = maker.apply(scope, "Sigmoid", maker.apply(scope, "Mul", gate, drawing.scalar(config.slope)))
    active = maker.apply(scope, "Mul", gate, inner)
    shifted = maker.apply(scope, "Add", up, drawing.scalar(1))
    return project("down_proj", maker.apply(scope, "Mul", shifted, active))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the model asked for."""
    parser = argparse.ArgumentParser(description="make a language model of the gpt-oss kind")
    add_export_arguments(parser, tuple(CONFIGS))
    parser.add_argument(
        "--linear-precision", choices=PRECISIONS, help="of products outside experts; the activations'"
    )
    options = parser.parse_args(arguments)
    config = CONFIGS[options.config]
    if options.layers is not None:
        config = replace(config, layers=options.layers)
    try:
        export = export_of(options)
        export = replace(export, precision=options.linear_precision or export.activations)
        maker = make_gpt_oss(config, export, options.precision)
    except ValueError as error:
        parser.error(str(error))
    opset = opset_of(export, options.precision)
    report(maker, options.output, write_model(maker, options.output, weights=options.weights, opset=opset))
    return 0


if __name__ == "__main__":
    sys.exit(main())
