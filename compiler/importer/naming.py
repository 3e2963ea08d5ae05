"""Unique, non-empty names for nodes: fused groups, plans and messages refer to operators by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    import onnx_ir as ir


def name_nodes(model: ir.Model) -> bool:
    """Name every node of every graph, keeping the names that are already unique; says whether any changed.

    A node without a name is called after its operator, a second node of the same name gets a number, both in the
    order of the graph, so the same model always gets the same names. None is called `host`, which is what a plan calls
    the other end of inputs and outputs.
    """
    taken = {HOST} | {node.name for node in all_nodes(model.graph) if node.name}
    seen = {HOST}
    counts: dict[str, int] = {}
    changed = False
    for node in all_nodes(model.graph):
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        stem = node.name or node.op_type
        name = stem
        while name in taken:
            counts[stem] = counts.get(stem, 0) + 1
            name = f"{stem}_{counts[stem]}"
        node.name = name
        taken.add(name)
        seen.add(name)
        changed = True
    return changed
