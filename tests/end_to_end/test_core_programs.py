"""Core programs of compiled kernels against ordered arithmetic: interpreted, on engines without a fabric, and simulated whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from program_interpreter import interpreted, on_engine

from simulated_kernels import CONFIGURATIONS
from wsec.compiler.plan_io import LoadedPlan
from wsec.driver import Options, compile_model
from wsec.runtime.executor import Executor, execute
from wsec.runtime.lowered_model import LoweredModel
from wsec.runtime.programs.simulate import simulate_plan

if TYPE_CHECKING:
    from pathlib import Path

    from simulated_kernels import Configuration


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda item: item.name)
def test_programs_give_the_bits_of_ordered_arithmetic(configuration: Configuration, tmp_path: Path) -> None:
    """With the shardings that the compiler chose: ragged blocks, halos, sums over cores; and nearly the usual numbers."""
    onnx.save(configuration.model(), tmp_path / "model.onnx")
    options = Options(
        target="mesh64",
        region=configuration.region,
        effort=0.2,
        collective=configuration.collective,
        fabric="full",
    )
    plan = compile_model(tmp_path / "model.onnx", options, tmp_path / "plan")
    loaded = LoadedPlan(plan.record, plan.folder)
    tensors = configuration.samples()
    outputs = Executor(loaded, "ordered").run(configuration.samples(), tensors.__setitem__)
    for name, usual in execute(loaded, configuration.samples()).items():
        np.testing.assert_allclose(outputs[name], usual, rtol=1e-4, atol=1e-5)
    model = LoweredModel(loaded.lowered_path)
    for kernel in loaded.plan.kernels():
        constants = {item.tensor: model.constant(item.tensor) for item in kernel.inputs if item.constant}
        found = interpreted(kernel, tensors | constants)
        expected = tensors[kernel.outputs[0].tensor].astype(np.float32)
        np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32), kernel.kind)
        if not kernel.collectives:
            simulated, _ = on_engine(kernel, tensors | constants)
            np.testing.assert_array_equal(simulated.view(np.int32), expected.view(np.int32), kernel.kind)
    simulation = simulate_plan(loaded, configuration.samples())
    assert [each.name for each in simulation.comparisons if not each.equal] == []
    assert len(simulation.comparisons) > len(outputs)  # kernels as well as outputs


def test_there_are_enough_configurations() -> None:
    """They are what the simulator is judged by, each by its name."""
    names = [item.name for item in CONFIGURATIONS]
    assert len(set(names)) == len(names)
    assert len(names) >= 40
