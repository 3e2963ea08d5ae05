"""Language models at full size, and networks on small machines: what was asked beside what came out.

    python benchmarks/language_models.py [--only SECTION,...] [--case TEXT] [--quick] [--limit SECONDS] [--json FILE]

Sections: fit, tiny, decode-layer, prefill-layer, gpt-oss-20b, gpt-oss-120b, growth, llama, small-mesh. Each case runs in a
process of its own, so that its peak memory is its own; one that needs what wsec does not have is `not built`, one that
ends with an error says its code, and one that takes longer than `--limit` is stopped. Times of compilations are processor
seconds, as other work may run beside it.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from language_cases import CASES, Figures, NotBuilt
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DATA = Path(__file__).with_name("data")
SECTIONS = (
    "fit",
    "tiny",
    "decode-layer",
    "prefill-layer",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "growth",
    "llama",
    "small-mesh",
)
_KV_ON_WSE2 = 4096  # positions; the table does not say how many


@dataclass(frozen=True, slots=True)
class Case:
    """A function of language_cases.py and its arguments; `quick` ones run with --quick."""

    section: str
    name: str
    function: str
    arguments: dict[str, Any]
    asked: str
    quick: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A case with its outcome: reached, missed, measured, not built, an error code, or stopped; and its figures."""

    section: str
    name: str
    asked: str
    outcome: str
    figures: Figures
    seconds: float


def cases() -> Iterator[Case]:
    """All cases, in the order of the sections."""
    yield from _fits()
    yield from _tiny()
    yield from _layers()
    yield from _compilations()
    for side in (4, 8, 16):
        asked = "10 times fewer cycles on 256 cores than on 16 (2.56 M, 0.639 M, 0.187 M published)"
        yield Case("small-mesh", f"ResNet-50 on {side}x{side}", "small_mesh", {"side": side}, asked)


def _fits() -> Iterator[Case]:
    published = {"8b": 1, "70b": 4}
    for config in ("8b", "13b", "34b", "70b", "qwen2-72b"):
        wafers = published.get(config)
        arguments: Figures = {
            "config": config,
            "form": "contrib",
            "precision": "fp16",
            "context": 4096,
            "wafers": wafers,
        }
        asked = "" if wafers is None else f"{wafers} published"
        yield Case("fit", f"{config} fp16", "fit", arguments, asked)
    for config, wafers, asked in (("20b", 1, "1 wafer"), ("120b", None, "fewest wafers")):
        for form in ("contrib", "standard"):
            arguments = {
                "config": config,
                "form": form,
                "precision": "mxfp4",
                "context": 4096,
                "wafers": wafers,
            }
            yield Case("fit", f"gpt-oss-{config} MXFP4 {form}", "fit", arguments, asked)


def _tiny() -> Iterator[Case]:
    asked = "prefill and 8 steps equal onnxruntime"
    models = [("tiny", form, "fp32") for form in ("contrib", "standard")]
    models += [("tiny-gpt-oss", "contrib", "int4"), ("tiny-gpt-oss", "standard", "fp32")]
    for config, form, precision in models:
        for mode in ("pipelined", "sequential", "streaming"):
            for region in ((48, 48), None):
                for wafers in (1, 3):
                    place = "wse3" if region is None else "48x48"
                    name = f"{config} {form} {precision}, {mode}, {place}, {wafers} wafer{'s' * (wafers > 1)}"
                    arguments: Figures = {
                        "config": config,
                        "form": form,
                        "precision": precision,
                        "region": region,
                    }
                    arguments |= {"mode": mode, "wafers": wafers}
                    quick = region is not None and wafers == 1
                    yield Case("tiny", name, "tiny", arguments, asked, quick)


