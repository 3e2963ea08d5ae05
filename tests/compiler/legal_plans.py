"""Legal plans made by hand for tests: three kernels on a 16x16 mesh, and single kernels of any kind.

The three: a convolution with Relu (`conv`), a matrix product (`product`), and a sum with the convolution's result,
scaled (`sum`), so that one tensor skips a kernel, two reductions are cut and two chains are fused.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir
from onnx import helper

from wsec.compiler.plan import (
    PLAN_FORMAT,
    Argument,
    ChainStep,
    Cycles,
    HostOperator,
    Kernel,
    KernelInput,
    KernelOutput,
    Link,
    MemoryLedger,
    Phase,
    PlacementSummary,
    Plan,
    Rectangle,
    Route,
    Value,
    Wafer,
)
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, cut, whole
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from wsec.compiler.plan_checker import Finding

_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "int64": onnx.TensorProto.INT64,
    "float16": onnx.TensorProto.FLOAT16,
}
_LEDGER = MemoryLedger(weights=2000, activations=4000, buffers=1000, code=8192)


def network_proto() -> onnx.ModelProto:
    """The lowered model of `network_plan`."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
        helper.make_node("MatMul", ["y", "v"], ["p"], "product"),
        helper.make_node("Add", ["p", "y"], ["s"], "sum"),
        helper.make_node("Mul", ["s", "scale"], ["out"], "scaled"),
    ]
    weights = {"w": (6, 4, 3, 3), "b": (6,), "v": (8, 8), "scale": (1, 6, 1, 1)}
    values = {"c": (1, 6, 8, 8), "y": (1, 6, 8, 8), "p": (1, 6, 8, 8), "s": (1, 6, 8, 8)}
    return model_proto(nodes, {"x": (1, 4, 8, 8)}, weights, {"out": (1, 6, 8, 8)}, values=values)


def network_model() -> onnx_ir.Model:
    """The lowered model of `network_plan` in memory."""
    return onnx_ir.from_proto(network_proto())


def network_plan() -> Plan:
    """A legal plan for `network_model`."""
    y_rows = cut(8, 4, ("d0",))
    conv = Kernel(
        name="conv",
        kind="convolution",
        operators=("conv", "relu"),
        arguments={"window": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (1, 1)},
        split={"n": 1, "g": 1, "k": 2, "c": 2, "d0": 4, "d1": 1},
        rectangle=Rectangle(2, 0, 4, 4),
        mesh=Mesh((MeshAxis("d0", 4, "rows"), MeshAxis("k", 2, "columns"), MeshAxis("c", 2, "columns"))),
        inputs=(
            activation(
                "x",
                "x",
                whole(1),
                whole(1),
                cut(4, 2, ("c",)),
                DimensionSharding(8, block=4, step=2, axes=("d0",), offset=-1),
                DimensionSharding(8, block=10, step=8, offset=-1),
            ),
            weight("w", "w", whole(1), cut(6, 2, ("k",)), cut(4, 2, ("c",)), whole(3), whole(3)),
            weight("bias", "b", whole(1), cut(6, 2, ("k",)), root=("c",)),
        ),
        outputs=(result("y", whole(1), whole(1), cut(6, 2, ("k",)), y_rows, whole(8), root=("c",)),),
        chain=(ChainStep("Relu", ("result",), "y", "float32", {}),),
        memory=_LEDGER,
        cycles=Cycles(900, 90, 50),
    )
    product = Kernel(
        name="product",
        kind="matmul",
        operators=("product",),
        arguments={},
        split={"b0": 1, "b1": 3, "m": 1, "n": 2, "k": 2},
        rectangle=Rectangle(7, 0, 4, 3),
        mesh=Mesh((MeshAxis("b1", 3, "rows"), MeshAxis("n", 2, "columns"), MeshAxis("k", 2, "columns"))),
        inputs=(
            activation("a", "y", whole(1), cut(6, 3, ("b1",)), whole(8), cut(8, 2, ("k",))),
            weight("b", "v", whole(1), whole(1), cut(8, 2, ("k",)), cut(8, 2, ("n",))),
        ),
        outputs=(result("p", whole(1), cut(6, 3, ("b1",)), whole(8), cut(8, 2, ("n",)), root=("k",)),),
        chain=(),
        memory=_LEDGER,
        cycles=Cycles(520, 130, 50),
    )
    halves = (whole(1), cut(6, 2, ("d1",)), cut(8, 4, ("d2",)), whole(8))
    total = Kernel(
        name="sum",
        kind="elementwise",
        operators=("sum", "scaled"),
        arguments={},
        split={"d0": 1, "d1": 2, "d2": 4, "d3": 1},
        rectangle=Rectangle(12, 0, 4, 2),
        mesh=Mesh((MeshAxis("d1", 2, "rows"), MeshAxis("d2", 4, "columns"))),
        inputs=(
            activation("e0", "p", *halves),
            replace(activation("e1", "y", *halves), slots=2),
            weight("e2", "scale", whole(1), cut(6, 2, ("d1",)), whole(1), whole(1)),
        ),
        outputs=(result("out", *halves),),
        chain=(
            ChainStep("Add", ("e0", "e1"), "s", "float32", {}),
            ChainStep("Mul", ("s", "e2"), "out", "float32", {}),
        ),
        memory=_LEDGER,
        cycles=Cycles(10, 100, 5),
    )
    links = (
        make_link("x", "host", conv, "x", Route(0, Rectangle(0, 0, 1, 2), Rectangle(2, 0, 1, 2))),
        make_link("y", "conv", product, "a", Route(0, Rectangle(5, 0, 1, 2), Rectangle(7, 0, 1, 2))),
        make_link("p", "product", total, "e0", Route(0, Rectangle(10, 0, 1, 2), Rectangle(12, 0, 1, 2))),
        make_link("y", "conv", total, "e1", Route(1, Rectangle(5, 3, 1, 1), Rectangle(12, 1, 1, 1))),
        link_to_host(total, Route(0, Rectangle(15, 0, 1, 2), Rectangle(15, 0, 1, 2))),
    )
    return make_plan((conv, product, total), links, network_model())


