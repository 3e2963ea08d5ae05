"""What a check finds out: figures of a plan, what is wrong with them, and the result over all models."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from wsec.compiler.errors import WsecError

FindingKind = Literal["interval", "latency", "memory", "split", "wafer", "utilisation", "numbers"]
"""What a regression is one of; `numbers`: the plan computes something else than onnxruntime."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared of a plan.

    Attributes:
        interval_cycles: Between two samples.
        latency_cycles: From the first word in to the last word out.
        memory_bytes: In use on the fullest core.
        sram_bytes: Of a core.
        split_share: Share of the arithmetic in kernels that can be cut, 0 to 1.
        wafer_share: Share of the operators that run on the wafer, 0 to 1; the others run on the host.
        utilisation: Cycles of arithmetic over cycles of all cores, 0 to 1.
        kernels: How many there are.
    """

    interval_cycles: int
    latency_cycles: int
    memory_bytes: int
    sram_bytes: int
    split_share: float
    wafer_share: float
    utilisation: float
    kernels: int

    @property
    def memory_share(self) -> float:
        """Of the fullest core."""
        return self.memory_bytes / self.sram_bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the executed plan gives the numbers of onnxruntime; `explanation` says where it does not."""

    passed: bool
    explanation: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What compiling a model came to, as the cache keeps it; `verdict` is None where the plan was not executed."""

    plan_format: int
    model_sha256: str
    figures: Figures
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A regression.

    Attributes:
        kind: Which figure.
        message: A sentence without full stop.
        expected: What would have passed.
        found: What was there.
    """

    kind: FindingKind
    message: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Of one model.

    Attributes:
        model: Its path, as it was given.
        figures: None where it could not be compiled.
        baseline: The figures that it was compared with, if any.
        verified: Whether its numbers are those of onnxruntime; None where that was not looked at.
        findings: Regressions.
        errors: Why it could not be compiled, verified or compared.
        notes: What one should know of the comparison.
        cached: Whether its plan was in the cache.
        seconds: Time that it took on this machine.
    """

    model: str
    figures: Figures | None = None
    baseline: Figures | None = None
    verified: bool | None = None
    findings: tuple[Finding, ...] = ()
    errors: tuple[WsecError, ...] = ()
    notes: tuple[str, ...] = ()
    cached: bool = False
    seconds: float = 0.0

    @property
    def status(self) -> CheckStatus:
        """Errors before regressions."""
        if self.errors:
            return CheckStatus.ERROR
        return CheckStatus.REGRESSION if self.findings else CheckStatus.PASSED


class CheckStatus(enum.IntEnum):
    """What a check comes to; also the exit status of `wsec check`."""

    PASSED = 0
    REGRESSION = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Of a check.

    Attributes:
        target: Name of the machine.
        models: In the order in which they were given.
        errors: What kept all of them from being checked, such as a baseline that is missing.
        warnings: What was left aside, such as a damaged entry of the cache.
        updated: The baseline that was written, empty if none was.
    """

    target: str
    models: tuple[ModelCheck, ...]
    errors: tuple[WsecError, ...] = ()
    warnings: tuple[WsecError, ...] = ()
    updated: str = ""

    @property
    def status(self) -> CheckStatus:
        """The worst of all models, or an error."""
        if self.errors:
            return CheckStatus.ERROR
        return max((model.status for model in self.models), default=CheckStatus.PASSED)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.status is CheckStatus.PASSED
