"""What the plan of a decoder keeps on its cores that the plan of its prefill can use: which weights are the same, and where they lie.

Weights are the same where their contents are. Two that a model declares in one place of one file are not read for that, nor are
absent ones, which are the same where name, type and shape are, and the place in their files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.cost.resharding_layouts import LaidTensor
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wsec.compiler.plan import Kernel, KernelInput, Plan, Value


@dataclass(frozen=True, slots=True)
class Held:
    """A weight or state of the decoder, on one of its kernels.

    Attributes:
        tensor: Its name in the decoder's lowered model.
        dtype: Element type in numpy's words.
        kernel: That holds it.
        wafer: Of that kernel.
        laid: How it lies there.
    """

    tensor: str
    dtype: str
    kernel: str
    wafer: int
    laid: LaidTensor


@dataclass(frozen=True, slots=True)
class Residents:
    """What a prefill finds on the wafers of a decoder.

    Attributes:
        plan_sha256: Digest of the decoder's plan.json.
        weights: By the name in the prefill's lowered model: where the same weight lies, each kernel that holds it.
        caches: By the name of the prefill's output: the decoder's state that it becomes.
        resident_bytes: Of each wafer, weights and states on the fullest core.
        working_bytes: Of each wafer, what a core works with beside them while the decoder runs, at most.
    """

    plan_sha256: str
    weights: Mapping[str, tuple[Held, ...]]
    caches: Mapping[str, Held]
    resident_bytes: tuple[int, ...]
    working_bytes: tuple[int, ...]


def residents_of(decoder: Plan, plan_sha256: str, models: tuple[ir.Model, ir.Model], name: str) -> Residents:
    """What the lowered prefill, the second of `models`, shares with the lowered decoder, the first.

    Args:
        decoder: Its plan.
        plan_sha256: The digest of that.
        models: Both lowered models.
        name: Of the prefill, for messages.

    Raises:
        WsecError: WSEC153 they share nothing, WSEC154 a cache of the one is another in the other, or the prefill reads caches, WSEC155 the weights of the
            decoder do not stay.
    """
    _check_stays(decoder)
    _check_reads_no_cache(decoder, models[1], name)
    held: dict[str, list[Held]] = {}
    states: dict[str, Held] = {}
    for wafer, kernel, entry in _resident_inputs(decoder):
        if kernel.rotation is not None and entry.role in kernel.rotation.placed:
            continue  # it lies where a product by shifts needs it first, not where its sharding says
        found = Held(
            entry.tensor,
            entry.dtype,
            kernel.name,
            wafer,
            LaidTensor(entry.sharding, kernel.mesh, kernel.rectangle),
        )
        if entry.state:
            states[entry.tensor] = found
        else:
            held.setdefault(entry.tensor, []).append(found)
    same = equal_weights(*models)
    weights = {tensor: tuple(held[other]) for tensor, other in same.items() if other in held}
    outputs = {value.name or "": value for value in models[1].graph.outputs}
    caches = {state.output: states[state.input] for state in decoder.states if state.output in outputs}
    if not weights and not caches:
        raise _nothing_shared(decoder, name, models)
    for output, state in caches.items():
        _check_cache(outputs[output], state, {value.name: value for value in decoder.inputs}[state.tensor])
    resident, working = zip(
        *(_bytes_of(decoder, number) for number in range(len(decoder.wafers))), strict=True
    )
    return Residents(plan_sha256, weights, caches, resident, working)


def _resident_inputs(plan: Plan) -> Iterator[tuple[int, Kernel, KernelInput]]:
    for number, wafer in enumerate(plan.wafers):
        for kernel in wafer.kernels():
            for entry in kernel.inputs:
                if entry.resident:
                    yield number, kernel, entry


def _bytes_of(plan: Plan, number: int) -> tuple[int, int]:
    """Of one wafer: bytes that stay on its fullest core, and the most that a core works with beside them."""
    ledgers = [[kernel.memory for kernel in phase.kernels] for phase in plan.wafers[number].phases]
    every = [ledger for of_phase in ledgers for ledger in of_phase]
    if plan.wafers[number].mode == "sequential":  # rectangles share the first core
        resident = sum(ledger.weights + ledger.states for ledger in every)
        working = [sum(ledger.activations + ledger.buffers for ledger in of_phase) for of_phase in ledgers]
        return resident, max(working, default=0)
    resident = max((ledger.weights + ledger.states for ledger in every), default=0)
    total = max((ledger.total - ledger.code for ledger in every), default=0)
    return resident, total - resident


def equal_weights(decoder: ir.Model, prefill: ir.Model) -> dict[str, str]:
    """The weights of the decoder by those of the prefill that are the same; of several the one of the same name."""
    known = decoder.graph.initializers
    found: dict[str, str] = {}
    left: list[tuple[str, ir.TensorProtocol]] = []
    for name, value in prefill.graph.initializers.items():
        tensor, other = value.const_value, known[name].const_value if name in known else None
        if tensor is None:
            continue
        if other is not None and _same(tensor, other):
            found[name] = name
        elif not _no_values(tensor):
            left.append((name, tensor))
    return found | _of_other_names(left, known)


def _of_other_names(
    left: Sequence[tuple[str, ir.TensorProtocol]], known: Mapping[str, ir.Value]
) -> dict[str, str]:
    """Weights by the names of those of `known` that have the same contents."""
    by_form: dict[object, list[tuple[str, ir.TensorProtocol]]] = {}
    for name, value in known.items():
        if value.const_value is not None and not _no_values(value.const_value):
            by_form.setdefault(_form(value.const_value), []).append((name, value.const_value))
    digests: dict[str, str] = {}
    found: dict[str, str] = {}
    for name, tensor in left:
        for other_name, other in by_form.get(_form(tensor), ()):
            if other_name not in digests:
                digests[other_name] = _digest(other)
            if _digest(tensor) == digests[other_name]:
                found[name] = other_name
                break
    return found


def _no_values(tensor: ir.TensorProtocol) -> bool:
    """Whether nobody has given them; of a model that was read from a plan, whether their file is missing."""
    return is_absent(tensor) or (isinstance(tensor, ir.ExternalTensor) and not Path(tensor.path).is_file())


def _form(tensor: ir.TensorProtocol) -> tuple[ir.DataType, tuple[int, ...]]:
    return tensor.dtype, tuple(int(extent) for extent in tensor.shape.numpy())


def _same(one: ir.TensorProtocol, other: ir.TensorProtocol) -> bool:
    """Of two weights of one name."""
    if _form(one) != _form(other) or _no_values(one) != _no_values(other):
        return False
    if isinstance(one, ir.ExternalTensor) and isinstance(other, ir.ExternalTensor):
        places = (one.offset, one.length) == (other.offset, other.length)
        if _no_values(one):
            return places
        if places and Path(one.path).resolve() == Path(other.path).resolve():
            return True
    if _no_values(one):
        return False
    if isinstance(one, ir.StringTensor) or isinstance(other, ir.StringTensor):
        return _digest(one) == _digest(other)
    return bool(np.array_equal(_bytes(one), _bytes(other)))


def _bytes(tensor: ir.TensorProtocol) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(tensor.tobytes(), dtype=np.uint8)


def _digest(tensor: ir.TensorProtocol) -> str:
    if isinstance(tensor, ir.StringTensor):
        return hashlib.sha256(repr(list(tensor.string_data())).encode()).hexdigest()
    return hashlib.sha256(tensor.tobytes()).hexdigest()


def _check_stays(decoder: Plan) -> None:
    for number, wafer in enumerate(decoder.wafers):
        loads = [turn for turn, phase in enumerate(wafer.phases) if phase.load is not None]
        if wafer.mode != "streaming" and not loads:
            continue
        turns = (
            f"turns of which {len(loads)} load their weights for every sample, turn {loads[0]} first"
            if loads
            else ""
        )
        raise WsecError(
            "WSEC155",
            "the weights of the decoder do not stay on the cores, so that no prefill can share them",
            where=f"wafer {number} of the plan of {decoder.model}",
            expected="a decoder whose weights are resident: --mode sequential or pipelined",
            found=turns or "mode streaming, which loads weights for each phase",
            hint="compile the decoder in another mode, on more wafers, or the two models apart",
        )


def _check_cache(output: ir.Value, state: Held, past: Value) -> None:
    shape = None if output.shape is None else tuple(output.shape.numpy())
    dtype = "" if output.dtype is None else str(output.dtype.numpy())
    if (dtype, shape) == (past.dtype, past.extents):
        return
    raise WsecError(
        "WSEC154",
        "the cache that the prefill makes is not the one that the decoder reads",
        where=f"output {output.name} of the prefill, input {state.tensor} of the decoder",
        expected=f"{past.dtype} {_shown(past.extents)}",
        found=f"{dtype} {_shown(shape)}",
        hint="make both models for one context, batch and element type",
    )


def _check_reads_no_cache(decoder: Plan, prefill: ir.Model, name: str) -> None:
    """A decoder is no prefill: it begins with caches, not without."""
    inputs = {value.name for value in prefill.graph.inputs}
    read = [state.input for state in decoder.states if state.input in inputs]
    if read:
        raise WsecError(
            "WSEC154",
            "a prefill makes caches and reads none",
            where=f"input {read[0]} of {name}",
            expected="a model of the whole prompt, whose outputs are the caches",
            found=f"{len(read)} of {len(decoder.states)} states of the decoder among its inputs",
            hint="give the model that was exported for prompts; a decoder alone takes a prompt token by token",
        )


def _shown(shape: tuple[int, ...] | None) -> str:
    return "of no known shape" if shape is None else " x ".join(map(str, shape))


def _nothing_shared(decoder: Plan, name: str, models: tuple[ir.Model, ir.Model]) -> WsecError:
    of_decoder, of_prefill = (len(model.graph.initializers) for model in models)
    return WsecError(
        "WSEC153",
        "the prefill and the decoder have nothing in common",
        where=f"{name} beside {decoder.model}",
        expected="weights with equal contents, or outputs of the prefill that are updates of the decoder's states",
        found=f"{of_prefill:,} constants of the prefill, {of_decoder:,} of the decoder, none of them equal\n"
        f"{len(decoder.states)} states of the decoder, none of them made by the prefill",
        hint="export both from one checkpoint, or compile them apart",
    )
