"""The file formats of the ISPD 2020 wafer-scale placement contest: graphs in, placements out.

A malformed file ends in a `FormatError` that names file, line and column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

HEADER_KEYS: Final = ("width", "height", "wdeltat", "wlength", "wadapter", "memlimit")
FORMALS: Final = {"conv": "HWCKRSTU", "dblock": "HWF", "cblock": "HWF"}
PARTS: Final = {"conv": 1, "dblock": 3, "cblock": 4}
"""Convolutions in a kernel of each kind: so many `c` and so many `k` are chosen."""

_HOST: Final = ("input", "output")
_COMMENT: Final = re.compile(r"\(\*.*?\*\)", re.DOTALL)
_NODE: Final = re.compile(r"\s*([a-z]+)\s*\[\s*(\d+)\s*\]")
_FIELD: Final = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(?:'([^']*)'|\[([^\]]*)\]|(-?\d+))")
_EDGE: Final = re.compile(
    r"\s*([a-z]+)\s*\[\s*(\d+)\s*\]\s*:\s*\w+\s*->\s*([a-z]+)\s*\[\s*(\d+)\s*\]\s*:\s*\w+\s*(?:,\s*shape\s*:.*)?$"
)


class FormatError(Exception):
    """A file of the contest that is not as its format says."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A node: its kind, its name and its formal arguments by upper-case letter."""

    kind: str
    name: str
    formals: tuple[tuple[str, int], ...]

    def formal(self, letter: str) -> int:
        """The value of one formal argument."""
        return dict(self.formals)[letter]


@dataclass(frozen=True, slots=True)
class Graph:
    """A contest input without its input and output nodes.

    `edges` are pairs of indices into `kernels`.
    """

    test: str
    header: tuple[tuple[str, int], ...]
    kernels: tuple[Kernel, ...]
    edges: tuple[tuple[int, int], ...]

    def value(self, key: str) -> int:
        """The value of one header key."""
        return dict(self.header)[key]


@dataclass(frozen=True, slots=True)
class _Line:
    source: str
    number: int
    text: str

    def fail(self, column: int, expected: str) -> NoReturn:
        found = self.text[column:].strip()[:40] or "the end of the line"
        raise FormatError(
            f"{self.source}, line {self.number}, column {column + 1}: expected {expected}, found {found}"
        )


