"""Weights cut into blocks along their inputs: 4 or 8 bit integers with a scale, or MXFP4.

A weight is [..., N, K]: N outputs, K inputs; a block is `BLOCK` consecutive inputs of one output. Integers are
symmetric, value = code * scale. MXFP4 is the format of the OCP Microscaling specification 1.0: codes are e2m1
(magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6) and the scale is a power of two, e8m0, of the largest magnitude of the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import Final

    from numpy.typing import NDArray

BLOCK: Final = 32
INTEGER_BITS: Final = {"int4": 4, "int8": 8}
MXFP4: Final = "mxfp4"
PRECISIONS: Final = ("fp32", "fp16", "int8", "int4", MXFP4)
E2M1: Final = np.asarray([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)

_LARGEST_EXPONENT = 2  # of e2m1: 6 = 1.5 * 2^2
_BIAS = 127  # of e8m0


@dataclass(frozen=True, slots=True)
class Blocks:
    """Codes [..., N, K] and scales [..., N, K / block].

    Attributes:
        codes: Signed integers, or for MXFP4 the four bits of e2m1 (sign, two of exponent, one of mantissa) as uint8.
        scales: Of integers a float32; for MXFP4 the e8m0 byte.
    """

    codes: NDArray[Any]
    scales: NDArray[Any]

    @property
    def values(self) -> NDArray[np.float32]:
        """What codes and scales stand for, [..., N, K]."""
        if self.codes.dtype == np.uint8:
            magnitudes = E2M1[self.codes & 7]
            numbers = np.where(self.codes & 8, -magnitudes, magnitudes)
            factors = np.exp2(self.scales.astype(np.float32) - _BIAS)
        else:
            numbers, factors = self.codes.astype(np.float32), self.scales.astype(np.float32)
        values: NDArray[np.float32] = numbers * np.repeat(factors, BLOCK, axis=-1)
        return values


def quantize(weight: NDArray[np.float32], precision: str, scale_type: np.dtype[Any]) -> Blocks:
    """`weight` [..., N, K] in blocks; K is a multiple of `BLOCK`. The scales of integers are of `scale_type`."""
    blocks = weight.reshape(*weight.shape[:-1], -1, BLOCK)
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    codes: NDArray[Any]
    if precision == MXFP4:
        codes, scales = _mxfp4(blocks, largest)
    else:
        top = (1 << (INTEGER_BITS[precision] - 1)) - 1
        scales = np.maximum(largest / top, np.finfo(scale_type).tiny).astype(scale_type)
        codes = np.clip(np.rint(blocks / scales.astype(np.float32)), -top - 1, top).astype(np.int8)
    return Blocks(codes.reshape(weight.shape), scales[..., 0])


def _mxfp4(blocks: NDArray[np.float32], largest: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    exponent = np.floor(np.log2(np.maximum(largest, np.float32(2.0**-100)))) - _LARGEST_EXPONENT
    middles = (E2M1[1:] + E2M1[:-1]) / 2
    codes = np.searchsorted(middles, np.abs(blocks) * np.exp2(-exponent))
    signs = np.where(np.signbit(blocks), 8, 0)
    return (codes + signs).astype(np.uint8), (exponent + _BIAS).astype(np.uint8)


def pack_nibbles(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pairs of the last axis in one byte, the first in the low half."""
    nibbles = codes.astype(np.uint8) & 15
    packed: NDArray[np.uint8] = np.bitwise_or(nibbles[..., 0::2], nibbles[..., 1::2] << 4)
    return packed


def pack_unsigned(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Signed codes as MatMulNBits and QMoE store them: shifted by 2^(bits - 1), two of 4 bits in a byte."""
    shifted = (codes.astype(np.int16) + (1 << (bits - 1))).astype(np.uint8)
    return pack_nibbles(shifted) if bits == 4 else shifted
