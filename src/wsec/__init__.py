"""wsec: the open compiler for wafer-scale engines.

plan = wsec.compile("model.onnx", target="wse2")
plan.verify().passed
plan.estimate().interval_cycles

Names are imported when they are used, so that programs which need little of wsec start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsec.compiler.errors import WsecError
    from wsec.driver import StageEvent
    from wsec.interface import check, compile, fit, report  # noqa: A004 - the name users expect; the builtin is not used here
    from wsec.loaded_plan import Plan, load_plan

__all__ = ["Plan", "StageEvent", "WsecError", "check", "compile", "fit", "load_plan", "report"]

_HOMES = {
    "Plan": "wsec.loaded_plan",
    "StageEvent": "wsec.driver",
    "WsecError": "wsec.compiler.errors",
    "check": "wsec.interface",
    "compile": "wsec.interface",
    "fit": "wsec.interface",
    "load_plan": "wsec.loaded_plan",
    "report": "wsec.interface",
}


def __getattr__(name: str) -> object:
    """What `import wsec` offers, from the module that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wsec' has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
