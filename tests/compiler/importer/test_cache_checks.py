"""KV caches that disagree are refused with the shapes that do, before anything else is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from decoder_models import Decoder

from wsec.compiler.importer import import_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

_HALF = onnx.TensorProto.FLOAT16
_PLAIN = (
    "mend what built the model; --states none compiles caches of several forms as plain inputs and outputs"
)


def _redeclared(
    folder: Path, shapes: dict[str, Sequence[int]], kind: int = 0, form: str = "contrib", sequence: int = 1
) -> Path:
    """A tiny decoder of two layers whose inputs and outputs are declared otherwise."""
    path = Decoder(form=form, sequence=sequence).save(folder)
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in shapes:
            tensor = value.type.tensor_type
            for dimension, extent in zip(tensor.shape.dim, shapes[value.name], strict=True):
                dimension.dim_value = extent
            tensor.elem_type = kind or tensor.elem_type
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("form", ["contrib", "standard"])
@pytest.mark.parametrize("shape", [[1, 3, 12, 16], [1, 2, 9, 16], [1, 2, 12, 8], [2, 2, 12, 16]])
def test_past_and_present_disagree(form: str, shape: list[int], tmp_path: Path, refusal: Refusal) -> None:
    """Heads, capacity, head size and batch of a past are those of its present."""
    path = _redeclared(tmp_path, {"past_key_values.1.value": shape}, form=form)
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC150]: a KV cache is not behind a run what it was before\n"
        "  where:    input past_key_values.1.value\n"
        "  expected: equal element types and shapes, or positions that grow by the new tokens\n"
        f"  found:    past_key_values.1.value float {shape}, present.1.value float [1, 2, 12, 16]\n"
        f"  try:      {_PLAIN}"
    )


def test_types_of_past_and_present_disagree(tmp_path: Path, refusal: Refusal) -> None:
    """Element types are compared too."""
    path = _redeclared(tmp_path, {"past_key_values.0.key": [1, 2, 12, 16]}, _HALF)
    assert "found:    past_key_values.0.key float16 [1, 2, 12, 16], present.0.key float [1, 2, 12, 16]" in (
        refusal(lambda: import_model(path, {}))
    )


def test_layers_disagree(tmp_path: Path, refusal: Refusal) -> None:
    """A layer with another capacity and other heads than the first is named, with what differs."""
    names = [f"{side}.1.{part}" for side in ("past_key_values", "present") for part in ("key", "value")]
    path = _redeclared(tmp_path, dict.fromkeys(names, (1, 4, 24, 16)))
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC151]: the KV cache of the model does not agree with itself\n"
        "  where:    input past_key_values.1.key: heads, positions\n"
        "            input past_key_values.1.value: heads, positions\n"
        "  expected: one batch, number of heads, capacity and element type for keys and values of all layers\n"
        "  found:    past_key_values.0.key float [1, 2, 12, 16], past_key_values.1.key float [1, 4, 24, 16]\n"
        "            past_key_values.0.value float [1, 2, 12, 16], past_key_values.1.value float [1, 4, 24, 16]\n"
        f"  try:      {_PLAIN}"
    )


def test_keys_and_values_disagree(tmp_path: Path, refusal: Refusal) -> None:
    """Values of another capacity than the keys of their layer are refused; another head size is what some models have."""
    names = [f"{side}.{layer}.value" for side in ("past_key_values", "present") for layer in (0, 1)]
    path = _redeclared(tmp_path, dict.fromkeys(names, (1, 2, 24, 8)))
    text = refusal(lambda: import_model(path, {}))
    assert text.startswith("error[WSEC151]")
    assert "input past_key_values.0.value: positions" in text
    assert "head size" not in text


def test_a_cache_that_is_not_that_of_the_operator(tmp_path: Path, refusal: Refusal) -> None:
    """GroupQueryAttention says how many heads its cache has."""
    sides = ("past_key_values", "present")
    names = [f"{side}.{layer}.{part}" for side in sides for layer in (0, 1) for part in ("key", "value")]
    path = _redeclared(tmp_path, dict.fromkeys(names, (1, 4, 12, 16)))
    text = refusal(lambda: import_model(path, {}))
    queries = "queries /layers.0.self_attn.q_proj/MatMul float [1, 1, 64]"
    assert text.startswith(
        "error[WSEC152]: a KV cache does not fit the attention that reads it\n"
        "  where:    node 8 '/layers.0.self_attn/GroupQueryAttention'\n"
    )
    assert (
        "  expected: past keys and values [batch, kv_num_heads, positions, head size] of the type of the queries, as many positions of both\n"
        f"  found:    past_key_values.0.key float [1, 4, 12, 16]; kv_num_heads 2, head size 16, {queries}\n"
    ) in text
    assert text.endswith(
        "  try:      give the cache the heads and the head size of the operator, as exporters do"
    )


def test_caches_of_several_forms_may_be_plain(tmp_path: Path) -> None:
    """Where caches do not stay on the wafer nothing is demanded of them, but what operators demand."""
    names = ["past_key_values.1.key", "past_key_values.1.value", "present.1.key", "present.1.value"]
    path = _redeclared(tmp_path, dict.fromkeys(names, (1, 2, 24, 16)))
    assert import_model(path, {}, caches=False).notes is not None


def test_a_cache_that_grows(tmp_path: Path) -> None:
    """A present declared to hold the new tokens behind the past is no refusal; its shape is what the operator gives."""
    sides = [f"present.{layer}.{part}" for layer in (0, 1) for part in ("key", "value")]
    path = _redeclared(tmp_path, dict.fromkeys(sides, (1, 2, 15, 16)), sequence=3)
    outputs = {value.name: value for value in import_model(path, {}).model.graph.outputs}
    assert [list(outputs[side].shape or ()) for side in sides] == [[1, 2, 12, 16]] * len(sides)
