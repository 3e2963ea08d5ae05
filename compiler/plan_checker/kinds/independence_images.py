"""Families of dimensions (see `batched`) for the operators of `ai.onnx` on images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.kinds.batched import Family
from wsec.compiler.plan_checker.kinds.independence import aligned_dimensions, elementwise_but
from wsec.compiler.plan_checker.kinds.windows import window_of, window_reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Rule = Callable[[OperatorFacts, ModelFacts], list[Family]]


def _positions(node: OperatorFacts, model: ModelFacts, size: tuple[int, ...]) -> list[Family]:
    """Spatial positions of the output, each with the elements of the first input under its window."""
    x, out = model.shape(node.input(0)), model.shape(node.outputs[0])
    reads = window_reads(window_of(node, x[2:], size), x[2:], out[2:])
    others = range(1, len(node.outputs))
    return [
        Family(at, {0: at}, dict.fromkeys(others, at), {0: replace(read, loop=f"d{at}")})
        for at, read in enumerate(reads, 2)
    ]


def _pooling(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    images = aligned_dimensions(node, model, range(2, len(model.shape(node.input(0)))))
    return [*images, *_positions(node, model, node.integers("kernel_shape", ()))]


def _whole_images(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return aligned_dimensions(node, model, range(2, len(model.shape(node.input(0)))))


def _unresized(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Every dimension; x is whole but where the extent stays, and its scale is 1, or not given, or not in `axes`."""
    x, out = model.shape(node.input(0)), model.shape(node.outputs[0])
    if node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        return []
    scales = model.numbers(node.input(2)) or ()
    axes = [axis % len(x) for axis in node.integers("axes", tuple(range(len(x))))]
    scaled = [axis for axis, scale in zip(axes, scales, strict=False) if scale != 1]
    changed = [at for at in range(len(x)) if x[at] != out[at]]
    return elementwise_but(node, model, [*scaled, *changed])


def _grid_sample(_node: OperatorFacts, model: ModelFacts) -> list[Family]:
    spatial = range(2, len(model.shape(_node.outputs[0])))
    return [Family(0, {0: 0, 1: 0}), Family(1, {0: 1}), *(Family(at, {1: at - 1}) for at in spatial)]


def _regions(_node: OperatorFacts, _model: ModelFacts) -> list[Family]:
    """Regions and channels; RoiAlign has the sample of each region as a third input."""
    return [Family(0, {1: 0, 2: 0}), Family(1, {0: 1})]


def _columns_to_image(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    rank = len(model.shape(node.outputs[0]))
    return [Family(0, {0: 0}), *(Family(at) for at in range(1, rank))]


def _integer_convolution(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Samples; output channels, each with its filter, scale, zero point and bias, where a core needs all of x."""
    quantized = node.op_type == "QLinearConv"
    samples = Family(0, {0: 0})
    positions = _positions(node, model, model.shape(node.input(3 if quantized else 1))[2:])
    if node.integer("group", 1) != 1:
        return [samples, *positions]
    parameters = (4, 5, 8) if quantized else (3,)
    vectors = [i for i in parameters if node.input(i) and len(model.shape(node.input(i))) == 1]
    return [samples, *positions, Family(1, {3 if quantized else 1: 0, **dict.fromkeys(vectors, 0)})]


def _deformable(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Samples; positions, with offsets and masks of their own; output channels, with filters of their own."""
    rank = len(model.shape(node.outputs[0]))
    channels = [Family(1, {1: 0, 3: 0})] if node.integer("group", 1) == 1 else []
    positions = [Family(at, {2: at, 4: at}) for at in range(2, rank)]
    return [Family(0, {0: 0, 2: 0, 4: 0}), *channels, *positions]


IMAGE_FAMILIES: dict[str, Rule] = {
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
    "Resize": _unresized,
    "RoiAlign": _regions,
}
"""Operator of `ai.onnx` -> its families."""
