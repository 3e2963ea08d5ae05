"""Solves graphs of the ISPD 2020 wafer-scale placement contest with wsec's placement library.

    .venv/bin/python benchmarks/ispd2020.py --data DIR --out build/ispd2020 --objective time --seconds 20

Each solution is written in the contest's output format, read back and judged by an evaluator of its own; the table is
printed and written to `results.json`. The contest's files are not part of wsec. Ten of its graphs also charge for layout
mismatches, by a formula that was not published: their cost here is that of time and wires.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from contest_evaluator import evaluate
from contest_format import FormatError, Graph, PlacedKernel, parse_graph, placement_text, read_graph
from contest_shapes import KernelShapes, kernel_shapes, placement_kernels, time_scale
from wsec.compiler.errors import WsecError
from wsec.compiler.placement import (
    Limits,
    Net,
    Placement,
    PlacementProblem,
    least_area,
    objective_bound,
    place,
)

GRAPHS = "A,B,C,D,I,J,K,L,M,N"
HEAVY_WIRES = "E,F,G,H,O,P,Q,R,S,T"
"""The same graphs with dearer wires, and a charge for layout mismatches that is left out."""


def contest_problem(graph: Graph, shapes: list[KernelShapes], objective: str) -> PlacementProblem:
    """The graph as the library takes it; cycles are in units of 1 / `time_scale`."""
    weights = graph.value("wdeltat"), graph.value("wlength")
    hop_cycles = weights[1] * time_scale(graph) / weights[0] if objective == "cost" else 0.0
    return PlacementProblem(
        graph.value("width"),
        graph.value("height"),
        placement_kernels(graph, shapes),
        tuple(Net(source, target, 1.0) for source, target in graph.edges if source != target),
        hop_cycles=hop_cycles,
    )


def placement_file(graph: Graph, shapes: list[KernelShapes], placement: Placement) -> str:
    """A placement in the contest's output format."""
    turned = placement.turned or (False,) * len(graph.kernels)
    return placement_text(
        [
            PlacedKernel(kernel, each.arguments(option), x, y, turned=swap)
            for kernel, each, option, x, y, swap in zip(
                graph.kernels, shapes, placement.option, placement.x, placement.y, turned, strict=True
            )
        ]
    )


def solve(graph: Graph, name: str, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Solve one graph, write its placement and judge the file; the clock covers shapes and search."""
    started = time.monotonic()
    shapes = kernel_shapes(graph)
    problem = contest_problem(graph, shapes, arguments.objective)
    limits = Limits(seed=seed, seconds=max(0.0, arguments.seconds - (time.monotonic() - started)))
    placement = place(problem, limits)
    seconds = time.monotonic() - started
    path = arguments.out / f"{name}.paint"
    path.write_text(placement_file(graph, shapes, placement), encoding="utf-8")
    score = evaluate(graph, path.read_text(encoding="utf-8"))
    scale = time_scale(graph)
    priced = contest_problem(graph, shapes, "cost")
    below = least_area(problem, placement.interval - 1)
    cores = graph.value("width") * graph.value("height")
    return {
        "graph": name,
        "seed": seed,
        "time": float(score.time),
        "wirelength": float(score.wirelength),
        "cost": float(score.cost),
        "time_bound": placement.interval_bound / scale,
        "whole_cost": graph.value("wadapter") == 0,
        "cost_bound": graph.value("wdeltat") * objective_bound(priced) / scale,
        "optimal": placement.proven_optimal,
        "cores_used": score.cores_used,
        "seconds": round(seconds, 2),
        "area_of_next_step": None if below is None else below / cores,
    }


def _warm_up() -> None:
    """Solve a toy, so that what numba compiles at its first use is compiled and no clock runs meanwhile."""
    nodes = "\n".join(f"conv[{at}] H=4 W=4 C=4 K={at + 3} R=1 S=1 T=1 U=1 name='k{at}'" for at in range(12))
    header = "(*\nwidth=40\nheight=40\nwdeltat=1\nwlength=1\nwadapter=0\nmemlimit=999\n*)\n"
    graph = parse_graph(f"{header}{nodes}\nconv[0]:y -> conv[1]:x\n", "toy")
    for objective in ("time", "cost"):
        place(contest_problem(graph, kernel_shapes(graph), objective), Limits(effort=0.2))


HEADING = (
    f"{'graph':>5} {'seed':>4} {'time':>13} {'bound':>13} {'/ bound':>8} {'wires':>9} {'cost':>13} {'bound':>13} "
    f"{'/ bound':>8}  {'next step':>9} {'optimal':>7} {'cores':>9} {'seconds':>7}"
)


def line(row: dict[str, Any]) -> str:
    """One line of the table, under `HEADING`; an asterisk marks a cost without layout mismatches."""
    area = row["area_of_next_step"]
    return (
        f"{row['graph']:>5} {row['seed']:>4} {row['time']:>13,.2f} {row['time_bound']:>13,.2f} "
        f"{row['time'] / row['time_bound']:>8.4f} {row['wirelength']:>9,.1f} {row['cost']:>13,.2f} "
        f"{row['cost_bound']:>13,.2f} {row['cost'] / row['cost_bound']:>8.4f}{' ' if row['whole_cost'] else '*'} "
        f"{'none' if area is None else f'{area:.2%}':>9} {'yes' if row['optimal'] else 'no':>7} "
        f"{row['cores_used']:>9,} {row['seconds']:>7.1f}"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        msg = f"expected a finite number of at least 0, found {text}"
        raise argparse.ArgumentTypeError(msg)
    return value


def main() -> int:
    """Solve each graph for each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the .kgraph files")
    parser.add_argument("--out", type=Path, required=True, help="folder for placements and results.json")
    parser.add_argument("--objective", choices=("cost", "time"), default="cost")
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="for each graph")
    parser.add_argument("--only", default=GRAPHS, help=f"names of graphs, such as {HEAVY_WIRES}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        graphs = {name: read_graph(arguments.data / f"{name}.kgraph") for name in arguments.only.split(",")}
        _warm_up()
        print(HEADING)
        rows = []
        for name, graph in graphs.items():
            for seed in arguments.seeds:
                rows.append(solve(graph, name, arguments, seed))
                print(line(rows[-1]), flush=True)
                text = json.dumps(rows, indent=2) + "\n"
                (arguments.out / "results.json").write_text(text, encoding="utf-8")
    except (FormatError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except WsecError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
