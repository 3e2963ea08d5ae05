"""Heads whose features are cut in pairs, from the projection of queries, keys and values to that of the result.

A rotary embedding turns feature `i` of a head with feature `i + d / 2`. Where a core has both, the turn is its own matter: so the
features of a head are seen as two halves, of which positions are cut, in every kernel from the projections over the rotation and the
attention over a cache to the projection of its result. Scores and weighted values are sums over features, whose order is free.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, LoopRole, Operand, fixed, follows
from wsec.compiler.kernels.loop_parts import loop_in_parts, work_in_parts
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

    from wsec.compiler.kernels.graph import KernelGraph

PAIRS: Final = "pairs"
"""Loop of a rotation over pairs of features, and its formal argument: how many a head has."""

HALVES: Final = "h"
"""Loop of an attention over the halves of a head, outside of `d`, which then goes through one half."""

_HALVES: Final = 2
_RANK_OF_HEADS: Final = 4
_TABLES: Final = ("in1", "in2")


def in_pairs(graph: KernelGraph, model: ir.Model) -> KernelGraph:
    """The same kernels, those of attentions over a cache whose queries and keys are turned with pairs of features together."""
    nodes = {node.name: node for node in model.graph}
    nests = list(graph.nests)
    producer = {operand.tensor: index for index, nest in enumerate(nests) for operand in nest.outputs}
    readers: dict[str, list[tuple[int, str]]] = {}
    for link in graph.links:
        if link.target != HOST_INDEX:
            readers.setdefault(link.tensor, []).append((link.target, link.role))
    for index, nest in enumerate(graph.nests):
        pairs = _pairs_of_attention(nest, nests, producer, nodes)
        if not pairs:
            continue
        try:
            nests[index] = attention_in_pairs(nest)
        except Unsplittable:
            continue
        for operand in nest.inputs:
            if operand.role == "q" or operand.role[:1] == "u":
                _upwards(operand.tensor, pairs, nests, producer, nodes)
        for reader, role in readers.get(nest.outputs[0].tensor, ()):
            if role == "a" and nests[reader].kind == "matmul":
                nests[reader] = _features_in_pairs(nests[reader], "k", pairs)
    return replace(graph, nests=tuple(nests))


def _pairs_of_attention(
    nest: LoopNest, nests: list[LoopNest], producer: Mapping[str, int], nodes: Mapping[str | None, ir.Node]
) -> int:
    """Pairs of a head, where all queries are turned and both states are cut by features; else 0."""
    if nest.kind != "attention":
        return 0
    features = nest.loops[nest.position("d")]
    query = next(item for item in nest.inputs if item.role == "q")
    made = producer.get(query.tensor)
    if features.role is not LoopRole.COLLECTIVE or not features.cuttable or made is None:
        return 0
    pairs = _turned_pairs(nests[made], nodes)
    return pairs if _HALVES * pairs == features.extent else 0


def _turned_pairs(nest: LoopNest, nodes: Mapping[str | None, ir.Node]) -> int:
    """Pairs that a kernel turns whose features lie half a head apart; 0 where it is none, or turns a part of a head."""
    node = nodes.get(nest.operators[0])
    if nest.kind != "batched" or node is None or node.op_type != "RotaryEmbedding" or nest.chain:
        return 0
    view, shape = OperatorView(node), nest.inputs[0].maps
    if len(shape) < _RANK_OF_HEADS or view.integer("interleaved", 0):
        return 0
    width = math.prod(dimension.extent for dimension in shape[_RANK_OF_HEADS - 1 :])
    turned = view.integer("rotary_embedding_dim", 0) or width
    return width // _HALVES if turned == width else 0


def _upwards(
    tensor: str,
    pairs: int,
    nests: list[LoopNest],
    producer: Mapping[str, int],
    nodes: Mapping[str | None, ir.Node],
) -> None:
    """Kernels that make a tensor of heads, as far as features stay as they are, with pairs together."""
    index = producer.get(tensor)
    while index is not None:
        nest = nests[index]
        if nest.kind == "matmul":
            nests[index] = _features_in_pairs(nest, "n", pairs)
            return
        if nest.kind == "reshape" and not nest.chain:
            nests[index] = _features_in_pairs(nest, nest.outputs[0].maps[-1].loop, pairs)
        elif _turned_pairs(nest, nodes) == pairs:
            nests[index] = rotation_in_pairs(nest, pairs)
        else:
            return
        if nests[index] is nest:
            return
        index = producer.get(nest.inputs[0].tensor)


def _features_in_pairs(nest: LoopNest, name: str, pairs: int) -> LoopNest:
    """A loop over features of heads as heads, halves and pairs; the same kernel where it has none, or was changed before."""
    loop = next((each for each in nest.loops if each.name == name), None)
    plain = {"a", "b", "x"}.issuperset(item.role for item in nest.inputs if item.role[:1] != "e")
    if loop is None or not plain or loop.extent % (_HALVES * pairs):
        return nest
    extents = (loop.extent // (_HALVES * pairs), _HALVES, pairs)
    try:
        return loop_in_parts(nest, name, extents, whole=(1,))
    except Unsplittable:
        return nest


def rotation_in_pairs(nest: LoopNest, pairs: int) -> LoopNest:
    """A rotation of whole heads with a loop over its pairs; the same kernel if it has one."""
    if PAIRS in nest.arguments:
        return nest
    loop = Loop(PAIRS, pairs)

    def seen(operand: Operand) -> Operand:
        *outer, last = operand.maps
        if operand.role in _TABLES and last == fixed(pairs):
            return replace(operand, maps=(*outer, follows(loop)))
        if last == fixed(_HALVES * pairs):
            return replace(operand, maps=(*outer, fixed(_HALVES), follows(loop)))
        return operand

    rank = len(nest.outputs[0].maps)
    names = tuple(each.name for each in nest.loops)
    return replace(
        nest,
        loops=(*nest.loops, loop),
        inputs=tuple(map(seen, nest.inputs)),
        outputs=tuple(map(seen, nest.outputs)),
        arguments={**nest.arguments, PAIRS: pairs},
        work=replace(nest.work, loops=(*names, PAIRS), walks=(names, (PAIRS,)), taps=()),
        output_groups=(*((at,) for at in range(rank - 1)), (rank - 1, rank)),
        meshed=(*names, PAIRS),  # as heads and features lie before it and behind
    )


def attention_in_pairs(nest: LoopNest) -> LoopNest:
    """An attention whose states are cut by features, with the halves of a head seen apart.

    Raises:
        Unsplittable: States lie in different orders, or a product brings new rows to their places.
    """
    labels = {role: nest.arguments[role] for role in ("q", "k", "v", "out")}
    if labels["k"] != labels["v"] or any(
        step.operator == "MatMul" and step.inputs[0][:1] == "u" for step in nest.body
    ):
        raise Unsplittable("new rows of its states are no rows of its states")
    features = nest.loops[nest.position("d")]
    parts = (
        Loop(HALVES, _HALVES, cuttable=False),
        replace(features, extent=features.extent // _HALVES),
    )

    def seen(operand: Operand) -> Operand:
        state = operand.state or operand.role[:1] == "u"
        order = labels["k"] if state else labels["q" if operand.role == "q" else "out"]
        rows = operand.role == "sink" or operand.role[:1] == "m"
        if rows or not isinstance(order, tuple) or len(operand.maps) != len(order):
            return operand
        at = order.index("d")
        of_features: tuple[DimensionMap, ...] = tuple(map(follows, parts))
        if not operand.maps[at].loop:
            of_features = (fixed(1), fixed(1))
        return replace(operand, maps=(*operand.maps[:at], *of_features, *operand.maps[at + 1 :]))

    def named(order: object) -> tuple[str, ...]:
        given = order if isinstance(order, tuple) else ()
        return tuple(each for name in given for each in ((HALVES, "d") if name == "d" else (str(name),)))

    shared = [work.shared_out for work in nest.further_work]
    works = [work_in_parts(replace(work, shared_out=""), "d", parts) for work in nest.further_work]
    return replace(
        nest,
        loops=tuple(each for old in nest.loops for each in (parts if old.name == "d" else (old,))),
        inputs=tuple(map(seen, nest.inputs)),
        outputs=tuple(map(seen, nest.outputs)),
        arguments={**nest.arguments, **{role: named(order) for role, order in labels.items()}},
        work=work_in_parts(nest.work, "d", parts),
        further_work=tuple(replace(work, shared_out=out) for work, out in zip(works, shared, strict=True)),
        chain_work=None if nest.chain_work is None else work_in_parts(nest.chain_work, "d", parts),
    )
