"""Products of matrices whose operands shift around a square of cores: numbers, plans, and what the checker finds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from decoder_models import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from wsec.compiler.assembly import kernel_record
from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.matmul import make_matmul
from wsec.compiler.kernels.operator_view import OperatorView
from wsec.compiler.plan_checker import check_pair, check_plan
from wsec.compiler.plan_io import digest_of
from wsec.compiler.schedule.sequential.options import turn_mesh
from wsec.compiler.schedule.sequential.rotations import rotated_ways
from wsec.compiler.target import load_target
from wsec.driver import Options, PrefillRequest, compile_model
from wsec.runtime.blocks import gather, scatter
from wsec.runtime.kernels.products import matmul

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Kernel, Plan
    from wsec.loaded_plan import Plan as LoadedPlan

SHIFTING = Options(target="wse3", region=(6, 7), mode="sequential", products="shifts")


def product_nest(a: tuple[int, ...], b: tuple[int, ...]) -> ir.Node:
    """A MatMul node of activations of these shapes."""
    left, right = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        for name, shape in (("a", a), ("b", b))
    )
    node = ir.node("MatMul", [left, right], name="product")
    made = node.outputs[0]
    made.name, made.type = "y", ir.TensorType(ir.DataType.FLOAT)
    made.shape = ir.Shape((*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]))
    return node


@given(
    st.tuples(*[st.integers(2, 13)] * 3),
    st.sampled_from([((), ()), ((2,), (2,)), ((3,), (1,)), ((2, 3), (3,)), ((), (4,))]),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
@settings(max_examples=25, deadline=None)
def test_every_way_gives_the_numbers_of_numpy(
    sizes: tuple[int, int, int],
    batch: tuple[tuple[int, ...], tuple[int, ...]],
    region: tuple[int, int],
) -> None:
    """Whichever loop goes around, with uneven and empty blocks, batches that broadcast, and batches that are cut."""
    m, k, n = sizes
    shapes = {"a": (*batch[0], m, k), "b": (*batch[1], k, n)}
    nest = make_matmul(OperatorView(product_nest(shapes["a"], shapes["b"])))
    target = load_target("wse3").with_region(*region)
    table = rotated_ways(nest, target)
    assert table is not None
    generator = np.random.default_rng(m + k + n)
    values = {role: generator.integers(-9, 9, shape).astype(np.float32) for role, shape in shapes.items()}
    turning = set()
    for option in range(len(table.cycles)):
        kernel = kernel_record(table.splits, option, 0, 0, target)
        assert kernel.mesh == turn_mesh(table, option)
        assert kernel.rotation is not None
        turning.add(kernel.rotation.loop)
        blocks = {
            item.role: scatter(values[item.role], item.sharding, kernel.mesh, 0) for item in kernel.inputs
        }
        found = gather(matmul(kernel, blocks), kernel.outputs[0].sharding, kernel.mesh)
        np.testing.assert_array_equal(found, values["a"] @ values["b"])
    assert turning == {"m", "n", "k"}


def save_product(folder: Path, *, weight: bool) -> Path:
    """relu(a b + c), b a weight or an input."""
    generator = np.random.default_rng(3)
    matrix = generator.standard_normal((30, 23)).astype(np.float32)
    bias = numpy_helper.from_array(generator.standard_normal(23).astype(np.float32), "c")
    inputs = [helper.make_tensor_value_info("a", TensorProto.FLOAT, (2, 17, 30))]
    if not weight:
        inputs.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, (30, 23)))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["a", "b"], ["ab"], "product"),
            helper.make_node("Add", ["ab", "c"], ["sum"], "add"),
            helper.make_node("Relu", ["sum"], ["y"], "relu"),
        ],
        "shifts",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 17, 23))],
        [*([numpy_helper.from_array(matrix, "b")] if weight else []), bias],
    )
    path = folder / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> LoadedPlan:
    """A product with a weight and a chain."""
    return compile_model(save_product(tmp_path_factory.mktemp("product"), weight=True), SHIFTING)


def rotating(record: Plan) -> Kernel:
    """The one kernel whose operands shift."""
    (kernel,) = [kernel for kernel in record.kernels() if kernel.rotation is not None]
    return kernel


def test_a_product_with_a_chain_is_verified(plan: LoadedPlan, tmp_path: Path) -> None:
    """The bias lies as the result does; weights are placed, what is computed is brought to where it starts."""
    assert plan.verify().passed
    assert plan.check() == ()
    weight = rotating(plan.record)
    assert weight.rotation is not None
    assert weight.rotation.steps == 6
    assert weight.rotation.placed in {("b",), ()}
    assert weight.collectives == ()
    other = compile_model(save_product(tmp_path, weight=False), SHIFTING)
    assert other.verify().passed
    unplaced = rotating(other.record).rotation
    assert unplaced is not None
    assert unplaced.placed == ()


def test_sums_are_sums_and_the_faster_is_taken(tmp_path: Path) -> None:
    """Without shifts no kernel has a rotation; where both may be, it is no slower than either."""
    path = save_product(tmp_path, weight=True)
    plans = {
        products: compile_model(path, replace(SHIFTING, products=products))
        for products in ("auto", "sums", "shifts")
    }
    assert all(kernel.rotation is None for kernel in plans["sums"].record.kernels())
    cycles = {products: plan.estimate().latency_cycles for products, plan in plans.items()}
    assert cycles["auto"] <= min(cycles["sums"], cycles["shifts"])


def test_products_that_cannot_shift_are_named(tmp_path: Path) -> None:
    """A plan whose kernels do not take turns says so; one in which all products shift says nothing."""
    path = save_product(tmp_path, weight=True)
    notes = compile_model(path, replace(SHIFTING, mode="pipelined", effort=0.0)).record.notes
    (said,) = [note for note in notes if "shifts" in note]
    assert said == (
        "1 product does not go by shifts: kernels do not take turns, a factor is a vector, its elements are no floats, "
        "or no square of cores has room: 'product'"
    )
    assert not any("shifts" in note for note in compile_model(path, SHIFTING).record.notes)


def test_an_unknown_way_is_refused(tmp_path: Path) -> None:
    """By the whole message."""
    options = replace(SHIFTING, products="cannon")  # type: ignore[arg-type]
    with pytest.raises(WsecError) as caught:
        compile_model(save_product(tmp_path, weight=True), options)
    assert str(caught.value) == (
        "error[WSEC383]: there is no such way of products\n"
        "  expected: one of auto, sums, shifts\n"
        "  found:    cannon\n"
        "  try:      docs/modes.md says what each is good for; auto takes whichever is faster"
    )


def changed(plan: LoadedPlan, kernel: Kernel) -> Plan:
    """The plan with another record of its rotating kernel."""
    wafer = plan.record.wafers[0]
    phases = tuple(
        replace(phase, kernels=tuple(kernel if each.name == kernel.name else each for each in phase.kernels))
        for phase in wafer.phases
    )
    return replace(plan.record, wafers=(replace(wafer, phases=phases),))


def test_the_checker_finds_a_wrong_rotation(plan: LoadedPlan) -> None:
    """Steps that are not the parts, a loop that has an axis, activations that nobody can place, too few cycles or bytes."""
    kernel = rotating(plan.record)
    rotation = kernel.rotation
    assert rotation is not None
    wrong = {
        "steps": replace(kernel, rotation=replace(rotation, steps=5)),
        "loop": replace(kernel, rotation=replace(rotation, loop="b0")),
        "axis": replace(kernel, rotation=replace(rotation, loop=next(iter(kernel.mesh.axes)).name)),
        "placed": replace(kernel, rotation=replace(rotation, placed=("a",))),
        "none": replace(kernel, rotation=None),
        "turns": replace(kernel, turns={"m": 2}),
        "cycles": replace(kernel, cycles=replace(kernel.cycles, compute=1, communication=0, memory=0)),
        "memory": replace(kernel, memory=replace(kernel.memory, activations=0, buffers=0)),
    }
    codes = {
        name: {finding.code for finding in check_plan(changed(plan, each), plan.folder / "model.onnx")}
        for name, each in wrong.items()
    }
    expected = dict.fromkeys(("steps", "loop", "axis", "placed", "turns"), "WSEC543")
    expected |= {"none": "WSEC544", "cycles": "WSEC550", "memory": "WSEC546"}
    assert {name: code for name, code in expected.items() if code not in codes[name]} == {}


def test_the_checker_finds_blocks_that_do_not_meet(plan: LoadedPlan) -> None:
    """A factor cut in other blocks than the other one, or along the wrong axis, or held at a root."""
    kernel = rotating(plan.record)
    first = kernel.inputs[0]
    dimensions = first.sharding.dimensions
    larger = replace(dimensions[-1], block=dimensions[-1].block + 1, step=dimensions[-1].step + 1)
    swapped = (
        replace(dimensions[-1], axes=dimensions[-2].axes),
        replace(dimensions[-2], axes=dimensions[-1].axes),
    )
    for changes in (
        replace(first.sharding, dimensions=(*dimensions[:-1], larger)),
        replace(first.sharding, dimensions=(*dimensions[:-2], swapped[1], swapped[0])),
    ):
        entries = (replace(first, sharding=changes), *kernel.inputs[1:])
        found = check_plan(changed(plan, replace(kernel, inputs=entries)), plan.folder / "model.onnx")
        assert "WSEC544" in {finding.code for finding in found}


@pytest.mark.parametrize(("form", "batch"), [("contrib", 2)])
def test_a_tiny_prefill_by_shifts(form: str, batch: int, tmp_path: Path) -> None:
    """Projections, feed-forward and logits shift; the numbers are those of onnxruntime."""
    path = Decoder(form=form, entry="prefill", sequence=12, batch=batch).save(tmp_path)
    compiled = compile_model(path, replace(SHIFTING, collective="two_level"))
    assert sum(kernel.rotation is not None for kernel in compiled.record.kernels()) >= 7
    assert compiled.verify().passed
    assert compiled.check() == ()


def test_shared_weights_are_not_placed(tmp_path: Path) -> None:
    """A decoder has them where its shardings say: they are brought to where they start, and home; a placed one is found."""
    decoder, prefill = (tmp_path / entry for entry in ("decode", "prefill"))
    paths = []
    for folder, entry, sequence in ((decoder, "decode", 1), (prefill, "prefill", 12)):
        folder.mkdir()
        paths.append(Decoder(entry=entry, sequence=sequence).save(folder))
    options = replace(SHIFTING, collective="two_level")
    pair = compile_model(paths[0], options, tmp_path / "pair.plan", prefill=PrefillRequest(paths[1]))
    assert pair.prefill is not None
    record = pair.prefill.record
    shifting = [kernel for kernel in record.kernels() if kernel.rotation is not None]
    assert len(shifting) >= 7
    assert not any(kernel.rotation.placed for kernel in shifting if kernel.rotation is not None)
    assert pair.check() == ()
    assert pair.generate((5, 17, 3), 2, verify=True).passed
    shared = record.shared
    assert shared is not None
    name = next(
        weight.kernel
        for weight in shared.weights
        if weight.role == "b" and weight.kernel in {kernel.name for kernel in shifting}
    )
    wafer = record.wafers[0]
    phases = tuple(
        replace(
            phase,
            kernels=tuple(
                replace(each, rotation=replace(each.rotation, placed=("b",)))
                if each.name == name and each.rotation is not None
                else each
                for each in phase.kernels
            ),
        )
        for phase in wafer.phases
    )
    wrong = replace(record, wafers=(replace(wafer, phases=phases),))
    found = check_pair(pair.record, wrong, digest_of(pair.record))
    assert "WSEC543" in {finding.code for finding in found}
