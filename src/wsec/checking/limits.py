"""What a team demands of its models: limits on figures, and how far they may be from the baseline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.checking.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wsec.checking.records import Figures, FindingKind

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
SHARES: Mapping[str, FindingKind] = {"split": "split", "wafer": "wafer", "utilisation": "utilisation"}
"""What `--require` knows; each is a share of `Figures`."""

_ROUNDING = 1e-9  # of shares, which JSON keeps exactly; far below what is printed


@dataclass(frozen=True, slots=True)
class Limits:
    """What figures are held against.

    Attributes:
        growth: By which the interval and the latency may exceed those of the baseline, 0.02 for two hundredths.
        cycles: The most that the interval may have; None for any number.
        memory_share: Of the SRAM, on the fullest core; 1 for all of it.
        shares: The least that is required, by names of `SHARES`.
    """

    growth: float = 0.0
    cycles: int | None = None
    memory_share: float = 1.0
    shares: tuple[tuple[str, float], ...] = ()


def parse_cycles(text: str) -> float | int:
    """`+2%` over the baseline as 0.02, or a number of cycles as an integer.

    Raises:
        ValueError: It is neither.
    """
    growth = re.fullmatch(rf"\+({_NUMBER})\s*%", text)
    if growth:
        return float(growth[1]) / 100
    if re.fullmatch(r"[\d_,]{1,20}", text) and text.strip("_,"):
        return int(text.replace(",", "").replace("_", ""))
    raise ValueError(f"{text!r} is neither a growth such as +2% nor a number of cycles")


def parse_share(text: str) -> float:
    """`90%` as 0.9.

    Raises:
        ValueError: It is no share from 0 to 100 percent.
    """
    number = re.fullmatch(rf"({_NUMBER})\s*%", text)
    if number is None or float(number[1]) > 100:
        raise ValueError(f"{text!r} is not a share from 0% to 100%")
    return float(number[1]) / 100


def parse_requirement(text: str) -> tuple[str, float]:
    """`split=95%` as ("split", 0.95).

    Raises:
        ValueError: It is not a known name with a share.
    """
    name, equals, share = text.partition("=")
    if not equals or name not in SHARES:
        raise ValueError(f"{text!r} is not NAME=SHARE with a name of {', '.join(SHARES)}")
    return name, parse_share(share)


def regressions(figures: Figures, limits: Limits, baseline: Figures | None) -> Iterator[Finding]:
    """What is worse than it may be."""
    yield from _cycles(figures, limits, baseline)
    if figures.memory_share > limits.memory_share + _ROUNDING:
        yield Finding(
            "memory",
            "the fullest core is fuller than it may be",
            f"at most {limits.memory_share:.1%} of {figures.sram_bytes:,} bytes",
            f"{figures.memory_share:.1%}, {figures.memory_bytes:,} bytes",
        )
    for name, least in limits.shares:
        share = getattr(figures, f"{name}_share", None)
        value = figures.utilisation if share is None else share
        if value < least - _ROUNDING:
            yield Finding(
                SHARES[name], f"the share {name} is too small", f"at least {least:.2%}", f"{value:.2%}"
            )
    if baseline is not None and figures.split_share < baseline.split_share - 0.0005:  # as it is printed
        yield Finding(
            "split",
            "less of the arithmetic is split over cores than in the baseline",
            f"at least {baseline.split_share:.1%}",
            f"{figures.split_share:.1%}",
        )


def _cycles(figures: Figures, limits: Limits, baseline: Figures | None) -> Iterator[Finding]:
    if limits.cycles is not None and figures.interval_cycles > limits.cycles:
        yield Finding(
            "interval",
            "the interval has more cycles than it may",
            f"at most {limits.cycles:,} cycles",
            f"{figures.interval_cycles:,} cycles",
        )
    if baseline is None:
        return
    kinds: tuple[FindingKind, ...] = ("interval", "latency")
    for kind in kinds:
        older, newer = getattr(baseline, f"{kind}_cycles"), getattr(figures, f"{kind}_cycles")
        most = int(older * (1 + limits.growth) + _ROUNDING)
        if newer > most:
            growth = f"{newer / older - 1:+.2%}" if older else "from none"
            yield Finding(
                kind,
                f"the {kind} has grown by more than it may",
                f"at most {most:,} cycles, {limits.growth:+.2%} on {older:,}",
                f"{newer:,} cycles, {growth}",
            )
