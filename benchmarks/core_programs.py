"""Instructions of the core programs of many small kernels, beside what the plan says that their arithmetic takes.

Counts what a core issues, without words of other cores: vectors, iterations of loops around more than one vector, elements by
rate. The cycles follow from the target's costs; `plan` are the cycles of arithmetic in the plan, from the analytic model.

    python benchmarks/core_programs.py [--target wse3] [NAME ...]
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from simulated_kernels import CONFIGURATIONS
from wsec.driver import Options, compile_model
from wsec.runtime.programs.context import KernelContext
from wsec.runtime.programs.kinds.registry import COMPUTE
from wsec.runtime.simulator.instructions import CopyListed, LookUp, Loop, Operation, Vector
from wsec.runtime.simulator.timing import EngineTiming, engine_timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulated_kernels import Configuration
    from wsec.compiler.plan import Kernel
    from wsec.runtime.simulator.instructions import Instruction

DIVIDING = frozenset({Operation.DIVIDE, Operation.SQUARE_ROOT})
SERIES = frozenset(
    {
        Operation.POWER,
        Operation.EXP,
        Operation.EXP_MINUS_ONE,
        Operation.LOG,
        Operation.LOG_ONE_PLUS,
        Operation.TANH,
        Operation.ERF,
        Operation.SINE,
        Operation.COSINE,
    }
)


@dataclass(frozen=True)
class Count:
    """What a core does for one sample.

    Attributes:
        issues: Instructions issued.
        iterations: Of loops around more than one instruction.
        steps: Steps of vectors over all lanes.
        elements: Elements of those vectors.
        divided: Elements that are divided, or whose root is taken.
        series: Elements of functions that are computed by series.
        listed: Words copied by lists, by the core that copies most.
    """

    issues: int = 0
    iterations: int = 0
    steps: int = 0
    elements: int = 0
    divided: int = 0
    series: int = 0
    listed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, number: int) -> Count:
        """That often."""
        return Count(*(getattr(self, name) * number for name in self.__dataclass_fields__))

    def cycles(self, timing: EngineTiming) -> float:
        """What it takes."""
        return (
            self.issues * timing.issue_cycles
            + self.iterations * timing.loop_cycles
            + self.steps * timing.word_cycles
            + self.divided * timing.divide_cycles
            + self.series * timing.transcendental_cycles
            + self.listed
        )


def count(instructions: Sequence[Instruction], context: KernelContext, lanes: float) -> Count:
    """Of all instructions; collectives are left out."""
    copies = [
        np.diff(context.lists[step.list_from].starts) for step in instructions if isinstance(step, CopyListed)
    ]
    listed = Count(issues=len(copies), listed=int(np.sum(copies, axis=0).max())) if copies else Count()
    return sum((_count_one(step, context, lanes) for step in instructions), listed)


def _count_one(step: Instruction, context: KernelContext, lanes: float) -> Count:
    if isinstance(step, Loop):
        single = len(step.body) == 1 and not isinstance(step.body[0], Loop)
        inside = count(step.body, context, lanes)
        return inside.times(step.count) + Count(iterations=0 if single else step.count)
    if isinstance(step, Vector) and step.operation in DIVIDING:
        return Count(issues=1, divided=step.length)
    if isinstance(step, Vector) and step.operation in SERIES:
        return Count(issues=1, series=step.length)
    if isinstance(step, Vector | LookUp):
        return Count(issues=1, steps=math.ceil(step.length / lanes), elements=step.length)
    return Count()


def kernels_of(configuration: Configuration, target: str) -> Iterator[tuple[Kernel, EngineTiming]]:
    """Kernels that the compiler makes of the configuration."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(configuration.model(), path)
        options = Options(
            target=target,
            region=configuration.region,
            effort=0.2,
            collective=configuration.collective,
            fabric="full",
        )
        record = compile_model(path, options, Path(folder) / "plan").record
    for kernel in record.kernels():
        yield kernel, engine_timing(record.target)


def main() -> None:
    """Print the table, then the mean and worst difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="parts of names of configurations; all where none is given")
    parser.add_argument("--target", default="wse3")
    given = parser.parse_args()
    heads = ("issues", "loops", "elements", "divided", "series", "listed", "cycles", "plan")
    print(f"{'configuration':36} {'kernel':22} " + " ".join(f"{head:>8}" for head in heads) + "  error %")
    errors = []
    for configuration in CONFIGURATIONS:
        if given.names and not any(name in configuration.name for name in given.names):
            continue
        for kernel, timing in kernels_of(configuration, given.target):
            context = KernelContext(kernel)
            found = count(COMPUTE[kernel.kind](context), context, timing.lanes)
            cycles = found.cycles(timing)
            errors.append(100 * (kernel.cycles.compute / cycles - 1))
            numbers = (
                found.issues,
                found.iterations,
                found.elements,
                found.divided,
                found.series,
                found.listed,
            )
            row = " ".join(f"{number:8.0f}" for number in (*numbers, cycles, kernel.cycles.compute))
            print(f"{configuration.name:36} {kernel.kind:22} {row} {errors[-1]:8.1f}", flush=True)
    print(
        f"mean {np.mean(np.abs(errors)):.1f} %, worst {max(errors, key=abs):.1f} % of {len(errors)} kernels"
    )


if __name__ == "__main__":
    main()
