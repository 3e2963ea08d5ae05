"""Which dimensions the operators of `ai.onnx` treat independently, and how many operations they take.

One function for each way to be independent. Loops are named after the dimension of the first output that follows
them. Operation counts: comparing sorts take n log2(k) for the k best of n, a Fourier transform 5 n log2(n), a
determinant n^3 / 3; what only moves an element counts as one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.kernels.batched import Batching, Labels
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Rule = Callable[[OperatorView], Batching]


def dimensions(rank: int, whole: Iterable[int] = ()) -> tuple[str, ...]:
    """Every dimension follows the loop of its own number, but for those in `whole`."""
    needed = set(whole)
    return tuple("" if axis in needed else f"d{axis}" for axis in range(rank))


def elements(operator: OperatorView, index: int = 0) -> int:
    """Elements of an input."""
    return math.prod(shape_of(operator.input(index)))


def results(operator: OperatorView) -> int:
    """Elements of the longest output."""
    return max(math.prod(shape_of(value)) for value in operator.node.outputs if value.name)


def rank_of(operator: OperatorView, index: int = 0) -> int:
    """Dimensions of an input."""
    return len(shape_of(operator.input(index)))


def _same_shape(
    operator: OperatorView,
    whole: Iterable[int],
    operations: float,
    *,
    transcendentals: float = 0,
    divisions: float = 0,
    scalar: bool = False,
) -> Batching:
    """One tensor in, one or more out with its rank; independent in all dimensions but `whole`."""
    labels = dimensions(rank_of(operator), whole)
    outputs = (labels,) * len(operator.node.outputs)
    return Batching((labels,), outputs, operations, transcendentals, divisions, scalar)


def _arg_extremum(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    axis = operator.integer("axis", 0) % rank
    if operator.integer("keepdims", 1):
        return _same_shape(operator, (axis,), 2 * elements(operator))
    labels = dimensions(rank - 1)
    return Batching(((*labels[:axis], "", *labels[axis:]),), (labels,), 2 * elements(operator))


def _cumulative(operator: OperatorView) -> Batching:
    axis = operator.constant_integers(1)[0] % rank_of(operator)
    return _same_shape(operator, (axis,), elements(operator))


def _top_k(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    count = operator.constant_integers(1)[0]
    compared = elements(operator) * max(1.0, math.log2(max(1, count)))
    labels = dimensions(rank, (operator.integer("axis", -1) % rank,))
    return Batching((labels,), (labels, labels), compared, scalar=True)


def _hardmax(operator: OperatorView) -> Batching:
    axis = operator.integer("axis", -1) % rank_of(operator)
    return _same_shape(operator, (axis,), 3 * elements(operator))


def _lp_normalization(operator: OperatorView) -> Batching:
    axis = operator.integer("axis", -1) % rank_of(operator)
    count = elements(operator)
    return _same_shape(operator, (axis,), 2 * count, divisions=count)


def _gather_elements(operator: OperatorView) -> Batching:
    x, indices = shape_of(operator.input(0)), shape_of(operator.input(1))
    axis = operator.integer("axis", 0) % len(x)
    labels = dimensions(len(x))
    apart = {axis, *(i for i in range(len(x)) if x[i] != indices[i])}
    return Batching((dimensions(len(x), apart), labels), (labels,), 2 * results(operator), scalar=True)


def _scatter_elements(operator: OperatorView) -> Batching:
    x, indices = shape_of(operator.input(0)), shape_of(operator.input(1))
    axis = operator.integer("axis", 0) % len(x)
    labels = dimensions(len(x), {axis, *(i for i in range(len(x)) if x[i] != indices[i])})
    operations = elements(operator) + 2 * elements(operator, 1)
    return Batching((labels, labels, labels), (labels,), operations, scalar=True)


def _gather_nd(operator: OperatorView) -> Batching:
    x, indices = shape_of(operator.input(0)), shape_of(operator.input(1))
    batch = operator.integer("batch_dims", 0)
    outer = dimensions(len(indices) - 1)
    inner = tuple(f"d{len(outer) + i}" for i in range(len(x) - batch - indices[-1]))
    return Batching(
        ((*outer[:batch], *("",) * indices[-1], *inner), (*outer, "")),
        ((*outer, *inner),),
        2 * results(operator),
        scalar=not inner,
    )


def _scatter_nd(operator: OperatorView) -> Batching:
    rank, indices = rank_of(operator), shape_of(operator.input(1))
    labels = dimensions(rank, range(indices[-1]))
    updates = (*("",) * (len(indices) - 1), *labels[indices[-1] :])
    return Batching((labels, (), updates), (labels,), elements(operator) + 2 * elements(operator, 2))


def _one_hot(operator: OperatorView) -> Batching:
    rank = rank_of(operator) + 1
    axis = operator.integer("axis", -1) % rank
    labels = dimensions(rank)
    return Batching(((*labels[:axis], *labels[axis + 1 :]),), (labels,), results(operator))


def _local_response(operator: OperatorView) -> Batching:
    count = elements(operator)
    return _same_shape(
        operator, (1,), (operator.integer("size", 1) + 2) * count, transcendentals=count, divisions=count
    )


def _batch_normalization(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    training = operator.integer("training_mode", 0)
    labels = dimensions(rank, (axis for axis in range(rank) if training and axis != 1))
    channel = labels[1:2] if rank > 1 else ()
    operations = (6 if training else 2) * elements(operator)
    return Batching((labels, *(channel,) * 4), (labels, channel, channel), operations)


def _mean_variance(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    axes = [axis % rank for axis in operator.integers("axes", (0, 2, 3))]
    return _same_shape(operator, axes, 5 * elements(operator), divisions=elements(operator))


def _layer_normalization(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    axis = operator.integer("axis", -1) % rank
    labels = dimensions(rank, range(axis, rank))
    return Batching((labels,), (labels,) * len(operator.node.outputs), 6 * elements(operator))


def _determinant(operator: OperatorView) -> Batching:
    x = shape_of(operator.input(0))
    labels = dimensions(len(x) - 2)
    operations = math.prod(x) * x[-1] / 3
    return Batching(((*labels, "", ""),), (labels,), operations, divisions=math.prod(x[:-1]))


def _reverse_sequence(operator: OperatorView) -> Batching:
    labels = dimensions(rank_of(operator))
    read = dimensions(rank_of(operator), (operator.integer("time_axis", 0),))
    lengths = (labels[operator.integer("batch_axis", 1)],)
    return Batching((read, lengths), (labels,), elements(operator))


def same_output(
    operator: OperatorView, whole: Iterable[int], operations: float, *, scalar: bool = False
) -> Batching:
    """One tensor of the output's rank in, each element out by itself; the input is whole in the dimensions `whole`."""
    rank = rank_of(operator)
    return Batching((dimensions(rank, whole),), (dimensions(rank),), operations, scalar=scalar)


