"""Reads traces by the rules of Chrome's Trace Event Format, and knows nothing of what wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Read:
    """A trace: processes by number, tracks by (process, thread), spans by track, counters by (process, name)."""

    processes: dict[int, str]
    tracks: dict[tuple[int, int], str]
    spans: dict[tuple[int, int], list[tuple[int, int, str, dict[str, Any]]]]
    counters: dict[tuple[int, str], list[tuple[int, dict[str, int]]]]

    def named(self, track: str) -> list[tuple[int, int, str, dict[str, Any]]]:
        """The spans of the tracks with a name."""
        return [span for key, name in self.tracks.items() if name == track for span in self.spans[key]]


def read_trace(document: dict[str, Any]) -> Read:
    """Every event keeps the format: known kinds, whole and natural times, named processes and threads; spans nest."""
    read = Read({}, {}, {}, {})
    for event in document["traceEvents"]:
        assert isinstance(event["name"], str), event
        assert all(isinstance(event[key], int) and event[key] >= 0 for key in ("pid", "tid", "ts")), event
        place = (event["pid"], event["tid"])
        match event["ph"]:
            case "M":
                _read_name(event, read)
            case "X":
                assert isinstance(event["dur"], int), event
                assert event["dur"] > 0, event
                assert isinstance(event["cat"], str), event
                span = (event["ts"], event["ts"] + event["dur"], event["name"], event["args"])
                read.spans.setdefault(place, []).append(span)
            case "C":
                assert event["args"], event
                assert all(isinstance(value, int) for value in event["args"].values()), event
                read.counters.setdefault((event["pid"], event["name"]), []).append(
                    (event["ts"], event["args"])
                )
            case kind:
                raise AssertionError(f"no such kind of event: {kind}")
    assert set(read.spans) == set(read.tracks)
    assert {process for process, _ in read.tracks} <= set(read.processes)
    for spans in read.spans.values():
        _check_nesting(spans)
    for values in read.counters.values():
        assert [at for at, _ in values] == sorted({at for at, _ in values})
    return read


def _read_name(event: dict[str, Any], read: Read) -> None:
    if event["name"] == "process_name":
        assert event["pid"] not in read.processes
        read.processes[event["pid"]] = event["args"]["name"]
    elif event["name"] == "thread_name":
        assert (event["pid"], event["tid"]) not in read.tracks
        read.tracks[event["pid"], event["tid"]] = event["args"]["name"]
    else:
        assert event["name"] in {"process_sort_index", "thread_sort_index"}
        assert isinstance(event["args"]["sort_index"], int)


def _check_nesting(spans: list[tuple[int, int, str, dict[str, Any]]]) -> None:
    """Viewers draw a span of a thread below those that it lies in; one that begins in another and outlives it is lost."""
    open_until: list[int] = []
    for begin, end, name, _ in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_until and open_until[-1] <= begin:
            open_until.pop()
        assert not open_until or end <= open_until[-1], name
        open_until.append(end)
