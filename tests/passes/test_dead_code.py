"""What no output needs is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.passes.dead_code import EliminateDeadCode

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]


def test_unused_nodes_and_weights_go(apply: Apply, operators: Operators) -> None:
    """A whole dead branch, its weights, and dead code inside a body."""
    model = apply(
        EliminateDeadCode(),
        """g (float[2] x, bool c) => (float[2] y) <float[2] w = {1, 2}> {
        a = Mul(x, w)
        b = Relu(a)
        y = If (c) <then_branch = t () => (float[2] r) { dead = Neg(x) r = Relu(x) },
                    else_branch = e () => (float[2] r2) { r2 = Abs(x) }>
        }""",
    )
    assert operators(model) == ["If"]
    assert not model.graph.initializers
    assert [node.op_type for node in model.graph.all_nodes()] == ["If", "Relu", "Abs"]


def test_unused_optional_outputs_go(apply: Apply) -> None:
    """An operator whose mask nobody reads has one output, and may anchor a group."""
    model = apply(
        EliminateDeadCode(),
        "g (float[1, 1, 4] x) => (float[] y) { y, indices = MaxPool<kernel_shape=[2]>(x) }",
    )
    assert len(model.graph[0].outputs) == 1


def test_unused_inputs_stay(apply: Apply) -> None:
    """The signature of the model is not the pass's to change."""
    model = apply(EliminateDeadCode(), "g (float[2] x, float[2] unused) => (float[2] y) { y = Relu(x) }")
    assert [value.name for value in model.graph.inputs] == ["x", "unused"]
