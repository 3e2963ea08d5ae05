"""The kind `resize`: which elements of x each position of the output is interpolated from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.expectation import Expectation, Operand, Read, output_loops, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_ROUNDING = (
    1e-4  # positions nearer than this to a tie may be rounded either way, unless they are computed exactly
)


def expect_resize(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Resize, nearest and linear, without antialias: x in its own shape."""
    x, output = model.shape(node.input(0)), model.shape(node.outputs[0])
    mode, coordinates = (
        node.text("mode", "nearest"),
        node.text("coordinate_transformation_mode", "half_pixel"),
    )
    nearest = node.text("nearest_mode", "round_prefer_floor")
    scales = model.numbers(node.input(2)) or tuple(new / old for new, old in zip(output, x, strict=True))
    loops = output_loops(output)
    reads = []
    for i, loop in enumerate(loops):
        places = _places(coordinates, x[i], output[i], scales[i])
        if places is None:
            reads.append(whole(x[i]))
            continue
        doubt = 0.0 if _is_exact(coordinates, scales[i]) else _ROUNDING
        low, high = _nearest(places, nearest, doubt) if mode == "nearest" else _linear(places, x[i], doubt)
        reads.append(
            Read(x[i], loop.name, np.clip(low, 0, x[i] - 1), np.clip(high, 0, x[i] - 1) + 1, anchored=False)
        )
    return Expectation(
        operands=(Operand("x", node.input(0), tuple(reads)),),
        output=loops,
        reductions={},
        arguments={
            "mode": mode,
            "coordinates": coordinates,
            "nearest": nearest,
            "scales": scales,
            "input_shape": x,
            "output_shape": output,
        },
    )


def _places(coordinates: str, extent: int, positions: int, scale: float) -> NDArray[np.float64] | None:
    """Where each output position lies in x; None for a transformation that needs more than this dimension."""
    at = np.arange(positions, dtype=np.float64)
    match coordinates:
        case "half_pixel":
            return (at + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (at + 0.5) / scale - 0.5 if positions > 1 else at * 0
        case "align_corners":
            return at * (extent - 1) / (positions - 1) if positions > 1 else at * 0
        case "asymmetric":
            return at / scale
        case _:
            return None


def _is_exact(coordinates: str, scale: float) -> bool:
    """Whether positions are the same in any precision: the scale is a power of two."""
    return coordinates != "align_corners" and math.frexp(scale)[0] == 0.5


def _nearest(
    places: NDArray[np.float64], mode: str, doubt: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The one element taken; where rounding is a toss-up, none (low > high)."""
    low, high = (_rounded(places + nudge, mode).astype(np.int64) for nudge in (doubt, -doubt))
    return low, high


def _rounded(places: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    match mode:
        case "floor":
            return np.floor(places)
        case "ceil":
            return np.ceil(places)
        case "round_prefer_ceil":
            return np.floor(places + 0.5)
        case _:
            return np.ceil(places - 0.5)


def _linear(
    places: NDArray[np.float64], extent: int, doubt: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The elements on both sides, without one whose weight is nothing, or may be."""
    inside = np.clip(places, 0, extent - 1)
    return np.floor(inside + doubt).astype(np.int64), np.ceil(inside - doubt).astype(np.int64)
