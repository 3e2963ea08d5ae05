"""Simulates kernels and whole models, and prints the plan's cycles beside those of the simulator, and whether numbers agree.

    python benchmarks/simulation.py [--only NAME] [--samples 6] [--json FILE] [--effort 0.1] [--check] [--turns]

`benchmarks/data/simulated_kernels.json` has the rows of single kernels as they were printed last, which
`wsec.runtime.known_errors` summarises; `--check` fails where that says other errors than this run found.

Each model is compiled for its region of a target; every word of its plan moves through the simulated routers. The numbers of
every kernel, as they lie in its cores, are compared with the executor's in ordered arithmetic, bit for bit. Cycles of a kernel are
what a sample takes there: a cycle for each word that its busiest core takes from lanes or sends into them, which plan and
simulation both count, and its work. That is simulated twice: as words come, from when the last core has its words to the last
core's result; and with all cores held until every one has its words, as it is between samples of a full pipeline. In the first
run cores whose words come early have done a part of the work by then, so that errors are those of the second:
(plan - simulated) / simulated, of all cycles and of the work alone.

`--turns` simulates the same models, and decoders, with kernels that take turns: `simulated_turns.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from simulated_kernels import CONFIGURATIONS
from simulated_models import SIMULATED_MODELS
from simulated_turns import compare_turns
from wsec.compiler.errors import WsecError
from wsec.driver import Options, compile_model
from wsec.runtime.known_errors import KERNELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wsec.compiler.plan import Kernel
    from wsec.loaded_plan import Plan
    from wsec.runtime.programs.results import KernelResult, PhaseResult, PlanSimulation

TOTALS = frozenset({"latency", "interval"})  # rows of whole models


@dataclass(frozen=True)
class Row:
    """A kernel of a simulated model.

    Attributes:
        model: The configuration or model.
        kernel: Of its plan; `latency` for the whole model, or `interval` where several samples go through its pipeline.
        kind: Of the kernel.
        cores: That it has.
        analytic: Cycles that the plan says.
        simulated: Cycles that the simulator counts; of a kernel those with cores that begin together.
        as_it_came: Of a kernel: with cores that begin as their words come; else as `simulated`.
        planned_words: Of the plan's cycles, those of words in and out of the busiest core; 0 but for kernels.
        words: Of the simulated cycles likewise.
        alike: Whether plan and simulation move as many words: of a kernel those of 32 bits. The simulator has a word for every
            element, the plan counts two words for one of 64 bits, and several of 8 bits in one.
        equal: Whether its numbers are the executor's.
    """

    model: str
    kernel: str
    kind: str
    cores: int
    analytic: int
    simulated: int
    as_it_came: int
    planned_words: int
    words: int
    alike: bool
    equal: bool

    @property
    def error(self) -> float:
        """Of the analytic cycles, as a share of the simulated ones."""
        return (self.analytic - self.simulated) / max(1, self.simulated)

    @property
    def error_of_work(self) -> float:
        """The same without the words in and out, which both count."""
        work = self.simulated - self.words
        return (self.analytic - self.planned_words - work) / max(1, work)


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


def hold_back(plan: Plan, result: PlanSimulation) -> dict[str, int]:
    """For every kernel a cycle at which all of its cores have their words, though those before it are held back as well."""
    return {
        kernel.name: (number + 1) * phase.cycles
        for phase in result.phases
        for number, kernel in enumerate(_in_order(plan, phase))
    }


def _in_order(plan: Plan, phase: PhaseResult) -> list[KernelResult]:
    """The kernels of a phase, each behind all that it reads."""
    links = [link for wafer in plan.record.wafers for each in wafer.phases for link in each.links]
    kernels = {kernel.name: kernel for kernel in phase.kernels}
    graph = {
        name: {link.source for link in links if link.target == name and link.source in kernels}
        for name in kernels
    }
    return [kernels[name] for name in TopologicalSorter(graph).static_order()]


def rows_of(name: str, plan: Plan, result: PlanSimulation, held: PlanSimulation | None) -> Iterator[Row]:
    """A row for each kernel, and one for the latency of the whole model; of several samples one for the interval alone.

    Args:
        name: Of the model.
        plan: Of it.
        result: Simulated as words come.
        held: Simulated with kernels that are held back; None of several samples.
    """
    if held is not None:
        yield from _kernel_rows(name, plan, result, held)
    kernels = [kernel for phase in result.phases for kernel in phase.kernels]
    cores = sum(kernel.cores for kernel in kernels)
    estimate, title = plan.estimate(), f"{len(kernels)} kernels"
    if result.samples > 1:
        interval = sum(phase.interval for phase in result.phases)
        cycles = estimate.interval_cycles, interval, interval
        yield Row(name, "interval", title, cores, *cycles, 0, 0, alike=True, equal=result.equal)
    else:
        cycles = estimate.latency_cycles, result.cycles, result.cycles
        yield Row(name, "latency", title, cores, *cycles, 0, 0, alike=True, equal=result.equal)


def _kernel_rows(name: str, plan: Plan, result: PlanSimulation, held: PlanSimulation) -> Iterator[Row]:
    wrong = {each.name for run in (result, held) for each in run.comparisons if not each.equal}
    records, holds = {kernel.name: kernel for kernel in plan.record.kernels()}, hold_back(plan, result)
    together = {kernel.name: kernel for phase in held.phases for kernel in phase.kernels}
    for kernel in (kernel for phase in result.phases for kernel in phase.kernels):
        record, times = records[kernel.name], together[kernel.name].samples[0]
        if times.arrived[1] > holds[kernel.name]:
            raise ValueError(
                f"{kernel.name} was held back until {holds[kernel.name]} and had not all words then"
            )
        yield Row(
            name,
            kernel.name,
            kernel.kind,
            kernel.cores,
            kernel.estimated_cycles,
            kernel.ramp_words + times.computed[1] - holds[kernel.name],
            kernel.cycles,
            record.cycles.transfer,
            kernel.ramp_words,
            alike={np.dtype(dtype).itemsize for dtype in _types(record)} <= {4},
            equal=not {f"kernel {kernel.name}, {item.tensor}" for item in record.outputs} & wrong,
        )


def _types(kernel: Kernel) -> list[str]:
    return [item.dtype for item in kernel.inputs] + [item.dtype for item in kernel.outputs]


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
    parser.add_argument("--check", action="store_true", help="fail where the known errors are others")
    parser.add_argument(
        "--turns", action="store_true", help="kernels take turns; with --only and --json alone"
    )
    arguments = parser.parse_args()
    if arguments.turns:
        compare_turns(arguments.only, arguments.target, "auto", arguments.json)
        return
    if arguments.check and (arguments.only or arguments.samples > 1):
        parser.error("--check compares all kernels, with one sample each")
    rows: list[Row] = []
    print(
        f"{'model':28} {'kernel':24} {'kind':14} {'cores':>5} {'plan':>7} {'simulated':>9} {'came':>7} {'error':>7} "
        f"{'of work':>7}  equal"
    )
    for name, model, inputs, region, collective in _cases(arguments.only):
        start = time.perf_counter()
        try:
            plan = compile_for(model, region, arguments.target, arguments.effort, collective=collective)
            result = plan.simulate(inputs, samples=arguments.samples)
            held = plan.simulate(inputs, holds=hold_back(plan, result)) if arguments.samples == 1 else None
        except WsecError as error:
            print(f"{name}: {error}", flush=True)
            continue
        for row in rows_of(name, plan, result, held):
            rows.append(row)
            print(
                f"{row.model[:28]:28} {row.kernel[:24]:24} {row.kind[:14]:14} {row.cores:5} {row.analytic:7} "
                f"{row.simulated:9} {row.as_it_came:7} {row.error:7.1%} {row.error_of_work:7.1%}  "
                f"{'yes' if row.equal else 'NO'}"
            )
        print(f"    {time.perf_counter() - start:.1f} s", flush=True)
    _summarise(rows)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps([asdict(row) | {"error": row.error} for row in rows], indent=1) + "\n"
        )
    if arguments.check:
        _check(rows)


def errors_by_kind(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of kernels that are simulated alone and move words of 32 bits, by kind."""
    alone = {each.name for each in CONFIGURATIONS}
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.model in alone and row.kernel not in TOTALS and row.alike:
            found.setdefault(row.kind, []).append(row)
    return dict(sorted(found.items()))


