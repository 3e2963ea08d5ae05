"""How placement scales: seeded random networks of 50, 100 and 400 kernels on a 750 x 994 grid.

Prints for each its bound, interval, gap, mean distance of what talks, seconds by the clock and memory:

    .venv/bin/python benchmarks/placement_scale.py --kernels 50 100 400 --seed 0 --json results.json

0 kernels stand for a decoder of 36 equal layers, 396 kernels.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsec.compiler.placement import Limits, Net, PlacementKernel, PlacementProblem, ShapeOptions, place
from wsec.compiler.placement.shape_curves import pareto_filter


def convolution_shapes(layer: tuple[int, int, int, int], width: int, height: int) -> ShapeOptions:
    """Splits of a convolution (image side, inputs, outputs, taps): outputs on columns, all else on rows."""
    size, inputs, outputs, taps = layer
    image = np.unique(-(-size * size // np.arange(1, size * size + 1)))
    depth = np.unique(-(-inputs // np.arange(1, inputs + 1)))
    channels = np.unique(-(-outputs // np.arange(1, outputs + 1)))
    image, depth, channels = (grid.ravel() for grid in np.meshgrid(image, depth, channels, indexing="ij"))
    fits = (image * depth <= height) & (channels <= width)
    image, depth, channels = image[fits], depth[fits], channels[fits]
    rows = image * depth
    cycles = -(-size * size // image) * -(-inputs // depth) * -(-outputs // channels) * taps
    keep = pareto_filter(channels, rows, cycles)
    return ShapeOptions(channels[keep], rows[keep], cycles[keep])


def random_network(kernels: int, seed: int, width: int, height: int) -> PlacementProblem:
    """A chain of random convolutions, all different, every fourth with a shortcut over three."""
    random = np.random.default_rng(seed)
    placed = []
    for index in range(kernels):
        size = int(random.integers(7, 57))
        inputs, outputs = (int(each) for each in random.integers(64, 513, size=2))
        taps = int(random.choice([1, 9]))
        shapes = convolution_shapes((size, inputs, outputs, taps), width, height)
        placed.append(PlacementKernel(f"conv{index}", shapes))
    nets = [Net(index, index + 1, float(random.integers(1, 100))) for index in range(kernels - 1)]
    nets += [Net(index, index + 3, float(random.integers(1, 100))) for index in range(0, kernels - 3, 4)]
    return PlacementProblem(width, height, tuple(placed), tuple(nets))


def decoder(layers: int, width: int, height: int) -> PlacementProblem:
    """Equal layers of eleven kernels: projections, attention and a gated pair of products, with both residual sums."""
    hidden, inner, heads, tokens = 512, 1408, 64, 16
    sizes = [
        *[(hidden, hidden)] * 3,
        (hidden, tokens * heads),
        (tokens * heads, hidden),
        (hidden, hidden),
        *[(hidden, inner)] * 2,
        (inner, hidden),
        *[(hidden, tokens)] * 2,
    ]
    shapes = {size: convolution_shapes((4, *size, 1), width, height) for size in dict.fromkeys(sizes)}
    count = len(sizes)
    kernels = tuple(
        PlacementKernel(f"layer{layer}.{index}", shapes[size])
        for layer in range(layers)
        for index, size in enumerate(sizes)
    )
    chain = [Net(at, at + 1, float(hidden)) for at in range(len(kernels) - 1)]
    residual = [Net(at, at + count, float(hidden)) for at in range(5, len(kernels) - count, count)]
    return PlacementProblem(width, height, kernels, tuple(chain + residual), wirelength_weight=0.0)


def measure(kernels: int, seed: int, effort: float, seconds: float | None) -> dict[str, float]:
    """Place one network, 0 kernels being the decoder, and time it."""
    problem = random_network(kernels, seed, 750, 994) if kernels else decoder(36, 750, 994)
    if seconds is not None:
        problem = replace(problem, wirelength_weight=0.0)
    started = time.monotonic()
    placement = place(problem, Limits(effort=effort, seed=seed, seconds=seconds))
    taken = time.monotonic() - started
    kernels = len(problem.kernels)
    return {
        "kernels": kernels,
        "seed": seed,
        "interval_bound": placement.interval_bound,
        "interval": placement.interval,
        "gap": placement.interval / placement.interval_bound - 1,
        "mean_hops": placement.wirelength / sum(net.weight for net in problem.nets),
        "seconds": taken,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", type=int, nargs="+", default=[50, 100, 400])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument(
        "--seconds", type=float, help="limit by the clock, with the interval alone as objective"
    )
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    print(
        f"{'kernels':>7} {'bound':>12} {'interval':>12} {'gap':>7} {'mean hops':>9} {'seconds':>8} {'peak MB':>8}"
    )
    rows = []
    for kernels in arguments.kernels:
        row = measure(kernels, arguments.seed, arguments.effort, arguments.seconds)
        rows.append(row)
        print(
            f"{row['kernels']:>7} {row['interval_bound']:>12,.0f} {row['interval']:>12,.0f} {row['gap']:>7.2%} "
            f"{row['mean_hops']:>9.1f} {row['seconds']:>8.2f} {row['peak_mb']:>8,.0f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
