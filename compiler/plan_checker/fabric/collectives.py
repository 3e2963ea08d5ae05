"""Which partial results a kernel has to combine, by docs/kernels.md, and whether its collectives do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from wsec.compiler.plan_checker.cycles import score_block
from wsec.compiler.plan_checker.findings import CIRCUIT, Finding, words
from wsec.compiler.plan_checker.kinds.experts import bytes_of_inner_products
from wsec.compiler.plan_checker.model_facts import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Collective, Kernel
    from wsec.compiler.target import Fabric

_GROUPED: Final = frozenset({"two_phase", "two_level"})
_OWN_WAYS: Final = frozenset({"recurrent", "unsplit"})
"""Kinds whose cores also pass on what is no partial result."""

Wanted = dict[tuple[str, str], tuple[int, int]]
"""Kind and axis -> words of all times together, and how often, both at least."""


def check_collectives(kernel: Kernel, fabric: Fabric) -> Iterator[Finding]:
    """Findings on the collectives of a kernel whose mesh and shardings are sound."""
    where = f"kernel {kernel.name}, collectives"
    order = [axis.name for axis in kernel.mesh.axes if axis.size > 1]
    unknown = [item.axis for item in kernel.collectives if item.axis not in order]
    if unknown:
        rule = "a collective goes along an axis of the mesh that has several cores"
        yield Finding(CIRCUIT, rule, where, f"axes among {words(order)}", words(unknown))
        return
    yield from _check_algorithms(kernel, where)
    if kernel.kind in _OWN_WAYS:
        return
    wanted = _wanted(kernel, fabric)
    for (kind, axis), (least, times) in wanted.items():
        found = [item for item in kernel.collectives if (item.kind, item.axis) == (kind, axis)]
        brought = sum(item.words * item.times for item in found)
        if not found or brought < least or sum(item.times for item in found) < times:
            rule = "partial results are combined along every axis that cuts them"
            expected = f"{kind} along {axis} of {least} words or more, {times} times or more"
            shown = "; ".join(f"{item.words} words, {item.times} times" for item in found)
            yield Finding(CIRCUIT, rule, where, expected, shown or "none")
    rank = {name: place for place, name in enumerate(reversed(order))}
    if kernel.kind == "attention" and "d" in rank:
        rank["d"] = -1  # scores are whole before statistics are taken of them
    for kind in ("reduce", "all_reduce"):
        along = [item.axis for item in kernel.collectives if item.kind == kind]
        expected_order = sorted(set(along), key=lambda name: rank[name])
        if along != expected_order:
            rule = "axes are combined once, the last of the mesh first"
            yield Finding(CIRCUIT, rule, where, f"{kind} along {words(expected_order)}", words(along))


def _check_algorithms(kernel: Kernel, where: str) -> Iterator[Finding]:
    """One for each axis, with groups that mean something; rings where they can be."""
    sizes = {axis.name: axis.size for axis in kernel.mesh.axes}
    axes = dict.fromkeys(item.axis for item in kernel.collectives)
    for name in axes:
        ways = {(item.algorithm, item.group) for item in kernel.collectives if item.axis == name}
        if len(ways) > 1:
            rule = "all collectives along an axis have one algorithm"
            shown = words([f"{algorithm} of {group}" for algorithm, group in sorted(ways)])
            yield Finding(CIRCUIT, rule, f"{where}, axis {name}", "one", shown)
    for item in kernel.collectives:
        expected = _groups(item, sizes[item.axis])
        if item.group not in expected:
            rule = "groups are those of the algorithm"
            allowed = str(expected[0]) if len(expected) == 1 else f"{expected[0]} to {expected[-1]}"
            place = f"{where}, {item.algorithm} along {item.axis}"
            yield Finding(CIRCUIT, rule, place, f"groups of {allowed}", f"groups of {item.group}")
        if item.algorithm != "ring":
            continue
        if item.kind != "all_reduce" or len(axes) > 1 or item.words < sizes[item.axis]:
            rule = "a ring is an all-reduce along the only axis, with a word for each core"
            found = f"{item.kind} of {item.words} words over {sizes[item.axis]} cores, {len(axes)} axes"
            yield Finding(CIRCUIT, rule, f"{where}, ring along {item.axis}", "such a one", found)


def _groups(item: Collective, cores: int) -> range:
    if item.algorithm == "two_phase":
        root = math.isqrt(cores - 1) + 1
        return range(root, root + 1)
    return range(1, cores + 1) if item.algorithm in _GROUPED else range(1)


def _wanted(kernel: Kernel, fabric: Fabric) -> Wanted:
    """What must be combined: results along root axes, statistics along the axes that cut their dimensions."""
    sizes = {axis.name: axis.size for axis in kernel.mesh.axes}
    made = [item for item in kernel.outputs if not item.state]
    elements = sum(item.sharding.block_elements * item_bytes(item.dtype) for item in made)
    result = -(-elements // fabric.word_bytes)
    roots = [name for item in kernel.outputs for name in item.sharding.root if sizes.get(name, 1) > 1]
    wanted: Wanted = {("reduce", name): (result, 1) for name in roots}
    times, statistic, axes = _statistics(kernel, result, fabric)
    for name in axes if times else roots:
        if sizes.get(name, 1) > 1 and times:
            wanted["all_reduce", name] = (statistic * times, times)
    if kernel.kind == "attention" and sizes.get("d", 1) > 1:
        rows, keys = score_block(kernel)
        # The scores are sums over the parts of the features; then probabilities come together that were computed in shares.
        times = 2 * math.prod(kernel.turns.values())
        wanted["all_reduce", "d"] = (2 * -(-rows * keys * 4 // fabric.word_bytes), times)
    return wanted


def _statistics(kernel: Kernel, result: int, fabric: Fabric) -> tuple[int, int, list[str]]:
    """How many statistics go to all cores, the words of one on a core at least, and the axes that cut what they are of."""
    roots = [name for item in kernel.outputs for name in item.sharding.root]
    if kernel.kind == "attention":
        return 2, 1, [name for name in roots if name == "t"]
    if kernel.kind == "experts":
        products = -(-bytes_of_inner_products(kernel) // fabric.word_bytes)
        return 1, products, [axis.name for axis in kernel.mesh.axes if axis.name == "h"]
    if kernel.kind == "reduction":
        return int(kernel.arguments.get("operation") == "log_sum_exp"), result, roots
    if kernel.kind not in {"softmax", "normalization"}:
        return 0, 0, []
    own = kernel.arguments.get("axis" if kernel.kind == "softmax" else "axes")
    given = own if isinstance(own, tuple) else (own,)
    over = [item.sharding.dimensions for item in kernel.inputs if item.role == "x"]
    known = range(len(over[0]) if over else 0)
    cut = [over[0][at] for at in given if isinstance(at, int) and at in known]
    times = 2 if kernel.kind == "softmax" else 1 + bool(kernel.arguments.get("centred"))
    block = math.prod(dimension.block for dimension in cut)
    return times, result // max(1, block), [name for dimension in cut for name in dimension.axes]
