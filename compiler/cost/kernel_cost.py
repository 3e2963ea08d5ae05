"""Memory and cycles of a loop nest under many splits at once: one array element a split.

The cycles of a core are its arithmetic, the words that pass its ramp, and the bytes that pass its SRAM ports. A vector
instruction costs its issue and its elements over the lanes, loops around it cost as often as they turn. Words that cores pass
to each other also load the links between them: how much depends on which axes lie on rows and which on columns
(`passing_cycles`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.block_sizes import (
    block_elements,
    computed_blocks,
    gathered_bytes,
    interim_bytes,
    output_bytes,
    state_bytes,
    widening,
)
from wsec.compiler.cost.collective_uses import collective_cycles
from wsec.compiler.cost.collectives import all_gather, broadcast
from wsec.compiler.cost.instruction_walks import walks
from wsec.compiler.cost.matrix_unit import matrix_cycles, matrix_memory_cycles
from wsec.compiler.kernels.loop_nest import LoopRole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest, Operand, Work
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]


_LONGEST = 1 << 40  # a loop that is the vector in any case


@dataclass(frozen=True, slots=True, eq=False)
class SplitCosts:
    """Bytes of the fullest core and cycles of the busiest one, an element a split."""

    weights: Array
    activations: Array
    buffers: Array
    compute: Array
    communication: Array
    memory: Array
    transfer: Array
    states: Array

    @property
    def bytes(self) -> Array:
        """Data bytes of the fullest core, without the code reserve."""
        return self.weights + self.activations + self.buffers + self.states

    @property
    def cycles(self) -> Array:
        """Cycles between two samples: arithmetic or SRAM, whichever takes longer, then communication, and words of links."""
        return np.maximum(self.compute, self.memory) + self.communication + self.transfer


def split_costs(
    nest: LoopNest, parts: Array, target: Target, turns: NDArray[np.int64] | int = 1
) -> SplitCosts:
    """Costs of cutting `nest` in `parts` [splits, loops], each core walking its turn loop in `turns` [splits] turns.

    Cores that need the same block of an activation hold it together: each keeps a share of every sample that waits,
    and the block that is worked on is passed around, a turn of it at a time. The words of that count here as far as
    they pass the ramps; `passing_cycles` adds what the links need beyond.
    """
    if nest.work.serial:
        return _serial_costs(nest, parts, target)
    extents = np.array([loop.extent for loop in nest.loops], dtype=np.float64)
    blocks = np.ceil(extents / parts)
    walked = blocks.copy()
    if nest.turn_loop():
        turn = nest.position(nest.turn_loop())
        walked[:, turn] = np.ceil(blocks[:, turn] / turns)
    word = target.fabric.cycle_bytes
    output = output_bytes(nest, blocks)
    at_work = output_bytes(nest, walked)
    weights = np.full(len(parts), nest.work.resident_bytes, dtype=np.float64)
    states = np.zeros(len(parts))
    held, moved, passed = nest.output_slots * output, np.ceil(output / word), np.zeros(len(parts))
    buffers = nest.chain_keeps_a_copy() * at_work + gathered_bytes(nest, blocks, parts)
    buffers = (
        buffers
        + state_bytes(nest, blocks) * nest.work.partials
        + interim_bytes(nest, blocks if nest.sums_in_turns else walked) * (1 + _exchanges(nest, parts))
    )
    for operand in nest.inputs:
        elements = block_elements(operand, nest, blocks)
        if operand.resident:
            block_bytes = np.ceil(elements * operand.item_bytes)
            states = states + operand.state * block_bytes
            weights = weights + operand.constant * block_bytes
            continue
        copies = _copies(operand, nest, parts)
        share = np.ceil(elements / copies) * operand.item_bytes
        held = held + share * operand.slots
        passed_around = copies > 1
        at_once = np.maximum(block_elements(operand, nest, walked), np.ceil(elements / turns))
        buffers = buffers + passed_around * at_once * operand.item_bytes
        moved = moved + np.ceil(share / word)
        passed = passed + passed_around * np.ceil(elements * operand.item_bytes / word)
    reduced = _reduction_parts(nest, parts) > 1
    started = (turns - 1) * target.core.task_switch_cycles
    shares = [(work, _shared_out(work, nest, blocks, parts)) for work in nest.works()]
    compute = sum((compute_cycles(work, nest, own, target) for work, own in shares), np.zeros(len(parts)))
    compute = np.ceil(compute) + started
    memory = sum((memory_cycles(work, nest, own, target) for work, own in shares), np.zeros(len(parts)))
    memory = np.ceil(memory)
    hidden = np.maximum(compute, memory) if target.core.dma_engines else 0.0
    return SplitCosts(
        weights=weights,
        activations=held,
        buffers=buffers + reduced * at_work * widening(nest),
        compute=compute,
        communication=np.ceil(
            passed + collective_cycles(nest, parts, turns, target.fabric) + gather_cycles(nest, parts, target)
        ),
        memory=memory,
        transfer=np.maximum(moved - hidden, 0),
        states=states,
    )


def _shared_out(work: Work, nest: LoopNest, blocks: Array, parts: Array) -> Array:
    """Positions of each loop that a core works on, where cores that hold the same block share it out."""
    if not work.shared_out:
        return blocks
    shares, at = blocks.copy(), nest.position(work.loops[-1])
    shares[:, at] = np.ceil(shares[:, at] / parts[:, nest.position(work.shared_out)])
    return shares


def _exchanges(nest: LoopNest, parts: Array) -> NDArray[np.bool_]:
    """Where cores receive an interim result of each other, and need room for it."""
    shared = [at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.COLLECTIVE]
    return np.asarray((parts[:, shared] > 1).any(axis=1) & nest.work.exchanged)


def passing_cycles(
    nest: LoopNest, parts: Array, turns: NDArray[np.int64], on_rows: NDArray[np.bool_], target: Target
) -> Array:
    """Cycles of passing blocks around, [splits], beyond those of the ramps, with the axes laid on rows or columns.

    Along a line of cores, several groups that pass a block around interleave where an axis that the block follows lies
    inside one that it does not: their words share the links (contention), and their members lie apart (distance).
    """
    cycles = np.zeros(len(parts))
    if nest.work.serial:
        return cycles
    word, fabric = target.fabric.cycle_bytes, target.fabric
    extents = np.array([loop.extent for loop in nest.loops], dtype=np.float64)
    blocks = np.ceil(extents / parts)
    for operand in nest.inputs:
        copies = _copies(operand, nest, parts)
        if operand.resident or not (copies > 1).any():
            continue
        elements = block_elements(operand, nest, blocks)
        share = np.ceil(np.ceil(elements / copies) * operand.item_bytes / word)
        received = np.ceil(elements * operand.item_bytes / word)
        groups_by_row, span_by_row = _line(operand, nest, parts, ~on_rows)
        groups_by_column, span_by_column = _line(operand, nest, parts, on_rows)
        on_links = np.maximum(groups_by_row, groups_by_column) * (received - share)
        distance = fabric.hop_cycles * (span_by_row + span_by_column) + 2 * fabric.ramp_cycles
        beyond = np.maximum(0, on_links - received) + turns * distance
        cycles = cycles + np.where(copies > 1, beyond, 0)
    return np.ceil(cycles)


def gathering_cycles(
    nest: LoopNest, parts: Array, turns: NDArray[np.int64], on_rows: NDArray[np.bool_], target: Target
) -> Array:
    """Cycles of passing blocks around in two stages, [splits], beyond those of the ramps.

    Shares go along one side of the rectangle, then what the cores of that side have together along the other one; whichever side first
    is faster.
    """
    cycles = np.zeros(len(parts))
    word, fabric = target.fabric.word_bytes, target.fabric
    extents = np.array([loop.extent for loop in nest.loops], dtype=np.float64)
    blocks = np.ceil(extents / parts)
    for operand in nest.inputs:
        copies = _copies(operand, nest, parts)
        if operand.resident or not (copies > 1).any():
            continue
        elements = block_elements(operand, nest, blocks)
        share = np.ceil(np.ceil(elements / copies) * operand.item_bytes / word)
        received = np.ceil(elements * operand.item_bytes / word)
        sides = []
        for side in (on_rows, ~on_rows):
            groups, span = _line(operand, nest, parts, side)
            sides.append((groups, span, _copies_along(operand, nest, parts, side)))
        ways = [
            first[0] * share * (first[2] - 1) + second[0] * np.maximum(received - share * first[2], 0)
            for first, second in (sides, sides[::-1])
        ]
        distance = fabric.hop_cycles * (sides[0][1] + sides[1][1]) + 4 * fabric.ramp_cycles
        on_links = np.minimum(*ways) / fabric.link_words_per_cycle
        cycles = cycles + np.where(copies > 1, np.maximum(0, on_links - received) + turns * distance, 0)
    return np.ceil(cycles)


def _copies_along(operand: Operand, nest: LoopNest, parts: Array, side: NDArray[np.bool_]) -> Array:
    """Cores of a line of one side that need the same block."""
    followed = {dimension.loop for dimension in operand.maps}
    copies = np.ones(len(parts))
    for index, loop in enumerate(nest.loops):
        if side[index] and loop.name not in followed:
            copies = copies * parts[:, index]
    return copies


def _line(operand: Operand, nest: LoopNest, parts: Array, side: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Groups that share a line of cores of one side and pass a block around there, and the cores one of them spans."""
    followed = {dimension.loop for dimension in operand.maps}
    inside, groups, length, span = (np.ones(len(parts)) for _ in range(4))
    for index in reversed(nest.mesh_order()):
        if not side[index]:
            continue
        count = parts[:, index]
        length = length * count
        if nest.loops[index].name in followed:
            inside = inside * count
        else:
            groups, span = np.where(count > 1, inside, groups), np.where(count > 1, length, span)
    return groups, span