def on_host(name: str) -> HostOperator:
    """A node of `network_model` as a host operator."""
    (node,) = (node for node in network_model().graph if node.name == name)
    return HostOperator(
        name=name,
        operator=node.op_type,
        inputs=tuple(value.name or "" for value in node.inputs if value is not None),
        outputs=tuple(_value(value) for value in node.outputs),
        reason="a test wants it there",
    )


def plan_with_host() -> Plan:
    """A legal plan for `network_model` whose sum and scale run on the host, once the product and what it skips are there."""
    plan = network_plan()
    (wafer,) = plan.wafers
    (phase,) = wafer.phases
    conv, product, _ = phase.kernels
    edge = Rectangle(15, 0, 1, 2)
    links = (
        *phase.links[:2],
        link_to_host(product, Route(2, Rectangle(10, 0, 1, 2), edge)),
        link_to_host(conv, Route(1, Rectangle(5, 3, 1, 1), Rectangle(15, 3, 1, 1))),
    )
    on_wafer = replace(phase, kernels=(conv, product), links=links)
    wafers = (replace(wafer, phases=(on_wafer,)),)
    return replace(plan, wafers=wafers, host_operators=(on_host("sum"), on_host("scaled")))


def model_proto(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, Any],
    outputs: Mapping[str, tuple[int, ...]],
    *,
    values: Mapping[str, tuple[int, ...]] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A model; a weight is given by its shape (zeros in float32) or as an array. Types are float32 but where named."""

    def infos(shapes: Mapping[str, tuple[int, ...]]) -> list[onnx.ValueInfoProto]:
        types = dtypes or {}
        return [
            helper.make_tensor_value_info(name, _TYPES[types.get(name, "float32")], shape)
            for name, shape in shapes.items()
        ]

    tensors = [
        onnx.numpy_helper.from_array(
            item if isinstance(item, np.ndarray) else np.zeros(item, dtype=np.float32), name
        )
        for name, item in weights.items()
    ]
    graph = helper.make_graph(
        list(nodes), "network", infos(inputs), infos(outputs), tensors, value_info=infos(values or {})
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


def activation(role: str, tensor: str, *dimensions: DimensionSharding, dtype: str = "float32") -> KernelInput:
    """An input that a link brings."""
    return KernelInput(role, tensor, dtype, constant=False, sharding=Sharding(dimensions))


def weight(
    role: str, tensor: str, *dimensions: DimensionSharding, root: tuple[str, ...] = (), dtype: str = "float32"
) -> KernelInput:
    """An input that stays."""
    return KernelInput(role, tensor, dtype, constant=True, sharding=Sharding(dimensions, root=root))


def result(
    tensor: str, *dimensions: DimensionSharding, root: tuple[str, ...] = (), dtype: str = "float32"
) -> KernelOutput:
    """An output."""
    return KernelOutput(tensor, dtype, Sharding(dimensions, root=root))


def make_link(tensor: str, source: str, target: Kernel, role: str, route: Route) -> Link:
    """A link of float32 that brings what the consumer needs, as slowly as its lanes allow."""
    entry = next(entry for entry in target.inputs if entry.role == role)
    words = math.prod(entry.sharding.shape)
    return Link(
        name=f"{tensor} to {target.name}.{role}",
        tensor=tensor,
        source=source,
        target=target.name,
        role=role,
        sharding=entry.sharding,
        words=words,
        slots=entry.slots,
        routes=(route,),
        cycles=-(-words // route.lanes),
        interval=-(-words // route.lanes),
    )


def link_to_host(source: Kernel, route: Route) -> Link:
    """A link of float32 that takes the kernel's output whole to the host."""
    output = source.outputs[0]
    words = math.prod(output.sharding.shape)
    return Link(
        name=f"{output.tensor} to host",
        tensor=output.tensor,
        source=source.name,
        target="host",
        role="",
        sharding=Sharding(tuple(whole(extent) for extent in output.sharding.shape)),
        words=words,
        slots=1,
        routes=(route,),
        cycles=-(-words // route.lanes),
        interval=-(-words // route.lanes),
    )


def make_plan(kernels: tuple[Kernel, ...], links: tuple[Link, ...], model: onnx_ir.Model) -> Plan:
    """A plan of one phase on mesh16 for the model."""
    interval = max(kernel.cycles.total for kernel in kernels)
    return Plan(
        format=PLAN_FORMAT,
        model="network.onnx",
        model_sha256="0" * 64,
        target=load_target("mesh16"),
        region_width=16,
        region_height=16,
        inputs=tuple(_value(value) for value in model.graph.inputs),
        outputs=tuple(_value(value) for value in model.graph.outputs),
        wafers=(Wafer((Phase(kernels, links),)),),
        host_operators=(),
        placement=PlacementSummary(interval, interval, 0.0, "by hand", interrupted=False),
        notes=("made by hand",),
        versions={"wsec": "0"},
    )


def _value(value: onnx_ir.Value) -> Value:
    shape, dtype = value.shape, value.dtype
    assert shape is not None
    assert dtype is not None
    return Value(value.name or "", str(dtype.numpy()), tuple(int(extent) for extent in shape.numpy()))


def single_kernel(
    node: onnx.NodeProto,
    kind: str,
    axes: Sequence[tuple[str, int]],
    inputs: tuple[KernelInput, ...],
    output: KernelOutput,
    *,
    arguments: dict[str, Argument] | None = None,
) -> Kernel:
    """A kernel that computes the one node, its axes on rows (the first) and columns (the others), at the origin."""
    mesh = Mesh(
        tuple(MeshAxis(name, size, "columns" if i else "rows") for i, (name, size) in enumerate(axes))
    )
    return Kernel(
        name="kernel",
        kind=kind,
        operators=(node.name,),
        arguments=arguments or {},
        split=dict(axes),
        rectangle=Rectangle(0, 0, mesh.width, mesh.height),
        mesh=mesh,
        inputs=inputs,
        outputs=(output,),
        chain=(),
        memory=_LEDGER,
        cycles=Cycles(1 << 20, 1 << 20, 1),
    )


def change_kernel(plan: Plan, name: str, change: Callable[[Kernel], Kernel]) -> Plan:
    """The plan with one kernel changed."""
    return _map_phases(
        plan,
        lambda phase: replace(
            phase,
            kernels=tuple(change(kernel) if kernel.name == name else kernel for kernel in phase.kernels),
        ),
    )


def change_link(plan: Plan, name: str, change: Callable[[Link], Link | None]) -> Plan:
    """The plan with one link changed, or dropped where `change` gives None."""

    def change_phase(phase: Phase) -> Phase:
        links = [change(link) if link.name == name else link for link in phase.links]
        return replace(phase, links=tuple(link for link in links if link is not None))

    return _map_phases(plan, change_phase)


def change_input(kernel: Kernel, role: str, /, **changes: Any) -> Kernel:
    """The kernel with entries of one input changed."""
    inputs = tuple(replace(entry, **changes) if entry.role == role else entry for entry in kernel.inputs)
    return replace(kernel, inputs=inputs)


def change_dimension(sharding: Sharding, position: int, **changes: Any) -> Sharding:
    """The sharding with entries of one dimension changed."""
    dimensions = list(sharding.dimensions)
    dimensions[position] = replace(dimensions[position], **changes)
    return replace(sharding, dimensions=tuple(dimensions))


def check_without_circuits(plan: Plan, model: onnx_ir.Model | Path | None = None) -> tuple[Finding, ...]:
    """What the checker finds on a plan made by hand, but that its phases have no circuits."""
    rule = "a phase says what its routers hold"
    return tuple(finding for finding in check_plan(plan, model) if finding.rule != rule)


def _map_phases(plan: Plan, change: Callable[[Phase], Phase]) -> Plan:
    wafers = tuple(Wafer(tuple(change(phase) for phase in wafer.phases)) for wafer in plan.wafers)
    return replace(plan, wafers=wafers)
