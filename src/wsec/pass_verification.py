"""Runs the numbers between passes: which pass is the first after which the model computes something else.

onnxruntime runs the original file and the model after each pass that changed it, on the same seeded inputs, and the
outputs are compared with the tolerances of `wsec.runtime.comparison`. Where they part, the values that keep their names
through the pass are compared too, in the order of the graph, and the first that differs is named with its operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from wsec.compiler.errors import WsecError
from wsec.compiler.guarded_division import guard_divisions
from wsec.compiler.importer.serialising import serialise_without_weights
from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.onnxruntime_session import LOOP_SECONDS, SESSION_ERRORS, make_session, run_session
from wsec.compiler.original_model import has_loops, original_session
from wsec.compiler.plan import Value
from wsec.passes.verifier import node_label
from wsec.runtime.comparison import Comparison, compare
from wsec.runtime.inputs import draw_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.passes import PipelineStep

    Arrays = Mapping[str, NDArray[Any]]

IMPORT = "import"
_FED_BYTES = 1 << 16  # larger weights are fed, not written into the model
_COMPARED_BYTES = 1 << 27  # of inner values at a time
_NAMES_BEHIND = 8
_MOVES = frozenset({"Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class Difference:
    """The first value that a pass keeps the name of and changes the numbers of.

    Attributes:
        value: Its name.
        operator: The node that computes it after the pass.
        comparison: Of the value after the pass with the one before it.
    """

    value: str
    operator: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class PassNumbers:
    """What the model computes after one step of the pipeline.

    Attributes:
        index: 0 after the import, n after the nth pass.
        name: The pass with its options, or `import`.
        modified: Whether the step changed the model; where it did not, nothing was run.
        outputs: One comparison with the original for each output of the model.
        failure: What onnxruntime says where it cannot run the model after this step; else empty.
        difference: Where the numbers part, if they do and a value that kept its name shows it.
    """

    index: int
    name: str
    modified: bool
    outputs: tuple[Comparison, ...] = ()
    failure: str = ""
    difference: Difference | None = None

    @property
    def passed(self) -> bool:
        """Whether the model still computes what the original does."""
        return not self.failure and all(output.passed for output in self.outputs)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A model at one point of the pipeline, and what of it can be looked at."""

    proto: onnx.ModelProto
    weights: Mapping[str, ir.TensorProtocol]
    operators: Mapping[str, str]  # value -> the node that computes it, in the order of the graph
    sizes: Mapping[str, int]

    def run(self, inputs: Arrays, names: Sequence[str]) -> list[NDArray[Any]]:
        """The values of these names.

        Raises:
            SESSION_ERRORS: onnxruntime cannot run the model.
        """
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        weights = {name: np.asarray(tensor.numpy()) for name, tensor in self.weights.items()}
        guard_divisions(proto)
        limit = LOOP_SECONDS if has_loops(proto.graph) else None
        session = make_session(proto.SerializeToString())
        return run_session(session, {**inputs, **weights}, names, limit_seconds=limit)


class PassVerifier:
    """Compares a model with the file it came from, step by step; made for one run of a pipeline."""

    def __init__(self, original: Path, seed: int = 0) -> None:
        self._original = original
        self._seed = seed
        self._inputs: Arrays = {}
        self._expected: dict[str, NDArray[Any]] = {}
        self._before: _Snapshot | None = None

    def check(self, step: PipelineStep) -> PassNumbers:
        """What the model computes after this step.

        Raises:
            WsecError: WSEC409 onnxruntime cannot run the original.
        """
        name = IMPORT if step.previous is None else str(step.previous)
        if step.previous is None:
            self._run_original(step.model)
        elif step.result is None or not step.result.modified:
            return PassNumbers(step.index, name, modified=False)
        after = _snapshot(step.model)
        try:
            found = after.run(self._inputs, list(self._expected))
        except SESSION_ERRORS as error:
            return PassNumbers(step.index, name, modified=True, failure=" ".join(str(error).split()))
        pairs = zip(self._expected.items(), found, strict=True)
        outputs = tuple(compare(output, value, wanted) for (output, wanted), value in pairs)
        passed = all(output.passed for output in outputs)
        difference = None if passed or self._before is None else self._difference(self._before, after)
        self._before = after
        return PassNumbers(step.index, name, modified=True, outputs=outputs, difference=difference)

    def _run_original(self, model: ir.Model) -> None:
        names = [str(value.name) for value in model.graph.outputs]
        self._inputs = draw_inputs(_values(model), _index_limits(model), self._seed)
        try:
            session, limit = original_session(self._original)
            results = run_session(session, self._inputs, names, limit_seconds=limit)
        except SESSION_ERRORS as error:
            raise WsecError(
                "WSEC409",
                "the numbers cannot be compared: onnxruntime cannot run the original model",
                where=str(self._original),
                expected="a model that onnxruntime runs on random inputs",
                found=" ".join(str(error).split()),
                hint="compile without comparing the numbers between passes",
            ) from error
        self._expected = dict(zip(names, results, strict=True))

    def _difference(self, before: _Snapshot, after: _Snapshot) -> Difference | None:
        for names in _portions(before, after):
            try:
                pairs = zip(before.run(self._inputs, names), after.run(self._inputs, names), strict=True)
            except SESSION_ERRORS:
                return None  # the outputs can be computed, but not all of these beside them
            for name, (wanted, found) in zip(names, pairs, strict=True):
                comparison = compare(name, found, wanted)
                if not comparison.passed and not self._took_the_place(before, name, found):
                    return Difference(name, after.operators[name], comparison)
        return None

    def _took_the_place(self, before: _Snapshot, name: str, found: NDArray[Any]) -> bool:
        """Whether the value now is what one soon behind it was: a pass that folds operators lets names move up."""
        names = list(before.operators)
        behind = names[names.index(name) + 1 :][:_NAMES_BEHIND]
        alike = [other for other in behind if before.sizes[other] == before.sizes[name]]
        if not alike:
            return False
        values = zip(alike, before.run(self._inputs, alike), strict=True)
        return any(compare(other, found, value).passed for other, value in values)