def _layers() -> Iterator[Case]:
    for target, entry, limit in (
        ("wse3", "decode", 0.10),
        ("wse2", "decode", 0.10),
        ("wse3", "prefill", 0.15),
    ):
        sides = (
            (360, 420, 660)
            if (target, entry) == ("wse3", "decode")
            else (420, 660)
            if entry == "decode"
            else None
        )
        with (DATA / f"{target}_{entry}_layer.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["model"].removesuffix("-2K") == "LLaMA3-8B"]
        for row in rows:
            side, measured = int(row["grid_side"]), float(row["cycles_per_layer"])
            if sides is not None and side not in sides:
                continue
            per_core = row.get("kv_length_per_core")
            tokens = 2048 if row["model"].endswith("-2K") else 4096
            context = tokens if entry == "prefill" else side * int(per_core) if per_core else _KV_ON_WSE2
            for collective in ("two_level", "auto"):
                arguments: Figures = {
                    "target": target,
                    "side": side,
                    "entry": entry,
                    "collective": collective,
                }
                arguments |= {"context": context, "measured": measured, "limit": limit}
                forced = entry == "prefill" and collective != "auto"
                arguments |= {"products": "shifts" if forced else "auto"}
                asked = f"within {limit:.0%} of {measured:,.0f}" if collective == "two_level" else "faster"
                name = f"{target} {side}x{side} {collective}{', products by shifts' * forced}"
                name += ", 2,048 tokens" * (tokens == 2048)
                yield Case(f"{entry}-layer", name, "layer", arguments, asked)


def _compilations() -> Iterator[Case]:
    limits: dict[tuple[str, str], tuple[int, int, int | None]] = {
        ("20b", "contrib"): (60, 4, 1),
        ("20b", "standard"): (180, 6, 1),
        ("120b", "contrib"): (60, 4, None),
        ("120b", "standard"): (600, 12, None),
    }
    for (config, form), (seconds, gigabytes, wafers) in limits.items():
        arguments: Figures = {"config": config, "form": form, "layers": None, "wafers": wafers}
        arguments |= {"seconds": seconds, "gigabytes": gigabytes}
        asked = f"<= {seconds} s, <= {gigabytes} GB, {'fewest wafers' if wafers is None else '1 wafer'}"
        yield Case(f"gpt-oss-{config}", form, "compilation", arguments, asked, quick=form == "contrib")
    for layers in (1, 2, 4, 9, 18, 36):
        arguments = {"config": "120b", "form": "contrib", "layers": layers, "wafers": None}
        arguments |= {"seconds": 1e9, "gigabytes": 1e9}
        yield Case("growth", f"gpt-oss-120b, {layers} layers", "compilation", arguments, "close to linear")
    for config, published in (("8b", "1,800-2,370 tokens/s"), ("70b", "4 wafers")):
        arguments = {"config": config, "form": "contrib", "layers": None, "wafers": None}
        arguments |= {"seconds": 1e9, "gigabytes": 1e9}
        yield Case("llama", f"Llama-3-{config}", "compilation", arguments, f"beside {published} published")


def run_case(function: str, arguments: dict[str, Any]) -> tuple[str, Figures]:
    """The outcome of a case and its figures; the errors that users see are outcomes too."""
    try:
        figures = CASES[function](**arguments)
    except NotBuilt as missing:
        return "not built", {"missing": str(missing)}
    except WsecError as error:
        return error.code, {"error": str(error)}
    reached = figures.pop("reached")
    return "measured" if reached is None else "reached" if reached else "missed", figures


def run(case: Case, limit: float) -> Row:
    """Run one case in a process of its own, `limit` seconds long at the most."""
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        job = pool.apply_async(run_case, (case.function, case.arguments))
        try:
            outcome, figures = job.get(limit)
        except multiprocessing.TimeoutError:
            outcome, figures = f"stopped after {limit:.0f} s", {}
    return Row(case.section, case.name, case.asked, outcome, figures, time.perf_counter() - started)


def as_table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    table = Table("section", "case", "asked", "outcome", "figures", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.section, row.name, row.asked, row.outcome, shown(row.figures))
    return table


def shown(figures: Figures) -> str:
    """The figures in a line."""
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in figures.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_value(item)}" for name, item in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) else str(value).partition("\n")[0]


def _write(path: Path, rows: Sequence[Row]) -> None:
    """After each case, so that nothing is lost where the rest is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    draft.replace(path)


def main() -> int:
    """Run the sections; exit status 1 where something that is built was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--case", default="", help="only cases with this in their name")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds of a case")
    parser.add_argument("--json", type=Path, default=Path("build/language_models.json"))
    options = parser.parse_args()
    wanted = options.only.split(",")
    unknown = sorted(set(wanted) - {*SECTIONS})
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    for case in cases():
        if case.section not in wanted or options.case not in case.name or (options.quick and not case.quick):
            continue
        rows.append(run(case, options.limit))
        told = f"{case.section} {case.name}: {rows[-1].outcome}, {rows[-1].seconds:.0f} s"
        print(told, shown(rows[-1].figures), file=sys.stderr, flush=True)
        _write(options.json, rows)
    Console(width=220, soft_wrap=True).print(as_table(rows))
    return 1 if any(row.outcome == "missed" or row.outcome.startswith("WSEC") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
