"""What goes from wafer to wafer or phase to phase: forwards, out of one and into the other; and what wafers say of themselves."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import WAFERS, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Plan, Wafer

Place = tuple[int, int]
"""Wafer and phase."""


def check_wafers(plan: Plan) -> list[Finding]:
    """Findings on links between wafers and phases, and on what is said of each wafer."""
    places = {
        kernel.name: (number, turn)
        for number, wafer in enumerate(plan.wafers)
        for turn, phase in enumerate(wafer.phases)
        for kernel in phase.kernels
    }
    return [
        *_check_ends(plan, places),
        *_check_ways_out(plan),
        *_check_rates(plan, places),
        *(
            finding
            for number, wafer in enumerate(plan.wafers)
            for finding in _check_summary(wafer, number, plan)
        ),
    ]


def from_elsewhere(plan: Plan) -> set[str]:
    """The tensors that some wafer or phase reads of another; those between the turns of a sequential wafer stay on it."""
    kernels = {kernel.name for kernel in plan.kernels()}
    found: set[str] = set()
    for wafer in plan.wafers:
        together = {kernel.name for kernel in wafer.kernels()} if wafer.mode == "sequential" else set()
        for phase in wafer.phases:
            own = together or {kernel.name for kernel in phase.kernels}
            found.update(
                link.tensor for link in phase.links if link.source in kernels and link.source not in own
            )
    return found


def _check_ends(plan: Plan, places: dict[str, Place]) -> Iterator[Finding]:
    for number, wafer in enumerate(plan.wafers):
        for turn, phase in enumerate(wafer.phases):
            for link in phase.links:
                own = link.source if link.target == HOST else link.target
                if places.get(own, (number, turn)) != (number, turn):
                    rule = "a link stands with the kernel that it goes to, or that it leaves for the host"
                    yield Finding(
                        WAFERS, rule, f"link {link.name}", _shown(places[own]), _shown((number, turn))
                    )
                elif places.get(link.source, (number, turn)) > (number, turn):
                    rule = "no link goes back to an earlier wafer or phase"
                    expected = f"a source on {_shown((number, turn))} or before"
                    yield Finding(WAFERS, rule, f"link {link.name}", expected, _shown(places[link.source]))


def _shown(place: Place) -> str:
    return f"wafer {place[0]}, phase {place[1]}"


def _check_ways_out(plan: Plan) -> Iterator[Finding]:
    leaving = Counter(link.tensor for link in plan.links() if link.target == HOST)
    for tensor in sorted(from_elsewhere(plan)):
        if leaving[tensor] != 1:
            rule = "a tensor that another wafer or phase reads leaves its own once"
            yield Finding(
                WAFERS, rule, f"tensor {tensor}", "1 link to the host", count(leaving[tensor], "link")
            )


def _check_rates(plan: Plan, places: dict[str, Place]) -> Iterator[Finding]:
    between = plan.target.wafer_link
    if between is None:
        if len(plan.wafers) > 1:
            rule = "the target of several wafers has a link between them"
            yield Finding(WAFERS, rule, "target", "a wafer_link", "none")
        return
    for border, words in sorted(_words_between(plan, places).items()):
        seconds = 8 * plan.target.fabric.word_bytes * words / between.bits_per_second
        least = math.ceil(seconds * plan.target.clock_hz)
        if plan.placement.interval < least:
            rule = "the interval leaves time for the words between wafers"
            where = f"wafers {border} and {border + 1}"
            expected = f"at least {least} cycles for {count(words, 'word')}"
            yield Finding(WAFERS, rule, where, expected, f"{plan.placement.interval} cycles")


def _words_between(plan: Plan, places: dict[str, Place]) -> Counter[int]:
    """Words of a sample from each wafer to the next; each tensor passes once, as far as it is read."""
    furthest: dict[str, tuple[int, int, int]] = {}
    for link in plan.links():
        if link.source in places and link.target in places:
            source, target = places[link.source][0], places[link.target][0]
            last = max(target, furthest.get(link.tensor, (0, 0, 0))[1])
            furthest[link.tensor] = (source, last, link.words)
    words: Counter[int] = Counter()
    for source, last, size in furthest.values():
        words.update(dict.fromkeys(range(source, last), size))
    return words


def _check_summary(wafer: Wafer, number: int, plan: Plan) -> Iterator[Finding]:
    summary, where = wafer.placement, f"wafer {number}, placement"
    if summary is None:
        if len(plan.wafers) > 1:
            rule = "each of several wafers says what placement found on it"
            yield Finding(WAFERS, rule, where, "a summary", "none")
        return
    cycles = [kernel.cycles.alone for kernel in wafer.kernels()]
    least = max([summary.interval_bound, *cycles])
    if summary.interval < least:
        rule = "the interval is not below its bound, nor below a kernel's arithmetic and SRAM ports"
        yield Finding(WAFERS, rule, where, f"at least {least} cycles", f"{summary.interval} cycles")
    if plan.placement.interval < summary.interval:
        rule = "no wafer is slower than the plan"
        yield Finding(
            WAFERS, rule, where, f"at most {plan.placement.interval} cycles", f"{summary.interval} cycles"
        )
