"""Chains that keep kernels apart which could take one turn: of two products of the same vector one waits for the other.

A gated feed-forward is the case: the chain of one product multiplies with the result of the other. Behind both, as a kernel of its own,
it costs a step; in front of one of them it would cost an all-reduce.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from wsec.compiler.operators import KERNEL_KEY, is_elementwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

_PRODUCTS = frozenset({"MatMul", "Gemm"})


@contextmanager
def chains_behind_siblings(model: ir.Model) -> Iterator[None]:
    """While open, chains that read a sibling's result are kernels of their own; then the labels are as before."""
    changed = _waiting_nodes(model.graph)
    before = [node.metadata_props.get(KERNEL_KEY) for node in changed]
    for node in changed:
        node.metadata_props[KERNEL_KEY] = f"{node.name} behind its siblings"
    try:
        yield
    finally:
        for node, label in zip(changed, before, strict=True):
            if label is None:
                del node.metadata_props[KERNEL_KEY]
            else:
                node.metadata_props[KERNEL_KEY] = label


def _waiting_nodes(graph: ir.Graph) -> list[ir.Node]:
    """From the first node on that reads a sibling's result, the nodes of each chain."""
    groups: dict[str, list[ir.Node]] = {}
    for node in graph:
        groups.setdefault(node.metadata_props.get(KERNEL_KEY) or node.name or "", []).append(node)
    label_of = {id(node): label for label, nodes in groups.items() for node in nodes}
    vector = {label: _vector(nodes[0]) for label, nodes in groups.items()}
    waiting: list[ir.Node] = []
    for label, nodes in groups.items():
        if vector[label] is None:
            continue
        for position, node in enumerate(nodes[1:], start=1):
            makers = [value.producer() for value in node.inputs if value is not None]
            others = {label_of.get(id(maker)) for maker in makers if maker is not None} - {label}
            if any(other is not None and vector.get(other) == vector[label] for other in others):
                waiting += nodes[position:]
                break
    return waiting


def _vector(node: ir.Node) -> str | None:
    """The activation that a product with a weight reads; None for any other node."""
    if node.op_type not in _PRODUCTS or is_elementwise(node.domain, node.op_type) or len(node.inputs) < 2:
        return None
    first, second = node.inputs[0], node.inputs[1]
    if first is None or second is None or first.is_initializer() or not second.is_initializer():
        return None
    return first.name
