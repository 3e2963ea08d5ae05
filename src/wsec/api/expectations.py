"""The plan checker's part of a kernel: what a node asks of it; docs/writing-kernels.md shows how."""

from __future__ import annotations

from wsec.compiler.plan_checker.expectation import (
    Expectation,
    Loop,
    Operand,
    Read,
    aligned,
    along,
    broadcast,
    output_loops,
    strided,
    whole,
)
from wsec.compiler.plan_checker.kinds.registry import Kind
from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts, TensorFacts

__all__ = [
    "Expectation",
    "Kind",
    "Loop",
    "ModelFacts",
    "Operand",
    "OperatorFacts",
    "Read",
    "TensorFacts",
    "aligned",
    "along",
    "broadcast",
    "output_loops",
    "strided",
    "whole",
]
