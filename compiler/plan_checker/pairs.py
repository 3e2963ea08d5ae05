"""Two plans of one machine, a decoder's and that of its prefill: what the second finds on the cores of the first, and memory of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.findings import DATAFLOW, HEADER, LINK, MEMORY, SHARDING, Finding, count
from wsec.compiler.plan_checker.lacking import alike, lacking
from wsec.compiler.plan_checker.model_facts import item_bytes, packed_bytes
from wsec.compiler.plan_checker.turns import Grid, bytes_of_turns, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import (
        Kernel,
        KernelInput,
        KernelOutput,
        Plan,
        SharedCache,
        SharedResidents,
        SharedWeight,
        Wafer,
    )
    from wsec.compiler.plan_checker.lacking import Placed

    Located = dict[str, tuple[int, Kernel]]


def check_whole_pair(decoder: Plan, prefill: Plan, digest: str) -> tuple[Finding, ...]:
    """As `check_pair` of the package."""
    shared = prefill.shared
    if shared is None:
        rule = "the plan of a prefill says what it shares with that of its decoder"
        return (Finding(HEADER, rule, "shared", "weights and caches", "nothing"),)
    findings = [*_check_machines(decoder, prefill, shared, digest), *_check_stays(decoder, shared)]
    if findings:
        return tuple(findings)
    there, here = _located(decoder), _located(prefill)
    known: dict[object, int | None] = {}
    taken: dict[str, int] = {}  # cycles of each kernel in which what it shares is brought
    for weight in shared.weights:
        findings += _check_weight(weight, here, there, (prefill, known))
        taken[weight.kernel] = taken.get(weight.kernel, 0) + weight.cycles
    for cache in shared.caches:
        findings += _check_cache(cache, here, there, (decoder, prefill, known))
        taken[cache.kernel] = taken.get(cache.kernel, 0) + cache.cycles
    for name, cycles in taken.items():
        if name in here and here[name][1].cycles.communication < cycles:
            rule = "a kernel has the time in which what it shares is brought"
            found = f"{here[name][1].cycles.communication} of communication"
            findings.append(
                Finding(LINK, rule, f"kernel {name}", f"at least {count(cycles, 'cycle')}", found)
            )
    if not findings:
        findings += _check_memory(decoder, prefill, shared)
    return tuple(findings)


def _check_machines(decoder: Plan, prefill: Plan, shared: SharedResidents, digest: str) -> Iterator[Finding]:
    if shared.plan_sha256 != digest:
        rule = "the prefill was planned for this plan of its decoder"
        yield Finding(HEADER, rule, "shared", f"a plan.json of digest {shared.plan_sha256}", digest)
    regions = [(plan.region_width, plan.region_height) for plan in (decoder, prefill)]
    if (decoder.target, regions[0]) != (prefill.target, regions[1]):
        expected, found = (
            f"{plan.target.name}, {wide} x {high}"
            for plan, (wide, high) in zip((decoder, prefill), regions, strict=True)
        )
        yield Finding(HEADER, "both plans are of one machine and region", "target", expected, found)
    if len(decoder.wafers) != len(prefill.wafers):
        expected, found = (count(len(plan.wafers), "wafer") for plan in (decoder, prefill))
        yield Finding(HEADER, "both plans have the same wafers", "wafers", expected, found)


def _check_stays(decoder: Plan, shared: SharedResidents) -> Iterator[Finding]:
    """Weights that come in for each phase or turn are gone when the prefill works."""
    passing = {
        kernel.name
        for wafer in decoder.wafers
        for phase in wafer.phases
        if phase.load is not None or wafer.mode == "streaming"
        for kernel in phase.kernels
    }
    for weight in shared.weights:
        if weight.kept != "copied" and weight.holder in passing:
            rule = "a shared weight stays on the cores of the decoder"
            where = f"shared weight {weight.tensor} of kernel {weight.kernel}, role {weight.role}"
            expected = "a kernel of the decoder whose weights are resident"
            yield Finding(SHARDING, rule, where, expected, f"kernel {weight.holder}, whose weights come in")


def _located(plan: Plan) -> Located:
    return {
        kernel.name: (number, kernel)
        for number, wafer in enumerate(plan.wafers)
        for kernel in wafer.kernels()
    }


def _check_weight(
    weight: SharedWeight, here: Located, there: Located, memo: tuple[Plan, dict[object, int | None]]
) -> Iterator[Finding]:
    where = f"shared weight {weight.tensor} of kernel {weight.kernel}, role {weight.role}"
    needed = _weight_of(here.get(weight.kernel), weight.tensor, weight.role)
    held = _weight_of(there.get(weight.holder), weight.decoder_tensor, None)
    if needed is None or held is None:
        rule = "a shared weight is one of a kernel of both plans"
        missing = f"kernel {weight.kernel}" if needed is None else f"kernel {weight.holder} of the decoder"
        yield Finding(
            DATAFLOW, rule, where, f"{weight.tensor} and {weight.decoder_tensor}", f"none of {missing}"
        )
        return
    (wafer, reader, entry), (other, holder, kept) = needed, held
    if entry.dtype != kept.dtype or not alike(entry.sharding, kept.sharding):
        rule = "a shared weight has the element type and the shape that the decoder has"
        expected, found = (f"{item.dtype} {list(item.sharding.shape)}" for item in (kept, entry))
        yield Finding(DATAFLOW, rule, where, expected, found)
        return
    size = packed_bytes(entry.sharding.block_elements, entry.dtype)
    if weight.bytes < size:
        rule = "the bytes of a shared weight are those of its block"
        yield Finding(MEMORY, rule, where, f"at least {size} bytes", f"{weight.bytes} bytes")
    if weight.kept == "copied":
        return
    shifted = [
        kernel.name
        for kernel, item in ((reader, entry), (holder, kept))
        if kernel.rotation is not None and item.role in kernel.rotation.placed
    ]
    if shifted:
        rule = "a weight that both plans use lies where its sharding says, not where a product by shifts needs it first"
        yield Finding(SHARDING, rule, where, "not placed", f"placed by kernel {shifted[0]}")
    if wafer != other:
        rule = "a shared weight is on the wafer of the kernel that reads it"
        yield Finding(SHARDING, rule, where, f"wafer {wafer}", f"wafer {other}")
        return
    plan, known = memo
    lacks = _lacks((kept.sharding, holder.mesh, holder.rectangle), _placed(reader, entry), known)
    if weight.kept == "in_place" and lacks != 0:
        rule = "a weight that is in place lies on every core that reads it"
        found = "blocks that no view compares" if lacks is None else f"a core lacks {count(lacks, 'element')}"
        yield Finding(SHARDING, rule, where, "its block on each core", found)
    least = _word_cycles(packed_bytes(lacks or 0, entry.dtype), plan)
    if weight.kept == "moved" and weight.cycles < least:
        rule = "what a core lacks of a weight comes through its ramp"
        yield Finding(LINK, rule, where, f"at least {count(least, 'cycle')}", f"{weight.cycles} cycles")


def _weight_of(
    located: tuple[int, Kernel] | None, tensor: str, role: str | None
) -> tuple[int, Kernel, KernelInput] | None:
    if located is None:
        return None
    for entry in located[1].inputs:
        if entry.constant and entry.tensor == tensor and role in {None, entry.role}:
            return (*located, entry)
    return None


def _check_cache(
    cache: SharedCache, here: Located, there: Located, memo: tuple[Plan, Plan, dict[object, int | None]]
) -> Iterator[Finding]:
    decoder, prefill, known = memo
    where = f"shared cache {cache.output}"
    made = next((item for item in _outputs(here.get(cache.kernel)) if item.tensor == cache.output), None)
    state = next((item for item in decoder.states if item.input == cache.state), None)
    value = next((item for item in prefill.outputs if item.name == cache.output), None)
    if made is None or state is None or value is None:
        rule = "a shared cache is what a kernel makes of an output, and a state of the decoder"
        found = _missing(("no kernel makes it", made), ("no such state", state), ("no such output", value))
        yield Finding(DATAFLOW, rule, where, f"{cache.output} of {cache.kernel} for {cache.state}", found)
        return
    if (value.dtype, value.extents, state.output) != (state.dtype, state.shape, cache.output):
        rule = "a shared cache is the update of the decoder's state, with its shape and type"
        expected = f"{state.output}, {state.dtype} {list(state.shape)}"
        found = f"{cache.output}, {value.dtype} {list(value.shape or ())}"
        yield Finding(DATAFLOW, rule, where, expected, found)
        return
    wafer, maker = here[cache.kernel]
    other, keeper, entry = next(
        (number, kernel, entry)
        for number, kernel in there.values()
        for entry in kernel.inputs
        if entry.state and entry.tensor == state.input
    )
    if wafer != other:
        rule = "a shared cache is made on the wafer that keeps it"
        yield Finding(SHARDING, rule, where, f"wafer {other}", f"wafer {wafer}")
        return
    everywhere = made.everywhere or not made.sharding.root
    lacks = _lacks(_placed(maker, made), _placed(keeper, entry), known) if everywhere else 0
    least = _word_cycles((lacks or 0) * item_bytes(made.dtype), prefill)
    if cache.cycles < least:
        rule = "what a core lacks of a cache comes through its ramp"
        yield Finding(LINK, rule, where, f"at least {count(least, 'cycle')}", f"{cache.cycles} cycles")


def _missing(*missing: tuple[str, object]) -> str:
    """What is said of those that are None."""
    return ", ".join(text for text, found in missing if found is None)


def _outputs(located: tuple[int, Kernel] | None) -> tuple[KernelOutput, ...]:
    return () if located is None else located[1].outputs


def _placed(kernel: Kernel, entry: KernelInput | KernelOutput) -> Placed:
    return entry.sharding, kernel.mesh, kernel.rectangle


def _lacks(held: Placed, needed: Placed, known: dict[object, int | None]) -> int | None:
    """As `lacking`, which equal layers share."""
    if (held, needed) not in known:
        known[held, needed] = lacking(held, needed)
    return known[held, needed]


def _word_cycles(size: int, plan: Plan) -> int:
    fabric = plan.target.fabric
    return -(-size // (fabric.word_bytes * fabric.link_words_per_cycle))


def _check_memory(decoder: Plan, prefill: Plan, shared: SharedResidents) -> Iterator[Finding]:
    """What both keep, weights in place once, and what the one that needs more works with; code once."""
    in_place = frozenset((each.kernel, each.role) for each in shared.weights if each.kept == "in_place")
    core = decoder.target.core
    for number, (first, second) in enumerate(zip(decoder.wafers, prefill.wafers, strict=True)):
        grid = Grid([kernel.rectangle for wafer in (first, second) for kernel in wafer.kernels()])
        kept, working = _of_decoder(first, grid)
        copied, at_work = bytes_of_turns(second, grid, shared.moved(), in_place)
        total = kept + copied + np.maximum(working, at_work) + core.code_reserve_bytes
        if total.max(initial=0) <= core.sram_bytes:
            continue
        at = np.unravel_index(int(total.argmax()), total.shape)
        rule = "what both plans keep and what one of them works with fit each core"
        where = f"wafer {number}, column {grid.columns[at[1]]}, row {grid.rows[at[0]]}"
        found = (
            f"{int(total[at])} bytes: {int(kept[at])} that the decoder keeps, {int(copied[at])} that the prefill keeps besides, "
            f"{int(working[at])} and {int(at_work[at])} at work"
        )
        yield Finding(MEMORY, rule, where, f"at most {core.sram_bytes} bytes", found)


def _of_decoder(wafer: Wafer, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if wafer.mode == "sequential":
        return bytes_of_turns(wafer, grid, frozenset())
    kept, working = grid.zeros(), grid.zeros()
    for kernel in wafer.kernels():
        stays = sum(map(resident_bytes, kernel.inputs))
        grid.add(kept, kernel.rectangle, stays)
        grid.add(working, kernel.rectangle, kernel.memory.total - kernel.memory.code - stays)
    return kept, working
