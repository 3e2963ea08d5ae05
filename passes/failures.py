"""What is said of a pass that fails: which one, at which node, and where in its code."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.extensions import code_lines
from wsec.passes.verifier import node_label

if TYPE_CHECKING:
    from types import TracebackType

    from wsec.passes.base import Pass
    from wsec.passes.time_limit import TimeLimitExceeded


def is_custom(current: Pass) -> bool:
    """Whether the pass is somebody else's; what goes wrong in it is then no bug of wsec."""
    return not type(current).__module__.startswith("wsec.")


def pass_failed(current: Pass, index: int, total: int, error: BaseException) -> WsecError:
    """A pass that raised `error`: WSEC406."""
    return WsecError(
        "WSEC406",
        f"the pass {current.name} failed",
        where="\n".join([f"pass {index} of {total}: {current}", *_place(error.__traceback__)]),
        expected="a pass that changes the model, or leaves it alone, and returns",
        found=f"{type(error).__name__}: {error}".removesuffix(": "),
        hint=f"mend {current.name}, or leave it out; --dump-passes DIR shows the model that it was given",
    )


def pass_took_too_long(
    current: Pass, index: int, total: int, limit: float, error: TimeLimitExceeded
) -> WsecError:
    """A pass that was stopped after `limit` seconds: WSEC407."""
    return WsecError(
        "WSEC407",
        f"the pass {current.name} took too long",
        where="\n".join([f"pass {index} of {total}: {current}", *_place(error.__traceback__)]),
        expected=f"an end within {limit:g} s",
        found="it was still running, at the place above",
        hint=f"mend {current.name}, leave it out, or give it more time with --pass-timeout",
    )


def wrong_result(current: Pass, index: int, total: int, found: object) -> WsecError:
    """A pass that returned something else than it should: WSEC406."""
    return WsecError(
        "WSEC406",
        f"the pass {current.name} failed",
        where=f"pass {index} of {total}: {current}",
        expected="a PassResult whose `modified` is True or False",
        found=f"it returned {found!r}",
        hint=f"return PassResult(modified=...) from {type(current).__name__}.run",
    )


def _place(trace: TracebackType | None) -> list[str]:
    """The node that the innermost function with a node in hand looked at, and the last lines of code."""
    nodes = [
        value
        for frame, _ in traceback.walk_tb(trace)
        for value in reversed(frame.f_locals.values())
        if isinstance(value, ir.Node)
    ]
    return [*map(node_label, nodes[-1:]), *code_lines(trace)]
