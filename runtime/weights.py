"""Refuses to execute a plan of a model whose weights nobody has given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.plan import Plan


def require_weights(plan: Plan) -> None:
    """Do nothing where the model was compiled with its weights.

    Raises:
        WsecError: WSEC571 it was compiled without.
    """
    if plan.absent_weights:
        raise WsecError(
            "WSEC571",
            "the plan was made without the weights of the model, and cannot be run",
            where=", ".join(plan.absent_weights),
            expected="weights beside the model when it was compiled",
            found="no such file",
            hint="put the weights file beside the model and compile again; check-plan and estimate work without",
        )
