"""What packages add to wsec: found through entry points, imported when it is used and not before.

wsec's own passes, kernels and targets are registered in the same groups. Nothing is ever imported because a model or a
plan names it: only what is installed and registered, or what the user names.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

PASSES_GROUP = "wsec.passes"
KERNELS_GROUP = "wsec.kernels"
TARGETS_GROUP = "wsec.targets"
OWN_PACKAGE = "wsec"
_SHOWN_LINES = 6
_TIME_LIMIT = "wsec.passes.time_limit"


class LoadError(Exception):
    """What an entry point or a command line names cannot be imported; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One entry point of an installed package.

    Attributes:
        name: The entry's name in its group.
        value: `package.module:attribute`, or a module alone.
        package: The distribution that registers it.
        version: Of that distribution.
    """

    name: str
    value: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """Package and version, for people."""
        return f"{self.package} {self.version}"

    @property
    def namespace(self) -> str:
        """The importable package that holds it, without modules."""
        return self.value.partition(":")[0].partition(".")[0]


def extensions(group: str) -> tuple[Extension, ...]:
    """The entries of a group: wsec's own first, then those of other packages by package and name."""
    return _extensions(group, tuple(sys.path))


@cache
def _extensions(group: str, _path: tuple[str, ...]) -> tuple[Extension, ...]:
    found = [
        Extension(point.name, point.value, point.dist.name, point.dist.version)
        for point in importlib.metadata.entry_points(group=group)
        if point.dist is not None
    ]
    return tuple(sorted(found, key=lambda item: (item.package != OWN_PACKAGE, item.package, item.name)))


def load_attribute(value: str) -> object:
    """The object that `package.module:attribute` names.

    Raises:
        LoadError: The module cannot be imported, whatever it raises, or has no such attribute.
    """
    module, _, attribute = value.partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in attribute.split(".") if attribute else ():
            found = getattr(found, name)
    except (
        Exception,
        SystemExit,
    ) as error:  # a module of somebody else's may raise anything while it is imported
        reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise LoadError(reason) from error
    return found


def code_lines(trace: TracebackType | None) -> list[str]:
    """The last lines of code of a traceback, outermost first, from where wsec called somebody else's code."""
    lines = [
        (str(frame.f_globals.get("__name__")), f"line {line}, in {frame.f_code.co_name}")
        for frame, line in traceback.walk_tb(trace)
    ]
    while lines and lines[-1][0] == _TIME_LIMIT:  # the alarm, which rings wherever the code stands
        lines.pop()
    foreign = dropwhile(lambda line: line[0].startswith(f"{OWN_PACKAGE}."), lines)
    return [", ".join(line) for line in foreign][-_SHOWN_LINES:]
