"""Simulates kernels and whole models, and prints the plan's cycles beside those of the simulator, and whether numbers agree.

    python benchmarks/simulation.py [--only NAME] [--samples 6] [--json FILE] [--effort 0.1]

Each model is compiled for its region of a target; every word of its plan moves through the simulated routers. The numbers of
every kernel, as they lie in its cores, are compared with the executor's in ordered arithmetic, bit for bit. Cycles of a kernel are
what a sample takes there: a cycle for each word that its busiest core takes from lanes or sends into them, and from when the
last core has its words to the last core's result. Errors are (plan - simulated) / simulated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from simulated_kernels import CONFIGURATIONS
from simulated_models import SIMULATED_MODELS
from wsec.compiler.errors import WsecError
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wsec.loaded_plan import Plan
    from wsec.runtime.programs.results import PlanSimulation


@dataclass(frozen=True)
class Row:
    """A kernel of a simulated model.

    Attributes:
        model: The configuration or model.
        kernel: Of its plan; `latency` for the whole model, or `interval` where several samples go through its pipeline.
        kind: Of the kernel.
        cores: That it has.
        analytic: Cycles that the plan says.
        simulated: Cycles that the simulator counts.
        equal: Whether its numbers are the executor's.
    """

    model: str
    kernel: str
    kind: str
    cores: int
    analytic: int
    simulated: int
    equal: bool

    @property
    def error(self) -> float:
        """Of the analytic cycles, as a share of the simulated ones."""
        return (self.analytic - self.simulated) / max(1, self.simulated)


def compile_for(
    model: onnx.ModelProto, region: tuple[int, int], target: str, effort: float, **options: Any
) -> Plan:
    """The plan of a model in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return compile_model(
            path, Options(target=target, region=region, effort=effort, fabric="full", **options)
        )


def rows_of(name: str, plan: Plan, result: PlanSimulation) -> Iterator[Row]:
    """A row for each kernel, and one for the latency of the whole model; of several samples one for the interval alone."""
    wrong = {each.name for each in result.comparisons if not each.equal}
    outputs = {kernel.name: kernel.outputs for kernel in plan.record.kernels()}
    for phase in result.phases if result.samples == 1 else ():
        for kernel in phase.kernels:
            names = {f"kernel {kernel.name}, {item.tensor}" for item in outputs[kernel.name]}
            yield Row(
                name,
                kernel.name,
                kernel.kind,
                kernel.cores,
                kernel.estimated_cycles,
                kernel.cycles,
                equal=not names & wrong,
            )
    kernels = [kernel for phase in result.phases for kernel in phase.kernels]
    cores = sum(kernel.cores for kernel in kernels)
    estimate, title = plan.estimate(), f"{len(kernels)} kernels"
    if result.samples > 1:
        interval = sum(phase.interval for phase in result.phases)
        yield Row(name, "interval", title, cores, estimate.interval_cycles, interval, equal=result.equal)
    else:
        latency = estimate.latency_cycles
        yield Row(name, "latency", title, cores, latency, result.cycles, equal=result.equal)


def _cases(only: str) -> Iterator[tuple[str, onnx.ModelProto, Mapping[str, Any], tuple[int, int], str]]:
    for each in CONFIGURATIONS:
        if only in each.name:
            yield each.name, each.model(), each.samples(), each.region, each.collective
    for model in SIMULATED_MODELS:
        if only in model.name:
            made, inputs = model.make()
            yield model.name, made, inputs, model.region, "auto"


def main() -> None:
    """Compile, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--target", default="wse2")
    parser.add_argument("--samples", type=int, default=1, help="that go through the pipeline")
    parser.add_argument("--effort", type=float, default=0.0, help="of placement")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    rows: list[Row] = []
    print(
        f"{'model':28} {'kernel':24} {'kind':14} {'cores':>5} {'plan':>7} {'simulated':>9} {'error':>7}  equal"
    )
    for name, model, inputs, region, collective in _cases(arguments.only):
        start = time.perf_counter()
        try:
            plan = compile_for(model, region, arguments.target, arguments.effort, collective=collective)
            result = plan.simulate(inputs, samples=arguments.samples)
        except WsecError as error:
            print(f"{name}: {error}", flush=True)
            continue
        for row in rows_of(name, plan, result):
            rows.append(row)
            print(
                f"{row.model[:28]:28} {row.kernel[:24]:24} {row.kind[:14]:14} {row.cores:5} {row.analytic:7} "
                f"{row.simulated:9} {row.error:7.1%}  {'yes' if row.equal else 'NO'}"
            )
        print(f"    {time.perf_counter() - start:.1f} s", flush=True)
    _summarise(rows)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps([asdict(row) | {"error": row.error} for row in rows], indent=1) + "\n"
        )


def _summarise(rows: Sequence[Row]) -> None:
    for title, chosen in (
        ("kernels", [row for row in rows if row.kernel not in {"latency", "interval"}]),
        ("latencies", [row for row in rows if row.kernel == "latency"]),
        ("intervals", [row for row in rows if row.kernel == "interval"]),
    ):
        if chosen:
            errors = [abs(row.error) for row in chosen]
            worst = max(chosen, key=lambda row: abs(row.error))
            print(
                f"{len(chosen)} {title}: mean error {sum(errors) / len(errors):.1%}, worst {max(errors):.1%} "
                f"({worst.model}, {worst.kernel}); numbers equal in {sum(row.equal for row in chosen)}"
            )


if __name__ == "__main__":
    main()
