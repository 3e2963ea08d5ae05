"""`action.yml`, the GitLab template and the pre-commit hook: each follows its public schema, and its commands do what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pre_commit.clientlib import InvalidManifestError, load_manifest
from ruamel.yaml import YAML
from tests.checking.conftest import write_model

from wsec.checking.cache import Cache
from wsec.checking.check import CheckRequest, check_models
from wsec.driver import Options

ROOT = Path(__file__).parents[2]


def _read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "name"), [("github-actions", "action.yml"), ("gitlab-ci", "ci/gitlab-template.yml")]
)
def test_the_file_follows_its_schema(schema: str, name: str, tmp_path: Path) -> None:
    """The schema is the public one; a mistyped key is refused. The job is looked at under a name that is not hidden."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\n.wsec-check:", "\nwsec-check:")
    wrong = text.replace("  description:", "  describtion:").replace(
        "artifacts:\n    when", "artifacts:\n    wen"
    )
    assert wrong != text
    for number, (written, status) in enumerate(((text, 0), (wrong, 1))):
        path = tmp_path / f"{number}.yml"
        path.write_text(written, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            f"vendor.{schema}",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout


def test_the_hook_is_one(tmp_path: Path) -> None:
    """pre-commit reads the manifest, and refuses one without an entry."""
    (hook,) = load_manifest(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["entry"], hook["language"]) == ("wsec-check", "wsec check -q", "python")
    wrong = tmp_path / "hooks.yaml"
    wrong.write_text(
        (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8").replace("  entry", "  enter")
    )
    with pytest.raises(InvalidManifestError):
        load_manifest(wrong)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that a run before has checked, and a program `wsec` on the path."""
    folder = tmp_path_factory.mktemp("project")
    program = folder / "bin" / "wsec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wsec "$@"\n')
    program.chmod(0o755)
    models = [write_model(folder / f"m{number}.onnx", seed=number) for number in range(2)]
    options = Options(target="mesh16", effort=0.0)
    assert check_models(models, CheckRequest(options, cache=Cache(folder / ".wsec-cache"))).passed
    return folder


def _shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],  # noqa: S607 - as the runners start it
        cwd=folder,
        env={**os.environ, **paths, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_annotates_and_fails(project: Path) -> None:
    """The step of the action as its runner starts it: annotations, a summary, and the status of the check."""
    step = _read(ROOT / "action.yml")["runs"]["steps"][-1]
    given = {
        "models": "m*.onnx",
        "baseline": "",
        "arguments": "--target mesh16 --effort 0 --max-cycles 1",
    }
    variables = {
        name: given[value.split("inputs.")[1].split()[0]] if "inputs." in value else value
        for name, value in step["env"].items()
    }
    done = _shell(step["run"], project, GITHUB_STEP_SUMMARY="summary.md", **variables)
    assert done.returncode == 1, done.stderr
    assert [line[:32] for line in done.stdout.splitlines()[:2]] == [
        "::error file=m0.onnx,title=wsec ",
        "::error file=m1.onnx,title=wsec ",
    ]
    assert (project / "summary.md").read_text(encoding="utf-8").startswith("### ❌ wsec check on mesh16")


def test_the_gitlab_job_writes_its_report_and_fails(project: Path) -> None:
    """The commands of the job: the report of JUnit is there whatever the end, and the status is that of the check."""
    job = _read(ROOT / "ci" / "gitlab-template.yml")[".wsec-check"]
    variables = {
        "WSEC_MODELS": "m*.onnx",
        "WSEC_CACHE_DIR": ".wsec-cache",
        "WSEC_ARGUMENTS": "--target mesh16 --effort 0 --max-cycles 1",
    }
    done = _shell("\n".join(job["script"]), project, **variables)
    assert (done.returncode, "REGRESSION: 2 models on mesh16" in done.stdout) == (1, True)
    assert "<failure" in (project / job["artifacts"]["reports"]["junit"]).read_text(encoding="utf-8")
