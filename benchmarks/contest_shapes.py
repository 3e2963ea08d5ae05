"""Exact shapes of the contest's kernels as a function of time: every useful choice of execution arguments.

A kernel is one to four convolutions side by side, which share `h` and `w` and have a `c` and a `k` each. Its height is
that of the highest, so that every convolution takes the largest `c` that the height allows at no cost; what remains to
be chosen is `h`, `w`, the height, and the time, which gives the least `k` of each. All of them are tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

import numba
import numpy as np

from wsec.compiler.placement import PlacementKernel, ShapeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contest_format import Graph, Kernel

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class KernelShapes:
    """The options of a kernel, and for each the `h`, `w` and `c` behind it; the `k` follow from the time."""

    parts: NDArray[np.int64]
    memory_limit: int
    options: ShapeOptions
    split: NDArray[np.int64]

    def arguments(self, option: int) -> tuple[int, ...]:
        """Execution arguments of an option: h, w, every c, every k."""
        h, w, c = (int(each) for each in self.split[option])
        depths = [min(c, int(part[3])) for part in self.parts]
        time = int(self.options.cycles[option])
        channels = [
            int(least_channels(part, h, w, depth, time, self.memory_limit))
            for part, depth in zip(self.parts, depths, strict=True)
        ]
        return h, w, *depths, *channels


def convolutions(kernel: Kernel) -> list[tuple[int, int, int, int, int, int, int]]:
    """(H, W, R * S, C, K, T * U, halo) of each convolution of a kernel; the halo is R - 1, S - 1 as R * 1000 + S."""
    if kernel.kind == "conv":
        h, w, c, k, r, s, t, u = (kernel.formal(letter) for letter in "HWCKRSTU")
        return [_convolution(h, w, (r, s), c, k, t * u)]
    h, w, f = (kernel.formal(letter) for letter in "HWF")
    if kernel.kind == "dblock":
        return [
            _convolution(h, w, (1, 1), f, f // 4, 1),
            _convolution(h, w, (3, 3), f // 4, f // 4, 1),
            _convolution(h, w, (1, 1), f // 4, f, 1),
        ]
    return [
        _convolution(h, w, (1, 1), f // 2, f // 4, 1),
        _convolution(h, w, (3, 3), f // 4, f // 4, 4),
        _convolution(h // 2, w // 2, (1, 1), f // 4, f, 1),
        _convolution(h, w, (1, 1), f // 2, f, 4),
    ]


def _convolution(
    h: int, w: int, taps: tuple[int, int], c: int, k: int, strides: int
) -> tuple[int, int, int, int, int, int, int]:
    r, s = taps
    return h, w, r * s, c, k, strides, (h + r - 1) * (w + s - 1)


def time_scale(graph: Graph) -> int:
    """Times are fractions, because strides divide them; times this they are whole."""
    return lcm(*(part[5] for kernel in graph.kernels for part in convolutions(kernel)))


def kernel_shapes(graph: Graph) -> list[KernelShapes]:
    """The shapes of every kernel, times in units of 1 / `time_scale`; equal kernels share them."""
    known: dict[object, KernelShapes] = {}
    scale = time_scale(graph)
    limit = max(graph.value("width"), graph.value("height"))
    found = []
    for kernel in graph.kernels:
        key = (kernel.kind, kernel.formals)
        if key not in known:
            rows = [
                (h, w, taps * scale // strides, c, k, patch, taps)
                for h, w, taps, c, k, strides, patch in convolutions(kernel)
            ]
            parts = np.array(rows, dtype=np.int64)
            known[key] = _shapes(parts, limit, graph.value("memlimit"))
        found.append(known[key])
    return found


def placement_kernels(graph: Graph, shapes: Sequence[KernelShapes]) -> tuple[PlacementKernel, ...]:
    """The kernels as the placement library takes them: all may be turned."""
    return tuple(
        PlacementKernel(kernel.name, each.options, rotatable=True)
        for kernel, each in zip(graph.kernels, shapes, strict=True)
    )


def _shapes(parts: NDArray[np.int64], limit: int, memory_limit: int) -> KernelShapes:
    """Options no wider and no higher than `limit`, without those that another beats or equals."""
    fastest = np.full((limit + 1, limit + 1), _NEVER)
    split = np.zeros((limit + 1, limit + 1, 3), dtype=np.int64)
    fill(fastest, split, parts, limit, memory_limit)
    within = np.minimum.accumulate(np.minimum.accumulate(fastest, axis=0), axis=1)
    keep = fastest < _NEVER
    keep[1:, :] &= fastest[1:, :] < within[:-1, :]
    keep[:, 1:] &= fastest[:, 1:] < within[:, :-1]
    widths, heights = np.nonzero(keep)
    options = ShapeOptions(widths, heights, fastest[widths, heights])
    return KernelShapes(parts, memory_limit, options, split[widths, heights])


@numba.njit(cache=True)
def least_channels(part: NDArray[np.int64], h: int, w: int, c: int, time: int, memory_limit: int) -> int:
    """The least `k` that is fast enough and keeps the memory within the limit; more than K where none does."""
    height, width, factor, depth, channels, patch, taps = part
    step = -(-height // h) * -(-width // w) * -(-depth // c) * factor
    turns = time // step
    if turns == 0:
        return int(channels) + 1
    # memory = (C/c)(K/k)RS + patch/(h w) (K/k), all over one denominator
    words = channels * (depth * taps * h * w + patch * c)
    least: int = max(-(-channels // turns), -(-words // (memory_limit * c * h * w)))
    return least


@numba.njit(cache=True)
def fill(
    fastest: NDArray[np.int64], split: NDArray[np.int64], parts: NDArray[np.int64], limit: int, memory: int
) -> None:
    """Enter the least time, and the split behind it, of every (width, height) that some choice gives."""
    deepest = parts[:, 3].max()
    for h in range(1, min(parts[:, 0].max(), limit // 2) + 1):
        for w in range(1, min(parts[:, 1].max(), limit // (2 * h)) + 1):
            for c in range(1, min(deepest, limit // (h * w) - 1) + 1):
                for part in parts:
                    depth = min(c, part[3])
                    step = -(-part[0] // h) * -(-part[1] // w) * -(-part[3] // depth) * part[2]
                    k = 1
                    while k <= part[4]:
                        turns = -(-part[4] // k)
                        enter(fastest, split, parts, (h, w, c), step * turns, limit, memory)
                        if turns == 1:
                            break
                        k = -(-part[4] // (turns - 1))


@numba.njit(cache=True)
def enter(
    fastest: NDArray[np.int64],
    split: NDArray[np.int64],
    parts: NDArray[np.int64],
    chosen: tuple[int, int, int],
    time: int,
    limit: int,
    memory: int,
) -> None:
    """Enter the narrowest kernel of one h, w, c within a time, if there is one."""
    h, w, c = chosen
    width = 0
    for part in parts:
        k = least_channels(part, h, w, min(c, part[3]), time, memory)
        if k > part[4]:
            return
        width += 3 * k
        if width > limit:
            return
    height = h * w * (c + 1)
    if time < fastest[width, height]:
        fastest[width, height] = time
        split[width, height, 0] = h
        split[width, height, 1] = w
        split[width, height, 2] = c
