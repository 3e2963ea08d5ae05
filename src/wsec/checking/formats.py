"""A result of a check as text: for people, programs, and the pages that pipelines show (docs/check.md).

`github` are workflow commands, `sarif` is SARIF 2.1.0, `junit` the XML that CI servers read, `markdown` a comment for a
pull request. What comes from a model's name cannot become a command, an element or a cell of its own.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wsec.checking.records import CheckResult, Figures, Finding, ModelCheck
    from wsec.compiler.errors import WsecError

RESULT_FORMAT = 1
KINDS = {
    "numbers": "The plan computes other numbers than onnxruntime on the original model.",
    "interval": "The cycles between two samples are more than they may be.",
    "latency": "The cycles of one sample are more than they may be.",
    "memory": "The fullest core is fuller than it may be.",
    "split": "Less of the arithmetic is split over cores than is demanded.",
    "wafer": "Fewer operators run on the wafer than are demanded.",
    "utilisation": "Cores compute for a smaller share of their cycles than is demanded.",
}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ALWAYS = ("interval", "latency", "memory", "split")


def render(result: CheckResult, form: str) -> str:
    """The result in the format `form`, with a newline at the end."""
    forms: dict[str, Callable[[CheckResult], str]] = {
        "text": _text,
        "json": _json,
        "junit": _junit,
        "sarif": _sarif,
        "github": _github,
        "markdown": _markdown,
    }
    return forms[form](result).rstrip("\n") + "\n"


def _text(result: CheckResult) -> str:
    lines: list[str] = []
    for check in result.models:
        lines.append(
            f"{_plain(check.model)}: {check.status.name.lower()}{', cached' if check.cached else ''}"
        )
        lines.extend(f"  {line}" for line in _figure_lines(check))
        for finding in check.findings:
            lines.extend(
                (
                    f"  REGRESSION {finding.kind}: {finding.message}",
                    f"    expected: {finding.expected}",
                    f"    found:    {_plain(finding.found)}",
                )
            )
        for error in check.errors:
            lines.extend(f"  {line}" for line in _error_lines(error))
        lines.extend(f"  note: {note}" for note in check.notes)
    for error in result.errors:
        lines.extend(_error_lines(error))
    for warning in result.warnings:
        lines.extend(_error_lines(warning, "warning"))
    if result.updated:
        lines.append(f"baseline written: {_plain(result.updated)}")
    return "\n".join((*lines, _verdict(result)))


def _figure_lines(check: ModelCheck) -> Iterator[str]:
    if check.figures is None:
        return
    for label, (now, change) in _figures(check.figures, check.baseline).items():
        yield f"{label:<9} {now}{f' ({change})' if change else ''}"
    yield f"{'numbers':<9} {_numbers(check)}"


def _numbers(check: ModelCheck) -> str:
    if check.verified is None:
        return "not compared"
    return "those of onnxruntime" if check.verified else "OTHERS than those of onnxruntime"


def _figures(figures: Figures, baseline: Figures | None) -> dict[str, tuple[str, str]]:
    """Label -> the figure, and how it changed since the baseline."""
    cycles = {
        name: (
            f"{getattr(figures, f'{name}_cycles'):,} cycles",
            _growth(figures, baseline, f"{name}_cycles"),
        )
        for name in ("interval", "latency")
    }
    points = "" if baseline is None else f"{100 * (figures.split_share - baseline.split_share):+.1f} points"
    return {
        **cycles,
        "memory": (
            f"{figures.memory_share:.1%} of the fullest core",
            _growth(figures, baseline, "memory_bytes"),
        ),
        "split": (f"{figures.split_share:.1%} of the arithmetic", points),
    }


def _growth(figures: Figures, baseline: Figures | None, name: str) -> str:
    if baseline is None:
        return ""
    older, newer = getattr(baseline, name), getattr(figures, name)
    return "unchanged" if older == newer else f"{newer / older - 1:+.2%}" if older else "from none"


def _verdict(result: CheckResult) -> str:
    words = {"PASSED": "passed", "REGRESSION": "REGRESSION", "ERROR": "ERROR"}
    count = len(result.models)
    return f"{words[result.status.name]}: {count} model{'' if count == 1 else 's'} on {_plain(result.target)}"


def _error_lines(error: WsecError, word: str = "error") -> list[str]:
    lines = str(error).splitlines()
    return [_plain(line) for line in (lines[0].replace("error[", f"{word}[", 1), *lines[1:])]


def _json(result: CheckResult) -> str:
    return json.dumps(
        {
            "format": RESULT_FORMAT,
            "status": result.status.name.lower(),
            "wsec": version("wsec"),
            "target": result.target,
            "models": [_json_model(check) for check in result.models],
            "errors": [error.to_json() for error in result.errors],
            "warnings": [warning.to_json() for warning in result.warnings],
            "updated": result.updated,
        },
        indent=2,
        allow_nan=False,
    )


def _json_model(check: ModelCheck) -> dict[str, object]:
    figures, baseline = (
        None if item is None else {**asdict(item), "memory_share": item.memory_share}
        for item in (check.figures, check.baseline)
    )
    return {
        "model": check.model,
        "status": check.status.name.lower(),
        "cached": check.cached,
        "verified": check.verified,
        "seconds": round(check.seconds, 3),
        "figures": figures,
        "baseline": baseline,
        "findings": [asdict(finding) for finding in check.findings],
        "errors": [error.to_json() for error in check.errors],
        "notes": list(check.notes),
    }


def _junit(result: CheckResult) -> str:
    """A test case for each model and subject, so that a server shows each regression by itself."""
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", name="wsec check")
    for check in result.models:
        _junit_cases(suite, check)
    for error in result.errors:
        _problem(_case(suite, result.target, "check", 0.0), "error", error.code, str(error))
    counts = {
        "tests": len(suite),
        "failures": sum(1 for _ in suite.iter("failure")),
        "errors": sum(1 for _ in suite.iter("error")),
        "skipped": sum(1 for _ in suite.iter("skipped")),
    }
    for element in (root, suite):
        for name, number in counts.items():
            if name != "skipped" or element is suite:
                element.set(name, str(number))
        element.set("time", f"{sum(check.seconds for check in result.models):.3f}")
    warnings = "\n".join(line for warning in result.warnings for line in _error_lines(warning, "warning"))
    if warnings:
        ET.SubElement(suite, "system-err").text = _xml(warnings)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _junit_cases(suite: ET.Element, check: ModelCheck) -> None:
    for subject in _subjects(check):
        case = _case(suite, check.model, subject, check.seconds if subject == "compile" else 0.0)
        if subject == "compile" and check.errors:
            _problem(case, "error", check.errors[0].code, "\n".join(map(str, check.errors)))
        for finding in check.findings:
            if finding.kind == subject:
                _problem(case, "failure", finding.kind, _sentence(finding))
        if subject != "compile" and _is_skipped(check, subject):
            ET.SubElement(case, "skipped")


def _subjects(check: ModelCheck) -> list[str]:
    others = [finding.kind for finding in check.findings if finding.kind not in {"numbers", *_ALWAYS}]
    return ["compile", "numbers", *_ALWAYS, *dict.fromkeys(others)]


def _is_skipped(check: ModelCheck, subject: str) -> bool:
    return check.figures is None or (subject == "numbers" and check.verified is None)


def _case(suite: ET.Element, model: str, subject: str, seconds: float) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_xml(model), name=subject, time=f"{seconds:.3f}")


def _problem(case: ET.Element, tag: str, kind: str, text: str) -> None:
    """Two findings of one kind are one problem: readers want at most one."""
    found = case.find(tag)
    if found is None:
        first = _xml(text).splitlines()[0]
        found = ET.SubElement(case, tag, type=kind, message=first)
        found.text = _xml(text)
    else:
        found.text = f"{found.text}\n{_xml(text)}"


def _xml(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def _sarif(result: CheckResult) -> str:
    found = [
        *(
            (check.model, f"wsec-{finding.kind}", _sentence(finding))
            for check in result.models
            for finding in check.findings
        ),
        *((check.model, error.code, str(error)) for check in result.models for error in check.errors),
        *(("", error.code, str(error)) for error in result.errors),
    ]
    rules = sorted({rule for _, rule, _ in found})
    notifications = [
        {"level": "warning", "message": {"text": str(warning)}, "descriptor": {"id": warning.code}}
        for warning in result.warnings
    ]
    driver = {
        "name": "wsec",
        "version": version("wsec"),
        "rules": [{"id": rule, "shortDescription": {"text": _rule_text(rule, result)}} for rule in rules],
    }
    run: dict[str, object] = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": result.status.name != "ERROR",
                "exitCode": int(result.status),
                "toolExecutionNotifications": notifications,
            }
        ],
        "results": [_sarif_result(model, rule, rules.index(rule), text) for model, rule, text in found],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _sarif_result(model: str, rule: str, index: int, text: str) -> dict[str, object]:
    entry: dict[str, object] = {
        "ruleId": rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": text},
    }
    if model:
        entry["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(model)}}}]
    return entry


def _rule_text(rule: str, result: CheckResult) -> str:
    kind = rule.removeprefix("wsec-")
    if kind in KINDS:
        return KINDS[kind]
    errors = [*result.errors, *(error for check in result.models for error in check.errors)]
    return next(f"{error.what[:1].upper()}{error.what[1:]}." for error in errors if error.code == rule)


def _uri(model: str) -> str:
    path = PurePath(model)
    return Path(model).as_uri() if path.is_absolute() else urllib.parse.quote(path.as_posix())


def _github(result: CheckResult) -> str:
    lines: list[str] = []
    for check in result.models:
        lines.extend(
            _command("error", check.model, f"wsec {finding.kind}", _sentence(finding))
            for finding in check.findings
        )
        lines.extend(_command("error", check.model, error.code, str(error)) for error in check.errors)
        lines.extend(_command("notice", check.model, "wsec", note) for note in check.notes)
    lines.extend(_command("error", "", error.code, str(error)) for error in result.errors)
    lines.extend(_command("warning", "", warning.code, str(warning)) for warning in result.warnings)
    for check in result.models:
        said = (
            ", ".join(now for now, _ in _figures(check.figures, check.baseline).values())
            if check.figures
            else "-"
        )
        lines.append(f"wsec: {_plain(check.model)}: {check.status.name.lower()}; {said}")
    return "\n".join((*lines, f"wsec: {_verdict(result)}"))


def _command(level: str, file: str, title: str, message: str) -> str:
    """A workflow command; percent signs, ends of lines and the separators of properties are escaped."""
    properties = {**({"file": file} if file else {}), "title": title}
    said = ",".join(
        f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    return f"::{level} {said}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _markdown(result: CheckResult) -> str:
    marks = {"PASSED": "✅", "REGRESSION": "❌", "ERROR": "⚠️"}
    lines = [f"### {marks[result.status.name]} wsec check on {_cell(result.target)}", ""]
    if result.models:
        lines += [
            "| model | interval | latency | memory | split | numbers | |",
            "|---|--:|--:|--:|--:|---|---|",
        ]
    for check in result.models:
        cells = ["-"] * 4
        if check.figures is not None:
            pairs = _figures(check.figures, check.baseline).values()
            cells = [_cell(f"{now}{f' ({change})' if change else ''}") for now, change in pairs]
        row = (
            _cell(check.model),
            *cells,
            _numbers(check),
            f"{marks[check.status.name]} {check.status.name.lower()}",
        )
        lines.append(f"| {' | '.join(row)} |")
    items = [
        *(
            f"- {_cell(check.model)}: {_cell(_sentence(finding))}"
            for check in result.models
            for finding in check.findings
        ),
        *(
            f"- {_cell(check.model)}: {_cell(_one_line(error))}"
            for check in result.models
            for error in check.errors
        ),
        *(f"- {_cell(_one_line(error))}" for error in result.errors),
        *(f"- warning: {_cell(_one_line(warning))}" for warning in result.warnings),
        *(f"- {_cell(check.model)}: {_cell(note)}" for check in result.models for note in check.notes),
    ]
    return "\n".join((*lines, *(["", *items] if items else [])))


def _cell(text: str) -> str:
    """A text that stays in its cell and is no markup."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", _plain(text))


def _one_line(error: WsecError) -> str:
    said = f"{error.code}: {error.what}"
    return f"{said}: found {error.found}" if error.found else said


def _sentence(finding: Finding) -> str:
    return f"{finding.message}: expected {finding.expected}; found {finding.found}"


def _plain(text: str) -> str:
    """On one line, with nothing that could steer a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
