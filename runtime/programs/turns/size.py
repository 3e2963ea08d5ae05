"""What the simulation of a turn or a resharding would take, from the records alone, before anything is laid out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.size import bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Kernel, Link

_WORD_BYTES: Final = (
    12  # of core memory: in the image, in the simulator and read back; scratch words beside the blocks
)
_ROUTER_BYTES: Final = 350  # a position of a router
_POSITIONS: Final = 8  # of a router in the all-reduces of a turn, about
_FLAG_BYTES: Final = 8  # arrays of flags and places for each core and element of a resharding


def check_turn_size(kernels: Sequence[Kernel], limit_bytes: int) -> None:
    """Nothing, where a turn fits.

    Raises:
        WsecError: WSEC350 its simulation would take more memory than `limit_bytes`.
    """
    width, height = _extents(kernels)
    words = sum(
        math.prod(kernel.mesh.shape) * sharding.block_elements
        for kernel in kernels
        for sharding in (
            *(item.sharding for item in kernel.inputs),
            *(item.sharding for item in kernel.outputs),
        )
    )
    routers = _POSITIONS * width * height * any(kernel.collectives for kernel in kernels)
    size = _WORD_BYTES * words + _ROUTER_BYTES * routers
    if size > limit_bytes:
        raise _too_large(f"kernel {kernels[0].name}", (width, height), size, limit_bytes)


def check_resharding_size(link: Link, source: Kernel, target: Kernel, limit_bytes: int) -> None:
    """Nothing, where a resharding fits.

    Raises:
        WsecError: WSEC350 its simulation would take more memory than `limit_bytes`.
    """
    width, height = _extents((source, target))
    elements = max(1, math.prod(link.sharding.shape))
    size = width * height * (_FLAG_BYTES * elements + _ROUTER_BYTES * 3 * len(link.exchanges))
    if size > limit_bytes:
        raise _too_large(f"link {link.name}", (width, height), size, limit_bytes)


def _extents(kernels: Sequence[Kernel]) -> tuple[int, int]:
    return max(kernel.mesh.width for kernel in kernels), max(kernel.mesh.height for kernel in kernels)


def _too_large(where: str, cores: tuple[int, int], size: int, limit_bytes: int) -> WsecError:
    return WsecError(
        code="WSEC350",
        what="the simulation is too large",
        where=f"{where}, {cores[0]} x {cores[1]} cores",
        expected=f"at most {bytes_text(limit_bytes)}",
        found=bytes_text(size),
        hint="compile for a smaller region, or simulate a part of the model",
    )
