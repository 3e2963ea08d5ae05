"""Attention in decomposed form gives what onnxruntime's own kernels give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_nodes import rewrite

Array = np.ndarray[Any, Any]
Inputs = dict[str, "Array | None"]

RNG = np.random.default_rng(8)
BATCH, ROWS, COLUMNS, HEADS, GROUPS, SIZE = 2, 5, 7, 4, 2, 16
HIDDEN = HEADS * SIZE


def normal(*shape: int) -> Array:
    """Normally distributed floats."""
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*values: int) -> Array:
    """An int32 vector."""
    return np.array(values, np.int32)


def ordered(names: str, given: Inputs) -> Inputs:
    """The inputs in the order of the operator, None for one that is not given."""
    order = names.split()
    last = max(order.index(name) for name in given)
    return {name: given.get(name) for name in order[: last + 1]}


def multi_head(given: Inputs, *, outputs: tuple[int, ...] = (0,), **attributes: Any) -> None:
    """MultiHeadAttention before and after."""
    inputs = ordered("q k v bias mask added pk pv", given)
    rewritten = rewrite("MultiHeadAttention", inputs, outputs=outputs, num_heads=HEADS, **attributes)
    assert "com.microsoft.MultiHeadAttention" not in rewritten.operators()
    rewritten.assert_equal(5e-6)


def keys_and_queries(columns: int = COLUMNS) -> Inputs:
    """[B, S, H D]."""
    return {
        "q": normal(BATCH, ROWS, HIDDEN),
        "k": normal(BATCH, columns, HIDDEN),
        "v": normal(BATCH, columns, HIDDEN),
    }


PAST: Inputs = {"pk": normal(BATCH, HEADS, 3, SIZE), "pv": normal(BATCH, HEADS, 3, SIZE)}


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (keys_and_queries(), {"outputs": (0, 1, 2)}),
        ({**keys_and_queries(), "bias": normal(3 * HIDDEN)}, {"scale": 0.2}),
        (keys_and_queries(ROWS), {"unidirectional": 1}),
        (
            {
                "q": normal(BATCH, ROWS, HIDDEN),
                "k": normal(BATCH, HEADS, 6, SIZE),
                "v": normal(BATCH, HEADS, 6, SIZE),
            },
            {},
        ),
        ({**keys_and_queries(), "added": normal(1, HEADS, ROWS, COLUMNS)}, {}),
        ({**keys_and_queries(), "mask": RNG.integers(0, 2, (BATCH, COLUMNS)).astype(np.int32)}, {}),
        ({**keys_and_queries(), "mask": RNG.integers(0, 2, (BATCH, ROWS, COLUMNS)).astype(np.int32)}, {}),
        ({**keys_and_queries(), "mask": whole(3, 7)}, {}),
        ({**keys_and_queries(ROWS), **PAST}, {"outputs": (0, 1, 2), "unidirectional": 1}),
        (
            {**keys_and_queries(ROWS), **PAST, "added": normal(BATCH, 1, ROWS, ROWS + 3)},
            {"outputs": (0, 1, 2)},
        ),
    ],
    ids=["plain", "bias", "causal", "heads", "added", "keys", "rows", "lengths", "past", "past and added"],
)
def test_multi_head_attention(given: Inputs, options: dict[str, Any]) -> None:
    """Inputs in each layout, masks in each form, past keys in front."""
    multi_head(given, **options)


def projected(rows: int = ROWS, values: int = HIDDEN) -> Inputs:
    """Inputs of Attention of com.microsoft: x, and the projections in one matrix."""
    width = 2 * HIDDEN + values
    return {"x": normal(BATCH, rows, 24), "w": normal(24, width) / 5, "b": normal(width)}


@pytest.mark.parametrize(
    ("given", "attributes", "outputs"),
    [
        (projected(), {}, (0, 1)),
        ({**projected(), "b": None}, {"scale": 0.2}, (0,)),
        (projected(), {"unidirectional": 1}, (0,)),
        ({**projected(), "mask": whole(3, 5)}, {}, (0,)),
        ({**projected(), "mask": RNG.integers(0, 2, (BATCH, ROWS)).astype(np.int32)}, {}, (0,)),
        (
            {**projected(), "mask": RNG.integers(0, 2, (BATCH, ROWS, ROWS)).astype(np.int32)},
            {"mask_filter_value": -3.0},
            (0,),
        ),
        ({**projected(), "past": normal(2, BATCH, HEADS, 3, SIZE)}, {"unidirectional": 1}, (0, 1)),
        (
            {
                **projected(1),
                "mask": RNG.integers(0, 2, (BATCH, 4)).astype(np.int32),
                "past": normal(2, BATCH, HEADS, 3, SIZE),
            },
            {"unidirectional": 1},
            (0, 1),
        ),
        ({**projected(), "added": normal(BATCH, HEADS, ROWS, ROWS)}, {}, (0,)),
        (projected(values=2 * HIDDEN), {"qkv_hidden_sizes": [HIDDEN, HIDDEN, 2 * HIDDEN]}, (0,)),
    ],
    ids=["plain", "no bias", "causal", "lengths", "keys", "rows", "past", "decoding", "added", "widths"],
)
def test_attention_that_projects(given: Inputs, attributes: dict[str, Any], outputs: tuple[int, ...]) -> None:
    """The projections are products of their own; masks in each form, past keys in front."""
    inputs = ordered("x w b mask past added", given)
    rewritten = rewrite(
        "Attention", inputs, constants=("w", "b"), outputs=outputs, num_heads=HEADS, **attributes
    )
    assert "com.microsoft.Attention" not in rewritten.operators()
    rewritten.assert_equal(5e-6)


def test_an_attention_whose_keys_begin_late_says_why_it_stays() -> None:
    """A mask of ends and begins has no standard form: the node is left, with the reason."""
    inputs = ordered("x w b mask", {**projected(), "mask": whole(5, 5, 0, 1)})
    rewritten = rewrite("Attention", inputs, constants=("w", "b"), num_heads=HEADS)
    (node,) = rewritten.model.graph
    assert node.metadata_props["wsec.unsplit"] == "its mask has shape [4]"


def grouped(rows: int, past: int, lengths: list[int], total: int) -> Inputs:
    """Inputs of GroupQueryAttention."""
    batch = len(lengths)
    return {
        "q": normal(batch, rows, HIDDEN),
        "k": normal(batch, rows, GROUPS * SIZE),
        "v": normal(batch, rows, GROUPS * SIZE),
        "pk": normal(batch, GROUPS, past, SIZE),
        "pv": normal(batch, GROUPS, past, SIZE),
        "lengths": whole(*lengths),
        "total": np.array(total, np.int32),
    }


def grouped_query(given: Inputs, *, constant: bool, **attributes: Any) -> set[str]:
    """GroupQueryAttention before and after; lengths are constants or inputs. Returns the operators."""
    inputs = ordered("q k v pk pv lengths total cos sin places added sinks", given)
    fixed = ("lengths", "total") if constant else ()
    heads = {"num_heads": HEADS, "kv_num_heads": GROUPS}
    rewritten = rewrite(
        "GroupQueryAttention", inputs, constants=fixed, outputs=(0, 1, 2), **heads, **attributes
    )
    assert "com.microsoft.GroupQueryAttention" not in rewritten.operators()
    rewritten.assert_equal(5e-6)
    return rewritten.operators()


ROTARY: Inputs = {"cos": normal(40, SIZE // 2), "sin": normal(40, SIZE // 2)}


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "at run time"])
@pytest.mark.parametrize(
    ("given", "attributes"),
    [
        (grouped(5, 0, [4, 4], 5), {}),
        (grouped(5, 0, [4, 2], 5), {}),
        (grouped(5, 0, [4, 4], 5), {"local_window_size": 2}),
        (grouped(1, 6, [6, 6], 7), {"local_window_size": 3}),
        ({**grouped(1, 6, [6, 4], 7), **ROTARY}, {"do_rotary": 1}),
        ({**grouped(3, 6, [8], 9), **ROTARY}, {"do_rotary": 1, "rotary_interleaved": 1, "softcap": 2.0}),
        ({**grouped(3, 6, [8], 9), **ROTARY, "places": np.array([[3, 4, 9]])}, {"do_rotary": 1}),
        ({**grouped(1, 6, [6, 6], 7), "sinks": normal(HEADS)}, {"local_window_size": 4}),
        (grouped(1, 6, [6, 6], 7), {"smooth_softmax": 1}),
        (grouped(1, 6, [6, 6], 7), {"smooth_softmax": -1}),
        ({**grouped(1, 6, [6, 6], 7), "added": normal(2, HEADS, 1, 7)}, {"softcap": 1.5}),
        ({**grouped(5, 0, [4, 4], 5), "q": normal(2, 5, HIDDEN + 2 * GROUPS * SIZE), "k": None, "v": None}, {}),
        ({**grouped(5, 0, [4, 4], 5), "pk": None, "pv": None}, {}),
    ],
    ids=[
        "prompt", "padded prompt", "prompt and window", "window", "rotary", "chunk", "places", "sinks", "smooth", "not smooth",
        "added", "packed", "no past",
    ],
)  # fmt: skip
def test_grouped_query_attention(*, given: Inputs, attributes: dict[str, Any], constant: bool) -> None:
    """Prompts and decoding, of equal and of different lengths: masks are constants, or computed from the lengths."""
    grouped_query(given, constant=constant, **attributes)


@pytest.mark.parametrize("lengths", [[6, 6], [6, 3], [6]], ids=str)
def test_a_buffer_of_keys_that_is_not_full(lengths: list[int]) -> None:
    """New keys lie behind those that count, and zeros behind them."""
    grouped_query(grouped(1, 12, lengths, 7), constant=True)


def test_shared_keys_are_not_repeated() -> None:
    """Heads broadcast over the groups of keys."""
    assert "Expand" not in grouped_query(grouped(5, 0, [4, 4], 5), constant=True)


QKV: Inputs = {
    "q": normal(BATCH, HEADS, ROWS, 8),
    "k": normal(BATCH, GROUPS, COLUMNS, 8),
    "v": normal(BATCH, GROUPS, COLUMNS, 6),
}
CLOSED = RNG.integers(0, 2, (BATCH, 1, ROWS, COLUMNS)).astype(np.bool_)
CLOSED[0, 0, 1] = False


def standard(given: Inputs, **options: Any) -> None:
    """Attention of `ai.onnx` before and after."""
    options = {"tolerance": 5e-6, **options}
    tolerance = options.pop("tolerance")
    rewritten = rewrite("Attention", ordered("q k v mask pk pv lengths", given), domain="", **options)
    assert "Attention" not in rewritten.operators()
    rewritten.assert_equal(tolerance)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (
            {"q": normal(2, 5, 32), "k": normal(2, 7, 16), "v": normal(2, 7, 12)},
            {"q_num_heads": 4, "kv_num_heads": 2},
        ),
        ({**QKV, "mask": CLOSED}, {}),
        ({**QKV, "mask": CLOSED}, {"constants": ("mask",), "is_causal": 1}),
        ({**QKV, "mask": normal(BATCH, HEADS, ROWS, COLUMNS)}, {"softcap": 1.0}),
        (
            {
                "q": normal(BATCH, HEADS, ROWS, 8),
                "k": normal(BATCH, GROUPS, ROWS, 8),
                "v": normal(BATCH, GROUPS, ROWS, 8),
                "mask": normal(ROWS, ROWS + 3),
                "pk": normal(BATCH, GROUPS, 3, 8),
                "pv": normal(BATCH, GROUPS, 3, 8),
            },
            {"is_causal": 1, "outputs": (0, 1, 2)},
        ),
        ({**QKV, "lengths": np.array([3, 7])}, {"opset": 24}),
        ({**QKV, "lengths": np.array([6, 7])}, {"opset": 24, "is_causal": 1}),
    ],
    ids=[
        "three dimensions",
        "closed rows",
        "closed and causal",
        "capped",
        "past",
        "lengths",
        "causal lengths",
    ],
)
def test_standard_attention(given: Inputs, options: dict[str, Any]) -> None:
    """Layouts, masks that close whole rows, past keys, and lengths at run time."""
    standard(given, **options)


@pytest.mark.parametrize("mode", range(4))
def test_stages_as_outputs(mode: int) -> None:
    """Scores, capped scores, masked scores, probabilities."""
    masked = {**QKV, "mask": normal(ROWS, COLUMNS)}
    standard(masked, outputs=(0, 3), qk_matmul_output_mode=mode, softcap=1.0)


@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    repeats=st.integers(1, 3),
    rows=st.integers(1, 5),
    columns=st.integers(1, 6),
    causal=st.booleans(),
    softcap=st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=25)
def test_any_shape_of_standard_attention(
    *, batch: int, groups: int, repeats: int, rows: int, columns: int, causal: bool, softcap: float
) -> None:
    """Heads of their own or shared, one row or many, more rows than columns."""
    inputs: Inputs = {
        "q": normal(batch, groups * repeats, rows, 4),
        "k": normal(batch, groups, columns, 4),
        "v": normal(batch, groups, columns, 3),
    }
    standard(inputs, is_causal=int(causal), softcap=softcap)
