"""Wafers on which kernels take turns: memory of all of them together, what goes from turn to turn, and how long a round takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import PHASES, Finding, count
from wsec.compiler.plan_checker.lacking import lacking, lacking_on_lines
from wsec.compiler.plan_checker.model_facts import item_bytes, packed_bytes
from wsec.compiler.plan_checker.rotations import shifted_bytes
from wsec.compiler.plan_checker.turn_sums import check_alone, check_sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, KernelInput, KernelOutput, Link, Phase, Plan, Rectangle, Wafer

    Integers = NDArray[np.int64]


def check_turns(plan: Plan, sound: set[str]) -> list[Finding]:
    """Findings on sequential wafers; of kernels that are not in `sound` only what does not need their shardings."""
    findings: list[Finding] = []
    for number, wafer in enumerate(plan.wafers):
        if wafer.mode != "sequential":
            findings += _check_no_turns(wafer, number)
            continue
        findings += _check_outside(wafer, plan)
        findings += [
            finding
            for kernel in wafer.kernels()
            if kernel.name in sound
            for finding in check_sums(kernel, plan)
        ]
        if all(kernel.name in sound for kernel in wafer.kernels()):
            findings += _check_memory(wafer, number, plan)
            findings += _check_links(wafer, plan)
        findings += _check_loads(wafer, number, plan)
        findings += _check_interval(wafer, number, plan)
    return findings


def _check_no_turns(wafer: Wafer, number: int) -> Iterator[Finding]:
    """What only turns may have: loads for every sample, and chains that cores share."""
    for at, phase in enumerate(wafer.phases):
        if phase.load is not None:
            rule = "the weights of a turn of a sequential wafer come in for every sample"
            where = f"wafer {number}, phase {at}, load"
            yield Finding(PHASES, rule, where, f"none of a {wafer.mode} wafer", f"{phase.load.cycles} cycles")
        for kernel in phase.kernels:
            yield from check_alone(kernel)


def _check_memory(wafer: Wafer, number: int, plan: Plan) -> Iterator[Finding]:
    """Weights and states of all kernels, and what the turn with most needs besides, on each core; code once."""
    grid = Grid([kernel.rectangle for kernel in wafer.kernels()])
    resident, most = bytes_of_turns(wafer, grid, frozenset() if plan.shared is None else plan.shared.moved())
    core = plan.target.core
    total = resident + most + core.code_reserve_bytes
    if total.max(initial=0) > core.sram_bytes:
        at = np.unravel_index(int(total.argmax()), total.shape)
        rule = "the weights of all turns and the blocks of one fit each core"
        found = (
            f"{int(total[at])} bytes: {int(resident[at])} of weights and states, {int(most[at])} of a turn"
        )
        where = f"wafer {number}, column {grid.columns[at[1]]}, row {grid.rows[at[0]]}"
        yield Finding(PHASES, rule, where, f"at most {core.sram_bytes} bytes", found)


def bytes_of_turns(
    wafer: Wafer,
    grid: Grid,
    brought: frozenset[tuple[str, str]],
    kept: frozenset[tuple[str, str]] = frozenset(),
) -> tuple[Integers, Integers]:
    """What stays on each core, and the most that it works with beside that.

    `brought` are weights by kernel and role that are there while their kernel works, `kept` those that are not counted.
    """
    resident, most, held = grid.zeros(), grid.zeros(), grid.zeros()
    ends = _lifetimes(wafer)
    leaving: dict[int, list[tuple[Rectangle, int]]] = {}
    for turn, phase in enumerate(wafer.phases):
        for place, size in leaving.pop(turn, ()):
            grid.add(held, place, -size)
        working = held.copy()
        _add_coming(working, grid, wafer.phases[(turn + 1) % len(wafer.phases)])
        for kernel in phase.kernels:
            for entry in kernel.inputs:
                key = kernel.name, entry.role
                passes = key in brought or (entry.constant and phase.load is not None)
                if key not in kept:
                    grid.add(working if passes else resident, kernel.rectangle, resident_bytes(entry))
            grid.add(working, kernel.rectangle, _working_bytes(kernel))
        most = np.maximum(most, working)
        for kernel in phase.kernels:
            for output in kernel.outputs:
                last = ends.get((kernel.name, output.tensor), turn)
                if last > turn + 1 and not output.state:
                    grid.add(held, kernel.rectangle, _block_bytes(output))
                    leaving.setdefault(last, []).append((kernel.rectangle, _block_bytes(output)))
    return resident, most


def _add_coming(working: Integers, grid: Grid, following: Phase) -> None:
    """Weights of the turn after, where they come in meanwhile."""
    if following.load is not None and following.load.ahead:
        for kernel in following.kernels:
            grid.add(working, kernel.rectangle, _weight_bytes(kernel))


class Grid:
    """The cores of a wafer, on which rectangles are counted; those between the same edges of rectangles hold the same, and are one."""

    def __init__(self, places: Sequence[Rectangle]) -> None:
        self.columns = np.unique([[place.x, place.x + place.width] for place in places])
        self.rows = np.unique([[place.y, place.y + place.height] for place in places])

    def zeros(self) -> Integers:
        """Bytes of each core, none yet."""
        return np.zeros((max(len(self.rows) - 1, 0), max(len(self.columns) - 1, 0)), dtype=np.int64)

    def add(self, cores: Integers, place: Rectangle, size: int) -> None:
        """Count so many bytes on every core of a rectangle."""
        if size:
            rows = slice(*np.searchsorted(self.rows, (place.y, place.y + place.height)))
            cores[rows, slice(*np.searchsorted(self.columns, (place.x, place.x + place.width)))] += size


def _lifetimes(wafer: Wafer) -> dict[tuple[str, str], int]:
    """The last turn that reads each tensor of a kernel of the wafer."""
    found: dict[tuple[str, str], int] = {}
    for turn, phase in enumerate(wafer.phases):
        for link in phase.links:
            if link.target != HOST:
                found[link.source, link.tensor] = turn
    return found


def resident_bytes(entry: KernelInput) -> int:
    """Bytes of a block of a weight or state; none of what links bring."""
    if not (entry.constant or entry.state):
        return 0
    return packed_bytes(entry.sharding.block_elements, entry.dtype)


def _working_bytes(kernel: Kernel) -> int:
    """Blocks of what a kernel reads and makes; of a turn of them where it has not room for all."""
    turns = math.prod(kernel.turns.values())
    read = sum(_block_bytes(entry) for entry in kernel.inputs if not (entry.constant or entry.state))
    made = sum(_block_bytes(entry) for entry in kernel.outputs if not entry.state)
    return -(-read // turns) + made + shifted_bytes(kernel)


def _block_bytes(entry: KernelInput | KernelOutput) -> int:
    return entry.sharding.block_elements * item_bytes(entry.dtype)


def _check_outside(wafer: Wafer, plan: Plan) -> Iterator[Finding]:
    """What comes from the host or another wafer, or goes there, passes the host's link."""
    target, own = plan.target, {kernel.name for kernel in wafer.kernels()}
    for link in (link for phase in wafer.phases for link in phase.links):
        bits = 8 * target.fabric.word_bytes * link.words
        least = math.floor(bits / target.host.bits_per_second * target.clock_hz)
        if not {link.source, link.target} <= own and link.cycles < least:
            rule = "what passes the host's link takes its time there"
            expected = f"at least {count(least, 'cycle')} for {count(link.words, 'word')}"
            yield Finding(PHASES, rule, f"link {link.name}", expected, f"{link.cycles} cycles")


