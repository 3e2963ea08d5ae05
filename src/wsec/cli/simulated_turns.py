"""How `wsec simulate` shows a sequential plan: a row for each turn and for each tensor that takes cycles to come to one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsec.cli.output import (
    Column,
    count,
    make_console,
    percent,
    plural,
    seconds,
    write_labelled,
    write_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsec.runtime.programs.turns.results import ReshardingResult, TurnResult, TurnsSimulation

_COLUMNS = (
    Column("turn", right=True),
    Column("kernel", elastic=True),
    Column("kind", from_width=100, elastic=True),
    Column("cores", right=True, from_width=90),
    Column("as", right=True, from_width=110),
    Column("overheads", right=True, from_width=90),
    Column("estimate", right=True),
    Column("simulated", right=True),
    Column("error", right=True, from_width=60),
)


def turns_as_json(plan: str, result: TurnsSimulation, clock_hz: float) -> dict[str, Any]:
    """What `--json` prints of turns."""
    return {
        "plan": plan,
        "mode": "sequential",
        "cycles": result.cycles,
        "seconds": result.cycles / clock_hz,
        "estimated_cycles": result.estimated_cycles,
        "equal": result.equal,
        "turns": [
            {**asdict(turn), "total": turn.total, "estimated_total": turn.estimated_total}
            for turn in result.turns
        ],
        "comparisons": [{**asdict(each), "equal": each.equal} for each in result.comparisons],
    }


def write_turns(result: TurnsSimulation, clock_hz: float, trace: Path | None, verdict: str) -> None:
    """The table of turns, and the sums."""
    console = make_console()
    write_table(console, _COLUMNS, [row for turn in result.turns for row in _rows(turn)])
    console.print()
    facts = [
        ("latency", f"{count(result.cycles)} cycles, {seconds(result.cycles / clock_hz)}"),
        (
            "estimate",
            f"{count(result.estimated_cycles)} cycles ({_error(result.estimated_cycles, result.cycles)})",
        ),
        (
            "turns",
            f"{count(result.simulated_turns)} of {count(len(result.turns))} simulated, the others are equal to one of these",
        ),
    ]
    outside = sum(each.total for turn in result.turns for each in turn.arriving if each.cycles < 0)
    outside += sum(turn.leaving_cycles for turn in result.turns)
    if outside:
        facts.append(
            ("host", f"{count(outside)} cycles of these as estimated: words from and to outside the wafer")
        )
    unequal = sum(not each.equal for each in result.comparisons)
    if unequal:
        facts.append(("differ", plural(unequal, "tensor")))
    if trace is not None:
        facts.append(("trace", str(trace)))
    write_labelled(console, [*facts, ("numbers", verdict)])


def _rows(turn: TurnResult) -> Iterator[tuple[str, ...]]:
    for each in turn.arriving:
        if each.estimated_cycles or each.total:
            yield _resharding_row(each)
    simulated = turn.cycles + turn.overheads
    same = "" if turn.equal_to == (turn.wafer, turn.turn) else str(turn.equal_to[1])
    yield (
        str(turn.turn),
        ", ".join(turn.kernels),
        ", ".join(dict.fromkeys(turn.kinds)),
        count(turn.cores),
        same,
        count(turn.overheads),
        count(turn.estimated_cycles),
        count(simulated),
        _error(turn.estimated_cycles, simulated),
    )


def _resharding_row(each: ReshardingResult) -> tuple[str, ...]:
    """A tensor that comes to the turn below."""
    from_outside = each.cycles < 0
    how = f"from {each.source}" if from_outside else each.exchanges
    simulated = "-" if from_outside else count(each.total)
    error = "-" if from_outside else _error(each.estimated_cycles, each.total)
    return (
        "",
        f"  {each.tensor}",
        how,
        "",
        "",
        count(each.overheads),
        count(each.estimated_cycles),
        simulated,
        error,
    )


def _error(estimated: int, simulated: int) -> str:
    return percent((estimated - simulated) / simulated) if simulated else "-"
