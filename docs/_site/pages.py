"""What the site needs beside the pages: the list of error codes, the changelog, and links that leave docs/.

MkDocs calls these functions while it builds (`hooks` in mkdocs.yml).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+((?:examples|benchmarks|tests|compiler|runtime|passes|src)[^)]*)\)"
)
_CODES = re.compile(r"\]\(errors/\)")
_FAMILIES = {
    "1": "The model",
    "2": "The target",
    "3": "It does not fit, or cannot be placed or routed",
    "4": "A pass or a package of kernels",
    "5": "The plan, or a file beside it",
    "6": "wsec itself",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages that are made: the list of error codes, and the changelog of the repository."""
    docs = Path(config.docs_dir)
    files.append(File.generated(config, "errors/index.md", content=list_of_codes(docs / "errors")))
    changes = (docs.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changes.md", content=changes))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """A file of the repository that is not on the site is named instead of linked."""
    named = _OUTSIDE.sub(r"\1 (`\2` in the repository)", markdown)
    return _CODES.sub("](errors/index.md)", named)


def list_of_codes(folder: Path) -> str:
    """A page with a table for each family of codes, in Markdown; titles are those of the pages."""
    lines = ["# Error codes", "", "`wsec explain CODE` prints a page in the terminal.", ""]
    family = ""
    for path in sorted(folder.glob("WSEC*.md")):
        if path.stem[4] != family:
            family = path.stem[4]
            lines += [
                f"\n## WSEC{family}xx: {_FAMILIES[family]}\n",
                "| code | what it says |",
                "| --- | --- |",
            ]
        title = path.read_text(encoding="utf-8").partition("\n")[0].partition(": ")[2].replace("|", "\\|")
        lines.append(f"| [{path.stem}]({path.name}) | {title} |")
    return "\n".join([*lines, ""])
