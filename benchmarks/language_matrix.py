"""Tiny language models in every mode, on one wafer and on several: a prefill and steps of decoding, held against onnxruntime.

    python benchmarks/language_matrix.py [--only TEXT]... [--cover] [--json FILE]

The axes are the models of `MODELS`, the modes of `MODES`, 1 and 3 wafers, all of wse3 and 48 x 48 cores of it. For every
combination two plans are made, for the prompt at once and for a token a step; what they compute is compared with onnxruntime
run by run, caches among it, and the tokens must be the same for every combination of a model. `--only` keeps those with a
text in their names, `--cover` a few that have every pair of values once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from language_cases import PROMPT, STEPS, write_decoder
from wsec.compiler.errors import WsecError
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.loaded_plan import Plan

MODELS = {
    "llama contrib": ("tiny", "contrib", "fp32"),
    "llama standard": ("tiny", "standard", "fp32"),
    "gpt-oss contrib": ("tiny-gpt-oss", "contrib", "fp32"),
    "gpt-oss contrib int4": ("tiny-gpt-oss", "contrib", "int4"),
    "gpt-oss standard": ("tiny-gpt-oss", "standard", "fp32"),
    "gpt-oss standard int4": ("tiny-gpt-oss", "standard", "int4"),
}
"""Name -> configuration, form, and precision of the experts; gpt-oss has sinks, windows and a mixture of experts."""

MODES: dict[str, dict[str, Any]] = {
    "pipelined": {"mode": "pipelined"},
    "sequential": {"mode": "sequential"},
    "streaming": {"mode": "streaming", "phases": 2},  # more than would be taken, as they all fit at once
}
WAFERS = (1, 3)
PLACES: dict[str, tuple[int, int] | None] = {"48x48": (48, 48), "wse3": None}
AXES = ("model", "mode", "wafers", "place")
_CONTEXT = 16
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Combination:
    """One value of each axis."""

    model: str
    mode: str
    wafers: int
    place: str

    @property
    def name(self) -> str:
        """All of them in a line."""
        return f"{self.model}, {self.mode}, {self.wafers} wafer{'s' * (self.wafers > 1)}, {self.place}"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a combination.

    Attributes:
        combination: Which.
        outcome: `equal`, `differs`, or the code of an error.
        differences: The largest of each run, as a share of its tolerance; the first is that of the prefill.
        tokens: What was generated.
        step_cycles: Of a token, as estimated.
        samples: Of a batch, where wafers stream.
        seconds: Of compiling, and of all.
        error: What wsec said.
    """

    combination: Combination
    outcome: str
    differences: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    step_cycles: int = 0
    samples: int = 1
    seconds: tuple[float, float] = (0.0, 0.0)
    error: str = ""


@dataclass
class Models:
    """The files of the models, each written once; with so many layers, or as many as their configurations say."""

    folder: Path
    layers: dict[str, int] = field(default_factory=dict)
    written: dict[tuple[str, str], Path] = field(default_factory=dict)

    def file(self, model: str, entry: str) -> Path:
        """An ONNX file with seeded weights."""
        if (model, entry) not in self.written:
            config, form, precision = MODELS[model]
            folder = self.folder / model.replace(" ", "-") / entry
            folder.mkdir(parents=True)
            sequence = len(PROMPT) if entry == "prefill" else 1
            self.written[model, entry] = write_decoder(
                folder,
                config,
                form=form,
                entry=entry,
                context=_CONTEXT,
                layers=self.layers.get(config),
                sequence=sequence,
                weights="seeded",
                precision=precision,
            )
        return self.written[model, entry]


def combinations() -> Iterator[Combination]:
    """The whole matrix."""
    for values in itertools.product(MODELS, MODES, WAFERS, PLACES):
        yield Combination(*values)


