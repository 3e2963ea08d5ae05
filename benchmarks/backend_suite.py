"""The ONNX backend suite through wsec: every case compiled for a small mesh, its plan executed, outputs compared.

    python benchmarks/backend_suite.py [--only PATTERN] [--failures] [--json FILE] [--region 8x8] [--workers 2]

A case *passes* where its outputs agree within the suite's own tolerances, is *unsupported* where wsec says so with a
coded error, *wrong* where the outputs differ, and *broken* where anything else is raised; only the first is good.

Core cases are those that a dense inference compiler has to run, told from the model alone: all inputs, outputs and
values of nested graphs are tensors of a core type, all nodes are of `ai.onnx`, and none of them is random, a dropout, of
training, or on strings, sequences, optionals or images; the expansions of functions (`_expanded`) repeat other cases.

Sizes of open dimensions are those of the case's inputs. An input whose value decides a shape (the axes of a reduction,
say) is given its value of the case before compiling, in ONNX's own way: by an initializer of the same name.

The networks of the kind `real` are not part of it: the suite compares them with files that it makes on the way.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from rich.console import Console
from rich.table import Table

import wsec
from wsec.compiler.importer import import_model, inputs_deciding_shapes
from wsec.compiler.target import parse_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from onnx.backend.test.case.test_case import TestCase

    Array = np.ndarray[Any, Any]
    Data = tuple[list[Array], list[Array]]

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
CORE_TYPES = frozenset(
    getattr(onnx.TensorProto, name)
    for name in [
        "FLOAT16",
        "FLOAT",
        "DOUBLE",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "BOOL",
    ]
)
OUTSIDE_CORE = re.compile(
    r"Random|Bernoulli|Multinomial|Dropout|Ada|Momentum|Gradient|SoftmaxCrossEntropyLoss|NegativeLogLikelihoodLoss"
    r"|String|RegexFullMatch|Tokenizer|LabelEncoder|Sequence|SplitToSequence|ConcatFromSequence|Optional|Image"
)
"""Operators, by the beginning of their names, that core leaves out as random, training, string, sequence or image."""

SPLIT_ELEMENTS = 16
"""Cases with an output of so many elements should run on several cores."""


@dataclass(frozen=True, slots=True)
class Settings:
    """For what the cases are compiled."""

    target: str = "mesh16"
    region: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case.

    Attributes:
        case: Its name in the suite.
        kind: The folder of the suite it is from.
        operator: Its first operator.
        core: Whether it belongs to core.
        outcome: passed, unsupported, wrong or broken.
        large: Whether an output has `SPLIT_ELEMENTS` elements or more.
        kernels: Kernels of the plan.
        unsplit: Of these, those that compute on one core only.
        cores: Cores of the largest kernel.
        bound: Inputs that were given their value before compiling.
        seconds: For compiling and executing it.
        message: What is wrong.
    """

    case: str
    kind: str
    operator: str
    core: bool
    outcome: str
    large: bool
    kernels: int
    unsplit: tuple[str, ...]
    cores: int
    bound: tuple[str, ...]
    seconds: float
    message: str

    @property
    def split(self) -> bool:
        """Whether there is a kernel, none is unsplit, and one of them works on several cores."""
        return self.outcome == "passed" and self.kernels > 0 and not self.unsplit and self.cores > 1


class WsecRep(BackendRep):
    """A model compiled for a small mesh, ready to run."""

    def __init__(self, model: onnx.ModelProto, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._values: dict[str, Any] = {}
        self.bound: tuple[str, ...] = ()
        self.plan: wsec.Plan | None = None

    def compile(self, inputs: dict[str, Array]) -> wsec.Plan:
        """The plan for inputs of these shapes, and of these values where they decide shapes."""
        values = {name: inputs[name].tolist() for name in self.bound}
        if self.plan is None or values != self._values:
            dims = _open_dimensions(self._model, inputs)
            with tempfile.TemporaryDirectory(prefix="wsec-suite-") as folder:
                path = Path(folder) / "model.onnx"
                self.bound = _bind_deciding_inputs(self._model, path, dims, inputs)
                self._values = {name: inputs[name].tolist() for name in self.bound}
                settings = self._settings
                self.plan = wsec.compile(
                    path, target=settings.target, region=settings.region, dims=dims, effort=0.0
                )
        return self.plan

    def run(self, inputs: Any, **_: Any) -> tuple[Array, ...]:
        """The outputs in the order of the model, for inputs in its order."""
        given = {value.name: array for value, array in zip(self._inputs(), inputs, strict=False)}
        plan = self.compile(given)
        outputs = plan.run({name: array for name, array in given.items() if name not in self.bound})
        return tuple(outputs[value.name] for value in self._model.graph.output)

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        constants = {tensor.name for tensor in self._model.graph.initializer}
        return [value for value in self._model.graph.input if value.name not in constants]


class WsecBackend(Backend):
    """wsec behind the interface of the suite."""

    settings = Settings()

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **_: Any) -> WsecRep:
        """A model to be compiled once the shapes of its inputs are seen."""
        if not cls.supports_device(device):
            raise ValueError(f"no such device: {device}")
        return WsecRep(model, cls.settings)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """The mesh is executed on the CPU."""
        return device == "CPU"


