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
    from collections.abc import Iterable, Mapping, Sequence

    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """The nodes that write new rows into a state.

    Attributes:
        nodes: Each a Where, from the one that reads the past to the one that gives the present.
        past: Input of the model.
        present: Output of the model.
    """

    nodes: tuple[ir.Node, ...]
    past: ir.Value
    present: ir.Value

    def state_of(self, node: ir.Node) -> ir.Value:
        """What a node reads of the state: the past, or what the node before it gives."""
        index = self.nodes.index(node)
        return self.nodes[index - 1].outputs[0] if index else self.past


def read_update(node: ir.Node | None) -> StateUpdate | None:
    """The update that ends in a node; None where none does."""
    if node is None or not node.outputs[0].is_graph_output():
        return None
    present = node.outputs[0]
    found = _way_to_past(node, present)
    if found is None or found[0].dtype != present.dtype:
        return None
    return StateUpdate(found[1], found[0], present)


def _way_to_past(node: ir.Node | None, present: ir.Value) -> tuple[ir.Value, tuple[ir.Node, ...]] | None:
    """The input of the model at the upper end of a way over Where, and the nodes on it, downwards."""
    if node is None or node.domain not in {"", "ai.onnx"} or node.op_type != "Where":
        return None
    for value in node.inputs[1:]:
        if value is None or value.shape != present.shape or [use.node for use in value.uses()] != [node]:
            continue
        if value.is_graph_output() or value.is_initializer():
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
    role: str, value: ir.Value, update: StateUpdate, order: tuple[str, ...], loops: Mapping[str, Loop]
) -> Operand:
    """What an update reads, in the view of the state with 1 where it broadcasts.

    Args:
        role: Of the operand.
        value: Broadcasts to the state.
        update: Of the state.
        order: Loops in the order in which the state is stored.
        loops: By name.

    Raises:
        Unsplittable: A loop walks through several dimensions of the state of which the value has some only.
    """
    state, own = shape_of(update.past), shape_of(value)
    own = (1,) * (len(state) - len(own)) + own
    names = list(order)
    maps: list[DimensionMap] = []
    for extent, of_value in zip(state, own, strict=True):
        walked = 1
        while walked < extent and names:
            loop = loops[names.pop(0)]
            walked *= loop.extent
            maps.append(follows(loop) if of_value > 1 else fixed(1))
        if walked != extent:
            raise Unsplittable(f"a loop walks through several dimensions of {update.past.name}")
    return operand(role, value, tuple(maps) or (fixed(1),))


def update_works(orders: Iterable[tuple[str, ...]], dtype: str) -> tuple[Work, ...]:
    """A test of each key's place, and the copy of one row for each new key and value: cores copy the rows that are theirs."""
    works: list[Work] = []
    for order in orders:
        tested = tuple(name for name in order if name not in {"d", "n"})
        copied = tuple(name for name in order if name != "t")
        works += [Work(tested, operations=1, dtype=dtype), Work(copied, operations=1, dtype=dtype)]
    return tuple(works)


def kept_once(loops: Iterable[Loop], orders: Sequence[tuple[str, ...]]) -> tuple[Loop, ...]:
    """The loops, of which those are not cut that some state does not follow: a state lies on the cores once."""
    followed = [set(order) for order in orders]
    return tuple(
        loop if all(loop.name in names for names in followed) else replace(loop, cuttable=False)
        for loop in loops
    )
