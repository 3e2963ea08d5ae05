"""Simulates plans whose kernels take turns, and prints estimated and simulated cycles of turns and reshardings side by side.

    python benchmarks/simulated_turns.py [--only NAME] [--target wse3] [--collective auto] [--turns] [--json FILE]

Single kernels of every kind (those of `simulation.py`), small models, and decoders of `examples/models/llama.py`: the tiny one, and one layer of a middling
size, on larger and larger regions. Both columns have the overheads that the target says steps and collectives take; errors are those of
all cycles and of those without these overheads: (estimate - simulated) / simulated. Equal turns count once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from decoder_parts import Export
from llama import CONFIGS, LlamaConfig, make_llama
from model_writer import write_model
from simulated_kernels import CONFIGURATIONS
from simulated_models import SIMULATED_MODELS
from wsec.compiler.errors import WsecError
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulated_models import SimulatedModel
    from wsec.runtime.programs.turns.results import TurnsSimulation

MIDDLING = LlamaConfig(
    layers=1, hidden=512, heads=8, kv_heads=4, head_size=64, intermediate=1408, vocabulary=512
)
REGIONS = ((8, 8), (16, 12), (48, 48))
LARGER = ((32, 32), (64, 64), (96, 96))


@dataclass(frozen=True)
class Row:
    """A turn, or a tensor that comes to one.

    Attributes:
        model: Its name, and the region.
        name: Of the kernels, or the tensor.
        kind: Of the kernels, joined; `resharding`.
        cores: Of the turn.
        estimated: Cycles that the plan says.
        simulated: Cycles that were simulated, and overheads.
        overheads: Of both.
        equal: Whether all numbers of the model are the executor's.
    """

    model: str
    name: str
    kind: str
    cores: int
    estimated: int
    simulated: int
    overheads: int
    equal: bool

    @property
    def error(self) -> float:
        """Of the estimate, as a share of the simulated cycles."""
        return (self.estimated - self.simulated) / max(1, self.simulated)

    @property
    def error_without_overheads(self) -> float:
        """The same of what instructions and words take."""
        simulated = self.simulated - self.overheads
        return (self.estimated - self.overheads - simulated) / max(1, simulated)


def rows_of(model: str, result: TurnsSimulation) -> Iterator[Row]:
    """A row for each turn that was simulated, for each resharding that takes cycles, and for the whole model."""
    seen = set()
    for turn in result.turns:
        for each in turn.arriving:
            key = each.exchanges, each.cycles, each.estimated_cycles
            if each.cycles > 0 and key not in seen:
                seen.add(key)
                cycles = each.estimated_cycles, each.total, each.overheads
                yield Row(model, each.tensor, "resharding", turn.cores, *cycles, equal=result.equal)
        simulated = turn.cycles + turn.overheads
        if turn.equal_to == (turn.wafer, turn.turn) and simulated:
            kind = "+".join(dict.fromkeys(turn.kinds)) + (" together" if len(turn.kernels) > 1 else "")
            cycles = turn.estimated_cycles, simulated, turn.overheads
            yield Row(model, ", ".join(turn.kernels), kind, turn.cores, *cycles, equal=result.equal)
    overheads = sum(turn.overheads + sum(each.overheads for each in turn.arriving) for turn in result.turns)
    title = f"{result.simulated_turns} of {len(result.turns)} turns"
    yield Row(
        model, title, "latency", 0, result.estimated_cycles, result.cycles, overheads, equal=result.equal
    )


def _cases() -> Iterator[tuple[str, Callable[[Path], object], tuple[int, int]]]:
    for each in CONFIGURATIONS:
        yield each.name, _saved(each.model), each.region
    for model in SIMULATED_MODELS:
        yield model.name, _saved(partial(_made, model)), model.region
    for form in ("standard", "contrib"):
        for region in REGIONS:
            export = Export(form=form, entry="decode", context=12, sequence=1, batch=1, activations="fp32")
            yield f"tiny llama, {form}", _decoder(CONFIGS["tiny"], export), region
    for region in LARGER:
        export = Export(form="contrib", entry="decode", context=128, sequence=1, batch=1, activations="fp32")
        yield "layer of 512", _decoder(MIDDLING, export), region


def _made(model: SimulatedModel) -> onnx.ModelProto:
    return model.make()[0]


def _saved(make: Callable[[], onnx.ModelProto]) -> Callable[[Path], object]:
    return lambda path: onnx.save(make(), path)


def _decoder(config: LlamaConfig, export: Export) -> Callable[[Path], object]:
    return lambda path: write_model(make_llama(config, export), path, opset=export.opset)


def simulated(
    save: Callable[[Path], object], region: tuple[int, int], target: str, collective: str
) -> TurnsSimulation:
    """The turns of a model that `save` writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(path)
        options = Options(target=target, region=region, mode="sequential", collective=collective)
        return compile_model(path, options, Path(folder) / "model.plan").simulate_turns()


def main() -> None:
    """Compile, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--target", default="wse3")
    parser.add_argument("--collective", default="auto")
    parser.add_argument("--turns", action="store_true", help="print every turn")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    arguments = parser.parse_args()
    compare_turns(
        arguments.only, arguments.target, arguments.collective, arguments.json, every_turn=arguments.turns
    )


def compare_turns(
    only: str, target: str, collective: str, json_file: Path | None, *, every_turn: bool = False
) -> None:
    """Compile, simulate and print all cases whose names contain `only`."""
    rows: list[Row] = []
    for name, save, region in _cases():
        if only not in name:
            continue
        start, title = time.perf_counter(), f"{name} {region[0]}x{region[1]}"
        try:
            result = simulated(save, region, target, collective)
        except WsecError as error:
            print(f"{title}: {error.code} {error.where}: {error.found}", flush=True)
            continue
        found = list(rows_of(title, result))
        rows += found
        for row in found if every_turn else found[-1:]:
            _print(row, time.perf_counter() - start if row is found[-1] else None)
    _summarise(rows)
    if json_file is not None:
        written = [asdict(row) | {"error": row.error} for row in rows]
        json_file.write_text(json.dumps(written, indent=1) + "\n")


def _print(row: Row, seconds: float | None) -> None:
    print(
        f"{row.model[:36]:36} {row.name[:24]:24} {row.kind[:18]:18} {row.cores:6} {row.estimated:7} {row.simulated:7} "
        f"{row.error:7.1%} {'equal' if row.equal else 'DIFFERENT'}"
        + ("" if seconds is None else f" {seconds:.1f} s"),
        flush=True,
    )


def _summarise(rows: Sequence[Row]) -> None:
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row)
        if row.kind not in {"latency", "resharding"}:
            by_kind.setdefault("all kernels", []).append(row)
    print(f"\n{'kind':26} {'rows':>5} {'mean':>7} {'worst':>7} {'mean without overheads':>23} {'worst':>7}")
    for kind, those in sorted(by_kind.items()):
        errors = [abs(row.error) for row in those]
        bare = [abs(row.error_without_overheads) for row in those]
        print(
            f"{kind:26} {len(those):5} {sum(errors) / len(errors):7.1%} {max(errors):7.1%} "
            f"{sum(bare) / len(bare):23.1%} {max(bare):7.1%}"
        )
    print(f"numbers equal in {sum(row.equal for row in rows)} of {len(rows)} rows")


if __name__ == "__main__":
    main()