def _copies(operand: Operand, nest: LoopNest, parts: Array) -> Array:
    """Cores that need the same block of the operand: those along the cut loops that it does not follow."""
    followed = {dimension.loop for dimension in operand.maps}
    copies = np.ones(len(parts))
    for index, loop in enumerate(nest.loops):
        if loop.name not in followed:
            copies = copies * parts[:, index]
    return copies


def _serial_costs(nest: LoopNest, parts: Array, target: Target) -> SplitCosts:
    """The data lies on all cores, in equal parts of each flat tensor; one core reads all of it and does the work."""
    cores = parts.prod(axis=1)
    weights, activations, words = (np.zeros(len(parts)) for _ in range(3))
    weight_reads = np.where(cores > 1, nest.work.weight_reads, 1)
    for operand in (*nest.inputs, *nest.outputs):
        elements = operand.maps[0].extent
        held = np.ceil(np.ceil(elements / cores) * operand.item_bytes)
        reads = weight_reads if operand.constant else 1
        words = words + -(-elements * operand.item_bytes // target.fabric.cycle_bytes) * reads
        if operand.constant:
            weights = weights + held
        else:
            activations = activations + held * (
                nest.output_slots if operand in nest.outputs else operand.slots
            )
    blocks = np.ones((len(parts), len(nest.loops)))
    return SplitCosts(
        weights=weights,
        activations=activations,
        buffers=np.zeros(len(parts)),
        compute=np.ceil(compute_cycles(nest.work, nest, blocks, target)),
        communication=words
        + np.ceil(target.fabric.hop_cycles * parts.sum(axis=1))
        + 2 * target.fabric.ramp_cycles,
        memory=np.ceil(memory_cycles(nest.work, nest, blocks, target)),
        transfer=np.zeros(len(parts)),
        states=np.zeros(len(parts)),
    )


def _points(work: Work, nest: LoopNest, blocks: Array) -> Array:
    points, blocks = np.ones(len(blocks)), computed_blocks(work, nest, blocks)
    for name in work.loops:
        points = points * blocks[:, nest.position(name)]
    return points


def _lane_dtype(dtype: str) -> str:
    """The element type whose lanes count; types of four bits are widened to eight."""
    return dtype.replace("int4", "int8")


def compute_cycles(work: Work, nest: LoopNest, blocks: Array, target: Target) -> Array:
    """Cycles of the instructions: products on the matrix unit where it is faster, everything else by vectors."""
    return np.minimum(
        _vector_cycles(work, nest, blocks, target),
        matrix_cycles(work, nest, blocks, target.core, _lane_dtype(work.dtype)),
    )


def _vector_cycles(work: Work, nest: LoopNest, blocks: Array, target: Target) -> Array:
    """Each instruction is issued and takes its elements over the lanes; loops around them cost as they turn.

    Each operation is a pass of its own over the block. Quotients, and what is computed by series, take their time for each element.
    """
    core = target.core
    dtype = _lane_dtype(work.dtype)
    length, vectors, turns = _walked(work, nest, blocks).T
    control = vectors * core.issue_cycles + turns * core.loop_cycles
    step = vectors * np.ceil(length / core.lanes[dtype]) * core.step_cycles(dtype)
    slow = work.divisions * core.divide_cycles + work.transcendentals * core.transcendental_cycles
    passes = work.operations + work.divisions + work.transcendentals
    return np.asarray(passes * control + work.operations * step + vectors * length * slow)


def _walked(work: Work, nest: LoopNest, blocks: Array) -> Array:
    """Elements of a vector, vectors, and turns of loops of one operation, [splits, 3]."""
    if work.scalar:
        points = _points(work, nest, blocks)
        return np.stack([np.ones_like(points), points, np.zeros_like(points)], axis=1)
    blocks = computed_blocks(work, nest, blocks)
    summed_loops = {name for names in work.summed for name in names}
    together = work.walks or (tuple(name for name in work.loops if name not in summed_loops),)
    if work.every:
        blocks = blocks.copy()
        for name, count in work.every:
            blocks[:, nest.position(name)] = np.ceil(blocks[:, nest.position(name)] / count)
    free, summed = (_sizes(loops, nest, blocks) for loops in (together, work.summed))
    taps = np.tile(np.array(work.taps, np.int64), (len(blocks), 1))
    inside = np.concatenate([summed, taps], axis=1)
    if work.taps_over:
        _join_taps(inside, work, nest, blocks)
    sizes = np.concatenate([free, inside], axis=1)
    if not work.row:
        return walks(sizes, np.arange(sizes.shape[1]) >= len(together)).astype(np.float64)
    length = free[:, -1].copy()
    sizes[:, len(together) - 1] = _LONGEST
    found = walks(sizes, np.arange(sizes.shape[1]) >= len(together))
    found[:, 0] = length
    return found.astype(np.float64)


def _sizes(loops: tuple[tuple[str, ...], ...], nest: LoopNest, blocks: Array) -> NDArray[np.int64]:
    sizes = np.ones((len(blocks), len(loops)), np.int64)
    for at, names in enumerate(loops):
        for name in names:
            sizes[:, at] *= blocks[:, nest.position(name)].astype(np.int64)
    return sizes


def _join_taps(inside: NDArray[np.int64], work: Work, nest: LoopNest, blocks: Array) -> None:
    """Under one position of the window a core's block is the window: its rows lie dense, and so do the channels."""
    first = inside.shape[1] - len(work.taps)
    for tap in range(len(work.taps) - 1, -1, -1):
        name, at = work.taps_over[tap], first + tap
        if not name or at == 0:
            continue
        one = blocks[:, nest.position(name)] == 1
        inside[one, at - 1] *= inside[one, at]
        inside[one, at] = 1


def memory_cycles(work: Work, nest: LoopNest, blocks: Array, target: Target) -> Array:
    """Every operation of a vector reads two elements and writes one; a matrix unit reads the factors of tiles."""
    if work.product is not None and target.core.matrix_unit is not None:
        dtype = _lane_dtype(work.dtype)
        on_unit = matrix_cycles(work, nest, blocks, target.core, dtype) <= _vector_cycles(
            work, nest, blocks, target
        )
        tiles = matrix_memory_cycles(work, nest, blocks, target.core, nest.outputs[0].item_bytes)
        return np.where(on_unit, tiles, _vector_memory(work, nest, blocks, target))
    return _vector_memory(work, nest, blocks, target)


def _vector_memory(work: Work, nest: LoopNest, blocks: Array, target: Target) -> Array:
    item = nest.outputs[0].item_bytes
    operations = _points(work, nest, blocks) * work.operations * math.prod(work.taps)
    reads = operations * 2 * item / target.core.read_bytes_per_cycle
    writes = operations * item / target.core.write_bytes_per_cycle
    return np.asarray(np.maximum(reads, writes))


def _reduction_parts(nest: LoopNest, parts: Array) -> Array:
    total = np.ones(len(parts))
    for index, loop in enumerate(nest.loops):
        if loop.role is LoopRole.REDUCTION:
            total = total * parts[:, index]
    return total


def gather_cycles(nest: LoopNest, parts: Array, target: Target) -> Array:
    """State that cores gather along the collective loops, and the whole of it, broadcast along the reduction loops."""
    cycles, spacing = np.zeros(len(parts)), np.ones(len(parts))
    if not nest.work.gathers:
        return cycles
    blocks = np.ceil(np.array([loop.extent for loop in nest.loops], dtype=np.float64) / parts)
    state = np.ceil(state_bytes(nest, blocks) / target.fabric.word_bytes)
    whole = np.ceil(gathered_bytes(nest, blocks, parts) / target.fabric.word_bytes)
    for index, loop in reversed(list(enumerate(nest.loops))):
        if loop.role is LoopRole.REDUCTION:
            once = broadcast(whole, parts[:, index], spacing).cycles(target.fabric)
        elif loop.role is LoopRole.COLLECTIVE:
            once = all_gather(state, parts[:, index], spacing).cycles(target.fabric)
        else:
            continue
        cycles = cycles + once * nest.work.gathers
        spacing = spacing * parts[:, index]
    return cycles
