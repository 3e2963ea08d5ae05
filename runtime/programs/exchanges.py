"""Who sends which words in the exchanges of a link, and who takes them (docs/fabric.md, "Exchanges")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.programs.landing import NOWHERE
from wsec.runtime.programs.ragged import Ragged, ragged, rank_in_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Exchange
    from wsec.compiler.sharding import Mesh
    from wsec.runtime.programs.words import BlockWords


@dataclass(frozen=True, slots=True, eq=False)
class ExchangeWords:
    """One exchange of a link; elements by core.

    Attributes:
        exchange: Of the plan.
        late: Whether it runs along the last side, to cores; else to lines.
        sent: Elements that each core sends in its turn.
        taken: Elements that each core takes, in the order in which they pass.
        index: For each of these, how many words of others pass before it.
        passing: int64 [cores], words of all others of its segment.
    """

    exchange: Exchange
    late: bool
    sent: Ragged
    taken: Ragged
    index: Ragged
    passing: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DealtWords:
    """What becomes of the words dealt to a kernel's cores.

    Attributes:
        exchanges: In order.
        waiting: Elements that each core holds when a sample waits for its turn: dealt to it, or brought to its line.
    """

    exchanges: tuple[ExchangeWords, ...]
    waiting: Ragged


def final_side(exchanges: Sequence[Exchange]) -> str:
    """The side along which the last exchange runs."""
    return exchanges[-1].along if exchanges else "rows"


def lines_of_cores(mesh: Mesh, side: str) -> NDArray[np.int64]:
    """The row of each core where `side` is rows, else its column; int64 [cores]."""
    row, column = np.divmod(np.arange(mesh.height * mesh.width), mesh.width)
    return row if side == "rows" else column


def exchange_words(
    landed: NDArray[np.int64], needs: BlockWords, mesh: Mesh, exchanges: Sequence[Exchange], link: str
) -> DealtWords:
    """The exchanges of a link whose element `e` was dealt to core `landed[e]` (-1: nobody needs it).

    Raises:
        WsecError: WSEC597 a core does not get a word that it needs.
    """
    final = final_side(exchanges)
    line = lines_of_cores(mesh, final)
    across = lines_of_cores(mesh, "columns" if final == "rows" else "rows")
    total = needs.total
    core_of = np.zeros((int(line.max()) + 1, int(across.max()) + 1), np.int64)
    core_of[line, across] = np.arange(line.size)
    early = [each for each in exchanges if each.along != final]
    # words that a line needs and was not dealt: (line, element), and where they come from and go to
    pairs = np.unique(line[needs.elements.rows] * total + needs.elements.values)
    to_line, element = np.divmod(pairs, total)
    _refuse_lost(link, needs, landed)
    source = landed[element]
    target = core_of[to_line, across[source]]
    own = line[source] == to_line
    there, done = own.copy(), []
    for exchange in early:
        brought = ~there & _together(line[source], to_line, exchange)
        done.append(words_of_exchange(exchange, (source, target, element), brought, mesh, late=False))
        there |= brought
    holder = (target[there], element[there])
    waiting = holder if early else (landed[landed >= 0], np.flatnonzero(landed >= 0))
    held = pairs[there]  # ascending
    target, element = needs.elements.rows, needs.elements.values
    key = line[target] * total + element
    place = np.minimum(np.searchsorted(held, key), max(0, held.size - 1))
    reached = held[place] == key if held.size else np.zeros(key.size, np.bool_)
    source = core_of[line[target], across[landed[element]]]
    there = reached & (source == target)
    for exchange in (each for each in exchanges if each.along == final):
        brought = reached & ~there & _together(across[source], across[target], exchange)
        done.append(words_of_exchange(exchange, (source, target, element), brought, mesh, late=True))
        there |= brought
    if not there.all():
        raise lost(link, mesh, int(target[~there][0]), int(element[~there][0]), int((~there).sum()))
    order = np.argsort(waiting[1], kind="stable")
    return DealtWords(tuple(done), ragged(waiting[0][order], waiting[1][order], line.size))


def _together(one: NDArray[np.int64], other: NDArray[np.int64], exchange: Exchange) -> NDArray[np.bool_]:
    """Whether two positions of a line are in one segment."""
    shift = (exchange.segment - exchange.offset) % exchange.segment
    same: NDArray[np.bool_] = (one + shift) // exchange.segment == (other + shift) // exchange.segment
    return same


def words_of_exchange(
    exchange: Exchange,
    words: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    brought: NDArray[np.bool_],
    mesh: Mesh,
    *,
    late: bool,
) -> ExchangeWords:
    """The exchange that brings those of the words (source, target, element) that are marked."""
    source, target, element = (each[brought] for each in words)
    cores = mesh.height * mesh.width
    total = int(element.max(initial=0)) + 1
    sends = np.unique(source * total + element)
    sent = ragged(sends // total, sends % total, cores)
    before = _sent_before(sent.lengths, mesh, exchange)
    rank = np.searchsorted(sends, source * total + element) - sent.starts[source]
    behind = lines_of_cores(mesh, "columns" if exchange.along == "rows" else "rows")
    index = before[source] + rank - np.where(behind[source] > behind[target], sent.lengths[target], 0)
    order = np.lexsort((index, target))
    taken = ragged(target[order], element[order], cores)
    passing = _of_segment(sent.lengths, mesh, exchange) - sent.lengths
    return ExchangeWords(exchange, late, sent, taken, taken.with_values(index[order]), passing)


def _segments(mesh: Mesh, exchange: Exchange) -> NDArray[np.int64]:
    """A number for the segment of each core, int64 [cores]; those of a line are by rising position."""
    position = lines_of_cores(mesh, "columns" if exchange.along == "rows" else "rows")
    line = lines_of_cores(mesh, exchange.along)
    shift = (exchange.segment - exchange.offset) % exchange.segment
    return line * (position.size + 1) + (position + shift) // exchange.segment


def _of_segment(amounts: NDArray[np.int64], mesh: Mesh, exchange: Exchange) -> NDArray[np.int64]:
    """The sum over the cores of each core's segment."""
    _, number = np.unique(_segments(mesh, exchange), return_inverse=True)
    return np.bincount(number, weights=amounts).astype(np.int64)[number]


