"""Whether a model fits: what any plan of it must hold against what the cores have, and what follows from that.

Weights and KV cache lie on the wafers once at least, and no core gives them more than its SRAM less the code reserve and
the least of buffers. So `weights + KV cache <= wafers * cores * bytes a core` is necessary; a plan needs some more, for
blocks that are rounded up, copies, and activations. The KV cache grows in proportion to batch and context, which gives the
longest context and the largest batch in closed form.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.ledger.caches import cached_tensors
from wsec.compiler.ledger.weights import by_precision, stored_weights

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from wsec.compiler.ledger.caches import CachedTensor
    from wsec.compiler.ledger.structure import Structure
    from wsec.compiler.ledger.weights import Precision, StoredWeight
    from wsec.compiler.target import Target

_LARGEST: Final = 5  # operators that are named
_ELEMENTS_AT_WORK: Final = 2  # of each core: one that comes and one that goes


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What is asked: so many wafers, and a batch and context of the KV cache where not those of the model."""

    wafers: int | None = 1
    batch: int | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class OperatorBytes:
    """Weights and KV cache of an operator; a weight that several read is the first one's.

    Attributes:
        name: Of the node.
        kind: Of the operator.
        weights: Bytes.
        cache: Bytes for the batch and the context that are counted.
        cache_per_position: Of these, for a position of one sequence.
        cache_window: Of these, for one sequence, however long the context is.
    """

    name: str
    kind: str
    weights: int
    cache: int
    cache_per_position: int
    cache_window: int

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.weights + self.cache