def covering(wanted: Sequence[Combination], axes: Sequence[str] = AXES) -> list[Combination]:
    """A few with every value, and of these axes every pair of values, that occurs in all: the one with most that is new, again and again."""
    missing = {item for each in wanted for item in _covered(each, axes)}
    found: list[Combination] = []
    while missing:
        best = max(wanted, key=lambda each: len(missing & _covered(each, axes)))
        found.append(best)
        missing -= _covered(best, axes)
    return found


def _covered(combination: Combination, axes: Sequence[str]) -> set[tuple[tuple[str, object], ...]]:
    values = asdict(combination)
    pairs = itertools.combinations([(axis, values[axis]) for axis in axes], 2)
    return {*pairs, *((value,) for value in values.items())}


def run(combination: Combination, models: Models) -> Row:
    """Compile both plans, generate, and compare."""
    started = time.perf_counter()
    try:
        prefill, decode = (_compiled(combination, models, entry) for entry in ("prefill", "decode"))
        compiled = time.perf_counter() - started
        found = decode.generate(PROMPT, 1 + STEPS, prefill=prefill, verify=True)  # the prefill makes one
    except WsecError as error:
        return Row(combination, error.code, seconds=(0.0, time.perf_counter() - started), error=str(error))
    differences = tuple(
        step.comparison.max_relative_error / max(step.comparison.tolerance, _ROUNDING)
        for step in found.steps
        if step.comparison is not None
    )
    outcome = "equal" if found.passed else "differs"
    cycles = decode.estimate().latency_cycles
    took = compiled, time.perf_counter() - started
    return Row(combination, outcome, differences, found.tokens, cycles, decode.record.samples_per_phase, took)


def _compiled(combination: Combination, models: Models, entry: str) -> Plan:
    options = Options(
        target="wse3",
        region=PLACES[combination.place],
        wafers=combination.wafers,
        effort=0.0,
        **MODES[combination.mode],
    )
    return compile_model(models.file(combination.model, entry), options)


def disagreements(rows: Sequence[Row]) -> list[str]:
    """Models of which not all combinations made the same tokens."""
    made: dict[str, set[tuple[int, ...]]] = {}
    for row in rows:
        if row.tokens:
            made.setdefault(row.combination.model, set()).add(row.tokens)
    return [model for model, tokens in made.items() if len(tokens) > 1]


def as_table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    table = Table(
        "combination", "outcome", "prefill", "steps", "step cycles", "seconds", box=None, header_style="bold"
    )
    for row in rows:
        prefill, steps = row.differences[:1], row.differences[1:]
        table.add_row(
            row.combination.name,
            row.outcome,
            f"{max(prefill, default=0):.1%}" if prefill else "",
            f"{max(steps):.1%} of {len(steps)}" if steps else "",
            f"{row.step_cycles:,}",
            f"{row.seconds[1]:.1f}",
        )
    return table


def _write(path: Path, rows: Sequence[Row]) -> None:
    """After each combination, so that nothing is lost where the rest is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    draft.replace(path)


def main() -> int:
    """Run the combinations; exit status 1 where one is not equal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="again for each text")
    parser.add_argument("--cover", action="store_true", help="every pair of values once")
    parser.add_argument("--json", type=Path, default=Path("build/language_matrix.json"))
    options = parser.parse_args()
    wanted = [each for each in combinations() if all(text in each.name for text in options.only)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        models = Models(Path(folder))
        for combination in covering(wanted) if options.cover else wanted:
            rows.append(run(combination, models))
            told = rows[-1].error.partition("\n")[0] or f"{rows[-1].seconds[1]:.0f} s"
            print(f"{combination.name}: {rows[-1].outcome}, {told}", file=sys.stderr, flush=True)
            _write(options.json, rows)
    Console(width=160, soft_wrap=True).print(as_table(rows))
    equal = sum(row.outcome == "equal" for row in rows)
    print(
        f"{equal} of {len(rows)} equal; each difference is a share of what is tolerated, the largest of all outputs"
    )
    differing = disagreements(rows)
    for model in differing:
        print(f"{model}: not all combinations made the same tokens")
    return 0 if equal == len(rows) and not differing else 1


if __name__ == "__main__":
    sys.exit(main())
