"""The formats of `wsec check`, each read by somebody else's reader: what pipelines show is what was found.

SARIF is read by pydantic-sarif, whose records are generated from the schema of SARIF 2.1.0; JUnit by junitparser,
and held against `junit.xsd`, which was written for these tests after what CI servers document: JUnit XML has no public schema of its own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import junitparser
import pytest
import xmlschema
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif
from tests.checking.conftest import write_model

from wsec.checking.formats import render
from wsec.checking.records import CheckResult, CheckStatus, Figures, Finding, ModelCheck
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

NASTY = 'models/a b,c:d%|<&>"\x1b[2J\n::error::`*é.onnx'
FIGURES = Figures(1020, 5000, 900, 1000, 0.95, 1.0, 0.5, 4)
OLDER = Figures(1000, 5000, 900, 1000, 0.95, 1.0, 0.5, 4)
ERROR = WsecError(
    "WSEC524", "the baseline does not know this model", found="figures of a, b & c", hint="add it"
)
WARNING = WsecError("WSEC527", "an entry of the cache is damaged and was not used", where="cache/x.json")
RESULT = CheckResult(
    target="wse2",
    models=(
        ModelCheck("models/good.onnx", FIGURES, FIGURES, verified=True, cached=True, seconds=0.25),
        ModelCheck(
            NASTY,
            FIGURES,
            OLDER,
            verified=False,
            findings=(
                Finding("numbers", "the plan computes other numbers", "equal", "output \x07'y'"),
                Finding("interval", "the interval has grown", "at most 1,000", "1,020"),
                Finding("interval", "the interval has more cycles than it may", "at most 1,010", "1,020"),
                Finding("wafer", "the share wafer is too small", "at least 100%", "90%"),
            ),
            notes=("the model has changed",),
            seconds=1.5,
        ),
        ModelCheck("models/bad.onnx", errors=(ERROR,)),
    ),
    warnings=(WARNING,),
)


def test_sarif_follows_its_schema() -> None:
    """Every key is one of the standard's; rules, levels and places are those of what was found, and names are URIs."""
    text = render(RESULT, "sarif")
    log = Sarif.model_validate_json(text)
    (run,) = log.runs
    rules = [rule.id for rule in run.tool.driver.rules or ()]
    assert rules == ["WSEC524", "wsec-interval", "wsec-numbers", "wsec-wafer"]
    found = [(item.ruleId, rules[item.ruleIndex or 0]) for item in run.results or ()]
    assert found == [
        (rule, rule) for rule in ("wsec-numbers", "wsec-interval", "wsec-interval", "wsec-wafer", "WSEC524")
    ]
    plain = json.loads(text)["runs"][0]
    uris = [item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for item in plain["results"]]
    assert uris[0] == "models/a%20b%2Cc%3Ad%25%7C%3C%26%3E%22%1B%5B2J%0A%3A%3Aerror%3A%3A%60%2A%C3%A9.onnx"
    assert uris[-1] == "models/bad.onnx"
    assert plain["invocations"][0]["executionSuccessful"] is False
    assert "WSEC527" in json.dumps(plain["invocations"][0]["toolExecutionNotifications"])
    with pytest.raises(ValueError, match="unknown_key"):  # the reader is strict
        Sarif.model_validate_json(text.replace('"tool"', '"unknown_key": 1, "tool"'))


def test_junit_is_read_by_its_parser(tmp_path: Path) -> None:
    """A case for each model and subject; failures, errors and what was not looked at are counted as the cases say."""
    path = tmp_path / "junit.xml"
    path.write_text(render(RESULT, "junit"), encoding="utf-8")
    document = junitparser.JUnitXml.fromfile(str(path))
    assert (document.tests, document.failures, document.errors) == (19, 3, 1)
    (suite,) = document
    cases = {(case.classname, case.name): case.result for case in suite}
    assert len(cases) == 19
    name = next(model for model, _ in cases if model.startswith("models/a b"))
    assert name.endswith("é.onnx")
    (failure,) = cases[name, "interval"]
    assert isinstance(failure, junitparser.Failure)
    assert failure.message == "the interval has grown: expected at most 1,000; found 1,020"
    assert "more cycles than it may" in failure.text
    assert isinstance(cases["models/bad.onnx", "compile"][0], junitparser.Error)
    assert isinstance(cases["models/bad.onnx", "memory"][0], junitparser.Skipped)
    assert cases["models/good.onnx", "numbers"] == []
    assert "<system-err>warning[WSEC527]" in path.read_text(encoding="utf-8")
    before = (suite.tests, suite.failures, suite.errors, suite.skipped)
    suite.update_statistics()  # type: ignore[no-untyped-call]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == before


def test_junit_follows_its_schema() -> None:
    """Elements, attributes, required ones and numbers, with findings and without models; other attributes are refused."""
    schema = xmlschema.XMLSchema10(Path(__file__).with_name("junit.xsd"))
    text = render(RESULT, "junit")
    for written in (text, render(CheckResult("wse2", (), errors=(ERROR,)), "junit")):
        schema.validate(written.encode())
    for wrong in (
        text.replace("<testsuite name=", "<testsuite title="),
        text.replace('failures="', 'failures="-'),
        text.replace("<failure ", "<fault ").replace("</failure>", "</fault>"),
    ):
        assert not schema.is_valid(wrong.encode())


