"""Runs a pass on a small model the way every pass is judged: numbers kept, honest about changes, repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.importer import infer_shapes
from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.passes import Pass, default_pipeline, run_pipeline
from wsec.passes.pipeline import ORDER, check_order

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = '<ir_version: 10, opset_import: ["" : 23, "local" : 1, "com.microsoft" : 1]>'


def _build(text: str) -> ir.Model:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(f"{HEAD} {text}"))
    lift_constants(model)
    name_nodes(model)
    infer_shapes(model)
    return model


def _bytes(model: ir.Model) -> bytes:
    data: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return data


def _results(model: ir.Model) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(11)
    feeds = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        array = rng.standard_normal(value.shape.numpy()) * 3
        feeds[str(value.name)] = np.asarray(array).astype(value.dtype.numpy())
    return run_session(make_session(_bytes(model)), feeds)


@pytest.fixture
def build() -> Callable[[str], ir.Model]:
    """A model from ONNX text without its header: constants lifted, nodes named, shapes inferred."""
    return _build


@pytest.fixture
def apply() -> Callable[..., ir.Model]:
    """Applies a pass to a model given as text and returns the result.

    Checks that numbers, outputs and their order stay (within `tolerance` of the largest value), that the pass says
    truly whether it changed the model, that a second run changes nothing, and that the same model gives the same bytes.
    """

    def run(pass_: Pass, text: str, *, tolerance: float = 0.0) -> ir.Model:
        model = _build(text)
        before, expected = _bytes(model), _results(model)
        modified = run_pipeline(model, [pass_])
        after = _bytes(model)
        assert modified == (before != after)
        for old, new in zip(expected, _results(model), strict=True):
            assert old.dtype == new.dtype
            scale = float(np.abs(old.astype(np.float64)).max(initial=0.0))
            np.testing.assert_allclose(new, old, rtol=0, atol=tolerance * scale, equal_nan=True)
        assert not pass_.run(model).modified
        assert _bytes(model) == after
        again = _build(text)
        run_pipeline(again, [pass_])
        assert _bytes(again) == after
        return model

    return run


def _legal_order(seed: int) -> list[Pass]:
    """The passes of the default pipeline in a random order that its rules allow."""
    rng = np.random.default_rng(seed)
    waiting = list(default_pipeline())
    order: list[Pass] = []
    while waiting:
        placed, names = {current.name for current in order}, [current.name for current in waiting]
        free = [
            index
            for index, name in enumerate(names)
            if names.count(name) > 1 or all(earlier in placed for earlier, later, _ in ORDER if later == name)
        ]
        order.append(waiting.pop(free[rng.integers(len(free))]))
    check_order([current.name for current in order])
    return order


@pytest.fixture
def survives_any_order() -> Callable[..., None]:
    """Runs all passes on a model given as text in several random legal orders; the numbers stay."""

    def run(text: str, *, tolerance: float = 1e-5, orders: int = 3) -> None:
        expected = _results(_build(text))
        for seed in range(orders):
            model = _build(text)
            run_pipeline(model, _legal_order(seed))
            for old, new in zip(expected, _results(model), strict=True):
                assert (old.dtype, old.shape) == (new.dtype, new.shape)
                scale = float(np.abs(old.astype(np.float64)).max(initial=0.0))
                np.testing.assert_allclose(new, old, rtol=0, atol=tolerance * scale, equal_nan=True)

    return run


@pytest.fixture
def operators() -> Callable[[ir.Model], list[str]]:
    """The operators of the main graph, in order."""
    return lambda model: [node.op_type for node in model.graph]
