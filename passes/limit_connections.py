"""Bounds the tensors that come to a kernel and leave it: a core binds a queue to each (docs/fabric.md).

Wide concatenations and sums become trees. A value with many readers goes on from an Identity, which the later readers take it from. It
stands in front of the first of them: kernels are laid out in the order of the graph, so that what passes a value on to a layer lies
beside that layer. Kernels are the groups that earlier passes have made; they stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import KERNEL_KEY, KIND_KEY, is_elementwise
from wsec.passes.base import Pass, PassResult
from wsec.passes.remove_identities import PASSED_ON_KEY
from wsec.passes.rewriting import Rewriter, constant_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnx_ir as ir

MOST_INPUTS = 6
MOST_OUTPUTS = 5
_ASSOCIATIVE = ("Max", "Min", "Sum")


@dataclass(frozen=True)
class LimitConnections(Pass):
    """Splits operators that read many tensors, and passes values on that many kernels read.

    Attributes:
        inputs: Activations that a kernel may read: by default the input queues of the smallest shipped target, less two.
        outputs: Links that may leave a kernel: its output queues, less one.
    """

    name: ClassVar[str] = "limit-connections"
    inputs: int = MOST_INPUTS
    outputs: int = MOST_OUTPUTS

    def run(self, model: ir.Model) -> PassResult:
        """Every operator of the main graph, then every value of it."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("Concat", *_ASSOCIATIVE):
            if KIND_KEY not in node.metadata_props:
                self._narrow(rewriter, node)
        nodes = rewriter.nodes()
        order = _Order({node: index for index, node in enumerate(nodes)}, _first_of_kernels(nodes))
        for node in nodes:
            used = [value for value in node.outputs if value.uses() or value.is_graph_output()]
            for value in used:
                self._pass_on(rewriter, value, max(1, self.outputs // len(used)), order)
        return PassResult(modified=rewriter.modified)

    def _narrow(self, rewriter: Rewriter, node: ir.Node) -> None:
        """Let other nodes of its kind take some inputs each, until few enough are left."""
        own = [value for value in node.inputs if _is_made_in(value, _kernel_of(node))]
        inputs = [value for value in node.inputs if value not in own]
        room = self.inputs - len(own)
        while room > 0 and sum(constant_of(value) is None for value in inputs) > room:
            parts = [inputs[start : start + self.inputs] for start in range(0, len(inputs), self.inputs)]
            shapes = [_merged_shape(node, part) for part in parts]
            merged = [
                part[0] if len(part) == 1 else _merge(rewriter, node, part, shape)
                for part, shape in zip(parts, shapes, strict=True)
                if shape is not None
            ]
            if len(merged) < len(parts) or len(merged) == len(inputs):
                return
            inputs = merged
        if len(own) + len(inputs) < len(node.inputs):
            attributes = {name: attribute.value for name, attribute in node.attributes.items()}
            rewriter.become(node, node.op_type, [*own, *inputs], attributes)

    def _pass_on(self, rewriter: Rewriter, value: ir.Value, most: int, order: _Order) -> None:
        """Let an Identity bring the value to the later readers where there are too many."""
        shape, producer = static_shape(value), value.producer()
        made_at = -1 if producer is None else order.positions[producer]
        while shape is not None and producer is not None:
            readers = [use for use in value.uses() if use.node in order.positions]
            readers.sort(key=lambda use: order.positions[use.node])
            outside = int(value.is_graph_output() or len(readers) < len(value.uses()))
            links = _links(use.node for use in readers)
            if sum(links.values()) + outside <= most:
                return
            kept: dict[str, int] = {}
            for kernel, count in links.items():
                if sum(kept.values()) + count + outside >= most:
                    break
                kept[kernel] = count
            later = [use for use in readers if _kernel_of(use.node) not in kept]
            if not kept and len(links) == 1:
                return  # one kernel reads it more often than it may leave another
            reader = order.beginning(later[0].node, made_at) if later else None
            if reader is None:
                copy = rewriter.insert_after(producer, "Identity", [value], shape=shape, role="passed_on")
            else:
                made_at = order.positions[reader] - 1
                copy = rewriter.insert_before(
                    reader, "Identity", [value], shape=shape, role="passed_on", dtype=value.dtype
                )
            made_by = copy.producer()
            if made_by is not None:
                made_by.metadata_props[PASSED_ON_KEY] = "readers"
            if value.dtype is not None:
                copy.dtype = value.dtype
            for use in later:
                use.node.replace_input_with(use.idx, copy)
            value, producer, most = copy, made_by, self.outputs


@dataclass(frozen=True, slots=True)
class _Order:
    """The places of the nodes that were there before the pass, and the first node of each kernel."""

    positions: dict[ir.Node, int]
    first: dict[str, ir.Node]

    def beginning(self, reader: ir.Node, behind: int) -> ir.Node:
        """The first node of the reader's kernel; the reader itself where that stands at the position `behind` or in front of it."""
        first = self.first[_kernel_of(reader)]
        return first if self.positions[first] > behind else reader


def _first_of_kernels(nodes: Sequence[ir.Node]) -> dict[str, ir.Node]:
    found: dict[str, ir.Node] = {}
    for node in nodes:
        found.setdefault(_kernel_of(node), node)
    return found


def _kernel_of(node: ir.Node) -> str:
    return node.metadata_props.get(KERNEL_KEY) or str(node.name)


def _is_made_in(value: ir.Value | None, kernel: str) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and _kernel_of(producer) == kernel


def _merge(
    rewriter: Rewriter, node: ir.Node, part: Sequence[ir.Value | None], shape: tuple[int, ...]
) -> ir.Value:
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    return rewriter.insert_before(
        node, node.op_type, part, shape=shape, role="part", attributes=attributes, dtype=node.outputs[0].dtype
    )


def _merged_shape(node: ir.Node, part: Sequence[ir.Value | None]) -> tuple[int, ...] | None:
    """The shape of what a node like this makes of some of its inputs."""
    shapes = [None if value is None else static_shape(value) for value in part]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(part):
        return None
    if node.op_type != "Concat":
        return tuple(np.broadcast_shapes(*known))
    axis = node.attributes["axis"].as_int() % len(known[0])
    return tuple(
        sum(shape[index] for shape in known) if index == axis else extent
        for index, extent in enumerate(known[0])
    )


def _links(readers: Iterable[ir.Node]) -> dict[str, int]:
    """How many links bring a value to each kernel, in the order of its readers: one to all element-wise operators of a chain."""
    found: dict[str, int] = {}
    chains: set[str] = set()
    for node in readers:
        kernel = _kernel_of(node)
        if is_elementwise(node.domain, node.op_type):
            if kernel in chains:
                continue
            chains.add(kernel)
        found[kernel] = found.get(kernel, 0) + 1
    return found
