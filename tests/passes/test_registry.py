"""Passes by name with options, as the command line writes them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.passes import Pass, default_pipeline, parse_pass, pass_names
from wsec.passes.fold_constants import FoldConstants
from wsec.passes.pipeline import ORDER, PIPELINE, check_order
from wsec.passes.registry import BUILT_IN, load_pass

if TYPE_CHECKING:
    from collections.abc import Callable


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(WsecError) as caught:
        call()
    assert caught.value.exit_status is ExitStatus.PASS
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_pass_is_what_it_says(name: str) -> None:
    """Its name is its key, it is documented, and it is built without options; what it prints reads back as itself."""
    found = load_pass(name)
    assert found.name == name
    assert found.__doc__
    assert dataclasses.is_dataclass(found)
    assert parse_pass(str(parse_pass(name))) == found()


def test_options_are_read_by_their_types() -> None:
    """Blanks or commas between options, either kind of dash in their names."""
    expected = FoldConstants(input_bytes=7, output_bytes=9)
    assert parse_pass("fold-constants{input-bytes=7 output_bytes=9}") == expected
    assert parse_pass(" fold-constants { input-bytes=7, output-bytes=9 } ") == expected
    assert str(expected) == "fold-constants{input-bytes=7 output-bytes=9}"
    assert parse_pass("fold-constants{}") == FoldConstants()


def test_a_pass_of_another_package_is_named_by_its_class() -> None:
    """Without registration, for a first try."""
    assert isinstance(parse_pass("wsec.passes.dead_code:EliminateDeadCode"), Pass)


def test_an_unknown_pass_offers_the_nearest() -> None:
    """A mistyped name is answered with the right one."""
    assert _refusal(lambda: parse_pass("fold-constant")) == (
        "error[WSEC403]: there is no pass 'fold-constant'\n"
        "  where:    fold-constant\n"
        f"  expected: {', '.join(pass_names())}\n"
        "  found:    fold-constant\n"
        "  try:      perhaps fold-constants"
    )


def test_an_unknown_pass_without_a_near_one() -> None:
    """Then the list is the answer."""
    assert _refusal(lambda: parse_pass("xyzzy")).endswith("\n  try:      `wsec passes` lists them")


def test_a_class_that_cannot_be_imported() -> None:
    """The cause of the import error is told."""
    assert _refusal(lambda: parse_pass("no_such_package:Pass")) == (
        "error[WSEC403]: the pass 'no_such_package:Pass' cannot be imported\n"
        "  where:    no_such_package:Pass\n"
        "  expected: package.module:Class of an installed package\n"
        "  found:    No module named 'no_such_package'\n"
        "  try:      install the package that holds it, or check the spelling"
    )


def test_a_class_that_is_no_pass() -> None:
    """Not everything that can be imported can be run."""
    assert _refusal(lambda: parse_pass("pathlib:Path")) == (
        "error[WSEC403]: 'pathlib:Path' is not a pass\n"
        "  where:    pathlib:Path\n"
        "  expected: a subclass of wsec.passes.Pass\n"
        "  found:    <class 'pathlib.Path'>\n"
        "  try:      name the class of the pass"
    )


def test_an_unknown_option() -> None:
    """The options of the pass are its fields."""
    assert _refusal(lambda: parse_pass("fold-constants{input-byte=7}")) == (
        "error[WSEC404]: the pass fold-constants has no option 'input-byte'\n"
        "  where:    fold-constants{input-byte}\n"
        "  expected: input-bytes, file-bytes, output-bytes\n"
        "  found:    input-byte\n"
        "  try:      perhaps input-bytes"
    )


def test_an_option_of_a_pass_without_any() -> None:
    """Most passes have none."""
    assert _refusal(lambda: parse_pass("name-nodes{deep}")) == (
        "error[WSEC404]: the pass name-nodes has no option 'deep'\n"
        "  where:    name-nodes{deep}\n"
        "  expected: no options\n"
        "  found:    deep\n"
        "  try:      leave it out"
    )


def test_an_option_of_a_wrong_type() -> None:
    """A number is a number."""
    assert _refusal(lambda: parse_pass("fold-constants{input-bytes=many}")) == (
        "error[WSEC404]: the option 'input-bytes' of the pass fold-constants has a wrong value\n"
        "  where:    fold-constants{input-bytes=many}\n"
        "  expected: a whole number\n"
        "  found:    'many'\n"
        "  try:      write input-bytes=VALUE with a whole number"
    )


@pytest.mark.parametrize("spec", ["", "a{b", "a}b{", "two words"])
def test_what_describes_no_pass(spec: str) -> None:
    """Unbalanced braces are most often a shell's doing."""
    assert _refusal(lambda: parse_pass(spec)) == (
        "error[WSEC404]: this does not describe a pass\n"
        f"  where:    {spec}\n"
        "  expected: a name, with options in braces: my-pass{limit=8 deep=true}\n"
        f"  found:    {spec}\n"
        "  try:      quote the whole description for the shell"
    ).replace("  where:    \n", "").replace("  found:    \n", "")


def test_the_default_pipeline_follows_its_rules() -> None:
    """Each row gives a reason, each rule speaks of passes in the pipeline, and the order is checked when built."""
    assert [current.name for current in default_pipeline()] == [name for name, _ in PIPELINE]
    assert all(reason for _, reason in PIPELINE)
    names = {name for name, _ in PIPELINE}
    assert all({before, after} <= names and why for before, after, why in ORDER)


def test_each_rule_of_the_order_is_enforced() -> None:
    """Turned round, each pair is refused, with the reason."""
    for before, after, why in ORDER:
        check_order([before, after])
        assert _refusal(lambda before=before, after=after: check_order([after, before])) == (  # type: ignore[misc]
            f"error[WSEC405]: the pass {before} must run before {after}\n"
            f"  where:    {after}, {before}\n"
            f"  expected: {before} before {after}, because {why}\n"
            f"  found:    {after} is pass 1, {before} is pass 2\n"
            "  try:      change the order of the passes"
        )


def test_the_documentation_shows_the_tables_as_they_are() -> None:
    """docs/passes.md lists each row of the pipeline, each rule of its order and each pass."""
    page = (Path(__file__).parents[2] / "docs" / "passes.md").read_text(encoding="utf-8")
    for number, (name, reason) in enumerate(PIPELINE, 1):
        assert f"| {number} | `{name}` | {reason} |" in page
    for before, after, why in ORDER:
        assert f"| `{before}` | `{after}` | {why} |" in page
    for name in BUILT_IN:
        assert f"| `{name}` | {(load_pass(name).__doc__ or '').splitlines()[0]} |" in page


@pytest.mark.parametrize("code", [*range(101, 117), *range(401, 406)])
def test_each_error_has_its_page(code: int) -> None:
    """A message's code leads to an explanation, an example and what to do."""
    page = (Path(__file__).parents[2] / "docs" / "errors" / f"WSEC{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# WSEC{code}: ")
    assert f"error[WSEC{code}]: " in page
    assert "\n## What to do\n" in page
