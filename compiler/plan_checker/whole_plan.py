"""All checks of a plan, in the order of what they need of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.constraints import check_constraints
from wsec.compiler.plan_checker.contents import check_contents
from wsec.compiler.plan_checker.cycles import check_cycles
from wsec.compiler.plan_checker.dataflow import check_dataflow
from wsec.compiler.plan_checker.defects import check_defects
from wsec.compiler.plan_checker.fabric.circuits import check_fabric
from wsec.compiler.plan_checker.fabric.collectives import check_collectives
from wsec.compiler.plan_checker.header import check_header
from wsec.compiler.plan_checker.memory import check_memory
from wsec.compiler.plan_checker.model_facts import read_model
from wsec.compiler.plan_checker.operators import check_operators
from wsec.compiler.plan_checker.phases import check_phases
from wsec.compiler.plan_checker.placement import check_placement
from wsec.compiler.plan_checker.rotations import check_rotation
from wsec.compiler.plan_checker.routes import check_routes
from wsec.compiler.plan_checker.shardings import check_kernel_shardings
from wsec.compiler.plan_checker.states import check_states
from wsec.compiler.plan_checker.turns import check_turns
from wsec.compiler.plan_checker.wafers import check_wafers

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir

    from wsec.compiler.plan import Plan
    from wsec.compiler.plan_checker.findings import Finding


def check_whole_plan(plan: Plan, lowered: onnx_ir.Model | Path | None) -> tuple[Finding, ...]:
    """All findings on `plan`, as `wsec.compiler.plan_checker.check_plan` says."""
    model = None if lowered is None else read_model(lowered)
    findings = [
        *check_header(plan, model),
        *check_defects(plan),
        *check_placement(plan),
        *check_constraints(plan),
    ]
    sound = set()
    routed = any(phase.circuits for wafer in plan.wafers for phase in wafer.phases)
    taking_turns = {
        kernel.name for wafer in plan.wafers if wafer.mode == "sequential" for kernel in wafer.kernels()
    }
    for kernel in plan.kernels():
        in_turns = kernel.name in taking_turns
        of_kernel = [*check_kernel_shardings(kernel, model), *check_rotation(kernel, in_turns=in_turns)]
        if not of_kernel:
            sound.add(kernel.name)
            of_kernel = [
                *check_memory(kernel, plan.target, in_turns=in_turns),
                *check_cycles(kernel, plan.target, in_turns=in_turns),
                *(check_collectives(kernel, plan.target.fabric) if routed else ()),
                *([] if model is None else check_operators(kernel, model)),
            ]
        findings += of_kernel
    findings += check_dataflow(plan, model)
    findings += check_states(plan)
    findings += check_contents(plan, sound)
    findings += check_routes(plan)
    findings += check_fabric(plan)
    findings += check_wafers(plan)
    findings += check_phases(plan)
    findings += check_turns(plan, sound)
    return tuple(findings)
