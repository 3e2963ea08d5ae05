"""The arithmetic in bodies of If, Loop and Scan, which a node that stays whole does on its one core.

A branch counts as the costlier of the two; a step as often as the loop takes it, and once where only the data say how
often. Of an operator that has a kernel, the loop nest says what it costs; of any other each element counts once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.chain import make_elementwise
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable
from wsec.compiler.kernels.registry import loop_nest_of
from wsec.compiler.operators import is_elementwise

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class BodyWork:
    """Operations, divisions and transcendental functions, as `Work` has them, of all points together."""

    operations: float = 0
    divisions: float = 0
    transcendentals: float = 0

    def times(self, count: int) -> BodyWork:
        """The same so often."""
        return BodyWork(self.operations * count, self.divisions * count, self.transcendentals * count)


def body_work(node: ir.Node) -> BodyWork:
    """What one run of the bodies of a node costs; nothing where it has none."""
    if node.domain != "" or node.op_type not in {"If", "Loop", "Scan"}:
        return BodyWork()
    if node.op_type == "If":
        branches = [_total(node.attributes[name].as_graph()) for name in ("then_branch", "else_branch")]
        return max(branches, key=lambda work: (work.operations, work.divisions, work.transcendentals))
    return _total(node.attributes["body"].as_graph()).times(known_steps(node))


def known_steps(node: ir.Node) -> int:
    """Steps of a Loop or Scan, at most; 1 where the data decide, and for every other node."""
    if node.domain != "" or node.op_type not in {"Loop", "Scan"}:
        return 1
    if node.op_type == "Loop":
        trips = node.inputs[0].const_value if node.inputs[0] is not None else None
        return max(0, int(trips.numpy().reshape(()))) if trips is not None and trips.size == 1 else 1
    axes = node.attributes["scan_input_axes"].as_ints() if "scan_input_axes" in node.attributes else [0]
    source = node.inputs[-1]
    extent = source.shape[axes[-1]] if source is not None and source.shape is not None else 1
    return extent if isinstance(extent, int) else 1


def _total(graph: ir.Graph) -> BodyWork:
    return _sum(work for node in graph for work in (_own_work(node), body_work(node)))


def _sum(works: Iterable[BodyWork]) -> BodyWork:
    found = list(works)
    return BodyWork(
        sum(work.operations for work in found),
        sum(work.divisions for work in found),
        sum(work.transcendentals for work in found),
    )


def _own_work(node: ir.Node) -> BodyWork:
    """Of one operator; shapes that a body leaves open count as one element for each open dimension."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    if all(
        value.shape is not None and value.shape.is_static() and value.dtype is not None for value in values
    ):
        try:
            chain = is_elementwise(node.domain, node.op_type)
            nest = make_elementwise([node]) if chain else loop_nest_of(OperatorView(node))
        except Unsplittable:
            pass  # each element counts once
        else:
            return _sum(
                BodyWork(work.operations, work.divisions, work.transcendentals).times(nest.points(work))
                for work in nest.works()
            )
    return BodyWork(sum(_elements(value) for value in node.outputs))


def _elements(value: ir.Value) -> int:
    return math.prod(extent for extent in value.shape or () if isinstance(extent, int))
