"""`wsec explain`: the page of an error code, as docs/errors has it."""

from __future__ import annotations

import difflib
import re
import sys
from importlib import resources
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import make_console, write_json

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_CODE = re.compile(r"(?:WSEC)?(\d{3})", re.IGNORECASE)
_SUGGESTIONS = 3


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec explain WSEC301
  wsec explain 301""",
)
@click.argument("code", metavar="CODE")
@json_option
def explain(code: str, *, as_json: bool) -> None:
    """Say what the error code CODE means and what to do about it."""
    pages = error_pages()
    number = _CODE.fullmatch(code.strip())
    name = f"WSEC{number[1]}" if number else code.strip().upper()
    if name not in pages:
        raise click.BadParameter(
            f"there is no error code {code!r}. {_nearest(name, pages)}", param_hint="CODE"
        )
    page = pages[name].read_text(encoding="utf-8")
    if as_json:
        write_json({"code": name, "title": _title(page), "page": page})
    elif sys.stdout.isatty():
        from rich.markdown import Markdown

        make_console().print(Markdown(page))
    else:
        click.echo(page, nl=False)


def error_pages() -> dict[str, Traversable]:
    """The pages of all codes, sorted; they come with the package."""
    folder = resources.files("wsec") / "error_pages"
    pages = {entry.name.removesuffix(".md"): entry for entry in folder.iterdir()}
    return {name: pages[name] for name in sorted(pages) if _CODE.fullmatch(name)}


def _title(page: str) -> str:
    return page.splitlines()[0].removeprefix("# ").partition(": ")[2]


def _nearest(name: str, pages: dict[str, Traversable]) -> str:
    near = difflib.get_close_matches(name, pages, _SUGGESTIONS) or list(pages)[:_SUGGESTIONS]
    return f"Near it: {', '.join(near)}."
