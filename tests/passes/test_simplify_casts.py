"""A widening that is undone, or followed by another cast, disappears; a cast that loses something stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.passes.simplify_casts import SimplifyCasts, is_exact

if TYPE_CHECKING:
    from collections.abc import Callable

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

TYPES = [ir.DataType(number) for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)]


@pytest.mark.parametrize(
    ("dtype", "body", "left"),
    [
        ("float16", "a = Cast<to=1>(x) b = Cast<to=10>(a) y = Neg(b)", ["Neg"]),
        ("int8", "a = Cast<to=10>(x) b = Cast<to=3>(a) y = Neg(b)", ["Neg"]),
        ("float16", "a = Cast<to=1>(x) y = Cast<to=11>(a)", ["Cast"]),
        ("int8", "a = Cast<to=6>(x) b = Cast<to=1>(a) y = Cast<to=11>(b)", ["Cast"]),
        (
            "float16",
            "a = Cast<to=1>(x) b = Transpose(a) c = Reshape(b, six) d = Cast<to=10>(c) y = Neg(d)",
            ["Transpose", "Reshape", "Neg"],
        ),
        ("float16", "n = Neg(x) a = Cast<to=1>(n) y = Cast<to=10>(a)", ["Neg"]),
    ],
)
def test_a_widening_goes(apply: Apply, operators: Operators, dtype: str, body: str, left: list[str]) -> None:
    """Back again, on to another type, and around movements of data."""
    text = f"g ({dtype}[2, 3] x) => ({'double' if 'to=11' in body else dtype}[] y) <int64[1] six = {{6}}> {{ {body} }}"
    assert operators(apply(SimplifyCasts(), text)) == left


@pytest.mark.parametrize(
    ("dtype", "body"),
    [
        ("float", "a = Cast<to=10>(x) b = Cast<to=1>(a) y = Neg(b)"),
        ("float", "a = Cast<to=6>(x) b = Cast<to=1>(a) y = Neg(b)"),
        ("int64", "a = Cast<to=1>(x) b = Cast<to=7>(a) y = Neg(b)"),
        ("float", "a = Cast<to=9>(x) b = Cast<to=1>(a) y = Neg(b)"),
        ("float16", "a = Cast<to=1>(x) b = Sin(a) y = Cast<to=10>(b)"),
    ],
)
def test_a_cast_that_rounds_stays(apply: Apply, operators: Operators, dtype: str, body: str) -> None:
    """Narrowing, truncation to integers and to bool, integers beyond the digits of a float, arithmetic between."""
    model = apply(SimplifyCasts(), f"g ({dtype}[2, 3] x) => ({dtype}[] y) {{ {body} }}")
    assert len(operators(model)) == 3


def test_a_widened_value_that_is_read_stays(apply: Apply, operators: Operators) -> None:
    """Only the way back goes."""
    text = "g (float16[2] x) => (float16[] y, float[] z) { a = Cast<to=1>(x) b = Cast<to=10>(a) y = Neg(b) z = Abs(a) }"
    assert operators(apply(SimplifyCasts(), text)) == ["Cast", "Neg", "Abs"]


@given(narrow=st.sampled_from(TYPES), wide=st.sampled_from(TYPES), data=st.data())
def test_an_exact_type_holds_every_value(narrow: ir.DataType, wide: ir.DataType, data: st.DataObject) -> None:
    """Whatever bits a value has, it comes back from a type that is called exact."""
    if not is_exact(narrow, wide):
        return
    raw = data.draw(st.binary(min_size=int(narrow.itemsize), max_size=int(narrow.itemsize)))
    value = (
        np.array([raw[0] & 1], np.bool_) if narrow == ir.DataType.BOOL else np.frombuffer(raw, narrow.numpy())
    )
    with np.errstate(invalid="ignore"):
        back = value.astype(wide.numpy()).astype(narrow.numpy())
    np.testing.assert_array_equal(back, value)


def test_any_order_of_the_passes_keeps_the_numbers(survives_any_order: Callable[..., None]) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(
        "g (float16[2, 3] x) => (float16[] y) { a = Cast<to=1>(x) b = Transpose(a) c = Cast<to=10>(b) y = Neg(c) }"
    )
