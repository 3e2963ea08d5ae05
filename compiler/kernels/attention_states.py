"""States of an attention: keys and values that stay on the cores, and the nodes that write new rows into them.

A state is an input of the model of which an output is the update, `Where(place, new, past)`, or several of them in a row. The
past is as large as the present, and nothing else reads it. The kernel writes the new row into its part of the past where
`place` holds, and then reads it: what the next run finds as its past is there already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, Operand, Work, fixed, follows
from wsec.compiler.kernels.operator_view import Unsplittable, operand, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """The nodes that write new rows into a state.

    Attributes:
        nodes: Each a Where, from the one that reads the past to the one that gives the present; in front of each, the product
            that brings new rows to their positions, where there is one.
        past: Input of the model.
        present: Output of the model.
    """

    nodes: tuple[ir.Node, ...]
    past: ir.Value
    present: ir.Value


def read_update(node: ir.Node | None) -> StateUpdate | None:
    """The update that ends in a node; None where none does."""
    if node is None or not node.outputs[0].is_graph_output():
        return None
    present = node.outputs[0]
    found = _way_to_past(node, present)
    if found is None or found[0].dtype != present.dtype:
        return None
    nodes = tuple(each for where in found[1] for each in (*_placings(where), where))
    return StateUpdate(nodes, found[0], present)


def _placings(where: ir.Node) -> Iterator[ir.Node]:
    """The product of marks and new rows that brings the rows to their positions, if this Where alone reads it."""
    for value in where.inputs[1:]:
        product = None if value is None else value.producer()
        if value is None or product is None or (product.domain, product.op_type) != ("", "MatMul"):
            continue
        if value.shape == where.outputs[0].shape and only_reader(value) is where:
            yield product


def _way_to_past(node: ir.Node | None, present: ir.Value) -> tuple[ir.Value, tuple[ir.Node, ...]] | None:
    """The input of the model at the upper end of a way over Where, and the nodes on it, downwards."""
    if node is None or (node.domain, node.op_type) != ("", "Where"):
        return None
    for value in node.inputs[1:]:
        if value is None or value.shape != present.shape or only_reader(value) is not node:
            continue
        if value.is_initializer():
            continue
        if value.is_graph_input():
            return value, (node,)
        above = _way_to_past(value.producer(), present)
        if above is not None:
            return above[0], (*above[1], node)
    return None


def in_place(made: Operand, update: StateUpdate, role: str) -> tuple[Operand, Operand]:
    """The state as input and as output, from an operand that lies as both."""
    past = replace(made, role=role, tensor=update.past.name or "", state=True)
    return past, replace(past, role=f"{role}_state", tensor=update.present.name or "")


def like_state(
    role: str, value: ir.Value, shape: tuple[int, ...], order: tuple[str, ...], loops: Mapping[str, Loop]
) -> Operand:
    """What an update reads, in the view of the state, with 1 where it broadcasts.

    Args:
        role: Of the operand.
        value: Broadcasts to the state.
        shape: Of the state.
        order: Loops in the order in which the state is stored.
        loops: By name.

    Raises:
        Unsplittable: A loop walks through several dimensions of the state of which the value has some only.
    """
    return operand(role, value, tuple(_in_view(_padded(value, shape), shape, order, loops)) or (fixed(1),))


def factor_of_state(
    role: str,
    value: ir.Value,
    shape: tuple[int, ...],
    order: tuple[str, ...],
    loops: Mapping[str, Loop],
    *,
    left: bool,
) -> Operand:
    """A factor of the product that places new rows: as `like_state`, with the rows in place of one dimension of the state.

    The left factor has them in place of the features, the right one in place of the positions.
    """
    if order[-2:] not in {("t", "d"), ("t", "n")}:
        raise Unsplittable("new rows are not placed by a product of matrices of the state")
    at = -1 if left else -2
    own = _padded(value, shape)
    maps = _in_view((*own[:at], 1, *own[at:][1:]), shape, order, loops)
    return operand(role, value, (*maps[:at], fixed(own[at]), *maps[at:][1:]))


def _padded(value: ir.Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    own = shape_of(value)
    return (1,) * (len(shape) - len(own)) + own


def _in_view(
    own: tuple[int, ...], shape: tuple[int, ...], order: tuple[str, ...], loops: Mapping[str, Loop]
) -> list[DimensionMap]:
    """For each loop, in the order of the state: its positions, or 1 where a dimension of extent 1 stands for all."""
    names = list(order)
    maps: list[DimensionMap] = []
    for extent, of_value in zip(shape, own, strict=True):
        walked = 1
        while walked < extent and names:
            loop = loops[names.pop(0)]
            walked *= loop.extent
            maps.append(follows(loop) if of_value > 1 else fixed(1))
        if walked != extent:
            raise Unsplittable("a loop walks through several dimensions of a state")
    return maps


def update_works(updates: Iterable[tuple[tuple[str, ...], StateUpdate]], dtype: str) -> Iterator[Work]:
    """What writes new rows into each state, given the loops that it follows.

    A core tests the positions that it has, and copies the rows that are its own: of a Where that writes the same row along the
    positions, one, as marks of positions hold at one of them, or rows behind are cleared that are clear already. Rows that a product brings to their positions take its multiply-adds, and a copy of all positions.
    """
    for order, update in updates:
        tested = tuple(name for name in order if name not in {"d", "n"})
        copied = tuple(name for name in order if name != "t")
        for node in update.nodes:
            marks = node.inputs[0]
            if node.op_type == "MatMul" and marks is not None:
                yield Work(order, operations=shape_of(marks)[-1] + 1, dtype=dtype)
            else:
                yield Work(tested, operations=1, dtype=dtype)
                yield Work(order if _writes_several(node) else copied, operations=1, dtype=dtype)


def _writes_several(where: ir.Node) -> bool:
    """Whether a Where writes other rows at other positions: it reads some beside the state that it keeps."""
    full = [value for value in where.inputs[1:] if value is not None and 1 not in shape_of(value)[-2:]]
    return len([value for value in full if len(shape_of(value)) > 1]) > 1


def only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads the value, which is no output of the model."""
    readers = [use.node for use in value.uses()]
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None


def kept_once(loops: Iterable[Loop], orders: Sequence[tuple[str, ...]]) -> tuple[Loop, ...]:
    """The loops, of which those are not cut that some state does not follow: a state lies on the cores once."""
    followed = [set(order) for order in orders]
    return tuple(
        loop if all(loop.name in names for names in followed) else replace(loop, cuttable=False)
        for loop in loops
    )