def raise_at_difference(verifier: PassVerifier) -> Callable[[PipelineStep], None]:
    """A callback of the pass manager that raises at the first pass which changes the numbers.

    Raises (the callback):
        WsecError: WSEC408 names the pass and the first value that differs; WSEC409 as `PassVerifier.check`.
    """

    def callback(step: PipelineStep) -> None:
        numbers = verifier.check(step)
        if not numbers.passed:
            raise _changed_numbers(numbers, step.total)

    return callback


def _changed_numbers(numbers: PassNumbers, total: int) -> WsecError:
    wrong = [output for output in numbers.outputs if not output.passed]
    lines = [f"pass {numbers.index} of {total}: {numbers.name}" if numbers.index else IMPORT]
    if numbers.difference is not None:
        lines.append(f"first at {numbers.difference.value!r} of {numbers.difference.operator}")
    name = numbers.name.partition("{")[0]
    what = f"the pass {name} changed the numbers" if numbers.index else "importing changed the numbers"
    return WsecError(
        "WSEC408",
        what,
        where="\n".join(lines),
        expected="\n".join(f"{output.name} within {output.tolerance:.0e} of its range" for output in wrong)
        or "a model that onnxruntime can run",
        found="\n".join(f"{output.name} differs by {output.max_relative_error:.2g}" for output in wrong)
        or numbers.failure,
        hint=f"leave {name} out, or mend it; `wsec bisect` shows the numbers of every pass before it"
        if numbers.index
        else "please report this with the model",
    )


def _snapshot(model: ir.Model) -> _Snapshot:
    proto, weights = serialise_without_weights(model, _FED_BYTES)
    del proto.graph.value_info[:]
    computed = [
        (node, value)
        for node in model.graph
        for value in node.outputs
        if value.name and value.dtype is not None
    ]
    return _Snapshot(
        proto,
        weights,
        {str(value.name): node_label(node) for node, value in computed},
        {str(value.name): _bytes_of(value) for _, value in computed},
    )


def _bytes_of(value: ir.Value) -> int:
    shape = static_shape(value)
    return 0 if shape is None or value.dtype is None else int(np.prod(shape) * value.dtype.itemsize)


def _portions(before: _Snapshot, after: _Snapshot) -> Iterator[list[str]]:
    """Names that both models compute, in the order of the later one, so many at a time as memory allows."""
    portion: list[str] = []
    size = 0
    for name in after.operators:
        if name not in before.operators:
            continue
        if portion and size + after.sizes[name] > _COMPARED_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(name)
        size += after.sizes[name]
    if portion:
        yield portion


def _values(model: ir.Model) -> list[Value]:
    return [
        Value(str(value.name), value.dtype.numpy().name, static_shape(value) or ())
        for value in model.graph.inputs
        if value.dtype is not None
    ]


def _index_limits(model: ir.Model) -> dict[str, int]:
    """How many values an index may have, for inputs that index tables (the least extent of these tables)."""
    origin = {value: str(value.name) for value in model.graph.inputs}
    limits: dict[str, int] = {}
    for node in model.graph:
        if not node.inputs or node.domain != "":
            continue
        first = node.inputs[0]
        if node.op_type in _MOVES and first in origin:
            origin[node.outputs[0]] = origin[first]
        shape = None if first is None else static_shape(first)
        if node.op_type != "Gather" or node.inputs[1] not in origin or not shape:
            continue
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        name = origin[node.inputs[1]]
        limits[name] = min(shape[axis], limits.get(name, shape[axis]))
    return limits
