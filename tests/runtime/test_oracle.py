"""The comparison with onnxruntime: what passes, what does not, and which kernel is blamed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper
from plan_records import Loops, Operand, make_kernel, make_model, make_plan, normal, reading
from small_plans import INPUTS, two_products, two_products_model

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import ChainStep, Phase, Wafer
from wsec.compiler.plan_io import sha256_of_file
from wsec.runtime.comparison import TOLERANCES, compare
from wsec.runtime.oracle import find_divergence, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plan_records import Array

    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_io import LoadedPlan


def with_kernels(loaded: LoadedPlan, change: Callable[[Kernel], Kernel]) -> LoadedPlan:
    """The plan with every kernel put through a function."""
    kernels = tuple(change(item) for item in loaded.plan.kernels())
    return replace(
        loaded, plan=replace(loaded.plan, wafers=(Wafer((Phase(kernels, tuple(loaded.plan.links())),)),))
    )


def refused(loaded: LoadedPlan, inputs: dict[str, Array] | None = None) -> str:
    """The whole message with which a verification ends."""
    with pytest.raises(WsecError) as caught:
        verify(loaded, inputs)
    return str(caught.value)


def test_a_good_plan_passes(tmp_path: Path) -> None:
    """Every output is compared; times are reported; the whole is plain data for --json."""
    result = verify(two_products(tmp_path))
    assert result.passed
    assert [(output.name, output.dtype, output.tolerance) for output in result.outputs] == [
        ("y", "float32", 1e-4)
    ]
    assert result.outputs[0].max_relative_error <= 1e-5
    assert (result.divergence, result.explanation) == (None, "")
    assert result.ratio == result.executor_seconds / result.onnxruntime_seconds
    assert msgspec.to_builtins(result)["passed"] is True


def test_weights_of_another_layer_are_found(tmp_path: Path) -> None:
    """The first kernel whose numbers are wrong is named with its operators, not the last one that shows it."""
    x = INPUTS["x"]
    weights = {f"w{i}": normal(i, 8, 8) for i in range(3)}
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"t{i - 1}", f"w{i}"], [f"t{i}"], name=f"product {i}")
        for i in range(3)
    ]
    loops = Loops({"m": 5, "n": 8, "k": 8}, {"m": 2, "n": 2, "k": 2}, ("k", "m", "n"))
    kernels = [
        make_kernel(
            f"kernel {i}",
            "matmul",
            loops,
            [
                Operand("a", "x" if i == 0 else f"t{i - 1}", "float32", (reading(5, "m"), reading(8, "k"))),
                Operand("b", "w2" if i == 1 else f"w{i}", "float32", (reading(8, "k"), reading(8, "n"))),
            ],
            Operand("", f"t{i}", "float32", (reading(5, "m"), reading(8, "n"))),
            operators=(f"product {i}",),
            constants=tuple(weights),
            reduced="k",
        )
        for i in range(3)
    ]
    loaded = make_plan(make_model(nodes, {"x": x}, ["t2"], weights), kernels, tmp_path)
    result = verify(loaded, {"x": x})
    assert not result.passed
    assert result.divergence is not None
    assert (result.divergence.kernel, result.divergence.operators) == ("kernel 1", ("product 1",))
    assert result.divergence.comparison.name == "t1"
    error = result.divergence.comparison.max_relative_error
    assert error > 0.1
    assert result.explanation == (
        f"kernel kernel 1 (product 1) is the first that differs, by {error:.2g} of the range of its result"
    )


def test_numbers_that_lowering_changed(tmp_path: Path) -> None:
    """Where every kernel does what the lowered model says, no kernel is blamed."""
    loaded = two_products(tmp_path)
    model = two_products_model()
    model.graph.node[1].op_type = "Sigmoid"
    data = model.SerializeToString()
    loaded.original_path.write_bytes(data)
    changed = replace(loaded, plan=replace(loaded.plan, model_sha256=sha256_of_file(loaded.original_path)))
    result = verify(changed, INPUTS)
    assert not result.passed
    assert result.divergence is None
    assert (
        result.explanation == "every kernel computes what the lowered model says: a pass changed the numbers"
    )


def test_a_good_plan_has_no_divergence(tmp_path: Path) -> None:
    """The search ends without a finding."""
    assert find_divergence(two_products(tmp_path), INPUTS) is None


def test_operators_with_subgraphs_are_compared(tmp_path: Path) -> None:
    """The reference of an If is computed with what its branches read from around it."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["t"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [6])],
        )
        for name, operator in (("then", "Neg"), ("else", "Exp"))
    }
    nodes = [
        helper.make_node("Abs", ["x"], ["t"], name="abs"),
        helper.make_node("If", ["c"], ["y"], name="if", **branches),
    ]
    inputs = {"x": normal(1, 6), "c": np.array(True)}  # noqa: FBT003 - the value of a tensor
    loops = Loops({"d0": 6}, {"d0": 2}, ("d0",))
    steps = [ChainStep("Neg", ("e0",), "t", "float32", {})]
    element = (reading(6, "d0"),)
    serial = Loops({"row": 1, "column": 1}, {"row": 1, "column": 1}, ("row", "column"))
    kernels = [
        make_kernel(
            "wrong",
            "elementwise",
            loops,
            [Operand("e0", "x", "float32", element)],
            Operand("", "t", "float32", element),
            operators=("abs",),
            chain=steps,
        ),
        make_kernel(
            "branching",
            "unsplit",
            serial,
            [Operand("in0", "c", "bool", (reading(1),)), Operand("in1", "t", "float32", (reading(6),))],
            Operand("", "y", "float32", (reading(6),)),
            operators=("if",),
        ),
    ]
    loaded = make_plan(make_model(nodes, inputs, ["y"]), kernels, tmp_path)
    divergence = find_divergence(loaded, inputs)
    assert divergence is not None
    assert divergence.kernel == "wrong"
    right = [replace(step, operator="Abs") for step in steps]
    mended = with_kernels(
        loaded, lambda kernel: replace(kernel, chain=tuple(right)) if kernel.chain else kernel
    )
    assert find_divergence(mended, inputs) is None


