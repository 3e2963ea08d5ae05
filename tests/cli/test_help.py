"""What the program says about itself, and about command lines that are wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from wsec.cli.application import application
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

COMMANDS = (
    "compile",
    "fit",
    "run",
    "simulate",
    "estimate",
    "report",
    "diff",
    "check",
    "export",
    "check-plan",
    "bisect",
    "targets",
    "passes",
    "kernels",
    "explain",
    "completion",
)
ROOT = Path(__file__).parents[2]


def _command(name: str) -> click.Command:
    command = application.get_command(click.Context(application), name)
    assert command is not None
    return command


def test_help_lists_the_commands_in_the_order_of_work(wsec: Wsec) -> None:
    """A newcomer reads the commands as a story: compile comes first."""
    result = wsec("--help")
    listed = [line.split()[0] for line in result.output.split("Commands:")[1].splitlines() if line.strip()]
    assert tuple(listed[: len(COMMANDS)]) == COMMANDS
    assert result.exit_code == 0


def test_every_exit_status_is_in_the_help_and_in_the_manual(wsec: Wsec) -> None:
    """A status that a script can get is documented where its author looks."""
    help_text = wsec("--help").output.split("Exit statuses:")[1]
    manual = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for status in ExitStatus:
        assert f"    {status.value:<4} " in help_text
        assert f"| {status.value} |" in manual


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", [40, 80])
def test_help_of_each_command_fits_and_shows_an_example(wsec: Wsec, command: str, columns: int) -> None:
    """Every command explains itself with something to type, also on a narrow terminal."""
    result = wsec(command, "--help", columns=columns)
    assert result.exit_code == 0
    assert f"wsec {command}" in result.output.split("Example", 1)[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_manual(command: str) -> None:
    """docs/cli.md cannot fall behind the program."""
    manual = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = manual.split(f"## wsec {command}\n")[1].split("\n## ")[0]
    section += manual.split("\n## ")[0]  # what every command has
    options = [name for option in _command(command).params for name in option.opts]
    missing = [name for name in options if name.startswith("--") and f"`{name}" not in section]
    assert not missing


def test_commands_in_the_documentation_are_accepted() -> None:
    """Whoever copies a line of the README or of a help text gets no usage error."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    texts = [*readme.split("```")[1::2], *(_command(name).epilog or "" for name in COMMANDS)]
    lines = [line.strip().partition("#")[0] for text in texts for line in text.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("wsec ")]
    for name, *arguments in commands:
        assert _command(name).make_context(name, arguments).info_name == name
    assert len(commands) > 15


def test_version_is_that_of_the_package(wsec: Wsec) -> None:
    """Bug reports name the version that is installed."""
    assert wsec("--version").output == f"wsec {version('wsec')}\n"


def test_a_mistyped_command_suggests_the_nearest(wsec: Wsec) -> None:
    """The message for a typo is read whole."""
    result = wsec("compil", "model.onnx")
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr == (
        "Usage: wsec [OPTIONS] COMMAND [ARGS]...\n"
        "Try 'wsec --help' for help.\n\n"
        "Error: No such command 'compil'. (Did you mean one of: 'compile', 'completion'?)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile"], "Missing argument 'MODEL'."),
        (["compile", "m.onnx", "--regoin", "1x1"], "No such option '--regoin'. Did you mean '--region'?"),
        (
            ["compile", "m.onnx", "--dim", "batch"],
            "Invalid value for '--dim': 'batch' is not NAME=SIZE with a size of at least 1, such as batch=8",
        ),
        (
            ["compile", "m.onnx", "--dim", "batch=0"],
            "Invalid value for '--dim': 'batch=0' is not NAME=SIZE with a size of at least 1, such as batch=8",
        ),
        (
            ["compile", "m.onnx", "--dim", "n=1", "--dim", "n=2"],
            "Invalid value for '--dim': n is given as 1 and as 2",
        ),
        (
            ["compile", "m.onnx", "--wafers", "two"],
            "Invalid value for '--wafers': 'two' is not a number of wafers from 1 on, nor auto",
        ),
        (
            ["compile", "m.onnx", "--phases", "0"],
            "Invalid value for '--phases': '0' is not a number of phases from 1 on, nor auto",
        ),
        (
            ["compile", "m.onnx", "--phases", "-2"],
            "Invalid value for '--phases': '-2' is not a number of phases from 1 on, nor auto",
        ),
        (
            ["compile", "m.onnx", "--samples-per-phase", "0"],
            "Invalid value for '--samples-per-phase': '0' is not a number of samples from 1 on, nor auto",
        ),
        (
            ["compile", "m.onnx", "--effort", "nan"],
            "Invalid value for '--effort': nan is not a number of at least 0",
        ),
        (
            ["compile", "m.onnx", "--effort", "-1"],
            "Invalid value for '--effort': -1.0 is not a number of at least 0",
        ),
        (
            ["compile", "m.onnx", "--collective", "butterfly"],
            (
                "Invalid value for '--collective': 'butterfly' is not one of 'auto', 'chain', 'two_phase', 'two_level', "
                "'tree', 'star', 'ring'."
            ),
        ),
        (["estimate", "p", "--top", "0"], "Invalid value for '--top': 0 is not in the range x>=1."),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(wsec: Wsec, arguments: list[str], message: str) -> None:
    """Each message says which argument is wrong and what would be right; the status is 2 and stdout is empty."""
    result = wsec(*arguments)
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr.splitlines()[-1] == f"Error: {message}"
    assert result.stdout == ""


def test_python_m_wsec_is_the_same_program() -> None:
    """Where the script is not on the PATH, the module is."""
    result = subprocess.run(
        [sys.executable, "-m", "wsec", "--version"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, f"wsec {version('wsec')}\n")


def test_help_imports_nothing_heavy() -> None:
    """`wsec --help` stays instant: what takes long to import is imported when used."""
    program = (
        "import sys, wsec.cli\n"
        "heavy = ('numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'ortools', 'networkx', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
