"""What cannot be compiled is said at once, all of it, with the names of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.importer import check_supported, import_model, infer_shapes
from wsec.compiler.importer.constants import lift_constants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

HEAD = '<ir_version: 10, opset_import: ["" : 21, "my.domain" : 1]>'


SUPPORTED = (
    "dense tensors, sequences and optionals of them, and operators that onnxruntime runs on the CPU or the reference of "
    "ONNX knows"
)


def _model(text: str) -> ir.Model:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(f"{HEAD} {text}"))
    infer_shapes(model)
    return model


def test_an_ordinary_model_is_supported(model_file: Callable[[str], Path]) -> None:
    """Control flow and optional inputs included."""
    path = model_file(
        f"""{HEAD} g (bool c, float[1, 2, 4, 4] x) => (float[] y) {{
        a = If (c) <then_branch = t () => (float[1, 2, 4, 4] r) {{ r = Relu(x) }},
                    else_branch = e () => (float[1, 2, 4, 4] r2) {{ r2 = Clip(x) }}>
        y = MaxPool<kernel_shape=[2, 2]>(a) }}"""
    )
    check_supported(import_model(path, {}).model)


def test_all_unsupported_parts_are_listed(refusal: Refusal) -> None:
    """Types and operators together, each with its node, so that one look at the model is enough; text and sequences are none."""
    model = _model(
        """g (sparse_tensor(float[2]) thin, string[2] words, float[2] x) => (float[] y, string[2] words2) {
        [copy] words2 = Identity(words)
        [list] s = SequenceConstruct(x, x)
        [odd] z = my.domain.Frobnicate(x)
        [strange] y = Mystery(x)
        }"""
    )
    assert refusal(lambda: check_supported(model)) == (
        "error[WSEC115]: 3 parts of the model are not supported\n"
        "  where:    input thin: a sparse tensor\n"
        "            odd (my.domain.Frobnicate): Fatal error: my.domain:Frobnicate(-1) is not a registered function/op\n"
        "            strange (Mystery): ai.onnx 21 has no such operator\n"
        f"  expected: {SUPPORTED}\n"
        "  found:    3 exceptions, listed above\n"
        "  try:      export the model without them; a registered custom pass may also replace an operator"
    )


def test_one_unsupported_part(refusal: Refusal) -> None:
    """The message speaks of one where it is one."""
    model = _model("g (float[2] x) => (float[] y) { [s] y = Mystery(x) }")
    assert refusal(lambda: check_supported(model)).startswith(
        "error[WSEC115]: 1 part of the model is not supported\n  where:    s (Mystery): ai.onnx 21 has no such operator"
    )


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2, 3] x) => (int64[] y) { a = NonZero(x) \n y = Transpose(a) }",
        "g (float[2] x) => (float[] y) { s = SequenceConstruct(x) \n i = Constant<value_int=0>() \n y = SequenceAt(s, i) }",
        "g (float[2, 3] x, float[2, 2] w) => (float[] y) { n = ArgMax<axis=1, keepdims=0>(x) \n y = Tile(w, n) }",
    ],
)
def test_shapes_that_depend_on_the_data_are_left_open(text: str) -> None:
    """They are the host's, with all that follows them."""
    model = _model(text)
    lift_constants(model)
    assert check_supported(model) == ()


def test_an_unknown_shape_without_a_reason_is_refused(refusal: Refusal) -> None:
    """Where the operands of an ordinary operator are known and its result is not, something is wrong with it."""
    model = _model("g (float[2, 3] x) => (float[] y) { [lift] y = Relu(x) }")
    model.graph[0].outputs[0].shape = None
    assert refusal(lambda: check_supported(model)) == (
        "error[WSEC116]: the shape of 1 value cannot be known before the model runs\n"
        "  where:    lift (Relu), output y: its shape is unknown\n"
        "  expected: one shape for every value that does not depend on the data\n"
        "  found:    1 value without\n"
        "  try:      check that the inputs of these operators fit together, or export the model with fixed sizes"
    )


def test_contradictory_shapes_are_not_silent(refusal: Refusal) -> None:
    """Inference gives up on a product of matrices that do not fit; the value is named."""
    model = _model("g (float[2, 3] x, float[2, 3] w) => (float[] y) { [product] y = MatMul(x, w) }")
    assert "product (MatMul)" in refusal(lambda: check_supported(model))


def test_random_numbers_are_refused(refusal: Refusal) -> None:
    """Runs would differ, and none of them could be compared; a Dropout at inference draws none."""
    model = _model(
        """g (float[2] x, bool t) => (float[] y) {
        [noise] a = RandomNormalLike(x)
        [coin] b = Bernoulli(a)
        half = Constant<value_float=0.5>()
        yes = Constant<value = bool {1}>()
        no = Constant<value = bool {0}>()
        [train] c = Dropout(b, half, yes)
        [maybe] d = Dropout(c, half, t)
        [infer] e = Dropout(d, half, no)
        y = Dropout(e, half) }"""
    )
    lift_constants(model)
    why = "draws random numbers; the same input has to give the same output"
    assert refusal(lambda: check_supported(model)) == (
        "error[WSEC115]: 4 parts of the model are not supported\n"
        f"  where:    noise (RandomNormalLike): {why}\n"
        f"            coin (Bernoulli): {why}\n"
        f"            train (Dropout): {why}\n"
        f"            maybe (Dropout): {why}\n"
        f"  expected: {SUPPORTED}\n"
        "  found:    4 exceptions, listed above\n"
        "  try:      export the model without them; a registered custom pass may also replace an operator"
    )


def test_bodies_belong_to_control_flow(refusal: Refusal) -> None:
    """An operator with a body is no control flow for that: nobody knows how often another domain runs it."""
    model = _model(
        """g (float[2] x) => (float[] y) {
        [flex] y = my.domain.Flex(x) <body = b (float[2] s) => (float[2] t) { t = Relu(s) }> }"""
    )
    assert "flex (my.domain.Flex): an operator of another domain with bodies of its own" in refusal(
        lambda: check_supported(model)
    )


def test_what_the_reference_runs_for_one_reason_is_one_note() -> None:
    """A bfloat16 network has a note, not one for each of its nodes; each node alone is said as it is."""
    reason = "onnxruntime does not exchange bfloat16 with numpy"
    alone = _model("g (bfloat16[4] x) => (bfloat16[4] y) { [one] y = Neg (x) }")
    assert check_supported(alone) == (f"operator 'one' (Neg) runs through onnx.reference: {reason}",)
    steps = " ".join(f"[n{i}] v{i + 1} = {('Neg', 'Abs')[i % 2]} (v{i})" for i in range(8))
    names = "'n0' (Neg), 'n1' (Abs), 'n2' (Neg), 'n3' (Abs), 'n4' (Neg) and 3 more"
    chain = _model(f"g (bfloat16[4] v0) => (bfloat16[4] v8) {{ {steps} }}")
    assert check_supported(chain) == (f"8 operators run through onnx.reference: {reason}: {names}",)
