"""Makes diffusion transformers for video: one step of removing noise from latents.

    python examples/models/dit.py --config tiny -o build/models/dit.onnx
    python examples/models/dit.py --config xl --weights none --precision fp16 -o build/models/dit-xl.onnx

The blocks are those of DiT (arXiv 2212.09748): each is modulated by shifts, scales and gates that a linear layer makes from
the embedding of the time step (adaLN). Tokens are patches of all frames, and attention is over all of them. Standard
operators only; weights as in model_writer.py. Not part of the model are text, the decoder of latents, and the sampler.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from model_writer import WEIGHTS, GraphMaker, random_values, write_model

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET = 23
FREQUENCIES = 128  # of the embedding of the time step
EPSILON = 1e-6  # of the layer norms

_KINDS: dict[str, tuple[int, type[np.generic]]] = {
    "fp32": (TensorProto.FLOAT, np.float32),
    "fp16": (TensorProto.FLOAT16, np.float16),
}
_IN_HEADS = (0, 2, 1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DitConfig:
    """The sizes of a diffusion transformer.

    Attributes:
        intermediate: Width of the feed-forward part.
        channels: Of the latents.
        frames: Of the latents, as height and width.
        patch: Height and width of a patch; it is of one frame.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    channels: int
    frames: int
    height: int
    width: int
    patch: int = 2

    @property
    def rows(self) -> int:
        """Patches below each other in a frame."""
        return self.height // self.patch

    @property
    def columns(self) -> int:
        """Patches beside each other in a frame."""
        return self.width // self.patch

    @property
    def tokens(self) -> int:
        """Patches of all frames."""
        return self.frames * self.rows * self.columns


