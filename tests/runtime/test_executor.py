"""Whole plans: what flows between kernels, what is refused, and what a broken plan does to the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper
from plan_records import (
    Loops,
    Operand,
    assert_same_as_onnxruntime,
    make_kernel,
    make_model,
    make_plan,
    normal,
    onnxruntime_outputs,
    reading,
)
from small_plans import INPUTS, two_products, two_products_model

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST, KernelOutput, Phase, Wafer
from wsec.compiler.sharding import DimensionSharding, Sharding, cut
from wsec.runtime.executor import Executor, execute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plan_records import Array

    from wsec.compiler.plan import Kernel, Link
    from wsec.compiler.plan_io import LoadedPlan


def changed(
    loaded: LoadedPlan,
    kernel: Callable[[Kernel], Kernel] = lambda kernel: kernel,
    link: Callable[[Link], Link | None] = lambda link: link,
) -> LoadedPlan:
    """The plan with every kernel and every link put through a function; None drops a link."""
    kernels = tuple(kernel(item) for item in loaded.plan.kernels())
    links = tuple(new for item in loaded.plan.links() if (new := link(item)) is not None)
    return replace(loaded, plan=replace(loaded.plan, wafers=(Wafer((Phase(kernels, links),)),)))


def with_block(kernel: Kernel, which: int, block: int) -> Kernel:
    """The record with a block of that size in the first dimension of its first input (0) or its output (1)."""
    items = (kernel.inputs, kernel.outputs)[which]
    first, *rest = items[0].sharding.dimensions
    sharding = replace(items[0].sharding, dimensions=(replace(first, block=block), *rest))
    if which == 0:
        return replace(kernel, inputs=(replace(kernel.inputs[0], sharding=sharding), *kernel.inputs[1:]))
    return replace(kernel, outputs=(replace(kernel.outputs[0], sharding=sharding),))


def refused(loaded: LoadedPlan, inputs: dict[str, Array]) -> str:
    """The whole message with which an execution ends."""
    with pytest.raises(WsecError) as caught:
        execute(loaded, inputs)
    return str(caught.value)


def test_a_plan_gives_what_onnxruntime_gives(tmp_path: Path) -> None:
    """Two kernels, a link between them, partial sums, a chain."""
    expected = onnxruntime_outputs(two_products_model(), INPUTS)["y"]
    found = execute(two_products(tmp_path), INPUTS)
    assert list(found) == ["y"]
    np.testing.assert_allclose(found["y"], expected, rtol=1e-5, atol=1e-6)


def test_the_same_bytes_for_the_same_inputs(tmp_path: Path) -> None:
    """An executor can be used again, and gives the same numbers to the bit."""
    executor = Executor(two_products(tmp_path))
    first, other, again = (executor.run({"x": x})["y"] for x in (INPUTS["x"], INPUTS["x"] + 1, INPUTS["x"]))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_the_observer_sees_every_kernel(tmp_path: Path) -> None:
    """Names and values in the order of execution."""
    seen: dict[str, tuple[int, ...]] = {}
    execute(two_products(tmp_path), INPUTS, lambda name, value: seen.update({name: value.shape}))
    assert list(seen.items()) == [("h", (5, 9)), ("y", (5, 4))]


def test_kernels_run_in_the_order_of_the_links(tmp_path: Path) -> None:
    """A plan that lists consumers before producers runs all the same."""
    loaded = two_products(tmp_path)
    (wafer,) = loaded.plan.wafers
    (phase,) = wafer.phases
    turned = Wafer((Phase(phase.kernels[::-1], phase.links[::-1]),))
    result = execute(replace(loaded, plan=replace(loaded.plan, wafers=(turned,))), INPUTS)
    np.testing.assert_array_equal(result["y"], execute(loaded, INPUTS)["y"])


def test_outputs_that_no_kernel_makes(tmp_path: Path) -> None:
    """An output may be an input of the model or a weight itself."""
    model = make_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": INPUTS["x"]},
        ["y"],
        {"w": np.arange(3, dtype=np.int64)},
    )
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 8]))
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.INT64, [3]))
    kernel = make_kernel(
        "k",
        "unsplit",
        Loops({"row": 4, "column": 3}, {"row": 1, "column": 1}, ("row", "column")),
        [Operand("in0", "x", "float32", (reading(40),))],
        Operand("", "y", "float32", (reading(40),)),
        operators=("neg",),
    )
    model.graph.node[0].name = "neg"
    found = execute(make_plan(model, [kernel], tmp_path), INPUTS)
    assert list(found) == ["y", "x", "w"]
    np.testing.assert_array_equal(found["y"], -INPUTS["x"])
    np.testing.assert_array_equal(found["x"], INPUTS["x"])
    assert found["w"].tolist() == [0, 1, 2]
    found["x"][:] = 0  # an output is the caller's own
    assert INPUTS["x"].any()


def unsplit_kernel(
    operands: list[tuple[str, Array]],
    outputs: list[tuple[str, Array]],
    cores: int,
    constants: tuple[str, ...] = (),
) -> Kernel:
    """The record of a kernel whose data lies flat over all cores."""
    loops = Loops({"row": cores, "column": 2}, {"row": cores, "column": 2}, ("row", "column"))
    axes = tuple(axis.name for axis in loops.mesh.axes)
    flat = {name: Sharding((cut(array.size, 2 * cores, axes),)) for name, array in (*operands, *outputs)}
    kernel = make_kernel(
        "k",
        "unsplit",
        loops,
        [
            Operand(f"in{i}", name, array.dtype.name, (reading(array.size),))
            for i, (name, array) in enumerate(operands)
        ],
        Operand("", outputs[0][0], outputs[0][1].dtype.name, (reading(outputs[0][1].size),)),
        operators=("node",),
        constants=constants,
    )
    return replace(
        kernel,
        inputs=tuple(replace(item, sharding=flat[item.tensor]) for item in kernel.inputs),
        outputs=tuple(KernelOutput(name, array.dtype.name, flat[name]) for name, array in outputs),
    )


@pytest.mark.parametrize("cores", [1, 3])
def test_unsplit_kernels_with_several_outputs(cores: int) -> None:
    """TopK: data flat over the cores, two outputs of different types."""
    x, k = normal(1, 3, 7), np.array([4], dtype=np.int64)
    model = make_model(
        [helper.make_node("TopK", ["x", "k"], ["v", "i"], name="node")], {"x": x}, ["v", "i"], {"k": k}
    )
    kernel = unsplit_kernel(
        [("x", x), ("k", k)],
        [("v", np.zeros((3, 4), np.float32)), ("i", np.zeros((3, 4), np.int64))],
        cores,
        constants=("k",),
    )
    assert_same_as_onnxruntime(model, [kernel], {"x": x}, 0)


def test_unsplit_kernels_with_an_empty_result() -> None:
    """No elements are left, and none are made up."""
    x = np.arange(4, dtype=np.float32)
    node = helper.make_node("Slice", ["x", "from", "to"], ["y"], name="node")
    bounds = {name: np.array([2], dtype=np.int64) for name in ("from", "to")}
    model = make_model([node], {"x": x}, ["y"], bounds)
    kernel = unsplit_kernel(
        [("x", x), *bounds.items()], [("y", np.zeros(0, np.float32))], 2, constants=tuple(bounds)
    )
    assert_same_as_onnxruntime(model, [kernel], {"x": x}, 0)


def test_unsplit_kernels_with_subgraphs() -> None:
    """If: the branches read a tensor of the graph around them."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["x"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [2, 3])],
        )
        for name, operator in (("then", "Neg"), ("else", "Exp"))
    }
    x = normal(1, 2, 3)
    for condition in (True, False):
        inputs = {"c": np.array(condition), "x": x}
        node = helper.make_node("If", ["c"], ["y"], name="node", **branches)
        model = make_model([node], inputs, ["y"])
        kernel = unsplit_kernel(list(inputs.items()), [("y", x)], 2)
        assert_same_as_onnxruntime(model, [kernel], inputs, 0)


