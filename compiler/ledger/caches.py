"""The KV cache of a model: inputs of which outputs are the updates, as far as operators alone show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wsec.compiler.ledger.structure import Operator, Structure, Tensor

_PAST_OF_PRESENT: Final = {
    ("com.microsoft", "GroupQueryAttention"): {1: 3, 2: 4},
    ("com.microsoft", "MultiHeadAttention"): {1: 6, 2: 7},
    ("", "Attention"): {1: 4, 2: 5},
}
"""Operators that update a cache: their outputs, and the inputs that these update."""
_KEPT_BY: Final = {
    "Where": (1, 2),
    "ScatterElements": (0,),
    "ScatterND": (0,),
    "TensorScatter": (0,),
}
"""Operators of ai.onnx that write rows into a cache, and their inputs that may be the cache."""
_NAMED_PRESENT: Final = "present"  # by which exporters name outputs that are a cache, grown ones too
_RANK: Final = 4
_LONGEST_WAY: Final = 8  # operators from a cache to its update


@dataclass(frozen=True, slots=True)
class CachedTensor:
    """An output of the model that is the update of one of its inputs, or a cache that is written anew.

    Of four dimensions `[batch, heads, positions, size]`; of another number nothing is known of batch and positions.

    Attributes:
        name: Of the output.
        past: Of the input; empty where there is none.
        operator: Name of the operator that reads it.
        tensor: Type and shape of the update.
    """

    name: str
    past: str
    operator: str
    tensor: Tensor

    @property
    def batch(self) -> int:
        """Sequences."""
        return self.tensor.shape[0]

    @property
    def context(self) -> int:
        """Positions of each sequence."""
        return self.tensor.shape[2]


def cached_tensors(structure: Structure) -> tuple[CachedTensor, ...]:
    """The KV cache, in the order of the outputs."""
    producers = {name: operator for operator in structure.operators for name in operator.outputs if name}
    inputs = frozenset(structure.inputs)
    return tuple(_found(structure, producers, inputs))


def _found(
    structure: Structure, producers: Mapping[str, Operator], inputs: frozenset[str]
) -> Iterator[CachedTensor]:
    for name in structure.outputs:
        operator = producers.get(name)
        if operator is None:
            continue
        past = _past(name, operator, producers, inputs)
        if past is None and name.startswith(_NAMED_PRESENT):
            past = ""
        tensor = structure.tensors.get(name) or (structure.tensors.get(past) if past else None)
        if past is not None and tensor is not None and len(tensor.shape) == _RANK and tensor.elements:
            yield CachedTensor(name, past, operator.name, tensor)


def _past(
    name: str, operator: Operator, producers: Mapping[str, Operator], inputs: frozenset[str]
) -> str | None:
    """The input that `name` updates; empty where an attention writes a cache that it does not read; None for no cache."""
    slots = _PAST_OF_PRESENT.get((operator.domain, operator.kind))
    if slots is not None:
        slot = slots.get(operator.outputs.index(name))
        return None if slot is None else operator.input(slot) if operator.input(slot) in inputs else ""
    current: Operator | None = operator
    for _ in range(_LONGEST_WAY):
        if not _writes(current):
            return None
        above = [current.input(index) for index in _KEPT_BY[current.kind] if current.input(index)]
        found = next((each for each in above if each in inputs), None)
        if found is not None:
            return found
        current = next((producers[each] for each in above if _writes(producers.get(each))), None)
    return None


def _writes(operator: Operator | None) -> TypeGuard[Operator]:
    return operator is not None and operator.domain == "" and operator.kind in _KEPT_BY
