"""Passes by name with options, as the command line writes them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.passes import Pass, PassResult, default_pipeline, parse_pass, pass_names
from wsec.passes.fold_constants import FoldConstants
from wsec.passes.pipeline import ORDER, PIPELINE, check_order
from wsec.passes.registry import installed_passes, load_pass

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from tests.conftest import InstallPackage

ROOT = Path(__file__).parents[2]
REGISTERED: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
]["wsec.passes"]


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(WsecError) as caught:
        call()
    assert caught.value.exit_status is ExitStatus.PASS
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_every_built_in_pass_is_what_it_says(name: str) -> None:
    """Its name is its key, it is documented, and it is built without options; what it prints reads back as itself."""
    found = load_pass(name)
    assert found.name == name
    assert found.__doc__
    assert dataclasses.is_dataclass(found)
    assert parse_pass(str(parse_pass(name))) == found()


def test_every_pass_of_wsec_is_registered_as_one_of_another_package_would_be() -> None:
    """Each class that has a name stands in pyproject.toml; where one is missing in what is installed: make install."""
    classes = {
        f"wsec.passes.{path.stem}:{name}"
        for path in (ROOT / "passes").glob("*.py")
        for name in re.findall(r"^class (\w+)\(Pass\):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert classes == set(REGISTERED.values())
    own = {name: item.value for name, item in installed_passes().items() if item.package == "wsec"}
    assert own == REGISTERED


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
        "  try:      install the package that holds it, put its folder on PYTHONPATH, or check the spelling"
    )


def test_a_module_that_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 0 without a plan would be taken for success."""
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    assert "  found:    SystemExit: 0\n" in _refusal(lambda: parse_pass("leaves_at_import:Pass"))


def test_a_class_that_is_no_pass() -> None:
    """Not everything that can be imported can be run."""
    assert _refusal(lambda: parse_pass("pathlib:Path")) == (
        "error[WSEC403]: 'pathlib:Path' is not a pass\n"
        "  where:    pathlib:Path\n"
        "  expected: a subclass of wsec.passes.Pass\n"
        "  found:    <class 'pathlib.Path'>\n"
        "  try:      name the class of the pass"
    )


@dataclass(frozen=True)
class Nameless(Pass):
    """Has neither a name nor anything to run."""


@dataclass(frozen=True)
class Demanding(Pass):
    """Has options that must be given, and takes not every value."""

    name: ClassVar[str] = "demanding"
    factor: float
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is not positive."""
        if self.factor <= 0:
            raise ValueError(f"factor {self.factor} is not positive")

    def run(self, model: ir.Model) -> PassResult:
        """Leave the model alone."""
        del model
        return PassResult(modified=False)


@dataclass(frozen=True)
class Heir(Demanding):
    """Adds nothing."""

    name: ClassVar[str] = "heir"


class Undecorated(Heir):
    """Its own fields would be no options."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which this module can be imported by those that look for passes."""
    monkeypatch.setitem(sys.modules, "passes_of_a_test", sys.modules[__name__])
    return "passes_of_a_test"


def test_a_class_that_lacks_parts_of_a_pass(here: str) -> None:
    """All that is missing is told at once, before anything runs."""
    assert _refusal(lambda: parse_pass(f"{here}:Nameless")) == (
        "error[WSEC403]: 'passes_of_a_test:Nameless' is not a complete pass\n"
        "  where:    passes_of_a_test:Nameless\n"
        "  expected: a frozen dataclass with a name in kebab case and a method run\n"
        "  found:    name is None, no method run\n"
        "  try:      docs/writing-passes.md shows a whole one"
    )
    assert "found:    no decorator @dataclass(frozen=True)\n" in _refusal(
        lambda: parse_pass(f"{here}:Undecorated")
    )


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises is told, and is no bug of wsec."""
    (tmp_path / "broken_passes.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "found:    ZeroDivisionError: division by zero\n" in _refusal(
        lambda: parse_pass("broken_passes:Mine")
    )


def test_options_that_the_pass_refuses(here: str) -> None:
    """Missing ones, and values that its constructor does not take; what is missing may also be optional."""
    assert parse_pass(f"{here}:Demanding{{factor=2 limit=3}}") == Demanding(2.0, 3)
    assert str(Demanding(2.0)) == "demanding{factor=2.0}"
    assert _refusal(lambda: parse_pass(f"{here}:Demanding{{factor=-1}}")) == (
        "error[WSEC404]: the pass demanding refuses its options\n"
        "  where:    passes_of_a_test:Demanding{factor=-1}\n"
        "  expected: every option that has no default, with a value that the pass takes\n"
        "  found:    factor -1.0 is not positive\n"
        "  try:      give the options in braces: demanding{option=value}"
    )
    assert "missing 1 required positional argument: 'factor'" in _refusal(
        lambda: parse_pass(f"{here}:Demanding")
    )


def test_passes_of_installed_packages_are_known_by_name(install_package: InstallPackage, here: str) -> None:
    """They are listed with their origin without being imported, and imported when they are asked for."""
    install_package("others", f"[wsec.passes]\nheir = {here}:Heir\nbroken = no_such_package:Pass\n")
    assert installed_passes()["broken"].origin == "others 1.5"
    assert parse_pass("heir{factor=3}") == Heir(3.0)


def test_two_passes_of_one_name(install_package: InstallPackage) -> None:
    """Which of them runs must not depend on the order of folders."""
    install_package("others", "[wsec.passes]\nname-nodes = others.names:NameNodes\n")
    version = importlib.metadata.version("wsec")
    assert _refusal(lambda: parse_pass("fold-constants")) == (
        "error[WSEC403]: two packages register a pass 'name-nodes'\n"
        "  where:    entry-point group wsec.passes\n"
        "  expected: one pass of each name\n"
        f"  found:    wsec.passes.name_nodes:NameNodes of wsec {version}\n"
        "            others.names:NameNodes of others 1.5\n"
        "  try:      uninstall one of the two, or rename the pass in others"
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
    for name in REGISTERED:
        assert f"| `{name}` | {(load_pass(name).__doc__ or '').splitlines()[0]} |" in page


@pytest.mark.parametrize("code", [*range(101, 117), *range(401, 411)])
def test_each_error_has_its_page(code: int) -> None:
    """A message's code leads to an explanation, an example and what to do."""
    page = (Path(__file__).parents[2] / "docs" / "errors" / f"WSEC{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# WSEC{code}: ")
    assert f"error[WSEC{code}]: " in page
    assert "\n## What to do\n" in page
