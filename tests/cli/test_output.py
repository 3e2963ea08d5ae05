"""How numbers, names and tables look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.cli.output import (
    Column,
    make_console,
    plural,
    printable,
    seconds,
    shorten,
    write_labelled,
    write_table,
)

_COLUMNS = (Column("name", elastic=True), Column("cycles", right=True), Column("kind", from_width=60))


@given(st.text(), st.integers(3, 60))
def test_shortened_text_fits_and_keeps_its_end(text: str, width: int) -> None:
    """A name never makes a line longer than the terminal, and what tells layers apart survives."""
    short = shorten(text, width)
    assert len(short) <= width
    assert short == text or (short.startswith("...") and text.endswith(short[3:]))


@given(st.text())
def test_nothing_that_is_printed_steers_the_terminal(text: str) -> None:
    """Names come from models of strangers: no escape sequence and no line break gets through."""
    assert printable(text).isprintable()


def test_printable_names_stay_readable() -> None:
    """Letters of any language are left alone; an escape is shown, not obeyed."""
    assert printable("Größe/層") == "Größe/層"
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.0, "0 ns"),
        (3.2e-9, "3.2 ns"),
        (0.000_5, "500 us"),
        (0.001_25, "1.25 ms"),
        (9.876, "9.88 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_durations_have_the_unit_that_needs_no_zeros(duration: float, text: str) -> None:
    """Latencies are nanoseconds to seconds, compilations seconds to hours."""
    assert seconds(duration) == text


def test_plural() -> None:
    """One is one."""
    assert [plural(number, "kernel") for number in (0, 1, 2_000)] == [
        "0 kernels",
        "1 kernel",
        "2,000 kernels",
    ]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            80,
            [
                "name                                                      cycles  kind",
                "...asonable/much/too/long/name/of/a/layer/in/a/very/deep/network  10  matmul",
                "b                                                          2,000  pool",
            ],
        ),
        (
            40,
            [
                "name                              cycles",
                ".../layer/in/a/very/deep/network      10",
                "b                                  2,000",
            ],
        ),
    ],
)
def test_tables_drop_columns_and_shorten_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, lines: list[str]
) -> None:
    """A table fits the terminal: first the less important columns go, then the beginnings of names."""
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "the/quite/unreasonable/much/too/long/name/of/a/layer/in/a/very/deep/network"
    write_table(make_console(), _COLUMNS, [(name, "10", "matmul"), ("b", "2,000", "pool")])
    printed = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in printed] == [" ".join(line.split()) for line in lines]
    assert max(map(len, printed)) <= columns


def test_long_texts_go_on_below_themselves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels keep a column of their own, and a text in brackets is text, not markup."""
    monkeypatch.setenv("COLUMNS", "40")
    write_labelled(
        make_console(), [("interval", "12,345 cycles, 2.9% above the lower bound"), ("plan", "[red]x")]
    )
    assert capsys.readouterr().out == (
        "interval  12,345 cycles, 2.9% above the\n          lower bound\nplan      [red]x\n"
    )
