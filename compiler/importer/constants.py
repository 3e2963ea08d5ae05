"""Constant nodes become initializers: one way for a constant to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes.common import LiftConstantsToInitializersPass

if TYPE_CHECKING:
    import onnx_ir as ir


def lift_constants(model: ir.Model) -> bool:
    """Turn every Constant node into an initializer of its graph; says whether there was one."""
    return LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model).modified
