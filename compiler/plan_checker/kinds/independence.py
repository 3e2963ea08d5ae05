"""Families of dimensions (see `batched`) for each operator of `ai.onnx`, read off the operators' definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.kinds.batched import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Rule = Callable[[OperatorFacts, ModelFacts], list[Family]]


def aligned_dimensions(
    node: OperatorFacts, model: ModelFacts, but: Iterable[int], tensors: Iterable[int] = (0,)
) -> list[Family]:
    """Every dimension of the first input but those in `but`, at the same place in all outputs and in `tensors`."""
    rank = len(model.shape(node.input(0)))
    excluded = {axis + rank if axis < 0 else axis for axis in but}
    others = range(1, len(node.outputs))
    return [
        Family(at, dict.fromkeys(tensors, at), dict.fromkeys(others, at))
        for at in range(rank)
        if at not in excluded
    ]


def elementwise_but(node: OperatorFacts, model: ModelFacts, but: Iterable[int]) -> list[Family]:
    """Every dimension of the output; those in `but` are made of all of the input's."""
    rank = len(model.shape(node.input(0)))
    whole = {axis + rank if axis < 0 else axis for axis in but}
    return [Family(at, {} if at in whole else {0: at}) for at in range(rank)]


def _constant(node: OperatorFacts, model: ModelFacts, index: int) -> tuple[int, ...]:
    """A constant input; empty where it is not given, and then nothing can be said of what depends on it."""
    return tuple(int(item) for item in model.numbers(node.input(index)) or ())


def _all_but_axis(default: int) -> Rule:
    def rule(node: OperatorFacts, model: ModelFacts) -> list[Family]:
        return aligned_dimensions(node, model, [node.integer("axis", default)])

    return rule


