"""Finds attention in what exporters write it as, and annotates its nodes as one kernel.

The graph stays as it is: each node of an attention carries the metadata `wsec.kernel`, the name of its first node, and
`wsec.kind`, `attention`. The search starts at every softmax: upwards over element-wise operators to the product of query
and key, downwards to the product with the values. Then movements of data and scalings around the products are taken in
as long as the kernel can read its operands through them: transpositions, splits in heads, repeats of the heads of keys.
All values inside have readers inside only, so that merging the group into one kernel cannot make a cycle.

Keys and values that are an output of the model, written into an input of it, are states (docs/states.md): the nodes that write
them join the group that alone reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.kernels.attention import make_attention
from wsec.compiler.kernels.attention_body import read_attention
from wsec.compiler.kernels.attention_states import read_update
from wsec.compiler.kernels.operator_view import Unsplittable
from wsec.compiler.operators import ATTENTION_STEPS, KERNEL_KEY, KIND_KEY
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import only_user

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir

_KIND = "attention"
_ON_SCORES = ATTENTION_STEPS | {"Concat", "Reshape"}
_ON_PROBABILITIES = ATTENTION_STEPS | {"Reshape", "Slice"}
_ON_OPERANDS = ATTENTION_STEPS | {"Expand", "Reshape", "Transpose"}
_BEHIND = frozenset({"Reshape", "Transpose"})


@dataclass(frozen=True)
class FuseAttention(Pass):
    """Annotates product, softmax and product, with masks, sinks and movements of data, as one kernel.

    Attributes:
        step_limit: How many nodes there may be between a product and the softmax.
        movement_limit: How many nodes may be taken in at each operand and at the result.
        states: Whether a KV cache stays in the kernel that reads it.
    """

    name: ClassVar[str] = "fuse-attention"
    step_limit: int = 16
    movement_limit: int = 8
    states: bool = True

    def run(self, model: ir.Model) -> PassResult:
        """Annotate from scratch; the annotations of earlier attentions are replaced."""
        nodes = list(model.graph)
        positions = {node: index for index, node in enumerate(nodes)}
        labels: dict[ir.Node, str] = {}
        for node in nodes:
            if node.domain == "" and node.op_type == "Softmax":
                group = self._group_of(node, _Search(positions, labels))
                labels.update({member: str(group[0].name) for member in group})
        modified = False
        for node in nodes:
            label = labels.get(node)
            known = (node.metadata_props.get(KERNEL_KEY), node.metadata_props.get(KIND_KEY))
            if known == (label, _KIND) or (label is None and known[1] != _KIND):
                continue
            modified = True
            if label is None:
                node.metadata_props.pop(KERNEL_KEY, None)
                del node.metadata_props[KIND_KEY]
            else:
                node.metadata_props[KERNEL_KEY], node.metadata_props[KIND_KEY] = label, _KIND
        return PassResult(modified=modified)

    def _group_of(self, softmax: ir.Node, search: _Search) -> list[ir.Node]:
        """The nodes of the attention around a softmax, in order; none where there is no attention."""
        above = search.up(softmax, self.step_limit)
        below = search.down(softmax, self.step_limit)
        if not above or not below:
            return []
        group = search.ordered([*above, softmax, *below])
        if not _is_attention(group):
            return []
        for node in (above[0], below[-1], *(node for node in above if node.op_type == "Concat")):
            for value in node.inputs:
                group = self._with_operand(group, value, node, search)
        group = self._with_result(group, below[-1].outputs[0], search)
        return _with_states(group, search) if self.states else group

    def _with_operand(
        self, group: list[ir.Node], value: ir.Value | None, reader: ir.Node, search: _Search
    ) -> list[ir.Node]:
        """The group with what brings an operand into form, from the reader upwards."""
        for _ in range(self.movement_limit):
            producer = search.producer(value, reader, _ON_OPERANDS)
            if producer is None or producer in group:
                return group
            larger = search.ordered([*group, producer])
            if not _is_attention(larger):
                return group
            group, reader = larger, producer
            value = max((item for item in producer.inputs if item is not None), key=_size)
        return group

    def _with_result(self, group: list[ir.Node], value: ir.Value, search: _Search) -> list[ir.Node]:
        """The group with what brings the result into form, downwards."""
        for _ in range(self.movement_limit):
            reader = search.reader(value, _BEHIND)
            larger = group if reader is None else search.ordered([*group, reader])
            if reader is None or not _is_attention(larger):
                return group
            group, value = larger, reader.outputs[0]
        return group


@dataclass(frozen=True, slots=True)
class _Search:
    """Walks from node to node where a value has one reader, in the main graph, among nodes that are not taken."""

    positions: dict[ir.Node, int]
    taken: dict[ir.Node, str]

    def ordered(self, nodes: Iterable[ir.Node]) -> list[ir.Node]:
        return sorted(nodes, key=lambda node: self.positions[node])

    def is_free(self, node: ir.Node | None, operators: frozenset[str]) -> bool:
        """Whether a node may become a member, as one of these operators of ai.onnx with one output of known shape."""
        return (
            node is not None
            and node in self.positions
            and node not in self.taken
            and node.domain == ""
            and node.op_type in operators
            and static_shape(node.outputs[0]) is not None
        )

    def producer(self, value: ir.Value | None, reader: ir.Node, operators: frozenset[str]) -> ir.Node | None:
        """The node that makes `value` for this reader alone."""
        node = None if value is None else value.producer()
        if value is None or not self.is_free(node, operators) or only_user(value) is not reader:
            return None
        return node

    def reader(self, value: ir.Value, operators: frozenset[str]) -> ir.Node | None:
        """The only node that reads `value`."""
        node = only_user(value)
        return node if self.is_free(node, operators) else None

    def up(self, node: ir.Node, limit: int) -> list[ir.Node]:
        """The nodes from a product to what `node` reads, in that order; empty where none leads there."""
        if limit < 0:
            return []
        for value in node.inputs:
            producer = self.producer(value, node, _ON_SCORES | {"MatMul"})
            if producer is None:
                continue
            if producer.op_type == "MatMul":
                return [producer]
            path = self.up(producer, limit - 1)
            if path:
                return [*path, producer]
        return []

    def down(self, softmax: ir.Node, limit: int) -> list[ir.Node]:
        """The nodes from behind the softmax to a product with its probabilities on the left; empty for none."""
        value = softmax.outputs[0]
        path: list[ir.Node] = []
        while len(path) <= limit:
            guard = self._guard(value)
            if guard:
                path += guard
                value = guard[-1].outputs[0]
                continue
            node = self.reader(value, _ON_PROBABILITIES | {"MatMul"})
            if node is None:
                return []
            path.append(node)
            if node.op_type == "MatMul":
                return path if node.inputs[0] is value else []
            value = node.outputs[0]
        return []

    def _guard(self, value: ir.Value) -> list[ir.Node]:
        """IsNaN and Where, with which exporters clear rows that attend to nothing."""
        readers = [use.node for use in value.uses()]
        tests = [node for node in readers if self.is_free(node, frozenset({"IsNaN"}))]
        if len(readers) != 2 or len(tests) != 1 or value.is_graph_output():
            return []
        chosen = self.reader(tests[0].outputs[0], frozenset({"Where"}))
        return [tests[0], chosen] if chosen is not None and chosen in readers else []


def _with_states(group: list[ir.Node], search: _Search) -> list[ir.Node]:
    """The group with the updates of its keys and values; of both, as one kernel keeps them, or of neither."""
    body = read_attention(group)
    held = [item.value for item in (body.key, body.value) if item is not None]
    updates = [update for value in held if (update := read_update(value.producer())) is not None]
    nodes = [node for update in updates for node in update.nodes]
    free = all(search.is_free(node, frozenset({"MatMul", "Where"})) for node in nodes)
    alone = all(_only_in(update.present, group) for update in updates)
    larger = search.ordered([*group, *nodes])
    return larger if len(updates) == 2 and free and alone and _is_attention(larger) else group


def _only_in(value: ir.Value, group: list[ir.Node]) -> bool:
    """Whether no node outside the group reads the value."""
    return all(use.node in group for use in value.uses())


def _is_attention(nodes: list[ir.Node]) -> bool:
    if any(value is not None and static_shape(value) is None for node in nodes for value in node.inputs):
        return False
    try:
        make_attention(nodes)
    except Unsplittable:
        return False
    return True


def _size(value: ir.Value) -> int:
    size = 1
    for extent in static_shape(value) or ():
        size *= extent
    return size
