"""What a plan tells its reader beside its numbers: what was assumed, and where a figure is better than it may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.cost.collective_uses import AUTO
from wsec.compiler.cost.crossings import words_outside
from wsec.compiler.operators import KERNEL_KEY, KIND_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import FabricDepth, Products, SharedResidents, Wafer
    from wsec.compiler.planning import Decision
    from wsec.compiler.target import Target

_NAMED = 5


def unsplit_notes(nests: Sequence[LoopNest]) -> Iterator[str]:
    """Operators whose arithmetic runs on one core, and why; those of one reason together."""
    names: dict[str, list[str]] = {}
    for nest in nests:
        if nest.reason:
            names.setdefault(nest.reason, []).append(repr(nest.name))
    for reason, found in names.items():
        if len(found) == 1:
            yield f"operator {found[0]} is unsplit, its arithmetic runs on one core: {reason}"
            continue
        shown = _listed(found)
        yield f"{len(found)} operators are unsplit, the arithmetic of each runs on one core: {reason}: {shown}"


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{rest}"


def attention_notes(lowered: ir.Model, nests: Sequence[LoopNest]) -> Iterator[str]:
    """Attentions that `fuse-attention` found and that were not planned as one kernel."""
    labels = (
        node.metadata_props.get(KERNEL_KEY)
        for node in lowered.graph
        if node.metadata_props.get(KIND_KEY) == "attention"
    )
    kept = {nest.name for nest in nests if nest.kind == "attention"}
    apart = [repr(label) for label in dict.fromkeys(labels) if label not in kept]
    if apart:
        several = len(apart) > 1
        yield (
            f"{len(apart)} attention{'s are' if several else ' is'} planned as {'their' if several else 'its'} "
            f"operators, which is faster here than one kernel, or fits where that does not: {_listed(apart)}"
        )


def buffer_notes(decisions: Sequence[Decision], part: str) -> Iterator[str]:
    """Says so where the region has no room for a full pipeline; of several parts, wafers or phases, for which."""
    for number, decision in enumerate(decisions):
        if decision.scarce:
            which = "" if len(decisions) == 1 else f" of {part} {number}"
            yield (
                f"the region{which} is too small for a full pipeline: split for {decision.graph.samples} buffers a link, "
                "kernels wait for buffers"
            )


def colour_notes(decisions: Sequence[Decision]) -> Iterator[str]:
    """Says so where kernels had to move before every link found a colour."""
    failures = sum(len(decision.relief.crowded) for decision in decisions)
    if failures:
        yield (
            f"{failures} placement{'s' if failures > 1 else ''} had links that found no colour: kernels moved, and have longer "
            "edges than they need otherwise"
        )


def fabric_notes(fabric: FabricDepth) -> Iterator[str]:
    """Says so where words are not followed inside kernels."""
    if fabric == "lanes":
        yield (
            "what kernels do to collect, spread and sort the words of links is neither routed nor counted: where neighbours are "
            "cut differently it may take longer than all else; --fabric full routes and counts it"
        )


def collective_notes(wafers: Sequence[Wafer], demanded: str) -> Iterator[str]:
    """Says so where a demanded algorithm of collectives was impossible."""
    names = [
        repr(kernel.name)
        for wafer in wafers
        for kernel in wafer.kernels()
        if any(item.algorithm != demanded for item in kernel.collectives)
    ]
    if demanded == AUTO or not names:
        return
    several = len(names) > 1
    yield (
        f"{len(names)} kernel{'s combine' if several else ' combines'} partial results by another algorithm than {demanded}, "
        f"which is impossible there or needs too many colours: {_listed(names)}"
    )


def product_notes(wafers: Sequence[Wafer], demanded: Products) -> Iterator[str]:
    """Says so where products shall go by shifts and some do not."""
    names = [
        repr(kernel.name)
        for wafer in wafers
        for kernel in wafer.kernels()
        if kernel.kind == "matmul" and kernel.rotation is None
    ]
    if demanded != "shifts" or not names:
        return
    several = len(names) > 1
    yield (
        f"{len(names)} product{'s do' if several else ' does'} not go by shifts: kernels do not take turns, a factor is a vector, its elements "
        f"are no floats, or no square of cores has room: {_listed(names)}"
    )


def stream_notes(wafers: Sequence[Wafer], target: Target) -> Iterator[str]:
    """Says so where weights come in over the link of the host, as there is no memory for them."""
    if target.external_memory is None and any(wafer.mode == "streaming" for wafer in wafers):
        yield (
            "the target has no external memory: weights and what waits between phases pass the link of the host, at "
            f"{target.host.bits_per_second / 8e9:g} GB/s, and how much the host can hold is not known"
        )


def host_notes(wafers: Sequence[Wafer], target: Target, interval: int) -> Iterator[str]:
    """Says so where the host link, at the rate that copies were measured to reach, would be slower than the pipeline."""
    rate = target.host.measured_bits_per_second
    if rate is None:
        return
    bits = 8 * target.fabric.word_bytes * max(max(words_outside(wafer)) for wafer in wafers)
    cycles = math.ceil(bits / rate * target.clock_hz)
    if cycles > interval:
        yield (
            f"the host link is taken at {target.host.bits_per_second / 8e9:g} GB/s, as it is built; at the "
            f"{rate / 8e9:g} GB/s that copies were measured to reach, a sample takes {cycles:,} cycles on it"
        )


def shared_notes(shared: SharedResidents) -> Iterator[str]:
    """What lies where the decoder has it, and what the rest costs."""
    blocks: dict[str, list[int]] = {"in_place": [], "moved": [], "copied": []}
    for weight in shared.weights:
        blocks[weight.kept].append(weight.bytes)
    moved = sum(weight.cycles for weight in shared.weights)
    yield (
        f"of {len(shared.weights)} weights that the decoder has too, {len(blocks['in_place'])} are used where they lie "
        f"({sum(blocks['in_place']):,} bytes on the fullest core); {len(blocks['moved'])} are brought from the decoder's cores for each "
        f"run, in {moved:,} cycles ({max(blocks['moved'], default=0):,} bytes for the largest); {len(blocks['copied'])} lie there a second "
        f"time ({sum(blocks['copied']):,} bytes)"
    )
    if shared.caches:
        away = [cache.cycles for cache in shared.caches if cache.cycles]
        yield (
            f"{len(shared.caches)} caches are left to the decoder on the wafer, {len(shared.caches) - len(away)} of them where it keeps "
            f"them; the others are brought there in {sum(away):,} cycles"
        )
