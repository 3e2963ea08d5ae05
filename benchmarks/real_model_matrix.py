"""Every real model on every machine it is asked for: does it compile, verify, and is its arithmetic split?

    python benchmarks/real_model_matrix.py [--only NAME ...] [--on wse2 128x128 untouched] [--effort 1.0] [--json FILE]

The models of `real_models.toml` go onto the whole of wse2 and onto 128 x 128 cores of it. The classic networks of the onnx
package go onto wse2 with seeded, calibrated weights (`wse2`), and as they are shipped (`untouched`): those have constant
weights, so only their one output, which is shipped beside them, can be compared. Each case runs in a process of its
own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.backend.test
from onnx import numpy_helper
from rich.console import Console
from rich.table import Table

import wsec
from real_models import list_real_models, make_feeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

FETCHED = Path("build/models")
SHIPPED = Path(onnx.backend.test.__file__).parent / "data" / "light"
CLASSIC = Path(__file__).parents[1] / "examples" / "models" / "classic.py"
PLACES = {"wse2": None, "128x128": (128, 128), "untouched": None}
LEAST_SPLIT = 0.95  # of the arithmetic
_SHIPPED_TOLERANCE = 1e-4  # relative; the outputs shipped are those of another runtime


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one place; where it does not compile, `failure` says why and the figures are 0."""

    model: str
    place: str
    failure: str = ""
    nodes: int = 0
    kernels: int = 0
    seconds: float = 0.0
    peak_gigabytes: float = 0.0
    interval: int = 0
    interval_bound: int = 0
    split_arithmetic: float = 0.0
    split: int = 0
    unsplit: int = 0
    host: int = 0
    error_of_range: float = 0.0
    verified: bool = False

    @property
    def good(self) -> bool:
        """Whether the case is as it has to be."""
        return self.verified and self.split_arithmetic >= LEAST_SPLIT


def list_cases() -> list[tuple[str, str]]:
    """Every model with every place that it is asked for, the smaller models first."""
    real = [(name, place) for place in ("wse2", "128x128") for name in list_real_models()]
    return real + [(name, place) for place in ("untouched", "wse2") for name in list_classic_networks()]


def list_classic_networks() -> tuple[str, ...]:
    """The networks that the installed onnx package ships."""
    return tuple(sorted(path.stem.removeprefix("light_") for path in SHIPPED.glob("light_*.onnx")))


def measure(name: str, place: str, effort: float, folder: Path) -> Row:
    """Compile and verify one case in this process; files that have to be made lie in `folder`."""
    entry = list_real_models().get(name)
    dims = {} if entry is None else {key: int(size) for key, size in (item.split("=") for item in entry.dims)}
    path = _path(name, place, folder)
    started = time.perf_counter()
    try:
        plan = wsec.compile(path, target="wse2", region=PLACES[place], dims=dims, effort=effort)
    except wsec.WsecError as error:
        return Row(name, place, failure=str(error).splitlines()[0])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if place == "untouched":
        error_of_range, verified = check_shipped(name, plan)
    else:
        verification = plan.verify(None if entry is None else make_feeds(entry))
        error_of_range = max(output.max_relative_error for output in verification.outputs)
        verified = verification.passed
    estimate = plan.estimate()
    kernels = tuple(plan.record.kernels())
    return Row(
        model=name,
        place=place,
        nodes=sum(len(kernel.operators) for kernel in kernels) + len(plan.record.host_operators),
        kernels=len(kernels),
        seconds=seconds,
        peak_gigabytes=peak,
        interval=estimate.interval_cycles,
        interval_bound=estimate.interval_bound_cycles,
        split_arithmetic=estimate.split.arithmetic,
        split=estimate.split.split_operators,
        unsplit=estimate.split.operators - estimate.split.split_operators,
        host=len(plan.record.host_operators),
        error_of_range=error_of_range,
        verified=verified,
    )


def check_shipped(name: str, plan: wsec.Plan) -> tuple[float, bool]:
    """Largest error over the range of the output that the onnx package ships, and whether it is small enough."""
    expected = _shipped_output(name)
    image = plan.record.inputs[0]
    rng = np.random.default_rng(0)
    feed = rng.standard_normal([extent or 1 for extent in image.shape or ()], dtype=np.float32)
    found = plan.run({image.name: feed})[plan.record.outputs[0].name].astype(np.float32)
    if found.shape != expected.shape:
        return float("inf"), False
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    return error, error <= _SHIPPED_TOLERANCE


def _shipped_output(name: str) -> NDArray[np.float32]:
    tensor = onnx.TensorProto.FromString((SHIPPED / f"light_{name}_output_0.pb").read_bytes())
    return np.asarray(numpy_helper.to_array(tensor), np.float32)


def _path(name: str, place: str, folder: Path) -> Path:
    if place == "untouched":
        return SHIPPED / f"light_{name}.onnx"
    return (FETCHED if name in list_real_models() else folder) / f"{name}.onnx"


def write_network(name: str, folder: Path) -> None:
    """Make a classic network with calibrated weights, in a process whose memory counts for nothing."""
    command = [sys.executable, str(CLASSIC), name, "-o", str(folder / f"{name}.onnx")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def as_table(rows: Iterable[Row]) -> Table:
    """The rows for a terminal."""
    table = Table(box=None, header_style="bold")
    for heading in ("model", "place", "nodes", "kernels", "compile s", "peak GB", "interval", "above bound"):
        table.add_column(heading, justify="left" if heading in {"model", "place"} else "right")
    for heading in ("split arithmetic", "split / unsplit / host", "max error", "verified"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.failure:
            table.add_row(row.model, row.place, *("-",) * 9, row.failure)
            continue
        table.add_row(
            row.model,
            row.place,
            *(str(row.nodes), str(row.kernels), f"{row.seconds:.1f}", f"{row.peak_gigabytes:.2f}"),
            f"{row.interval:,}",
            f"{row.interval / row.interval_bound - 1:.1%}" if row.interval_bound else "-",
            f"{row.split_arithmetic:.2%}" + (" TOO LITTLE" if row.split_arithmetic < LEAST_SPLIT else ""),
            f"{row.split} / {row.unsplit} / {row.host}",
            f"{row.error_of_range:.1e}",
            "yes" if row.verified else "NO",
        )
    return table


def run_cases(cases: Sequence[tuple[str, str]], effort: float) -> Iterable[Row]:
    """Measure the cases one after the other; files that were made are deleted with the last one that needs them."""
    context = multiprocessing.get_context("spawn")
    for name, place in cases:
        with tempfile.TemporaryDirectory() as folder:
            if name not in list_real_models() and place != "untouched":
                write_network(name, Path(folder))
            try:
                with context.Pool(1) as pool:
                    row = pool.apply(measure, (name, place, effort, Path(folder)))
            except Exception as error:  # noqa: BLE001 - a bug met in one case must not hide what the others do
                row = Row(name, place, failure=f"crashed: {type(error).__name__}: {error}")
        state = row.failure or ("good" if row.good else "NOT GOOD")
        print(f"{name} on {place}: {state}, {row.seconds:.1f} s", file=sys.stderr, flush=True)
        yield row


def main() -> int:
    """Run the matrix; exit status 1 where a case fails, does not verify or is split too little."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--on", nargs="+", choices=list(PLACES), default=list(PLACES))
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--json", type=Path, default=Path("build/real-model-matrix.json"))
    options = parser.parse_args()
    cases = [
        (name, place)
        for name, place in list_cases()
        if place in options.on and (options.only is None or name in options.only)
    ]
    rows = list(run_cases(cases, options.effort))
    Console(width=200).print(as_table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