def _sent_before(amounts: NDArray[np.int64], mesh: Mesh, exchange: Exchange) -> NDArray[np.int64]:
    """The sum over the cores of each core's segment that have their turn before it."""
    segment = _segments(mesh, exchange)
    order = np.argsort(segment, kind="stable")  # cores of a line stand by rising position already
    running = np.cumsum(amounts[order]) - amounts[order]
    first = running[np.arange(order.size) - rank_in_row(segment[order])]
    before = np.zeros_like(amounts)
    before[order] = running - first
    return before


def _refuse_lost(link: str, needs: BlockWords, landed: NDArray[np.int64]) -> None:
    missing = np.flatnonzero(landed[needs.elements.values] == NOWHERE)
    if missing.size:
        core, element = int(needs.elements.rows[missing[0]]), int(needs.elements.values[missing[0]])
        raise lost(link, None, core, element, missing.size)


def lost(link: str, mesh: Mesh | None, core: int, element: int, count: int) -> WsecError:
    """WSEC597: a core of a link's consumer does not get a word."""
    where = (
        f"core {core}"
        if mesh is None
        else f"column {core % mesh.width}, row {core // mesh.width} of the kernel"
    )
    return WsecError(
        code="WSEC597",
        what="a link does not bring what its kernel needs",
        where=f"link {link}, {where}",
        expected="every element of the core's block, from its stream or by an exchange",
        found=f"element {element} does not come; {count} words are missing in all",
        hint="`wsec check-plan` lists what is wrong with the plan; compile the model again",
    )
