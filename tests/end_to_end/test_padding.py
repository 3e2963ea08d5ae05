"""Pad in every mode, on any region, against onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operator_models import OperatorModel

import wsec

if TYPE_CHECKING:
    import pytest


@settings(max_examples=40)
@given(data=st.data())
def test_any_padding_on_any_region(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Mirror images, edges and wrapped ends are brought to the blocks that show them, however they are cut."""
    draw = data.draw
    mode = draw(st.sampled_from(["reflect", "edge", "wrap", "constant"]))
    shape = tuple(draw(st.lists(st.integers(1, 24), min_size=1, max_size=3)))
    pads = [draw(st.integers(0, min(extent - 1, 9))) for extent in (*shape, *shape)]
    assume(any(pads))
    model = OperatorModel("Pad", [shape, np.array(pads, dtype=np.int64)], {"mode": mode})
    path = model.save(tmp_path_factory.mktemp("pad") / "pad.onnx")
    region = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    plan = wsec.compile(path, target="mesh16", region=region, effort=0)
    assert {kernel.kind for kernel in plan.record.kernels()} == {"pad"}
    assert plan.check() == ()
    assert plan.verify().passed
