"""Which dimensions the operators of `ai.onnx.ml` treat independently: nearly always the samples.

A tree is walked from its root to a leaf, log2 of its nodes deep; a linear model takes a product with its coefficients,
a support vector machine one with each support vector. What they have learnt stands in their attributes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.kernels.batch_rules import dimensions, elements, results
from wsec.compiler.kernels.batched import Batching
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Rule = Callable[[OperatorView], Batching]

_BYTES = 4  # of a number in an attribute, on a core


def _length(operator: OperatorView, *names: str) -> int:
    """Numbers in the first of these attributes that the node has."""
    for name in names:
        attribute = operator.node.attributes.get(name)
        if attribute is not None:
            return attribute.as_tensor().size if attribute.type.name == "TENSOR" else len(attribute.value)
    return 0


def _numbers(operator: OperatorView) -> int:
    """Numbers in all list attributes."""
    lists = [
        item.value for item in operator.node.attributes.values() if isinstance(item.value, (list, tuple))
    ]
    return sum(len(value) for value in lists)


def _every_element(operator: OperatorView) -> Batching:
    labels = dimensions(len(shape_of(operator.input(0))))
    return Batching((labels,), (labels,), 2 * elements(operator), resident_bytes=_BYTES * _numbers(operator))


def _rows(operator: OperatorView, operations: float, *, scalar: bool = False) -> Batching:
    """A sample is a row; the first output has a number or a row for each, a second one a row."""
    if len(shape_of(operator.input(0))) != 2:
        raise Unsplittable("it has a single sample")
    outputs = tuple(
        ("d0", *("",) * (len(shape_of(value)) - 1)) if value.name else () for value in operator.node.outputs
    )
    inputs = (("d0", ""),) * len(operator.node.inputs)
    resident = _BYTES * _numbers(operator)
    return Batching(inputs, outputs, operations, scalar=scalar, resident_bytes=resident)


def _normalizer(operator: OperatorView) -> Batching:
    return _rows(operator, 3 * elements(operator))


def _trees(operator: OperatorView) -> Batching:
    nodes = _length(operator, "nodes_modes", "nodes_featureids")
    roots = operator.node.attributes.get("tree_roots")
    trees = len(set(operator.integers("nodes_treeids", ()))) if roots is None else len(roots.value)
    depth = math.ceil(math.log2(nodes / max(1, trees) + 1))
    samples = shape_of(operator.input(0))[0]
    return _rows(operator, 3 * samples * trees * depth + results(operator), scalar=True)


def _linear(operator: OperatorView) -> Batching:
    samples = shape_of(operator.input(0))[0]
    return _rows(operator, samples * (_length(operator, "coefficients") + 3))


def _support_vectors(operator: OperatorView) -> Batching:
    samples = shape_of(operator.input(0))[0]
    numbers = _length(operator, "support_vectors") or _length(operator, "coefficients")
    return _rows(operator, 2 * samples * (numbers + _length(operator, "coefficients")))


def _feature_vectorizer(operator: OperatorView) -> Batching:
    return _rows(operator, results(operator))


def _feature_extractor(operator: OperatorView) -> Batching:
    rank = len(shape_of(operator.input(0)))
    if rank < 2:
        raise Unsplittable("it has a single sample")
    labels = dimensions(rank, (rank - 1,))
    return Batching((labels,), (labels,), results(operator))


def _one_hot_encoder(operator: OperatorView) -> Batching:
    labels = dimensions(len(shape_of(operator.input(0))))
    return Batching((labels,), ((*labels, ""),), results(operator))


ML_RULES: dict[str, Rule] = {
    f"ai.onnx.ml.{operator}": rule
    for operator, rule in (
        ("ArrayFeatureExtractor", _feature_extractor),
        ("Binarizer", _every_element),
        ("FeatureVectorizer", _feature_vectorizer),
        ("Imputer", _every_element),
        ("LabelEncoder", _every_element),
        ("LinearClassifier", _linear),
        ("LinearRegressor", _linear),
        ("Normalizer", _normalizer),
        ("OneHotEncoder", _one_hot_encoder),
        ("SVMClassifier", _support_vectors),
        ("SVMRegressor", _support_vectors),
        ("Scaler", _every_element),
        ("TreeEnsemble", _trees),
        ("TreeEnsembleClassifier", _trees),
        ("TreeEnsembleRegressor", _trees),
    )
}
"""Operator of `ai.onnx.ml` -> its rule."""
