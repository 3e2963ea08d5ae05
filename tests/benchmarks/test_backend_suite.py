"""The backend suite as yardstick: what counts as core, and what each outcome means."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.test_case import TestCase

from backend_suite import Settings, is_core, run_case, totals

HEAD = '<ir_version: 10, opset_import: ["" : 21, "my.domain" : 1]>'


def _case(
    graph: str, *arrays: np.ndarray, outputs: tuple[np.ndarray, ...] = (), name: str = "test_it"
) -> TestCase:
    model = onnx.parser.parse_model(f"{HEAD} {graph}")
    return TestCase(name, "it", None, None, model, [(arrays, outputs)], "node", 1e-3, 1e-7)


@pytest.mark.parametrize(
    ("graph", "core"),
    [
        ("g (float16[2] x) => (float16[2] y) { y = Relu(x) }", True),
        ("g (bfloat16[2] x) => (bfloat16[2] y) { y = Relu(x) }", False),
        ("g (string[2] x) => (string[2] y) { y = Identity(x) }", False),
        ("g (seq(float[2]) x) => (int64 y) { y = SequenceLength(x) }", False),
        ("g (float[2] x) => (float[2] y) { y = my.domain.Relu(x) }", False),
        ("g (float[2] x) => (float[2] y) { y = Bernoulli(x) }", False),
        (
            """g (bool c, float[2] x) => (float[2] y) { y = If (c) <
            then_branch = t () => (float[2] a) { a = Dropout(x) }, else_branch = e () => (float[2] b) { b = Relu(x) }> }""",
            False,
        ),
    ],
)
def test_core_is_told_from_the_model(graph: str, core: bool) -> None:  # noqa: FBT001 - a column of the table
    """Types, domains and operators, bodies included."""
    case = _case(graph)
    assert case.model is not None
    assert is_core(case, case.model) is core


def test_expansions_repeat_other_cases() -> None:
    """They are told by their names, and only so."""
    case = _case("g (float[2] x) => (float[2] y) { y = Relu(x) }", name="test_relu_expanded_ver18")
    assert case.model is not None
    assert not is_core(case, case.model)


def test_each_outcome_is_told_from_the_others() -> None:
    """Agreement, another answer, and a coded refusal; a large case that passed on several cores is split."""
    x = np.arange(-16, 16, dtype=np.float32)
    graph = "g (float[32] x) => (float[32] y) { y = Relu(x) }"
    settings = Settings("mesh16", (4, 4))
    results = [
        run_case(_case(graph, x, outputs=(np.maximum(x, 0),)), settings),
        run_case(_case(graph, x, outputs=(x,)), settings),
        run_case(_case("g (float[32] x) => (float[32] y) { y = RandomNormalLike(x) }", x), settings),
    ]
    assert [result.outcome for result in results] == ["passed", "wrong", "unsupported"]
    assert results[0].split
    assert results[2].message.startswith("WSEC115 ")
    summary = totals(results, 0.0)
    assert (summary["core"], summary["core_passed"], summary["large"], summary["split"]) == (2, 1, 2, 1)


def test_an_input_that_decides_a_shape_is_bound() -> None:
    """Axes of a reduction, which the suite gives as an input, become a constant before compiling."""
    x = np.ones((3, 4), np.float32)
    graph = "g (float[3, 4] x, int64[1] axes) => (float[1, 4] y) { y = ReduceSum(x, axes) }"
    result = run_case(
        _case(graph, x, np.array([0]), outputs=(x.sum(0, keepdims=True),)), Settings("mesh16", (4, 4))
    )
    assert (result.outcome, result.bound) == ("passed", ("axes",))
