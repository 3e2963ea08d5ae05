"""What the simulator has no program for is refused by name."""

from __future__ import annotations

from wsec.compiler.errors import WsecError


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
