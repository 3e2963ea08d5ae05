"""The whole job on models made here: a plan that the checker accepts and whose shards give onnxruntime's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SMALL_MODELS, ModelMaker, residual_network

import wsec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGIONS = ((6, 5), (16, 16), (40, 23))


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: f"{region[0]}x{region[1]}")
@pytest.mark.parametrize("make", SMALL_MODELS, ids=lambda make: str(make.__name__))
def test_every_kind_of_kernel_on_small_and_odd_regions(
    make: Callable[[Path], Path], region: tuple[int, int], tmp_path: Path
) -> None:
    """Compiled for regions that divide nothing evenly, the plan is legal and equals onnxruntime."""
    plan = wsec.compile(make(tmp_path), target="mesh64", region=region, effort=0.1)
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification
    estimate = plan.estimate()
    assert plan.record.placement.interval >= plan.record.placement.interval_bound
    assert estimate.latency_cycles >= estimate.interval_cycles / max(
        link.slots for link in plan.record.links()
    )


@settings(max_examples=12)
@given(data=st.data())
def test_any_convolution_on_any_region(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Groups, strides, dilations, pads and windows in any mix, 1-D and 2-D, on any region."""
    draw = data.draw
    rank, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    window = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    dilations = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    maker = ModelMaker(seed=draw(st.integers(0, 9)))
    name = maker.conv(
        "x",
        (group * draw(st.integers(1, 4)), group * draw(st.integers(1, 4))),
        window,
        group=group,
        strides=draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank)),
        dilations=dilations,
        pads=draw(st.lists(st.integers(0, 3), min_size=2 * rank, max_size=2 * rank)),
    )
    weights = maker.weights[0].dims
    least = [(size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True)]
    extents = [size + draw(st.integers(0, 9)) for size in least]
    shape = [draw(st.integers(1, 2)), weights[1] * group, *extents]
    path = maker.save(tmp_path_factory.mktemp("conv") / "conv.onnx", {"x": shape}, [name])
    region = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    plan = wsec.compile(path, target="mesh16", region=region, effort=0)
    assert plan.check() == ()
    assert plan.verify().passed


def test_outputs_come_by_name_and_inputs_are_what_the_caller_gives(tmp_path: Path) -> None:
    """`run` is a function of its inputs: another input, another output; the same, the same bits."""
    plan = wsec.compile(residual_network(tmp_path), target="mesh16", effort=0)
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((1, 3, 26, 26)).astype(np.float32) for _ in range(2))
    outputs = [plan.run({"x": array}) for array in (first, second, first)]
    name = plan.record.outputs[0].name
    assert not np.array_equal(outputs[0][name], outputs[1][name])
    assert np.array_equal(outputs[0][name], outputs[2][name])
