"""The weights of a model by the precision in which cores keep them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wsec.compiler.ledger.structure import Operator, Structure, Tensor

_CONTRIB: Final = "com.microsoft"
MXFP4: Final = "MXFP4 blocks"
_NAMES: Final = {
    ir.DataType.FLOAT: "fp32",
    ir.DataType.FLOAT16: "fp16",
    ir.DataType.BFLOAT16: "bf16",
    ir.DataType.DOUBLE: "fp64",
    ir.DataType.UINT8: "int8",
    ir.DataType.UINT4: "int4",
    ir.DataType.FLOAT4E2M1: "fp4",
}
_BLOCK_OPERANDS: Final = {"MatMulNBits": ((1, (2, 3)),), "QMoE": ((2, (3, 11)), (5, (6, 12)), (8, (9, 13)))}
"""Operators of com.microsoft with weights in blocks: where their codes stand, and scales and zero points of these."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Weights of one precision.

    Attributes:
        name: Such as `fp16`, `int4 blocks` or `MXFP4 blocks`.
        tensors: How many, scales and zero points not counted.
        elements: Weights in them.
        bytes: Of them, their scales and zero points included.
    """

    name: str
    tensors: int
    elements: int
    bytes: int

    @property
    def bits(self) -> float:
        """Of a weight, its share of scales and zero points included."""
        return 8 * self.bytes / self.elements if self.elements else 0.0


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A weight as cores keep it: its precision, how many weights it holds, none for scales, and its bytes."""

    precision: str
    elements: int
    bytes: int


def stored_weights(structure: Structure) -> dict[str, StoredWeight]:
    """Every weight that an operator reads, by name.

    One that only casts read is counted in the narrower of its two types, as passes may cast it ahead; of one that only
    operators on constants read no more is counted than `_kept_of_constants`.
    """
    readers: dict[str, list[Operator]] = defaultdict(list)
    for operator in structure.operators:
        for name in dict.fromkeys(operator.inputs):
            if name in structure.weights:
                readers[name].append(operator)
    blocks = dict(_in_blocks(structure))
    kept = _kept_of_constants(structure)
    return {
        name: _at_most(blocks.get(name) or _plain(structure.weights[name], of_weight), kept.get(name))
        for name, of_weight in readers.items()
    }


def _at_most(weight: StoredWeight, kept: int | None) -> StoredWeight:
    """The part of a weight that a plan must hold at the least."""
    if kept is None or kept >= weight.bytes:
        return weight
    return replace(weight, elements=weight.elements * kept // weight.bytes, bytes=kept)


def _kept_of_constants(structure: Structure) -> dict[str, int]:
    """Bytes that a plan keeps at the least of each weight that only operators on constants read, whose results passes may fold.

    Of constants and what becomes of them a plan keeps at least one on every way from a weight to an operator that computes: no
    less than any flow along these ways in which a tensor passes no more than its bytes. This is one such flow, from the last
    operator back, the first operands first. A result of unknown shape passes all.
    """
    sizes: dict[str, float] = {name: tensor.bytes for name, tensor in structure.weights.items()}
    constant: list[Operator] = []
    passed: dict[str, float] = {}
    for operator in structure.operators:
        given = [name for name in operator.inputs if name]
        if given and all(name in sizes for name in given):
            constant.append(operator)
            for name in operator.outputs:
                tensor = structure.tensors.get(name)
                sizes[name] = math.inf if tensor is None else tensor.bytes
        else:
            passed |= {name: sizes[name] for name in given if name in sizes}
    for operator in reversed(constant):
        left = sum(passed.get(name, 0) for name in operator.outputs)
        for name in dict.fromkeys(name for name in operator.inputs if name):
            share = min(left, sizes[name] - passed.get(name, 0)) if sizes[name] < math.inf else left
            passed[name] = passed.get(name, 0) + share
            left -= share if share < math.inf else 0
    folded = {name for operator in constant for name in operator.inputs if name in structure.weights}
    return {name: int(min(passed.get(name, 0), sizes[name])) for name in folded}


def by_precision(weights: Iterable[StoredWeight]) -> tuple[Precision, ...]:
    """The weights summed, the precision with most bytes first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for weight in weights:
        if not weight.bytes:
            continue  # empty, or read for its shape alone
        entry = sums[weight.precision]
        entry[0] += weight.elements > 0
        entry[1] += weight.elements
        entry[2] += weight.bytes
    found = [Precision(name, *entry) for name, entry in sums.items()]
    return tuple(sorted(found, key=lambda each: (-each.bytes, each.name)))


def _plain(tensor: Tensor, readers: Iterable[Operator]) -> StoredWeight:
    casts = {ir.DataType(each.numbers.get("to", 0)) if each.is_a("Cast") else None for each in readers}
    dtype = tensor.dtype
    if len(casts) == 1:
        cast = casts.pop()
        if cast is not None and 0 < cast.bitwidth < dtype.bitwidth:
            dtype = cast
    name = _NAMES.get(dtype, dtype.name.lower())
    return StoredWeight(name, tensor.elements, -(-tensor.elements * dtype.bitwidth // 8))


def _in_blocks(structure: Structure) -> Iterator[tuple[str, StoredWeight]]:
    """Weights in blocks with their scales and zero points."""
    for operator in structure.operators:
        if operator.is_a("DequantizeLinear"):
            yield from _dequantised(operator, structure.weights)
        elif operator.domain == _CONTRIB and operator.kind in _BLOCK_OPERANDS:
            bits = operator.numbers.get("bits", operator.numbers.get("expert_weight_bits", 4))
            name = MXFP4 if operator.texts.get("quant_type") == "fp4" else f"int{bits} blocks"
            for codes, further in _BLOCK_OPERANDS[operator.kind]:
                packed = structure.weights.get(operator.input(codes))
                if packed is not None:
                    elements = (
                        packed.elements * packed.dtype.bitwidth // bits if bits > 0 else packed.elements
                    )
                    yield operator.input(codes), StoredWeight(name, elements, packed.bytes)
                    yield from _scales(name, (operator.input(index) for index in further), structure.weights)


def _dequantised(operator: Operator, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, StoredWeight]]:
    codes, scale = weights.get(operator.input(0)), weights.get(operator.input(1))
    if codes is None or scale is None:
        return
    name = _NAMES.get(codes.dtype, codes.dtype.name.lower())
    if operator.numbers.get("block_size", 0):
        micro = codes.dtype == ir.DataType.FLOAT4E2M1 and scale.dtype == ir.DataType.FLOAT8E8M0
        name = MXFP4 if micro else f"{name} blocks"
    yield operator.input(0), StoredWeight(name, codes.elements, codes.bytes)
    yield from _scales(name, operator.inputs[1:3], weights)


def _scales(
    precision: str, names: Iterable[str], weights: Mapping[str, Tensor]
) -> Iterator[tuple[str, StoredWeight]]:
    for name in names:
        if name in weights:
            yield name, StoredWeight(precision, 0, weights[name].bytes)
