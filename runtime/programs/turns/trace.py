"""A simulation of turns as a trace: what came to each turn, and its kernels, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsec.runtime.trace_events import Span, trace_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.runtime.programs.turns.results import TurnResult, TurnsSimulation


def turn_trace_events(simulation: TurnsSimulation) -> dict[str, Any]:
    """The trace as what its JSON says: a process for each wafer; turns follow each other, also from wafer to wafer."""
    spans: list[Span] = []
    start = 0
    for turn in simulation.turns:
        spans += _turn_spans(turn, start)
        start += turn.total
    return trace_document(spans, simulation.cycles, samples=1)


def _turn_spans(turn: TurnResult, start: int) -> Iterator[Span]:
    process, at = f"wafer {turn.wafer}", start
    for each in turn.arriving:
        if each.total:
            how: dict[str, int | str] = {
                "exchanges": each.exchanges,
                "simulated": int(each.cycles >= 0),
                "estimate": each.estimated_cycles,
            }
            yield Span(process, "reshardings", each.tensor, "link", at, at + each.total, how)
        at += each.total
    end = at + turn.cycles + turn.overheads
    if end > at:
        said: dict[str, int | str] = {
            "kinds": ", ".join(turn.kinds),
            "cores": turn.cores,
            "overheads": turn.overheads,
            "estimate": turn.estimated_cycles,
        }
        yield Span(process, "turns", ", ".join(turn.kernels), "kernel", at, end, said)
    if turn.leaving_cycles:
        yield Span(
            process, "reshardings", "results", "link", end, end + turn.leaving_cycles, {"simulated": 0}
        )
