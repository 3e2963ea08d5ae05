"""The one place that makes onnxruntime sessions, so that every number is produced under the same options.

One thread, no arena, no prepacking of weights and, unless asked for, no graph optimisation: a run is then
repeatable bit for bit and a model with large external weights needs no second copy of them in memory. A run of a model
that may never end is given a limit.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOOP_SECONDS = 120.0
"""What a run of a model with loops may take: nobody can tell of a condition that is computed whether it ever ends one."""


class StoppedError(Exception):
    """A run that was ended because it took longer than its limit."""


SESSION_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    StoppedError,
)
"""What onnxruntime raises for a model it cannot load or run."""

_NARROW_FLOATS = {
    "tensor(float8e4m3fn)": "float8_e4m3fn",
    "tensor(float8e4m3fnuz)": "float8_e4m3fnuz",
    "tensor(float8e5m2)": "float8_e5m2",
    "tensor(float8e5m2fnuz)": "float8_e5m2fnuz",
}
"""Types of onnxruntime, and what ml_dtypes calls them."""

_SILENT = 4
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def make_session(
    model: bytes | Path, *, optimise: bool = False, weights_folder: Path | None = None
) -> ort.InferenceSession:
    """A session on the CPU.

    Args:
        model: A serialised ModelProto, or the path of one; external data is looked up beside the path.
        weights_folder: Where the external data of a serialised model lie.
        optimise: Let onnxruntime rewrite the graph. Off, each node computes exactly what ONNX says it does.

    Raises:
        SESSION_ERRORS: onnxruntime cannot load the model.
    """
    ort.set_default_logger_severity(_SILENT)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = _SILENT
    options.add_session_config_entry("session.disable_prepacking", "1")
    if weights_folder is not None:
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(weights_folder))
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_session(
    session: ort.InferenceSession,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    outputs: Sequence[str] | None = None,
    *,
    limit_seconds: float | None = None,
) -> list[np.ndarray[Any, Any]]:
    """Run once; the results are in the order of `outputs` (all of them where none are named).

    Raises:
        SESSION_ERRORS: An input has the wrong name, type or shape, or an operator fails; `StoppedError` after
            `limit_seconds`.
    """
    names = None if outputs is None else list(outputs)
    try:
        results: list[np.ndarray[Any, Any]] = _run_limited(session, names, dict(inputs), limit_seconds)
    except RuntimeError as error:  # of the binding: an element type that it does not exchange with numpy
        if isinstance(error, SESSION_ERRORS):
            raise
        raise ort_errors.NotImplemented(str(error)) from error
    if any(isinstance(result, np.ndarray) and result.dtype == np.uint8 for result in results):
        kinds = {value.name: value.type for value in session.get_outputs()}
        names = list(kinds) if names is None else names
        return [_in_own_type(item, kinds[name]) for name, item in zip(names, results, strict=True)]
    return results


def _run_limited(
    session: ort.InferenceSession, names: list[str] | None, inputs: dict[str, Any], limit: float | None
) -> Any:
    """Run, and end the run between two of its nodes when its time is over."""
    if limit is None:
        return session.run(names, inputs)
    options = ort.RunOptions()
    options.log_severity_level = _SILENT
    clock = threading.Timer(limit, setattr, (options, "terminate", True))
    clock.daemon = True
    clock.start()
    try:
        return session.run(names, inputs, options)
    except ort_errors.Fail as error:
        if options.terminate:
            raise StoppedError(f"stopped after {limit:g} seconds: a loop that may never end") from error
        raise
    finally:
        clock.cancel()


def _in_own_type(result: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """The binding gives the bytes of an 8-bit float where numpy has no such type; ml_dtypes has."""
    own = getattr(ml_dtypes, _NARROW_FLOATS.get(kind, ""), None)
    return result if own is None else result.view(own)


def operators_of_onnxruntime() -> tuple[list[Any], frozenset[tuple[str, str]]]:
    """The schemas that onnxruntime knows, and which operators, by domain and name, its CPU build has code for."""
    implemented = frozenset(
        (kernel.domain, kernel.op_name)
        for kernel in ort_errors.get_all_opkernel_def()
        if kernel.provider == "CPUExecutionProvider"
    )
    return list(ort_errors.get_all_operator_schema()), implemented
