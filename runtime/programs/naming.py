"""Errors of the simulator in the plan's words: cores of the region, kernels, links."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from wsec.compiler.errors import WsecError
    from wsec.runtime.programs.phase import PhasePrograms

_PLACE: Final = re.compile(r"\((\d+), (\d+)\)")
_COLOUR: Final = re.compile(r"colour (\d+)")


def in_words_of_the_plan(error: WsecError, programs: PhasePrograms) -> WsecError:
    """The error with the names of kernels and links beside cores and colours of the simulated grid."""
    lines = [_line(line, programs) for line in error.found.splitlines()]
    details = tuple(detail for _, detail in lines if detail)
    return replace(error, found="\n".join(line for line, _ in lines), details=details)


def _line(line: str, programs: PhasePrograms) -> tuple[str, dict[str, object]]:
    """A line with places of the region; behind it the circuit that its colour has there, and the kernel that is there.

    The same as an object beside it, empty where the line names no place.
    """
    places = [(int(x), int(y)) for x, y in _PLACE.findall(line)]
    if not places:
        return line, {}
    x, y = places[0]
    colour = _COLOUR.search(line)
    number = None if colour is None else int(colour[1])
    circuit = "" if number is None else _circuit(number, places[0], programs)
    kernel = _kernel(x - 1, y, programs)
    moved = _PLACE.sub(lambda match: _place(int(match[1]), int(match[2]), programs), line)
    notes = [circuit] * bool(circuit) + [f"kernel {kernel}"] * bool(kernel)
    detail: dict[str, object] = {
        "what": moved,
        "core": [x - 1, y] if 0 < x < programs.width - 1 else None,
        "colour": number,
        "circuit": circuit or None,
        "kernel": kernel or None,
    }
    return f"{moved}: {', '.join(notes)}" if notes else moved, detail


def _place(x: int, y: int, programs: PhasePrograms) -> str:
    if x == 0:
        return f"of the host, west of row {y}"
    if x == programs.width - 1:
        return f"of the host, east of row {y}"
    return f"({x - 1}, {y})"


def _kernel(x: int, y: int, programs: PhasePrograms) -> str:
    """The kernel that has a core of the region."""
    for each in programs.kernels:
        area = each.kernel.rectangle
        if area.x <= x < area.x + area.width and area.y <= y < area.y + area.height:
            return each.kernel.name
    return ""


def _circuit(colour: int, place: tuple[int, int], programs: PhasePrograms) -> str:
    """What a colour carries at a core."""
    core = np.array([place[1] * programs.width + place[0]])
    for settings in programs.settings:
        if settings.colour == colour and settings.find(core)[0] >= 0:
            is_link = any(words.link.name == settings.name for words in programs.links)
            return f"link {settings.name}" if is_link else settings.name
    return ""
