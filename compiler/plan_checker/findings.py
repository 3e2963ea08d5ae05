"""What the checker reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "WSEC541"
PLACEMENT = "WSEC542"
SHARDING = "WSEC543"
READS = "WSEC544"
OPERATOR = "WSEC545"
MEMORY = "WSEC546"
DATAFLOW = "WSEC547"
LINK = "WSEC548"
ROUTE = "WSEC549"
CYCLES = "WSEC550"
WAFERS = "WSEC551"
CONSTRAINT = "WSEC552"
PHASES = "WSEC553"
CIRCUIT = "WSEC554"
STREAM = "WSEC555"
DELIVERY = "WSEC556"
DEADLOCK = "WSEC557"
QUEUE = "WSEC558"
LOAD = "WSEC559"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a plan.

    Attributes:
        code: The group of the rule, with a page in docs/errors/.
        rule: What should hold, in a sentence without full stop.
        where: The kernel, link or entry.
        expected: What would have been right, with numbers.
        found: What is there instead.
    """

    code: str
    rule: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.code} {self.where}: {self.rule}; expected {self.expected}, found {self.found}"


def count(number: int, noun: str) -> str:
    """A number of things for a message."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def words(values: Sequence[object]) -> str:
    """The values for a message, or `nothing`."""
    return ", ".join(map(str, values)) or "nothing"
