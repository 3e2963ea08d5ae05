"""Cycles of a kernel, which are at least those of its multiply-adds and of the words that its links bring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import CYCLES, Finding, count
from wsec.compiler.plan_checker.model_facts import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel
    from wsec.compiler.target import Target


def check_cycles(kernel: Kernel, target: Target) -> Iterator[Finding]:
    """Findings on the cycles of a kernel whose shardings are sound."""
    where = f"kernel {kernel.name}"
    words = _words_received(kernel, target)
    if kernel.cycles.communication < words:
        rule = "a core takes one word a cycle from its router"
        expected = f"at least {words} cycles, for the words of the activations on a core"
        found = f"{kernel.cycles.communication} cycles"
        yield Finding(CYCLES, rule, f"{where}, communication", expected, found)
    lanes = (
        target.core.lanes.get(kernel.inputs[0].dtype) if kernel.inputs else None
    )  # a chain may cast the result
    work = _multiply_adds(kernel)
    if lanes is not None and kernel.cycles.compute < math.floor(work / lanes):
        rule = "a lane does one multiply-add a cycle"
        expected = (
            f"at least {math.floor(work / lanes)} cycles for {count(work, 'multiply-add')}, {lanes:g} a cycle"
        )
        yield Finding(CYCLES, rule, f"{where}, compute", expected, f"{kernel.cycles.compute} cycles")


def _words_received(kernel: Kernel, target: Target) -> int:
    """Words of one core's blocks of all activations, whether links bring them or other cores pass them on."""
    return sum(
        -(-entry.sharding.block_elements * item_bytes(entry.dtype) // target.fabric.word_bytes)
        for entry in kernel.inputs
        if not entry.constant
    )


def _multiply_adds(kernel: Kernel) -> int:
    """Of the core with most of them, in products of matrices and convolutions; 0 for other kinds."""
    blocks = {entry.role: entry.sharding.block_shape for entry in kernel.inputs}
    results = kernel.outputs[0].sharding.block_elements if kernel.outputs else 0
    if kernel.kind == "matmul" and blocks.get("a"):
        return results * blocks["a"][-1]
    if kernel.kind == "convolution" and len(blocks.get("w", ())) > 2:
        return results * math.prod(blocks["w"][2:])
    return 0