def _pad(operator: OperatorView) -> Batching:
    x = shape_of(operator.input(0))
    pads = operator.constant_integers(1)
    axes = operator.constant_integers(3) if operator.has_input(3) else tuple(range(len(x)))
    padded = {
        axis % len(x)
        for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
        if begin or end
    }
    return same_output(operator, padded, results(operator))


def _fourier(operator: OperatorView) -> Batching:
    """Fast where there is more than one transform; a single one is cut by frequency, each a sum over the signal."""
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    given = operator.constant_integers(2)[0] if operator.has_input(2) else -2
    axis = operator.integer("axis", given) % len(x)
    length = max(2, output[axis], x[axis])
    transforms = math.prod(x[:-1]) // x[axis]
    if transforms > 1:
        operations = 5 * transforms * length * math.log2(length)
        return _same_shape(operator, (axis, len(x) - 1), operations, scalar=True)
    labels = dimensions(len(x), (len(x) - 1,))
    return Batching((dimensions(len(x), (axis, len(x) - 1)),), (labels,), 4 * length * output[axis])


def _short_fourier(operator: OperatorView) -> Batching:
    signal, output = shape_of(operator.input(0)), shape_of(operator.output)
    length = max(2, 2 * (output[2] - 1))
    operations = 5 * math.prod(output[:2]) * length * math.log2(length)
    whole = ("",) * (len(signal) - 1)
    return Batching((("d0", *whole),), (("d0", "d1", "", ""),), operations, scalar=True)


