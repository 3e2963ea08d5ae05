"""Compares an executed plan with onnxruntime on the original model, and finds where the two part.

onnxruntime runs the model as the user gave it, with optimisations off and on one thread. Where an output is outside
its tolerance, the kernels are compared one by one, in the order of execution, with the nodes of the lowered model.
Seconds are measured to be reported; they decide nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError
from wsec.compiler.node_runner import deviations, is_contradiction, make_node_runner
from wsec.compiler.onnxruntime_session import SESSION_ERRORS, run_session
from wsec.compiler.original_model import original_session
from wsec.compiler.plan_io import sha256_of_file
from wsec.runtime.comparison import QUANTUM, Comparison, compare, compare_values, narrowest_float
from wsec.runtime.executor import Executor
from wsec.runtime.inputs import as_held, make_inputs
from wsec.runtime.lowered_model import LoweredModel
from wsec.runtime.second_opinion import second_opinion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from wsec.compiler.plan import Kernel, Plan
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.element_types import Array
    from wsec.runtime.executor import Observer

_UNREADABLE = (
    "tensor(bfloat16)"  # a model of it may load and run, but numpy and onnxruntime do not exchange it
)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first kernel whose result differs from what the lowered model says.

    Attributes:
        kernel: Its name.
        operators: The nodes that it computes.
        comparison: Of the tensor that it made.
    """

    kernel: str
    operators: tuple[str, ...]
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a plan computes what its model says.

    Attributes:
        outputs: One comparison for each output of the model.
        passed: All of them are within their tolerance.
        divergence: Where the numbers part; None where they do not, or where lowering changed them and no kernel did.
        explanation: The same in a sentence; empty where all is well.
        executor_seconds: Time of executing the shards.
        onnxruntime_seconds: Time of one run of onnxruntime, after a first one.
        ratio: The one over the other.
        deviations: Why the reference of ONNX computed some operators of the original; empty where onnxruntime did.
    """

    outputs: tuple[Comparison, ...]
    passed: bool
    divergence: Divergence | None
    explanation: str
    executor_seconds: float
    onnxruntime_seconds: float
    ratio: float
    deviations: tuple[str, ...] = ()


def verify(
    loaded: LoadedPlan,
    inputs: Mapping[str, Array] | None = None,
    *,
    original: Path | None = None,
    seed: int = 0,
    observe: Observer | None = None,
) -> Verification:
    """Execute the plan and compare its outputs with those of the original model.

    Args:
        loaded: The plan.
        inputs: Every input by name; made from `seed` where none are given.
        original: The original model, if it is not in the plan folder.
        seed: Of the inputs.
        observe: Called with the name and the value of every kernel's outputs, in the order of execution.

    Raises:
        WsecError: WSEC562 the model is not the one that the plan was made from, WSEC566 onnxruntime cannot run it, and
            what `execute` raises.
    """
    path = loaded.original_path if original is None else original
    check_digest(loaded.plan, path)
    executor = Executor(loaded)
    given = make_inputs(loaded.plan, seed) if inputs is None else inputs
    started = time.perf_counter()
    found = executor.run(given, observe)
    executor_seconds = time.perf_counter() - started
    held = {value.name: as_held(value, given[value.name]) for value in loaded.plan.inputs}
    expected, onnxruntime_seconds, reasons = _run_original(loaded.plan, path, held)
    narrow = narrowest_of(loaded.plan)
    outputs = _compare_all(found, expected, narrow)
    if not reasons and not all(output.passed for output in outputs):
        expected, reasons = _second_opinion(path, held, expected)
        outputs = _compare_all(found, expected, narrow)
    passed = all(output.passed for output in outputs)
    divergence, deviations = (None, ()) if passed else _search(loaded, given)
    return Verification(
        outputs=outputs,
        passed=passed,
        divergence=divergence,
        explanation="" if passed else _explain(divergence, deviations),
        executor_seconds=executor_seconds,
        onnxruntime_seconds=onnxruntime_seconds,
        ratio=executor_seconds / onnxruntime_seconds,
        deviations=reasons,
    )


def narrowest_of(plan: Plan) -> str:
    """The least exact floating type that any kernel computes in; empty where there is none."""
    return narrowest_float(dtype for kernel in plan.kernels() for dtype in _dtypes(kernel))


def _compare_all(
    found: Mapping[str, Array], expected: Mapping[str, Array], narrow: str
) -> tuple[Comparison, ...]:
    return tuple(compare_values(name, found[name], expected[name], narrow) for name in found)


def find_divergence(loaded: LoadedPlan, inputs: Mapping[str, Array]) -> Divergence | None:
    """The first kernel, in the order of execution, whose result is not what the nodes of the lowered model give.

    Raises:
        WsecError: WSEC566 onnxruntime cannot run a node, and what `execute` raises.
    """
    return _search(loaded, inputs)[0]


def _search(loaded: LoadedPlan, inputs: Mapping[str, Array]) -> tuple[Divergence | None, tuple[str, ...]]:
    """The divergence, and why nodes up to there were not left to onnxruntime."""
    model = LoweredModel(loaded.lowered_path)
    held = {value.name: as_held(value, inputs[value.name]) for value in loaded.plan.inputs}
    reference = _Reference(model, held)
    kernels = {item.tensor: kernel for kernel in loaded.plan.kernels() for item in kernel.outputs}

    def observe(name: str, value: Array) -> None:
        narrow = narrowest_float(_dtypes(kernels[name]))
        comparison = compare(name, value.reshape(-1), reference.value(name).reshape(-1), narrow)
        if not comparison.passed:
            raise _DivergedError(_divergence(kernels[name], comparison))

    try:
        Executor(loaded).run(inputs, observe)
    except _DivergedError as diverged:
        return diverged.divergence, model.sessions.deviations()
    return None, model.sessions.deviations()


def _dtypes(kernel: Kernel) -> Iterator[str]:
    """Element types in which a kernel computes."""
    yield from (item.dtype for item in kernel.inputs)
    yield from (item.dtype for item in kernel.outputs)
    yield from (step.dtype for step in kernel.chain)
    if _rounds_to_a_byte(kernel):
        yield QUANTUM


def _rounds_to_a_byte(kernel: Kernel) -> bool:
    """Whether the kernel quantises its result: by a scale of its own, or by steps of its chain."""
    if any(item.role == "y_scale" for item in kernel.inputs):
        return True
    rounds = any(step.operator == "Round" for step in kernel.chain)
    return rounds and any(step.dtype in {"int8", "uint8"} for step in kernel.chain)


class _DivergedError(Exception):
    """Ends an execution whose rest does not matter."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.kernel)
        self.divergence = divergence


