"""The pytest plugin: `wsec_plan` compiles a model through the cache, so that teams assert on plans in their own tests.

def test_it_fits_twice(wsec_plan):
    plan = wsec_plan("models/encoder.onnx", target="wse3")
    assert plan.estimate().interval_cycles < 10_000
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.checking.cache import Cache
    from wsec.loaded_plan import Plan

_DESCRIPTION = "folder of the plans that wsec_plan keeps between runs; WSEC_CACHE_DIR or the user's cache folder by default"


class WsecPlan(Protocol):
    """Compiles an ONNX file, relative to pytest's root folder; options are those of `wsec.driver.Options`.

    The same file with the same options gives the same plan object for the whole session: tests only read it.
    """

    def __call__(self, model: str | Path, **options: Any) -> Plan:
        """The plan.

        Raises:
            WsecError: As `wsec.compile`.
            TypeError: There is no such option.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the configuration file."""
    group = parser.getgroup("wsec")
    group.addoption("--wsec-cache-dir", metavar="DIR", default=None, help=_DESCRIPTION)
    parser.addini("wsec_cache_dir", _DESCRIPTION, default="")
    parser.addini("wsec_target", "target of wsec_plan where a test names none", default="wse2")


_CACHE: pytest.StashKey[Cache] = pytest.StashKey()


@pytest.fixture(scope="session")
def wsec_plan(pytestconfig: pytest.Config) -> WsecPlan:
    """Compiles models; see `WsecPlan`."""
    from wsec.checking.cache import Cache, default_folder
    from wsec.checking.check import compile_cached
    from wsec.driver import Options

    given = pytestconfig.getoption("wsec_cache_dir") or pytestconfig.getini("wsec_cache_dir")
    cache = Cache(pytestconfig.rootpath / given if given else default_folder())
    pytestconfig.stash[_CACHE] = cache
    plans: dict[str, Plan] = {}

    def compile_plan(model: str | Path, **options: Any) -> Plan:
        path = pytestconfig.rootpath / model
        chosen = Options(**{"target": pytestconfig.getini("wsec_target"), **options})
        key = f"{path} {chosen!r}"
        if key not in plans:
            plans[key] = compile_cached(path, chosen, cache)
        return plans[key]

    return compile_plan


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was wrong with the cache: no test fails of it."""
    cache = config.stash.get(_CACHE, None)
    for warning in () if cache is None else cache.warnings:
        terminalreporter.write_line(str(warning).replace("error[", "warning[", 1))
