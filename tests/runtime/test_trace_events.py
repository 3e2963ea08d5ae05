"""Traces keep the format that viewers read, whatever overlaps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_reader import read_trace

from wsec.compiler.errors import WsecError
from wsec.runtime.trace_events import Span, trace_document, write_trace

if TYPE_CHECKING:
    from pathlib import Path


@st.composite
def _spans(draw: st.DrawFn) -> Span:
    begin, length = draw(st.integers(0, 40)), draw(st.integers(1, 20))
    process, track = draw(st.sampled_from("pq")), draw(st.sampled_from(["a", "b", "é"]))
    words = draw(st.sampled_from([0, 0, 1, 7]))
    return Span(process, track, draw(st.sampled_from("xy")), "kernel", begin, begin + length, {"n": 1}, words)


@given(st.lists(_spans(), max_size=25))
def test_any_spans_keep_the_format(spans: list[Span]) -> None:
    """All spans come back; on no track does one begin inside another, though they may overlap as given."""
    read = read_trace(json.loads(json.dumps(trace_document(spans, 60))))
    found = [
        (read.processes[pid], read.tracks[pid, tid].partition(" (")[0], begin, end, name)
        for (pid, tid), of_track in read.spans.items()
        for begin, end, name, _ in of_track
    ]
    assert sorted(found) == sorted((s.process, s.track, s.begin, s.end, s.name) for s in spans)
    for of_track in read.spans.values():
        assert all(
            before[1] <= after[0]
            for before, after in zip(sorted(of_track), sorted(of_track)[1:], strict=False)
        )


@given(st.lists(_spans(), max_size=25))
def test_no_more_lines_than_overlap(spans: list[Span]) -> None:
    """A track has as many lines as spans are at work at once at most."""
    read = read_trace(trace_document(spans, 60))
    for process, track in {(span.process, span.track) for span in spans}:
        own = [span for span in spans if (span.process, span.track) == (process, track)]
        most = max(sum(span.begin <= at < span.end for span in own) for at in range(60))
        lines = [
            name
            for (pid, _), name in read.tracks.items()
            if read.processes[pid] == process and name.partition(" (")[0] == track
        ]
        assert len(lines) == most


@given(st.lists(_spans(), max_size=25))
def test_counters_say_what_is_on_the_links(spans: list[Span]) -> None:
    """At each cycle the counter has the links with words on them, and these words; none are left at the end."""
    read = read_trace(trace_document(spans, 60))
    numbers = {name: pid for pid, name in read.processes.items()}
    for process in {span.process for span in spans if span.words}:
        own = [span for span in spans if span.process == process and span.words]
        links = read.counters[numbers[process], "links in use"]
        words = read.counters[numbers[process], "words of links on their way"]
        for at in range(61):
            there = [span for span in own if span.begin <= at < span.end]
            assert _value(links, at) == {"links": len(there)}
            assert _value(words, at) == {"words": sum(span.words for span in there)}


def _value(counter: list[tuple[int, dict[str, int]]], at: int) -> dict[str, int]:
    name = next(iter(counter[0][1]))
    return next((value for begin, value in reversed(counter) if begin <= at), {name: 0})


def test_an_older_trace_survives_what_cannot_be_written(tmp_path: Path) -> None:
    """A place that is a folder is refused as it is; a file is replaced whole, and nothing is left beside it."""
    write_trace(tmp_path / "trace.json", trace_document([], 1))
    with pytest.raises(WsecError) as caught:
        write_trace(tmp_path, trace_document([], 2))
    assert caught.value.code == "WSEC584"
    assert caught.value.found == "a folder"
    write_trace(tmp_path / "trace.json", trace_document([], 3))
    assert json.loads((tmp_path / "trace.json").read_text())["otherData"]["cycles"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]
