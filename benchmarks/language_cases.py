"""The cases of benchmarks/language_models.py: each is a function that runs in a process of its own and gives its figures.

Models come from examples/models. Those of full size have no weights: they are compiled, checked and estimated, not run.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wsec
from wsec.driver import Options, compile_model

EXAMPLES = Path(__file__).parents[1] / "examples" / "models"
sys.path.insert(0, str(EXAMPLES))

import gpt_oss  # noqa: E402
import llama  # noqa: E402
from decoder_parts import Export  # noqa: E402
from model_writer import write_model  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[str, Any]

PROMPT, STEPS = (5, 17, 3), 8
SMALL_MESH = EXAMPLES.with_name("targets") / "mesh_npu.toml"
RESNET = Path("build/models/resnet50.onnx")


class NotBuilt(Exception):  # noqa: N818 - no error: what is asked for does not exist yet
    """A feature that this case needs is not in wsec."""


def write_decoder(
    folder: Path,
    config: str,
    *,
    form: str = "contrib",
    entry: str = "decode",
    context: int = 4096,
    layers: int | None = None,
    vocabulary: int | None = None,
    sequence: int = 1,
    weights: str = "none",
    precision: str = "fp16",
) -> Path:
    """A model of a configuration of llama.py or gpt_oss.py; of the latter `precision` is that of the experts."""
    tiny = config.startswith("tiny")
    of_experts = config in {"20b", "120b", "tiny-gpt-oss"}
    export = Export(
        form=form,
        entry=entry,
        context=context,
        sequence=sequence,
        precision="fp32" if tiny else "fp16" if of_experts else precision,
        activations="fp32" if tiny else "fp16",
    )
    path = folder / f"{config}-{form}-{entry}.onnx"
    if of_experts:
        sizes = gpt_oss.CONFIGS["tiny" if tiny else config]
        sizes = sizes if layers is None else replace(sizes, layers=layers)
        maker = gpt_oss.make_gpt_oss(sizes, export, precision)
        opset = gpt_oss.opset_of(export, precision)
    else:
        of_llama = llama.CONFIGS["tiny" if tiny else config]
        of_llama = of_llama if layers is None else replace(of_llama, layers=layers)
        of_llama = of_llama if vocabulary is None else replace(of_llama, vocabulary=vocabulary)
        maker = llama.make_llama(of_llama, export)
        opset = export.opset
    write_model(maker, path, weights=weights, opset=opset)
    return path


def compile_in(mode: str, path: Path, seconds: dict[str, float] | None = None, **options: Any) -> wsec.Plan:
    """Compile in an execution mode.

    Raises:
        NotBuilt: There are no modes.
    """
    if "mode" in Options.__dataclass_fields__:
        options["mode"] = mode
    elif mode != "pipelined":
        raise NotBuilt(f"mode {mode}")

    def observe(event: wsec.StageEvent) -> None:
        if event.seconds is not None and seconds is not None:
            seconds[event.stage] = seconds.get(event.stage, 0.0) + event.seconds

    return compile_model(path, Options(**options), observer=observe)


def peak_gigabytes() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def fit(*, config: str, form: str, precision: str, context: int, wafers: int | None) -> Figures:
    """The memory ledger of a full-size decoder on wse3."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_decoder(Path(folder), config, form=form, precision=precision, context=context)
        started = time.process_time()
        found = wsec.fit(path, target="wse3", wafers=None)
        took = time.process_time() - started
    cache = found.cache
    return {
        "gigabytes": found.weight_bytes / 1e9,
        "cache_gigabytes": 0.0 if cache is None else cache.bytes / 1e9,
        "wafers": found.least_wafers,
        "filled_wafers": found.filled_wafers,
        "longest_context": found.longest_context,
        "largest_batch": found.largest_batch,
        "processor_seconds": took,
        "peak_gigabytes": peak_gigabytes(),
        "reached": None if wafers is None else found.least_wafers == found.filled_wafers == wafers,
    }


