"""The contest benchmark: its parser, its exact shapes against trying everything, and its evaluator."""

from __future__ import annotations

import itertools
import json
import re
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import contest_evaluator
import contest_format
import contest_shapes
import ispd2020
from wsec.compiler.placement import Limits, place

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "(*\ntest=toy\nwidth=30\nheight=24\nwdeltat=1\nwlength=2\nwadapter=0\nmemlimit={memory}\n*)\n"
NODES = """
(* nodes *)
input[ 0] n=[4 4 8] name='k0' name='again'
conv[1] H=4 W=4 R=3 S=3 C=2 K=4 T=2 U=2 name='k1'
dblock[ 2] f=8 h=2 w=3 name='k2'
cblock[3] f=8 h=4 w=2 name='k3'
output[4] n=[1] name='k4'
input[ 0]:_\t->\tconv[1]:x, shape:[4][4][8]
conv[1]:y -> dblock[ 2]:x, shape:[4][4][8]
dblock[2]:y    -> cblock[ 3]:x"""


def _graph(memory: int = 60, nodes: str = NODES) -> contest_format.Graph:
    return contest_format.parse_graph(HEADER.format(memory=memory) + nodes, "toy.kgraph")


def test_a_graph_is_read() -> None:
    """Blanks in brackets, tabs, a second name, lower-case formals, and no newline at the end."""
    graph = _graph()
    assert [(each.kind, each.name) for each in graph.kernels] == [
        ("conv", "k1"),
        ("dblock", "k2"),
        ("cblock", "k3"),
    ]
    assert graph.kernels[1].formals == (("H", 2), ("W", 3), ("F", 8))
    assert graph.edges == ((0, 1), (1, 2))
    assert (graph.value("width"), graph.value("memlimit")) == (30, 60)


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("conf[1] H=1", 1, "one of conv, dblock, cblock, input, output"),
        ("dblock[1] h=1 w=1 f=x name='a'", 18, "key=value"),
        ("dblock[1] h=1 w=1 f=6 name='a'", 1, "a multiple of 4 for the f of dblock"),
        ("cblock[1] h=3 w=2 f=8 name='a'", 1, "even h and w for a cblock"),
        ("dblock[1] h=1 w=1 name='a'", 1, "the argument F of dblock"),
        ("dblock[1] h=0 w=1 f=4 name='a'", 13, "a whole number of at least 1 for H"),
        ("dblock[1] h=1 w=1 f=4", 1, "the name of dblock"),
        ("dblock[1]:y ->", 1, "kind[index]:port -> kind[index]:port"),
        ("(* open", 1, "a comment that is closed by *)"),
    ],
)
def test_what_is_malformed_is_shown_with_line_and_column(line: str, column: int, message: str) -> None:
    """Each refusal says where, what was expected and what was found."""
    with pytest.raises(contest_format.FormatError) as caught:
        _graph(nodes=line)
    found = line[column - 1 :].strip()[:40]
    assert str(caught.value) == f"toy.kgraph, line 10, column {column}: expected {message}, found {found}"


def test_an_edge_to_nowhere_is_shown() -> None:
    """An edge names nodes of the file."""
    with pytest.raises(
        contest_format.FormatError, match=r"line 20, column 1: expected indices of nodes, .* no node 9"
    ):
        _graph(nodes=f"{NODES}\ndblock[2]:y -> conv[9]:x")


def _conv_facts(args: tuple[int, ...], split: tuple[int, int, int, int]) -> tuple[int, int, float, float]:
    """Width, height, time, memory: the statement's formulas once more, in floats."""
    height, width, r, s, c, k, t, u = args
    h, w, ci, ki = split
    time = ceil(height / h) * ceil(width / w) * ceil(c / ci) * ceil(k / ki) * r * s / t / u
    memory = (c / ci) * (k / ki) * r * s + ((width + s - 1) / w) * ((height + r - 1) / h) * (k / ki)
    return 3 * ki, h * w * (ci + 1), time, memory


@pytest.mark.parametrize("memory", [20, 60, 10_000])
def test_shapes_are_those_of_every_split(memory: int) -> None:
    """For each width and height the least time over all splits, by trying them all, for a convolution and a block."""
    graph = _graph(memory)
    shapes = contest_shapes.kernel_shapes(graph)
    scale = contest_shapes.time_scale(graph)
    convolutions = [
        [(4, 4, 3, 3, 2, 4, 2, 2)],
        [(2, 3, 1, 1, 8, 2, 1, 1), (2, 3, 3, 3, 2, 2, 1, 1), (2, 3, 1, 1, 2, 8, 1, 1)],
    ]
    for parts, found in zip(convolutions, shapes, strict=False):
        least = np.full((31, 31), np.inf)
        for h, w in itertools.product(range(1, parts[0][0] + 1), range(1, parts[0][1] + 1)):
            splits = [[(h, w, c, k) for c in range(1, p[4] + 1) for k in range(1, p[5] + 1)] for p in parts]
            for chosen in itertools.product(*splits):
                facts = [_conv_facts(part, split) for part, split in zip(parts, chosen, strict=True)]
                width, height = sum(each[0] for each in facts), max(each[1] for each in facts)
                if width <= 30 and height <= 30 and all(each[3] <= memory for each in facts):
                    least[width:, height:] = np.minimum(
                        least[width:, height:], max(each[2] for each in facts)
                    )
        ours = np.full((31, 31), np.inf)
        options = found.options
        for width, height, cycles in zip(options.widths, options.heights, options.cycles, strict=True):
            ours[width:, height:] = np.minimum(ours[width:, height:], cycles / scale)
        assert (ours == least).all()


