"""Decoders in numpy as their papers and model cards define them, without a cache: every token looks at all before it.

Written apart from the makers of graphs; shared with them are only the numbers of the weights. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from block_quantization import quantize
from decoder_parts import linear_values
from gpt_oss import GptOssConfig
from llama import LlamaConfig
from model_writer import random_values

if TYPE_CHECKING:
    from decoder_parts import DecoderConfig

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Weights:
    """The seeded weights of a model, with the rounding of their precision."""

    precision: str = "fp32"
    expert_precision: str = "fp32"
    seed: int = 0

    def matrix(self, name: str, outputs: int, inputs: int, precision: str = "") -> Array:
        """[outputs, inputs]."""
        values = linear_values(self.seed, name, outputs, inputs)
        precision = precision or self.precision
        if precision != "fp32":
            values = quantize(values, precision, np.dtype(np.float32)).values
        return values.astype(np.float64)

    def vector(self, name: str, *shape: int, deviation: float = 0.1) -> Array:
        """A bias, a scale of a norm less 1, sinks or embeddings."""
        return random_values(self.seed, name, shape, deviation).astype(np.float64)


def logits_of(config: DecoderConfig, weights: Weights, tokens: Any) -> Array:
    """[tokens, vocabulary] of one sequence."""
    x = weights.vector("embed_tokens.weight", config.vocabulary, config.hidden, deviation=1.0)[tokens]
    for layer in range(config.layers):
        name = f"layers.{layer}"
        x = x + _attention(config, weights, layer, _norm(config, weights, f"{name}.input_layernorm", x))
        y = _norm(config, weights, f"{name}.post_attention_layernorm", x)
        x = x + (_mixture if isinstance(config, GptOssConfig) else _mlp)(config, weights, f"{name}.mlp", y)
    x = _norm(config, weights, "norm", x)
    logits: Array = x @ weights.matrix("lm_head", config.vocabulary, config.hidden).T
    return logits


def _norm(config: DecoderConfig, weights: Weights, name: str, x: Array) -> Array:
    root = np.sqrt((x * x).mean(axis=-1, keepdims=True) + config.epsilon)
    scale: Array = (1 + weights.vector(f"{name}.weight", config.hidden)) / root
    return x * scale


def _turned(config: DecoderConfig, x: Array) -> Array:
    """Rotary embedding of [tokens, heads, size] by complex numbers; YaRN as section 3 of its paper has it."""
    rope, half = config.rope, config.head_size // 2
    wavelengths = 2 * math.pi * rope.theta ** (np.arange(half) / half)
    frequencies, attention = 2 * math.pi / wavelengths, 1.0
    if rope.factor > 1:
        edges = [
            half * math.log(rope.trained_context / (turns * 2 * math.pi)) / math.log(rope.theta)
            for turns in (rope.fast, rope.slow)
        ]
        assert 0 < edges[0] < edges[1] < half  # else this test would not see the middle of the interpolation
        share = np.interp(np.arange(half), edges, [0.0, 1.0])
        frequencies = share * frequencies / rope.factor + (1 - share) * frequencies
        attention = 1 + 0.1 * math.log(rope.factor)
    turns = attention * np.exp(1j * np.arange(len(x))[:, None] * frequencies)[:, None]
    turned = (x[..., :half] + 1j * x[..., half:]) * turns
    return np.concatenate([turned.real, turned.imag], axis=-1)


def _attention(config: DecoderConfig, weights: Weights, layer: int, x: Array) -> Array:
    name, rows = f"layers.{layer}.self_attn", len(x)

    def project(part: str, y: Array, outputs: int, *, biased: bool) -> Array:
        bias = weights.vector(f"{name}.{part}.bias", outputs) if biased else 0.0
        result: Array = y @ weights.matrix(f"{name}.{part}", outputs, y.shape[-1]).T + bias
        return result

    heads = {"q": config.heads, "k": config.kv_heads, "v": config.kv_heads}
    q, k, v = (
        project(f"{part}_proj", x, count * config.head_size, biased=config.qkv_bias).reshape(rows, count, -1)
        for part, count in heads.items()
    )
    q, k = _turned(config, q), _turned(config, k)
    sinks = weights.vector(f"{name}.sinks", config.heads, deviation=1.0)
    result = np.zeros_like(q)
    for head in range(config.heads):
        group = head * config.kv_heads // config.heads
        for row in range(rows):
            first = max(0, row - config.window(layer) + 1) if config.window(layer) else 0
            scores = k[first : row + 1, group] @ q[row, head] / math.sqrt(config.head_size)
            shares = np.exp(scores)
            total = shares.sum() + (np.exp(sinks[head]) if config.sinks else 0.0)
            result[row, head] = shares @ v[first : row + 1, group] / total
    return project("o_proj", result.reshape(rows, -1), config.hidden, biased=config.output_bias)


def _mlp(config: DecoderConfig, weights: Weights, name: str, x: Array) -> Array:
    assert isinstance(config, LlamaConfig)
    gate, up = (
        x @ weights.matrix(f"{name}.{part}_proj", config.intermediate, config.hidden).T
        for part in ("gate", "up")
    )
    inner = gate / (1 + np.exp(-gate)) * up
    result: Array = inner @ weights.matrix(f"{name}.down_proj", config.hidden, config.intermediate).T
    return result


def _mixture(config: DecoderConfig, weights: Weights, name: str, x: Array) -> Array:
    assert isinstance(config, GptOssConfig)
    router = weights.matrix(f"{name}.router", config.experts, config.hidden, "fp32")
    logits = x @ router.T + weights.vector(f"{name}.router.bias", config.experts)
    sizes = {"gate_up_proj": 2 * config.intermediate, "down_proj": config.hidden}
    biases = {
        part: weights.vector(f"{name}.experts.{part}.bias", config.experts, size)
        for part, size in sizes.items()
    }
    result = np.zeros_like(x)
    for row, token in enumerate(x):
        best = sorted(range(config.experts), key=lambda expert: -logits[row, expert])[: config.chosen]
        total = np.exp(logits[row, best]).sum()
        for expert in best:
            y = token
            for part, size in sizes.items():
                weight = f"{name}.experts.{expert}.{part}"
                y = weights.matrix(weight, size, len(y), weights.expert_precision) @ y + biases[part][expert]
                y = _swiglu(config, y) if part == "gate_up_proj" else y
            result[row] += np.exp(logits[row, expert]) / total * y
    return result


def _swiglu(config: GptOssConfig, both: Array) -> Array:
    gate, up = np.minimum(both[0::2], config.limit), np.clip(both[1::2], -config.limit, config.limit)
    assert (gate == config.limit).any() or (
        np.abs(up) == config.limit
    ).any()  # the bounds matter in this test
    result: Array = gate / (1 + np.exp(-config.slope * gate)) * (up + 1)
    return result
