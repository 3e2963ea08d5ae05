"""Which core sends which word in each exchange of a resharding, so that every core ends with what it needs.

From the last exchange back to the first: a core that could not have a word before takes it in this exchange, and some core of its
segment has to have it before. All holdings are arrays of flags [rows, columns, elements].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Exchange

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """What is taken in one exchange, word by word.

    Attributes:
        source: int64 [words], the core that sends it, by row and column.
        target: int64 [words], the core that takes it.
        element: int64 [words].
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    element: NDArray[np.int64]


def sent_words(held: Flags, needed: Flags, exchanges: Sequence[Exchange], link: str) -> list[Sent]:
    """The words of each exchange; none where every core holds what it needs.

    Args:
        held: Before the first.
        needed: Behind the last.
        exchanges: Of the link, one after the other.
        link: Its name.

    Raises:
        WsecError: WSEC597 the exchanges do not bring every word.
    """
    possible = [held]
    for exchange in exchanges:
        possible.append(_with_segments(possible[-1], exchange))
    _refuse_missing(possible[-1], needed, link)
    found: list[Sent] = []
    wanted = needed
    for number in reversed(range(len(exchanges))):
        before = possible[number]
        lacking = wanted & ~before
        source = _senders(lacking, held, before, exchanges[number])
        row, column, element = np.nonzero(lacking)
        at = source[row, column, element]
        along_rows = exchanges[number].along == "rows"
        sender = row * held.shape[1] + at if along_rows else at * held.shape[1] + column
        found.append(Sent(sender, row * held.shape[1] + column, element))
        wanted = wanted & before
        sending = np.zeros_like(wanted)
        sending[sender // held.shape[1], sender % held.shape[1], element] = True
        wanted |= sending
    return found[::-1]


def segments_of(exchange: Exchange, length: int) -> Iterator[slice]:
    """The segments of a line of so many cores."""
    starts = [0, *range(exchange.offset or exchange.segment, length, exchange.segment)]
    for first, last in zip(starts, [*starts[1:], length], strict=True):
        yield slice(first, last)


def _with_segments(held: Flags, exchange: Exchange) -> Flags:
    """What every core could hold after an exchange: all of its segment."""
    result = held.copy()
    lines = _lines(result, exchange)
    for segment in segments_of(exchange, lines.shape[1]):
        lines[:, segment] = lines[:, segment].any(axis=1, keepdims=True)
    return result


def _lines(flags: NDArray[Any], exchange: Exchange) -> NDArray[Any]:
    """A view [lines, cores of a line, elements]."""
    return flags if exchange.along == "rows" else flags.swapaxes(0, 1)


def _senders(lacking: Flags, held: Flags, before: Flags, exchange: Exchange) -> NDArray[np.int32]:
    """The place on its line of the core that sends each word that is lacking, [rows, columns, elements]; -1 elsewhere.

    Of cores that hold the word from the start the nearest to those that lack it; else one of those that earlier exchanges bring it
    to, by the number of the element, so that they share the work.
    """
    found = np.full(lacking.shape, -1, np.int32)
    lines = [_lines(each, exchange) for each in (found, lacking, held, before)]
    element = np.arange(lacking.shape[2])
    for segment in segments_of(exchange, lines[0].shape[1]):
        place, lack, own, reached = (each[:, segment] for each in lines)
        wanted = lack.any(axis=1)
        if not wanted.any():
            continue
        at = np.arange(lack.shape[1])[:, None]
        middle = (lack * at).sum(axis=1) / np.maximum(lack.sum(axis=1), 1)
        distance = np.where(own, np.abs(at - middle[:, None]), np.inf)
        nearest = distance.argmin(axis=1)
        rank = np.cumsum(reached, axis=1)
        chosen = (reached & (rank == element % np.maximum(rank[:, -1:], 1) + 1)).argmax(axis=1)
        sender = np.where(own.any(axis=1), nearest, chosen) + segment.start
        place[...] = np.where(lack, sender[:, None], -1)
    return found


def _refuse_missing(possible: Flags, needed: Flags, link: str) -> None:
    missing = needed & ~possible
    if not missing.any():
        return
    row, column, element = (int(each[0]) for each in np.nonzero(missing))
    raise WsecError(
        code="WSEC597",
        what="a link does not bring what its kernel needs",
        where=f"link {link}, column {column}, row {row}",
        expected="every element of the core's block: held from the start, or brought by an exchange of the link",
        found=f"element {element} does not come; {int(missing.sum()):,} are missing in all",
        hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
    )