def _solved(graph: contest_format.Graph) -> str:
    shapes = contest_shapes.kernel_shapes(graph)
    problem = ispd2020.contest_problem(graph, shapes, "cost")
    return ispd2020.placement_file(graph, shapes, place(problem, Limits(effort=0.1)))


def test_a_solution_is_legal_and_its_cost_is_the_solvers() -> None:
    """The evaluator, which knows the statement only, agrees with the library on time and wirelength."""
    graph = _graph()
    shapes = contest_shapes.kernel_shapes(graph)
    placement = place(ispd2020.contest_problem(graph, shapes, "cost"), Limits(effort=0.1))
    score = contest_evaluator.evaluate(graph, ispd2020.placement_file(graph, shapes, placement))
    assert float(score.time) * contest_shapes.time_scale(graph) == placement.interval
    assert float(score.wirelength) == placement.wirelength
    assert score.cost == score.time + 2 * score.wirelength


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"place\(\d+ \d+", "place(29 23", "leaves the grid"),
        (r"place\(\d+ \d+", "place(0 0", "overlaps another kernel"),
        (r"k3 = cblock\( 4 2 8 \d+", "k3 = cblock( 4 2 8 5", "above its formal argument"),
        (r"k2 = dblock\( 2", "k2 = dblock( 3", "formal arguments are not those of the graph"),
        (r"union\( k1", "union( k9", "members of kmap"),
    ],
)
def test_the_evaluator_refuses_what_is_illegal(old: str, new: str, message: str) -> None:
    """Files that were changed by hand are found out."""
    graph = _graph()
    text = re.sub(old, new, _solved(graph))
    with pytest.raises(contest_evaluator.IllegalPlacementError, match=message):
        contest_evaluator.evaluate(graph, text)


def test_the_script_writes_placements_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file for each graph, and a record with all keys whose bounds hold."""
    (tmp_path / "Z.kgraph").write_text(HEADER.format(memory=60) + NODES)
    monkeypatch.setattr(
        "sys.argv", ["x", "--data", str(tmp_path), "--out", str(tmp_path), "--only", "Z", "--seconds", "0.2"]
    )
    assert ispd2020.main() == 0
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert {
        "graph",
        "seed",
        "time",
        "wirelength",
        "cost",
        "time_bound",
        "cost_bound",
        "optimal",
        "cores_used",
        "seconds",
    } <= set(row)
    assert row["time_bound"] <= row["time"]
    assert row["cost_bound"] <= row["cost"]
    assert row["whole_cost"]
    assert contest_evaluator.evaluate(_graph(), (tmp_path / "Z.paint").read_text()).cost == row["cost"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--only", "Z,Y"], 1, "error: {folder}/Y.kgraph: cannot be read: [Errno 2] No such file or directory: '{folder}/Y.kgraph'\n"),
        (
            ["--only", "Z", "--seeds", "-1"],
            1,
            ("error[WSEC333]: the limits of the placement search are not usable\n"
            "  expected: effort and seconds finite and at least 0 (0: the first heuristic answer), "
            "and a whole number from 0 to 2147483647 as seed\n"
            "  found:    seed -1\n"),
        ),
        (["--only", "Z", "--seconds", "-1"], 2, "x: error: argument --seconds: expected a finite number of at least 0, found -1\n"),
        (["--only", "Z", "--seconds", "nan"], 2, "x: error: argument --seconds: expected a finite number of at least 0, found nan\n"),
        (["--out", "{folder}/Z.kgraph"], 1, "error: [Errno 17] File exists: '{folder}/Z.kgraph'\n"),
    ],
)  # fmt: skip
def test_the_script_refuses_what_it_cannot_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    """Before it solves anything, with a message and a status."""
    (tmp_path / "Z.kgraph").write_text(HEADER.format(memory=60) + NODES)
    given = [each.format(folder=tmp_path) for each in arguments]
    monkeypatch.setattr("sys.argv", ["x", "--data", str(tmp_path), "--out", str(tmp_path), *given])
    try:
        ended: object = ispd2020.main()
    except SystemExit as stopped:
        ended = stopped.code
    assert ended == status
    assert capsys.readouterr().err.endswith(message.format(folder=tmp_path))
    assert not (tmp_path / "results.json").exists()


def test_the_table_shows_both_bounds_and_marks_a_cost_that_is_not_whole() -> None:
    """Each figure stands under its heading; ten graphs are charged for what the benchmark cannot know."""
    row = {
        "graph": "E",
        "seed": 3,
        "time": 110.0,
        "time_bound": 100.0,
        "wirelength": 7.5,
        "cost": 150.0,
        "cost_bound": 120.0,
        "whole_cost": False,
        "optimal": False,
        "cores_used": 9000,
        "seconds": 1.25,
        "area_of_next_step": None,
    }
    assert ispd2020.line(row).split() == [
        *["E", "3", "110.00", "100.00", "1.1000", "7.5", "150.00", "120.00", "1.2500*"],
        *["none", "no", "9,000", "1.2"],
    ]
    assert ispd2020.line(row | {"whole_cost": True}).split()[8] == "1.2500"
    assert ispd2020.HEADING.split()[:6] == ["graph", "seed", "time", "bound", "/", "bound"]
