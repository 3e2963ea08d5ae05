"""Bytes on the fullest core of a kernel, computed anew from its blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.cycles import score_block
from wsec.compiler.plan_checker.findings import MEMORY, Finding
from wsec.compiler.plan_checker.kinds.experts import bytes_of_inner_products
from wsec.compiler.plan_checker.model_facts import item_bytes, packed_bytes
from wsec.compiler.plan_checker.rotations import shifted_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput
    from wsec.compiler.target import Target


def check_memory(kernel: Kernel, target: Target, *, in_turns: bool = False) -> Iterator[Finding]:
    """Findings on the ledger of a kernel whose shardings are sound.

    Where kernels take turns a core holds its blocks of the activations whole, wherever the ledger counts them.
    """
    where = f"kernel {kernel.name}"
    weights = sum(_packed_bytes(entry) for entry in kernel.inputs if entry.constant)
    states = sum(_block_bytes(entry) for entry in kernel.inputs if entry.state)
    whole = in_turns and not kernel.turns
    held = sum(
        _block_bytes(entry) if whole else _share_bytes(entry, kernel) * entry.slots
        for entry in kernel.inputs
        if not entry.resident
    )
    results = sum(_block_bytes(entry) * entry.slots for entry in kernel.outputs if not entry.state)
    at_work = (
        0 if whole else sum(_bytes_at_work(entry, kernel) for entry in kernel.inputs if not entry.resident)
    )
    at_work += sum(_bytes_to_add(entry, kernel) for entry in kernel.outputs) + _bytes_of_scores(kernel)
    at_work += shifted_bytes(kernel)
    code = target.core.code_reserve_bytes
    total = weights + states + held + results + at_work + code
    parts = f"weights {weights}, activations {held}, outputs {results}, at work {at_work}, code {code}"
    parts += f", states {states}" if states else ""
    if max(total, kernel.memory.total) > target.core.sram_bytes:
        rule = "a kernel fits the memory of its cores"
        found = f"{total} bytes ({parts}), ledger {kernel.memory.total}"
        yield Finding(MEMORY, rule, where, f"at most {target.core.sram_bytes} bytes", found)
    least = {"weights": weights, "activations": held + results, "buffers": at_work, "code": code}
    least["states"] = states
    if in_turns:  # what is held and what is worked on is one
        del least["activations"], least["buffers"]
    for name, least_bytes in least.items():
        said = getattr(kernel.memory, name)
        if said < least_bytes:
            rule = "the ledger says no less than the blocks take"
            yield Finding(MEMORY, rule, f"{where}, {name}", f"at least {least_bytes} bytes", f"{said} bytes")
    if kernel.memory.total < total:
        rule = "the ledger says no less than the blocks take"
        found = f"{kernel.memory.total} bytes"
        yield Finding(MEMORY, rule, f"{where}, total", f"at least {total} bytes ({parts})", found)


def _block_bytes(entry: KernelInput | KernelOutput) -> int:
    return entry.sharding.block_elements * item_bytes(entry.dtype)


def _packed_bytes(entry: KernelInput) -> int:
    """Bytes of a block of weights: two of four bits share a byte."""
    return packed_bytes(entry.sharding.block_elements, entry.dtype)


def _copies(entry: KernelInput | KernelOutput, kernel: Kernel) -> int:
    """Cores that need the same block: those along the axes that cut no dimension of the tensor."""
    cutting = {axis for dimension in entry.sharding.dimensions for axis in dimension.axes}
    return math.prod(axis.size for axis in kernel.mesh.axes if axis.name not in cutting)


def _share_bytes(entry: KernelInput, kernel: Kernel) -> int:
    """What one core keeps of a waiting sample, which all cores that need the same block keep together."""
    share = -(-entry.sharding.block_elements // _copies(entry, kernel))
    return share * item_bytes(entry.dtype)


def _bytes_at_work(entry: KernelInput, kernel: Kernel) -> int:
    """What at least a core needs of a block that is passed around: a turn of it."""
    if _copies(entry, kernel) == 1:
        return 0
    return -(-_block_bytes(entry) // math.prod(kernel.turns.values()))


def _bytes_of_scores(kernel: Kernel) -> int:
    """The scores of a turn of an attention's rows, in single precision; the inner products of a mixture of experts."""
    if kernel.kind == "experts":
        return bytes_of_inner_products(kernel)
    if kernel.kind != "attention":
        return 0
    rows, keys = score_block(kernel)
    return -(-rows // _turns_of_results(kernel)) * keys * 4


def _turns_of_results(kernel: Kernel) -> int:
    """In how many turns results are made: one of keys makes no result, and the scores of all keys are kept."""
    return math.prod(turns for loop, turns in kernel.turns.items() if loop != "t")


def _bytes_to_add(entry: KernelOutput, kernel: Kernel) -> int:
    """What at least a core needs for the partial results that its neighbour sends: a turn of them."""
    if not any(axis.size > 1 for axis in kernel.mesh.axes if axis.name in entry.sharding.root):
        return 0
    return -(-_block_bytes(entry) // _turns_of_results(kernel))
