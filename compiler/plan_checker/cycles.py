"""Cycles of a kernel, which are at least those of its multiply-adds and of the words that its links bring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.findings import CYCLES, Finding, count
from wsec.compiler.plan_checker.kinds.experts import multiply_adds
from wsec.compiler.plan_checker.model_facts import item_bytes
from wsec.compiler.plan_checker.rotations import words_shifted
from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.compiler.sharding import Mesh, Sharding
    from wsec.compiler.target import Target


def check_cycles(kernel: Kernel, target: Target, *, in_turns: bool = False) -> Iterator[Finding]:
    """Findings on the cycles of a kernel whose shardings are sound; where kernels take turns, words may lie there already."""
    where = f"kernel {kernel.name}"
    words = _words_of_statistics(kernel, target)
    words += 0 if in_turns else _words_received(kernel, target)
    passed = kernel.cycles.communication + kernel.cycles.transfer
    passed += kernel.cycles.alone if target.core.dma_engines else 0  # words pass meanwhile
    if passed < words:
        rule = "a core takes as many words a cycle from its router as a link carries"
        expected = f"at least {words} cycles, for the words that come to a core"
        found = f"{passed} cycles"
        yield Finding(CYCLES, rule, f"{where}, communication", expected, found)
    shifted = words_shifted(kernel, target.fabric.word_bytes)
    if kernel.cycles.work * target.fabric.link_words_per_cycle < shifted:
        rule = "what shifts comes to a core in each step, no faster than its ramp takes it"
        expected = f"at least {count(shifted, 'word')} in the cycles of the kernel"
        yield Finding(CYCLES, rule, f"{where}, work", expected, f"{kernel.cycles.work} cycles")
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
    words = np.zeros((1, 1), np.int64)
    for entry in kernel.inputs:
        if not entry.resident:
            needed = _needed(entry.sharding, kernel.mesh)
            words = words + -(-needed * item_bytes(entry.dtype) // _bytes_of_a_cycle(target))
    return int(words.max())


def _bytes_of_a_cycle(target: Target) -> int:
    return target.fabric.word_bytes * target.fabric.link_words_per_cycle


def _needed(sharding: Sharding, mesh: Mesh) -> NDArray[np.int64]:
    """Elements of every core's block inside the extents."""
    needed = np.ones((1, 1), np.int64)
    for start, stop in block_bounds(sharding, mesh):
        needed = needed * (stop - start)
    return needed


def _multiply_adds(kernel: Kernel) -> int:
    """Of the core with most of them, in products of matrices and convolutions; 0 for other kinds."""
    if kernel.kind == "attention":
        rows, keys = score_block(kernel)
        blocks_of = _loop_blocks(kernel)
        features = blocks_of.get("h", 1) * blocks_of.get("d", 1)
        widths = [features, blocks_of.get("n", features)]
        return rows * keys * sum(widths)
    if kernel.kind == "experts":
        return multiply_adds(kernel)
    blocks = {entry.role: entry.sharding.block_shape for entry in kernel.inputs}
    results = kernel.outputs[0].sharding.block_elements if kernel.outputs else 0
    if kernel.kind == "matmul" and blocks.get("a"):
        summed = kernel.arguments.get("parts_k")
        steps = 1 if kernel.rotation is None else kernel.rotation.steps
        return results * math.prod(blocks["a"][-len(summed) if isinstance(summed, tuple) else -1 :]) * steps
    if kernel.kind == "convolution" and len(blocks.get("w", ())) > 2:
        return results * math.prod(blocks["w"][2:])
    return 0


def score_block(kernel: Kernel) -> tuple[int, int]:
    """Rows, of all heads and samples, and keys of the scores that a core of an attention computes."""
    blocks = _loop_blocks(kernel)
    rows = math.prod(block for name, block in blocks.items() if name[:1] == "b" or name == "m")
    return rows, blocks.get("t", 1)


def _loop_blocks(kernel: Kernel) -> dict[str, int]:
    """Positions in a block of each loop of an attention, by the dimensions of its operands and result."""
    blocks: dict[str, int] = {}
    entries = [(entry.role, entry.sharding) for entry in kernel.inputs if entry.role in {"q", "k", "v"}]
    for role, sharding in (*entries, ("out", kernel.outputs[0].sharding)):
        labels = kernel.arguments.get(role)
        names = labels if isinstance(labels, tuple) else ()
        for name, dimension in zip(names, sharding.dimensions, strict=False):
            blocks[str(name)] = dimension.block
    return blocks


def _words_of_statistics(kernel: Kernel, target: Target) -> int:
    """Words of a maximum and a sum for each row of an attention whose keys are cut: they come in, or come back."""
    if kernel.kind != "attention" or not any(axis.name == "t" and axis.size > 1 for axis in kernel.mesh.axes):
        return 0
    return -(-2 * score_block(kernel)[0] * 4 // _bytes_of_a_cycle(target))