def test_github_commands_say_what_was_found() -> None:
    """Read as the runner reads them: one command a line, with file and title unescaped; a name cannot start another."""
    lines = render(RESULT, "github").splitlines()
    commands = []
    for line in lines:
        match = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
        if match is None:
            assert line.startswith("wsec: ")
            continue
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        commands.append(
            (match[1], {key: _unescaped(value) for key, value in properties.items()}, _unescaped(match[3]))
        )
    assert [(level, said.get("file"), said["title"]) for level, said, _ in commands] == [
        ("error", NASTY, "wsec numbers"),
        ("error", NASTY, "wsec interval"),
        ("error", NASTY, "wsec interval"),
        ("error", NASTY, "wsec wafer"),
        ("notice", NASTY, "wsec"),
        ("error", "models/bad.onnx", "WSEC524"),
        ("warning", None, "WSEC527"),
    ]
    assert commands[5][2] == str(ERROR)
    assert lines[-1] == "wsec: ERROR: 3 models on wse2"


def _unescaped(text: str) -> str:
    for code, char in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text


def test_markdown_is_one_table() -> None:
    """As many cells in each row as in the head, whatever a model is called; the change stands beside the figure."""
    lines = render(RESULT, "markdown").splitlines()
    assert lines[0] == "### ⚠️ wsec check on wse2"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 5
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "1,020 cycles (+2.00%)" in rows[3]
    assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_json_has_everything() -> None:
    """The keys are those of docs/check.md."""
    plain = json.loads(render(RESULT, "json"))
    assert [*plain] == ["format", "status", "wsec", "target", "models", "errors", "warnings", "updated"]
    assert [item["status"] for item in plain["models"]] == ["passed", "regression", "error"]
    assert plain["models"][0]["figures"]["memory_share"] == pytest.approx(0.9)
    assert plain["models"][1]["findings"][1] == {
        "kind": "interval",
        "message": "the interval has grown",
        "expected": "at most 1,000",
        "found": "1,020",
    }
    assert plain["models"][2]["errors"] == [ERROR.to_json()]


def test_text_is_for_people() -> None:
    """Read whole; nothing in it can steer a terminal."""
    assert render(CheckResult("wse2", RESULT.models[:1], updated="b.json"), "text") == (
        "models/good.onnx: passed, cached\n"
        "  interval  1,020 cycles (unchanged)\n"
        "  latency   5,000 cycles (unchanged)\n"
        "  memory    90.0% of the fullest core (unchanged)\n"
        "  split     95.0% of the arithmetic (+0.0 points)\n"
        "  numbers   those of onnxruntime\n"
        "baseline written: b.json\n"
        "passed: 1 model on wse2\n"
    )
    text = render(RESULT, "text")
    assert "REGRESSION interval: the interval has grown" in text
    assert "warning[WSEC527]: an entry of the cache is damaged" in text
    assert all(char.isprintable() or char == "\n" for char in text)


def test_nothing_at_all_is_still_each_format() -> None:
    """An error before the first model is in every format."""
    result = CheckResult("wse2", (), errors=(ERROR,))
    assert result.status is CheckStatus.ERROR
    Sarif.model_validate_json(render(result, "sarif"))
    assert junitparser.JUnitXml.fromstring(render(result, "junit").encode()).errors == 1
    for form in ("text", "json", "github", "markdown"):
        assert "WSEC524" in render(result, form)


def test_the_command_ends_as_the_check_does(wsec: Wsec, tmp_path: Path) -> None:
    """0, 1 and 2; errors of the model end with 2, and every format is written to a file."""
    model = write_model(tmp_path / "small.onnx")
    common = ("--target", "mesh16", "--effort", "0", "--cache-dir", tmp_path / "cache", "-q")
    assert wsec("check", model, *common).exit_code == 0
    result = wsec("check", model, *common, "--max-cycles", "1", "--format", "github")
    assert (result.exit_code, result.output.startswith("::error file=")) == (1, True)
    assert wsec("check", tmp_path / "none.onnx", *common).exit_code == 2
    assert wsec("check", model, *common, "--baseline", tmp_path / "b.json").exit_code == 2
    for form in ("json", "junit", "sarif", "markdown"):
        assert wsec("check", model, *common, "--format", form, "-o", tmp_path / form).output == ""
        assert (tmp_path / form).stat().st_size > 100
    result = wsec("check", model, *common, "-o", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == (
        "error[WSEC525]: the result cannot be written\n"
        f"  where:    {tmp_path}\n"
        "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
        "  found:    a folder\n"
        "  try:      choose another place, or free some room; an older file is as it was\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-cycles", "+2%"), "--max-cycles +N% compares with --baseline"),
        (("--max-cycles", "2%"), "'2%' is neither a growth such as +2% nor a number of cycles"),
        (("--max-memory", "90"), "'90' is not a share from 0% to 100%"),
        (("--require", "splat=9%"), "'splat=9%' is not NAME=SHARE with a name of split, wafer, utilisation"),
        (("--cache-size", "4 apples"), "'4 apples' is no size"),
    ],
)
def test_a_limit_that_is_none_is_a_usage_error(wsec: Wsec, arguments: tuple[str, ...], message: str) -> None:
    """A typo in a pipeline does not pass for a limit."""
    result = wsec("check", "model.onnx", *arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr)
