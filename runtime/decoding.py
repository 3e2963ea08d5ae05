"""What a plan of a decoder is worth to those who use it: tokens per second, time to the first one, energy, what bounds it.

A step needs the token of the step before, so a sequence goes at the pace of the latency, whatever the interval is.

While fewer positions are filled than the cache has room for, a program reads those alone. The cache lies in blocks of positions, so the
core with most to read has a full block from the first block's worth of positions on, and the cores of later ones are idle: cycles
fall only below that. Longer contexts and other batches scale the recorded cycles of this plan: attention over the cache in
proportion to context and batch, other work and words in proportion to the batch, collectives by their formulas. A plan that is
compiled for them may be split otherwise, and faster. A batch never takes longer than its sequences one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collectives import all_reduce_cycles, reduction
from wsec.compiler.cost.middle_collectives import all_reduce_costs
from wsec.runtime.decoder_interface import LOGITS, TOKENS, check_same, decoder_interface
from wsec.runtime.published_figures import FIGURES, PublishedFigure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Collective, Kernel, KernelInput, Plan
    from wsec.runtime.estimate import Estimate

_CONTEXTS: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # of that of the plan
_BATCHES: Final = (1, 2, 4, 8)  # times that of the plan
_STATE_RANK: Final = 4
_OF_BOUNDS: Final = {
    "weights": "arithmetic and SRAM reads of weights",
    "KV cache": "arithmetic and SRAM reads of the KV cache",
    "other arithmetic": "arithmetic and SRAM of the other kernels",
    "collectives": "all-reduces of partial results and statistics",
    "steps": "starts of steps, and blocks that go around inside kernels",
    "words": "words between kernels, and in and out",
    "wafer hops": "from wafer to wafer",
}


@dataclass(frozen=True, slots=True)
class DecodePoint:
    """A step at another context or batch.

    Attributes:
        context: Positions that are filled.
        batch: Sequences.
        cycles: Of the step.
        tokens_per_second: Of all sequences.
        fits: Whether the memory of this plan's cores allows it.
        as_planned: Whether this plan does it as it is; else its cycles are scaled.
    """

    context: int
    batch: int
    cycles: int
    tokens_per_second: float
    fits: bool
    as_planned: bool


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The time to the first token: of a prompt of so many tokens, by the plan of a prefill, or by steps of this plan.

    `joules` are at the target's power, for all wafers; None where the target states none.
    """

    prompt: int
    seconds: float
    by: str
    joules: float | None


@dataclass(frozen=True, slots=True)
class DecodeEstimate:
    """A plan whose states are a KV cache.

    Attributes:
        layers: With a cache.
        batch: Sequences.
        context: Positions that the cache has room for.
        tokens: New tokens of each sequence in a step.
        step_cycles: Of a step, to the last word of its outputs; the host's choice of the token is not in it.
        step_seconds: At the target's clock.
        tokens_per_second: Of all sequences together.
        tokens_per_second_each: Of one.
        joules_per_token: At the target's power, all wafers; None where the target states none.
        cycles_of: What the cycles of all kernels and of wafer hops are for. Kernels that work side by side all count; `words`
            are what the step takes beyond them.
        cache_block: Positions that a core has room for, of the attention whose blocks are longest: below so many filled ones
            a step gets shorter.
        bound_by: The largest of these.
        first_token: For half the context as prompt, or for that of the prefill.
        table: Other contexts and batches.
        published: Figures that others published of this model.
    """

    layers: int
    batch: int
    context: int
    tokens: int
    step_cycles: int
    step_seconds: float
    tokens_per_second: float
    tokens_per_second_each: float
    joules_per_token: float | None
    cycles_of: dict[str, int]
    bound_by: str
    cache_block: int
    first_token: FirstToken
    table: tuple[DecodePoint, ...]
    published: tuple[PublishedFigure, ...]


