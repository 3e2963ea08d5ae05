"""Where a kernel stands under the roofs of its cores.

The roofline (Williams, Waterman and Patterson, CACM 52, 2009) of a core: operations a cycle, over operations for each
word that passes its ramp. One roof is the arithmetic of a core, the other its ramp. Arithmetic and words do not overlap on a
core, so that a kernel stays below the corner of the roofs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.runtime.operations import operations_of

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
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
