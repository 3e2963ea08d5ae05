"""What a kind of kernel is to the compiler; a module of its own, so that other packages' kinds need not import wsec's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.kernels.operator_view import OperatorView

    Maker = Callable[[OperatorView], LoopNest]


@dataclass(frozen=True, slots=True)
class KernelKind:
    """A kind of kernel: its name in the plan, its operators, and what makes a loop nest of a node.

    Operators are named `domain.Name`, those of `ai.onnx` by the name alone. The maker raises `Unsplittable`, with the
    reason, for a node that it cannot cut.
    """

    name: str
    operators: tuple[str, ...]
    maker: Maker
