"""Models of one node, rewritten by `legalize-operators` and compared with onnxruntime's own kernel of that node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from wsec.compiler.importer import infer_shapes
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.passes import run_pipeline
from wsec.passes.legalize_operators import LegalizeOperators

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rewritten:
    """The model after the pass, what it gives, and what the node gave."""

    model: ir.Model
    found: list[Array]
    expected: list[Array]

    def operators(self) -> set[str]:
        """Operators that are left, with their domains."""
        return {f"{node.domain}.{node.op_type}".lstrip(".") for node in self.model.graph}

    def assert_equal(self, tolerance: float = 2e-6) -> None:
        """Shapes, types and numbers, within a share of the largest value."""
        for new, old in zip(self.found, self.expected, strict=True):
            assert (new.shape, new.dtype) == (old.shape, old.dtype)
            scale = max(1.0, float(np.abs(old.astype(np.float64)).max(initial=0.0)))
            np.testing.assert_allclose(
                new.astype(np.float64), old.astype(np.float64), rtol=0, atol=tolerance * scale
            )


def node_model(
    operator: str,
    inputs: Mapping[str, Array | None],
    *,
    outputs: Sequence[int] = (0,),
    constants: Iterable[str] = (),
    domain: str = "com.microsoft",
    opset: int = 23,
    **attributes: Any,
) -> onnx.ModelProto:
    """One node with these inputs, of which `constants` are initializers, and the outputs of these numbers."""
    fixed = set(constants)
    names = [name if value is not None else "" for name, value in inputs.items()]
    made = [f"y{index}" if index in outputs else "" for index in range(max(outputs) + 1)]
    node = helper.make_node(operator, names, made, "node", domain=domain, **attributes)
    given = {name: value for name, value in inputs.items() if value is not None}
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in given.items()
            if name not in fixed
        ],
        [onnx.ValueInfoProto(name=name) for name in made if name],
        [numpy_helper.from_array(value, name) for name, value in given.items() if name in fixed],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def rewrite(operator: str, inputs: Mapping[str, Array | None], **options: Any) -> Rewritten:
    """The node before and after the pass, on the same inputs; a second run of the pass changes nothing."""
    proto = node_model(operator, inputs, **options)
    read = {value.name for value in proto.graph.input}
    feeds = {name: value for name, value in inputs.items() if value is not None and name in read}
    expected = run_session(make_session(proto.SerializeToString()), feeds)
    model = ir.serde.deserialize_model(proto)
    name_nodes(model)
    infer_shapes(model)
    for value, array in zip(model.graph.outputs, expected, strict=True):
        value.dtype = ir.DataType(helper.np_dtype_to_tensor_dtype(array.dtype))
        value.shape = ir.Shape(array.shape)
    run_pipeline(model, [LegalizeOperators()])
    serialised = ir.serde.serialize_model(model).SerializeToString()
    found = run_session(make_session(serialised), feeds)
    assert not LegalizeOperators().run(model).modified
    return Rewritten(model, found, expected)
