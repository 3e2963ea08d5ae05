"""What links carry: all that the consumer's cores need, with enough words, samples held and cycles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import LINK, Finding, count
from wsec.compiler.plan_checker.model_facts import item_bytes
from wsec.compiler.plan_checker.positions import covers
from wsec.compiler.plan_checker.shardings import check_sharding
from wsec.compiler.sharding import Mesh, Sharding, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput, Link, Plan

_ONE_CORE = Mesh(())


def check_contents(plan: Plan, sound: set[str]) -> list[Finding]:
    """Findings on the links of a plan; those of kernels that are not in `sound` are left out."""
    kernels = {kernel.name: kernel for kernel in plan.kernels() if kernel.name in sound}
    findings: list[Finding] = []
    for link in plan.links():
        findings += _check_cycles(link, kernels.get(link.target), plan)
        if link.target == HOST:
            findings += _check_to_host(link, kernels, plan)
        elif link.target in kernels:
            findings += _check_to_kernel(link, kernels[link.target], plan)
    return findings


def _check_to_host(link: Link, kernels: dict[str, Kernel], plan: Plan) -> Iterator[Finding]:
    where = f"link {link.name}"
    given = kernels[link.source].outputs if link.source in kernels else ()
    for output in given:
        if output.tensor != link.tensor:
            continue
        yield from _check_words(link, output, plan)
        everything = Sharding(tuple(whole(extent) for extent in link.sharding.shape))
        if math.prod(link.sharding.shape) != math.prod(output.sharding.shape):
            rule = "a link brings the whole tensor to the host"
            expected = f"{math.prod(output.sharding.shape)} elements"
            yield Finding(LINK, rule, where, expected, f"a view {list(link.sharding.shape)}")
        yield from _check_brings(link, everything, _ONE_CORE)


def _check_to_kernel(link: Link, kernel: Kernel, plan: Plan) -> Iterator[Finding]:
    where = f"link {link.name}"
    for entry in kernel.inputs:
        if entry.role != link.role:
            continue
        yield from _check_words(link, entry, plan)
        yield from _check_slots(link, entry)
        if link.sharding.shape != entry.sharding.shape:
            rule = "a link uses the view of the input that it feeds"
            found = str(list(link.sharding.shape))
            yield Finding(LINK, rule, where, str(list(entry.sharding.shape)), found)
            return
        yield from _check_brings(link, entry.sharding, kernel.mesh)


def _check_words(link: Link, entry: KernelInput | KernelOutput, plan: Plan) -> Iterator[Finding]:
    size = math.prod(entry.sharding.shape) * item_bytes(entry.dtype)
    words = -(-size // plan.target.fabric.word_bytes)
    if link.words != words:
        rule = "a link counts the words of its tensor"
        yield Finding(
            LINK, rule, f"link {link.name}", f"{words} words of {size} bytes", f"{link.words} words"
        )


def _check_slots(link: Link, entry: KernelInput) -> Iterator[Finding]:
    if link.slots != entry.slots:
        rule = "link and input hold as many samples"
        expected = f"{entry.slots}, as input {entry.role} of {link.target}"
        yield Finding(LINK, rule, f"link {link.name}", expected, str(link.slots))


def _check_brings(link: Link, need: Sharding, mesh: Mesh) -> Iterator[Finding]:
    where = f"link {link.name}"
    unsound = list(check_sharding(link.sharding, mesh, where))
    if unsound:
        yield from unsound
        return
    missing = [axis for axis in link.sharding.root if axis not in need.root]
    if missing:
        rule = "a link reaches every core that reads the tensor"
        yield Finding(LINK, rule, where, "no root axes but those of the input", ", ".join(missing))
    pairs = zip(link.sharding.dimensions, need.dimensions, strict=True)
    for position, (have, wanted) in enumerate(pairs):
        ranges = covers(have, wanted, mesh)
        if ranges is not None:
            rule = "a link brings each core all that it needs"
            expected, found = (f"elements [{low}, {high})" for low, high in ranges)
            yield Finding(LINK, rule, f"{where}, dimension {position}", expected, found)


def _check_cycles(link: Link, consumer: Kernel | None, plan: Plan) -> Iterator[Finding]:
    lanes = sum(route.lanes for route in link.routes)
    if not lanes:
        return
    words = link.words
    if link.source == HOST and consumer is not None and plan.fabric == "full":
        words = _words_needed(link, consumer)
    least = -(-words // (lanes * plan.target.fabric.link_words_per_cycle))
    for name, cycles in (("cycles", link.cycles), ("interval", link.interval)):
        if cycles < least:
            rule = "a lane carries one word a cycle"
            expected = f"at least {least} cycles for {count(words, 'word')} on {count(lanes, 'lane')}"
            yield Finding(LINK, rule, f"link {link.name}, {name}", expected, f"{cycles} cycles")


def _words_needed(link: Link, consumer: Kernel) -> int:
    """Words of those that some core needs; the host sends no others."""
    needed = 1
    for dimension in link.sharding.dimensions:
        axes = [axis for axis in consumer.mesh.axes if axis.name in dimension.axes]
        starts = dimension.starts(np.arange(math.prod(axis.size for axis in axes)))
        inside = np.zeros(dimension.extent + 1, np.int64)
        np.add.at(inside, starts.clip(0, dimension.extent), 1)
        np.subtract.at(inside, (starts + dimension.block).clip(0, dimension.extent), 1)
        needed *= int((np.cumsum(inside[:-1]) > 0).sum())
    return link.words * needed // max(math.prod(link.sharding.shape), 1)
