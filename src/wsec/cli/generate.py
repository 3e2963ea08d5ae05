"""`wsec run --generate`: tokens from a decoder, step by step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Literal

import click

from wsec.cli.output import Column, make_console, plural, seconds, write_json, write_labelled, write_table
from wsec.cli.progress import show_status

if TYPE_CHECKING:
    from wsec.loaded_plan import Plan
    from wsec.runtime.generation import Generation, Step

_COLUMNS = (
    Column("position", right=True),
    Column("given", elastic=True),
    Column("next", right=True),
    Column("output", from_width=70, elastic=True),
    Column("of range", right=True, from_width=60),
    Column("equal", right=True),
)
NO_PREFILL: Final = "none"
_SHOWN = 8


def token_list(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Numbers with commas between them."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of whole numbers such as 1,2,3") from None


def run_generation(
    plan: str, prompt: tuple[int, ...], steps: int, *, prefill: str | None, verify: bool, as_json: bool
) -> bool:
    """Make the tokens and print them; whether a comparison that was asked for found the same numbers."""
    from wsec.loaded_plan import load_plan

    loaded = load_plan(plan)
    first: Plan | Literal["none"] | None = None
    if prefill is not None:
        first = "none" if prefill == NO_PREFILL else load_plan(prefill)
    with show_status("executing the shards, token by token"):
        generation = loaded.generate(prompt, steps, prefill=first, verify=verify)
    if as_json:
        write_json({"plan": plan, "prefill": prefill, **asdict(generation)})
    else:
        _write(generation)
    return generation.passed is not False


def _write(generation: Generation) -> None:
    console = make_console()
    write_labelled(console, (("prompt", _listed(generation.prompt)),))
    if generation.passed is not None:
        write_table(console, _COLUMNS, [_row(step) for step in generation.steps])
    took = f"{seconds(generation.executor_seconds)} for {plural(len(generation.steps), 'step')}"
    facts = [("tokens", _listed(generation.tokens, len(generation.tokens))), ("took", took)]
    if generation.passed is not None:
        verdict = "passed: every step gives what onnxruntime gives" if generation.passed else "FAILED"
        facts.append(("verdict", verdict))
    write_labelled(console, facts)


def _row(step: Step) -> tuple[str, ...]:
    compared = step.comparison
    assert compared is not None  # noqa: S101 - the table is of a comparison
    error, equal = f"{compared.max_relative_error:.2e}", "yes" if compared.passed else "NO"
    return str(step.position), _listed(step.tokens), str(step.next_token), compared.name, error, equal


def _listed(tokens: tuple[int, ...], shown: int = _SHOWN) -> str:
    rest = f" and {len(tokens) - shown} more" if len(tokens) > shown else ""
    return ", ".join(map(str, tokens[:shown])) + rest
