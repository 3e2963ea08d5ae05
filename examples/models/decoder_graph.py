"""The graph of a decoder of tokens: embedding, attention with a cache of keys and values, norms, and the logits.

Two forms of the same arithmetic. *contrib* is what onnxruntime-genai's builder writes, with the operators
GroupQueryAttention, SkipSimplifiedLayerNormalization and MatMulNBits of com.microsoft. *standard* has operators of
ai.onnx only, with norms, rotation, mask, cache and softmax written out as exporters do.

Two entries. *decode* reads and returns the cache, `past_key_values.{i}.key` and `.value` and `present.{i}.*`
[batch, heads of keys, context, head size]: its capacity is the context, so that one graph serves every step.
`attention_mask` [batch, context] has ones for all positions that are filled after the step; the new tokens are the last
of them. *prefill* starts from position 0 with an empty cache; prompts in one batch are padded on the right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from decoder_attention import attend, cache_shape, share
from decoder_parts import DecoderConfig, Drawing, Export, linear
from model_writer import ONNXRUNTIME, GraphMaker

if TYPE_CHECKING:
    from collections.abc import Callable


def make_decoder(
    config: DecoderConfig, export: Export, feed_forward: Callable[[Drawing, int, str], str]
) -> GraphMaker:
    """The whole graph; `feed_forward` appends that of one layer, from and to [batch, sequence, hidden]."""
    maker = GraphMaker()
    drawing = Drawing(maker, config, export)
    tokens = maker.input("input_ids", TensorProto.INT64, export.batch, export.sequence)
    maker.input("attention_mask", TensorProto.INT64, export.batch, export.context)
    shared = share(drawing)
    table = drawing.vector("embed_tokens.weight", config.vocabulary, config.hidden, deviation=1.0)
    residual = maker.apply("/embed_tokens", "Gather", table, tokens)
    branch = ""
    for layer in range(config.layers):
        normal, residual = _normalise(drawing, f"layers.{layer}.input_layernorm", residual, branch)
        branch = attend(drawing, shared, layer, normal)
        normal, residual = _normalise(drawing, f"layers.{layer}.post_attention_layernorm", residual, branch)
        branch = feed_forward(drawing, layer, normal)
    normal, _ = _normalise(drawing, "norm", residual, branch)
    logits = linear(drawing, "lm_head", normal, config.vocabulary, config.hidden)
    maker.apply("/logits", "Identity", logits, outputs=("logits",))
    maker.output("logits", export.kind, export.batch, export.sequence, config.vocabulary)
    for layer in range(config.layers):
        for part in ("key", "value"):
            maker.output(f"present.{layer}.{part}", export.kind, *cache_shape(drawing))
    return maker


def _normalise(drawing: Drawing, name: str, residual: str, branch: str) -> tuple[str, str]:
    """The RMS norm of residual + branch, and that sum; `branch` may be empty."""
    maker, config, scope = drawing.maker, drawing.config, f"/{name}"
    weight = drawing.vector(f"{name}.weight", config.hidden, centre=1.0)
    if not drawing.export.contrib:
        total = maker.apply(scope, "Add", residual, branch) if branch else residual
        return _standard_norm(drawing, scope, total, weight), total
    if not branch:
        attributes: dict[str, Any] = {"axis": -1, "epsilon": config.epsilon, "stash_type": 1}
        return maker.apply(scope, "SimplifiedLayerNormalization", residual, weight, **attributes), residual
    outputs = (f"{scope}/normal", "", "", f"{scope}/total")
    operator = "SkipSimplifiedLayerNormalization"
    attributes = {"domain": ONNXRUNTIME, "epsilon": config.epsilon}
    given = maker.outputs_of(scope, operator, residual, branch, weight, outputs=outputs, **attributes)
    return given[0], given[3]


def _standard_norm(drawing: Drawing, scope: str, x: str, weight: str) -> str:
    """Computes x / sqrt(mean(x^2) + epsilon) * weight, in fp32 before the weight."""
    maker, half = drawing.maker, drawing.export.activations == "fp16"
    if half:
        x = maker.apply(scope, "Cast", x, to=TensorProto.FLOAT)

    def number(value: float) -> str:
        return maker.constant(np.asarray(value, dtype=np.float32))

    square = maker.apply(scope, "Pow", x, number(2))
    mean = maker.apply(scope, "ReduceMean", square, maker.integers(-1), keepdims=1)
    root = maker.apply(scope, "Sqrt", maker.apply(scope, "Add", mean, number(drawing.config.epsilon)))
    normal = maker.apply(scope, "Mul", x, maker.apply(scope, "Reciprocal", root))
    if half:
        normal = maker.apply(scope, "Cast", normal, to=TensorProto.FLOAT16)
    return maker.apply(scope, "Mul", weight, normal)
