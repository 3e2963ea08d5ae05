"""The pytest plugin, in a pytest of its own: plans by the fixture, kept between runs, and what is said where that fails."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.checking.conftest import write_model

import wsec

pytest_plugins = ["pytester"]

_TESTS = """
import pytest
from wsec import WsecError

def test_whole(wsec_plan):
    plan = wsec_plan("small.onnx", effort=0.0)
    assert plan.record.target.name == "mesh16"
    assert plan.verify().passed
    assert plan is wsec_plan("small.onnx", effort=0.0)

def test_region(wsec_plan):
    assert wsec_plan("small.onnx", effort=0.0, region=(8, 8)).record.region_width == 8

def test_errors(wsec_plan):
    with pytest.raises(WsecError, match="model"):
        wsec_plan("missing.onnx")
    with pytest.raises(TypeError, match="splat"):
        wsec_plan("small.onnx", splat=1)

def test_that_fails(wsec_plan):
    assert wsec_plan("small.onnx", effort=0.0).estimate().interval_cycles < 0
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The compiler, loaded once: a pytest inside of this one forgets what it has loaded itself."""
    model = write_model(tmp_path_factory.mktemp("loaded") / "small.onnx")
    assert wsec.compile(model, target="mesh16", effort=0.0).verify().passed


@pytest.fixture
def project(pytester: pytest.Pytester, loaded: None, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A team's folder: a model, tests, and a target for all of them."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("WSEC_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "home"))
    pytester.makeini("[pytest]\nwsec_target = mesh16\n")
    pytester.makepyfile(_TESTS)
    write_model(pytester.path / "small.onnx")
    return pytester


def test_tests_assert_on_plans(project: pytest.Pytester) -> None:
    """Options reach the compiler, one plan serves a session, and an assertion that does not hold fails its test alone."""
    result = project.runpytest("-p", "wsec.pytest_plugin", "--wsec-cache-dir", "plans")
    result.assert_outcomes(passed=3, failed=1)
    assert len([*(project.path / "plans").glob("*.plan")]) == 2
    assert not (project.path / "home" / "wsec").exists()


def test_plans_are_kept_between_runs(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run compiles nothing: it works with a compiler that fails."""
    project.runpytest("-p", "wsec.pytest_plugin", "-k", "test_whole").assert_outcomes(passed=1, deselected=3)
    assert [*(project.path / "home" / "wsec").glob("*.plan")]

    def fail(*_arguments: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("wsec.driver.compile_model", fail)
    project.runpytest("-p", "wsec.pytest_plugin", "-k", "test_whole").assert_outcomes(passed=1, deselected=3)


def test_a_cache_that_cannot_be_used_fails_no_test(project: pytest.Pytester) -> None:
    """The end of the run says what is wrong, also where warnings are errors."""
    (project.path / "plans").write_text("a file")
    result = project.runpytest(
        "-p", "wsec.pytest_plugin", "-W", "error", "-k", "test_whole", "--wsec-cache-dir", "plans"
    )
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["warning[[]WSEC526[]]: the folder of the cache cannot be used"])


def test_the_plugin_is_found_when_wsec_is_installed() -> None:
    """Pytest finds plugins by this entry point."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    assert project["entry-points"]["pytest11"] == {"wsec": "wsec.pytest_plugin"}
