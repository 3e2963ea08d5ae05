"""Plans made by hand, after docs/kernels.md and the docstrings of the records: the tests' own compiler.

It decides nothing and optimises nothing: a test says which loops there are and how many ways each is cut.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from program_interpreter import interpreted

from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.compiler.plan import (
    HOST,
    PLAN_FORMAT,
    Argument,
    ChainStep,
    Cycles,
    Kernel,
    KernelInput,
    KernelOutput,
    Link,
    MemoryLedger,
    Phase,
    PlacementSummary,
    Plan,
    Rectangle,
    Value,
    Wafer,
)
from wsec.compiler.plan_io import LoadedPlan
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, whole
from wsec.compiler.target import load_target
from wsec.runtime.executor import Executor, execute
from wsec.runtime.ordered.elementwise import FORMULAS, WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reading:
    """How one dimension of an operand follows a loop.

    Loop position `o` needs elements from `floor((o * scale + offset) / divisor)` to
    `floor((o * scale + offset + reach - 1) / divisor)`.
    """

    extent: int
    loop: str = ""
    scale: int = 1
    offset: int = 0
    divisor: int = 1
    reach: int = 1


@dataclass(frozen=True)
class Operand:
    """An operand of a kernel under test: the tensor, its element type, and a reading for each dimension of its view."""

    role: str
    tensor: str
    dtype: str
    view: tuple[Reading, ...]


@dataclass(frozen=True)
class Loops:
    """Extents of the loops, how many ways each is cut, and in which order the cut ones lie on the mesh."""

    extents: dict[str, int]
    split: dict[str, int]
    order: tuple[str, ...]

    @property
    def mesh(self) -> Mesh:
        """Rows and columns by turns."""
        sides = ("rows", "columns")
        axes = [name for name in self.order if self.split[name] > 1]
        return Mesh(tuple(MeshAxis(name, self.split[name], sides[i % 2]) for i, name in enumerate(axes)))  # type: ignore[arg-type]

    def block(self, loop: str) -> int:
        """Positions of the loop on one core."""
        return -(-self.extents[loop] // self.split[loop])


def reading(extent: int, loop: str = "", **terms: int) -> Reading:
    """A dimension that follows a loop, or that every core needs whole."""
    return Reading(extent, loop, **terms)


def dimension(read: Reading, loops: Loops) -> DimensionSharding:
    """The sharding of one dimension: the least blocks that hold all that every core needs."""
    if not read.loop:
        return whole(read.extent)
    block, parts = loops.block(read.loop), loops.split[read.loop]
    length = 0
    for index in range(parts):
        needed = [
            (position * read.scale + read.offset + more) // read.divisor
            for position in range(index * block, (index + 1) * block)
            for more in (0, read.reach - 1)
        ]
        first = block * index if read.scale >= 0 else block * (index + 1) - 1
        start = (first * read.scale + read.offset) // read.divisor
        length = max(length, max(needed) - start + 1)
    back = (block - 1) * read.scale if read.scale < 0 else 0
    return DimensionSharding(
        extent=read.extent,
        block=length,
        step=block * read.scale,
        axes=(read.loop,) if parts > 1 else (),
        offset=read.offset + back,
        divisor=read.divisor,
    )


def make_kernel(
    name: str,
    kind: str,
    loops: Loops,
    operands: Sequence[Operand],
    output: Operand,
    *,
    arguments: Mapping[str, Argument] | None = None,
    operators: Sequence[str] = (),
    constants: Sequence[str] = (),
    reduced: Sequence[str] = (),
    chain: Sequence[ChainStep] = (),
) -> Kernel:
    """The record of a kernel; `reduced` names its reduction loops."""
    mesh = loops.mesh
    root = tuple(axis.name for axis in mesh.axes if axis.name in reduced)
    return Kernel(
        name=name,
        kind=kind,
        operators=tuple(operators),
        arguments=dict(arguments or {}),
        split=dict(loops.split),
        rectangle=Rectangle(0, 0, mesh.width, mesh.height),
        mesh=mesh,
        inputs=tuple(
            KernelInput(
                role=item.role,
                tensor=item.tensor,
                dtype=item.dtype,
                constant=item.tensor in constants,
                sharding=Sharding(tuple(dimension(read, loops) for read in item.view)),
            )
            for item in operands
        ),
        outputs=(
            KernelOutput(
                output.tensor,
                output.dtype,
                Sharding(tuple(dimension(read, loops) for read in output.view), root),
            ),
        ),
        chain=tuple(chain),
        memory=MemoryLedger(0, 0, 0, 0),
        cycles=Cycles(0, 0, 0),
    )


def make_links(kernels: Sequence[Kernel], outputs: Sequence[Value]) -> tuple[Link, ...]:
    """A link for every input that is no weight, bringing exactly what is needed, and one for every output."""
    makers = {item.tensor: kernel.name for kernel in kernels for item in kernel.outputs}
    links = [
        Link(
            name=f"{kernel.name}.{item.role}",
            tensor=item.tensor,
            source=makers.get(item.tensor, HOST),
            target=kernel.name,
            role=item.role,
            sharding=item.sharding,
            words=1,
            slots=1,
            routes=(),
            cycles=0,
            interval=0,
        )
        for kernel in kernels
        for item in kernel.inputs
        if not item.constant
    ]
    links += [
        Link(
            name=f"{value.name}.out",
            tensor=value.name,
            source=makers[value.name],
            target=HOST,
            role="",
            sharding=Sharding(tuple(whole(extent) for extent in value.extents or ())),
            words=1,
            slots=1,
            routes=(),
            cycles=0,
            interval=0,
        )
        for value in outputs
        if value.name in makers
    ]
    return tuple(links)


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
    weights: Mapping[str, Array] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    """A model with the shapes of all its values, as the compiler's lowered models have them."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [value_info(name, array) for name, array in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    for value in model.graph.output:
        value.CopyFrom(known[value.name])
    model.graph.value_info.extend(v for name, v in known.items() if name not in outputs)
    return model


