"""When a tensor is let go: after its last reader, and never before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper
from plan_records import Loops, Operand, make_kernel, make_model, make_plan, normal, reading

from wsec.compiler.plan import ChainStep
from wsec.runtime.schedule import make_schedule

if TYPE_CHECKING:
    from pathlib import Path


def test_tensors_are_let_go_after_their_last_reader(tmp_path: Path) -> None:
    """`t` is read twice, `u` once, `v` is an output and `w` is read by nobody; the input stays with its owner."""
    reads = {"t": ["x"], "u": ["t"], "v": ["t", "u"], "w": ["v"]}
    nodes = [helper.make_node("Sum", names, [out]) for out, names in reads.items()]
    loops = Loops({"d0": 4}, {"d0": 2}, ("d0",))
    view = (reading(4, "d0"),)
    kernels = [
        make_kernel(
            f"make {out}",
            "elementwise",
            loops,
            [Operand(f"e{i}", name, "float32", view) for i, name in enumerate(names)],
            Operand("", out, "float32", view),
            chain=[ChainStep("Sum", tuple(f"e{i}" for i in range(len(names))), out, "float32", {})],
        )
        for out, names in reads.items()
    ]
    plan = make_plan(make_model(nodes, {"x": normal(1, 4)}, ["v"]), kernels, tmp_path).plan
    schedule = make_schedule(plan, lambda _: False)
    assert [kernel.name for kernel in schedule.kernels] == ["make t", "make u", "make v", "make w"]
    assert [set(done) for done in schedule.done_after] == [
        set(),
        set(),
        {("make t", "t"), ("make u", "u")},
        {("make w", "w")},
    ]
