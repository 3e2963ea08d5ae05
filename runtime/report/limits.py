"""What limits a plan, the worst first, and what would help: every sentence follows from the records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from wsec.runtime.report.work import roofline_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from wsec.compiler.plan import Kernel, Link, Plan
    from wsec.runtime.estimate import Bottleneck, Estimate, KernelEstimate

    Item = TypeVar("Item")

_KERNELS = 8
_LINKS = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that keeps the interval from being shorter.

    Attributes:
        kind: As of `Bottleneck`.
        name: Of the kernel, link, phase or pair of wafers.
        cycles: That it needs for a sample; 0 where it is not a number of cycles.
        reason: Why, in a sentence.
        advice: What would help, in a sentence or two.
        alike: How many more kernels or links have the same numbers, as those of equal layers have.
    """

    kind: str
    name: str
    cycles: int
    reason: str
    advice: str
    alike: int = 0


def limits_of(plan: Plan, estimate: Estimate) -> tuple[Limit, ...]:
    """The bottleneck first, then what would be next, by cycles."""
    kernels = {kernel.name: kernel for kernel in plan.kernels()}
    links = {link.name: link for link in plan.links()}
    first = estimate.bottleneck
    worst = _known(first, estimate, kernels, links, plan)
    if worst is None:
        cycles = 0 if estimate.phases else estimate.interval_cycles
        worst = Limit(first.kind, first.name, cycles, first.reason, _advice(first.kind, plan, estimate))
    others = [limit for limit in _others(plan, estimate, kernels, links) if limit.cycles]
    rest = sorted(others, key=lambda limit: -limit.cycles)
    same = next((limit for limit in rest if _but_for_name(limit) == _but_for_name(worst)), None)
    if same is not None:
        worst = replace(worst, alike=same.alike)
    return (worst, *(limit for limit in rest if limit is not same))


def room_of(plan: Plan, estimate: Estimate) -> str:
    """Where more cores could come from, and what a better placement of these could gain: true of every kernel."""
    cores = plan.region_width * plan.region_height
    free = sum(cores - wafer.cores_used for wafer in estimate.wafers)
    placed = plan.placement
    gap = placed.interval / placed.interval_bound - 1 if placed.interval_bound else 0.0
    said = f"{free:,} cores of the region are in no kernel"
    searched = all(wafer.mode != "sequential" for wafer in plan.wafers)  # turns are not searched for
    if gap > 0 and searched:
        said += f", and placement is {gap:.1%} above its bound: a longer search (--effort) gains no more than that"
    grid = plan.target.grid
    whole = (grid.fabric_width - grid.host_columns) * (grid.fabric_height - grid.host_rows)
    ways = [
        *(["a larger --region"] if cores < whole else []),
        *(["more wafers (--wafers)"] if plan.target.wafer_link else []),
        "a larger target",
    ]
    return f"{said}. Kernels have more cores with {' or '.join(ways)}."


def _known(
    first: Bottleneck, estimate: Estimate, kernels: dict[str, Kernel], links: dict[str, Link], plan: Plan
) -> Limit | None:
    """The limit that the estimate names, where it is a kernel or a link."""
    if first.kind == "kernel" and first.name in kernels:
        costs = next(each for each in estimate.kernels if each.name == first.name)
        return _of_kernel(costs, kernels[first.name], plan)
    if first.kind == "link" and first.name in links:
        return _of_link(links[first.name])
    return None


