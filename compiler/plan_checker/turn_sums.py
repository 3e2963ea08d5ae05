"""What cores combine in a turn: that results come back to all of them, in groups that mean something, and in what time; and shared chains.

The bounds are those of any algorithm: along an axis with several cores each of them takes at least as many words from its router as the
result has, as it holds the whole of it afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsec.compiler.plan_checker.findings import PHASES, Finding, count, words
from wsec.compiler.plan_checker.model_facts import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Collective, Kernel, Plan

_GROUPED: Final = frozenset({"two_phase", "two_level"})
_FROM_THE_FIRST: Final = frozenset({"tree", "ring"})
"""Algorithms that make no result in the middle of a line."""


def check_sums(kernel: Kernel, plan: Plan) -> Iterator[Finding]:
    """Findings on the all-reduces of a kernel that takes turns, and on who shares its chain."""
    yield from _check_everywhere(kernel)
    for item in kernel.collectives:
        yield from _check_algorithm(item, kernel, max(plan.region_width, plan.region_height))
    yield from _check_words(kernel, plan.target.fabric.word_bytes)
    yield from _check_time(kernel, plan.target.fabric.link_words_per_cycle)
    yield from _check_chain(kernel)


def _cut_roots(kernel: Kernel) -> dict[str, int]:
    """Cores along each axis that cuts a sum."""
    sizes = {axis.name: axis.size for axis in kernel.mesh.axes}
    roots = [axis for output in kernel.outputs for axis in output.sharding.root]
    return {axis: sizes[axis] for axis in roots if sizes.get(axis, 1) > 1}


def _check_everywhere(kernel: Kernel) -> Iterator[Finding]:
    """What goes to later turns is counted from all cores: an all-reduce along each axis brings the result to them."""
    reduced = {item.axis for item in kernel.collectives if item.kind == "all_reduce"}
    cut = _cut_roots(kernel)
    missing = [axis for axis in cut if axis not in reduced]
    for output in kernel.outputs:
        where = f"kernel {kernel.name}, output {output.tensor}"
        if cut.keys() & set(output.sharding.root) and not output.everywhere:
            rule = "a result that cores of a turn combine lies everywhere behind it"
            yield Finding(PHASES, rule, where, "everywhere", "at the root alone")
        if output.everywhere and missing:
            rule = "a result that lies everywhere was all-reduced along its root axes"
            yield Finding(PHASES, rule, where, f"an all_reduce along {', '.join(missing)}", "none")


def _check_algorithm(item: Collective, kernel: Kernel, side: int) -> Iterator[Finding]:
    """Groups are no longer than a side of the region, along which a demanded algorithm goes on beyond the axis."""
    where = f"kernel {kernel.name}, {item.algorithm} along {item.axis}"
    least, most = (1, side) if item.algorithm in _GROUPED else (0, 0)
    if not least <= item.group <= most:
        rule = "groups are those of the algorithm"
        yield Finding(PHASES, rule, where, f"groups of {least} to {most}", f"groups of {item.group}")
    if item.root == "middle" and item.algorithm in _FROM_THE_FIRST:
        rule = "a tree and a ring begin at the first core"
        yield Finding(PHASES, rule, where, "root first", f"root {item.root}")


def _check_words(kernel: Kernel, word_bytes: int) -> Iterator[Finding]:
    """Every all-reduce along a root axis carries the whole block of the result, of all turns of a core together."""
    made = [output for output in kernel.outputs if not output.state]
    size = sum(output.sharding.block_elements * item_bytes(output.dtype) for output in made)
    least = -(-size // word_bytes)
    for axis in _cut_roots(kernel):
        along = [item for item in kernel.collectives if (item.kind, item.axis) == ("all_reduce", axis)]
        brought = sum(item.words * item.times for item in along)
        if along and brought < least:
            rule = "an all-reduce carries the block of the result"
            where = f"kernel {kernel.name}, all_reduce along {axis}"
            yield Finding(PHASES, rule, where, f"at least {count(least, 'word')}", count(brought, "word"))


def _check_time(kernel: Kernel, link_words: int) -> Iterator[Finding]:
    passed = sum(item.words * item.times for item in kernel.collectives if item.kind == "all_reduce")
    least = passed // link_words
    if kernel.cycles.communication < least:
        rule = "a core takes the words of all-reduces from its router"
        where, found = f"kernel {kernel.name}, communication", f"{kernel.cycles.communication} cycles"
        yield Finding(PHASES, rule, where, f"at least {count(least, 'cycle')}", found)


def _check_chain(kernel: Kernel) -> Iterator[Finding]:
    """Cores that share a chain lie on one line along which partial results come together, each with a part of it."""
    if kernel.chain_cores == 1:
        return
    output = kernel.outputs[0].sharding
    longest = max(_cut_roots(kernel).values(), default=1)
    pieces = next((extent for extent in output.block_shape if extent > 1), 1)
    most = min(longest, pieces) if kernel.chain else 1
    if not 1 <= kernel.chain_cores <= most:
        rule = "a chain is shared by cores of a line along which its operand was combined"
        found = f"{kernel.chain_cores}"
        yield Finding(PHASES, rule, f"kernel {kernel.name}", f"at most {most} of {longest} cores", found)


def check_alone(kernel: Kernel) -> Iterator[Finding]:
    """Findings on a kernel that takes no turns: the core at the root computes its chain."""
    if kernel.chain_cores != 1:
        rule = "cores share a chain where kernels take turns"
        where = f"kernel {kernel.name}, chain_cores"
        yield Finding(PHASES, rule, where, words(["1"]), f"{kernel.chain_cores}")