def test_a_link_that_is_too_short_shows_in_the_numbers(tmp_path: Path) -> None:
    """Elements that are needed and not brought are NaN in every output that depends on them."""

    def shorten(link: Link) -> Link:
        if link.target != "second":
            return link
        rows, columns = link.sharding.dimensions
        return replace(link, sharding=replace(link.sharding, dimensions=(rows, replace(columns, block=8))))

    assert np.isnan(execute(changed(two_products(tmp_path), link=shorten), INPUTS)["y"]).all()


def test_a_reduction_that_is_skipped_shows_in_the_numbers(tmp_path: Path) -> None:
    """Without its root axes a kernel gives the partial sum of one core."""

    def skip(kernel: Kernel) -> Kernel:
        (made,) = kernel.outputs
        return replace(kernel, outputs=(replace(made, sharding=replace(made.sharding, root=())),))

    loaded = two_products(tmp_path)
    good = execute(loaded, INPUTS)["y"]
    assert np.abs(execute(changed(loaded, kernel=skip), INPUTS)["y"] - good).max() > 0.1


def test_an_output_that_ends_early_shows_in_the_numbers(tmp_path: Path) -> None:
    """What the link to the host does not bring is NaN."""

    def shorten(link: Link) -> Link:
        if link.target != HOST:
            return link
        rows = DimensionSharding(extent=5, block=4, step=4)
        return replace(link, sharding=Sharding((rows, link.sharding.dimensions[1])))

    result = execute(changed(two_products(tmp_path), link=shorten), INPUTS)["y"]
    assert np.isnan(result).any(axis=1).tolist() == [False, False, False, False, True]


