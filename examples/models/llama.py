"""Makes language models of the Llama kind, at any size, in the two forms of decoder_graph.py.

    python examples/models/llama.py --config tiny --form contrib --entry decode -o build/models/tiny.onnx
    python examples/models/llama.py --config 70b --weights none --precision fp16 -o build/models/70b.onnx

Configurations other than those listed are made by `make_llama` with a `LlamaConfig` of one's own.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from block_quantization import PRECISIONS
from decoder_graph import make_decoder
from decoder_parts import ENTRIES, FORMS, DecoderConfig, Drawing, Export, Rope, linear
from model_writer import WEIGHTS, GraphMaker, write_model

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig(DecoderConfig):
    """The sizes of a model of the Llama kind; `intermediate` is the width of its feed-forward part."""

    intermediate: int


_LLAMA3 = Rope(theta=500_000.0)
CONFIGS = {
    "tiny": LlamaConfig(
        layers=2, hidden=64, heads=4, kv_heads=2, head_size=16, intermediate=96, vocabulary=128
    ),
    "8b": LlamaConfig(
        layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocabulary=128256,
        rope=_LLAMA3,
    ),
    "13b": LlamaConfig(
        layers=40, hidden=5120, heads=40, kv_heads=40, head_size=128, intermediate=13824, vocabulary=32000
    ),
    "34b": LlamaConfig(
        layers=48, hidden=8192, heads=64, kv_heads=8, head_size=128, intermediate=22016, vocabulary=32000,
        rope=Rope(theta=1_000_000.0),
    ),
    "70b": LlamaConfig(
        layers=80, hidden=8192, heads=64, kv_heads=8, head_size=128, intermediate=28672, vocabulary=128256,
        rope=_LLAMA3,
    ),
    "qwen2-72b": LlamaConfig(
        layers=80, hidden=8192, heads=64, kv_heads=8, head_size=128, intermediate=29568, vocabulary=152064,
        rope=Rope(theta=1_000_000.0), epsilon=1e-6, qkv_bias=True,
    ),
}  # fmt: skip


def make_llama(config: LlamaConfig, export: Export) -> GraphMaker:
    """The graph with its weights declared; see `model_writer.finish_model` and `write_model`."""
    return make_decoder(config, export, _feed_forward)


def _feed_forward(drawing: Drawing, layer: int, x: str) -> str:
    """down(silu(gate(x)) * up(x))."""
    config, maker, name = drawing.config, drawing.maker, f"layers.{layer}.mlp"
    assert isinstance(config, LlamaConfig)  # noqa: S101
    width, scope = config.intermediate, f"/{name}"
    gate, up = (linear(drawing, f"{name}.{part}_proj", x, width, config.hidden) for part in ("gate", "up"))
    active = maker.apply(scope, "Mul", gate, maker.apply(scope, "Sigmoid", gate))
    inner = maker.apply(scope, "Mul", active, up)
    return linear(drawing, f"{name}.down_proj", inner, config.hidden, width)


def add_export_arguments(parser: argparse.ArgumentParser, configs: Sequence[str]) -> None:
    """The options that every maker of a decoder has."""
    parser.add_argument("--config", choices=list(configs), default="tiny")
    parser.add_argument("--form", choices=FORMS, default="contrib")
    parser.add_argument("--entry", choices=ENTRIES, default="decode")
    parser.add_argument("--context", type=int, default=32, help="positions that the cache has room for")
    parser.add_argument(
        "--sequence", type=int, help="new tokens of a step; 1 for decode, the context for prefill"
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--layers", type=int, help="fewer or more layers than the configuration has")
    parser.add_argument("--weights", choices=WEIGHTS, default="seeded", help="none: declared only")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of weights of products")
    parser.add_argument("--activations", choices=("fp32", "fp16"), help="fp32 for fp32 weights, else fp16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .onnx file to write")


def export_of(options: argparse.Namespace) -> Export:
    """The export that the command line asks for.

    Raises:
        ValueError: The options contradict one another.
    """
    whole = options.context if options.entry == "prefill" else 1
    return Export(
        form=options.form,
        entry=options.entry,
        batch=options.batch,
        sequence=whole if options.sequence is None else options.sequence,
        context=options.context,
        precision=options.precision,
        activations=options.activations or ("fp32" if options.precision == "fp32" else "fp16"),
        seed=options.seed,
    )


def report(maker: GraphMaker, path: Path, written_bytes: int) -> None:
    """One line about the file."""
    total = sum(weight.size_bytes for weight in maker.weights)
    nodes = len(maker.graph.node)
    print(f"{path}: {nodes} nodes, {total / 1e6:.1f} MB of weights, file of {written_bytes / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the model asked for."""
    parser = argparse.ArgumentParser(description="make a language model of the Llama kind")
    add_export_arguments(parser, tuple(CONFIGS))
    options = parser.parse_args(arguments)
    config = CONFIGS[options.config]
    if options.layers is not None:
        config = replace(config, layers=options.layers)
    try:
        export = export_of(options)
        maker = make_llama(config, export)
    except ValueError as error:
        parser.error(str(error))
    written = write_model(maker, options.output, weights=options.weights, opset=export.opset)
    report(maker, options.output, written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