def read_graph(path: Path) -> Graph:
    """Read one `.kgraph` file.

    Raises:
        FormatError: It is not as the format says.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read: {error}") from error
    return parse_graph(text, path.name)


def parse_graph(text: str, source: str) -> Graph:
    """Parse the text of a graph; `source` is what errors call it."""
    header = _header(text, source)
    nodes: dict[int, Kernel | None] = {}
    edges: list[tuple[_Line, int, int, int]] = []
    names: set[str] = set()
    for line in _lines(_without_comments(text, source), source):
        if "->" in line.text:
            edges.append(_edge(line))
            continue
        index, kernel = _node(line)
        if index in nodes:
            line.fail(0, f"an index that no other node has, not {index}")
        if kernel is not None and kernel.name in names:
            line.fail(0, f"a name that no other kernel has, not {kernel.name!r}")
        nodes[index] = kernel
        names |= {kernel.name} if kernel is not None else set()
    kernels = tuple(kernel for kernel in nodes.values() if kernel is not None)
    if not kernels:
        raise FormatError(f"{source}: expected at least one kernel, found none")
    numbers = tuple((key, int(header[key])) for key in HEADER_KEYS)
    return Graph(header.get("test", source), numbers, kernels, tuple(_between_kernels(nodes, edges)))


def _between_kernels(
    nodes: Mapping[int, Kernel | None], edges: Sequence[tuple[_Line, int, int, int]]
) -> Iterator[tuple[int, int]]:
    """The edges that have a kernel at both ends, by position among the kernels."""
    position = {index: at for at, index in enumerate(each for each in nodes if nodes[each] is not None)}
    for line, column, start, end in edges:
        for index in (start, end):
            if index not in nodes:
                line.fail(column, f"indices of nodes, and there is no node {index}")
        if start in position and end in position:
            yield position[start], position[end]


def _without_comments(text: str, source: str) -> str:
    """The text with comments blanked, so that lines and columns stay."""
    bare = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    if (at := bare.find("(*")) >= 0:
        line = bare.count("\n", 0, at)
        _Line(source, line + 1, bare.split("\n")[line]).fail(
            at - bare.rfind("\n", 0, at) - 1, "a comment that is closed by *)"
        )
    return bare


def _lines(text: str, source: str) -> Iterator[_Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _Line(source, number, line.rstrip())


def _header(text: str, source: str) -> Mapping[str, str]:
    """The `key=value` lines of the first comment, which comes before any node."""
    found = _COMMENT.search(text)
    if found is None or text[: found.start()].strip():
        raise FormatError(f"{source}, line 1, column 1: expected a comment with the header, found none")
    first = text.count("\n", 0, found.start()) + 1
    values: dict[str, str] = {}
    for number, line in enumerate(found.group()[2:-2].split("\n"), start=first):
        key, equals, value = line.partition("=")
        if not line.strip():
            continue
        shown = _Line(source, number, line)
        if not equals:
            shown.fail(0, "key=value")
        if key.strip() in HEADER_KEYS and not re.fullmatch(r"\d+", value.strip()):
            shown.fail(len(key) + 1, f"a whole number for {key.strip()}")
        values[key.strip()] = value.strip()
    missing = [key for key in HEADER_KEYS if key not in values]
    if missing:
        raise FormatError(f"{source}, line {first}, column 1: expected {', '.join(missing)} in the header")
    for key in ("width", "height"):
        if int(values[key]) < 1:
            raise FormatError(f"{source}, line {first}, column 1: expected a {key} of at least 1, found 0")
    return values


def _edge(line: _Line) -> tuple[_Line, int, int, int]:
    found = _EDGE.match(line.text)
    if found is None:
        line.fail(len(line.text) - len(line.text.lstrip()), "kind[index]:port -> kind[index]:port")
    return line, found.start(1), int(found.group(2)), int(found.group(4))


def _node(line: _Line) -> tuple[int, Kernel | None]:
    """Index and kernel of a node line; no kernel for input and output, which stand outside of the grid."""
    found = _NODE.match(line.text)
    if found is None:
        line.fail(0, "a node, kind[index], or an edge")
    kind, index = found.group(1), int(found.group(2))
    if kind not in FORMALS and kind not in _HOST:
        line.fail(found.start(1), f"one of {', '.join((*FORMALS, *_HOST))}")
    fields = _fields(line, found.end())
    if kind in _HOST:
        return index, None
    # Arguments of blocks are written in lower case, although they are formal.
    values = {letter: fields.get(letter, fields.get(letter.lower())) for letter in FORMALS[kind]}
    formals: list[tuple[str, int]] = []
    for letter, value in values.items():
        if value is None:
            line.fail(found.start(1), f"the argument {letter} of {kind}")
        number, column = value
        if not number.isdigit() or int(number) < 1:
            line.fail(column, f"a whole number of at least 1 for {letter}")
        formals.append((letter, int(number)))
    if "name" not in fields or not fields["name"][0]:
        line.fail(found.start(1), f"the name of {kind}")
    kernel = Kernel(kind, fields["name"][0], tuple(formals))
    _check_block(line, kernel)
    return index, kernel


def _fields(line: _Line, start: int) -> dict[str, tuple[str, int]]:
    """The first value of each key, with its column: input and output nodes may have a second name."""
    fields: dict[str, tuple[str, int]] = {}
    while line.text[start:].strip():
        found = _FIELD.match(line.text, start)
        if found is None:
            line.fail(start, "key=value")
        value = next(group for group in found.groups()[1:] if group is not None)
        fields.setdefault(found.group(1), (value.strip(), found.end() - len(value)))
        start = found.end()
    return fields


def _check_block(line: _Line, kernel: Kernel) -> None:
    """Blocks have a quarter of their filters, and cblocks half their height and width, in some convolutions."""
    if kernel.kind == "conv":
        return
    if kernel.formal("F") % 4:
        line.fail(0, f"a multiple of 4 for the f of {kernel.kind}")
    if kernel.kind == "cblock" and (kernel.formal("H") % 2 or kernel.formal("W") % 2):
        line.fail(0, "even h and w for a cblock")


@dataclass(frozen=True, slots=True)
class PlacedKernel:
    """What a placement file says of one kernel: execution arguments `h w c... k...`, position and orientation."""

    kernel: Kernel
    arguments: tuple[int, ...]
    x: int
    y: int
    turned: bool


def placement_text(placed: Sequence[PlacedKernel]) -> str:
    """A placement in the contest's output format."""
    lines = ['include "common.paint"']
    for each in placed:
        numbers = [value for _, value in each.kernel.formals] + list(each.arguments)
        name = each.kernel.name
        lines.append(f"{name} = {each.kernel.kind}( {' '.join(map(str, numbers))} )")
        lines.append(f"{name} : name('{name})")
        lines.append(f"{name} : place({each.x} {each.y} {'R90' if each.turned else 'R0'})")
    lines.append(f"kmap = union( {' '.join(each.kernel.name for each in placed)} )")
    return "\n".join(lines) + "\n"
