"""Problems that several placement tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from wsec.compiler.placement.problem import Net, PlacementKernel, PlacementProblem, ShapeOptions
from wsec.compiler.placement.shape_curves import pareto_filter

if TYPE_CHECKING:
    from collections.abc import Callable


def _convolution(layer: tuple[int, int, int, int], width: int, height: int) -> ShapeOptions:
    """Shapes of a convolution on a grid: rows x image parts, columns x output channels, all useful splits."""
    size, inputs, outputs, taps = layer
    parts = np.arange(1, height + 1)
    rows, columns = (grid.ravel() for grid in np.meshgrid(parts, np.arange(1, width + 1), indexing="ij"))
    image = np.minimum(rows, size * size)
    channels = np.minimum(columns, outputs)
    depth = np.maximum(1, np.minimum(rows // image, inputs))
    cycles = -(-size * size // image) * -(-outputs // channels) * -(-inputs // depth) * taps
    keep = pareto_filter(columns, rows, cycles)
    return ShapeOptions(columns[keep], rows[keep], cycles[keep])


def residual_network(kernels: int, seed: int, width: int, height: int) -> PlacementProblem:
    """Convolutions as of a residual network, in a chain with shortcuts; equal layers share their shapes."""
    random = np.random.default_rng(seed)
    known: dict[tuple[int, int, int, int], ShapeOptions] = {}
    placed: list[PlacementKernel] = []
    for index in range(kernels):
        stage = index * 4 // kernels
        channels = 64 << stage
        key = (
            56 >> stage,
            int(random.choice([channels, 4 * channels])),
            int(random.choice([channels, 4 * channels])),
            int(random.choice([1, 9])),
        )
        if key not in known:
            known[key] = _convolution(key, width, height)
        placed.append(PlacementKernel(f"conv{index}", known[key]))
    nets = [Net(index, index + 1, float(random.integers(1, 100))) for index in range(kernels - 1)]
    nets += [Net(index, index + 3, float(random.integers(1, 100))) for index in range(0, kernels - 3, 3)]
    return PlacementProblem(width, height, tuple(placed), tuple(nets))


@pytest.fixture(scope="session")
def make_residual_network() -> Callable[[int, int, int, int], PlacementProblem]:
    """Kernels, seed, width and height to a problem."""
    return residual_network
