"""What others published of language models on wafer-scale engines. Shown beside estimates, and never used in them.

A model is known by what a plan shows of it: layers, heads of keys, their size, and the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A published figure of decoding.

    Attributes:
        model: Name of the model.
        tokens_per_second: Of one user; a range where one was given; none where only wafers were.
        wafers: On how many; None where that was not published.
        machine: On which.
        conditions: What was measured.
        source: Who says so.
    """

    model: str
    tokens_per_second: tuple[int, ...]
    wafers: int | None
    machine: str
    conditions: str
    source: str


_LLAMA3_8B: Final = (32, 8, 128, 128256)
_LLAMA3_70B: Final = (80, 8, 128, 128256)
_GPT_OSS_120B: Final = (36, 8, 64, 201088)
_VENDOR: Final = "the vendor's inference service"

FIGURES: Final[dict[tuple[int, int, int, int], tuple[PublishedFigure, ...]]] = {
    _LLAMA3_8B: (
        PublishedFigure(
            "LLaMA3-8B",
            (2370,),
            1,
            "WSE-2",
            "end to end, 2,048 tokens in and 2,048 out",
            "WaferLLM, OSDI 2025, arXiv 2502.04563",
        ),
        PublishedFigure("Llama-3.1-8B", (1800,), 1, "WSE-3", "output tokens of one user", _VENDOR),
    ),
    _LLAMA3_70B: (PublishedFigure("Llama-3.1-70B", (), 4, "WSE-3", "wafers only", _VENDOR),),
    _GPT_OSS_120B: (
        PublishedFigure("gpt-oss-120b", (2000, 3000), None, "WSE-3", "output tokens of one user", _VENDOR),
    ),
}
"""By layers, heads of keys, elements of a head, vocabulary."""