def _einsum(operator: OperatorView) -> Batching:
    """Each label of the result by itself; what is summed over is whole."""
    equation = operator.text("equation", "").replace(" ", "")
    if "." in equation:
        raise Unsplittable("its equation has an ellipsis")
    terms, arrow, result = equation.partition("->")
    if not arrow:
        counted = sorted(set(terms) - {","})
        result = "".join(letter for letter in counted if terms.count(letter) == 1)
    loops = {letter: f"d{i}" for i, letter in enumerate(result)}
    inputs = tuple(tuple(loops.get(letter, "") for letter in term) for term in terms.split(","))
    extents: dict[str, int] = {}
    for index, term in enumerate(terms.split(",")):
        for letter, extent in zip(term, shape_of(operator.input(index)), strict=True):
            extents[letter] = max(extent, extents.get(letter, 1))
    operations = math.prod(extents.values()) * max(1, len(inputs) - 1)
    return Batching(inputs, (tuple(loops.values()),), operations)


def _quantization(operator: OperatorView) -> Batching:
    """QuantizeLinear, DequantizeLinear: a scale for the tensor, for an index of an axis, or for a block of them."""
    rank, scale = rank_of(operator), shape_of(operator.input(1))
    axis = operator.integer("axis", 1) % max(1, rank)
    blocked = len(scale) == rank and bool(operator.integer("block_size", 0))
    labels = dimensions(rank, (axis,) if blocked else ())
    single = math.prod(scale) == 1
    parameter = labels if blocked else () if single else (labels[axis],)
    count = elements(operator)
    divisions = count if operator.op_type == "QuantizeLinear" else 0
    return Batching((labels, parameter, parameter), (labels,), 3 * count, divisions=divisions)


def _integer_product(operator: OperatorView) -> Batching:
    """MatMulInteger, QLinearMatMul: rows, columns and batches; zero points and scales for a row or a column."""
    quantized = operator.op_type == "QLinearMatMul"
    a, b = shape_of(operator.input(0)), shape_of(operator.input(3 if quantized else 1))
    if min(len(a), len(b)) < 2:
        raise Unsplittable("an operand is a vector")
    rank = max(len(a), len(b))
    labels = dimensions(rank)
    left = (*labels[rank - len(a) : -2], labels[-2], "")
    right = (*labels[rank - len(b) : -2], "", labels[-1])
    row, column = labels[-2:]
    operations = math.prod(shape_of(operator.output)) * a[-1]

    def scale(index: int, label: str) -> Labels:
        return parameter(operator, index, label)

    if quantized:
        inputs = (left, scale(1, row), scale(2, row), right, scale(4, column), scale(5, column))
        return Batching(inputs, (labels,), operations)
    return Batching((left, right, scale(2, row), scale(3, column)), (labels,), operations)


def parameter(operator: OperatorView, index: int, label: str) -> Labels:
    """A scale or zero point: one for all, or one for each index of a loop."""
    if not operator.has_input(index) or elements(operator, index) == 1:
        return ()
    if rank_of(operator, index) != 1:
        raise Unsplittable(f"input {index} has {rank_of(operator, index)} dimensions")
    return (label,)


def _every_element(operator: OperatorView) -> Batching:
    return _same_shape(operator, (), elements(operator))


