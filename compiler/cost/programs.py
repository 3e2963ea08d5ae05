"""Cycles of whole distributed programs on a square of cores: GEMV, GEMM and the layers of a decoder.

Each follows the structure of its algorithm: which vector instructions a core issues in which loops, which words it sends and
receives, which collectives it takes part in, how many steps depend on each other. The machine's part is in the target: what
hops, ramps and tasks cost, what instructions take, and the overheads of steps, which were measured (`Target.overheads`). The
algorithms are those of WaferLLM (arXiv 2502.04563) and SUMMA. Lengths are elements of a core's side.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.cost.shifts import Shifts, product_by_shifts
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.target import Overheads, Target

GROUP = 15
"""Cores of a group of the two-level reductions that were measured."""

_LAYER_OPERATORS = 16
"""Two norms, four projections, rotary embedding, two products with a softmax between, three products of the
feed-forward with their activation, two residual sums."""


@dataclass(frozen=True, slots=True)
class Elements:
    """How a program treats its elements.

    Attributes:
        lanes: Elements that a vector instruction takes at once. Vectors that follow one another share such words, so that one
            of 22 halves takes 5.5 times as long as one of 4.
        width: Bytes of an element.
        per_word: Elements of a wavelet.
        move_cycles: Cycles of the datapath for a wavelet that is sent or received beside arithmetic. 0 where moves fit into the
            cycles that issuing instructions leaves.
    """

    lanes: float
    width: int
    per_word: int
    move_cycles: float

    def words(self, elements: int) -> int:
        """Wavelets of so many elements."""
        return -(-elements // self.per_word)


HALVES = Elements(lanes=4, width=2, per_word=2, move_cycles=0)
"""fp16 as the measured programs treat it: words of 64 bits in memory, two elements in a wavelet."""


def overheads_of(target: Target) -> Overheads:
    """The measured overheads of a target.

    Raises:
        WsecError: WSEC208 nobody measured them.
    """
    if target.overheads is None:
        raise WsecError(
            "WSEC208",
            "the target has no measured overheads of instructions",
            where=f"target {target.name}",
            expected="a table [overheads]",
            found="none",
            hint="take a target that has one (wse2, wse3), or add the table; docs/targets.md describes it",
        )
    return target.overheads


def vector_loop_cycles(
    outer: int, inner: int, length: int, target: Target, elements: Elements = HALVES
) -> float:
    """`outer` times `inner` multiply-adds of vectors of `length`."""
    vectors = outer * inner * (target.core.issue_cycles + _vector(length, elements, target))
    return outer * target.core.loop_cycles + vectors


def all_reduce_cycles(count: int, cores: int, target: Target, elements: Elements = HALVES) -> float:
    """All-reduce of `count` elements along a line in groups, each of which adds towards its middle; then the middles likewise.

    `passes B + hop * way + (2 T_R + 1 + switch) * steps`, and a broadcast. The words pass a middle once for each side that they
    come from; each core on the longest way waits for its neighbour and switches to the task that adds, and a middle does so for
    its other side too. Then the words leave in one direction after the other.
    """
    cost, fabric = overheads_of(target), target.fabric
    if cores <= 1:
        return 0.0
    words, group, groups = elements.words(count), min(GROUP, cores), -(-cores // GROUP)
    first = groups // 2 * group  # of the group in the middle, the last one of which may have fewer cores
    root = first + min(group, cores - first) // 2
    sides = [min(2, size - 1) for size in (group, groups)]
    way = group // 2 + (root - group // 2) * (groups > 1)
    step = 2 * fabric.ramp_cycles + 1 + target.core.task_switch_cycles
    steps = group // 2 + groups // 2 + sum(max(0, side - 1) for side in sides)
    out = max(
        words + fabric.hop_cycles * root,
        min(2, cores - 1) * words + fabric.hop_cycles * (cores - 1 - root),
    )
    reduce = sum(sides) * words + fabric.hop_cycles * way + step * steps
    return cost.collective_start_cycles + reduce + out + 2 * fabric.ramp_cycles


def gemv_cycles(cores: int, tile: int, target: Target, elements: Elements = HALVES) -> float:
    """The product y = x W with a `tile` x `tile` block of W a core, [cores, cores] of them, and a two-level all-reduce of y."""
    products = tile * (target.core.issue_cycles + _vector(tile, elements, target))
    return products + all_reduce_cycles(tile, cores, target, elements)


def chain_gemv_cycles(cores: int, tile: int, target: Target, elements: Elements = HALVES) -> float:
    """The same by scalar loops around vectors, a reduction along a chain and a broadcast of a library.

    The library sends one element a wavelet.
    """
    cost, fabric = overheads_of(target), target.fabric
    products = tile * (cost.scalar_loop_cycles + _vector(tile, elements, target))
    chain = (cores - 1) * (fabric.hop_cycles + cost.chain_step_cycles)
    return products + cost.library_reduce_cycles + chain + fabric.hop_cycles * cores + 2 * tile


def mesh_gemm_cycles(
    cores: int, rows: int, depth: int, columns: int, target: Target, *, elements: Elements = HALVES
) -> float:
    """C = A B with blocks [rows, depth] and [depth, columns] a core, which shift by two hops in each of `cores` steps.

    Before them, half as many shifts bring the blocks of A to where they start; nothing is computed meanwhile, and words that
    leave and words that come share the datapath. In the steps words move while the cores compute. The rows are the vectors;
    the longer of the other two is the outer loop.
    """
    left, right = elements.words(rows * depth), elements.words(depth * columns)
    products = vector_loop_cycles(max(depth, columns), min(depth, columns), rows, target, elements)
    found = product_by_shifts(
        products,
        Shifts(cores, (left, right), (left,)),
        target,
        step_cycles=overheads_of(target).step_cycles,
        move_cycles=elements.move_cycles,
    )
    return found.total


def summa_cycles(cores: int, tile: int, target: Target, elements: Elements = HALVES) -> float:
    """C = A B with square blocks that their owners multicast along rows and columns while the cores compute.

    Each core sends two blocks once and receives two in every step.
    """
    words = elements.words(tile * tile)
    products = vector_loop_cycles(tile, tile, tile, target, elements)
    step = max(products + 2 * words * elements.move_cycles, words)
    first = words + target.fabric.hop_cycles * cores + 2 * words * elements.move_cycles
    return cores * (step + overheads_of(target).multicast_step_cycles) + first


def library_summa_cycles(cores: int, tile: int, target: Target, elements: Elements = HALVES) -> float:
    """The same by scalar loops around vectors and the broadcasts of a library."""
    cost = overheads_of(target)
    products = tile * tile * (cost.scalar_loop_cycles + _vector(tile, elements, target))
    return cores * (cost.library_step_cycles + products)


def decode_layer_cycles(cores: int, hidden: int, context: int, feed_forward: int, target: Target) -> float:
    """One transformer layer for one token; `hidden`, `context` and `feed_forward` elements a core side.

    Ten all-reduces: two norms and the maximum and sum of a softmax of one number each, the queries, keys and values together,
    the scores, the weighted values, their projection, the two products of the feed-forward together, and its result.
    """
    cost = overheads_of(target)
    sums = [1, 3 * hidden, context, 1, 1, hidden, hidden, 1, 2 * feed_forward, hidden]
    products = [
        *[(hidden, hidden)] * 4,  # query, key, value, output
        (hidden, context),  # scores
        (context, hidden),  # weighted values
        *[(hidden, feed_forward)] * 2,  # up, gate
        (feed_forward, hidden),  # down
    ]
    elements = dataclasses.replace(HALVES, lanes=cost.plain_lanes)
    return (
        sum(all_reduce_cycles(count, cores, target) for count in sums)
        + sum(
            vectors * (target.core.issue_cycles + _vector(length, elements, target))
            for vectors, length in products
        )
        + _LAYER_OPERATORS * cost.step_cycles
    )


def prefill_layer_cycles(cores: int, hidden: int, tokens: int, feed_forward: int, target: Target) -> float:
    """One transformer layer for `cores` x `tokens` tokens as nine products whose vectors are the tokens."""
    products = [
        *[(hidden, hidden)] * 4,  # query, key, value, output
        (hidden, tokens),  # scores
        (tokens, hidden),  # weighted values
        *[(hidden, feed_forward)] * 2,  # up, gate
        (feed_forward, hidden),  # down
    ]
    return sum(mesh_gemm_cycles(cores, tokens, depth, columns, target) for depth, columns in products)


def _vector(length: int, elements: Elements, target: Target) -> float:
    """Cycles of a vector once it is issued. Banks are in each other's way only where accesses are as wide as the ports."""
    wide = elements.lanes * elements.width >= target.core.write_bytes_per_cycle
    return length / elements.lanes * (target.core.wide_step_cycles if wide else 1)