class _Reference:
    """Values of the lowered model, computed node by node as far as they are asked for."""

    def __init__(self, model: LoweredModel, inputs: Mapping[str, Array]) -> None:
        self._model = model
        self._values = dict(inputs)
        self._pending = model.node_names()

    def value(self, name: str) -> Array:
        """The value of that name; all nodes up to its own are computed."""
        while name not in self._values:
            node = next(self._pending, None)
            if node is None:
                raise cannot_run("the lowered model", f"no node computes {name}")
            self._compute(node)
        return self._values[name]

    def _compute(self, node: str) -> None:
        operands, _ = self._model.signature(node)
        given = {name: self._operand(name) for name in operands}
        try:
            self._values.update(self._model.run_node(node, given))
        except SESSION_ERRORS as error:
            raise cannot_run(f"node {node} of the lowered model", str(error)) from error

    def _operand(self, name: str) -> Array:
        if self._model.is_initializer(name):
            return self._model.constant(name)
        if name not in self._values:
            raise cannot_run("the lowered model", f"{name} is read before it is computed")
        return self._values[name]


def _divergence(kernel: Kernel, comparison: Comparison) -> Divergence:
    return Divergence(kernel.name, kernel.operators, comparison)


def _explain(divergence: Divergence | None, deviations: tuple[str, ...]) -> str:
    if divergence is None and deviations:
        reasons = "; ".join(deviations)
        return f"every kernel computes what the standard says, onnxruntime may not: {reasons}; or a pass changed the numbers"
    if divergence is None:
        return "every kernel computes what the lowered model says: a pass changed the numbers"
    nodes = ", ".join(divergence.operators)
    error = divergence.comparison.max_relative_error
    return f"kernel {divergence.kernel} ({nodes}) is the first that differs, by {error:.2g} of the range of its result"


