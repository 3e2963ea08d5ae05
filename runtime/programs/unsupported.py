"""What the simulator has no program for is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.plan import Plan


def not_simulated(where: str, found: str, hint: str = "") -> WsecError:
    """WSEC596 for what stands at `where`."""
    return WsecError(
        code="WSEC596",
        what="the plan has something that cannot be simulated",
        where=where,
        expected="kernels, element types and collectives that docs/simulator.md lists",
        found=found,
        hint=hint or "`wsec run` computes the numbers of any plan, and `wsec estimate` its cycles",
    )


def check_no_states(plan: Plan) -> None:
    """Refuses plans that keep something on the wafer between two runs: core programs know nothing of an earlier one.

    Raises:
        WsecError: WSEC596 there is such a state.
    """
    if plan.states:
        where = f"input {plan.states[0].input}"
        found = f"{len(plan.states)} state{'s' if len(plan.states) > 1 else ''}, which stay on the wafer between two runs"
        raise not_simulated(where, found, "compile with `--states none`, and they come and go with each run")