def _others(
    plan: Plan, estimate: Estimate, kernels: dict[str, Kernel], links: dict[str, Link]
) -> Iterator[Limit]:
    slowest = sorted(estimate.kernels, key=lambda kernel: -kernel.total_cycles)
    for costs, alike in islice(_without_alike(slowest, _numbers_of_kernel), _KERNELS):
        yield replace(_of_kernel(costs, kernels[costs.name], plan), alike=alike)
    busiest = sorted(links.values(), key=lambda link: -link.interval)
    for link, alike in islice(_without_alike(busiest, _numbers_of_link), _LINKS):
        yield replace(_of_link(link), alike=alike)
    if estimate.host_cycles:
        reason = f"{estimate.host_cycles:,} cycles to bring one sample in and its result out"
        yield Limit("host", "host", estimate.host_cycles, reason, _advice("host", plan, estimate))
    for number, wafer in enumerate(estimate.wafers[:-1]):
        reason = f"{wafer.words_on:,} words between them take {wafer.cycles_on:,} cycles"
        name = f"{number} to {number + 1}"
        yield Limit("wafers", name, wafer.cycles_on, reason, _advice("wafers", plan, estimate))
    for phase in estimate.phases:
        share = -(-phase.load_cycles // estimate.samples_per_phase)
        reason = f"{phase.load_cycles:,} cycles to load its weights, shared by {estimate.samples_per_phase:,} samples"
        yield Limit("load", phase.name, share, reason, _advice("load", plan, estimate))
        words = phase.words_in + phase.words_out
        reason = f"{words:,} words from and for other phases take {phase.crossing_cycles:,} cycles a sample"
        crossings = _advice("crossings", plan, estimate)
        yield Limit("crossings", phase.name, phase.crossing_cycles, reason, crossings)


def _without_alike(items: Iterable[Item], numbers: Callable[[Item], object]) -> Iterator[tuple[Item, int]]:
    """The first of those with equal numbers, and how many more there are."""
    found: dict[object, list[Item]] = {}
    for item in items:
        found.setdefault(numbers(item), []).append(item)
    return ((each[0], len(each) - 1) for each in found.values())


def _numbers_of_kernel(costs: KernelEstimate) -> object:
    parts = (costs.compute_cycles, costs.memory_cycles, costs.communication_cycles, costs.transfer_cycles)
    return costs.kind, costs.total_cycles, parts, costs.cores, tuple(costs.split.items())


def _numbers_of_link(link: Link) -> object:
    return link.words, link.interval, sum(route.lanes for route in link.routes)


def _but_for_name(limit: Limit) -> object:
    return limit.kind, limit.cycles, limit.reason, limit.advice


def _of_kernel(costs: KernelEstimate, kernel: Kernel, plan: Plan) -> Limit:
    reason = (
        f"{costs.compute_cycles:,} cycles of arithmetic, {costs.memory_cycles:,} of memory, "
        f"{costs.communication_cycles:,} of communication, {costs.transfer_cycles:,} of words in and out"
    )
    advice = {
        "compute": _more_arithmetic,
        "memory": _fewer_bytes,
        "communication": _fewer_words_inside,
        "transfer": _fewer_words_a_core,
    }[costs.bound_by]
    return Limit("kernel", costs.name, costs.total_cycles, reason, advice(kernel, plan))


def _of_link(link: Link) -> Limit:
    lanes = sum(route.lanes for route in link.routes)
    if not lanes:
        reason = f"{link.words:,} words take {link.interval:,} cycles from one layout to the next"
        advice = "Where its consumer reads the tensor in the layout of its producer nothing moves: another split of either may gain."
        return Limit("link", link.name, link.interval, reason, advice)
    reason = f"{link.words:,} words over {lanes:,} lane{'s' * (lanes != 1)} take {link.interval:,} cycles"
    advice = (
        "Links whose words pass the same routers share their cycles. A split of its kernels that needs fewer words, longer edges "
        "of their rectangles, or neighbours placed side by side (--constraints, adjacent) shorten it."
    )
    return Limit("link", link.name, link.interval, reason, advice)


def _more_arithmetic(kernel: Kernel, plan: Plan) -> str:
    if kernel.kind == "unsplit":
        return (
            "Its arithmetic is serial on one core. A kernel of your own that cuts the operator (docs/writing-kernels.md), "
            "or an operator in its place that wsec can cut, would share the work."
        )
    point = roofline_point(kernel, plan.target)
    busy = point.performance / point.roof
    cores = kernel.rectangle.width * kernel.rectangle.height
    said = f"Arithmetic on {cores:,} cores, {busy:.{0 if busy >= 0.1 else 1}%} of what their lanes can do."
    if busy < 0.5:
        return f"{said} Vectors are short or loops start often: a split that leaves a core longer blocks would gain."
    return f"{said} More cores would shorten it."


def _fewer_bytes(kernel: Kernel, _plan: Plan) -> str:
    dtype = kernel.inputs[0].dtype if kernel.inputs else "its element type"
    return (
        f"The ports of core memory set its pace. Elements of fewer bytes than {dtype} need fewer accesses; more cores share "
        "them; fusing element-wise operators into their producer saves a walk over the block."
    )


def _fewer_words_inside(kernel: Kernel, _plan: Plan) -> str:
    said = "Words between its own cores set its pace."
    if kernel.collectives:
        ways = ", ".join(
            f"{each.kind.replace('_', '-')} along {each.axis} by {each.algorithm}"
            for each in kernel.collectives
        )
        said += f" It combines partial results: {ways}; cutting the reduction less would need fewer."
    return (
        said
        + " A split that keeps blocks whole on a core, or in the same layout as its producer, needs fewer words."
    )


def _fewer_words_a_core(kernel: Kernel, _plan: Plan) -> str:
    cores = kernel.rectangle.width * kernel.rectangle.height
    return (
        f"Words that links bring and take set its pace, through the ramps of {cores:,} cores. A larger rectangle has fewer "
        "words a core; a split that replicates its inputs less brings fewer."
    )


def _advice(kind: str, plan: Plan, estimate: Estimate) -> str:
    """What helps against limits that are no kernel and no link."""
    samples = estimate.samples_per_phase
    rate = plan.target.host.bits_per_second / 8e9
    return {
        "buffers": "More samples would have to be held at once: memory for them is free where kernels have more cores, or "
        "fewer of them share the wafer.",
        "host": f"The host's link carries {rate:,.0f} GB/s. Inputs of fewer bytes, or work on them moved behind the wafer's "
        "first kernel, would help.",
        "wafers": "Fewer words cross where the model is cut elsewhere: another number of --wafers moves the cuts.",
        "turns": "Kernels take turns on the whole region, one sample at a time: more cores shorten each turn. Where all kernels fit beside "
        "each other, --mode pipelined works on many samples at once, for more samples a second, mostly with a longer latency.",
        "load": f"Larger batches share the load: with --samples-per-phase {2 * samples} a sample's share is half.",
        "crossings": "Fewer phases, or cuts where less is alive, move fewer words: try another number of --phases.",
    }.get(kind, "")
