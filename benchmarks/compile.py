"""What it takes to compile and verify real models: a table, and JSON.

    python benchmarks/compile.py [--only NAME ...] [--target wse2] [--region 96x96] [--effort 1.0] [--json FILE]

Each model runs in a process of its own, so that its peak memory is its own. Times are wall clock on this machine; the
columns after them do not depend on it. `ratio` is the time of the executor over one run of onnxruntime at one thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

import wsec
from real_models import list_real_models, make_feeds
from wsec.compiler.target import parse_region

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path("build/models")
DEFAULT = ("resnet50", "ppocr2_cls", "basic_pitch", "minilm_l3", "magika", "tab_mlp", "yolox_det")
STAGES = ("import", "passes", "kernels", "placement", "routing", "check", "write")


@dataclass(frozen=True, slots=True)
class Row:
    """One model: sizes, seconds by stage, peak memory, quality of the plan, and how far the numbers are off."""

    model: str
    nodes: int
    kernels: int
    unsplit: int
    seconds: dict[str, float]
    total_seconds: float
    peak_megabytes: float
    interval: int
    interval_bound: int
    bottleneck: str
    cores_used: int
    ratio: float
    error_of_range: float
    passed: bool


def measure(name: str, target: str, region: tuple[int, int] | None, effort: float) -> Row:
    """Compile and verify one model in this process."""
    entry = list_real_models().get(name)
    dims = {} if entry is None else {key: int(size) for key, size in (item.split("=") for item in entry.dims)}
    seconds = dict.fromkeys(STAGES, 0.0)

    def observe(event: wsec.StageEvent) -> None:
        if event.seconds is not None:
            seconds[event.stage] += event.seconds

    started = time.perf_counter()
    plan = wsec.compile(
        FOLDER / f"{name}.onnx", target=target, region=region, dims=dims, effort=effort, observer=observe
    )
    total = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    verification = plan.verify(None if entry is None else make_feeds(entry))
    estimate = plan.estimate()
    kernels = tuple(plan.record.kernels())
    return Row(
        model=name,
        nodes=sum(len(kernel.operators) for kernel in kernels),
        kernels=len(kernels),
        unsplit=sum(kernel.kind == "unsplit" for kernel in kernels),
        seconds=seconds,
        total_seconds=total,
        peak_megabytes=peak,
        interval=estimate.interval_cycles,
        interval_bound=estimate.interval_bound_cycles,
        bottleneck=estimate.bottleneck.kind,
        cores_used=sum(kernel.cores for kernel in estimate.kernels),
        ratio=verification.ratio,
        error_of_range=max(output.max_relative_error for output in verification.outputs),
        passed=verification.passed,
    )


def as_table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    table = Table(box=None, header_style="bold")
    for heading in (
        "model",
        "nodes",
        "kernels",
        "unsplit",
        *STAGES,
        "total s",
        "peak MB",
        "interval",
        "/ bound",
    ):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for heading in ("limited by", "cores", "ratio", "error"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.model,
            *(str(count) for count in (row.nodes, row.kernels, row.unsplit)),
            *(f"{row.seconds[stage]:.2f}" for stage in STAGES),
            f"{row.total_seconds:.1f}",
            f"{row.peak_megabytes:,.0f}",
            f"{row.interval:,}",
            f"{row.interval / row.interval_bound:.3f}",
            row.bottleneck,
            f"{row.cores_used:,}",
            f"{row.ratio:.1f}",
            f"{row.error_of_range:.1e}" + ("" if row.passed else " FAILED"),
        )
    return table


def main() -> int:
    """Run the benchmark; exit status 1 where a model does not verify."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=DEFAULT, metavar="NAME")
    parser.add_argument("--target", default="wse2")
    parser.add_argument("--region", type=parse_region, default=None)
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--json", type=Path, default=Path("build/compile.json"))
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    for name in options.only:
        with context.Pool(1) as pool:
            rows.append(pool.apply(measure, (name, options.target, options.region, options.effort)))
        print(f"{name}: {rows[-1].total_seconds:.1f} s", file=sys.stderr, flush=True)
    Console(width=200).print(as_table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
