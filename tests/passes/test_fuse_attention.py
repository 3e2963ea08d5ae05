"""Which nodes become one attention kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from wsec.compiler.operators import KERNEL_KEY, KIND_KEY
from wsec.passes import run_pipeline
from wsec.passes.canonicalize_shapes import CanonicalizeShapes
from wsec.passes.fuse_attention import FuseAttention
from wsec.passes.fuse_elementwise import FuseElementwise
from wsec.passes.remove_identities import RemoveIdentities

if TYPE_CHECKING:
    from collections.abc import Callable

    Apply = Callable[..., ir.Model]

SIGNATURE = "g (float[2, 6, 4] q, float[2, 6, 4] k, float[2, 6, 4] v) => (float[] y)"
WEIGHTS = "<float s = {0.5}, float[6] mask = {0, 0, -9, 0, 0, -9}, float[4] c = {1, 2, 3, 4}>"
WHOLE = (
    "[t] kt = Transpose<perm=[0, 2, 1]>(k) [a] p = MatMul(q, kt) [m] r = Mul(p, s) [d] x = Add(r, mask) "
    "[x] w = Softmax<axis=-1>(x) [b] y = MatMul(w, v)"
)


def _members(model: ir.Model) -> list[str]:
    """Names of the nodes of attentions, in order."""
    return [str(node.name) for node in model.graph if node.metadata_props.get(KIND_KEY) == "attention"]


def _model(body: str) -> str:
    return f"{SIGNATURE} {WEIGHTS} {{ {body} }}"


def test_an_attention_is_annotated(apply: Apply) -> None:
    """All nodes carry the kind, and the name of the first."""
    model = apply(FuseAttention(), _model(WHOLE))
    assert _members(model) == ["t", "a", "m", "d", "x", "b"]
    assert {node.metadata_props[KERNEL_KEY] for node in model.graph} == {"t"}


@pytest.mark.parametrize(
    "body",
    [
        # no product, or not of the probabilities
        "w = Softmax<axis=-1>(q) kt = Transpose<perm=[0, 2, 1]>(k) p = MatMul(w, kt) y = MatMul(p, v)",
        # the softmax is taken over the rows
        WHOLE.replace("axis=-1", "axis=1"),
        # the probabilities are the right operand
        WHOLE.replace("MatMul(w, v)", "MatMul(w, w)"),
        # an operator on the scores that the kernel does not know
        WHOLE.replace("Add(r, mask)", "Relu(r)"),
        # scores that are read elsewhere too
        WHOLE.replace(
            "[b] y = MatMul(w, v)", "[b] z = MatMul(w, v) e = ReduceSum<keepdims=0>(x) y = Add(z, e)"
        ),
        # rows and columns change places on the way
        WHOLE.replace(
            "Softmax<axis=-1>(x)", "Transpose<perm=[0, 2, 1]>(x) [z] w2 = Softmax<axis=-1>(w)"
        ).replace("MatMul(w,", "MatMul(w2,"),
        # columns that are appended and not cut off behind the softmax
        WHOLE.replace("Softmax<axis=-1>(x)", "Concat<axis=-1>(x, x) [z] w2 = Softmax<axis=-1>(w)")
        .replace("MatMul(w, v)", "MatMul(w2, vv)")
        .replace("[t]", "vv = Concat<axis=1>(v, v) [t]"),
    ],
)
def test_what_is_no_attention_is_left_alone(apply: Apply, body: str) -> None:
    """The conditions, one by one."""
    assert _members(apply(FuseAttention(), _model(body))) == []


def test_an_output_of_the_model_is_no_inner_value(apply: Apply) -> None:
    """Probabilities that the model gives must be computed by themselves."""
    text = _model(WHOLE).replace("(float[] y)", "(float[] y, float[] w)")
    assert _members(apply(FuseAttention(), text)) == []


def test_movements_that_others_read_stay_outside(apply: Apply) -> None:
    """Transposed keys that are read twice are a tensor of their own, and the rest is still an attention."""
    body = WHOLE.replace(
        "[b] y = MatMul(w, v)", "[b] z = MatMul(w, v) e = ReduceSum<keepdims=0>(kt) y = Add(z, e)"
    )
    assert _members(apply(FuseAttention(), _model(body))) == ["a", "m", "d", "x", "b"]


def test_a_chain_grows_behind_the_attention_and_not_inside(apply: Apply) -> None:
    """Both passes together: the scaling and the mask stay with the scores, what follows the result joins."""
    body = WHOLE.replace("[b] y = MatMul(w, v)", "[b] z = MatMul(w, v) [e] u = Add(z, c) [f] y = Relu(u)")
    model = apply(FuseElementwise(), _model(body))
    assert FuseAttention().run(model).modified
    FuseElementwise().run(model)
    assert {node.metadata_props[KERNEL_KEY] for node in model.graph} == {"t"}
    assert _members(model) == ["t", "a", "m", "d", "x", "b"]
    assert not FuseAttention().run(model).modified
    assert not FuseElementwise().run(model).modified


def test_annotations_that_no_longer_hold_are_removed(apply: Apply) -> None:
    """A model that changed since is annotated anew."""
    model = apply(FuseAttention(), _model(WHOLE))
    (softmax,) = [node for node in model.graph if node.op_type == "Softmax"]
    softmax.attributes["axis"] = ir.AttrInt64("axis", 1)
    assert FuseAttention().run(model).modified
    assert not any(node.metadata_props for node in model.graph)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_passes_keeps_the_numbers(apply: Apply, seed: int) -> None:
    """The pass says nothing wrong wherever it runs, and finds the attention once the others are done."""
    passes = [FuseAttention(), CanonicalizeShapes(), RemoveIdentities(), FuseElementwise()]
    np.random.default_rng(seed).shuffle(passes)
    body = WHOLE.replace("[b] y = MatMul(w, v)", "[b] z = MatMul(w, v) i = Identity(z) [f] y = Relu(i)")
    model = apply(passes[0], _model(body))
    run_pipeline(model, passes[1:])
    run_pipeline(model, [FuseAttention(), FuseElementwise()])
    assert _members(model) == ["t", "a", "m", "d", "x", "b"]