def check_digest(plan: Plan, path: Path) -> None:
    """Refuse another model than the plan was made from.

    Raises:
        WsecError: WSEC562 it is another one.
    """
    found = sha256_of_file(path)
    if found != plan.model_sha256:
        raise WsecError(
            code="WSEC562",
            what="the model is not the one that the plan was made from",
            where=str(path),
            expected=f"sha256 {plan.model_sha256}",
            found=f"sha256 {found}",
            hint="compile the model again, or put the model back that was compiled",
        )


def _run_original(
    plan: Plan, path: Path, inputs: Mapping[str, Array]
) -> tuple[dict[str, Array], float, tuple[str, ...]]:
    """The outputs of the original model, the seconds of a second run, and why nodes of it ran one by one, if they did.

    What onnxruntime's CPU build has not (bfloat16, some operators of float64) runs through `onnx.reference`, as the notes
    of the plan say of each such operator.
    """
    names = [value.name for value in plan.outputs]
    try:
        run = original_runner(path, names)
        run(inputs)
        started = time.perf_counter()
        results = run(inputs)
        seconds = time.perf_counter() - started
    except SESSION_ERRORS as error:
        return _by_nodes(path, inputs, names, error)
    return dict(zip(names, results, strict=True)), seconds, ()


def _by_nodes(
    path: Path, inputs: Mapping[str, Array], names: list[str], refusal: Exception
) -> tuple[dict[str, Array], float, tuple[str, ...]]:
    """The same where onnxruntime refuses the model for an operator that it is known to lack: node by node."""
    started = time.perf_counter()
    try:
        found = second_opinion(path, inputs, names)
    except SESSION_ERRORS as error:
        raise cannot_run(str(path), str(error)) from error
    if found is None:
        raise cannot_run(str(path), str(refusal)) from refusal
    outputs, reasons = found
    return outputs, time.perf_counter() - started, reasons


def _second_opinion(
    path: Path, inputs: Mapping[str, Array], first: dict[str, Array]
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The outputs without what onnxruntime is known to compute otherwise, and why; the first ones where there is nothing."""
    try:
        return second_opinion(path, inputs, list(first)) or (first, ())
    except SESSION_ERRORS as error:
        raise cannot_run(str(path), str(error)) from error


def original_runner(path: Path, names: list[str]) -> Callable[[Mapping[str, Array]], list[Array]]:
    """Onnxruntime on the model in the file `path`, or else the reference of ONNX.

    Raises:
        SESSION_ERRORS: Neither can load it.
    """
    try:
        session, limit = original_session(path)
    except SESSION_ERRORS as error:
        if is_contradiction(error):
            raise
        model = onnx.load(path)
        if [value.name for value in model.graph.output] != names:
            raise
        return make_node_runner(model).run
    if any(value.type == _UNREADABLE for value in (*session.get_inputs(), *session.get_outputs())):
        model = onnx.load(path)
        if [value.name for value in model.graph.output] == names:
            return make_node_runner(model).run
    return lambda inputs: run_session(session, inputs, names, limit_seconds=limit)


def lenient_runner(path: Path, names: list[str]) -> Callable[[Mapping[str, Array]], list[Array]]:
    """The same, and node by node where onnxruntime refuses the model for an operator that it is known to lack.

    Raises:
        SESSION_ERRORS: Nothing can load it.
    """
    lacking = bool(deviations(onnx.load(path, load_external_data=False).graph.node))
    whole: Callable[[Mapping[str, Array]], list[Array]] | None = None
    try:
        whole = original_runner(path, names)
    except SESSION_ERRORS:
        if not lacking:
            raise

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        if whole is not None:
            try:
                return whole(inputs)
            except SESSION_ERRORS:
                if not lacking:
                    raise
        found = second_opinion(path, inputs, names)
        if found is None:
            raise cannot_run(str(path), "an operator gives something else than tensors")
        return [found[0][name] for name in names]

    return run


def cannot_run(where: str, message: str) -> WsecError:
    """The error for a model that onnxruntime refuses."""
    return WsecError(
        code="WSEC566",
        what="onnxruntime cannot run what the plan is compared with",
        where=where,
        found=message,
        hint="check the inputs; the plan can be run without being compared",
    )
