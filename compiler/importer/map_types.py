"""Maps, which classifiers of ai.onnx.ml give: onnx_ir has no word for their type, so that they are read without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def forget_map_types(graph: onnx.GraphProto) -> None:
    """Take the type off all values of a graph, and of graphs inside it, that are maps or sequences of them."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if is_of_maps(value.type):
            value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                forget_map_types(attribute.g)
            for inner in attribute.graphs:
                forget_map_types(inner)


def is_of_maps(kind: onnx.TypeProto) -> bool:
    """Whether a type is a map, or a container of maps."""
    if kind.HasField("sequence_type"):
        return is_of_maps(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return is_of_maps(kind.optional_type.elem_type)
    return bool(kind.HasField("map_type"))