def _check(rows: Sequence[Row]) -> None:
    """Ends with a message where the known errors are not those of the rows."""
    other = []
    for kind, those in errors_by_kind(rows).items():
        errors, known = [abs(row.error) for row in those], KERNELS.get(kind)
        found = round(sum(errors) / len(errors), 4), round(max(errors), 4), len(errors)
        if known is None or found != (known.mean, known.worst, known.configurations):
            other.append(f"{kind}: found {found}, known {known}")
    if other:
        sys.exit("known errors are out of date:\n" + "\n".join(other))


def _summarise(rows: Sequence[Row]) -> None:
    by_kind = errors_by_kind(rows)
    print(f"\n{'kind':24} {'kernels':>7} {'mean':>7} {'worst':>7} {'mean of work':>13} {'worst of work':>14}")
    everything = [row for those in by_kind.values() for row in those]
    for kind, those in (*by_kind.items(), *([("all", everything)] if everything else [])):
        errors, of_work = (
            [abs(each) for each in ours]
            for ours in zip(*((row.error, row.error_of_work) for row in those), strict=True)
        )
        print(
            f"{kind:24} {len(those):7} {sum(errors) / len(errors):7.1%} {max(errors):7.1%} "
            f"{sum(of_work) / len(of_work):13.1%} {max(of_work):14.1%}"
        )
    for title, chosen in (
        ("kernels", [row for row in rows if row.kernel not in TOTALS]),
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