def decode_estimate(
    plan: Plan, result: Estimate, prefill: tuple[Plan, Estimate, str] | None = None
) -> DecodeEstimate | None:
    """What `result` means for decoding; None for a plan without a KV cache.

    Args:
        plan: The plan.
        result: Its estimate.
        prefill: The plan of the prefill, its estimate, and its folder for messages.

    Raises:
        WsecError: WSEC572, WSEC575 the plan that is given is not that of a prefill of this decoder.
    """
    states = [state for state in plan.states if len(state.shape) == _STATE_RANK]
    if not states:
        return None
    batch, heads, context, size = states[0].shape
    extents = {value.name: value.shape or () for value in (*plan.inputs, *plan.outputs)}
    tokens = _last(extents.get(TOKENS, ()), 1)
    cycles_of = _cycles_of(plan, result)
    seconds = result.latency_seconds
    watts = plan.target.power_watts
    made = batch * tokens
    model = (len(states) // 2, heads, size, _last(extents.get(LOGITS, ()), 0))
    return DecodeEstimate(
        layers=len(states) // 2,
        batch=batch,
        context=context,
        tokens=tokens,
        step_cycles=result.latency_cycles,
        step_seconds=seconds,
        tokens_per_second=made / seconds if seconds else math.inf,
        tokens_per_second_each=tokens / seconds if seconds else math.inf,
        joules_per_token=None if watts is None else watts * len(plan.wafers) * seconds / made,
        cycles_of=cycles_of,
        bound_by=max(cycles_of, key=lambda name: cycles_of[name]),
        cache_block=max(_cache_block(kernel, context) for kernel in plan.kernels() if _keeps(kernel)),
        first_token=_first_token(plan, context, seconds * math.ceil(context / 2 / tokens), prefill),
        table=tuple(_points(plan, result, context, batch, tokens)),
        published=FIGURES.get(model, ()),
    )


def bound_text(name: str) -> str:
    """What an entry of `cycles_of` is, in words."""
    return _OF_BOUNDS[name]


def _last(shape: Sequence[int | None], otherwise: int) -> int:
    return (shape[-1] or otherwise) if shape else otherwise


def _cycles_of(plan: Plan, result: Estimate) -> dict[str, int]:
    found = dict.fromkeys(_OF_BOUNDS, 0)
    for kernel in plan.kernels():
        weighs = any(item.constant for item in kernel.inputs)
        name = "KV cache" if _keeps(kernel) else "weights" if weighs else "other arithmetic"
        found[name] += kernel.cycles.alone
        combining = min(round(_collective_cycles(kernel, 1, plan)), kernel.cycles.communication)
        found["collectives"] += combining
        found["steps"] += kernel.cycles.communication - combining
    link = plan.target.wafer_link
    if link is not None and len(plan.wafers) > 1:
        hops = len(plan.wafers) - 1
        found["wafer hops"] = round(hops * link.seconds_per_hop * plan.target.clock_hz)
        found["wafer hops"] += sum(wafer.cycles_on for wafer in result.wafers)
    kernels = sum(kernel.cycles.work for kernel in plan.kernels())
    found["words"] = max(0, result.latency_cycles - kernels - found["wafer hops"])
    return found


def _keeps(kernel: Kernel) -> bool:
    return any(item.state for item in kernel.inputs)


def _first_token(
    plan: Plan, context: int, by_steps: float, prefill: tuple[Plan, Estimate, str] | None
) -> FirstToken:
    watts = plan.target.power_watts
    power = None if watts is None else watts * len(plan.wafers)
    if prefill is None:
        by = "steps of this plan, one token after the other"
        return FirstToken(context // 2, by_steps, by, None if power is None else power * by_steps)
    other, of_prefill, folder = prefill
    interface = decoder_interface(other, folder, decodes=False)
    given = {value.name: value for value in other.outputs}
    taken = {value.name: value for value in plan.inputs}
    for state in plan.states:
        if state.output in given:
            check_same(taken[state.input], given[state.output], "this plan", folder)
    seconds = of_prefill.latency_seconds
    joules = None if power is None else power * seconds
    return FirstToken(interface.tokens, seconds, "the plan of the prefill", joules)


def _points(plan: Plan, result: Estimate, context: int, batch: int, tokens: int) -> list[DecodePoint]:
    found = []
    for longer in _CONTEXTS:
        positions = max(1, round(context * longer))
        for more in _BATCHES:
            one = result.latency_cycles + _of_context(plan, positions, context)
            cycles = one + min(_of_batch(plan, positions, context, more), one * (more - 1))
            rate = plan.target.clock_hz * batch * more * tokens / cycles if cycles > 0 else math.inf
            as_planned = positions <= context and more == 1
            fits = as_planned or _fits(plan, max(1.0, positions / context), more)
            found.append(DecodePoint(positions, batch * more, cycles, rate, fits, as_planned))
    return found


def _cache_block(kernel: Kernel, context: int) -> int:
    """Positions of the cache on a core."""
    for entry in kernel.inputs:
        if entry.state:
            at = _dimension_of_positions(kernel, entry, context)
            return context if at is None else entry.sharding.dimensions[at].block
    return context


def _dimension_of_positions(kernel: Kernel, entry: KernelInput, context: int) -> int | None:
    """The dimension that the loop over keys follows; of a kind without such a loop the one as long as the context."""
    loops = kernel.arguments.get(entry.role)
    if isinstance(loops, tuple) and "t" in loops:
        return loops.index("t")
    lengths = [dimension.extent for dimension in entry.sharding.dimensions]
    return lengths.index(context) if context in lengths else None


def _share(kernel: Kernel, positions: int, context: int) -> float:
    """Arithmetic with so many positions filled, as a share of what it is at the capacity: on the core that has most to read."""
    if positions > context:
        return positions / context
    block = _cache_block(kernel, context)
    return min(positions, block) / block


def _of_context(plan: Plan, positions: int, context: int) -> int:
    """Cycles that a step takes more with so many positions filled; negative for fewer than a core has room for."""
    caches = [kernel for kernel in plan.kernels() if _keeps(kernel)]
    return math.ceil(sum((_share(kernel, positions, context) - 1) * kernel.cycles.alone for kernel in caches))


def _of_batch(plan: Plan, positions: int, context: int, more: int) -> int:
    """Cycles that it takes more with so many times the batch, all kernels and links one after the other."""
    cycles = 0.0
    for kernel in plan.kernels():
        alone = kernel.cycles.alone * (_share(kernel, positions, context) if _keeps(kernel) else 1)
        cycles += alone * (more - 1)
        cycles += _collective_cycles(kernel, more, plan) - _collective_cycles(kernel, 1, plan)
    cycles += sum(link.cycles for link in plan.links()) * (more - 1)
    return math.ceil(cycles)


def _collective_cycles(kernel: Kernel, more: int, plan: Plan) -> float:
    """Cycles of the collectives of a kernel, with so many times the words."""
    return sum(_of_collective(each, kernel, more, plan) * each.times for each in kernel.collectives)


def _of_collective(each: Collective, kernel: Kernel, more: int, plan: Plan) -> float:
    """By the formula that the plan was made with: towards the middle of the line with the overheads of programs, or to its first core."""
    fabric, cores, words = plan.target.fabric, kernel.mesh.size(each.axis), more * each.words
    if each.root == "middle":
        line, spacing = np.array([float(cores)]), np.array([float(kernel.mesh.spacing(each.axis))])
        found = all_reduce_costs(np.array([float(words)]), line, spacing, plan.target, (each.algorithm,))
        return float(found.cycles[0])
    group = each.group or math.ceil(math.sqrt(cores))
    if each.kind == "all_reduce":
        return float(all_reduce_cycles(each.algorithm, words, cores, fabric, group=group))
    return float(reduction(each.algorithm, words, cores, group=group).cycles(fabric))


def _fits(plan: Plan, longer: float, more: int) -> bool:
    """Whether the fullest cores have room, with states in proportion to both and what is at work to the batch."""
    room = plan.target.core.sram_bytes
    for wafer in plan.wafers:
        ledgers = [kernel.memory for kernel in wafer.kernels()]
        states = [ledger.states * longer * more for ledger in ledgers]
        at_work = [(ledger.activations + ledger.buffers) * more for ledger in ledgers]
        code = plan.target.core.code_reserve_bytes
        if wafer.mode == "sequential":
            kept = sum(ledger.weights for ledger in ledgers) + sum(states)
            needed = kept + max(at_work, default=0) + code
        else:
            each = zip(ledgers, states, at_work, strict=True)
            needed = max((ledger.weights + kept + work + code for ledger, kept, work in each), default=0)
        if needed > room:
            return False
    return True
