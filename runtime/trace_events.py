"""Traces that Chrome (about:tracing) and Perfetto show, from spans on named tracks; a cycle is a microsecond there.

The format is Chrome's Trace Event Format, of which four kinds of events are used: complete events (X), counters (C), and
metadata (M) that names and sorts processes and threads.
"""

from __future__ import annotations

import heapq
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wsec.runtime.whole_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

TRACE_FILE = OutputFile("WSEC584", "the trace cannot be written", "choose another place with --trace")


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took a while.

    Attributes:
        process: What it belongs to: a wafer.
        track: The line it is drawn on: a kernel, a link, the phases.
        name: What was done.
        category: For viewers that filter.
        begin: First cycle.
        end: The cycle after the last, greater than `begin`.
        arguments: What is shown of it on demand.
        words: That a link carries meanwhile; 0 of what is no link.
    """

    process: str
    track: str
    name: str
    category: str
    begin: int
    end: int
    arguments: Mapping[str, int | str] = field(default_factory=dict)
    words: int = 0


def trace_document(spans: Sequence[Span], cycles: int, **other: int) -> dict[str, Any]:
    """What the JSON of a trace says.

    Processes and tracks come in the order in which they are first named. Spans of a track that overlap are drawn on lines
    of their own, so that on none does one span begin inside another. Counters say, for each process, how many links have
    words on them and how many words these are.

    Args:
        spans: In any order of time.
        cycles: From the first to the last, for `otherData`.
        other: More numbers for `otherData`.
    """
    by_process: dict[str, list[Span]] = {}
    for span in spans:
        by_process.setdefault(span.process, []).append(span)
    events: list[dict[str, Any]] = []
    for pid, (process, own) in enumerate(by_process.items()):
        events += _named("process", process, pid, 0, pid)
        events += _tracks(own, pid)
        events += _link_counters(own, pid)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"cycles": cycles, "cycles_per_microsecond": 1, **other},
    }


def write_trace(path: Path, document: Mapping[str, Any]) -> None:
    """Write a trace, whole or not at all.

    Raises:
        WsecError: WSEC584 where it cannot be written.
    """
    TRACE_FILE.write(path, f"{json.dumps(document)}\n".encode())


def _named(kind: str, name: str, pid: int, tid: int, number: int) -> list[dict[str, Any]]:
    of = {"ph": "M", "pid": pid, "tid": tid, "ts": 0}
    return [
        {**of, "name": f"{kind}_name", "args": {"name": name}},
        {**of, "name": f"{kind}_sort_index", "args": {"sort_index": number}},
    ]


def _tracks(spans: Iterable[Span], pid: int) -> Iterator[dict[str, Any]]:
    by_track: dict[str, list[Span]] = {}
    for span in spans:
        by_track.setdefault(span.track, []).append(span)
    tids = itertools.count(1)
    for track, own in by_track.items():
        for number, line in enumerate(_lines(own), 1):
            tid = next(tids)
            yield from _named("thread", track if number == 1 else f"{track} ({number})", pid, tid, tid)
            yield from (_complete(span, pid, tid) for span in line)


def _lines(spans: Iterable[Span]) -> list[list[Span]]:
    """The spans on the fewest lines on which they are disjoint: the first line that is free takes the next to begin."""
    lines: list[list[Span]] = []
    busy: list[tuple[int, int]] = []  # (end, line)
    free: list[int] = []
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        while busy and busy[0][0] <= span.begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            lines.append([])
            free.append(len(lines) - 1)
        line = heapq.heappop(free)
        lines[line].append(span)
        heapq.heappush(busy, (span.end, line))
    return lines


def _complete(span: Span, pid: int, tid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.category,
        "pid": pid,
        "tid": tid,
        "ts": span.begin,
        "dur": span.end - span.begin,
        "args": dict(span.arguments),
    }


def _link_counters(spans: Iterable[Span], pid: int) -> Iterator[dict[str, Any]]:
    changes: dict[int, tuple[int, int]] = {}
    for span in spans:
        if span.words:
            for at, sign in ((span.begin, 1), (span.end, -1)):
                links, words = changes.get(at, (0, 0))
                changes[at] = links + sign, words + sign * span.words
    links = words = 0
    for at in sorted(changes):
        links, words = links + changes[at][0], words + changes[at][1]
        of = {"ph": "C", "pid": pid, "tid": 0, "ts": at}
        yield {**of, "name": "links in use", "args": {"links": links}}
        yield {**of, "name": "words of links on their way", "args": {"words": words}}
