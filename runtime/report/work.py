"""Operations of a kernel, and where it stands under the roofs of its cores.

The roofline (Williams, Waterman and Patterson, CACM 52, 2009) of a core: operations a cycle, over operations for each
word that passes its ramp. One roof is the arithmetic of a core, the other its ramp. Arithmetic and words do not overlap on a
core, so that a kernel stays below the corner of the roofs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.compiler.sharding import Sharding
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """A kernel under the roofs.

    Attributes:
        operations: Of one sample, on all cores: multiply-adds, or elements computed.
        intensity: Operations of a core for each word through its ramp.
        performance: Operations of a core in a cycle.
        roof: The most that its lanes can do in a cycle.
    """

    operations: int
    intensity: float
    performance: float
    roof: float


def operations_of(kernel: Kernel) -> int:
    """Operations of one sample on all cores, from the shapes of the record.

    Products of matrices, convolutions and attention: multiply-adds. Every other kind: its results, each times the window
    that it is taken from; and for each fused step one operation for each result.
    """
    results = sum(_elements(output.sharding) for output in kernel.outputs)
    return _own_operations(kernel, results) + results * len(kernel.chain)


def roofline_point(kernel: Kernel, target: Target) -> RooflinePoint:
    """Where the kernel stands, with the cycles that the plan records for it."""
    cores = kernel.rectangle.width * kernel.rectangle.height
    of_core = operations_of(kernel) / cores
    words = (kernel.cycles.communication + kernel.cycles.transfer) * target.fabric.link_words_per_cycle
    dtype = kernel.inputs[0].dtype if kernel.inputs else "float32"
    return RooflinePoint(
        operations=operations_of(kernel),
        intensity=of_core / max(words, 1),
        performance=of_core / max(kernel.cycles.total, 1),
        roof=target.core.lanes.get(dtype, 1.0),
    )


def _own_operations(kernel: Kernel, results: int) -> int:
    extents = {entry.role: _extents(entry.sharding) for entry in kernel.inputs}
    if kernel.kind == "matmul" and extents.get("a"):
        return results * extents["a"][-1]
    if kernel.kind == "convolution" and len(extents.get("w", ())) > 2:
        return results * math.prod(extents["w"][2:])
    if kernel.kind == "transposed_convolution" and extents.get("x") and len(extents.get("w", ())) > 2:
        return math.prod(extents["x"]) * math.prod(extents["w"][2:])
    if kernel.kind == "attention":
        loops = _loops(kernel)
        scores = math.prod(extent for name, extent in loops.items() if name not in {"d", "n"})
        return scores * (loops.get("d", 0) + loops.get("n", 0))
    window = kernel.arguments.get("window")
    return results * (math.prod(int(each) for each in window) if isinstance(window, tuple) else 1)


def _loops(kernel: Kernel) -> dict[str, int]:
    """Extents of the loops of an attention, by the dimensions of its operands."""
    found: dict[str, int] = {}
    for entry in kernel.inputs:
        names = kernel.arguments.get(entry.role)
        if entry.role in {"q", "k", "v"} and isinstance(names, tuple):
            found |= zip(map(str, names), _extents(entry.sharding), strict=False)
    return found


def _extents(sharding: Sharding) -> tuple[int, ...]:
    return sharding.shape


def _elements(sharding: Sharding) -> int:
    return math.prod(_extents(sharding))
