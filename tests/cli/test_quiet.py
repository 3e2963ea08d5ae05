"""`-q` and `-v` of every command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from wsec.cli.application import application
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec


@pytest.mark.parametrize("name", application.list_commands(click.Context(application)))
def test_every_command_can_be_quiet_and_verbose(name: str) -> None:
    """Scripts need not know which commands can."""
    command = application.get_command(click.Context(application), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"-q", "--quiet", "-v", "--verbose"} <= options


def test_quiet_prints_nothing_but_json(wsec: Wsec, small_plan: Path) -> None:
    """Tables are left out, what a script reads is not."""
    loud = wsec("estimate", small_plan)
    quiet = wsec("estimate", small_plan, "-q")
    assert loud.stdout
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert json.loads(wsec("estimate", small_plan, "-q", "--json").stdout)["kernels"]


def test_quiet_keeps_errors_and_their_status(wsec: Wsec, tmp_path: Path) -> None:
    """What went wrong is still on stderr."""
    result = wsec("estimate", tmp_path / "none.plan", "-q")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stdout == ""
    assert result.stderr.startswith("error[WSEC5")


def test_verbose_says_what_took_time(wsec: Wsec, small_plan: Path) -> None:
    """On stderr, so that stdout is what it is without it; in pipes too."""
    plain = wsec("check-plan", small_plan)
    verbose = wsec("check-plan", small_plan, "-v")
    assert plain.stderr == ""
    assert verbose.stdout == plain.stdout
    assert verbose.stderr.startswith("checking the plan: ")
