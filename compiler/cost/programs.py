"""Cycles of whole distributed programs on a square of cores: GEMV, GEMM and the layers of a decoder.

Each follows the structure of its algorithm: which vector instructions a core issues in which loops, which collectives it
takes part in, how many steps depend on each other. The machine's part is in the target: what hops, ramps and tasks cost,
and the overheads of instructions and steps, which were measured (`Target.overheads`). All lengths are elements of fp16 a
core; the programs send one element a wavelet. The algorithms are those of WaferLLM (arXiv 2502.04563) and SUMMA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.cost.collectives import two_level_all_reduce_cycles
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.target import Overheads, Target

GROUP = 15
"""Cores of a group of the two-level reductions that were measured."""

_HALF_BYTES = 2
_LAYER_ALL_REDUCES = 10
_LAYER_OPERATORS = 16
"""Two norms, four projections, rotary embedding, two products with a softmax between, three products of the
feed-forward with their activation, two residual sums."""


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


def vector_loop_cycles(outer: int, inner: int, length: int, target: Target) -> float:
    """`outer` times `inner` multiply-adds of vectors of `length`: whole 64-bit words, as the write port takes them."""
    cost = overheads_of(target)
    return outer * cost.outer_loop_cycles + outer * inner * (cost.issue_cycles + _simd(length, target))


def gemv_cycles(cores: int, tile: int, target: Target) -> float:
    """The product y = x W with a `tile` x `tile` block of W a core, [cores, cores] of them, and a two-level all-reduce of y."""
    cost = overheads_of(target)
    products = tile * (cost.issue_cycles + _simd(tile, target))
    return products + _all_reduce(tile, cores, target)


def chain_gemv_cycles(cores: int, tile: int, target: Target) -> float:
    """The same by scalar loops around vectors, a reduction along a chain and a broadcast of a library."""
    cost, fabric = overheads_of(target), target.fabric
    products = tile * (cost.scalar_loop_cycles + _simd(tile, target))
    chain = (cores - 1) * (fabric.hop_cycles + cost.chain_step_cycles)
    return products + cost.library_reduce_cycles + chain + fabric.hop_cycles * cores + 2 * tile


def mesh_gemm_cycles(cores: int, rows: int, depth: int, columns: int, target: Target) -> float:
    """C = A B with blocks [rows, depth] and [depth, columns] a core, which shift by two hops in each of `cores` steps.

    The rows are the vectors; the longer of the other two is the outer loop. Words move while the cores compute.
    """
    step = vector_loop_cycles(max(depth, columns), min(depth, columns), rows, target)
    words = max(rows * depth, depth * columns)
    return cores * (max(step, words + 2 * target.fabric.hop_cycles) + overheads_of(target).step_cycles)


def summa_cycles(cores: int, tile: int, target: Target) -> float:
    """C = A B with square blocks that their owners multicast along rows and columns while the cores compute."""
    step = max(vector_loop_cycles(tile, tile, tile, target), tile * tile)
    first = tile * tile + target.fabric.hop_cycles * cores
    return cores * (step + overheads_of(target).multicast_step_cycles) + first


def library_summa_cycles(cores: int, tile: int, target: Target) -> float:
    """The same by scalar loops around vectors and the broadcasts of a library."""
    cost = overheads_of(target)
    products = tile * tile * (cost.scalar_loop_cycles + _simd(tile, target))
    return cores * (cost.library_step_cycles + products)


def decode_layer_cycles(cores: int, hidden: int, context: int, feed_forward: int, target: Target) -> float:
    """One transformer layer for one token; `hidden`, `context` and `feed_forward` elements a core side.

    Ten all-reduces of `hidden` elements, and multiply-adds that do not use 64-bit words.
    """
    cost = overheads_of(target)
    multiply_adds = 4 * hidden**2 + 3 * hidden * feed_forward + 2 * hidden * context
    vectors = 4 * hidden + 2 * hidden + feed_forward + 2 * context
    return (
        _LAYER_ALL_REDUCES * _all_reduce(hidden, cores, target)
        + multiply_adds * cost.narrow_multiply_add_cycles
        + vectors * cost.issue_cycles
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


def _simd(length: int, target: Target) -> float:
    """A vector of `length` halves, in whole words of the write port."""
    lanes = target.core.write_bytes_per_cycle // _HALF_BYTES
    return -(-length // lanes) * overheads_of(target).simd_word_cycles


def _all_reduce(words: int, cores: int, target: Target) -> float:
    step = target.core.task_switch_cycles
    cycles = two_level_all_reduce_cycles(words, cores, GROUP, step, target.fabric)
    return overheads_of(target).collective_start_cycles + cycles
