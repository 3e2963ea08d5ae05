"""Errors of the simulator in the plan's words: cores of the region, kernels, links."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.errors import WsecError
    from wsec.runtime.programs.phase import PhasePrograms

_PLACE: Final = re.compile(r"\((\d+), (\d+)\)")
_COLOUR: Final = re.compile(r"colour (\d+)")


def in_words_of_the_plan(error: WsecError, programs: PhasePrograms) -> WsecError:
    """The error with the names of kernels and links beside cores and colours of the simulated grid."""
    found = "\n".join(_line(line, programs) for line in error.found.splitlines())
    return replace(error, found=found)


def _line(line: str, programs: PhasePrograms) -> str:
    """A line with places of the region; behind it the circuit that its colour has there, and the kernel that is there."""
    places = [(int(x), int(y)) for x, y in _PLACE.findall(line)]
    if not places:
        return line
    notes = list(_notes(line, places[0], programs))
    moved = _PLACE.sub(lambda match: _place(int(match[1]), int(match[2]), programs), line)
    return f"{moved}: {', '.join(notes)}" if notes else moved


def _place(x: int, y: int, programs: PhasePrograms) -> str:
    if x == 0:
        return f"of the host, west of row {y}"
    if x == programs.width - 1:
        return f"of the host, east of row {y}"
    return f"({x - 1}, {y})"


def _notes(line: str, place: tuple[int, int], programs: PhasePrograms) -> Iterator[str]:
    x, y = place[0] - 1, place[1]
    colour = _COLOUR.search(line)
    if colour is not None:
        name = _circuit(int(colour[1]), place, programs)
        if name:
            yield name
    for programs_of in programs.kernels:
        kernel, area = programs_of.kernel, programs_of.kernel.rectangle
        if area.x <= x < area.x + area.width and area.y <= y < area.y + area.height:
            yield f"kernel {kernel.name}"


def _circuit(colour: int, place: tuple[int, int], programs: PhasePrograms) -> str:
    """What a colour carries at a core."""
    core = np.array([place[1] * programs.width + place[0]])
    for settings in programs.settings:
        if settings.colour == colour and settings.find(core)[0] >= 0:
            is_link = any(words.link.name == settings.name for words in programs.links)
            return f"link {settings.name}" if is_link else settings.name
    return ""