def _arg_extremum(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Output position p is the p-th of the dimensions that are left."""
    if node.integer("keepdims", 1):
        return aligned_dimensions(node, model, [node.integer("axis", 0)])
    rank = len(model.shape(node.input(0)))
    left = [at for at in range(rank) if at != node.integer("axis", 0) % rank]
    return [Family(position, {0: at}) for position, at in enumerate(left)]


def _cumulative(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    axis = _constant(node, model, 1)
    return aligned_dimensions(node, model, axis) if axis else []


def _gather_elements(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """out[i][j] = x[i][indices[i][j]]: where x is longer than the output, the rest is not read, and it stays whole."""
    x, out = model.shape(node.input(0)), model.shape(node.outputs[0])
    axis = node.integer("axis", 0) % len(x)
    return [
        Family(at, {1: at} if at == axis or x[at] != out[at] else {0: at, 1: at}) for at in range(len(out))
    ]


def _scatter_elements(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    x, updates = model.shape(node.input(0)), model.shape(node.input(2))
    axis = node.integer("axis", 0)
    shorter = [at for at in range(len(x)) if x[at] != updates[at]]
    return aligned_dimensions(node, model, [axis, *shorter], (0, 1, 2))


def _gather_nd(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """out[b, q, rest] = x[b, indices[b, q], rest]."""
    indices, out = model.shape(node.input(1)), model.shape(node.outputs[0])
    batch, outer = node.integer("batch_dims", 0), len(indices) - 1
    families = [Family(at, {0: at, 1: at} if at < batch else {1: at}) for at in range(outer)]
    looked_up = batch + indices[-1]
    return families + [Family(at, {0: looked_up + at - outer}) for at in range(outer, len(out))]


def _scatter_nd(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """out[indices[q], rest] = updates[q, rest]."""
    x, indices = model.shape(node.input(0)), model.shape(node.input(1))
    first, queries = indices[-1], len(indices) - 1
    return [Family(at, {0: at, 2: queries + at - first}) for at in range(first, len(x))]


def _one_hot(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    rank = len(model.shape(node.outputs[0]))
    axis = node.integer("axis", -1) % rank
    return [Family(at, {} if at == axis else {0: at - (at > axis)}) for at in range(rank)]


def _batch_normalization(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    rank = len(model.shape(node.input(0)))
    channels = Family(
        1, {0: 1, **dict.fromkeys(range(1, 5), 0)}, {1: 0, 2: 0} if len(node.outputs) > 1 else {}
    )
    if node.integer("training_mode", 0):
        return [channels]
    return [channels if at == 1 else Family(at, {0: at}) for at in range(rank)]


def _mean_variance(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return aligned_dimensions(node, model, node.integers("axes", (0, 2, 3)))


def _leading_of_normalized(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    rank = len(model.shape(node.input(0)))
    return aligned_dimensions(node, model, range(node.integer("axis", -1) % rank, rank))


def _reverse_sequence(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    batch = node.integer("batch_axis", 1)
    families = elementwise_but(node, model, [node.integer("time_axis", 0)])
    return [Family(f.first, {**f.inputs, 1: 0}) if f.first == batch else f for f in families]


def _unpadded(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    rank = len(model.shape(node.input(0)))
    pads = _constant(node, model, 1)
    axes = _constant(node, model, 3) or tuple(range(rank))
    padded = [axis for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]] if pads else range(rank)
    return elementwise_but(node, model, padded)


def _fourier(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    given = _constant(node, model, 2)
    if node.input(2) and not given:
        return []
    axis = given[0] if given else node.integer("axis", -2)
    families = aligned_dimensions(node, model, [axis, -1])
    if any(model.shape(node.outputs[0])[family.first] > 1 for family in families):
        return families
    return [*families, Family(axis % len(model.shape(node.input(0))))]


def _short_fourier(_node: OperatorFacts, _model: ModelFacts) -> list[Family]:
    return [Family(0, {0: 0}), Family(1)]


def _determinant(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return [Family(at, {0: at}) for at in range(len(model.shape(node.outputs[0])))]


def _einsum(node: OperatorFacts, _model: ModelFacts) -> list[Family]:
    """Every letter of the result is an index."""
    equation = "".join(node.text("equation", "...").split())
    if "..." in equation:
        return []
    terms, _, result = equation.partition("->")
    if "->" not in equation:
        letters = terms.replace(",", "")
        result = "".join(sorted(letter for letter in letters if letters.count(letter) == 1))
    return [
        Family(
            at, {index: term.index(letter) for index, term in enumerate(terms.split(",")) if letter in term}
        )
        for at, letter in enumerate(result)
    ]


def _quantization(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """y[i] = x[i] / scale[i of the axis] + zero point, or of the block that i lies in."""
    x, scale = model.shape(node.input(0)), model.shape(node.input(1))
    axis = node.integer("axis", 1) % max(1, len(x))
    if node.integer("block_size", 0) and len(scale) == len(x):
        return aligned_dimensions(node, model, [axis], (0, 1, 2))
    vector = len(scale) == 1 and scale[0] > 1
    return [Family(at, {0: at, 1: 0, 2: 0} if vector and at == axis else {0: at}) for at in range(len(x))]


def _integer_product(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Rows come from a, with its scale and zero point; columns from b, with its own."""
    quantized = node.op_type == "QLinearMatMul"
    second = 3 if quantized else 1
    a, b = model.shape(node.input(0)), model.shape(node.input(second))
    out = len(model.shape(node.outputs[0]))
    of_a, of_b = ((1, 2), (4, 5)) if quantized else ((2,), (3,))
    batch = []
    for at in range(out - 2):
        places = {0: at - (out - len(a)), second: at - (out - len(b))}
        batch.append(Family(at, {index: place for index, place in places.items() if place >= 0}))
    vectors = [i for i in (*of_a, *of_b) if node.input(i) and len(model.shape(node.input(i))) == 1]
    rows = Family(out - 2, {0: len(a) - 2, **{i: 0 for i in of_a if i in vectors}})
    columns = Family(out - 1, {second: len(b) - 1, **{i: 0 for i in of_b if i in vectors}})
    return [*batch, rows, columns]


def _every_element(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return aligned_dimensions(node, model, ())


def _affine_grid(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    spatial = range(1, len(model.shape(node.outputs[0])) - 1)
    return [Family(0, {0: 0}), *(Family(at) for at in spatial)]


def _center_crop(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    x, out = model.shape(node.input(0)), model.shape(node.outputs[0])
    return elementwise_but(node, model, [at for at in range(len(x)) if x[at] != out[at]])


def _tensor_scatter(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    families = aligned_dimensions(node, model, [node.integer("axis", -2)], (0, 1))
    return [Family(f.first, {**f.inputs, 2: 0}) if f.first == 0 else f for f in families]


def _rotary(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Samples, heads, positions; the caches have a row for each position, or position_ids say which."""
    rank = len(model.shape(node.input(0)))
    tables = (3,) if node.input(3) else (1, 2)
    samples = Family(0, {0: 0, **dict.fromkeys(tables, 0)})
    positions = Family(rank - 2, {0: rank - 2, **dict.fromkeys(tables, 1)})
    return [samples, positions] if rank == 3 else [samples, Family(1, {0: 1}), positions]


def _attention(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """y[b, h, s] needs q[b, h, s], all keys and values of [b, h], and row s of the mask."""
    q, k = model.shape(node.input(0)), model.shape(node.input(1))
    mask = len(model.shape(node.input(3))) if node.input(3) else 0
    past = [index for index in (4, 5) if node.input(index)]
    extra = range(1, len(node.outputs))
    first: dict[int, int] = {0: 0, 1: 0, 2: 0, **dict.fromkeys(past, 0), 6: 0}
    first |= {3: 0} if mask == 4 else {}
    row = {0: len(q) - 2} | ({3: mask - 2} if mask else {})
    queries = Family(len(q) - 2, row, {3: 2} if len(node.outputs) > 3 else {})
    samples = Family(0, first, dict.fromkeys(extra, 0))
    if len(q) != 4 or q[1] != k[1]:
        return [samples, queries]
    of_mask = {3: mask - 3} if mask > 2 else {}
    heads = Family(1, {0: 1, 1: 1, 2: 1, **dict.fromkeys(past, 1), **of_mask}, dict.fromkeys(extra, 1))
    return [samples, heads, queries]


def _recurrent(node: OperatorFacts, _model: ModelFacts) -> list[Family]:
    """Y[t, d, b] needs x[all, b] and the weights and states of d."""
    if node.integer("layout", 0):
        return []
    states = {1: 0, 2: 0} if len(node.outputs) > 2 else {1: 0}
    directions = Family(1, {1: 0, 2: 0, 3: 0, 5: 0, 6: 0, 7: 0}, states)
    return [directions, Family(2, {0: 1, 4: 0, 5: 1, 6: 1}, dict.fromkeys(states, 1))]


FAMILIES: dict[str, Rule] = {
    "AffineGrid": _affine_grid,
    "ArgMax": _arg_extremum,
    "ArgMin": _arg_extremum,
    "Attention": _attention,
    "BatchNormalization": _batch_normalization,
    "BitCast": _every_element,
    "CastLike": _every_element,
    "CenterCropPad": _center_crop,
    "CumProd": _cumulative,
    "CumSum": _cumulative,
    "DFT": _fourier,
    "DequantizeLinear": _quantization,
    "Det": _determinant,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Hardmax": _all_but_axis(-1),
    "LRN": lambda node, model: aligned_dimensions(node, model, [1]),
    "LSTM": _recurrent,
    "LayerNormalization": _leading_of_normalized,
    "LpNormalization": _all_but_axis(-1),
    "MatMulInteger": _integer_product,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": _one_hot,
    "Pad": _unpadded,
    "QLinearMatMul": _integer_product,
    "QuantizeLinear": _quantization,
    "RNN": _recurrent,
    "ReverseSequence": _reverse_sequence,
    "RotaryEmbedding": _rotary,
    "STFT": _short_fourier,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "TensorScatter": _tensor_scatter,
    "TopK": _all_but_axis(-1),
    "Trilu": _every_element,
}
"""Operator of `ai.onnx` -> its families."""
