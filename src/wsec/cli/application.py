"""The program `wsec`: its commands in the order of work, and its entry point."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import click

from wsec.cli.bisect import bisect
from wsec.cli.check_plan import check_plan
from wsec.cli.compile import compile_plan
from wsec.cli.estimate import estimate
from wsec.cli.fit import fit
from wsec.cli.kernels import kernels
from wsec.cli.passes import passes
from wsec.cli.report import report
from wsec.cli.run import run
from wsec.cli.simulate import simulate
from wsec.cli.targets import targets

_EPILOG = """\b
Example:
  wsec compile model.onnx -o model.plan
  wsec run model.plan --verify

\b
Exit statuses:
  0    done, and the answer is yes
  1    done, and the answer is no: numbers differ, a plan is illegal
  2    the command line is wrong
  3    the model is at fault (WSEC1xx)
  4    the target is at fault (WSEC2xx)
  5    the model does not fit (WSEC3xx)
  6    a pass or a package of kernels is at fault (WSEC4xx)
  7    the plan or a file beside it is at fault (WSEC5xx)
  8    wsec itself is at fault (WSEC6xx)
  130  interrupted
  141  nobody reads the output any more
"""


class OrderedGroup(click.Group):
    """Lists its commands in the order in which they are used, not by the alphabet."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names of the commands, as they were added."""
        return list(self.commands)


@click.group(
    cls=OrderedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(package_name="wsec", message="wsec %(version)s")
def application() -> None:
    """Compile ONNX models onto the core grid of a wafer-scale engine.

    No hardware is needed: a plan is checked, executed shard by shard with the same numbers as onnxruntime, and its
    cycles are estimated and simulated.
    """


for _command in (compile_plan, fit, run, simulate, estimate, report, check_plan, bisect, targets, passes, kernels):
    application.add_command(_command)


def main() -> None:
    """Run the command line; ends the program with one of the documented statuses."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(ValueError):  # it was closed: nobody reads
            sys.stdout.reconfigure(errors="backslashreplace")  # names of tensors need not exist in the locale
    # Set before numpy loads: small products gain nothing from a second thread, and `run` compares with one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    application(prog_name="wsec")
