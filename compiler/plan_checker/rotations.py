"""Products whose operands shift: whether blocks lie so that in every step each core has two that belong together, and has room for them.

Of the loops m, n and k two are axes of a square of cores, the third goes around. Core (i, j) has part (i + j + s) of the third in step
s. That meets every part once, with the right other factor, if both axes and the loop that goes around have as many parts as there are
steps, if all that follows a loop is cut in the same blocks, and if what goes around lies along the axis that it does not follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import READS, SHARDING, Finding, words
from wsec.compiler.plan_checker.model_facts import item_bytes
from wsec.compiler.plan_checker.positions import axis_sizes, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput
    from wsec.compiler.plan_checker.expectation import Expectation
    from wsec.compiler.sharding import DimensionSharding

_LOOPS = ("m", "n", "k")


def check_rotation(kernel: Kernel, *, in_turns: bool) -> list[Finding]:
    """Findings on the record by itself: what may go around, and on which cores."""
    rotation = kernel.rotation
    if rotation is None:
        return []
    where = f"kernel {kernel.name}, rotation"
    findings = []
    roles = sorted(entry.role for entry in kernel.inputs if entry.role[:1] != "e")
    if kernel.kind != "matmul" or roles != ["a", "b"] or rotation.loop not in _LOOPS:
        found = f"loop {rotation.loop} of a {kernel.kind} of {words(roles)}"
        rule = "what goes around is a loop of a product of two matrices"
        findings.append(Finding(SHARDING, rule, where, f"one of {words(_LOOPS)}", found))
        return findings
    if not in_turns or kernel.turns:
        rule = "operands shift where kernels take turns, and no core walks its blocks in several"
        findings.append(
            Finding(SHARDING, rule, where, "one turn of a sequential wafer", words(list(kernel.turns)))
        )
    sizes = axis_sizes(kernel.mesh)
    sides = [sizes.get(name, 1) for name in _LOOPS if name != rotation.loop]
    if rotation.loop in sizes or sides != [rotation.steps] * 2 or rotation.steps < 2:
        rule = "the other loops have as many parts as there are steps, and what goes around has no axis"
        findings.append(
            Finding(SHARDING, rule, where, f"{rotation.steps} and {rotation.steps} parts", words(sides))
        )
    constant = {entry.role for entry in kernel.inputs if entry.constant}
    strangers = [role for role in rotation.placed if role not in constant]
    if strangers:
        rule = "weights alone are loaded where the first step needs them"
        findings.append(Finding(SHARDING, rule, where, words(sorted(constant)), words(strangers)))
    return findings


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix of the product, the loops that its dimensions follow, their extents, and the loops of the matrix that it lies like."""

    entry: KernelInput | KernelOutput
    loops: tuple[str, ...]
    extents: tuple[int, ...]
    lies: tuple[str, ...]


def check_rotated_reads(kernel: Kernel, expectation: Expectation) -> Iterator[Finding]:
    """Findings on where the blocks of all operands and of the result lie before the first step and behind the last."""
    of_output = tuple(loop.name for loop in expectation.output)
    extents = tuple(loop.extent for loop in expectation.output)
    found = {f"kernel {kernel.name}, output": _Matrix(kernel.outputs[0], of_output, extents, of_output)}
    entries = {entry.role: entry for entry in kernel.inputs}
    for operand in expectation.operands:
        if operand.role in entries and operand.view_fits:
            loops = tuple(read.loop for read in operand.reads)
            found[f"kernel {kernel.name}, input {operand.role}"] = _Matrix(
                entries[operand.role],
                loops,
                tuple(read.extent for read in operand.reads),
                of_output if operand.role[:1] == "e" else loops,
            )
    blocks: dict[str, int] = {}
    for where, matrix in found.items():
        yield from _check_matrix(kernel, matrix, blocks, where)


def _check_matrix(kernel: Kernel, matrix: _Matrix, blocks: dict[str, int], where: str) -> Iterator[Finding]:
    """Findings on one; `blocks` are those of each loop so far."""
    sharding = matrix.entry.sharding
    if sharding.shape != matrix.extents:
        rule = "operands and result have the view of their kind"
        yield Finding(READS, rule, where, str(list(matrix.extents)), str(list(sharding.shape)))
        return
    if sharding.root:
        yield Finding(READS, "nothing is combined at a root", where, "no root axes", words(sharding.root))
    for position, (dimension, loop) in enumerate(zip(sharding.dimensions, matrix.loops, strict=True)):
        place = f"{where}, dimension {position}"
        yield from _check_dimension(kernel, dimension, _axis(kernel, loop, matrix.lies), place)
        if loop and dimension.block != blocks.setdefault(loop, dimension.block):
            rule = "all that follows a loop is cut in the same blocks"
            found = f"blocks of {dimension.block}"
            yield Finding(READS, rule, place, f"blocks of {blocks[loop]}", found)


def _axis(kernel: Kernel, loop: str, matrix: Sequence[str]) -> str:
    """The axis that cuts a loop: its own, or that of the loop that the matrix does not follow; empty for none."""
    if kernel.rotation is not None and loop == kernel.rotation.loop:
        return next((name for name in _LOOPS if name not in matrix), "")
    return loop if axis_sizes(kernel.mesh).get(loop, 1) > 1 else ""


def _check_dimension(
    kernel: Kernel, dimension: DimensionSharding, wanted: str, where: str
) -> Iterator[Finding]:
    sizes = axis_sizes(kernel.mesh)
    axes = [axis for axis in dimension.axes if sizes[axis] > 1]
    expected = [wanted] if wanted else []
    held = parts_of(dimension, kernel.mesh) * dimension.block
    if axes != expected or not dimension.plain or held < dimension.extent:
        rule = (
            "what goes around lies along the axis of the loop that it does not follow, all else along its own"
        )
        found = f"blocks of {dimension.block}, step {dimension.step}, along axes {words(axes)}"
        described = f"plain blocks along axes {words(expected)} that hold {dimension.extent} elements"
        yield Finding(READS, rule, where, described, found)


def shifted_bytes(kernel: Kernel) -> int:
    """Bytes of the second block that a core needs of all that shifts, for what its neighbour sends."""
    return sum(elements * item_bytes(entry.dtype) for entry, elements in _shifting(kernel))


def words_shifted(kernel: Kernel, word_bytes: int) -> int:
    """Words that a core receives in all steps, of both sides: they pass its one ramp."""
    if kernel.rotation is None:
        return 0
    each = [-(-elements * item_bytes(entry.dtype) // word_bytes) for entry, elements in _shifting(kernel)]
    return kernel.rotation.steps * sum(each)


def _shifting(kernel: Kernel) -> list[tuple[KernelInput | KernelOutput, int]]:
    """The two matrices that follow what goes around, with the elements of a block."""
    if kernel.rotation is None:
        return []
    stays = {"k": "result", "n": "a", "m": "b"}[kernel.rotation.loop]
    entries: list[tuple[str, KernelInput | KernelOutput]] = [
        (entry.role, entry) for entry in kernel.inputs if entry.role in {"a", "b"}
    ]
    entries += [("result", output) for output in kernel.outputs]
    return [(entry, math.prod(entry.sharding.block_shape)) for role, entry in entries if role != stays]
