"""Compares the analytic model of whole programs with the simulator, which moves every word of them.

    python benchmarks/simulated_programs.py [--sides 4,8,16] [--target wse3] [--json FILE]

GEMV with a two-level all-reduce and along a chain, GEMM by shifts and by multicasts, in fp32. Numbers must equal numpy's, bit for
bit. Both sides take what instructions, loops, tasks, hops and ramps cost from the target. What software of the measured programs
adds to a step (`Target.overheads`) is not there in the simulated ones: in its place stands what their own steps consist of
(`simulated_target`), counted, not fitted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fabric_gemm import mesh_gemm, summa
from fabric_gemv import chain_gemv, group_gemv
from wsec.compiler.cost.programs import (
    Elements,
    chain_gemv_cycles,
    gemv_cycles,
    mesh_gemm_cycles,
    overheads_of,
    summa_cycles,
)
from wsec.compiler.target import load_target
from wsec.runtime.simulator.timing import engine_timing, fabric_timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fabric_streams import FabricProgram
    from wsec.compiler.target import Target

SIDES = (4, 8, 16, 30, 48)
SINGLES = Elements(lanes=1, width=4, per_word=1, move_cycles=1)
"""fp32 as the simulator treats it: one at a time, one in a wavelet; a word sent or received takes the datapath for a cycle."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program simulated and predicted; `error` is relative, positive where the prediction is too high."""

    program: str
    side: int
    tile: int
    simulated: int
    predicted: float
    error: float
    equal: bool


def _mesh_gemm_cycles(side: int, tile: int, target: Target, elements: Elements) -> float:
    return mesh_gemm_cycles(side, tile, tile, tile, target, elements=elements)


PROGRAMS: dict[
    str,
    tuple[
        Callable[[int, int], FabricProgram], Callable[[int, int, Target, Elements], float], tuple[int, ...]
    ],
] = {
    "gemv, groups": (group_gemv, gemv_cycles, (4, 12, 32)),
    "gemv, chain": (chain_gemv, chain_gemv_cycles, (4, 12, 32)),
    "gemm, shifts": (mesh_gemm, _mesh_gemm_cycles, (3, 6, 12)),
    "gemm, multicasts": (summa, summa_cycles, (3, 6, 12)),
}
"""By name: the program, its prediction, and the tiles that are compared."""


def simulated_target(target: Target) -> Target:
    """The target with the overheads of the simulated programs, each what their instructions consist of.

    A step of a product by shifts sets off four tasks, one by multicasts two, half a shift before the steps half of one; each
    issues its instruction, and so does who sets it off; two steps are one iteration of a loop. Collectives begin and end without
    more ado; a core that adds takes a word in, wakes its task, and passes the word on that wakes the next before it adds.
    """
    core, fabric = target.core, target.fabric
    task, half = core.task_switch_cycles + core.issue_cycles, core.loop_cycles / 2
    waking = core.task_switch_cycles + math.ceil(core.issue_cycles + 1)
    overheads = dataclasses.replace(
        overheads_of(target),
        scalar_loop_cycles=core.issue_cycles,
        collective_start_cycles=0,
        step_cycles=4 * task + half + (task + core.issue_cycles + half) / 2,
        multicast_step_cycles=2 * task + half,
        library_reduce_cycles=0,
        chain_step_cycles=2 * fabric.ramp_cycles + 1 + waking,
    )
    core = dataclasses.replace(core, task_switch_cycles=waking)
    return dataclasses.replace(target, overheads=overheads, core=core)


def compare(target: Target, sides: Sequence[int]) -> Iterator[Comparison]:
    """Simulate and predict every program at every side and tile."""
    fabric, engines = fabric_timing(target), engine_timing(target)
    model = simulated_target(target)
    for name, (program, cycles, tiles) in PROGRAMS.items():
        for side in sides:
            for tile in tiles:
                simulated, equal = program(side, tile).simulate(fabric, engines)
                predicted = cycles(side, tile, model, SINGLES)
                error = predicted / simulated - 1
                yield Comparison(name, side, tile, simulated, predicted, error, equal)


def report(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print all, then mean and worst error of each program and of all."""
    cells = Table("program", "side", "tile", "simulated", "predicted", "error", "numbers", box=None)
    for each in comparisons:
        numbers = (f"{each.simulated:,}", f"{each.predicted:,.0f}", f"{each.error:+.2%}")
        cells.add_row(
            each.program, str(each.side), str(each.tile), *numbers, "equal" if each.equal else "DIFFER"
        )
    console.print(cells)
    errors = Table("program", "configurations", "mean error", "worst error", box=None)
    for name in (*PROGRAMS, "all"):
        found = [abs(each.error) for each in comparisons if name in {each.program, "all"}]
        errors.add_row(name, str(len(found)), f"{sum(found) / len(found):.2%}", f"{max(found):.2%}")
    console.print(errors)


def main() -> None:
    """Compare, print, and write the JSON file if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", default=",".join(map(str, SIDES)), help="even numbers of cores of a side")
    parser.add_argument("--target", default="wse3")
    parser.add_argument("--json", type=Path, help="write all to this file")
    arguments = parser.parse_args()
    sides = [int(side) for side in arguments.sides.split(",") if side.strip().isdigit()]
    if not sides or any(side < 4 or side % 2 for side in sides):
        parser.exit(2, f"error: --sides {arguments.sides}: even numbers from 4 on are needed\n")
    comparisons = list(compare(load_target(arguments.target), sides))
    report(comparisons, Console(width=120, soft_wrap=True))
    if arguments.json:
        rows = [dataclasses.asdict(each) for each in comparisons]
        arguments.json.write_text(json.dumps({"target": arguments.target, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