def _check_exchanges(link: Link, source: Kernel, target: Kernel, plan: Plan) -> Iterator[Finding]:
    """Segments mean something; of exchanges in one direction, that all a core needs lies on its line."""
    side = max(plan.region_width, plan.region_height)
    for exchange in link.exchanges:
        if not (2 <= exchange.segment <= side and 0 <= exchange.offset < exchange.segment):
            rule = "an exchange is between several cores of a line, in segments of which the first may be shorter"
            found = f"segments of {exchange.segment}, the first of {exchange.offset}"
            yield Finding(PHASES, rule, f"link {link.name}", f"segments of 2 to {side}", found)
    directions = {exchange.along for exchange in link.exchanges}
    if len(directions) != 1:
        return
    given = next(item for item in source.outputs if item.tensor == link.tensor)
    held = given.sharding, source.mesh, source.rectangle
    needed = link.sharding, target.mesh, target.rectangle
    (along,) = directions
    missing = lacking_on_lines(held, needed, along)
    if missing:
        rule = "what a core needs lies on the line of its exchanges"
        found = f"a core lacks {count(missing, 'element')}"
        yield Finding(PHASES, rule, f"link {link.name}, exchange along {along}", "all of its block", found)


def _check_links(wafer: Wafer, plan: Plan) -> Iterator[Finding]:
    """What goes to a core comes through its ramp, one word a cycle."""
    kernels = {kernel.name: kernel for kernel in wafer.kernels()}
    known: dict[object, int] = {}
    judged: set[object] = set()  # equal layers are judged once
    for phase in wafer.phases:
        for link in phase.links:
            if link.source not in kernels or link.target not in kernels:
                continue
            source, target = kernels[link.source], kernels[link.target]
            least = _least_cycles(link, source, target, plan, known)
            shape = (
                link.sharding,
                link.exchanges,
                source.mesh,
                source.rectangle,
                target.mesh,
                target.rectangle,
                *(item.sharding for item in source.outputs),
            )
            if link.cycles < least:
                rule = "what a core lacks of a tensor comes through its ramp"
                yield Finding(
                    PHASES,
                    rule,
                    f"link {link.name}",
                    f"at least {count(least, 'cycle')}",
                    f"{link.cycles} cycles",
                )
            if least and link.exchanges and shape not in judged:
                judged.add(shape)
                yield from _check_exchanges(link, source, target, plan)
            if least and not link.exchanges:
                rule = "what a core lacks of a tensor is brought by exchanges"
                yield Finding(PHASES, rule, f"link {link.name}", "an exchange along rows or columns", "none")


