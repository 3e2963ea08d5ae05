"""Files of constraints: what they become, and everything that is wrong with one, with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.compiler.constraint_file import read_constraints
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.placement import Adjacent, Forbid, Pin, Rectangle, TouchEdge, Within

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[[edge]]
operator = "d"
sides = ["left", "top"]
[[pin]]
name = "keep"
operator = "a"
x = 0
y = 1
width = 2
height = 3
[[region]]
operator = "b"
x = 0
y = 0
width = 9
height = 9
[[forbid]]
x = 5
y = 5
width = 1
height = 1
[[adjacent]]
operators = ["a", "b"]
"""


def _read(folder: Path, text: str) -> object:
    path = folder / "wanted.toml"
    path.write_text(text, encoding="utf-8")
    return read_constraints(path)


def test_every_kind_is_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    """With the line of its header, which messages say."""
    assert _read(tmp_path, GOOD) == (
        TouchEdge("d", ("left", "top"), origin="wanted.toml, line 2"),
        Pin("a", Rectangle(0, 1, 2, 3), "keep", "wanted.toml, line 5"),
        Within("b", Rectangle(0, 0, 9, 9), origin="wanted.toml, line 12"),
        Forbid(Rectangle(5, 5, 1, 1), origin="wanted.toml, line 18"),
        Adjacent("a", "b", origin="wanted.toml, line 23"),
    )


def test_tables_without_a_header_are_counted(tmp_path: Path) -> None:
    """An array of inline tables is the same to TOML; no line is made up for it."""
    text = 'adjacent = [{operators = ["a", "b"]}, {operators = ["b", "c"]}]'
    assert _read(tmp_path, text) == (
        Adjacent("a", "b", origin="wanted.toml, [[adjacent]] number 1"),
        Adjacent("b", "c", origin="wanted.toml, [[adjacent]] number 2"),
    )


def test_a_file_without_tables_demands_nothing(tmp_path: Path) -> None:
    """Comments alone, or nothing."""
    assert _read(tmp_path, "# later\n") == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[[pins]]\n", "line 1: pins: unknown key, did you mean pin?"),
        ("colour = 1\n", "line 1: colour: unknown key, known are pin, region, forbid, adjacent, edge"),
        ("[pin]\nx = 1\n", "line 1: pin: needs tables under [[pin]]"),
        (
            '[[forbid]]\nx = 0\ny = 0\nwidht = 1\nheight = 1\nname = ""\n',
            (
                "line 4: widht: unknown key, did you mean width?\n"
                'line 6: name = "": needs a text that is not empty\n'
                "line 1: width is missing in [[forbid]], needs a whole number of at least 1"
            ),
        ),
        (
            "[[pin]]\noperator = 3\nx = -1\ny = true\nwidth = 0\nheight = 1.5\n",
            (
                "line 2: operator = 3: needs a text that is not empty\n"
                "line 3: x = -1: needs a whole number of at least 0\n"
                "line 4: y = true: needs a whole number of at least 0\n"
                "line 5: width = 0: needs a whole number of at least 1\n"
                "line 6: height = 1.5: needs a whole number of at least 1"
            ),
        ),
        (
            '[[adjacent]]\noperators = ["a", "a"]\n\n[[edge]]\noperator = "a"\nsides = ["north"]\n',
            (
                'line 2: operators = ["a", "a"]: needs two different texts\n'
                'line 6: sides = ["north"]: needs a list of left, right, top, bottom'
            ),
        ),
        ("[[pin]\n", "Expected ']]' at the end of an array declaration (at line 1, column 6)"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, found: str) -> None:
    """All of it at once."""
    with pytest.raises(WsecError) as caught:
        _read(tmp_path, text)
    assert (caught.value.code, caught.value.found) == ("WSEC210", found)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The whole message."""
    path = tmp_path / "none.toml"
    with pytest.raises(WsecError) as caught:
        read_constraints(path)
    assert caught.value.exit_status is ExitStatus.TARGET
    assert str(caught.value) == (
        "error[WSEC210]: the file of constraints cannot be used\n"
        f"  where:    {path}\n"
        "  expected: a TOML file\n"
        "  found:    No such file or directory\n"
        "  try:      docs/constraints.md describes the file"
    )
