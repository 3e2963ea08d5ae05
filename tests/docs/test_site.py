"""The site reaches every page, and shows codes and files as they are; `make docs` builds it and follows every link."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody can find, or an entry without a page, fails here before it fails in `make docs`."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    entries = re.findall(r"^ *- [^\n]*: ([\w./-]+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    made = {"errors/index.md", "changes.md"}  # by docs/_site/pages.py
    assert sorted(set(entries) - made - {"decisions/README.md"}) == sorted(pages)
    assert len(entries) == len(set(entries))


def test_every_decision_is_listed() -> None:
    """The list of decisions is kept by hand."""
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
