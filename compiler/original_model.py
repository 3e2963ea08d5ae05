"""A model file as other runtimes take it: nodes in an order that can be run, and none of the name of another.

onnxruntime refuses both a graph that is not sorted and two nodes of one name, of which neither changes what the model
computes, and does not survive a division that `guarded_division` keeps from it. The file stays as it is: what is mended is a copy in memory, whose weights are still read from beside the file.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import onnx

from wsec.compiler.guarded_division import guard_divisions
from wsec.compiler.onnxruntime_session import LOOP_SECONDS, make_session

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence, Sequence
    from pathlib import Path

    import onnxruntime as ort


def original_session(path: Path) -> tuple[ort.InferenceSession, float | None]:
    """A session on the model as the user gave it, and the seconds that a run may take: None where it has no loops.

    Raises:
        SESSION_ERRORS: onnxruntime cannot load the model.
    """
    proto = onnx.load(path, load_external_data=False)
    limit = LOOP_SECONDS if has_loops(proto.graph) else None
    if sort_nodes(proto) | _forget_doubled_names(proto) | guard_divisions(proto):
        return make_session(proto.SerializeToString(), weights_folder=path.parent), limit
    return make_session(path), limit


def sort_nodes(proto: onnx.ModelProto) -> bool:
    """Bring the nodes of graphs, bodies and functions into topological order, in place; says whether any had to move.

    Nodes that can stay where they are do. A graph with a cycle has no such order, and stays as it is.
    """
    scopes = [proto.graph.node, *(function.node for function in proto.functions)]
    bodies = [body.node for scope in scopes for node in scope for body in _all_bodies(node)]
    moved = [_sort(nodes) for nodes in (*bodies, *scopes)]
    return any(moved)


def has_loops(graph: onnx.GraphProto) -> bool:
    """Whether a Loop is in the graph or in one of its bodies, or may be in a function."""
    return any(
        node.op_type == "Loop" or node.domain not in {"", "ai.onnx"}
        for outer in graph.node
        for node in (outer, *(inner for body in _all_bodies(outer) for inner in body.node))
    )


def _sort(nodes: MutableSequence[onnx.NodeProto]) -> bool:
    maker: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            maker.setdefault(name, index)
    maker.pop("", None)
    waits = [sorted({maker[name] for name in _reads(node) if name in maker}) for node in nodes]
    if all(not needed or needed[-1] < index for index, needed in enumerate(waits)):
        return False
    order = _topological(waits)
    if len(order) < len(nodes):
        return False
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del nodes[:]
    nodes.extend(copies[index] for index in order)
    return True


def _topological(waits: Sequence[Sequence[int]]) -> list[int]:
    """The first order in which each stands behind all it waits for; shorter where some wait for each other."""
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(waits):
        for other in needed:
            readers.setdefault(other, []).append(index)
    missing = [len(needed) for needed in waits]
    ready = [index for index, count in enumerate(missing) if not count]
    heapify(ready)
    order = []
    while ready:
        order.append(heappop(ready))
        for reader in readers.get(order[-1], ()):
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)
    return order


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those that its bodies read from around it among them."""
    yield from node.input
    for body in _all_bodies(node):
        for inner in body.node:
            yield from inner.input
        yield from (value.name for value in body.output)


def _all_bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield body
            for inner in body.node:
                yield from _all_bodies(inner)


def _forget_doubled_names(proto: onnx.ModelProto) -> bool:
    """Nodes need no name: the second of one name loses it."""
    seen: set[str] = set()
    doubled = False
    outer = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    inner = (node for holder in outer for body in _all_bodies(holder) for node in body.node)
    for node in (*outer, *inner):
        if node.name and node.name in seen:
            node.name = ""
            doubled = True
        seen.add(node.name)
    return doubled