def tiny(
    *, config: str, form: str, precision: str, region: tuple[int, int] | None, mode: str, wafers: int
) -> Figures:
    """A tiny decoder: a prefill and eight steps, each compared with onnxruntime."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common: dict[str, Any] = {"form": form, "context": 16, "weights": "seeded", "precision": precision}
        options: dict[str, Any] = {"target": "wse3", "region": region, "wafers": wafers, "effort": 0.0}
        options |= {"phases": 2} if mode == "streaming" else {}  # it would fit in one
        started = time.perf_counter()
        path = write_decoder(folder, config, sequence=len(PROMPT), entry="prefill", **common)
        prefill = compile_in(mode, path, **options)
        decode = compile_in(mode, write_decoder(folder, config, **common), **options)
        compiled = time.perf_counter() - started
        found = decode.generate(PROMPT, 1 + STEPS, prefill=prefill, verify=True)  # the prefill makes one
        return {
            "tokens": list(found.tokens),
            "compile_seconds": compiled,
            "total_seconds": time.perf_counter() - started,
            "step_cycles": decode.estimate().latency_cycles,
            "reached": bool(found.passed),
        }


def layer(
    *,
    target: str,
    side: int,
    entry: str,
    collective: str,
    context: int,
    measured: float,
    limit: float,
    products: str = "auto",
) -> Figures:
    """A layer of LLaMA3-8B: cycles that a model takes for each layer more, which leaves out its ends.

    Of decode two and four layers, as tables and masks that all layers share pay for more than one; of prefill one and two.

    These have few words in their vocabulary, so that embedding and logits take no memory from the layer.
    """
    cycles = []
    counts = (1, 2) if entry == "prefill" else (2, 4)
    with tempfile.TemporaryDirectory() as name:
        for layers in counts:
            folder = Path(name) / str(layers)
            folder.mkdir()
            sequence = context if entry == "prefill" else 1
            lengths: Figures = {"context": context, "sequence": sequence, "layers": layers, "vocabulary": 256}
            path = write_decoder(folder, "8b", entry=entry, **lengths)
            options: Figures = {"collective": collective, "products": products, "effort": 0.0}
            plan = compile_in("sequential", path, target=target, region=(side, side), **options)
            cycles.append(plan.estimate().latency_cycles)
    found = (cycles[1] - cycles[0]) / (counts[1] - counts[0])
    error = found / measured - 1
    free = collective == products == "auto"
    reached = error < 0 if free else abs(error) <= limit
    return {"cycles": found, "measured": measured, "error": error, "reached": reached}


def compilation(
    *, config: str, form: str, layers: int | None, wafers: int | None, seconds: float, gigabytes: float
) -> Figures:
    """A full-size mixture of experts: seconds of each stage, peak memory, wafers, tokens per second."""
    precision = "mxfp4" if config in gpt_oss.CONFIGS else "fp16"
    stages: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        path = write_decoder(Path(name), config, form=form, layers=layers, precision=precision)
        started, worked = time.perf_counter(), time.process_time()
        plan = compile_in("sequential", path, stages, target="wse3", wafers=wafers, effort=0.0)
        total, processor = time.perf_counter() - started, time.process_time() - worked
    decoding = plan.decoding()
    peak = peak_gigabytes()
    return {
        "seconds": total,
        "processor_seconds": processor,
        "stages": {stage: round(value, 2) for stage, value in stages.items()},
        "peak_gigabytes": peak,
        "kernels": sum(1 for _ in plan.record.kernels()),
        "wafers": len(plan.record.wafers),
        "fewest_wafers_proven": _no_fewer(plan),
        "tokens_per_second": None if decoding is None else decoding.tokens_per_second,
        "bound_by": None if decoding is None else decoding.bound_by,
        "cycles_of": None if decoding is None else decoding.cycles_of,
        "joules_per_token": None if decoding is None else decoding.joules_per_token,
        "reached": processor <= seconds and peak <= gigabytes and (wafers is not None or _no_fewer(plan)),
    }


def _no_fewer(plan: wsec.Plan) -> bool:
    """Whether the plan has one wafer, or notes that no cut of its kernels fits fewer."""
    return len(plan.record.wafers) == 1 or any(note.endswith("has fewer") for note in plan.record.notes)


def small_mesh(*, side: int) -> Figures:
    """ResNet-50 on a mesh of few cores in the mode that `auto` takes; `small_meshes.py` has more of it."""
    started = time.perf_counter()
    plan = compile_in("auto", RESNET, effort=0.3, target=str(SMALL_MESH), region=(side, side))
    result = plan.estimate()
    return {
        "cycles": result.interval_cycles,
        "ideal_cycles": result.ideal_cycles,
        "mode": plan.record.wafers[0].mode,
        "phases": len(plan.record.wafers[0].phases),
        "samples": plan.record.samples_per_phase,
        "utilisation": result.utilisation,
        "bottleneck": f"{result.bottleneck.kind} {result.bottleneck.name}",
        "seconds": time.perf_counter() - started,
        "reached": None,
    }


CASES: dict[str, Callable[..., Figures]] = {
    "fit": fit,
    "tiny": tiny,
    "layer": layer,
    "compilation": compilation,
    "small_mesh": small_mesh,
}
