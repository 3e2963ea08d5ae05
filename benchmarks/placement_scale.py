"""How placement scales: seeded random networks of 50 to 10,000 different kernels on a 750 x 994 grid.

Prints for each its bound, interval, gap, mean distance of what talks, seconds by the clock to generate it and to place
it, processor seconds of the placement, and the most memory so far:

    .venv/bin/python benchmarks/placement_scale.py --kernels 0 1000 10000 --seconds 60 --json results.json

0 kernels stand for a decoder of 36 equal layers, 396 kernels.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.placement import Limits, Net, PlacementKernel, PlacementProblem, ShapeOptions, place

if TYPE_CHECKING:
    from numpy.typing import NDArray


def useful_parts(extent: int) -> NDArray[np.int64]:
    """Numbers of parts of `extent` that make the largest part smaller than any lower number does, ascending."""
    return np.unique(-(-extent // np.arange(1, extent + 1)))


def convolution_shapes(
    layer: tuple[int, int, int, int], width: int, height: int, most: int | None = None
) -> ShapeOptions:
    """Splits of a convolution (image side, inputs, outputs, taps): outputs on columns, all else on rows.

    Exactly the splits that no other beats, of up to `most` cores: time is a product of one factor for the rows and one
    for the columns, so that what is best on both sides is best together.
    """
    size, inputs, outputs, taps = layer
    channels = useful_parts(outputs)
    channels = channels[channels <= width]
    image, depth = np.meshgrid(useful_parts(size * size), useful_parts(inputs), indexing="ij")
    rows, turns = image * depth, -(-size * size // image) * -(-inputs // depth)
    least = np.full(height + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, rows[rows <= height], turns[rows <= height])
    least = np.minimum.accumulate(least)
    rows = np.flatnonzero(least[1:] < least[:-1]) + 1
    rows, channels = (grid.ravel() for grid in np.meshgrid(rows, channels, indexing="ij"))
    if most is not None:
        rows, channels = rows[rows * channels <= most], channels[rows * channels <= most]
    return ShapeOptions(channels, rows, least[rows] * -(-outputs // channels) * taps)


def random_network(kernels: int, seed: int, width: int, height: int) -> PlacementProblem:
    """A chain of random convolutions, all different, every fourth with a shortcut over three.

    None has options of more than 64 times a fair share of the grid: memory for what no placement would choose.
    """
    random = np.random.default_rng(seed)
    most = 64 * width * height // kernels
    placed = []
    for index in range(kernels):
        size = int(random.integers(7, 57))
        inputs, outputs = (int(each) for each in random.integers(64, 513, size=2))
        taps = int(random.choice([1, 9]))
        shapes = convolution_shapes((size, inputs, outputs, taps), width, height, most)
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
    begun = time.monotonic()
    problem = random_network(kernels, seed, 750, 994) if kernels else decoder(36, 750, 994)
    if seconds is not None:
        problem = replace(problem, wirelength_weight=0.0)
    started, processor = time.monotonic(), time.process_time()
    placement = place(problem, Limits(effort=effort, seed=seed, seconds=seconds))
    taken, processor = time.monotonic() - started, time.process_time() - processor
    kernels = len(problem.kernels)
    return {
        "kernels": kernels,
        "seed": seed,
        "interval_bound": placement.interval_bound,
        "interval": placement.interval,
        "gap": placement.interval / placement.interval_bound - 1,
        "mean_hops": placement.wirelength / sum(net.weight for net in problem.nets),
        "generation_seconds": started - begun,
        "seconds": taken,
        "processor_seconds": processor,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", type=int, nargs="+", default=[50, 100, 400, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument(
        "--seconds", type=float, help="limit by the clock, with the interval alone as objective"
    )
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    print(
        f"{'kernels':>7} {'bound':>12} {'interval':>12} {'gap':>7} {'mean hops':>9} {'generate':>8} "
        f"{'place':>7} {'processor':>9} {'peak MB':>8}"
    )
    rows = []
    for kernels in arguments.kernels:
        row = measure(kernels, arguments.seed, arguments.effort, arguments.seconds)
        rows.append(row)
        print(
            f"{row['kernels']:>7} {row['interval_bound']:>12,.0f} {row['interval']:>12,.0f} {row['gap']:>7.2%} "
            f"{row['mean_hops']:>9.1f} {row['generation_seconds']:>8.2f} {row['seconds']:>7.2f} "
            f"{row['processor_seconds']:>9.2f} {row['peak_mb']:>8,.0f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