@dataclass(frozen=True, slots=True)
class CacheLedger:
    """The KV cache.

    Attributes:
        tensors: Keys and values of all layers.
        batch: Sequences that are counted.
        context: Positions of each that are counted.
        model_batch: Sequences that the model is made for.
        model_context: Positions that it is made for.
        bytes_per_position: Of one position of one sequence, all layers together.
        window_bytes: Of one sequence, layers that keep fewer positions than others, however long the context is.
        bytes: Of all that is counted.
    """

    tensors: int
    batch: int
    context: int
    model_batch: int
    model_context: int
    bytes_per_position: int
    window_bytes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Streaming:
    """What leaving weights outside costs: one pass over them through the external memory's link, and whether they fit there."""

    possible: bool
    seconds: float
    bytes: int
    external_bytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory ledger of a model on a target.

    Attributes:
        fits: Whether what any plan must hold is at most what the wafers have.
        wafers: That were asked for; the smallest number where none were.
        cores: Of a wafer, or of the region of it.
        sram_bytes: Of a core.
        code_bytes: Of a core, kept for instructions.
        buffer_bytes: Of a core, the least that is at work.
        available_bytes: What all wafers have for weights and KV cache.
        required_bytes: Weights and KV cache.
        weights: By precision.
        weight_bytes: Of all.
        cache: The KV cache; None for a model without one.
        activation_bytes: What the operator that has most of it reads and gives, weights and KV cache apart, if held whole;
            for the batch that is counted.
        unknown_shapes: Results whose shape is not known, so that they are not among the activations.
        bytes_per_core: Required bytes, spread evenly over all cores.
        least_wafers: No plan that keeps all weights needs fewer.
        filled_wafers: Wafers that whole operators fill in the order in which they run, each on one; None where one alone is
            larger than a wafer.
        longest_context: With the batch, on the wafers; None without a KV cache.
        largest_batch: With the context; None without a KV cache.
        largest: The operators with most bytes.
        streaming: Weights outside; None where the target has no external memory.
        absent: Files of weights that do not exist.
        notes: What was assumed.
        unmet: What is wrong where it does not fit.
    """

    fits: bool
    wafers: int
    cores: int
    sram_bytes: int
    code_bytes: int
    buffer_bytes: int
    available_bytes: int
    required_bytes: int
    weights: tuple[Precision, ...]
    weight_bytes: int
    cache: CacheLedger | None
    activation_bytes: int
    unknown_shapes: int
    bytes_per_core: float
    least_wafers: int
    filled_wafers: int | None
    longest_context: int | None
    largest_batch: int | None
    largest: tuple[OperatorBytes, ...]
    streaming: Streaming | None
    absent: tuple[str, ...]
    notes: tuple[str, ...]
    unmet: WsecError | None


def fit(structure: Structure, target: Target, request: FitRequest) -> Fit:
    """The ledger of a model.

    Raises:
        WsecError: WSEC363 the target has no link between wafers, WSEC372 no such number of wafers, WSEC373 a batch or context
            for a model without a KV cache, or of none.
    """
    stored = stored_weights(structure)
    caches = cached_tensors(structure)
    cache = _cache_ledger(caches, request)
    factor = 1.0 if cache is None or not cache.model_batch else cache.batch / cache.model_batch
    operators = _operators(structure, stored, caches, cache)
    _check_wafers(request, target, operators)
    activations, unknown, narrowest = _activations(structure, _names_of(caches), factor)
    buffers = _ELEMENTS_AT_WORK * narrowest
    a_wafer = target.grid.cores * (target.core.data_bytes - buffers)
    weight_bytes = sum(weight.bytes for weight in stored.values())
    required = weight_bytes + (0 if cache is None else cache.bytes)
    least = max(1, -(-required // a_wafer))
    wafers = least if request.wafers is None else request.wafers
    largest = sorted(operators, key=lambda each: (-each.total, each.name))[:_LARGEST]
    free = wafers * a_wafer - weight_bytes
    found = Fit(
        fits=required <= wafers * a_wafer and (not largest or largest[0].total <= a_wafer),
        wafers=wafers,
        cores=target.grid.cores,
        sram_bytes=target.core.sram_bytes,
        code_bytes=target.core.code_reserve_bytes,
        buffer_bytes=buffers,
        available_bytes=wafers * a_wafer,
        required_bytes=required,
        weights=by_precision(stored.values()),
        weight_bytes=weight_bytes,
        cache=cache,
        activation_bytes=activations,
        unknown_shapes=unknown,
        bytes_per_core=required / (wafers * target.grid.cores),
        least_wafers=least,
        filled_wafers=_filled(operators, a_wafer),
        longest_context=None if cache is None else _longest_context(cache, operators, free, a_wafer),
        largest_batch=None if cache is None else _largest_batch(cache, operators, free, a_wafer),
        largest=tuple(largest),
        streaming=_streaming(target, weight_bytes),
        absent=structure.absent,
        notes=(*structure.notes, *_notes(cache)),
        unmet=None,
    )
    return found if found.fits else replace(found, unmet=_unmet(found, target, request))


def _cache_ledger(caches: Iterable[CachedTensor], request: FitRequest) -> CacheLedger | None:
    tensors = list(caches)
    asked = [(name, getattr(request, name)) for name in ("context", "batch")]
    for name, number in asked:
        if number is not None and (number < 1 or not tensors):
            raise WsecError(
                "WSEC373",
                f"there is no such {name} of a KV cache",
                where=f"--{name} {number}",
                expected="at least 1"
                if tensors
                else "a model with a KV cache: inputs of which outputs are the updates",
                found=f"{number}" if tensors else "no such input and output",
                hint="docs/fit.md says what counts as a KV cache",
            )
    if not tensors:
        return None
    context = max(each.context for each in tensors)
    batch = max(each.batch for each in tensors)
    per_position = sum(
        each.tensor.bytes // (each.batch * context) for each in tensors if each.context == context
    )
    windows = sum(each.tensor.bytes // each.batch for each in tensors if each.context < context)
    counted = request.batch or batch
    positions = request.context or context
    return CacheLedger(
        tensors=len(tensors),
        batch=counted,
        context=positions,
        model_batch=batch,
        model_context=context,
        bytes_per_position=per_position,
        window_bytes=windows,
        bytes=counted * (per_position * positions + windows),
    )


def _longest_context(cache: CacheLedger, operators: Iterable[OperatorBytes], free: int, a_wafer: int) -> int:
    """The last context for which all wafers together have room, and one wafer for each operator."""
    rooms = [(free, cache.bytes_per_position, cache.window_bytes)]
    rooms += [(a_wafer - each.weights, each.cache_per_position, each.cache_window) for each in operators]
    if any(room < 0 for room, _, _ in rooms):
        return 0
    return min(max(0, room // cache.batch - window) // size for room, size, window in rooms if size)


def _largest_batch(cache: CacheLedger, operators: Iterable[OperatorBytes], free: int, a_wafer: int) -> int:
    """The last batch, likewise."""
    rooms = [(free, cache.bytes_per_position, cache.window_bytes)]
    rooms += [(a_wafer - each.weights, each.cache_per_position, each.cache_window) for each in operators]
    if any(room < 0 for room, _, _ in rooms):
        return 0
    sizes = [(room, size * cache.context + window) for room, size, window in rooms]
    return min(room // size for room, size in sizes if size)


def _notes(cache: CacheLedger | None) -> tuple[str, ...]:
    if cache is None or (cache.batch, cache.context) == (cache.model_batch, cache.model_context):
        return ()
    made_for = f"batch {cache.model_batch:,} and context {cache.model_context:,}"
    counted = f"batch {cache.batch:,} and context {cache.context:,}"
    return (f"the model is made for {made_for}; its KV cache is counted for {counted}, in proportion",)


def _operators(
    structure: Structure,
    stored: Mapping[str, StoredWeight],
    caches: Iterable[CachedTensor],
    cache: CacheLedger | None,
) -> list[OperatorBytes]:
    """What each operator keeps, those that keep nothing left out."""
    growing: dict[str, int] = defaultdict(int)
    windows: dict[str, int] = defaultdict(int)
    for each in caches:
        per_sequence = each.tensor.bytes // each.batch
        if cache is not None and each.context == cache.model_context:
            growing[each.operator] += per_sequence // each.context
        else:
            windows[each.operator] += per_sequence
    batch, context = (0, 0) if cache is None else (cache.batch, cache.context)
    seen: set[str] = set()
    found = []
    for operator in structure.operators:
        weights = 0
        for name in operator.inputs:
            if name in stored and name not in seen:
                seen.add(name)
                weights += stored[name].bytes
        position, window = growing.get(operator.name, 0), windows.get(operator.name, 0)
        size = batch * (position * context + window)
        if weights or size:
            found.append(OperatorBytes(operator.name, operator.kind, weights, size, position, window))
    return found


def _names_of(caches: Iterable[CachedTensor]) -> set[str]:
    return {name for each in caches for name in (each.name, each.past) if name}


def _filled(operators: Iterable[OperatorBytes], a_wafer: int) -> int | None:
    wafers, used = 1, 0
    for operator in operators:
        if operator.total > a_wafer:
            return None
        used += operator.total
        if used > a_wafer:
            wafers, used = wafers + 1, operator.total
    return wafers


def _activations(structure: Structure, of_cache: Container[str], factor: float) -> tuple[int, int, int]:
    """Bytes of the operator with most of them, results of unknown shape, and bytes of the narrowest element at work."""
    most, unknown, narrowest = 0, 0, 4
    for operator in structure.operators:
        size = 0
        for name in dict.fromkeys((*operator.inputs, *operator.outputs)):
            tensor = structure.tensors.get(name)
            if not name or name in structure.weights or name in of_cache:
                continue
            if tensor is None:
                unknown += name in operator.outputs
                continue
            size += tensor.bytes
            if tensor.dtype.is_floating_point():
                narrowest = min(narrowest, max(1, tensor.dtype.bitwidth // 8))
        most = max(most, size)
    return int(most * factor), unknown, narrowest


def _streaming(target: Target, weight_bytes: int) -> Streaming | None:
    outside = target.external_memory
    if outside is None:
        return None
    return Streaming(
        possible=weight_bytes <= outside.bytes,
        seconds=8 * weight_bytes / outside.bits_per_second,
        bytes=weight_bytes,
        external_bytes=outside.bytes,
    )


def _check_wafers(request: FitRequest, target: Target, operators: list[OperatorBytes]) -> None:
    wafers = request.wafers
    if wafers is None or wafers == 1:
        return
    if not 1 <= wafers <= max(1, len(operators)):
        raise WsecError(
            "WSEC372",
            f"the model cannot be spread over {wafers:,} wafers",
            where=f"--wafers {wafers}",
            expected="at least 1 wafer, and no more than operators with weights or KV cache, of which there are "
            f"{len(operators):,}",
            found=f"{wafers:,}",
            hint="ask for another number, or for the least: --wafers auto",
        )
    if target.wafer_link is None:
        raise WsecError(
            "WSEC363",
            "the target has no link between wafers",
            where=f"target {target.name}",
            expected="a table [wafer_link] with seconds_per_hop and bits_per_second",
            found="none",
            hint="use one wafer, or a target with such a link; docs/targets.md describes the table",
        )


def _unmet(found: Fit, target: Target, request: FitRequest) -> WsecError:
    """What stands against it, with its numbers."""
    cores = (
        f"{found.wafers:,} x {found.cores:,} cores x {target.core.data_bytes - found.buffer_bytes:,} bytes"
    )
    room = f"{found.available_bytes:,} bytes ({cores})"
    cache = found.cache
    largest = found.largest[0]
    a_wafer = found.available_bytes // found.wafers
    if found.filled_wafers is None and largest.total > a_wafer:
        return WsecError(
            "WSEC374",
            "an operator is larger than a wafer",
            where=f"{largest.kind} {largest.name!r}",
            expected=f"weights + KV cache of an operator <= a wafer: at most {a_wafer:,} bytes",
            found=f"{largest.weights:,} + {largest.cache:,} = {largest.total:,} > {a_wafer:,} bytes",
            hint="use a larger region, or split the operator into smaller ones",
        )
    if cache is not None and found.weight_bytes < found.available_bytes:
        return WsecError(
            "WSEC371",
            "the context is longer than memory allows",
            where=f"context {cache.context:,}, batch {cache.batch:,}",
            expected=f"weights + KV cache <= memory: {found.required_bytes:,} <= {room}",
            found=f"{found.weight_bytes:,} of weights + {cache.bytes:,} of KV cache, "
            f"{found.required_bytes - found.available_bytes:,} bytes too many",
            hint=_hint_of_cache(found, cache, target, request),
        )
    return WsecError(
        "WSEC375",
        f"the model does not fit {found.wafers:,} wafer{'s' * (found.wafers > 1)}",
        where=f"target {target.name}, {target.grid.width} x {target.grid.height} cores",
        expected=f"weights + KV cache <= memory: {found.required_bytes:,} <= {room}",
        found=f"{found.required_bytes:,} > {found.available_bytes:,}, "
        f"{found.required_bytes - found.available_bytes:,} bytes too many",
        hint=_hint_of_wafers(found, target),
    )


def _hint_of_cache(found: Fit, cache: CacheLedger, target: Target, request: FitRequest) -> str:
    ways = []
    if found.longest_context:
        ways.append(f"--context {found.longest_context}")
    if found.largest_batch:
        ways.append(f"--batch {found.largest_batch}")
    if target.wafer_link is not None:
        ways.append(f"--wafers {found.least_wafers}")
    fixed = "; the model itself must then be made for it" if request.context or request.batch else ""
    if not ways:
        return f"a larger region; a position of a sequence needs {cache.bytes_per_position:,} bytes"
    return " or ".join(ways) + fixed


def _hint_of_wafers(found: Fit, target: Target) -> str:
    if target.wafer_link is None:
        return "use a larger region or target, or weights of fewer bits"
    return f"use at least --wafers {found.least_wafers}, or weights of fewer bits"
