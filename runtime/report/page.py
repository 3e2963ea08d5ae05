"""One HTML file of the contents: markup, style and scripts of the report, and the plotting library with its licence.

The contents are JSON in a script that is data: no text of a model can become markup or code.
"""

from __future__ import annotations

import html
import importlib.resources
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPTS = ("colours.js", "charts.js", "floorplan.js", "details.js", "table.js", "main.js")
_LIBRARIES = ("bokeh.min.js", "bokeh-api.min.js")


def make_page(contents: Mapping[str, Any]) -> str:
    """The page as text. It refers to nothing outside of itself."""
    title = f"{contents['model']} on {contents['target']}"
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _asset("style.css"),
        "LIBRARY": "\n".join(_script(_library(name)) for name in _LIBRARIES),
        "CONTENTS": _inert(json.dumps(_finite(contents), separators=(",", ":"), allow_nan=False)),
        "SCRIPTS": _script("\n".join(_asset(name) for name in _SCRIPTS)),
        "LICENCE": html.escape(_licence()),
    }
    page = _asset("page.html")
    pieces = page.split("@@")  # text, NAME, text, NAME, text ...
    return "".join(parts[piece] if position % 2 else piece for position, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return (importlib.resources.files("wsec.runtime.report") / "assets" / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    from bokeh.util.paths import bokehjs_path

    return (Path(bokehjs_path()) / "js" / name).read_text(encoding="utf-8")


def _licence() -> str:
    import bokeh

    return (Path(bokeh.__file__).parent / "LICENSE.txt").read_text(encoding="utf-8")


def _script(code: str) -> str:
    return f"<script>\n{code.replace('</script', '<' + chr(92) + '/script')}\n</script>"


def _inert(data: str) -> str:
    """JSON that cannot end the script element that it lies in."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    """JSON has no infinity: null stands for it."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
