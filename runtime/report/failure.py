"""The report of a compilation that failed: how far it came, why it went no further, and what to do, as one HTML page.

It is made of the file that `wsec compile` leaves beside the place of the plan (docs/cli.md).
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsec.compiler.errors import WsecError
from wsec.runtime.report.plain_page import plain_page, plain_table

if TYPE_CHECKING:
    from pathlib import Path

FAILURE_SUFFIX = ".failed.json"
_SAID = (("where", "where"), ("expected", "expected"), ("found", "found"), ("try", "what to do"))
_MOST_BYTES = 16 << 20
_STYLE = """
.error { border-left: 4px solid #c0392b; padding: .25rem 0 .25rem 1rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.5rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { grid-template-columns: minmax(0, 1fr); } }
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """How far a compilation came.

    Attributes:
        model: Path of the model.
        target: Name of the target, or its file.
        stages: Those that ended, with their seconds.
        stopped_in: The stage in which it failed; empty between two.
        details: What each stage said last.
        error: `code`, `what`, `where`, `expected`, `found` and `try`.
        notes: Of the error.
        traceback: Of a bug; else empty.
    """

    model: str
    target: str
    stages: tuple[tuple[str, float], ...]
    stopped_in: str
    details: dict[str, str]
    error: dict[str, str]
    notes: tuple[str, ...]
    traceback: str


def read_failure(path: Path) -> Failure:
    """What a failed compilation left at `path`.

    Raises:
        WsecError: WSEC528 it cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unreadable(path, f"more than {_MOST_BYTES:,} bytes")
        contents = json.loads(path.read_text(encoding="utf-8"))
        return _failure(contents)
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from error
    except (ValueError, RecursionError) as error:  # bytes that are no text, and text that is no JSON, too
        raise _unreadable(path, str(error) or type(error).__name__) from error


def failure_page(failure: Failure, explanation: str) -> str:
    """The page; `explanation` is the page of the error's code, as text, empty where there is none."""
    error = failure.error
    facts = [(title, error[key]) for key, title in _SAID if error[key]]
    facts += [("note", note) for note in failure.notes]
    parts = [
        f'<p class="error"><strong>{_text(error["code"])}: {_text(error["what"])}</strong></p>',
        _facts(facts),
        "<h2>How far it came</h2>",
        plain_table(("stage", "what it said last", "took"), 2, _stages(failure), name="Stages"),
    ]
    if explanation:
        parts += [
            f"<h2>What {_text(error['code'])} means</h2>",
            f'<pre tabindex="0">{_text(explanation)}</pre>',
        ]
    if failure.traceback:
        parts += ["<h2>Where in wsec</h2>", f'<pre tabindex="0">{_text(failure.traceback)}</pre>']
    title = f"{failure.model} on {failure.target}: no plan"
    return plain_page(title, "".join(parts), _STYLE)


def _stages(failure: Failure) -> list[tuple[str, str, str]]:
    rows = [
        (_text(name), _text(failure.details.get(name, "")), f"{seconds:,.2f} s")
        for name, seconds in failure.stages
    ]
    last = failure.details.get(failure.stopped_in, "")
    return [*rows, (_text(failure.stopped_in or "what follows"), _text(last), "failed here")]


def _facts(facts: list[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(title)}</dt><dd>{_text(text)}</dd>' for title, text in facts)}</dl>"


def _text(text: str) -> str:
    return html.escape(text)


def _failure(contents: Any) -> Failure:
    """Raises ValueError where something is missing or of another type."""
    error = _member(contents, "error", dict)
    return Failure(
        model=_member(contents, "model", str),
        target=_member(contents, "target", str),
        stages=tuple(
            (_member(each, "stage", str), float(_member(each, "seconds", (int, float))))
            for each in _member(contents, "stages", list)
        ),
        stopped_in=_member(contents, "stopped_in", str),
        details={name: str(text) for name, text in _member(contents, "details", dict).items()},
        error={key: _member(error, key, str) for key in ("code", "what", *(key for key, _ in _SAID))},
        notes=tuple(map(str, _member(error, "notes", list))),
        traceback=str(contents.get("traceback", "")),
    )


def _member(contents: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(contents, dict) or not isinstance(contents.get(key), kind):
        raise ValueError(f"{key} is missing, or not what it should be")  # noqa: TRY004 - of contents, not of an argument
    return contents[key]


def _unreadable(path: Path, found: str) -> WsecError:
    return WsecError(
        code="WSEC528",
        what="the file does not tell of a failed compilation",
        where=str(path),
        expected=f"what `wsec compile` leaves at PLAN{FAILURE_SUFFIX}",
        found=found,
        hint="compile the model again: a compilation that fails writes the file anew",
    )
