"""The kernel graph: the lowered model's operators grouped into kernels, and the tensors that go between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.attention import make_attention
from wsec.compiler.kernels.chain import make_elementwise, with_chain
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, item_bytes, shape_of
from wsec.compiler.kernels.registry import loop_nest_of
from wsec.compiler.kernels.unsplit import captured_values, make_unsplit
from wsec.compiler.operators import ANCHORS, HOST_KEY, KERNEL_KEY, KIND_KEY, WEIGHTS_KIND, is_elementwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.kernels.loop_nest import LoopNest

HOST_INDEX = -1
FULL_PIPELINE = 1 << 20  # more samples than any pipeline has stages


@dataclass(frozen=True, slots=True)
class GraphLink:
    """A tensor between two kernels by index, or to or from the host (`HOST_INDEX`)."""

    tensor: str
    source: int
    target: int
    role: str
    words: int


@dataclass(frozen=True, slots=True)
class KernelGraph:
    """Kernels in topological order, links in the order of their consumers, and each kernel's pipeline stage.

    `samples` is the most that a link or result holds.
    """

    nests: tuple[LoopNest, ...]
    links: tuple[GraphLink, ...]
    stages: tuple[int, ...]
    samples: int

    def with_collective(self, algorithm: str) -> KernelGraph:
        """The same kernels, whose collectives shall have this algorithm."""
        return replace(self, nests=tuple(replace(nest, collective=algorithm) for nest in self.nests))


def build_kernel_graph(
    model: ir.Model, word_bytes: int, samples: int = FULL_PIPELINE, unsplit: frozenset[str] = frozenset()
) -> KernelGraph:
    """The kernels of a lowered model and the links between them.

    Args:
        model: After the passes.
        word_bytes: Bytes of a word of the fabric.
        samples: The most samples that a link or a result may hold; fewer need less memory and make kernels wait.
        unsplit: Names of nodes that are not cut, as their parts fit no core.

    Raises:
        WsecError: WSEC117 no operator is left, for the wafer or the host.
    """
    nests = [nest for group in _groups(model.graph) for nest in _nests_of(group, unsplit)]
    on_host = [node for node in model.graph if HOST_KEY in node.metadata_props]
    if not nests and not on_host:
        raise _nothing_to_compute(model)
    producer = {operand.tensor: index for index, nest in enumerate(nests) for operand in nest.outputs}
    updates = {operand.tensor for nest in nests for operand in nest.outputs if operand.state}
    values = {value.name or "": value for value in _values(model.graph)}
    links = []
    for index, nest in enumerate(nests):
        for operand in nest.inputs:
            if not operand.resident:
                source = producer.get(operand.tensor, HOST_INDEX)
                words = _words(values[operand.tensor], word_bytes)
                links.append(GraphLink(operand.tensor, source, index, operand.role, words))
    stages = _stages(model.graph, nests, on_host)
    wanted = [
        value for node in on_host for value in (*node.inputs, *captured_values(node)) if value is not None
    ]
    for value in dict.fromkeys(
        (*wanted, *model.graph.outputs)
    ):  # one link brings it, however many read it there
        if value.name in producer and value.name not in updates:
            words = _words(value, word_bytes)
            links.append(GraphLink(value.name, producer[value.name], HOST_INDEX, "", words))
    return KernelGraph(with_links(nests, links, stages, samples), tuple(links), stages, samples)


def _nothing_to_compute(model: ir.Model) -> WsecError:
    outputs = ", ".join(str(value.name) for value in model.graph.outputs)
    return WsecError(
        "WSEC117",
        "the model computes nothing",
        where=f"outputs {outputs}" if outputs else "the model has no outputs",
        expected="an output that an operator computes from the inputs",
        found="inputs and constants only" if outputs else "no operator that an output needs",
        hint="check that the model was exported with the inputs and outputs that you mean",
    )


def with_links(
    nests: Sequence[LoopNest], links: Sequence[GraphLink], stages: tuple[int, ...], samples: int
) -> tuple[LoopNest, ...]:
    """The same kernels, each with the samples that it holds and the words that go in and out of it."""
    slots: list[dict[str, int]] = [{} for _ in nests]
    words_in, words_out = [0] * len(nests), [0] * len(nests)
    for link in links:
        if link.target != HOST_INDEX:
            slots[link.target][link.role] = slots_of(link, stages, samples)
            words_in[link.target] += link.words
        if link.source != HOST_INDEX:
            words_out[link.source] += link.words
    return tuple(
        nest.with_links(held, min(2, samples), words)
        for nest, held, words in zip(nests, slots, zip(words_in, words_out, strict=True), strict=True)
    )


def slots_of(link: GraphLink, stages: tuple[int, ...], samples: int) -> int:
    """Samples of the tensor that its consumer holds.

    One that comes in while another is worked on, and three for every two stages that a link skips: a stage takes an
    interval, and the transfers between stages take a part of one. The host sends each tensor when it is due.
    """
    if HOST_INDEX in (link.source, link.target):
        return min(2, samples)
    skipped = stages[link.target] - stages[link.source]
    return min(skipped + 1 + skipped // 2, samples)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]


def _words(value: ir.Value, word_bytes: int) -> int:
    return -(-math.prod(shape_of(value)) * item_bytes(value) // word_bytes)


def _groups(graph: ir.Graph) -> list[list[ir.Node]]:
    """Nodes that run in one kernel, ordered by their last node: all a kernel needs is produced before it."""
    groups: dict[str, list[ir.Node]] = {}
    last: dict[str, int] = {}
    for position, node in enumerate(graph):
        if HOST_KEY in node.metadata_props:
            continue
        label = node.metadata_props.get(KERNEL_KEY) or node.name or ""
        groups.setdefault(label, []).append(node)
        last[label] = position
    return [groups[label] for label in sorted(groups, key=lambda label: last[label])]


def _nests_of(group: list[ir.Node], unsplit: frozenset[str]) -> list[LoopNest]:
    """The kernels of a group."""
    own = [node for node in group if node.metadata_props.get(KIND_KEY) == "attention"]
    if own:
        return _attention_nests(own, [node for node in group if node not in own], unsplit)
    weights = [node for node in group if node.metadata_props.get(KIND_KEY) == WEIGHTS_KIND]
    nests = _anchored_nests([node for node in group if node not in weights], unsplit)
    apart = [node for node in weights if node.name not in nests[0].operators]
    return [*(nest for node in apart for nest in _anchored_nests([node], unsplit)), *nests]


def _anchored_nests(group: list[ir.Node], unsplit: frozenset[str]) -> list[LoopNest]:
    """One kernel for a group; where its first operator cannot be cut, that one is unsplit and the rest a chain."""
    first, rest = group[0], group[1:]
    if is_elementwise(first.domain, first.op_type):
        try:
            return [make_elementwise(group)]
        except Unsplittable as reason:
            return [make_unsplit(OperatorView(node), str(reason)) for node in group]
    why = "its parts fit no core"
    if first.name not in unsplit:
        try:
            return [with_chain(loop_nest_of(OperatorView(first)), first.outputs[0], rest)]
        except Unsplittable as refusal:
            why = str(refusal)
    alone = make_unsplit(OperatorView(first), why)
    return [alone, *_anchored_nests(rest, unsplit)] if rest else [alone]


def _attention_nests(own: list[ir.Node], rest: list[ir.Node], unsplit: frozenset[str]) -> list[LoopNest]:
    """One kernel for an attention and the chain behind it; a kernel for each of its operators where there is none."""
    if own[0].name not in unsplit:
        try:
            nest = make_attention(own)
            return [with_chain(nest, own[-1].outputs[0], rest)]
        except Unsplittable:
            pass  # not one, or its operands lie in a way that the kernel cannot read: a kernel for each operator
    refused = unsplit - {own[0].name or ""}
    return [nest for group in _chained([*own, *rest]) for nest in _anchored_nests(group, refused)]


def _chained(nodes: list[ir.Node]) -> list[list[ir.Node]]:
    """Each operator with the element-wise ones behind it that alone read its result, in its shape."""
    groups: list[list[ir.Node]] = []
    for node in nodes:
        before = groups[-1][-1].outputs[0] if groups else None
        joins = (
            before is not None
            and is_elementwise(node.domain, node.op_type)
            and [use.node for use in before.uses()] == [node]
            and shape_of(before) == shape_of(node.outputs[0])
        )
        if joins and _may_lead(groups[-1][0]):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _may_lead(node: ir.Node) -> bool:
    return node.op_type in ANCHORS or is_elementwise(node.domain, node.op_type)


def _stages(graph: ir.Graph, nests: list[LoopNest], on_host: list[ir.Node]) -> tuple[int, ...]:
    """Longest path from the inputs, in kernels; a way over the host, between two of them, counts as one more."""
    position = {node.name: index for index, node in enumerate(graph)}
    steps: list[tuple[int, LoopNest | ir.Node]] = [(position[node.name], node) for node in on_host]
    steps += [(max(position[name] for name in nest.operators), nest) for nest in nests]
    known: dict[str, int] = {}
    stages: dict[str, int] = {}
    for _, step in sorted(steps, key=lambda item: item[0]):
        if isinstance(step, ir.Node):
            read = [value.name or "" for value in (*step.inputs, *captured_values(step)) if value is not None]
            stage = max((known.get(name, 0) for name in read), default=0)
            known.update((value.name or "", stage and stage + 1) for value in step.outputs)
        else:
            stage = max((known.get(operand.tensor, 0) for operand in step.inputs), default=0)
            known.update((operand.tensor, stage + 1) for operand in step.outputs)
            stages[step.name] = stage
    return tuple(stages[nest.name] for nest in nests)
