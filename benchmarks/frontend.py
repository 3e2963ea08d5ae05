"""How import and passes grow with the model: seconds by stage and by pass, peak memory, and the ratio of two sizes.

    python benchmarks/frontend.py [--nodes 10000 50000] [--external] [--json FILE]

The graphs are those of `generated_graphs`. Each size runs in a process of its own, so that its peak memory is its own.
Seconds of a step are the processor's, of one thread, so that other work on the machine does not count; the wall clock is
given for the whole.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from generated_graphs import write_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.passes import PipelineStep

SIZES = (10_000, 50_000)


@dataclass(frozen=True, slots=True)
class Growth:
    """One size: nodes before and after, processor seconds of every step in order, wall clock, and peak memory."""

    nodes: int
    lowered_nodes: int
    seconds: dict[str, float]
    wall_seconds: float
    peak_megabytes: float

    @property
    def total_seconds(self) -> float:
        """All steps together."""
        return sum(self.seconds.values())


def measure(path: Path, nodes: int) -> Growth:
    """Import and lower a model of so many nodes in this process."""
    from wsec.compiler.importer import check_supported, import_model
    from wsec.passes import default_pipeline, run_pipeline

    seconds: dict[str, float] = {}
    clock = _Laps()

    def note(step: PipelineStep) -> None:
        if step.previous is None:
            seconds["check before the passes"] = clock.lap()
        else:
            seconds[f"{step.index:2} {step.previous.name}"] = clock.lap()

    model = import_model(path, {}).model
    seconds["import"] = clock.lap()
    run_pipeline(model, default_pipeline(), callback=note)
    check_supported(model)
    seconds["check of operators"] = clock.lap()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Growth(nodes, len(model.graph), seconds, clock.wall_seconds(), peak)


class _Laps:
    """Processor seconds between calls, and the wall clock since the first."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._last = time.process_time()

    def lap(self) -> float:
        now = time.process_time()
        seconds, self._last = now - self._last, now
        return seconds

    def wall_seconds(self) -> float:
        return time.perf_counter() - self._started


def as_table(sizes: Sequence[Growth]) -> Table:
    """A column for each size, and how the last compares with the first."""
    first, last = sizes[0], sizes[-1]
    table = Table(box=None, header_style="bold")
    table.add_column("")
    for size in sizes:
        table.add_column(f"{size.nodes:,} nodes", justify="right")
    table.add_column("ratio", justify="right")
    for step in last.seconds:
        cells = [f"{size.seconds[step]:.2f} s" for size in sizes]
        table.add_row(step, *cells, _ratio(first.seconds[step], last.seconds[step]))
    totals = [f"{size.total_seconds:.2f} s" for size in sizes]
    table.add_row("all", *totals, _ratio(first.total_seconds, last.total_seconds), style="bold")
    walls = [f"{size.wall_seconds:.2f} s" for size in sizes]
    table.add_row("wall clock", *walls, _ratio(first.wall_seconds, last.wall_seconds))
    table.add_row(
        "nodes lowered", *(f"{size.lowered_nodes:,}" for size in sizes), _ratio(first.nodes, last.nodes)
    )
    memory = [f"{size.peak_megabytes:,.0f} MB" for size in sizes]
    table.add_row("peak memory", *memory, _ratio(first.peak_megabytes, last.peak_megabytes))
    return table


def _ratio(first: float, last: float) -> str:
    return f"{last / first:.1f}" if first else "-"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", nargs="+", type=int, default=SIZES, metavar="COUNT")
    parser.add_argument("--external", action="store_true", help="weights in a file of their own")
    parser.add_argument("--json", type=Path, default=Path("build/frontend.json"))
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    sizes: list[Growth] = []
    with tempfile.TemporaryDirectory() as folder:
        for nodes in options.nodes:
            path = Path(folder) / f"generated_{nodes}.onnx"
            written = write_graph(path, nodes, external=options.external)
            with context.Pool(1) as pool:
                sizes.append(pool.apply(measure, (path, written)))
            print(f"{nodes:,} nodes: {sizes[-1].wall_seconds:.1f} s", file=sys.stderr, flush=True)
    Console(width=120).print(as_table(sizes))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(size) for size in sizes], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
