"""What the plan checker takes for independent is: onnxruntime's outputs change only where the inputs did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from operator_models import OPERATORS, OperatorModel

from wsec.compiler.plan_checker.kinds.independence import FAMILIES
from wsec.compiler.plan_checker.kinds.independence_images import IMAGE_FAMILIES
from wsec.compiler.plan_checker.kinds.independence_ml import ML_FAMILIES
from wsec.compiler.plan_checker.model_facts import ModelFacts, TensorFacts, read_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.kinds.batched import Family


RULES = FAMILIES | IMAGE_FAMILIES | ML_FAMILIES
INDEPENDENT = [model for model in OPERATORS if model.operator in RULES and "CastLike" not in model.name]


def activations_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Seeded inputs."""
    rng = np.random.default_rng(0)
    given = {}
    for item in model.graph.input:
        shape = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        given[item.name] = (rng.standard_normal(shape) * (4 if dtype.kind in "iu" else 1)).astype(dtype)
    return given


def changed(array: NDArray[Any], dimension: int, index: int) -> NDArray[Any]:
    """Other values at one index of a dimension."""
    copy = np.moveaxis(array.copy(), dimension, 0)
    copy[index] = np.roll(copy[index], 1) + np.asarray(1, array.dtype)
    return np.moveaxis(copy, 0, dimension)


def facts(model: onnx.ModelProto, outputs: Mapping[str, NDArray[Any]]) -> ModelFacts:
    """The checker's view of the model, with the shapes that onnxruntime gives."""
    known = read_model(onnx_ir.from_proto(model))
    tensors = {name: TensorFacts(array.shape, str(array.dtype)) for name, array in outputs.items()}
    return ModelFacts(
        known.inputs,
        known.outputs,
        {**known.tensors, **tensors},
        known.initializers,
        known.operators,
        known.by_name,
    )


def assert_only_there(
    family: Family, before: list[NDArray[Any]], after: list[NDArray[Any]], index: int
) -> None:
    """The outputs are what they were, but for one index of the family's dimensions."""
    places = {0: family.first, **family.outputs}
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if number not in places:
            assert np.array_equal(old, new, equal_nan=True)
            continue
        others = [i for i in range(old.shape[places[number]]) if i != index]
        left, right = (np.take(array, others, axis=places[number]) for array in (old, new))
        assert np.array_equal(left, right, equal_nan=True)


@pytest.mark.parametrize("item", INDEPENDENT, ids=lambda item: str(item.name))
def test_an_index_touches_only_itself(item: OperatorModel, tmp_path: Path) -> None:
    """Other data at one index of a family changes the outputs at that index and nowhere else."""
    model = onnx.load(item.save(tmp_path / "one.onnx"))
    given = activations_of(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    before = session.run(None, given)
    known = facts(model, dict(zip([output.name for output in session.get_outputs()], before, strict=True)))
    node = known.operators[0]
    families = RULES[item.operator](node, known)
    assert families
    for family in families:
        extent = before[0].shape[family.first]
        for index in sorted({0, extent - 1}) if extent > 1 else ():
            feeds = dict(given)
            for number, dimension in family.inputs.items():
                name = node.input(number)
                if number not in family.reads and name in given and given[name].shape[dimension] == extent:
                    feeds[name] = changed(given[name], dimension, index)
            assert_only_there(family, before, session.run(None, feeds), index)
