"""Whole programs on the simulator: numbers equal numpy's bit for bit, and the analytic model tells their cycles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import simulated_programs
from fabric_streams import interleaved_ring
from simulated_programs import PROGRAMS, SINGLES, compare, simulated_target
from wsec.compiler.target import load_target
from wsec.runtime.simulator.timing import EngineTiming, FabricTiming, engine_timing, fabric_timing


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_compute_what_numpy_does_and_take_what_the_model_says(name: str) -> None:
    """Sides with one group of a reduction, with a ragged second one, and none of it fitted to the simulator."""
    program, cycles, tiles = PROGRAMS[name]
    target = load_target("wse3")
    engines = engine_timing(target)
    errors = []
    for side in (4, 18):
        for tile in tiles[:2]:
            simulated, equal = program(side, tile).simulate(fabric_timing(target), engines)
            assert equal
            errors.append(abs(cycles(side, tile, simulated_target(target), SINGLES) / simulated - 1))
    assert sum(errors) / len(errors) <= 0.05
    assert max(errors) <= 0.15


@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_do_not_depend_on_timing(name: str) -> None:
    """Other queues, hops and costs move the cycles, never the result; a wrong word would."""
    program, _, tiles = PROGRAMS[name]
    made = program(6, tiles[0])
    slow, equal = made.simulate(FabricTiming(1, 2, 1, 24), EngineTiming(issue_cycles=7, loop_cycles=3))
    assert equal
    fast, equal = made.simulate(FabricTiming(1, 2, 8, 24), EngineTiming())
    assert equal
    assert slow > fast


def test_neighbours_of_an_interleaved_ring_are_two_hops_apart_at_most() -> None:
    """Also where it closes."""
    ring = interleaved_ring(10)
    assert sorted(ring) == list(range(10))
    assert all(abs(here - there) <= 2 for here, there in zip(ring, (*ring[1:], ring[0]), strict=True))


def test_all_programs_are_compared() -> None:
    """Each at each side with each of its tiles."""
    found = list(compare(load_target("wse2"), [4]))
    assert {each.program for each in found} == set(PROGRAMS)
    assert len(found) == sum(len(tiles) for _, _, tiles in PROGRAMS.values())
    assert all(each.equal for each in found)


def test_odd_sides_are_refused() -> None:
    """A ring of an odd number of cores would meet itself."""
    script = Path(simulated_programs.__file__)
    run = subprocess.run(
        [sys.executable, str(script), "--sides", "5"], check=False, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "even numbers from 4 on" in run.stderr
