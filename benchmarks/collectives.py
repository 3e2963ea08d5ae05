"""Collectives on a line: cycles by the formulas of the cost model, cycles of the simulator, and the error.

    .venv/bin/python benchmarks/collectives.py --target wse2 --cores 4 16 64 --words 1 16 256 --json results.json

The simulator runs the compiler's own circuits; its engines take a word a cycle and nothing for an instruction, as in the
published model, or with --instructions what the target says. Every run's numbers are compared with numpy's: a wrong sum ends the program.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from line_programs import Machine, broadcast_line, exchange_line, reduce_line, ring_line
from path_programs import (
    broadcast_square,
    gather_line,
    reduce_square,
    scatter_line,
    shift_line,
    snake_square,
)
from wsec.compiler.cost.collective_uses import TREES
from wsec.compiler.cost.collectives import (
    all_gather,
    all_reduce_ring,
    best_group,
    broadcast,
    broadcast_2d,
    gather,
    halo_exchange_cycles,
    interleaved_shift,
    lower_bound_cycles,
    reduce_2d_cycles,
    reduction,
    scatter,
    shift,
    snake_reduce,
)
from wsec.compiler.fabric.line_trees import group_of
from wsec.compiler.plan import Exchange
from wsec.compiler.target import load_target
from wsec.runtime.simulator.timing import engine_timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """One collective of one size; cycles."""

    collective: str
    cores: int
    words: int
    bound: float
    formula: float
    simulated: int

    @property
    def error(self) -> float:
        """Of the formula, in parts of the simulated cycles."""
        return self.formula / self.simulated - 1


def measure(cores: int, words: int, machine: Machine) -> Iterator[Row]:
    """Every collective for this many cores and words.

    Raises:
        AssertionError: A simulated sum is wrong.
    """
    fabric = machine.fabric
    held = np.random.default_rng(0).integers(-9, 9, (cores, words)).astype(np.float32)
    total = held.sum(axis=0)
    bound = lower_bound_cycles(words, cores, fabric)
    for algorithm in TREES:
        group = group_of(algorithm, cores, best_group(words, cores, 1, fabric))
        run = reduce_line(algorithm, cores, group, held, machine)
        np.testing.assert_array_equal(run.memory[0], total)
        formula = reduction(algorithm, words, cores, 1, group).cycles(fabric)
        yield Row(f"reduce {algorithm}", cores, words, bound, float(formula), run.cycles)
    run = broadcast_line(cores, held, machine)
    np.testing.assert_array_equal(run.memory, np.broadcast_to(held[0], held.shape))
    yield Row("broadcast", cores, words, 0, float(broadcast(words, cores).cycles(fabric)), run.cycles)
    run = exchange_line(cores, (Exchange("rows", cores),), held, machine)
    _check_exchanged(run.memory, held, cores)
    yield Row("all-gather", cores, words, 0, float(all_gather(words, cores).cycles(fabric)), run.cycles)
    if words >= cores:
        run = ring_line(cores, held, machine)
        np.testing.assert_array_equal(run.memory, np.broadcast_to(total, held.shape))
        formula = all_reduce_ring(words, cores).cycles(fabric)
        yield Row("all-reduce ring", cores, words, bound, float(formula), run.cycles)
    for reach in (1, 2, 4):
        if 4 * reach <= cores:
            tilings = (Exchange("rows", 2 * reach), Exchange("rows", 2 * reach, reach))
            run = exchange_line(cores, tilings, held, machine)
            _check_exchanged(run.memory, held, reach)
            formula = halo_exchange_cycles(words, reach, fabric)
            yield Row(f"halo of {reach}", cores, words, 0, float(formula), run.cycles)


def measure_moves(cores: int, words: int, machine: Machine) -> Iterator[Row]:
    """The same of what goes along other paths; rectangles have `cores` cores, half as high as wide or so.

    Raises:
        AssertionError: A word is not where it must be, or a sum is wrong.
    """
    fabric, numbers = machine.fabric, np.random.default_rng(0)
    several = numbers.integers(-9, 9, (cores, cores * words)).astype(np.float32)
    run = scatter_line(cores, several, machine)
    np.testing.assert_array_equal(run.memory[1:, :words], several[0].reshape(cores, words)[1:])
    yield Row("scatter", cores, words, 0, float(scatter(words, cores).cycles(fabric)), run.cycles)
    run = gather_line(cores, several, machine)
    np.testing.assert_array_equal(run.memory[0].reshape(cores, words), several[:, :words])
    yield Row("gather", cores, words, 0, float(gather(words, cores).cycles(fabric)), run.cycles)
    held = numbers.integers(-9, 9, (cores, 2 * words)).astype(np.float32)
    out = range(0, cores, 2)
    for name, cost, order in (
        ("shift", shift, list(range(cores))),
        ("shift, two hops", interleaved_shift, [*out, *sorted(set(range(cores)) - set(out), reverse=True)]),
    ):
        run = shift_line(order, held, machine)
        np.testing.assert_array_equal(run.memory[np.roll(order, -1), words:], held[order, :words])
        yield Row(name, cores, words, 0, float(cost(words, cores).cycles(fabric)), run.cycles)
    width = 2 ** math.ceil(math.log2(cores) / 2)
    height = cores // width
    if height > 1 and width * height == cores:
        held = held[:, :words].copy()
        total = held.sum(axis=0)
        run = broadcast_square(width, height, held, machine)
        np.testing.assert_array_equal(run.memory, np.broadcast_to(held[0], held.shape))
        formula = float(broadcast_2d(words, width, height).cycles(fabric))
        yield Row("broadcast 2D", cores, words, 0, formula, run.cycles)
        run = reduce_square(width, height, held, machine)
        np.testing.assert_array_equal(run.memory[0], total)
        formula = float(reduce_2d_cycles("chain", words, width, height, fabric))
        yield Row("reduce 2D chains", cores, words, 0, formula, run.cycles)
        run = snake_square(width, height, held, machine)
        np.testing.assert_array_equal(run.memory[0], total)
        formula = float(snake_reduce(words, width, height).cycles(fabric))
        yield Row("reduce 2D snake", cores, words, 0, formula, run.cycles)


def _check_exchanged(memory: NDArray[np.float32], held: NDArray[np.float32], reach: int) -> None:
    """Every core has the words of all others within reach."""
    cores, words = held.shape
    for core in range(cores):
        for other in range(max(0, core - reach), min(cores, core + reach + 1)):
            if other != core:
                found = memory[core, (other + 1) * words : (other + 2) * words]
                np.testing.assert_array_equal(found, held[other])


def main() -> None:
    """Print the table, and the mean and worst error of each collective."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="wse2")
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--words", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    parser.add_argument("--instructions", action="store_true", help="with the target's costs of instructions")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    target = load_target(arguments.target)
    machine = Machine(target, engine_timing(target)) if arguments.instructions else Machine(target)
    rows = [
        row
        for cores in arguments.cores
        for words in arguments.words
        for row in (*measure(cores, words, machine), *measure_moves(cores, words, machine))
    ]
    print(f"{'collective':18}{'cores':>6}{'words':>6}{'bound':>9}{'formula':>9}{'simulated':>10}{'error':>8}")
    for row in rows:
        numbers = f"{row.cores:6}{row.words:6}{row.bound:9.0f}{row.formula:9.0f}{row.simulated:10}"
        print(f"{row.collective:18}{numbers}{row.error:8.1%}")
    print(f"\n{'collective':18}{'rows':>6}{'mean':>8}{'worst':>8}")
    for name in [*dict.fromkeys(row.collective for row in rows), "all"]:
        errors = [abs(row.error) for row in rows if name in {row.collective, "all"}]
        print(f"{name:18}{len(errors):6}{sum(errors) / len(errors):8.2%}{max(errors):8.2%}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) | {"error": row.error} for row in rows], indent=1))


if __name__ == "__main__":
    main()
