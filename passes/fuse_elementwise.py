"""Groups an operator with the element-wise operators behind it, as an annotation.

The graph stays standard ONNX: each node of a group carries the metadata `wsec.kernel`, the name of the group, which is
that of its first node. A group has at most one operator that is not element-wise, its first; one value leaves it, the
output of its last node; all its nodes have outputs of the same shape. Operands from outside are of any shape that
broadcasts to it. Since only the last value leaves, merging a group into one kernel cannot make a cycle.

Grown greedily in the order of the graph: from a value, readers are taken in until a single value is open again, which
admits branches such as x * sigmoid(x). The search is bounded, so the pass is linear in the nodes.

Nodes that another pass has made one kernel (`wsec.kind`) stay together: a chain may grow behind the last of them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.kernels.custom import custom_kinds
from wsec.compiler.kernels.operator_view import OperatorView
from wsec.compiler.operators import ANCHORS, CONTRIBUTED_ANCHORS, KERNEL_KEY, KIND_KEY, is_elementwise
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import constant_of

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class FuseElementwise(Pass):
    """Annotates chains of element-wise operators, and those behind an operator, as one kernel.

    Attributes:
        branch_limit: How many nodes a branch may have before it closes again.
        group_limit: How many nodes a group may have.
        input_limit: How many activations a group may read once it has taken in others: a core has a queue for each.
    """

    name: ClassVar[str] = "fuse-elementwise"
    branch_limit: int = 16
    group_limit: int = 64
    input_limit: int = 6

    def run(self, model: ir.Model) -> PassResult:
        """Annotate from scratch; earlier annotations are replaced, but for nodes that `wsec.kind` keeps together."""
        nodes = list(model.graph)
        positions = {node: index for index, node in enumerate(nodes)}
        member_of = {
            node: node.metadata_props[KERNEL_KEY] for node in nodes if KIND_KEY in node.metadata_props
        }
        last = {label: node for node, label in member_of.items()}
        for node in _by_start(nodes):
            made = member_of.get(node)
            if not (_may_start(node) if made is None else last.get(made) is node):
                continue
            group = self._grow(node, positions, member_of)
            if len(group) > 1:
                member_of.update(dict.fromkeys(group, made or str(node.name)))
        modified = False
        for node in nodes:
            label = member_of.get(node)
            if node.metadata_props.get(KERNEL_KEY) == label:
                continue
            modified = True
            if label is None:
                del node.metadata_props[KERNEL_KEY]
            else:
                node.metadata_props[KERNEL_KEY] = label
        return PassResult(modified=modified)

    def _grow(
        self, start: ir.Node, positions: dict[ir.Node, int], taken: dict[ir.Node, str]
    ) -> list[ir.Node]:
        group = [start]
        while len(group) < self.group_limit:
            budget = min(self.branch_limit, self.group_limit - len(group))
            extension = _extension(group[-1].outputs[0], positions, taken, budget)
            if not extension or _activations([*group, *extension]) > self.input_limit:
                break
            group += extension
        return group


def _by_start(nodes: list[ir.Node]) -> list[ir.Node]:
    """Operators with a kernel of their own first, last ones foremost; then chains, in order.

    Where two could take in the same reader (the sum of two branches), the later operator gets it: the other branch is
    then complete, and waits in memory rather than in a kernel.
    """
    anchors = [node for node in nodes if not is_elementwise(node.domain, node.op_type)]
    chains = [node for node in nodes if is_elementwise(node.domain, node.op_type)]
    return anchors[::-1] + chains


def _may_start(node: ir.Node) -> bool:
    if static_shape(node.outputs[0]) is None or any(
        value.uses() or value.is_graph_output() for value in node.outputs[1:]
    ):
        return False
    if is_elementwise(node.domain, node.op_type) or (node.domain == "" and node.op_type in ANCHORS):
        return True
    if (node.domain, node.op_type) in CONTRIBUTED_ANCHORS:
        return True
    return OperatorView(node).qualified_name in custom_kinds()


def _activations(group: list[ir.Node]) -> int:
    """Activations that a group reads: of its first operator each operand, of all others each value once."""
    made = {value for node in group for value in node.outputs}
    first = [value for value in group[0].inputs if value is not None and constant_of(value) is None]
    rest = {
        value
        for node in group[1:]
        for value in node.inputs
        if value is not None and value not in made and constant_of(value) is None
    }
    return len(first) + len(rest)


class _Frontier:
    """Values that a growing group has computed and whose readers are not all in it yet."""

    def __init__(self, shape: tuple[int, ...], positions: dict[ir.Node, int]) -> None:
        self.open_uses: dict[ir.Value, int] = {}
        self._shape = shape
        self._positions = positions
        self._queue: list[tuple[int, ir.Node]] = []
        self._queued: set[ir.Node] = set()

    def publish(self, value: ir.Value) -> bool:
        """Queue the readers of a value; False where it cannot stay inside a group."""
        readers = [use.node for use in value.uses()]
        if value.is_graph_output() or not readers or static_shape(value) != self._shape:
            return False
        if any(reader not in self._positions for reader in readers):
            return False  # read inside the body of a control-flow operator
        self.open_uses[value] = len(readers)
        for reader in readers:
            if reader not in self._queued:
                self._queued.add(reader)
                heapq.heappush(self._queue, (self._positions[reader], reader))
        return True

    def take(self) -> ir.Node | None:
        """The first reader in the order of the graph, whose operands are hereby read."""
        if not self._queue:
            return None
        _, node = heapq.heappop(self._queue)
        for operand in node.inputs:
            if operand in self.open_uses:
                self.open_uses[operand] -= 1
                if not self.open_uses[operand]:
                    del self.open_uses[operand]
        return node


def _extension(
    value: ir.Value, positions: dict[ir.Node, int], taken: dict[ir.Node, str], budget: int
) -> list[ir.Node]:
    """The fewest readers of `value`, and of what they compute, after which only one value is open; else nothing."""
    shape = static_shape(value)
    if shape is None:
        return []
    frontier = _Frontier(shape, positions)
    extension: list[ir.Node] = []
    output = value
    while len(extension) < budget and frontier.publish(output):
        node = frontier.take()
        if node is None or node in taken or not is_elementwise(node.domain, node.op_type):
            return []
        output = node.outputs[0]
        if static_shape(output) != shape:
            return []
        extension.append(node)
        if not frontier.open_uses:
            return extension
    return []
