"""Which dimensions the operators of `ai.onnx` on images treat independently: windows, interpolation, regions.

An output position is one point of the loops. Windows bring the elements under them; where positions are computed from
data, or from the whole extent, every core has the image whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.kernels.batch_rules import dimensions, elements, parameter, rank_of, results, same_output
from wsec.compiler.kernels.batched import Batching, Labels
from wsec.compiler.kernels.loop_nest import Loop
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, shape_of
from wsec.compiler.kernels.window import sliding_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.kernels.loop_nest import DimensionMap

    Rule = Callable[[OperatorView], Batching]


def _windows(operator: OperatorView, sizes: tuple[int, ...]) -> tuple[DimensionMap, ...]:
    """What the spatial positions of the output, loops d2 and on, read of the first input."""
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    loops = tuple(Loop(f"d{2 + i}", extent) for i, extent in enumerate(output[2:]))
    return sliding_window(operator, x[2:], sizes).reads(x[2:], loops)


def _pooling(operator: OperatorView) -> Batching:
    """LpPool; MaxPool and AveragePool where the kind `pooling` cannot."""
    sizes = operator.integers("kernel_shape", ())
    labels = dimensions(rank_of(operator))
    operations = 2 * results(operator) * math.prod(sizes)
    read: Labels = (*labels[:2], *_windows(operator, sizes))
    return Batching((read,), (labels,) * len(operator.node.outputs), operations)


def _whole_images(operator: OperatorView) -> Batching:
    labels = dimensions(rank_of(operator), range(2, rank_of(operator)))
    return Batching((labels,), (labels,), 2 * elements(operator))


def _resize(operator: OperatorView) -> Batching:
    """Dimensions that keep their extent at a scale of exactly 1 are cut; of others every core needs all."""
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    if operator.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise Unsplittable("the region to resize is computed at run time")
    axes = tuple(axis % len(x) for axis in operator.integers("axes", tuple(range(len(x)))))
    scales = [1.0] * len(x)
    for position, axis in enumerate(axes):
        scales[axis] = output[axis] / x[axis]
        if operator.has_input(2) and operator.constant(2).size:
            scales[axis] = float(operator.constant(2).reshape(-1)[position])
    resized = [axis for axis in range(len(x)) if scales[axis] != 1 or x[axis] != output[axis]]
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[operator.text("mode", "nearest")]
    return same_output(operator, resized, 2 * results(operator) * taps ** len(resized))


def _grid_sample(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    labels = dimensions(rank)
    image = (*labels[:2], *("",) * (rank - 2))
    taps = 4 if operator.text("mode", "linear") in {"cubic", "bicubic"} else 2
    operations = 2 * results(operator) * taps ** (rank - 2)
    return Batching((image, (labels[0], *labels[2:], "")), (labels,), operations, scalar=True)


def _regions(operator: OperatorView) -> Batching:
    """RoiAlign, MaxRoiPool: each region and each channel by itself."""
    out = shape_of(operator.output)
    samples = operator.integer("sampling_ratio", 0) or 2
    operations = 8 * math.prod(out) * samples**2
    labels = ("d0", "d1", "", "")
    return Batching((("", "d1", "", ""), ("d0", ""), ("d0",)), (labels,), operations, scalar=True)


def _columns_to_image(operator: OperatorView) -> Batching:
    labels = dimensions(len(shape_of(operator.output)))
    return Batching((("d0", "", ""),), (labels,), elements(operator))


def _integer_convolution(operator: OperatorView) -> Batching:
    """ConvInteger, QLinearConv: samples, positions, and output channels where they are not in groups."""
    quantized = operator.op_type == "QLinearConv"
    weights = 3 if quantized else 1
    w = shape_of(operator.input(weights))
    channel = "d1" if operator.integer("group", 1) == 1 else ""
    x: Labels = ("d0", "", *_windows(operator, w[2:]))
    y = ("d0", channel, *dimensions(rank_of(operator))[2:])
    k = (channel, *("",) * (len(w) - 1))
    operations = math.prod(shape_of(operator.output)) * math.prod(w[1:])
    if not quantized:
        return Batching((x, k, (), parameter(operator, 3, channel)), (y,), operations)
    scale, zero, bias = (parameter(operator, index, channel) for index in (4, 5, 8))
    return Batching((x, (), (), k, scale, zero, (), (), bias), (y,), operations)


def _deformable(operator: OperatorView) -> Batching:
    """DeformConv: each position has offsets of its own, which may lead anywhere."""
    rank, w = rank_of(operator), shape_of(operator.input(1))
    channel = "d1" if operator.integer("group", 1) == 1 else ""
    labels = dimensions(rank)
    of_positions = ("d0", "", *labels[2:])
    operations = 8 * results(operator) * math.prod(w[1:])
    return Batching(
        (("d0", *("",) * (rank - 1)), (channel, *("",) * (rank - 1)), of_positions, (channel,), of_positions),
        (("d0", channel, *labels[2:]),),
        operations,
        scalar=True,
    )


IMAGE_RULES: dict[str, Rule] = {
    "AveragePool": _pooling,
    "Col2Im": _columns_to_image,
    "ConvInteger": _integer_convolution,
    "DeformConv": _deformable,
    "GlobalLpPool": _whole_images,
    "GridSample": _grid_sample,
    "LpPool": _pooling,
    "MaxPool": _pooling,
    "MaxRoiPool": _regions,
    "QLinearConv": _integer_convolution,
    "Resize": _resize,
    "RoiAlign": _regions,
}
"""Operator of `ai.onnx` -> its rule."""