def _affine_grid(operator: OperatorView) -> Batching:
    rank = len(shape_of(operator.output))
    labels = dimensions(rank, (rank - 1,))
    return Batching((("d0", "", ""),), (labels,), results(operator) * (rank - 1))


def _center_crop(operator: OperatorView) -> Batching:
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    return same_output(operator, [i for i in range(len(x)) if x[i] != output[i]], results(operator))


def _tensor_scatter(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    labels = dimensions(rank, (operator.integer("axis", -2) % rank,))
    return Batching((labels, labels, labels[:1]), (labels,), elements(operator))


_RANK_OF_HEADS = 4  # [batch, heads, sequence, head size]


def _rotary(operator: OperatorView) -> Batching:
    rank = rank_of(operator)
    labels = dimensions(rank, (rank - 1,))
    positions = (labels[0], labels[2] if rank == 4 else labels[1])
    cache = () if operator.has_input(3) else (*positions, "")
    width = shape_of(operator.input(0))[-1]
    if rank == _RANK_OF_HEADS - 1:
        width //= max(1, operator.integer("num_heads", 1))
    half = max(1, (operator.integer("rotary_embedding_dim", 0) or width) // 2)  # all pairs of a head at once
    # of each pair four products, a difference and a sum
    return Batching((labels, cache, cache, positions), (labels,), 3 * elements(operator), dense=half)


def _attention(operator: OperatorView) -> Batching:
    """Attention: samples, queries, and heads where each has keys and values of its own."""
    q, k = shape_of(operator.input(0)), shape_of(operator.input(1))
    if operator.has_input(3) and rank_of(operator, 3) not in {2, 3, 4}:
        raise Unsplittable("its mask has another rank")
    heads = len(q) == 4 and q[1] == k[1]
    head = "d1" if heads else ""
    row = "d2" if len(q) == 4 else "d1"
    queries = ("d0", head, row, "") if len(q) == 4 else ("d0", row, "")
    keys = ("d0", head, "", "") if len(k) == 4 else ("d0", "", "")
    past = ("d0", head, "", "")
    mask = ("d0", head, row, "")[4 - rank_of(operator, 3) :] if operator.has_input(3) else ()
    total = shape_of(operator.input(4))[2] if operator.has_input(4) else 0
    scores = math.prod(q[:-1]) * (k[-2] + total)
    many = 1 if len(q) == 4 else operator.integer("q_num_heads", 1)
    return Batching(
        (queries, keys, keys, mask, past, past, ("d0",)),
        (queries, past, past, ("d0", head, row, "")),
        2 * scores * q[-1] + 3 * scores * many,
        transcendentals=scores * many,
    )


def _recurrent(operator: OperatorView) -> Batching:
    """LSTM, GRU, RNN with activations that the kind `recurrent` has not: directions and samples."""
    if operator.integer("layout", 0):
        raise Unsplittable("layout 1")
    steps, batch = shape_of(operator.input(0))[:2]
    rows, state = ("d1", "", ""), ("d1", "d2", "")
    inputs = (("", "d2", ""), rows, rows, rows[:2], ("d2",), state, state, rows[:2])
    operations = steps * batch * (elements(operator, 1) + elements(operator, 2))
    return Batching(inputs, (("", *state), state, state), operations)


RULES: dict[str, Rule] = {
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
    "Hardmax": _hardmax,
    "LRN": _local_response,
    "LSTM": _recurrent,
    "LayerNormalization": _layer_normalization,
    "LpNormalization": _lp_normalization,
    "MatMulInteger": _integer_product,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": _one_hot,
    "Pad": _pad,
    "QLinearMatMul": _integer_product,
    "QuantizeLinear": _quantization,
    "RNN": _recurrent,
    "ReverseSequence": _reverse_sequence,
    "RotaryEmbedding": _rotary,
    "STFT": _short_fourier,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "TensorScatter": _tensor_scatter,
    "TopK": _top_k,
    "Trilu": _every_element,
}
"""Operator of `ai.onnx` -> its rule."""