def _least_cycles(link: Link, source: Kernel, target: Kernel, plan: Plan, known: dict[object, int]) -> int:
    """Words that the core lacks that lacks most; 0 where the chain alone reads it, at the root."""
    given = next(item for item in source.outputs if item.tensor == link.tensor)
    reduced = any(item.sharding.root for item in target.outputs)
    if (link.role[:1] == "e" and reduced) or not given.sharding.dimensions or target.turns:
        return 0
    mesh_key = source.mesh, source.rectangle, target.mesh, target.rectangle
    key = given.sharding, given.everywhere, link.sharding, mesh_key
    if key not in known:
        here, there = source.rectangle, target.rectangle
        lacks = lacking((given.sharding, source.mesh, here), (link.sharding, target.mesh, there))
        known[key] = lacks or 0  # what no view compares is not judged
    size = known[key] * item_bytes(given.dtype)
    return -(-size // (plan.target.fabric.word_bytes * plan.target.fabric.link_words_per_cycle))


def _check_loads(wafer: Wafer, number: int, plan: Plan) -> Iterator[Finding]:
    """Weights that come in pass the memory outside once, and the ramp of each core that keeps a part of them."""
    target = plan.target
    memory = target.external_memory or target.host
    for turn, phase in enumerate(wafer.phases):
        if phase.load is None:
            continue
        stored = {
            entry.tensor: packed_bytes(math.prod(entry.sharding.shape), entry.dtype)
            for kernel in phase.kernels
            for entry in kernel.inputs
            if entry.constant
        }
        outside = 8 * sum(stored.values()) / memory.bits_per_second * target.clock_hz
        of_core = max((_weight_bytes(kernel) for kernel in phase.kernels), default=0)
        ramp = of_core / (target.fabric.word_bytes * target.fabric.link_words_per_cycle)
        least = math.floor(max(outside, ramp))
        if phase.load.cycles < least:
            rule = "weights of a turn come in at the rate of the memory outside, and of a core's ramp"
            where = f"wafer {number}, turn {turn}, load"
            yield Finding(
                PHASES, rule, where, f"at least {count(least, 'cycle')}", f"{phase.load.cycles} cycles"
            )


def _weight_bytes(kernel: Kernel) -> int:
    """Of the weights of a kernel on one core."""
    return sum(
        packed_bytes(entry.sharding.block_elements, entry.dtype) for entry in kernel.inputs if entry.constant
    )


def _waiting(phase: Phase, before: Phase) -> int:
    """Cycles for which a turn waits for weights: those that arithmetic of the turn before does not hide."""
    if phase.load is None:
        return 0
    hidden = sum(max(each.cycles.compute, each.cycles.memory) for each in before.kernels)
    return max(0, phase.load.cycles - (hidden if phase.load.ahead else 0))


def _check_interval(wafer: Wafer, number: int, plan: Plan) -> Iterator[Finding]:
    """A wafer works on one sample at a time: the interval has room for all turns.

    That is the work of their kernels, all that comes to these, and the last result on its way out.
    """
    least = sum(_turn_cycles(phase) for phase in wafer.phases)
    least += sum(_waiting(phase, wafer.phases[turn - 1]) for turn, phase in enumerate(wafer.phases))
    least += max((link.cycles for link in wafer.phases[-1].links if link.target == HOST), default=0)
    if plan.placement.interval < least:
        rule = "the interval has room for all turns"
        found = f"{plan.placement.interval} cycles"
        yield Finding(PHASES, rule, f"wafer {number}, placement", f"at least {least} cycles", found)


def _turn_cycles(phase: Phase) -> int:
    arriving: dict[str, int] = {}
    for link in phase.links:
        if link.target != HOST:
            arriving[link.tensor] = max(arriving.get(link.tensor, 0), link.cycles)
    work = sum(
        max(each.cycles.compute, each.cycles.memory) + each.cycles.communication for each in phase.kernels
    )
    return work + sum(arriving.values())
