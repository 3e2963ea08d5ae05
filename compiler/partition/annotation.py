"""Decides for every operator of the lowered model where it runs, and writes it on the nodes.

On the host runs what cores cannot hold: strings, sequences, optionals, and tensors whose shape the data decide. On the
wafer runs all other arithmetic. What is left (moving data, casts, arithmetic of whole numbers and truth values, which is
that of shapes and indices) goes where it makes the fewest crossings.

The annotation is metadata, like that of fused groups: the model stays standard ONNX. Operators of one kernel stay
together; a group with an operator that must run on the host is dissolved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.core_types import CORE_TYPES, container_of, why_not_on_cores
from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.kernels.operator_view import item_bytes
from wsec.compiler.kernels.unsplit import captured_values
from wsec.compiler.operators import DATA_MOVEMENT, HOST_KEY, KERNEL_KEY, KIND_KEY, is_elementwise
from wsec.compiler.partition.cut import OUTSIDE, Net, Side, fewest_crossings
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import onnx_ir as ir

_MOVES = DATA_MOVEMENT | {
    "Cast", "CastLike", "ConstantOfShape", "DepthToSpace", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Range", "Shape", "Size", "SpaceToDepth", "Split", "Squeeze", "Tile", "Unsqueeze",
}  # fmt: skip
_FEWER_CROSSINGS = "fewer tensors cross between host and wafer"


def is_on_host(node: ir.Node) -> bool:
    """Whether the node was given to the host."""
    return HOST_KEY in node.metadata_props


def host_reason(node: ir.Node) -> str:
    """Why the node runs on the host."""
    return node.metadata_props[HOST_KEY]


def partition_model(model: ir.Model) -> bool:
    """Annotate the nodes that run on the host; says whether there are any. Linear in nodes but for the cut."""
    reasons = {}
    for node in model.graph:
        node.metadata_props.pop(HOST_KEY, None)
        if reason := _why_on_host(node):
            reasons[node] = reason
    if not reasons:
        return False
    _dissolve_groups(model.graph, reasons)
    units = _units(model.graph)
    forced = [_forced_side(unit, reasons) for unit in units]
    for unit, side in zip(units, fewest_crossings(forced, _nets(model.graph, units)), strict=True):
        if side is Side.HOST:
            for node in unit:
                node.metadata_props[HOST_KEY] = reasons.get(node, _FEWER_CROSSINGS)
    return True


def _why_on_host(node: ir.Node) -> str:
    """Why cores cannot run the node; empty where they can."""
    values = [*(value for value in node.inputs if value is not None), *captured_values(node), *node.outputs]
    reasons = (why_not_on_cores(value) for value in values if value.name)
    return next(filter(None, (*reasons, *_reasons_of_bodies(node))), "")


def _reasons_of_bodies(node: ir.Node) -> Iterator[str]:
    """Bodies are run whole with their node, so that types count but no shapes."""
    for attribute in node.attributes.values():
        graphs = {"GRAPH": [attribute.value], "GRAPHS": attribute.value}.get(attribute.type.name, [])
        for graph in graphs:
            values = [*graph.inputs, *(value for inside in all_nodes(graph) for value in inside.outputs)]
            for value in values:
                if value.dtype is not None and value.dtype not in CORE_TYPES:
                    yield f"its body has {value.name} of element type {value.dtype.name.lower()}"
                elif value.type is not None and container_of(value) != "tensor":
                    yield f"its body has {value.name} of type {container_of(value)}"


def _dissolve_groups(graph: ir.Graph, reasons: Mapping[ir.Node, str]) -> None:
    torn = {node.metadata_props[KERNEL_KEY] for node in reasons if KERNEL_KEY in node.metadata_props}
    for node in graph:
        if node.metadata_props.get(KERNEL_KEY) in torn:
            del node.metadata_props[KERNEL_KEY]
            node.metadata_props.pop(KIND_KEY, None)


def _units(graph: ir.Graph) -> list[list[ir.Node]]:
    """Nodes that are on one side: those of one kernel."""
    units: dict[object, list[ir.Node]] = {}
    for node in graph:
        units.setdefault(node.metadata_props.get(KERNEL_KEY, node), []).append(node)
    return list(units.values())


def _forced_side(unit: Sequence[ir.Node], reasons: Mapping[ir.Node, str]) -> Side | None:
    if any(node in reasons for node in unit):
        return Side.HOST
    return None if all(_is_light(node) for node in unit) else Side.WAFER


def _is_light(node: ir.Node) -> bool:
    """Whether the node is no work for a kernel: it moves data, or computes with whole numbers, truths or one element."""
    if node.domain == "" and node.op_type in _MOVES:
        return True
    if not is_elementwise(node.domain, node.op_type):
        return False
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    return all(_is_integral(value) for value in values) or all(_elements(value) == 1 for value in values)


def _is_integral(value: ir.Value) -> bool:
    return value.dtype is not None and not value.dtype.is_floating_point()


def _elements(value: ir.Value) -> int:
    return math.prod(static_shape(value) or ())


def _nets(graph: ir.Graph, units: Sequence[Sequence[ir.Node]]) -> list[Net]:
    """The tensors between units, inputs and outputs of the model included; weights are on both sides."""
    readers: dict[ir.Value, dict[int, None]] = {
        value: {} for value in graph.inputs if not value.is_initializer()
    }
    sources = dict.fromkeys(readers, OUTSIDE)
    for index, unit in enumerate(units):
        for node in unit:
            sources.update(dict.fromkeys(node.outputs, index))
            readers.update((value, {}) for value in node.outputs)
    for index, unit in enumerate(units):
        for node in unit:
            for value in (*node.inputs, *captured_values(node)):
                if value in readers and sources[value] != index:
                    readers[value][index] = None
    for value in graph.outputs:
        if value in readers:
            readers[value][OUTSIDE] = None
    return [Net(sources[value], tuple(found), _words(value)) for value, found in readers.items() if found]


def _words(value: ir.Value) -> int:
    """Words of 32 bits; one for what stays on the host anyway, as cores cannot hold it."""
    if why_not_on_cores(value):
        return 1
    return math.ceil(math.prod(static_shape(value) or ()) * item_bytes(value) / 4)
