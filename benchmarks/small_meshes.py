"""Networks on small meshes, where kernels outnumber cores: cycles of a sample beside what all lanes would take.

    python benchmarks/small_meshes.py [--held-out] [--objective latency] [--verify] [--effort 0.3] [--json FILE]

ResNet-50 goes onto 4 x 4, 8 x 8 and 16 x 16 cores of `examples/targets/mesh_npu.toml`, in the mode that `auto` takes, beside the figures
of a published annealing scheduler for such meshes; of that neither batch nor precision is known here. `--held-out` takes other networks,
regions and cores, for which nothing was chosen. `--verify` executes each plan and compares with onnxruntime. Models are those of
`real_models.py`, in build/models; they compute in float32.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from real_models import list_real_models
from wsec.compiler.errors import WsecError
from wsec.compiler.target import MatrixUnit, Target, load_target
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Objective
    from wsec.loaded_plan import Plan

MODELS = Path("build/models")
MESH = Path(__file__).parents[1] / "examples" / "targets" / "mesh_npu.toml"
SCHEDULER = {(4, 4): 2_560_000, (8, 8): 639_000, (16, 16): 187_000}
"""Cycles of ResNet-50 that a published annealing scheduler reaches on meshes of such cores."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model on a region of the mesh; `core` names a change of its cores, of `CORES`."""

    model: str
    region: tuple[int, int]
    core: str = ""
    dims: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What came out; where the model does not compile, `failure` says why and the figures are 0.

    Attributes:
        case: What was compiled.
        mode: That was taken.
        phases: That take turns.
        streamed: Turns whose weights come in for every sample.
        samples: Of a batch.
        cycles: Between two samples.
        latency: Cycles of a sample, or a batch.
        ideal: Cycles in which all lanes would do the arithmetic.
        share: That over `cycles`.
        scheduler: Cycles of the published scheduler; 0 where it has none.
        legal: No finding of the plan checker.
        verified: Equal to onnxruntime; None where it was not executed.
        seconds: Of compilation on this machine.
        failure: Why there is nothing.
    """

    case: Case
    mode: str = ""
    phases: int = 0
    streamed: int = 0
    samples: int = 0
    cycles: int = 0
    latency: int = 0
    ideal: int = 0
    share: float = 0.0
    scheduler: int = 0
    legal: bool = False
    verified: bool | None = None
    seconds: float = 0.0
    failure: str = ""


ASKED = tuple(Case("resnet50", region) for region in SCHEDULER)
HELD_OUT = (
    Case("ppocr2_cls", (4, 4)),  # depth-wise convolutions, as MobileNet has them
    Case("ppocr2_cls", (12, 5)),
    Case("minilm_l3", (8, 8), dims=(("batch_size", 1), ("sequence_length", 128))),  # BERT-like
    Case("minilm_l3", (16, 16), dims=(("batch_size", 1), ("sequence_length", 128))),
    Case("resnet50", (6, 6)),
    Case("resnet50", (8, 8), core="512 KB, 32 x 32"),
    Case("resnet50", (8, 8), core="2 MB, 256 MAC"),
    Case("densenet121", (8, 8)),
)


def target_of(case: Case) -> Target:
    """The mesh, with the cores of the case."""
    mesh = load_target(str(MESH))
    if case.core == "512 KB, 32 x 32":
        unit = MatrixUnit(rows=1, columns=32, depth=32, loops=3, start_cycles=8)
        return replace(mesh, core=replace(mesh.core, sram_bytes=512 * 1024, matrix_unit=unit))
    if case.core == "2 MB, 256 MAC":
        lanes = {dtype: count / 4 for dtype, count in mesh.core.lanes.items()}
        unit = MatrixUnit(rows=4, columns=8, depth=8, loops=3, start_cycles=8)
        return replace(mesh, core=replace(mesh.core, sram_bytes=2 << 20, lanes=lanes, matrix_unit=unit))
    return mesh


def run(case: Case, effort: float, objective: Objective, *, verify: bool) -> Row:
    """Compile a case, judge the plan, and execute it where that is wanted."""
    started = time.perf_counter()
    dims = dict(case.dims) or _dims(case.model)
    options = Options(
        target=target_of(case),
        region=case.region,
        dims=dims,
        effort=effort,
        mode="auto",
        objective=objective,
    )
    try:
        plan = compile_model(MODELS / f"{case.model}.onnx", options)
    except WsecError as error:
        return Row(case, failure=f"{error.code}: {error.what}")
    row = _row(case, plan, time.perf_counter() - started)
    return replace(row, verified=plan.verify().passed) if verify else row


def _dims(model: str) -> dict[str, int]:
    pairs = (
        (text.rpartition("=") for text in list_real_models()[model].dims)
        if model in list_real_models()
        else ()
    )
    return {name: int(size) for name, _, size in pairs}


def _row(case: Case, plan: Plan, seconds: float) -> Row:
    result, wafer = plan.estimate(), plan.record.wafers[0]
    return Row(
        case,
        mode=wafer.mode,
        phases=len(wafer.phases),
        streamed=sum(phase.load is not None for phase in wafer.phases),
        samples=plan.record.samples_per_phase,
        cycles=result.interval_cycles,
        latency=result.latency_cycles,
        ideal=result.ideal_cycles,
        share=result.ideal_share,
        scheduler=SCHEDULER.get(case.region, 0) if case.model == "resnet50" and not case.core else 0,
        legal=plan.check() == (),
        seconds=seconds,
    )


def table_of(rows: Sequence[Row]) -> Table:
    """The rows, each beside the first of its model for how much more cores gain."""
    names = (
        "model",
        "cores",
        "mode",
        "samples",
        "cycles",
        "latency",
        "ideal",
        "share",
        "gain",
        "scheduler",
        "legal",
    )
    table = Table(*names)
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        case = row.case
        base = first.setdefault((case.model, case.core), row)
        cores = f"{case.region[0]} x {case.region[1]}" + (f", {case.core}" if case.core else "")
        if row.failure:
            table.add_row(case.model, cores, row.failure)
            continue
        turns = f"{row.mode}, {row.phases} phases" if row.mode == "streaming" else row.mode
        turns += f", weights of {row.streamed} turns come in" if row.streamed else ""
        judged = "yes" if row.legal else "NO"
        judged += {None: "", True: ", verified", False: ", WRONG NUMBERS"}[row.verified]
        table.add_row(
            case.model,
            cores,
            turns,
            f"{row.samples:,}",
            f"{row.cycles:,}",
            f"{row.latency:,}",
            f"{row.ideal:,}",
            f"{row.share:.1%}",
            f"{base.cycles / row.cycles:.1f}" if base.cycles else "",
            f"{row.scheduler:,}" if row.scheduler else "",
            judged,
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases; 0 where every one compiled to a legal plan, with the right numbers if these were compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--held-out", action="store_true", help="other networks, regions and cores")
    parser.add_argument("--only", nargs="*", default=(), metavar="MODEL", help="cases of these models")
    parser.add_argument("--regions", nargs="*", default=(), metavar="WxH", help="cases of these regions")
    parser.add_argument("--objective", choices=("throughput", "latency"), default="throughput")
    parser.add_argument("--verify", action="store_true", help="execute each plan, compare with onnxruntime")
    parser.add_argument("--effort", type=float, default=0.3, help="of placement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    chosen = parser.parse_args(arguments)
    cases = HELD_OUT if chosen.held_out else ASKED
    rows, console = [], Console(width=150)
    for case in cases:
        region = f"{case.region[0]}x{case.region[1]}"
        if region not in (chosen.regions or (region,)) or case.model not in (chosen.only or (case.model,)):
            continue
        rows.append(run(case, chosen.effort, chosen.objective, verify=chosen.verify))
        console.print(f"{case.model} {case.region}: {rows[-1].cycles:,} {rows[-1].failure}", style="dim")
        if chosen.json is not None:
            chosen.json.write_text(
                json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8"
            )
    console.print(table_of(rows))
    return 0 if all(row.legal and row.verified is not False for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
