"""Binding of dimensions: names, anonymous axes, the assumed batch, and each refusal with its whole message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.dimensions import bind_dimensions

if TYPE_CHECKING:
    from collections.abc import Callable

    Refusal = Callable[[Callable[[], object]], str]


def _model(**inputs: list[int | str | None] | None) -> ir.Model:
    """A model with these inputs and nothing else."""
    values = []
    for name, shape in inputs.items():
        info = onnx.helper.make_tensor_value_info(name.replace("__", ":"), onnx.TensorProto.FLOAT, shape)
        values.append(info)
    graph = onnx.helper.make_graph([], "g", values, [])
    opset = onnx.helper.make_opsetid("", 21)
    return ir.serde.deserialize_model(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10))


def _shapes(model: ir.Model) -> dict[str, list[int]]:
    return {str(v.name): list(v.shape.numpy()) for v in model.graph.inputs if v.shape is not None}


def test_a_name_binds_every_axis_that_carries_it() -> None:
    """One flag for the sequence length of all inputs of a transformer."""
    model = _model(ids=["batch", "seq"], mask=["batch", "seq"])
    assert bind_dimensions(model, {"batch": 2, "seq": 32}) == ()
    assert _shapes(model) == {"ids": [2, 32], "mask": [2, 32]}


def test_an_axis_binds_its_whole_name() -> None:
    """`ids:1` is another way to say `seq`, so the mask follows."""
    model = _model(ids=[1, "seq"], mask=[1, "seq"])
    bind_dimensions(model, {"ids:1": 32})
    assert _shapes(model) == {"ids": [1, 32], "mask": [1, 32]}


def test_anonymous_axes_are_bound_one_by_one() -> None:
    """Exporters write `?` for dimensions that differ: one may be 48 and the next 192."""
    model = _model(x=["?", 3, "?", "?"])
    notes = bind_dimensions(model, {"x:2": 48, "x:3": 192})
    assert _shapes(model) == {"x": [1, 3, 48, 192]}
    assert notes == ("dimension x:0 taken as a batch of 1; --dim x:0=SIZE sets another size",)


@pytest.mark.parametrize("name", ["p2o.DynamicDimension.1", "a::b", "x:2", "seq + 1", "é"])
def test_odd_names_of_exporters_bind(name: str) -> None:
    """A name is whatever the exporter wrote, also one that looks like another axis."""
    model = _model(x=[1, name, 5])
    bind_dimensions(model, {name: 7})
    assert _shapes(model) == {"x": [1, 7, 5]}


def test_an_input_name_with_a_colon() -> None:
    """TensorFlow's input names end in `:0`; the axis stands behind the last colon."""
    model = _model(serving_input__0=[1, None])
    bind_dimensions(model, {"serving_input:0:1": 9})
    assert _shapes(model) == {"serving_input:0": [1, 9]}


@pytest.mark.parametrize(
    "name", ["batch", "batch_size", "N", "n", "bs", "unk__749", "decoder_batch", "p2o.DynamicDimension.0"]
)
def test_a_leading_batch_becomes_one(name: str) -> None:
    """The one assumption: a batch nobody named is a batch of one, wherever the name occurs, and a note says so."""
    model = _model(x=[name, 4], state=[2, name])
    assert bind_dimensions(model, {}) == (
        f"dimension {name} taken as a batch of 1; --dim {name}=SIZE sets another size",
    )
    assert _shapes(model) == {"x": [1, 4], "state": [2, 1]}


@pytest.mark.parametrize("shape", [["seq", 4], [4, "batch"], [None], ["length"]])
def test_other_open_axes_are_not_assumed(shape: list[int | str | None]) -> None:
    """A sequence length, an axis that does not lead, or the only axis of a vector is the user's to say."""
    with pytest.raises(WsecError, match="has no size"):
        bind_dimensions(_model(x=shape), {})


def test_all_unbound_dimensions_are_listed_with_their_flags(refusal: Refusal) -> None:
    """One message for all, and the flags can be copied to the shell."""
    model = _model(image=["batch", 3, "?", "?"], ids=["batch", "seq len"], mask=["batch", "seq len"])
    assert refusal(lambda: bind_dimensions(model, {})) == (
        "error[WSEC111]: 3 dimensions of the model have no size\n"
        "  where:    image:2: axis 2 of input 'image'\n"
        "            image:3: axis 3 of input 'image'\n"
        "            seq len: axis 1 of input 'ids', axis 1 of input 'mask'\n"
        "  expected: a size for every dimension: a wafer is laid out for one shape\n"
        "  found:    image:2, image:3, seq len\n"
        "  try:      --dim image:2=SIZE --dim image:3=SIZE --dim 'seq len'=SIZE"
    )


def test_one_unbound_dimension(refusal: Refusal) -> None:
    """The message speaks of one where it is one."""
    assert refusal(lambda: bind_dimensions(_model(x=[1, "seq"]), {})) == (
        "error[WSEC111]: 1 dimension of the model has no size\n"
        "  where:    seq: axis 1 of input 'x'\n"
        "  expected: a size for every dimension: a wafer is laid out for one shape\n"
        "  found:    seq\n"
        "  try:      --dim seq=SIZE"
    )