def test_message_missing_and_unknown_inputs(tmp_path: Path) -> None:
    """WSEC560, whole: what the model has, what is wrong, and the likely slip."""
    assert refused(two_products(tmp_path), {"X": INPUTS["x"]}) == (
        "error[WSEC560]: the inputs are not those of the model\n"
        "  expected: x: float32 5 x 8\n"
        "  found:    nothing for x\n"
        "            X, which is no input\n"
        "  try:      X may be meant as x"
    )


def test_message_wrong_shape_or_type(tmp_path: Path) -> None:
    """WSEC561, whole, for a shape and for a type."""
    loaded = two_products(tmp_path)
    assert refused(loaded, {"x": np.zeros((5, 9), np.float32)}) == (
        "error[WSEC561]: an input has another shape or type than the plan was compiled for\n"
        "  where:    x\n"
        "  expected: x: float32 5 x 8\n"
        "  found:    x: float32 5 x 9\n"
        "  try:      change the data, or compile again with the shape as --dim"
    )
    assert "found:    x: float64 scalar" in refused(loaded, {"x": np.float64(1)})  # type: ignore[dict-item]


def test_message_record_that_cannot_be_executed(tmp_path: Path) -> None:
    """WSEC563, whole: a chain that reads what nobody made."""

    def unwire(kernel: Kernel) -> Kernel:
        return replace(kernel, chain=tuple(replace(step, inputs=("nothing",)) for step in kernel.chain))

    assert refused(changed(two_products(tmp_path), kernel=unwire), INPUTS) == (
        "error[WSEC563]: the record of a kernel cannot be executed\n"
        "  where:    kernel first of kind matmul\n"
        "  expected: arguments and shardings as docs/kernels.md describes them\n"
        "  found:    KeyError: 'nothing'\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


def test_a_link_to_the_host_of_another_size_is_refused(tmp_path: Path) -> None:
    """The message names the link."""
    loaded = two_products(tmp_path)
    wrong = changed(
        loaded, link=lambda link: replace(link, sharding=Sharding(())) if link.target == HOST else link
    )
    assert refused(wrong, INPUTS).splitlines()[:2] == [
        "error[WSEC563]: the record of a link cannot be executed",
        "  where:    link y.out",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kernel: replace(kernel, kind="sorting"),
        lambda kernel: replace(
            kernel, inputs=tuple(replace(item, dtype="float16") for item in kernel.inputs)
        ),
        lambda kernel: replace(kernel, inputs=kernel.inputs[:1]),
        lambda kernel: replace(kernel, mesh=replace(kernel.mesh, axes=())),
        lambda kernel: with_block(kernel, 0, 1 << 40),
        lambda kernel: with_block(kernel, 1, 1 << 40),
        lambda kernel: replace(kernel, chain=tuple(replace(s, operator="Sort") for s in kernel.chain)),
    ],
    ids=["kind", "type", "operand", "mesh", "input block", "output block", "operator"],
)
def test_broken_records_are_refused(tmp_path: Path, spoil: Callable[[Kernel], Kernel]) -> None:
    """Whatever a record contradicts, the message names the kernel and there is no traceback of numpy."""
    loaded = two_products(tmp_path)
    broken = changed(loaded, kernel=lambda kernel: spoil(kernel) if kernel.name == "first" else kernel)
    assert refused(broken, INPUTS).startswith("error[WSEC563]: the record of a kernel cannot be executed\n")


