"""The repository itself: what the wheel holds, what importing costs, and what no file may contain."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = ("compiler", "passes", "runtime")
LINKS = {**{name: name for name in FOLDERS}, "error_pages": "docs/errors"}
NOT_SOURCES = {"build", "dist", "__pycache__"}
MAKE = shutil.which("make") or "make"
LONGEST_FILE = 600
HEAVY = ("ortools", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "networkx")
CITED_HOSTS = {
    "arxiv.org",
    "doi.org",
    "git-lfs",  # how a pointer file of git-lfs begins
    "git-lfs.github.com",
    "github.com",
    "json-schema.org",
    "json.schemastore.org",
    "keepachangelog.com",
    "onnx.ai",
    "protobuf.dev",
    "semver.org",
    "www.apache.org",
    "www.w3.org",  # the namespace of XML Schema
}


def _sources() -> list[Path]:
    """Every file of the project; the links in src/wsec are not followed."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        hidden = [name for name in folders if name.startswith(".") and name != ".ci"]
        folders[:] = sorted({*folders} - {*hidden} - NOT_SOURCES)
        folders[:] = [name for name in folders if not name.endswith(".egg-info")]
        found += [Path(folder, name) for name in sorted(files) if not name.startswith((".coverage", ".git"))]
    return found


def _python(code: str) -> list[str]:
    """The words that a fresh interpreter prints, started where the bare folders can be imported too."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def wheel_members(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from a copy of the sources, so that no earlier build can slip in."""
    copy = tmp_path_factory.mktemp("sources") / "wsec"
    for source in _sources():
        target = copy / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for link, folder in LINKS.items():
        (copy / "src" / "wsec" / link).symlink_to(Path("..", "..", folder))
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, stdout=subprocess.PIPE)
    (wheel,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_module(wheel_members: list[str]) -> None:
    """A package folder without `__init__.py` would be missing from the wheel, and only from there."""
    modules = {
        f"wsec/{path.relative_to(ROOT / 'src' / 'wsec' if path.is_relative_to(ROOT / 'src') else ROOT).as_posix()}"
        for path in _sources()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {*FOLDERS, "src"}
    }
    assert {"wsec/__init__.py", "wsec/compiler/target.py", "wsec/passes/__init__.py"} <= modules
    assert modules == {name for name in wheel_members if name.endswith(".py")}


def test_the_wheel_holds_data_and_licence(wheel_members: list[str]) -> None:
    """An installed wsec knows its targets and is typed, and nothing lands beside it in site-packages."""
    targets = {
        f"wsec/compiler/targets/{path.name}" for path in (ROOT / "compiler" / "targets").glob("*.toml")
    }
    assert len(targets) >= 5
    assert targets | {"wsec/py.typed"} <= set(wheel_members)
    pages = {f"wsec/error_pages/{path.name}" for path in (ROOT / "docs" / "errors").glob("WSEC*.md")}
    assert pages <= set(wheel_members)
    assets = {
        f"wsec/runtime/report/assets/{path.name}" for path in (ROOT / "runtime/report/assets").iterdir()
    }
    assert len(assets) >= 5
    assert assets <= set(wheel_members)
    assert [name for name in wheel_members if name.endswith("licenses/LICENSE")]
    assert {name.split("/")[0].partition("-")[0] for name in wheel_members} == {"wsec"}


@pytest.mark.parametrize("link", LINKS)
def test_the_links_are_relative(link: str) -> None:
    """A checkout works wherever it lies."""
    assert (ROOT / "src" / "wsec" / link).readlink() == Path("..", "..", LINKS[link])


def test_make_restores_lost_links(tmp_path: Path) -> None:
    """A checkout that lost a link, or has a text file in its place, is mended; a real folder is left alone."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    package = tmp_path / "src" / "wsec"
    package.mkdir(parents=True)
    (package / "passes").write_text("../../passes")
    command = [MAKE, "--no-print-directory", "links"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    assert [(package / name).readlink() for name in FOLDERS] == [Path("..", "..", name) for name in FOLDERS]
    (package / "runtime").unlink()
    (package / "runtime").mkdir()
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert (
        done.stdout == "src/wsec/runtime is a folder, and should be a link to ../../runtime: move it away\n"
    )


def test_make_help_lists_the_targets() -> None:
    """`make help` is generated from the Makefile's comments: every target that has a use is there."""
    done = subprocess.run(
        [MAKE, "--no-print-directory", "help"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert {"demo", "test", "check", "lint", "types", "format", "models", "bench", "clean"} <= set(listed)


def test_no_module_exists_twice() -> None:
    """With the checkout's root on the path, no module of wsec reaches another one by its bare name."""
    loaded = _python(
        "import importlib, pkgutil, sys, wsec\n"
        "for module in pkgutil.walk_packages(wsec.__path__, 'wsec.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted(sys.modules))"
    )
    assert "wsec.compiler.target" in loaded
    assert not {*FOLDERS} & {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("module", ["wsec", "wsec.cli"])
def test_importing_is_light(module: str) -> None:
    """`import wsec` and `wsec --help` answer at once, because heavy packages are imported when they are used."""
    loaded = _python(f"import sys, {module}; print(*sorted(sys.modules))")
    assert module in loaded
    assert not {*HEAVY} & {name.split(".")[0] for name in loaded}


def test_no_file_is_too_long() -> None:
    """A file past the ceiling has more than one subject."""
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in _sources()
        if path.suffix == ".py"
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_file_knows_a_machine() -> None:
    """No absolute path of somebody's machine, no address and no host but those of cited documents."""
    home = re.compile(r"(?<![\w.~/-])/(?:work|root|home|opt|Users|mnt|srv)/\w|\b[A-Z]:\\\w")
    address = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|\blocal" + r"host\b")
    found = []
    for path in _sources():
        text = path.read_bytes().decode("utf-8", errors="replace")
        hosts = set(re.findall(r"\bhttps?://([^/\s)>\"'`:]+)", text)) - CITED_HOSTS
        matches = [match.group() for pattern in (home, address) for match in pattern.finditer(text)]
        found += [f"{path.relative_to(ROOT)}: {match}" for match in [*sorted(hosts), *matches]]
    assert found == []


def test_every_error_code_has_its_page() -> None:
    """A code in a message can be looked up, and no page is left over from a code that is gone."""
    code = re.compile(r"\"(WSEC[1-6]\d\d)\"")
    used = {
        match
        for path in _sources()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {*FOLDERS, "src", "benchmarks"}
        for match in code.findall(path.read_text(encoding="utf-8"))
    }
    pages = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "errors").glob("WSEC*.md")
    }
    assert sorted(used - {*pages}) == []
    assert sorted({*pages} - used) == []
    assert [name for name, text in pages.items() if not text.startswith(f"# {name}: ")] == []


def test_every_dependency_is_pinned() -> None:
    """`make` installs the same versions everywhere, down to the last indirect dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    waiting = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["docs"],
    ]
    needed: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and (name := canonicalize_name(requirement.name)) not in needed:
            needed.add(name)
            waiting += importlib.metadata.requires(name) or []
    assert needed - pinned == set()