def _open_dimensions(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, int]:
    return {
        f"{value.name}:{axis}": size
        for value in model.graph.input
        if value.name in inputs and value.type.HasField("tensor_type")
        for axis, size in enumerate(inputs[value.name].shape)
        if axis >= len(value.type.tensor_type.shape.dim)
        or not value.type.tensor_type.shape.dim[axis].HasField("dim_value")
    }


def _bind_deciding_inputs(
    model: onnx.ModelProto, path: Path, dims: dict[str, int], inputs: dict[str, Array]
) -> tuple[str, ...]:
    """Write the model to `path`, with a value for each input that decides a shape; returns their names."""
    bound: list[str] = []
    closed = onnx.ModelProto()
    closed.CopyFrom(model)
    while True:
        path.write_bytes(closed.SerializeToString())
        open_dims = {key: size for key, size in dims.items() if key.rpartition(":")[0] not in bound}
        new = inputs_deciding_shapes(import_model(path, open_dims).model)
        if not new:
            return tuple(bound)
        for name in new:
            closed.graph.initializer.append(onnx.numpy_helper.from_array(inputs[name], name))
        bound += new


def load_cases(pattern: str = "") -> list[TestCase]:
    """The cases of the suite whose names match, sorted by kind and name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite overflows on purpose
        cases = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    chosen = (case for case in cases if re.search(pattern, case.name))
    return sorted(chosen, key=lambda case: (KINDS.index(case.kind), case.name))


def load_model(case: TestCase) -> onnx.ModelProto:
    """The model of a case."""
    return case.model if case.model is not None else onnx.load(Path(str(case.model_dir)) / "model.onnx")


def load_data(case: TestCase, model: onnx.ModelProto) -> Iterator[Data]:
    """Inputs and expected outputs of a case, data set by data set."""
    for given, expected in case.data_sets or ():
        yield [_array(item) for item in given], [_array(item) for item in expected]
    for folder in sorted(Path(str(case.model_dir)).glob("test_data_set*")) if case.model_dir else ():
        yield (
            [_read(path, model.graph.input[i].type) for i, path in enumerate(_numbered(folder, "input"))],
            [_read(path, model.graph.output[i].type) for i, path in enumerate(_numbered(folder, "output"))],
        )


def _array(item: Any) -> Any:
    return onnx.numpy_helper.to_array(item) if isinstance(item, onnx.TensorProto) else item


def _numbered(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}_*.pb"), key=lambda path: int(path.stem.rpartition("_")[2]))


def _read(path: Path, kind: onnx.TypeProto) -> Any:
    if kind.HasField("sequence_type"):
        return onnx.numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def is_core(case: TestCase, model: onnx.ModelProto) -> bool:
    """Whether a case belongs to core, see above."""
    nodes = list(_nodes(model.graph))
    return (
        "_expanded" not in case.name
        and all(kind.tensor_type.elem_type in CORE_TYPES for kind in _types(model.graph))
        and all(node.domain in {"", "ai.onnx"} for node in nodes)
        and not any(OUTSIDE_CORE.match(node.op_type) for node in nodes)
        and not any(a.name == "training_mode" and a.i for node in nodes for a in node.attribute)
    )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _types(graph: onnx.GraphProto) -> Iterator[onnx.TypeProto]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _types(attribute.g)


def run_case(case: TestCase, settings: Settings) -> Result:
    """Compile and execute one case."""
    WsecBackend.settings = settings
    model = load_model(case)
    data = list(load_data(case, model))
    rep = WsecBackend.prepare(model)
    started = time.perf_counter()
    outcome, message = "passed", ""
    try:
        for inputs, expected in data:
            found = rep.run(inputs)
            try:
                Runner.assert_similar_outputs(
                    _parts(expected), _parts(found), case.rtol, case.atol, case.model_dir
                )
            except (AssertionError, TypeError) as error:
                outcome, message = "wrong", " ".join(str(error).split())[:400]
    except wsec.WsecError as error:
        outcome, message = "unsupported", _one_line(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding, and the other cases are to run
        outcome, message = "broken", f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
    kernels = () if rep.plan is None else tuple(rep.plan.record.kernels())
    return Result(
        case=case.name,
        kind=case.kind,
        operator=next((node.op_type for node in model.graph.node), "none"),
        core=is_core(case, model),
        outcome=outcome,
        large=any(getattr(item, "size", 0) >= SPLIT_ELEMENTS for _, outputs in data for item in outputs),
        kernels=len(kernels),
        unsplit=tuple(name for kernel in kernels if kernel.kind == "unsplit" for name in kernel.operators),
        cores=max((math.prod(kernel.mesh.shape) for kernel in kernels), default=0),
        bound=rep.bound,
        seconds=time.perf_counter() - started,
        message=message,
    )


def _parts(values: Iterable[Any]) -> list[Any]:
    """Sequences as their length and their elements: the suite's comparison takes no scalars in sequences."""
    parts: list[Any] = []
    for value in values:
        parts += [np.asarray(len(value)), *_parts(value)] if isinstance(value, list) else [value]
    return parts


