"""`wsec check-plan`: whether a plan is legal, and everything that is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument
from wsec.cli.output import make_console, plural, printable, write_json, write_labelled
from wsec.cli.progress import show_status
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from wsec.compiler.plan_checker import Finding
    from wsec.loaded_plan import Plan

_MOST_SHOWN = 3
"""Findings of a rule that are written out; --json has all."""


@click.command(
    "check-plan",
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec check-plan model.plan
  wsec check-plan prefill.plan --shares decoder.plan

Exit status 0 for a legal plan, 1 where anything is found.""",
)
@plan_argument
@click.option(
    "--shares",
    metavar="PLAN2",
    help="The plan of the decoder whose weights this one uses: both together.  [default: the one it lies in]",
)
@json_option
@click.pass_context
def check_plan(ctx: click.Context, *, plan: str, shares: str | None, as_json: bool) -> None:
    """Check the plan in the folder PLAN against its model and its target.

    The checker shares no code with what made the plan. It reports everything it finds, not the first thing only;
    of many findings of one rule the first three, and with --json all.
    """
    from wsec.loaded_plan import load_plan

    loaded = load_plan(plan)
    with show_status("checking the plan"):
        findings = loaded.check(None if shares is None else load_plan(shares))
    if as_json:
        write_json({"legal": not findings, "findings": [_entry(finding) for finding in findings]})
    else:
        _write(loaded, findings)
    ctx.exit(ExitStatus.FAILED_CHECK if findings else ExitStatus.OK)


def _entry(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "rule": finding.rule,
        "where": finding.where,
        "expected": finding.expected,
        "found": finding.found,
    }


def _write(loaded: Plan, findings: tuple[Finding, ...]) -> None:
    console = make_console()
    record = loaded.record
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.code, finding.rule), []).append(finding)
    for (code, rule), alike in kinds.items():
        for finding in alike[:_MOST_SHOWN]:
            console.print(printable(f"{code}: {rule}"), style="bold", soft_wrap=True)
            write_labelled(
                console,
                (("where", finding.where), ("expected", finding.expected), ("found", finding.found)),
                indent=2,
            )
        if len(alike) > _MOST_SHOWN:
            console.print(printable(f"  and {len(alike) - _MOST_SHOWN} more of this kind"), soft_wrap=True)
    subject = f"{loaded.folder}: {plural(sum(1 for _ in record.kernels()), 'kernel')}, {plural(sum(1 for _ in record.links()), 'link')}"
    verdict = f"illegal, {plural(len(findings), 'finding')}" if findings else "legal"
    console.print(printable(f"{subject}: {verdict}"), soft_wrap=True)