def test_an_input_without_a_rank(refusal: Refusal) -> None:
    """Nothing is known of such an input; naming all its axes gives it its rank."""
    assert refusal(lambda: bind_dimensions(_model(x=None), {})) == (
        "error[WSEC111]: the input 'x' has no shape\n"
        "  where:    input 'x'\n"
        "  expected: a size for each of its axes\n"
        "  found:    neither a rank nor sizes in the model\n"
        "  try:      --dim x:0=SIZE --dim x:1=SIZE and so on, one for each axis"
    )
    model = _model(x=None)
    bind_dimensions(model, {"x:0": 2, "x:1": 5})
    assert _shapes(model) == {"x": [2, 5]}


def test_an_unknown_dimension_offers_the_nearest(refusal: Refusal) -> None:
    """A mistyped name is answered with the right one."""
    model = _model(x=["batch", "sequence_length"])
    assert refusal(lambda: bind_dimensions(model, {"sequence_lenght": 32})) == (
        "error[WSEC112]: the model has no dimension 'sequence_lenght'\n"
        "  where:    --dim sequence_lenght=32\n"
        "  expected: batch, sequence_length, x:0, x:1\n"
        "  found:    sequence_lenght\n"
        "  try:      perhaps --dim sequence_length=32"
    )


def test_an_unknown_dimension_of_a_fixed_model(refusal: Refusal) -> None:
    """Where nothing is open, the answer is to leave the flag out."""
    assert refusal(lambda: bind_dimensions(_model(x=[1, 4]), {"batch": 1})) == (
        "error[WSEC112]: the model has no dimension 'batch'\n"
        "  where:    --dim batch=1\n"
        "  expected: no --dim at all\n"
        "  found:    batch\n"
        "  try:      leave it out: every dimension of this model is fixed"
    )


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_that_is_none(refusal: Refusal, size: int) -> None:
    """Sizes are positive."""
    assert refusal(lambda: bind_dimensions(_model(x=["batch", 4]), {"batch": size})) == (
        "error[WSEC113]: the dimension 'batch' cannot have this size\n"
        f"  where:    --dim batch={size}\n"
        "  expected: a size of 1 or more, a whole number\n"
        f"  found:    {size}\n"
        "  try:      change the size, or leave this --dim out"
    )


def test_a_size_that_contradicts_the_model(refusal: Refusal) -> None:
    """A fixed axis may be repeated but not changed."""
    model = _model(x=[1, 4])
    assert bind_dimensions(model, {"x:1": 4}) == ()
    assert refusal(lambda: bind_dimensions(model, {"x:1": 5})) == (
        "error[WSEC113]: the dimension 'x:1' cannot have this size\n"
        "  where:    --dim x:1=5\n"
        "  expected: 4: the model fixes this axis\n"
        "  found:    5\n"
        "  try:      change the size, or leave this --dim out"
    )


def test_two_sizes_for_one_dimension(refusal: Refusal) -> None:
    """A name and one of its axes may not disagree."""
    model = _model(ids=[1, "seq"], mask=[1, "seq"])
    assert refusal(lambda: bind_dimensions(model, {"seq": 32, "mask:1": 16})) == (
        "error[WSEC113]: the dimension 'seq' cannot have this size\n"
        "  where:    --dim mask:1=16\n"
        "  expected: 32, as --dim seq=32 says\n"
        "  found:    16\n"
        "  try:      change the size, or leave this --dim out"
    )


@given(
    shapes=st.lists(
        st.lists(st.one_of(st.integers(1, 9), st.sampled_from(["a", "b", "c", "?", None])), max_size=4),
        min_size=1,
        max_size=3,
    ),
    size=st.integers(1, 9),
)
def test_the_flags_of_the_message_are_the_ones_that_help(
    shapes: list[list[int | str | None]], size: int
) -> None:
    """Typing exactly the flags that the message lists binds every dimension of any model."""
    inputs = {f"in{index}": shape for index, shape in enumerate(shapes)}
    model = _model(**inputs)
    try:
        bind_dimensions(model, {})
    except WsecError as error:
        keys = [flag.removesuffix("=SIZE").strip("'") for flag in error.hint.split("--dim ")[1:]]
        model = _model(**inputs)
        bind_dimensions(model, {key.removesuffix(" ").removesuffix("=SIZE").strip("'"): size for key in keys})
    assert all(value.shape is not None and value.shape.is_static() for value in model.graph.inputs)


@pytest.mark.parametrize("size", [2.5, "2"])
def test_a_size_that_is_no_whole_number(refusal: Refusal, size: object) -> None:
    """From Python anything can be given; half a row must not become a shape."""
    dims = {"batch": size}
    assert refusal(lambda: bind_dimensions(_model(x=["batch", 4]), dims)) == (  # type: ignore[arg-type]
        "error[WSEC113]: the dimension 'batch' cannot have this size\n"
        f"  where:    --dim batch={size}\n"
        "  expected: a size of 1 or more, a whole number\n"
        f"  found:    {size!r}\n"
        "  try:      change the size, or leave this --dim out"
    )