def _one_line(error: wsec.WsecError) -> str:
    parts = (f"{error.code} {error.what}", error.where, error.found)
    return " | ".join(" ".join(part.split()) for part in parts if part)[:400]


_CASES: list[TestCase] = []


def _load_in_worker(pattern: str) -> None:
    warnings.simplefilter("ignore")
    _CASES.extend(load_cases(pattern))


def _run_in_worker(job: tuple[int, Settings]) -> Result:
    return run_case(_CASES[job[0]], job[1])


def run_suite(pattern: str, settings: Settings, workers: int) -> Iterator[Result]:
    """Run all matching cases in processes of their own, in the order of the suite."""
    jobs = [(index, settings) for index in range(len(load_cases(pattern)))]
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _load_in_worker, (pattern,)) as pool:
        yield from pool.imap(_run_in_worker, jobs, chunksize=8)


def as_table(results: Sequence[Result]) -> Table:
    """Core cases by operator."""
    table = Table(box=None, header_style="bold")
    for heading in ("operator", "cases", "passed", "unsupported", "wrong", "broken", "large", "split"):
        table.add_column(heading, justify="left" if heading == "operator" else "right")
    operators = sorted({result.operator for result in results})
    for operator in operators:
        own = [result for result in results if result.operator == operator]
        count = Counter(result.outcome for result in own)
        large = [result for result in own if result.large]
        numbers = [len(own), *(count[key] for key in ("passed", "unsupported", "wrong", "broken"))]
        numbers += [len(large), sum(result.split for result in large)]
        table.add_row(operator, *(str(number) if number else "" for number in numbers))
    return table


def totals(results: Sequence[Result], seconds: float) -> dict[str, float]:
    """The numbers that the suite is judged by.

    Of the large core cases, `split` has those that passed, whose plan has kernels, none of them unsplit, and at least
    one on several cores. `idle` are those which the compiler folded to constants or copies: no kernel is left that
    could be split; they count in neither.
    """
    core = [result for result in results if result.core]
    large = [result for result in core if result.large]
    idle = [result for result in large if result.outcome == "passed" and not result.kernels]
    split = sum(result.split for result in large)
    passed = sum(result.outcome == "passed" for result in core)
    return {
        "cases": len(results),
        "passed": sum(result.outcome == "passed" for result in results),
        "unsupported": sum(result.outcome == "unsupported" for result in results),
        "wrong": sum(result.outcome == "wrong" for result in results),
        "broken": sum(result.outcome == "broken" for result in results),
        "core": len(core),
        "core_bound": sum(bool(result.bound) for result in core),
        "core_passed": passed,
        "core_passed_percent": _percent(passed, len(core)),
        "large": len(large),
        "idle": len(idle),
        "split": split,
        "split_percent": _percent(split, len(large) - len(idle)),
        "seconds": round(seconds, 1),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _print_failures(results: Iterable[Result]) -> None:
    for result in results:
        if result.outcome != "passed":
            where = "core" if result.core else "else"
            print(f"{where} {result.outcome:11} {result.case}: {result.message}")


def main() -> int:
    """Run the suite; exit status 1 where an answer is wrong or a case is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose names match")
    parser.add_argument("--failures", action="store_true", help="one line for each case that does not pass")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    parser.add_argument("--target", default="mesh16")
    parser.add_argument("--region", type=parse_region, default=None)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    results = []
    for result in run_suite(options.only, Settings(options.target, options.region), options.workers):
        results.append(result)
        if len(results) % 100 == 0:
            print(f"{len(results)} cases, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    summary = totals(results, time.perf_counter() - started)
    Console(width=120).print(as_table([result for result in results if result.core]))
    if options.failures:
        _print_failures(results)
    for name, value in summary.items():
        print(f"{name:20} {value:g}")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"totals": summary, "cases": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if summary["wrong"] or summary["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
