"""Target files among the examples load, and are what their comments say."""

from __future__ import annotations

from pathlib import Path

from wsec.compiler.target import load_target

TARGETS = Path(__file__).parents[2] / "examples" / "targets"


def test_the_mesh_of_accelerators_is_as_schedulers_are_compared_on() -> None:
    """1,024 MAC a cycle, 1 MB, links of 24 bytes a cycle; parts of it by region."""
    target = load_target(str(TARGETS / "mesh_npu.toml"))
    assert target.core.lanes["float32"] == 1024
    assert target.core.sram_bytes == 1 << 20
    assert target.fabric.link_words_per_cycle * target.fabric.word_bytes == 24
    assert target.with_region(4, 4).grid.cores == 16
    assert target.external_memory is not None