CONFIGS = {
    "tiny": DitConfig(
        layers=2, hidden=32, heads=2, intermediate=64, channels=4, frames=2, height=8, width=6
    ),
    # the sizes of DiT-XL/2, on 16 frames of latents for 256 x 256 pixels
    "xl": DitConfig(
        layers=28, hidden=1152, heads=16, intermediate=4608, channels=4, frames=16, height=32, width=32
    ),
    # the sizes of Wan2.1 14B on 21 frames of latents for 832 x 480 pixels; 16 billion parameters here, as every block has
    # a linear layer of its own for its modulation, and none has attention to text
    "video": DitConfig(
        layers=40, hidden=5120, heads=40, intermediate=13824, channels=16, frames=21, height=60, width=104
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Drawing:
    maker: GraphMaker
    config: DitConfig
    batch: int
    precision: str
    seed: int

    @property
    def kind(self) -> int:
        return _KINDS[self.precision][0]

    def constant(self, value: Any) -> str:
        return self.maker.constant(np.asarray(value, dtype=_KINDS[self.precision][1]))

    def weight(self, name: str, *shape: int, deviation: float) -> str:
        dtype = _KINDS[self.precision][1]

        def make() -> bytes:
            return random_values(self.seed, name, shape, deviation).astype(dtype).tobytes()

        return self.maker.weight(name, self.kind, shape, make)

    def linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        """X [.., inputs] times `name.weight` [inputs, outputs], plus `name.bias`."""
        weight = self.weight(f"{name}.weight", inputs, outputs, deviation=inputs**-0.5)
        product = self.maker.apply(f"/{name}", "MatMul", x, weight)
        return self.maker.apply(
            f"/{name}", "Add", product, self.weight(f"{name}.bias", outputs, deviation=0.1)
        )

    def silu(self, scope: str, x: str) -> str:
        return self.maker.apply(scope, "Mul", x, self.maker.apply(scope, "Sigmoid", x))


def make_dit(config: DitConfig, *, batch: int = 1, precision: str = "fp32", seed: int = 0) -> GraphMaker:
    """The graph, from `latents` [batch, frames, channels, height, width] and `timestep` [batch] to `noise`.

    Raises:
        ValueError: Frames are not in whole patches, or `hidden` is not in whole heads.
    """
    if config.height % config.patch or config.width % config.patch or config.hidden % config.heads:
        raise ValueError("height and width are in whole patches, and the hidden size in whole heads")
    drawing = _Drawing(GraphMaker(), config, batch, precision, seed)
    maker, kind = drawing.maker, drawing.kind
    shape = (batch, config.frames, config.channels, config.height, config.width)
    latents = maker.input("latents", kind, *shape)
    x = _patches(drawing, latents)
    condition = drawing.silu("/condition", _time_embedding(drawing, maker.input("timestep", kind, batch)))
    for layer in range(config.layers):
        x = _block(drawing, f"blocks.{layer}", x, condition)
    shift, scale = _modulation(drawing, "final", condition, 2)
    x = _modulated(drawing, "/final", x, shift, scale)
    values = config.patch * config.patch * config.channels
    _unpatched(drawing, drawing.linear("final.linear", x, config.hidden, values))
    maker.output("noise", kind, *shape)
    return maker


def _patches(drawing: _Drawing, latents: str) -> str:
    """Tokens [batch, tokens, hidden]: a convolution for each frame, and a learned position."""
    maker, config, scope = drawing.maker, drawing.config, "/patches"
    pictures = (drawing.batch * config.frames, config.channels, config.height, config.width)
    frames = maker.apply(scope, "Reshape", latents, maker.integers(*pictures))
    window = (config.patch, config.patch)
    fan_in = config.channels * config.patch * config.patch
    weight = drawing.weight("patches.weight", config.hidden, config.channels, *window, deviation=fan_in**-0.5)
    bias = drawing.weight("patches.bias", config.hidden, deviation=0.1)
    x = maker.apply(scope, "Conv", frames, weight, bias, kernel_shape=window, strides=window)
    per_frame = config.rows * config.columns
    flat = maker.integers(drawing.batch * config.frames, config.hidden, per_frame)
    x = maker.apply(scope, "Transpose", maker.apply(scope, "Reshape", x, flat), perm=(0, 2, 1))
    x = maker.apply(scope, "Reshape", x, maker.integers(drawing.batch, config.tokens, config.hidden))
    positions = drawing.weight("positions", 1, config.tokens, config.hidden, deviation=0.1)
    return maker.apply(scope, "Add", x, positions)


def _time_embedding(drawing: _Drawing, timestep: str) -> str:
    """[batch, hidden]: cosines and sines of the step, and two linear layers."""
    maker, hidden, scope = drawing.maker, drawing.config.hidden, "/time"
    frequencies = np.exp(-math.log(10_000) * np.arange(FREQUENCIES) / FREQUENCIES)
    column = maker.apply(scope, "Unsqueeze", timestep, maker.integers(1))
    angles = maker.apply(scope, "Mul", column, drawing.constant(frequencies.reshape(1, -1)))
    waves = [maker.apply(scope, operator, angles) for operator in ("Cos", "Sin")]
    joined = maker.apply(scope, "Concat", *waves, axis=-1)
    first = drawing.silu(scope, drawing.linear("time.0", joined, 2 * FREQUENCIES, hidden))
    return drawing.linear("time.1", first, hidden, hidden)


def _modulation(drawing: _Drawing, name: str, condition: str, count: int) -> tuple[str, ...]:
    """So many vectors [batch, 1, hidden] from the condition."""
    maker, hidden = drawing.maker, drawing.config.hidden
    made = drawing.linear(f"{name}.modulation", condition, hidden, count * hidden)
    made = maker.apply(f"/{name}", "Unsqueeze", made, maker.integers(1))
    sizes = maker.integers(*[hidden] * count)
    return maker.outputs_of(f"/{name}", "Split", made, sizes, outputs=count, axis=-1)


def _modulated(drawing: _Drawing, scope: str, x: str, shift: str, scale: str) -> str:
    """The layer norm of x, times 1 + scale, plus shift."""
    maker, hidden = drawing.maker, drawing.config.hidden
    ones = drawing.constant(np.ones(hidden))
    normal = maker.apply(scope, "LayerNormalization", x, ones, axis=-1, epsilon=EPSILON)
    factor = maker.apply(scope, "Add", scale, drawing.constant(1))
    return maker.apply(scope, "Add", maker.apply(scope, "Mul", normal, factor), shift)


def _block(drawing: _Drawing, name: str, x: str, condition: str) -> str:
    maker, config, scope = drawing.maker, drawing.config, f"/{name}"
    shifts_scales_gates = _modulation(drawing, name, condition, 6)
    shift, scale, gate = shifts_scales_gates[:3]
    attended = _attention(drawing, name, _modulated(drawing, scope, x, shift, scale))
    x = maker.apply(scope, "Add", x, maker.apply(scope, "Mul", gate, attended))
    shift, scale, gate = shifts_scales_gates[3:]
    y = _modulated(drawing, scope, x, shift, scale)
    y = drawing.linear(f"{name}.mlp.0", y, config.hidden, config.intermediate)
    y = maker.apply(scope, "Gelu", y, approximate="tanh")
    y = drawing.linear(f"{name}.mlp.1", y, config.intermediate, config.hidden)
    return maker.apply(scope, "Add", x, maker.apply(scope, "Mul", gate, y))


def _attention(drawing: _Drawing, name: str, x: str) -> str:
    """Every token to every token."""
    maker, config, scope = drawing.maker, drawing.config, f"/{name}.attention"
    size = config.hidden // config.heads
    split = maker.integers(drawing.batch, config.tokens, config.heads, size)
    orders = {"q": _IN_HEADS, "k": (0, 2, 3, 1), "v": _IN_HEADS}
    operands = []
    for part, order in orders.items():
        made = drawing.linear(f"{name}.attention.{part}", x, config.hidden, config.hidden)
        operands.append(
            maker.apply(scope, "Transpose", maker.apply(scope, "Reshape", made, split), perm=order)
        )
    q, k, v = operands
    scores = maker.apply(scope, "Mul", maker.apply(scope, "MatMul", q, k), drawing.constant(size**-0.5))
    mixed = maker.apply(scope, "MatMul", maker.apply(scope, "Softmax", scores, axis=-1), v)
    merged = maker.integers(drawing.batch, config.tokens, config.hidden)
    result = maker.apply(scope, "Reshape", maker.apply(scope, "Transpose", mixed, perm=_IN_HEADS), merged)
    return drawing.linear(f"{name}.attention.out", result, config.hidden, config.hidden)


def _unpatched(drawing: _Drawing, x: str) -> str:
    """[batch, tokens, patch * patch * channels] as latents, the output `noise`."""
    maker, config, scope, patch = drawing.maker, drawing.config, "/unpatched", drawing.config.patch
    pictures = drawing.batch * config.frames
    parts = maker.integers(pictures, config.rows, config.columns, patch, patch, config.channels)
    x = maker.apply(scope, "Transpose", maker.apply(scope, "Reshape", x, parts), perm=(0, 5, 1, 3, 2, 4))
    shape = (drawing.batch, config.frames, config.channels, config.height, config.width)
    return maker.apply(scope, "Reshape", x, maker.integers(*shape), outputs=("noise",))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the model asked for."""
    parser = argparse.ArgumentParser(description="make a diffusion transformer for video")
    parser.add_argument("--config", choices=tuple(CONFIGS), default="tiny")
    parser.add_argument("--layers", type=int, help="fewer or more layers than the configuration has")
    parser.add_argument("--frames", type=int, help="fewer or more frames of latents")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=tuple(_KINDS), default="fp32")
    parser.add_argument("--weights", choices=WEIGHTS, default="seeded", help="none: declared only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .onnx file to write")
    options = parser.parse_args(arguments)
    config = CONFIGS[options.config]
    changes = {name: getattr(options, name) for name in ("layers", "frames")}
    config = replace(config, **{name: value for name, value in changes.items() if value is not None})
    maker = make_dit(config, batch=options.batch, precision=options.precision, seed=options.seed)
    written = write_model(maker, options.output, weights=options.weights, opset=OPSET)
    total = sum(weight.size_bytes for weight in maker.weights)
    nodes = f"{len(maker.graph.node)} nodes, {config.tokens:,} tokens"
    print(f"{options.output}: {nodes}, {total / 1e6:.1f} MB of weights, file of {written / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
