"""Everything a user can do wrong, as one exception type with a stable code.

The hundreds of a code name the subject: 1xx model, 2xx target, 3xx does not fit, 4xx pass, 5xx plan, 6xx internal.
A few of 3xx say that the options themselves are wrong, and end a command as usage errors do.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitStatus(enum.IntEnum):
    """Exit statuses of the command line; documented in docs/cli.md."""

    OK = 0
    FAILED_CHECK = 1  # the command ran, and its answer is no: numbers differ, the plan is illegal
    USAGE = 2  # the command line itself is wrong
    MODEL = 3
    TARGET = 4
    DOES_NOT_FIT = 5
    PASS = 6
    PLAN = 7
    INTERNAL = 8
    INTERRUPTED = 130
    NO_READER = 141  # what shells show of a program that a closed pipe ended


_STATUS_OF_HUNDRED = {
    1: ExitStatus.MODEL,
    2: ExitStatus.TARGET,
    3: ExitStatus.DOES_NOT_FIT,
    4: ExitStatus.PASS,
    5: ExitStatus.PLAN,
    6: ExitStatus.INTERNAL,
}

_OPTIONS = {
    "WSEC343",
    "WSEC364",
    "WSEC365",
    "WSEC372",
    "WSEC373",
    "WSEC368",
    "WSEC369",
    "WSEC370",
    "WSEC388",
}  # no model, whatever its size, can be compiled with these options


@dataclass(eq=False)
class WsecError(Exception):
    """One thing that is wrong, said so that a user can mend it.

    Attributes:
        code: `WSEC` and three digits, stable across versions; docs/errors/ has a page for each.
        what: One sentence, no trailing full stop.
        where: The place: a file and key, a node, a kernel, a core.
        expected: What would have been right.
        found: What was there instead, with numbers.
        hint: What to do about it.
        details: What `found` lists, an object each, for programs that read errors as JSON; its page names the keys.
    """

    code: str
    what: str
    where: str = ""
    expected: str = ""
    found: str = ""
    hint: str = ""
    details: tuple[Mapping[str, object], ...] = ()

    def __post_init__(self) -> None:
        super().__init__(self.what)

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of a command that ends with this error."""
        return ExitStatus.USAGE if self.code in _OPTIONS else _STATUS_OF_HUNDRED[int(self.code[4])]

    def __str__(self) -> str:
        """The message as the terminal shows it: one line for each part that is there."""
        lines = [f"error[{self.code}]: {self.what}"]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("try", self.hint),
        ):
            if text:
                first, *rest = text.splitlines()
                lines.append(f"  {label + ':':<10}{first}")
                lines.extend(" " * 12 + line for line in rest)
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The same parts for `--json`, and the details where there are any."""
        parts: dict[str, object] = {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "try": self.hint,
        }
        return {**parts, "details": list(self.details)} if self.details else parts
