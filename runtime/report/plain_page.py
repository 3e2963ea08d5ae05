"""A page of headings, lists and tables that needs no script and nothing beside it; light and dark follow the system."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
td:first-child, th:first-child { min-width: 7rem; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def plain_page(title: str, body: str, style: str = "") -> str:
    """The page; `body` and `style` are HTML and CSS already, the title is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}{style}</style></head><body><main>"
        f"<h1>{html.escape(title)}</h1>{body}</main></body></html>\n"
    )


def plain_table(head: Sequence[str], texts: int, rows: Iterable[Sequence[str]], *, name: str) -> str:
    """A table that scrolls where it is too wide: the first `texts` columns are texts, the others numbers, which stand at the right.

    Cells and titles are HTML already; `name` is what readers of the screen are told.
    """
    looks = ["" if column < texts else ' class="n"' for column in range(len(head))]
    body = "".join(
        f"<tr>{''.join(f'<td{look}>{cell}</td>' for look, cell in zip(looks, row, strict=True))}</tr>"
        for row in rows
    )
    if not body:
        return "<p>None.</p>"
    titles = "".join(f'<th scope="col"{look}>{title}</th>' for look, title in zip(looks, head, strict=True))
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{html.escape(name)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )
