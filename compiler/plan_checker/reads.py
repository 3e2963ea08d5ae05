"""Whether every core holds what it reads, where it looks for it, and whether reductions are combined over every part.

A kernel's own record says which positions of each loop a core computes: the blocks of the output for parallel loops,
those of the first operand for reductions. What must be read there comes from the node (see `expectation`), dimension by
dimension over the few axes that matter to it, so nothing here grows with the rectangle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import REPLICAS
from wsec.compiler.plan_checker.findings import READS, Finding, count, words
from wsec.compiler.plan_checker.positions import axis_sizes, block_starts, coordinate, holds_each_once
from wsec.compiler.plan_checker.rotations import check_rotated_reads
from wsec.compiler.plan_checker.shares import blocks_of_shares, check_shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, KernelInput
    from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, Read
    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding


def check_reads(kernel: Kernel, expectation: Expectation) -> list[Finding]:
    """Findings on the output, the reductions and the inputs of a kernel whose shardings are sound."""
    if kernel.rotation is not None:
        return list(check_rotated_reads(kernel, expectation))
    findings = list(_check_output(kernel, expectation))
    if findings:
        return findings
    entries = {entry.role: entry for entry in kernel.inputs}
    fitting = []
    for operand in expectation.operands:
        if operand.role not in entries or not operand.view_fits:
            continue
        findings += check_shares(kernel, entries[operand.role], operand)
        entries[operand.role] = blocks_of_shares(entries[operand.role], operand)
        of_view = list(_check_view(kernel, entries[operand.role], operand))
        findings += of_view
        if not of_view:
            fitting.append(operand)
    findings += _check_reductions(kernel, expectation, fitting)
    blocks = _loop_blocks(kernel, expectation, fitting)
    findings += _check_turns(kernel, blocks)
    for operand in fitting:
        findings += _check_operand(kernel, entries[operand.role], operand, blocks)
    return findings


def _check_output(kernel: Kernel, expectation: Expectation) -> Iterator[Finding]:
    named = dict.fromkeys(loop.name for loops in expectation.outputs for loop in loops if loop.name)
    known = [*named, *expectation.reductions, *REPLICAS]
    strangers = [axis.name for axis in kernel.mesh.axes if axis.name not in known]
    if strangers:
        rule = "mesh axes are loops of the kind"
        yield Finding(
            READS,
            rule,
            f"kernel {kernel.name}",
            f"axes among {words(known[: -len(REPLICAS)])}",
            words(strangers),
        )
    for loops, output in zip(expectation.outputs, kernel.outputs, strict=True):
        where = f"kernel {kernel.name}, output"
        yield from _check_dimensions(loops, output.sharding, kernel.mesh, where)
    yield from _check_alike(kernel, expectation)


def _check_alike(kernel: Kernel, expectation: Expectation) -> Iterator[Finding]:
    """Outputs that follow one loop are computed for the same positions of it."""
    blocks: dict[str, int] = {}
    for loops, output in zip(expectation.outputs, kernel.outputs, strict=True):
        for position, (loop, dimension) in enumerate(zip(loops, output.sharding.dimensions, strict=False)):
            block = blocks.setdefault(loop.name, dimension.block) if loop.name else dimension.block
            if dimension.block != block:
                rule = "all outputs are cut alike"
                where = f"kernel {kernel.name}, output {output.tensor}, dimension {position}"
                yield Finding(READS, rule, where, f"blocks of {block}", f"blocks of {dimension.block}")


def _check_dimensions(
    loops: tuple[Loop, ...], sharding: Sharding, mesh: Mesh, where: str
) -> Iterator[Finding]:
    extents = [loop.extent for loop in loops]
    if list(sharding.shape) != extents:
        rule = "the output has the view of its kind"
        yield Finding(READS, rule, where, str(extents), str(list(sharding.shape)))
        return
    sizes = axis_sizes(mesh)
    for position, (dimension, loop) in enumerate(zip(sharding.dimensions, loops, strict=True)):
        axes = (loop.name,) if sizes.get(loop.name, 1) > 1 else ()
        if tuple(axis for axis in dimension.axes if sizes[axis] > 1) != axes:
            rule = "an axis cuts the dimension of its loop"
            found = f"axes {words(dimension.axes)}"
            yield Finding(READS, rule, f"{where}, dimension {position}", f"axes {words(axes)}", found)


def _check_view(kernel: Kernel, entry: KernelInput, operand: Operand) -> Iterator[Finding]:
    where = f"kernel {kernel.name}, input {entry.role}"
    extents = [read.extent for read in operand.reads]
    if list(entry.sharding.shape) != extents:
        rule = "an input has the view of its kind"
        yield Finding(READS, rule, where, str(extents), str(list(entry.sharding.shape)))
    allowed = kernel.outputs[0].sharding.root if operand.at_root else ()
    missing = [axis for axis in entry.sharding.root if axis not in allowed]
    if missing:
        rule = "an input lies on every core that reads it"
        yield Finding(READS, rule, where, f"root axes among {words(allowed)}", words(missing))


def _check_reductions(kernel: Kernel, expectation: Expectation, operands: list[Operand]) -> Iterator[Finding]:
    sizes = axis_sizes(kernel.mesh)
    cut = [name for name in expectation.reductions if sizes.get(name, 1) > 1]
    root = [axis for axis in kernel.outputs[0].sharding.root if sizes[axis] > 1]
    if sorted(root) != sorted(cut):
        rule = "a reduction that is cut is combined at the root"
        where = f"kernel {kernel.name}, output"
        yield Finding(READS, rule, where, f"root axes {words(cut)}", f"root axes {words(root)}")
    for name in expectation.reductions:
        dimension = _reduced_dimension(kernel, name, operands)
        axes = (name,) if name in cut else ()
        if dimension is not None and not holds_each_once(dimension, axes, kernel.mesh):
            rule = "the parts of a reduction are each summed once"
            where = f"kernel {kernel.name}, loop {name}"
            found = f"blocks of {dimension.block}, step {dimension.step}, along axes {words(dimension.axes)}"
            expected = f"plain blocks along axes {words(axes)} that hold {dimension.extent} elements"
            yield Finding(READS, rule, where, expected, found)


def _reduced_dimension(kernel: Kernel, loop: str, operands: list[Operand]) -> DimensionSharding | None:
    """The dimension of the first operand that a reduction loop walks through."""
    entries = {entry.role: entry for entry in kernel.inputs}
    walked = (
        entries[operand.role].sharding.dimensions[position]
        for operand in operands
        for position, read in enumerate(operand.reads)
        if read.loop == loop
    )
    return next(walked, None)


def _loop_blocks(kernel: Kernel, expectation: Expectation, operands: list[Operand]) -> dict[str, int]:
    """Positions in a block of each loop."""
    blocks = dict(expectation.inner)
    for loops, output in zip(expectation.outputs, kernel.outputs, strict=True):
        for loop, of_loop in zip(loops, output.sharding.dimensions, strict=True):
            blocks[loop.name] = of_loop.block
    for name, extent in expectation.reductions.items():
        dimension = _reduced_dimension(kernel, name, operands)
        blocks[name] = extent if dimension is None else dimension.block
    return blocks


def _check_turns(kernel: Kernel, blocks: dict[str, int]) -> Iterator[Finding]:
    for loop, turns in kernel.turns.items():
        if turns > max(1, blocks.get(loop, 1)):
            rule = "a core takes no more turns than it has positions of a loop"
            where = f"kernel {kernel.name}, loop {loop}"
            yield Finding(
                READS,
                rule,
                where,
                f"at most {count(max(1, blocks.get(loop, 1)), 'turn')}",
                count(turns, "turn"),
            )


def _check_operand(
    kernel: Kernel, entry: KernelInput, operand: Operand, blocks: dict[str, int]
) -> Iterator[Finding]:
    pairs = zip(entry.sharding.dimensions, operand.reads, strict=True)
    for position, (dimension, read) in enumerate(pairs):
        where = f"kernel {kernel.name}, input {entry.role}, dimension {position}"
        if read.loop:
            yield from _check_looped(dimension, read, kernel.mesh, blocks[read.loop], where)
        else:
            yield from _check_whole(dimension, kernel.mesh, where)


def _check_whole(dimension: DimensionSharding, mesh: Mesh, where: str) -> Iterator[Finding]:
    starts = block_starts(dimension, dimension.axes, mesh)
    wrong = (starts != 0) | (starts + dimension.block < dimension.extent)
    if dimension.extent and wrong.any():
        at = np.unravel_index(int(wrong.argmax()), wrong.shape)
        start = int(starts[at])
        rule = "every core holds the whole dimension"
        yield Finding(READS, rule, where, _range(0, dimension.extent), _range(start, start + dimension.block))


def _check_looped(
    dimension: DimensionSharding, read: Read, mesh: Mesh, block: int, where: str
) -> Iterator[Finding]:
    """Compares blocks with reads for every index along the loop's axis and whatever else cuts the dimension."""
    space = tuple(dict.fromkeys((*((read.loop,) if read.loop in axis_sizes(mesh) else ()), *dimension.axes)))
    first = coordinate(read.loop, space, mesh) * block
    start = block_starts(dimension, space, mesh)
    first, start = np.broadcast_arrays(first, start)
    positions = len(read.low)
    active = first < positions
    begin = np.minimum(first, positions - 1)
    blocks = np.arange(0, positions, block)
    low = np.minimum.reduceat(read.low, blocks)[begin // block]
    high = np.maximum.reduceat(read.high, blocks)[begin // block]
    anchor = read.low[begin] + min(read.stride, 0) * (block - 1)
    low_inside, high_inside = np.clip(low, 0, read.extent), np.clip(high, 0, read.extent)
    active = active & (low_inside < high_inside)
    missing = active & ((start > low_inside) | (start + dimension.block < high_inside))
    if missing.any():
        rule = "a core holds every element that it reads"
        yield _difference(rule, where, missing, (low_inside, high_inside), (start, start + dimension.block))
        return
    shifted = active & (start != anchor)
    if read.anchored and shifted.any():
        rule = "a block begins with the first element that its core reads"
        yield _difference(rule, where, shifted, (anchor, high), (start, start + dimension.block))
        return
    reach = int((read.high[:1] - read.low[:1]).sum())
    length = (block - 1) * abs(read.stride) + reach
    if read.window and dimension.block < length:
        rule = "a block is long enough for every window"
        yield Finding(READS, rule, where, f"blocks of {length} elements", f"blocks of {dimension.block}")


def _difference(
    rule: str,
    where: str,
    wrong: NDArray[np.bool_],
    expected: tuple[NDArray[np.int64], NDArray[np.int64]],
    found: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Finding:
    at = np.unravel_index(int(wrong.argmax()), wrong.shape)
    index = words([int(i) for i in at])
    return Finding(
        READS,
        rule,
        f"{where}, block {index}",
        _range(int(expected[0][at]), int(expected[1][at])),
        _range(int(found[0][at]), int(found[1][at])),
    )


def _range(low: int, high: int) -> str:
    return f"elements [{low}, {high})"
