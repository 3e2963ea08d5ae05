"""Loops seen as several: the argument `parts_<loop>` of a kernel gives extents, and what followed the loop follows these.

And the loop over the pairs of a rotary embedding: by its definition (ONNX, RotaryEmbedding without `interleaved`) features `i` and
`i + d / 2` of a head are computed of these two and of element `i` of both tables, and of nothing else.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, Read, along, whole
from wsec.compiler.plan_checker.findings import OPERATOR, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_PREFIX: Final = "parts_"
_PAIRS: Final = "pairs"
_HEADS: Final = 4  # dimensions of a tensor of heads


def in_parts(
    expectation: Expectation, kernel: Kernel, node: OperatorFacts | None, model: ModelFacts
) -> Expectation:
    """What is expected of a kernel with the loops that its record sees as several, where these are possible."""
    for name, extents in _parts(kernel).items():
        extent = _extent(expectation, name)
        if extent and math.prod(extents) == extent:
            expectation = _with_parts(expectation, name, extents)
    pairs = kernel.arguments.get(_PAIRS)
    if node is not None and isinstance(pairs, int) and _may_turn_apart(node, model, pairs):
        return _with_pairs(expectation, pairs)
    return expectation


def check_parts(expectation: Expectation, kernel: Kernel) -> Iterator[Finding]:
    """Findings on parts of loops that the kernel cannot be seen with; `expectation` is that of `in_parts`."""
    loops = {loop.name: loop.extent for of_output in expectation.outputs for loop in of_output}
    loops |= expectation.reductions
    where = f"kernel {kernel.name}, argument "
    for name, extents in _parts(kernel).items():
        if any(loops.get(f"{name}_{at}") != extent for at, extent in enumerate(extents)):
            rule = (
                "the parts of a loop have as many positions as the loop, which all operands follow one by one"
            )
            expected = f"parts of loop {name}, if the kernel has such a loop"
            yield Finding(OPERATOR, rule, f"{where}{_PREFIX}{name}", expected, str(list(extents)))
    pairs = kernel.arguments.get(_PAIRS)
    if pairs is not None and loops.get(_PAIRS) != pairs:
        rule = "pairs are those of a rotary embedding of whole heads"
        yield Finding(OPERATOR, rule, f"{where}{_PAIRS}", "half of the features of a head", str(pairs))


def _parts(kernel: Kernel) -> dict[str, tuple[int, ...]]:
    return {
        name.removeprefix(_PREFIX): tuple(int(each) for each in value)
        for name, value in kernel.arguments.items()
        if name.startswith(_PREFIX) and isinstance(value, tuple)
    }


def _extent(expectation: Expectation, name: str) -> int:
    """Positions of a loop whose operands follow it one by one; 0 where there is none or some does not."""
    extents = {loop.extent for loops in expectation.outputs for loop in loops if loop.name == name}
    extents |= {extent for loop, extent in expectation.reductions.items() if loop == name}
    for operand in expectation.operands:
        for read in operand.reads:
            if read.loop == name:
                extents.add(read.extent if _one_by_one(read) else 0)
    return extents.pop() if len(extents) == 1 else 0


def _one_by_one(read: Read) -> bool:
    plain = along(read.loop, read.extent)
    return (
        len(read.low) == read.extent
        and bool((read.low == plain.low).all() and (read.high == plain.high).all())
        and read.stride == 1
    )


def _with_parts(expectation: Expectation, name: str, extents: tuple[int, ...]) -> Expectation:
    parts = tuple(Loop(f"{name}_{at}", extent) for at, extent in enumerate(extents))
    reads = tuple(along(part.name, part.extent) for part in parts)

    def seen(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
        return tuple(each for loop in loops for each in (parts if loop.name == name else (loop,)))

    def operand(item: Operand) -> Operand:
        of_item = tuple(each for read in item.reads for each in (reads if read.loop == name else (read,)))
        return replace(item, reads=of_item)

    reductions: dict[str, int] = {}
    for loop, extent in expectation.reductions.items():
        reductions |= {part.name: part.extent for part in parts} if loop == name else {loop: extent}
    return replace(
        expectation,
        operands=tuple(map(operand, expectation.operands)),
        output=seen(expectation.output),
        others=tuple(map(seen, expectation.others)),
        reductions=reductions,
    )


def _may_turn_apart(node: OperatorFacts, model: ModelFacts, pairs: int) -> bool:
    shape = model.shape(node.input(0))
    return (
        node.op_type == "RotaryEmbedding"
        and node.domain in {"", "ai.onnx"}
        and not node.integer("interleaved", 0)
        and len(shape) == _HEADS
        and shape[-1] == 2 * pairs
        and node.integer("rotary_embedding_dim", 0) in {0, shape[-1]}
        and all(model.shape(node.input(table))[-1] == pairs for table in (1, 2))
    )


def _with_pairs(expectation: Expectation, pairs: int) -> Expectation:
    walked = along(_PAIRS, pairs)

    def operand(item: Operand) -> Operand:
        if item.role == "in0":
            return replace(item, reads=(*item.reads[:-1], whole(2), walked))
        return replace(item, reads=(*item.reads[:-1], walked)) if item.role in {"in1", "in2"} else item

    return replace(
        expectation,
        operands=tuple(map(operand, expectation.operands)),
        output=(*expectation.output[:-1], Loop("", 2), Loop(_PAIRS, pairs)),
    )
