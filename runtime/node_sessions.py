"""Single operators run as ONNX defines them: the element-wise ones that numpy has not, and unsplit kernels.

A runner is made once for each combination of operators, attributes, element types and ranks, and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from wsec.compiler.node_runner import make_node_runner
from wsec.runtime.element_types import Array, DType, element_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.node_runner import NodeRunner
    from wsec.compiler.plan import Argument


class NodeSessions:
    """Runs nodes as models of their own, in the operator sets, with the functions and the IR version of one model."""

    def __init__(
        self,
        opset_imports: Mapping[str, int],
        ir_version: int,
        functions: Sequence[onnx.FunctionProto] = (),
    ) -> None:
        self._opsets = [
            onnx.helper.make_opsetid(domain, opset_imports[domain]) for domain in sorted(opset_imports)
        ]
        self._ir_version = ir_version
        self._functions = {(function.domain, function.name): function for function in functions}
        self._runners: dict[bytes, NodeRunner] = {}

    def run_operator(
        self, operator: str, attributes: Mapping[str, Argument], inputs: Sequence[Array | None], dtype: str
    ) -> Array:
        """One operator, `domain.Name` or plain `Name`, on these inputs; None for one that is not given.

        Raises:
            SESSION_ERRORS: Neither onnxruntime nor the reference can run it.
        """
        domain, _, name = operator.rpartition(".")
        names = [f"i{index}" if value is not None else "" for index, value in enumerate(inputs)]
        node = onnx.helper.make_node(name, names, ["o0"], domain=domain)
        node.attribute.extend(onnx.helper.make_attribute(key, attributes[key]) for key in sorted(attributes))
        given = {key: value for key, value in zip(names, inputs, strict=True) if value is not None}
        return self.run_nodes([node], given, {"o0": dtype})[0]

    def run_nodes(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, Array],
        outputs: Mapping[str, str],
        others: Mapping[str, onnx.TypeProto | None] | None = None,
    ) -> list[Array]:
        """The values of `outputs`, names with their element types, that the nodes compute from `inputs`.

        `others` has the types of those inputs and outputs that are no tensors of numbers; None for one without a type.

        Raises:
            SESSION_ERRORS: Neither onnxruntime nor the reference can run them.
        """
        nodes, names = _without_names(nodes)
        special = {names.get(name, name): kind for name, kind in (others or {}).items()}
        renamed = {names.get(name, name): value for name, value in inputs.items()}
        renamed |= {name: np.asarray(value) for name, value in renamed.items() if name not in special}
        graph = onnx.GraphProto(name="nodes", node=nodes)
        sized = any(node.domain == "com.microsoft" for node in nodes)  # some of these load with sizes only
        graph.input.extend(
            onnx.ValueInfoProto(name=name, type=special[name])
            if name in special
            else _value_info(name, value.dtype, list(value.shape) if sized else _extents(value))
            for name, value in renamed.items()
        )
        for name, dtype in outputs.items():
            short = names.get(name, name)
            if short in special:
                graph.output.append(onnx.ValueInfoProto(name=short, type=special[short]))
            else:
                graph.output.append(_value_info(short, element_type(dtype), None))
        model = onnx.ModelProto(ir_version=self._ir_version, opset_import=self._opsets, graph=graph)
        if any((node.domain, node.op_type) in self._functions for node in nodes):
            model.functions.extend(self._functions.values())
        key = model.SerializeToString(deterministic=True)
        if key not in self._runners:
            self._runners[key] = make_node_runner(model)
        return self._runners[key].run(renamed)

    def deviations(self) -> tuple[str, ...]:
        """Why `onnx.reference` ran nodes so far, each reason once, in the order of the first runs."""
        return tuple(dict.fromkeys(runner.reference for runner in self._runners.values() if runner.reference))


def _without_names(nodes: Sequence[onnx.NodeProto]) -> tuple[list[onnx.NodeProto], dict[str, str]]:
    """Copies of the nodes without names, so that equal ones share a session; values of subgraphs keep theirs."""
    copies = []
    names: dict[str, str] = {}
    nested = any(
        attribute.HasField("g") or attribute.graphs for node in nodes for attribute in node.attribute
    )
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for field in ("name", "doc_string", "metadata_props", "device_configurations"):
            copy.ClearField(field)
        if not nested:
            for values in (copy.input, copy.output):
                for index, name in enumerate(values):
                    values[index] = names.setdefault(name, f"v{len(names)}") if name else ""
        copies.append(copy)
    return copies, names


def _extents(value: Array) -> list[int | None]:
    """Ranks are enough for most inputs; a list of whole numbers may be sizes, of which there have to be enough."""
    return list(value.shape) if value.ndim == 1 and value.dtype.kind == "i" else [None] * value.ndim


def _value_info(name: str, dtype: DType, shape: list[int | None] | None) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