def test_a_chain_that_lost_a_step_is_found(tmp_path: Path) -> None:
    """The kernel whose activation was replaced is blamed."""

    def soften(kernel: Kernel) -> Kernel:
        chain = tuple(ChainStep("Tanh", step.inputs, step.output, step.dtype, {}) for step in kernel.chain)
        return replace(kernel, chain=chain)

    divergence = find_divergence(with_kernels(two_products(tmp_path), soften), INPUTS)
    assert divergence is not None
    assert (divergence.kernel, divergence.operators) == ("first", ("first", "activation"))


def test_message_another_model(tmp_path: Path) -> None:
    """WSEC562, whole."""
    loaded = two_products(tmp_path)
    digest = "0" * 64
    assert refused(replace(loaded, plan=replace(loaded.plan, model_sha256=digest))) == (
        "error[WSEC562]: the model is not the one that the plan was made from\n"
        f"  where:    {loaded.original_path}\n"
        f"  expected: sha256 {digest}\n"
        f"  found:    sha256 {loaded.plan.model_sha256}\n"
        "  try:      compile the model again, or put the model back that was compiled"
    )


def test_message_onnxruntime_refuses(tmp_path: Path) -> None:
    """WSEC566, whole but for the words of onnxruntime: an original model that does not run."""
    loaded = two_products(tmp_path)
    model = two_products_model()
    model.graph.node[1].op_type = "Unheard"
    loaded.original_path.write_bytes(model.SerializeToString())
    message = refused(
        replace(loaded, plan=replace(loaded.plan, model_sha256=sha256_of_file(loaded.original_path)))
    )
    first, where, found, *rest = message.splitlines()
    assert first == "error[WSEC566]: onnxruntime cannot run what the plan is compared with"
    assert where == f"  where:    {loaded.original_path}"
    assert found.startswith("  found:    ")
    assert "Unheard" in message
    assert rest[-1] == "  try:      check the inputs; the plan can be run without being compared"


@pytest.mark.parametrize(
    ("dtype", "error", "passes"),
    [
        ("float32", 0.9e-4, True),
        ("float32", 1.1e-4, False),
        ("float16", 0.9e-2, True),
        ("float16", 1.2e-2, False),
        ("float64", 0.9e-9, True),
        ("float64", 1.1e-9, False),
    ],
)
def test_the_tolerance_of_each_type(dtype: str, error: float, *, passes: bool) -> None:
    """A share of the range from the least to the greatest expected value, zero included."""
    expected = np.array([1.0, 2.0], dtype=dtype)
    found = expected + np.array([2 * error, 0], dtype=dtype)
    result = compare("t", found, expected)
    assert result.passed is passes
    assert result.tolerance == TOLERANCES[dtype]


def test_whole_numbers_must_be_equal() -> None:
    """One unit in a million is an error."""
    expected = np.array([0, 1_000_000])
    result = compare("t", np.array([0, 1_000_001]), expected)
    assert (result.max_absolute_error, result.max_relative_error, result.passed) == (1.0, 1e-6, False)
    assert compare("t", expected, expected).passed
    assert not compare("t", np.array([True]), np.array([False])).passed


def test_values_that_are_not_finite() -> None:
    """NaN equals NaN and an infinity itself, at the same place and nowhere else."""
    expected = np.array([np.nan, np.inf, -np.inf, 1], dtype=np.float32)
    assert compare("t", expected.copy(), expected).max_absolute_error == 0
    for spoiled in (
        [1, np.inf, -np.inf, 1],
        [np.nan, -np.inf, -np.inf, 1],
        [np.nan, np.inf, -np.inf, np.nan],
    ):
        result = compare("t", np.array(spoiled, dtype=np.float32), expected)
        assert (result.max_absolute_error, result.passed) == (np.inf, False)


def test_shapes_and_types_must_be_equal() -> None:
    """Numbers that would broadcast, or that are of another type, do not pass."""
    expected = np.zeros((2, 2), dtype=np.float32)
    assert not compare("t", np.zeros(4, dtype=np.float32), expected).passed
    assert not compare("t", np.zeros((2, 2)), expected).passed


def test_small_ranges_are_not_held_to_less_than_rounding() -> None:
    """Probabilities near 0 may be a few roundings of 1 off, but not by a hundred times the tolerance."""
    expected = np.array([5e-5, 6e-5], dtype=np.float32)
    assert compare("t", expected + np.float32(2e-7), expected).passed
    assert not compare("t", expected + np.float32(2e-6), expected).passed
    assert not compare("t", expected / 100 + np.float32(2e-7), expected / 100).passed


def test_empty_arrays_are_equal() -> None:
    """Nothing differs from nothing."""
    assert compare("t", np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)).passed
