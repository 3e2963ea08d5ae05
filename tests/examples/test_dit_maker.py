"""The maker of diffusion transformers: what it makes is what DiT is defined to be, at any size and on the wafer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

import dit
import wsec
from model_writer import finish_model, random_values, write_model
from wsec.compiler.onnxruntime_session import make_session

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[np.float64]]

TINY = dit.CONFIGS["tiny"]


def _weight(name: str, *shape: int, deviation: float) -> Array:
    return random_values(0, name, shape, deviation).astype(np.float64)


def _linear(name: str, x: Array, outputs: int) -> Array:
    inputs = x.shape[-1]
    weight = _weight(f"{name}.weight", inputs, outputs, deviation=inputs**-0.5)
    result: Array = x @ weight + _weight(f"{name}.bias", outputs, deviation=0.1)
    return result


def _modulated(x: Array, shift: Array, scale: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + dit.EPSILON)
    result: Array = normal * (1 + scale) + shift
    return result


def _reference(latents: Array, time: float) -> Array:
    """One video [frames, channels, height, width], as the paper has it, patch by patch and head by head."""
    size, hidden, head = TINY.patch, TINY.hidden, TINY.hidden // TINY.heads
    kernel = _weight(
        "patches.weight", hidden, TINY.channels, size, size, deviation=(TINY.channels * size * size) ** -0.5
    )
    places = [(f, r, c) for f in range(TINY.frames) for r in range(TINY.rows) for c in range(TINY.columns)]
    patches = [latents[f, :, size * r : size * r + size, size * c : size * c + size] for f, r, c in places]
    x = np.array([np.tensordot(kernel, patch, 3) for patch in patches]) + _weight(
        "patches.bias", hidden, deviation=0.1
    )
    x = x + _weight("positions", 1, TINY.tokens, hidden, deviation=0.1)[0]
    angles = time * 10_000 ** -(np.arange(dit.FREQUENCIES) / dit.FREQUENCIES)
    wave = np.concatenate([np.cos(angles), np.sin(angles)])
    first = _linear("time.0", wave, hidden)
    condition = _linear("time.1", first / (1 + np.exp(-first)), hidden)
    condition = condition / (1 + np.exp(-condition))
    for layer in range(TINY.layers):
        name = f"blocks.{layer}"
        parts = np.split(_linear(f"{name}.modulation", condition, 6 * hidden), 6)
        y = _modulated(x, parts[0], parts[1])
        q, k, v = (_linear(f"{name}.attention.{part}", y, hidden) for part in "qkv")
        mixed = np.zeros_like(x)
        for index in range(TINY.heads):
            at = slice(index * head, (index + 1) * head)
            scores = np.exp(q[:, at] @ k[:, at].T / math.sqrt(head))
            mixed[:, at] = scores / scores.sum(axis=-1, keepdims=True) @ v[:, at]
        x = x + parts[2] * _linear(f"{name}.attention.out", mixed, hidden)
        y = _linear(f"{name}.mlp.0", _modulated(x, parts[3], parts[4]), TINY.intermediate)
        y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + parts[5] * _linear(f"{name}.mlp.1", y, hidden)
    shift, scale = np.split(_linear("final.modulation", condition, 2 * hidden), 2)
    values = _linear("final.linear", _modulated(x, shift, scale), size * size * TINY.channels)
    noise = np.zeros_like(latents)
    for (f, r, c), value in zip(places, values, strict=True):
        patch = value.reshape(size, size, TINY.channels).transpose(2, 0, 1)
        noise[f, :, size * r : size * r + size, size * c : size * c + size] = patch
    return noise


def _inputs(batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (batch, TINY.frames, TINY.channels, TINY.height, TINY.width)
    times = np.linspace(0.3, 3, batch, dtype=np.float32)
    return {"latents": rng.standard_normal(shape, dtype=np.float32), "timestep": times}


def test_a_diffusion_transformer_computes_what_it_is_defined_to() -> None:
    """Two videos at two time steps equal a computation in plain numpy."""
    model = finish_model(dit.make_dit(TINY, batch=2), "dit", opset=dit.OPSET)
    onnx.checker.check_model(model, full_check=True)
    inputs = _inputs(2)
    found = make_session(model.SerializeToString()).run(None, inputs)[0]
    for index in range(2):
        expected = _reference(inputs["latents"][index].astype(np.float64), float(inputs["timestep"][index]))
        np.testing.assert_allclose(found[index], expected, atol=2e-5)


def test_it_runs_on_the_wafer(tmp_path: Path) -> None:
    """The tiny one is compiled, and its shards give what onnxruntime gives."""
    write_model(dit.make_dit(replace(TINY, layers=1)), tmp_path / "dit.onnx", opset=dit.OPSET)
    plan = wsec.compile(tmp_path / "dit.onnx", target="wse3", region=(40, 40), effort=0.0)
    assert plan.check() == ()
    assert plan.verify(_inputs(1)).passed


def test_full_sizes_are_written_without_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DiT-XL/2 has the parameters that its paper gives, about 675 million, and the file holds none of them."""
    path = tmp_path / "xl.onnx"
    assert dit.main(["--config", "xl", "--weights", "none", "--precision", "fp16", "-o", str(path)]) == 0
    said = capsys.readouterr().out
    assert "4,096 tokens" in said
    weights = dit.make_dit(dit.CONFIGS["xl"]).weights
    parameters = sum(weight.size_bytes // 4 for weight in weights if weight.name != "positions")
    assert abs(parameters - 675e6) < 3e6
    assert path.stat().st_size < 1e6


def test_sizes_that_do_not_divide() -> None:
    """Neither a part of a patch nor a part of a head is made."""
    for config in (replace(TINY, height=7), replace(TINY, heads=3)):
        with pytest.raises(ValueError, match="in whole patches, and the hidden size in whole heads"):
            dit.make_dit(config)
