"""The ways of a product whose operands shift: which loop goes around, how large the square of cores is, how a batch is cut.

Blocks are as small as the square allows and weights lie on the wafer once: what products of many rows with large matrices have room
for. What one leaves on a square lies in place for the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.block_sizes import block_elements, output_bytes, widening
from wsec.compiler.cost.kernel_cost import SplitCosts, compute_cycles, memory_cycles
from wsec.compiler.cost.middle_collectives import step_cycles
from wsec.compiler.cost.programs import Elements, vector_loop_cycles
from wsec.compiler.cost.shifts import ShiftCycles, Shifts, product_by_shifts
from wsec.compiler.kernels.rotation import PRODUCT_LOOPS, may_rotate
from wsec.compiler.kernels.splits import SplitTable, loop_parts
from wsec.compiler.placement.problem import ShapeOptions
from wsec.compiler.schedule.sequential.options import (
    TurnTable,
    leaner,
    select_splits,
    side_lengths,
    steps_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest, Operand
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]

_SQUARES: Final = 12  # of the series of lengths, the largest


@dataclass(frozen=True, slots=True)
class _Way:
    """Cores of a side, the loop that goes around, and of the other two the one on rows; a loop of the batch that is cut, and where."""

    side: int
    turning: str
    on_rows: str
    batch: str = ""
    batch_parts: int = 1
    batch_on_rows: bool = False


def rotated_ways(
    nest: LoopNest, target: Target, *, published: bool = False, placed: bool = True
) -> TurnTable | None:
    """The ways in which the operands of a product may shift; None where it is no such product, or fits no square.

    Args:
        nest: The kernel.
        target: The machine; its grid is the region.
        published: As measured programs do: on the largest square, where cores beyond the last block take part with nothing to add,
            and with vectors along the rows of the product.
        placed: Whether weights may be loaded where the first step needs them. Those that another plan uses as well lie as that one has
            them: they are brought there first, and back behind the last step.
    """
    if not may_rotate(nest):
        return None
    room, found = target.core.data_bytes, []
    for way in _every_way(nest, target, published=published):
        costs = _costs(nest, way, target, published=published, placed=placed)
        if costs.bytes[0] <= room:
            found.append((way, costs))
    if not found:
        return None
    table = replace(_table(nest, found), weights_placed=placed)
    cycles = table.shapes.cycles
    turning = [PRODUCT_LOOPS.index(way.turning) for way, _ in found]
    kinds = np.column_stack([np.where(table.parts > 1, 1 + table.on_rows, 0), turning])
    order = np.argsort(cycles, kind="stable")
    _, first = np.unique(kinds[order], axis=0, return_index=True)
    kept = np.union1d(order[first], leaner(cycles, table.costs.weights, np.arange(len(cycles))))
    return TurnTable(select_splits(table, kept), np.ones((len(kept), 2), dtype=np.int64))


def _every_way(nest: LoopNest, target: Target, *, published: bool) -> Iterator[_Way]:
    grid = target.grid
    useful = [loop_parts(nest.loops[nest.position(name)].extent) for name in PRODUCT_LOOPS]
    longest = min(grid.width, grid.height)
    sides = [
        max(int(parts[parts <= length].max()) for parts in useful)
        for length in side_lengths(longest)[:_SQUARES]
    ]
    if published:
        sides = [longest]
    batch = [loop for loop in nest.loops if loop.name not in PRODUCT_LOOPS and loop.extent > 1]
    for side in dict.fromkeys(side for side in sides if side > 1):
        for turning in PRODUCT_LOOPS:
            for on_rows in (name for name in PRODUCT_LOOPS if name != turning):
                yield _Way(side, turning, on_rows)
                for loop in batch:
                    for rows, length in ((True, grid.height), (False, grid.width)):
                        parts = loop_parts(loop.extent)
                        count = int(parts[parts <= max(1, length // side)].max())
                        if count > 1:
                            yield _Way(side, turning, on_rows, loop.name, count, rows)


def _blocks(nest: LoopNest, way: _Way) -> Array:
    """Positions of each loop in a block, [1, loops]."""
    parts = dict.fromkeys(PRODUCT_LOOPS, way.side) | {way.batch: way.batch_parts}
    return np.array([[math.ceil(loop.extent / parts.get(loop.name, 1)) for loop in nest.loops]], np.float64)


def _costs(nest: LoopNest, way: _Way, target: Target, *, published: bool, placed: bool) -> SplitCosts:
    """Bytes and cycles of one way, each an array of one element.

    Of each block that shifts a core has a second one, for what its neighbour sends. Partial sums of a result that goes around are as
    wide as the kernel keeps them.
    """
    blocks, result = _blocks(nest, way), nest.outputs[0]
    output = output_bytes(nest, blocks)
    own = {item.role: np.ceil(block_elements(item, nest, blocks) * item.item_bytes) for item in nest.inputs}
    shifting: dict[str, Array] = {
        item.role: own[item.role] for item in nest.inputs[:2] if _follows(item, way.turning)
    }
    if _follows(result, way.turning):
        shifting["result"] = output * widening(nest)
    weights = sum((own[item.role] for item in nest.inputs if item.constant), np.zeros(1))
    activations = sum((own[item.role] for item in nest.inputs if not item.constant), np.zeros(1))
    word = target.fabric.word_bytes
    words = {role: math.ceil(size[0] / word) for role, size in shifting.items()}
    constant = [item.role for item in nest.inputs if item.constant and item.role in words]
    brought = [role for role in words if role not in constant]
    shifts = Shifts(
        steps=way.side,
        shifting=list(words.values()),
        aligned=[words[role] for role in (*brought, *([] if placed else 2 * constant))],
        spacing=_spacing(nest, way),
    )
    spent = _shifted(nest, blocks, shifts, target, published=published)
    behind = [*nest.further_work, *(() if nest.chain_work is None else (nest.chain_work,))]
    each = [nest.work, *behind]
    return SplitCosts(
        weights=weights,
        activations=activations + nest.output_slots * output,
        buffers=nest.chain_keeps_a_copy() * output + sum(shifting.values(), np.zeros(1)),
        compute=np.ceil(spent.compute + sum(compute_cycles(work, nest, blocks, target) for work in behind)),
        communication=np.ceil(spent.communication + (steps_of(nest) - 1) * step_cycles(target) + np.zeros(1)),
        memory=np.ceil(
            sum(
                (way.side if work is nest.work else 1) * memory_cycles(work, nest, blocks, target)
                for work in each
            )
        ),
        transfer=np.zeros(1),
        states=np.zeros(1),
    )


def _shifted(
    nest: LoopNest, blocks: Array, shifts: Shifts, target: Target, *, published: bool
) -> ShiftCycles:
    """All steps: the product of two blocks as core programs compute it, or as those that were measured do; the faster where both may be."""
    item = nest.inputs[0]
    elements = Elements(
        lanes=target.core.lanes[item.dtype],
        width=math.ceil(item.item_bytes),
        per_word=max(1, int(target.fabric.word_bytes // item.item_bytes)),
        move_cycles=0,
    )
    rows, columns, depth = (int(blocks[0, nest.position(name)]) for name in PRODUCT_LOOPS)
    samples = math.prod(blocks[0].astype(int).tolist()) // (rows * columns * depth)
    longer, shorter = max(depth, columns), min(depth, columns)
    products = samples * vector_loop_cycles(longer, shorter, rows, target, elements)
    if not published:
        products = min(products, float(compute_cycles(nest.work, nest, blocks, target)[0]))
    return product_by_shifts(products, shifts, target, step_cycles=step_cycles(target))


def _follows(operand: Operand, loop: str) -> bool:
    return any(dimension.loop == loop for dimension in operand.maps)


def _spacing(nest: LoopNest, way: _Way) -> int:
    """Cores from one of the square to the next: where a loop of the batch is cut inside of it, its parts."""
    order = [nest.loops[at].name for at in nest.mesh_order()]
    inside = [name for name in PRODUCT_LOOPS if name != way.turning and way.batch]
    return max(
        (way.batch_parts for name in inside if order.index(name) < order.index(way.batch)),
        default=1,
    )


def _table(nest: LoopNest, found: list[tuple[_Way, SplitCosts]]) -> SplitTable:
    ways = [way for way, _ in found]
    parts = np.ones((len(ways), len(nest.loops)), dtype=np.int64)
    on_rows = np.ones((len(ways), len(nest.loops)), dtype=np.bool_)
    for at, way in enumerate(ways):
        for name in PRODUCT_LOOPS:
            parts[at, nest.position(name)] = 1 if name == way.turning else way.side
            on_rows[at, nest.position(name)] = name == way.on_rows
        if way.batch:
            parts[at, nest.position(way.batch)] = way.batch_parts
            on_rows[at, nest.position(way.batch)] = way.batch_on_rows
    costs = SplitCosts(
        *(np.concatenate([getattr(each, name) for _, each in found]) for name in SplitCosts.__slots__)
    )
    shapes = ShapeOptions(
        np.where(on_rows, 1, parts).prod(axis=1),
        np.where(on_rows, parts, 1).prod(axis=1),
        np.ceil(np.maximum(costs.compute, costs.memory) + costs.communication).astype(np.int64),
    )
    return SplitTable(
        nest=nest,
        parts=parts,
        turns=np.ones(len(ways), dtype=np.int64),
        on_rows=on_rows,
        costs=costs,
        shapes=shapes,
        least=shapes,
        rotated=np.array([nest.position(way.turning) for way in ways], dtype=np.int64),
    )
