"""How placement scales: seeded random networks of 50, 100 and 400 kernels on a 750 x 994 grid.

Prints for each its bound, interval, gap, mean distance of what talks and processor seconds:

    .venv/bin/python benchmarks/placement_scale.py --kernels 50 100 400 --seed 0 --json results.json
"""

from __future__ import annotations

import argparse
import json
import time
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
    """A chain of random convolutions, every fourth with a shortcut over three."""
    random = np.random.default_rng(seed)
    placed = []
    for index in range(kernels):
        size = int(random.choice([7, 14, 28, 56]))
        inputs, outputs = (int(each) for each in random.choice([64, 128, 256, 512], size=2))
        taps = int(random.choice([1, 9]))
        shapes = convolution_shapes((size, inputs, outputs, taps), width, height)
        placed.append(PlacementKernel(f"conv{index}", shapes))
    nets = [Net(index, index + 1, float(random.integers(1, 100))) for index in range(kernels - 1)]
    nets += [Net(index, index + 3, float(random.integers(1, 100))) for index in range(0, kernels - 3, 4)]
    return PlacementProblem(width, height, tuple(placed), tuple(nets))


def measure(kernels: int, seed: int, effort: float) -> dict[str, float]:
    """Place one network and time it."""
    problem = random_network(kernels, seed, 750, 994)
    started = time.process_time()
    placement = place(problem, Limits(effort=effort, seed=seed))
    seconds = time.process_time() - started
    return {
        "kernels": kernels,
        "seed": seed,
        "interval_bound": placement.interval_bound,
        "interval": placement.interval,
        "gap": placement.interval / placement.interval_bound - 1,
        "mean_hops": placement.wirelength / sum(net.weight for net in problem.nets),
        "seconds": seconds,
    }


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", type=int, nargs="+", default=[50, 100, 400])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    print(f"{'kernels':>7} {'bound':>12} {'interval':>12} {'gap':>7} {'mean hops':>9} {'seconds':>8}")
    rows = []
    for kernels in arguments.kernels:
        row = measure(kernels, arguments.seed, arguments.effort)
        rows.append(row)
        print(
            f"{kernels:>7} {row['interval_bound']:>12,.0f} {row['interval']:>12,.0f} {row['gap']:>7.2%} "
            f"{row['mean_hops']:>9.1f} {row['seconds']:>8.2f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