def test_message_a_tensor_that_no_link_brings(tmp_path: Path) -> None:
    """WSEC564, whole: for a kernel, for an output of the model, and for a link from the wrong kernel."""
    loaded = two_products(tmp_path)
    dropped = changed(loaded, link=lambda link: None if link.target == "second" else link)
    assert refused(dropped, INPUTS) == (
        "error[WSEC564]: a tensor that is needed is not brought\n"
        "  where:    kernel second, tensor h\n"
        "  expected: a link from the kernel that makes it, or from the host for an input of the model\n"
        "  found:    no link\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )
    silent = changed(loaded, link=lambda link: None if link.target == HOST else link)
    assert "where:    host, tensor y\n" in refused(silent, INPUTS)
    astray = changed(
        loaded, link=lambda link: replace(link, source="second") if link.source == "first" else link
    )
    assert "found:    link second.a with h from second, which makes none\n" in refused(astray, INPUTS)


def test_message_kernels_that_wait_for_each_other(tmp_path: Path) -> None:
    """WSEC565, whole."""

    def turn(link: Link) -> Link:
        return replace(link, source="second", tensor="y") if link.target == "first" else link

    assert refused(changed(two_products(tmp_path), link=turn), INPUTS) == (
        "error[WSEC565]: kernels wait for each other\n"
        "  where:    first, second\n"
        "  expected: links that form no circle\n"
        "  found:    2 kernels that cannot begin\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


def test_message_lowered_model_cannot_be_read(tmp_path: Path) -> None:
    """WSEC567, whole, for a file cut short; and for a weights file that is gone."""
    loaded = two_products(tmp_path)
    data = loaded.lowered_path.read_bytes()
    loaded.lowered_path.write_bytes(data[: len(data) // 2])
    assert refused(loaded, INPUTS) == (
        "error[WSEC567]: the lowered model of the plan cannot be read\n"
        f"  where:    {loaded.lowered_path}\n"
        "  expected: the files as `wsec compile` wrote them\n"
        "  found:    DecodeError: Error parsing message with type 'onnx.ModelProto'\n"
        "  try:      a plan is its whole folder: copy it whole, or compile the model again"
    )
    model = two_products_model()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="nowhere.bin")
    loaded.lowered_path.write_bytes(model.SerializeToString())
    message = refused(loaded, INPUTS)
    assert message.startswith(
        "error[WSEC567]: the lowered model of the plan cannot be read\n"
        f"  where:    {loaded.lowered_path}, weight w0\n"
    )
    assert "nowhere.bin" in message


def test_weights_are_read_only_when_needed(tmp_path: Path) -> None:
    """A weight that no kernel asks for may be missing from its file."""
    model = two_products_model()
    unused = model.graph.initializer.add()
    unused.name, unused.data_type = "unused", TensorProto.FLOAT
    unused.dims.append(1 << 40)
    unused.data_location = TensorProto.EXTERNAL
    unused.external_data.add(key="location", value="nowhere.bin")
    found = execute(make_plan(model, list(two_products(tmp_path).plan.kernels()), tmp_path), INPUTS)
    assert found["y"].shape == (5, 4)