def value_info(name: str, array: Array) -> onnx.ValueInfoProto:
    """The declaration of a value that has the array's type and shape."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def make_plan(model: onnx.ModelProto, kernels: Sequence[Kernel], folder: Path) -> LoadedPlan:
    """A plan folder of a model, which is the original and the lowered one in one."""
    data = model.SerializeToString()
    for name in ("model.onnx", "original.onnx"):
        (folder / name).write_bytes(data)
    inputs = tuple(map(_value, model.graph.input))
    outputs = tuple(map(_value, model.graph.output))
    plan = Plan(
        format=PLAN_FORMAT,
        model="test.onnx",
        model_sha256=hashlib.sha256(data).hexdigest(),
        target=load_target("mesh16"),
        region_width=16,
        region_height=16,
        inputs=inputs,
        outputs=outputs,
        wafers=(Wafer((Phase(tuple(kernels), make_links(kernels, outputs)),)),),
        host_operators=(),
        placement=PlacementSummary(1, 1, 0.0, "test", interrupted=False),
        notes=(),
        versions={},
    )
    return LoadedPlan(plan, folder)


@st.composite
def loops_of(draw: st.DrawFn, extents: Mapping[str, int], largest_cut: int = 4) -> Loops:
    """Any cut of the loops, in any order on the mesh."""
    split = {name: draw(st.integers(1, min(extent, largest_cut))) for name, extent in extents.items()}
    return Loops(dict(extents), split, tuple(draw(st.permutations(list(extents)))))


def assert_same_as_onnxruntime(
    model: onnx.ModelProto, kernels: Sequence[Kernel], inputs: Mapping[str, Array], tolerance: float = 1e-5
) -> None:
    """The plan of these kernels, executed, gives what onnxruntime gives for the model; in order too, where there is one."""
    expected = onnxruntime_outputs(model, inputs)
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(model, kernels, Path(folder))
        assert_close(execute(plan, inputs), expected, tolerance)
        if _has_an_order(kernels):
            tensors = {
                **inputs,
                **{item.name: numpy_helper.to_array(item) for item in model.graph.initializer},
            }
            found = Executor(plan, "ordered").run(inputs, tensors.__setitem__)
            assert_close(found, expected, tolerance)
            for kernel in kernels:
                _assert_same_bits(interpreted(kernel, tensors), tensors[kernel.outputs[0].tensor], kernel)


def _assert_same_bits(found: Array, expected: Array, kernel: Kernel) -> None:
    """Core programs give the numbers of ordered arithmetic, zeros with their signs; what is no number need not agree."""
    values = expected.astype(np.float32)
    same = (found.view(np.int32) == values.view(np.int32)) | (np.isnan(found) & np.isnan(values))
    assert same.all(), f"{kernel.kind}: {found[~same][:5]} instead of {values[~same][:5]}"


def _has_an_order(kernels: Sequence[Kernel]) -> bool:
    """Whether all that the kernels compute is in single precision, by operators that core programs have formulas for."""
    types = {item.dtype for kernel in kernels for item in kernel.inputs if item.role != "indices"}
    types |= {item.dtype for kernel in kernels for item in kernel.outputs}
    types |= {step.dtype for kernel in kernels for step in (*kernel.chain, *kernel.body)}
    steps = {step.operator for kernel in kernels for step in kernel.chain}
    kinds = {kernel.kind for kernel in kernels}
    if kinds & {"batched", "recurrent", "unsplit"} or not steps <= set(FORMULAS):
        return False
    whole = kinds <= {"elementwise"} and steps <= WHOLE
    return types <= {"float32", "bool"} | ({"int32"} if whole else set())


def assert_close(found: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float) -> None:
    """The same names, shapes and element types, and nearly the same numbers."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance)


def normal(seed: int, *shape: int, dtype: str = "float32") -> Array:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def onnxruntime_outputs(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """What onnxruntime computes, by name."""
    names = [value.name for value in model.graph.output]
    results = run_session(make_session(model.SerializeToString()), inputs)
    return dict(zip(names, results, strict=True))


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    assert tensor.elem_type != TensorProto.UNDEFINED
    return Value(info.name, dtype, tuple(item.dim_value for item in tensor.shape.dim))


def whole_mesh(blocks: Array, mesh: Mesh) -> Array:
    """The same blocks with every mesh axis at its full size, by views without strides."""
    axes = len(mesh.axes)
    full: Array = np.broadcast_to(blocks, (*mesh.shape, *blocks.shape[axes:]))
    return full
