"""Families of dimensions (see `batched`) for the operators of `ai.onnx.ml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.kinds.batched import Family
from wsec.compiler.plan_checker.kinds.independence import aligned_dimensions

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Rule = Callable[[OperatorFacts, ModelFacts], list[Family]]


def _every_element(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return aligned_dimensions(node, model, ())


def _samples(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    """Row n of every output is made of row n of every input; a single vector is a single sample."""
    if len(model.shape(node.input(0))) != 2:
        return []
    rows = dict.fromkeys(range(len(node.inputs)), 0)
    return [Family(0, rows, dict.fromkeys(range(1, len(node.outputs)), 0))]


def _feature_extractor(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    if len(model.shape(node.input(0))) < 2:
        return []
    return aligned_dimensions(node, model, [-1])


def _one_hot_encoder(node: OperatorFacts, model: ModelFacts) -> list[Family]:
    return aligned_dimensions(node, model, ())


ML_FAMILIES: dict[str, Rule] = {
    "ai.onnx.ml.ArrayFeatureExtractor": _feature_extractor,
    "ai.onnx.ml.Binarizer": _every_element,
    "ai.onnx.ml.FeatureVectorizer": _samples,
    "ai.onnx.ml.Imputer": _every_element,
    "ai.onnx.ml.LabelEncoder": _every_element,
    "ai.onnx.ml.LinearClassifier": _samples,
    "ai.onnx.ml.LinearRegressor": _samples,
    "ai.onnx.ml.Normalizer": _samples,
    "ai.onnx.ml.OneHotEncoder": _one_hot_encoder,
    "ai.onnx.ml.SVMClassifier": _samples,
    "ai.onnx.ml.SVMRegressor": _samples,
    "ai.onnx.ml.Scaler": _every_element,
    "ai.onnx.ml.TreeEnsemble": _samples,
    "ai.onnx.ml.TreeEnsembleClassifier": _samples,
    "ai.onnx.ml.TreeEnsembleRegressor": _samples,
}
"""Operator of `ai.onnx.ml` -> its families."""
