"""What changes on the way of a stream by the number of words that passed: positions of switches, filters at ramps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.route_table import RouteTable, broken_routes
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_WORDS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class SwitchTurns:
    """How long each router stays at a position of a setting; int64 arrays of one length.

    For each core and colour its turns in order: the router stays at `position` until `words` words have passed; behind the last
    turn it begins again. Turns of 0 words are left out. Settings of one position need none.

    Attributes:
        core: y * width + x.
        colour: Of the setting.
        position: 0 is the first of the setting.
        words: That pass before the next turn begins.
    """

    core: NDArray[np.int64]
    colour: NDArray[np.int64]
    position: NDArray[np.int64]
    words: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RampFilters:
    """Which words of a stream a core takes; int64 arrays of one length.

    For each core and colour in order: `skip` words are dropped at the ramp, then `take` are taken; behind the last it begins
    again. A dropped word needs no room and costs the engine nothing. Without a filter a core takes all.

    Attributes:
        core: y * width + x.
        colour: Of the words.
        skip: Words to drop.
        take: Words to take after them.
    """

    core: NDArray[np.int64]
    colour: NDArray[np.int64]
    skip: NDArray[np.int64]
    take: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Turns:
    """Turns laid out for settings or ramps, none of 0 words.

    Attributes:
        owner: int64 [owners], the settings that have turns, ascending.
        first: int32 [owners + 1], the first turn of each.
        choice: int32 [turns], the position of a switch; of a filter 1 where words are dropped, else 0.
        words: int32 [turns].
    """

    owner: NDArray[np.int64]
    first: NDArray[np.int32]
    choice: NDArray[np.int32]
    words: NDArray[np.int32]


def lay_out_switches(table: RouteTable, turns: SwitchTurns | None) -> Turns:
    """The turns of all settings of several positions.

    Raises:
        WsecError: WSEC591 turns name what is not there, or are missing.
    """
    positions = np.diff(table.first_position)
    if turns is None:
        none = np.zeros(0, np.int64)
        turns = SwitchTurns(none, none, none, none)
    setting = _settings(table, turns.core, turns.colour)
    _check_words(table, setting, turns.words)
    outside = np.flatnonzero((turns.position < 0) | (turns.position >= positions[setting]))
    if outside.size:
        at = int(outside[0])
        raise broken_routes(
            table,
            int(setting[at]),
            f"turns at positions from 0 to {positions[setting[at]] - 1}",
            f"one at position {turns.position[at]}",
        )
    missing = np.setdiff1d(np.flatnonzero(positions > 1), setting)
    if missing.size:
        raise broken_routes(
            table,
            int(missing[0]),
            "turns that say when the switch goes on",
            f"{positions[missing[0]]} positions without turns",
        )
    several = positions[setting] > 1
    return _grouped(setting[several], turns.position[several], turns.words[several])


def lay_out_filters(table: RouteTable, filters: RampFilters | None) -> Turns:
    """The runs of words that filters drop (choice 1) and take (choice 0).

    Raises:
        WsecError: WSEC591 a filter is where nothing comes into the core, or it takes and drops nothing.
    """
    if filters is None:
        none = np.zeros(0, np.int64)
        filters = RampFilters(none, none, none, none)
    setting = _settings(table, filters.core, filters.colour)
    words = np.stack([filters.skip, filters.take], axis=1).reshape(-1)
    _check_words(table, np.repeat(setting, 2), words)
    into_core = np.zeros(table.setting_core.size, np.bool_)
    into_core[table.position_setting[table.outputs[:, Port.RAMP]]] = True
    elsewhere = np.flatnonzero(~into_core[setting])
    if elsewhere.size:
        raise broken_routes(
            table, int(setting[elsewhere[0]]), "a filter where words come into the core", "none come there"
        )
    runs = _grouped(np.repeat(setting, 2), np.tile([1, 0], setting.size), words)
    empty = np.flatnonzero(np.diff(runs.first) == 0)
    if empty.size:
        raise broken_routes(
            table, int(runs.owner[empty[0]]), "a filter that takes or drops words", "one of 0 words"
        )
    return runs


def _settings(table: RouteTable, core: NDArray[np.int64], colour: NDArray[np.int64]) -> NDArray[np.int64]:
    setting = table.find(core, colour)
    missing = np.flatnonzero(setting < 0)
    if missing.size:
        y, x = divmod(int(core[missing[0]]), table.width)
        raise WsecError(
            code="WSEC591",
            what="the routes do not fit together",
            where=f"core ({x}, {y}), colour {colour[missing[0]]}",
            expected="turns and filters of colours that have a route there",
            found="no route of this colour",
            hint="the plan is broken: compile it again",
        )
    return setting


def _check_words(table: RouteTable, setting: NDArray[np.int64], words: NDArray[np.int64]) -> None:
    wrong = np.flatnonzero((words < 0) | (words > _MAX_WORDS))
    if wrong.size:
        at = int(wrong[0])
        raise broken_routes(
            table, int(setting[at]), f"turns and filters of 0 to {_MAX_WORDS} words", f"{words[at]} words"
        )


def _grouped(setting: NDArray[np.int64], choice: NDArray[np.int64], words: NDArray[np.int64]) -> Turns:
    """By setting, in the order given; owners whose turns are all of 0 words keep none."""
    owner = np.unique(setting)
    order = np.argsort(setting, kind="stable")
    order = order[words[order] > 0]
    first = np.searchsorted(setting[order], np.append(owner, _MAX_WORDS))
    return Turns(owner, first.astype(np.int32), choice[order].astype(np.int32), words[order].astype(np.int32))
