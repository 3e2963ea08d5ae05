"""The verifier finds each kind of broken structure, says where, and finds nothing in a sound model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest

from wsec.passes.verifier import verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { [a] p = Mul(x, w) [b] q = Neg(p) [d] y = Relu(q) }"
IF = """g (float[2] x, bool c) => (float[2] y) { [a] p = Neg(x) [i] y = If (c)
<then_branch = t () => (float[2] r) { [n] r = Relu(p) }, else_branch = e () => (float[2] r2) { [m] r2 = Abs(p) }> }"""


def _undefined_input(model: ir.Model) -> None:
    model.graph[1].replace_input_with(0, ir.Value(name="ghost"))


def _removed_producer(model: ir.Model) -> None:
    model.graph.remove(model.graph[0])


def _duplicate_value(model: ir.Model) -> None:
    model.graph[1].outputs[0].name = "p"


def _unnamed_value(model: ir.Model) -> None:
    model.graph[1].outputs[0].name = None


def _unknown_domain(model: ir.Model) -> None:
    model.graph[0].domain = "new.domain"


def _undefined_output(model: ir.Model) -> None:
    model.graph.outputs[0] = ir.Value(name="nowhere")


def _empty_initializer(model: ir.Model) -> None:
    model.graph.initializers["w"].const_value = None


@pytest.mark.parametrize(
    ("breakage", "finding"),
    [
        (
            _undefined_input,
            "node 'b' (Neg), input 0: expected a value defined before, found 'ghost', which nothing defines",
        ),
        (
            _removed_producer,
            "node 'b' (Neg), input 0: expected a value defined before, found 'p', which nothing defines",
        ),
        (
            _duplicate_value,
            "node 'b' (Neg), output 0: expected a name that is not taken, found 'p', which is",
        ),
        (
            _unnamed_value,
            "node 'b' (Neg), output 0: expected a name for each value, found a value without one",
        ),
        (_unknown_domain, "node 'a' (Mul): expected an opset for the domain 'new.domain', found none"),
        (
            _undefined_output,
            "output 'nowhere' of graph 'g': expected a defined value, found nothing defines it",
        ),
        (_empty_initializer, "initializer 'w': expected a constant value, found none"),
    ],
)
def test_each_breakage_is_found(
    build: Callable[[str], ir.Model], breakage: Callable[[ir.Model], None], finding: str
) -> None:
    """A sound model with one fault gives one finding."""
    model = build(TEXT)
    assert verify_model(model, shapes=True) == ()
    breakage(model)
    assert [str(found) for found in verify_model(model)] == [finding]


def test_bodies_are_checked_in_their_scope(build: Callable[[str], ir.Model]) -> None:
    """A body sees the values around it, and may not hide their names."""
    model = build(IF)
    assert verify_model(model) == ()
    body = model.graph[1].attributes["then_branch"].as_graph()
    body[0].outputs[0].name = "p"
    assert [str(found) for found in verify_model(model)] == [
        "node 'n' (Relu), output 0: expected a name that is not taken, found 'p', which is"
    ]


def test_a_value_of_a_body_is_not_visible_outside(build: Callable[[str], ir.Model]) -> None:
    """Values leave a body only as its outputs."""
    model = build(IF)
    body = model.graph[1].attributes["then_branch"].as_graph()
    model.graph.append(ir.node("Abs", [body[0].outputs[0]], name="thief"))
    model.graph[-1].outputs[0].name = "stolen"
    assert [found.where for found in verify_model(model)] == ["node 'thief' (Abs), input 0"]


def test_shapes_are_checked_when_asked(build: Callable[[str], ir.Model]) -> None:
    """After the pipeline every value needs a type and a static shape."""
    model = build(TEXT)
    model.graph[0].outputs[0].shape = ir.Shape([None])
    model.graph[1].outputs[0].shape = None
    model.graph[2].outputs[0].type = None
    assert verify_model(model) == ()
    assert [str(found) for found in verify_model(model, shapes=True)] == [
        "node 'a' (Mul), output 'p': expected a static shape, found [None]",
        "node 'b' (Neg), output 'q': expected a static shape, found none",
        "node 'd' (Relu), output 'y': expected an element type, found none",
    ]


def test_all_findings_are_collected(build: Callable[[str], ir.Model]) -> None:
    """Not only the first."""
    model = build(TEXT)
    _undefined_input(model)
    _unknown_domain(model)
    _undefined_output(model)
    assert len(verify_model(model)) == 3
