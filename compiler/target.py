"""What the machine is: one frozen description per target, read from TOML and linted on load.

A target that loads is complete, of the right types, inside every range and consistent with itself; whatever is
wrong with a file is reported in one error. The description is embedded in every plan, so it holds plain numbers,
strings and tables only. The values shipped with wsec stand in `compiler/targets/`, each with its source.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from wsec.compiler.errors import WsecError
from wsec.compiler.extensions import TARGETS_GROUP, LoadError, extensions, load_attribute
from wsec.compiler.target_lint import SumRule, lint_sums, lint_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from wsec.compiler.extensions import Extension

Extent = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
PositiveExtent = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
PositiveCount = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
StoreBytes = Annotated[int, msgspec.Meta(ge=1, le=2**60)]
PositiveNumber = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

DTYPES = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)
"""The element types a core computes with; every one has an entry in `Core.lanes`."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The cores of one wafer.

    Attributes:
        width: Columns of the largest rectangle a program may use.
        height: Rows of it.
        fabric_width: Columns of the whole fabric, those of the host I/O included.
        fabric_height: Rows of it.
        host_columns: Columns which the host I/O keeps.
        host_rows: Rows which the host I/O keeps.
    """

    width: PositiveExtent
    height: PositiveExtent
    fabric_width: PositiveExtent
    fabric_height: PositiveExtent
    host_columns: Extent
    host_rows: Extent

    @property
    def cores(self) -> int:
        """Cores a program may use."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class MatrixUnit:
    """What multiplies small matrices, beside the vector instructions of a core.

    Attributes:
        rows: Positions (pixels, rows of the first factor) of a step, which share a tile of the second factor.
        columns: Results (output channels, columns of the second factor) of a step for each position.
        depth: Elements (input channels) that a step sums for each result.
        loops: Loops over tiles that one instruction walks by itself.
        start_cycles: From the first operands of an instruction to its first result.
    """

    rows: PositiveCount
    columns: PositiveCount
    depth: PositiveCount
    loops: PositiveCount
    start_cycles: Count

    def step_cycles(self, lanes: float) -> float:
        """Cycles of a step on elements of which `lanes` are multiplied and added in a cycle."""
        return max(1.0, self.rows * self.columns * self.depth / lanes)


@dataclass(frozen=True, slots=True)
class Core:
    """One processing element: compute engine and memory.

    Attributes:
        sram_bytes: Memory of a core.
        code_reserve_bytes: The part of it kept for instructions and stack.
        read_bytes_per_cycle: What the memory delivers.
        write_bytes_per_cycle: What the memory takes.
        lanes: Element type -> multiply-adds per cycle of a running vector instruction.
        issue_cycles: To issue one vector instruction; a loop around one instruction alone costs no more.
        loop_cycles: One iteration of any other loop: counter, branch, and the descriptors of what is inside.
        wide_step_cycles: One step of a vector whose accesses are as wide as the write port; 1 without bank conflicts.
        task_switch_cycles: From one task to the next.
        divide_cycles: One division, element by element.
        transcendental_cycles: One exp, tanh, erf, log or power, element by element.
        dma_engines: That move words of links between memory and router while the core computes; 0 where its instructions do.
        matrix_unit: For products, where the core has one; they take it where it is faster than vectors.
    """

    sram_bytes: PositiveCount
    code_reserve_bytes: Count
    read_bytes_per_cycle: PositiveCount
    write_bytes_per_cycle: PositiveCount
    issue_cycles: PositiveNumber
    loop_cycles: PositiveNumber
    wide_step_cycles: PositiveNumber
    task_switch_cycles: Count
    divide_cycles: PositiveCount
    transcendental_cycles: PositiveCount
    lanes: dict[str, PositiveNumber] = field(hash=False, metadata={"keys": DTYPES})
    dma_engines: Count = 0
    matrix_unit: MatrixUnit | None = None

    @property
    def data_bytes(self) -> int:
        """Memory left for weights, activations and buffers."""
        return self.sram_bytes - self.code_reserve_bytes

    def step_cycles(self, dtype: str) -> float:
        """One step of a vector over all lanes. Banks are in each other's way only where it is as wide as the write port.

        Types of one byte are widened to two.
        """
        item_bytes = {"64": 8, "32": 4}.get(dtype[-2:], 2)
        wide = self.lanes[dtype] * item_bytes >= self.write_bytes_per_cycle
        return self.wide_step_cycles if wide else 1.0


@dataclass(frozen=True, slots=True)
class Fabric:
    """The routers and what joins them.

    Attributes:
        hop_cycles: From one router to its neighbour; with dead cores between them, on average.
        ramp_cycles: From router to core, or back.
        link_words_per_cycle: Words per cycle and direction between two routers, and between a router and its core.
        word_bytes: Payload of one wavelet.
        colours: Virtual channels of a router.
        reserved_colours: Those the host I/O keeps.
        kernel_colours: Those kept for exchanges and collectives inside kernels.
        input_queues: Queues from router to core.
        output_queues: Queues from core to router.
        queue_words: Depth of a queue.
    """

    hop_cycles: PositiveNumber
    ramp_cycles: Count
    link_words_per_cycle: PositiveCount
    word_bytes: PositiveCount
    colours: PositiveCount
    reserved_colours: Count
    kernel_colours: Count
    input_queues: PositiveCount
    output_queues: PositiveCount
    queue_words: PositiveCount

    @property
    def cycle_bytes(self) -> int:
        """Payload of what passes a link, or a core's ramp, in a cycle."""
        return self.word_bytes * self.link_words_per_cycle

    @property
    def link_colours(self) -> int:
        """Colours left for the links between kernels."""
        return self.colours - self.reserved_colours - self.kernel_colours


@dataclass(frozen=True, slots=True)
class Host:
    """The way in and out of the wafer.

    Attributes:
        bits_per_second: What the link is built for, in each direction; estimates take this.
        measured_bits_per_second: What copies were measured to reach, if anybody did; plans say where it would be the
            bottleneck.
    """

    bits_per_second: PositiveNumber
    measured_bits_per_second: PositiveNumber | None = None


@dataclass(frozen=True, slots=True)
class ExternalMemory:
    """Weight memory beside the wafer: its size, and what it delivers in `bits_per_second`."""

    bytes: StoreBytes
    bits_per_second: PositiveNumber


@dataclass(frozen=True, slots=True)
class WaferLink:
    """From one wafer to the next: the time of a message, and its rate in `bits_per_second`."""

    seconds_per_hop: PositiveNumber
    bits_per_second: PositiveNumber


@dataclass(frozen=True, slots=True)
class Overheads:
    """Cycles that instructions and steps of hand-written core programs were measured to take, `cost/programs.py`.

    Attributes:
        plain_lanes: Elements of fp16 that a vector instruction takes at once where it does not ask for words of 64 bits.
        scalar_loop_cycles: A vector instruction that a scalar loop sets up anew.
        collective_start_cycles: Before the first word of a collective and after its last.
        step_cycles: From one task of a layer, or one step of a product whose operands shift, to the next.
        multicast_step_cycles: One step of a product whose operands are multicast.
        library_step_cycles: The same by a library of collectives.
        library_reduce_cycles: A reduction and a broadcast of that library, their start and end.
        chain_step_cycles: One core of a chain that adds in a scalar loop.
    """

    plain_lanes: PositiveNumber
    scalar_loop_cycles: PositiveNumber
    collective_start_cycles: PositiveNumber
    step_cycles: PositiveNumber
    multicast_step_cycles: PositiveNumber
    library_step_cycles: PositiveNumber
    library_reduce_cycles: PositiveNumber
    chain_step_cycles: PositiveNumber


@dataclass(frozen=True, slots=True)
class Target:
    """A machine, as far as the compiler and the estimates need to know it.

    `external_memory` and `wafer_link` are absent where the machine has none: streaming weights or using
    several wafers is then impossible.
    """

    name: Text
    description: Text
    clock_hz: PositiveNumber
    grid: Grid
    core: Core
    fabric: Fabric
    host: Host
    power_watts: PositiveNumber | None = None
    external_memory: ExternalMemory | None = None
    wafer_link: WaferLink | None = None
    overheads: Overheads | None = None

    def with_region(self, width: int, height: int) -> Target:
        """The same machine with only `width` columns and `height` rows of it given to the compiler.

        Raises:
            WsecError: WSEC205 when the region is larger than the wafer, WSEC206 when it is empty.
        """
        if width < 1 or height < 1:
            raise _bad_region(f"{width}x{height}")
        if width > self.grid.width or height > self.grid.height:
            raise WsecError(
                code="WSEC205",
                what="the region is larger than the wafer",
                where=f"target {self.name}",
                expected=f"at most {self.grid.width} columns and {self.grid.height} rows",
                found=f"{width} columns and {height} rows",
                hint="ask for a smaller --region, or choose a larger target",
            )
        return dataclasses.replace(self, grid=dataclasses.replace(self.grid, width=width, height=height))

    def seconds(self, cycles: float) -> float:
        """The time that `cycles` take at the target's clock."""
        return cycles / self.clock_hz


_SUM_RULES = (
    SumRule(("grid.width", "grid.host_columns"), "grid.fabric_width", strict=False),
    SumRule(("grid.height", "grid.host_rows"), "grid.fabric_height", strict=False),
    SumRule(("core.code_reserve_bytes",), "core.sram_bytes", strict=True),  # data needs room too
    SumRule(
        ("fabric.reserved_colours", "fabric.kernel_colours"), "fabric.colours", strict=True
    ),  # links need one
)


@dataclass(frozen=True, slots=True)
class InstalledTarget:
    """A target that is known by name: the file that describes it, and the package and version that brings it."""

    file: Traversable
    origin: str


def installed_targets() -> dict[str, InstalledTarget]:
    """The targets of wsec and of every package in the entry-point group `wsec.targets`, by name, sorted.

    Raises:
        WsecError: WSEC207 a package cannot be read, or brings a name that another has.
    """
    found: dict[str, InstalledTarget] = {}
    for extension in extensions(TARGETS_GROUP):
        try:
            load_attribute(extension.value)
            folder = importlib.resources.files(extension.value)
            entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        except (LoadError, OSError, TypeError) as error:
            raise _bad_package(extension, str(error), "mend the package, or uninstall it") from error
        for entry in entries:
            name = entry.name.removesuffix(".toml")
            if name == entry.name:
                continue
            if name in found:
                other = found[name].origin
                raise _bad_package(extension, f"{name}, which {other} has too", "uninstall one of the two")
            found[name] = InstalledTarget(entry, extension.origin)
    return dict(sorted(found.items()))


def list_targets() -> tuple[str, ...]:
    """The names of all installed targets, sorted."""
    return tuple(installed_targets())


def load_target(name_or_path: str) -> Target:
    """The target of that name, or the one described by that file.

    Anything that ends in `.toml`, holds a path separator or names an existing file is taken for a file.

    Raises:
        WsecError: WSEC201 unknown name, WSEC202 unreadable file, WSEC203 not TOML, WSEC204 wrong contents, WSEC207 a
            package of targets cannot be used.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.name != name_or_path:
        return target_from_mapping(_read_toml(path), source=name_or_path)
    installed = installed_targets().get(name_or_path)
    if installed is not None:
        return target_from_mapping(_read_toml(installed.file), source=f"{name_or_path}.toml")
    if path.is_file():
        return target_from_mapping(_read_toml(path), source=name_or_path)
    raise _unknown_target(name_or_path)


def target_from_mapping(data: Mapping[str, object], source: str) -> Target:
    """The target that `data` describes; `source` names where it came from in messages.

    Raises:
        WsecError: WSEC204, with every unknown, missing, mistyped or out-of-range entry.
    """
    findings = [*lint_table(data, Target), *lint_sums(data, _SUM_RULES)]
    if not findings:
        return msgspec.convert(data, Target)
    count = f"{len(findings)} entries" if len(findings) > 1 else "an entry"
    raise WsecError(
        code="WSEC204",
        what=f"the target description has {count} that cannot be used",
        where=source,
        found="\n".join(findings),
        hint="docs/targets.md describes every key; compiler/targets/ has examples",
    )


def parse_region(text: str) -> tuple[int, int]:
    """`"64x32"` as (64 columns, 32 rows).

    Raises:
        WsecError: WSEC206 when the text is not two positive whole numbers with an x between.
    """
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    if match is None or int(match[1]) == 0 or int(match[2]) == 0:
        raise _bad_region(text)
    return int(match[1]), int(match[2])


def _read_toml(path: Path | Traversable) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise WsecError(
            code="WSEC202",
            what="the target file cannot be read",
            where=str(path),
            expected="a TOML file",
            found=error.strerror or type(error).__name__,
            hint=f"give a path that exists, or one of the names: {', '.join(list_targets())}",
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # besides bad syntax: bad UTF-8, endless digits, endless nesting
        raise WsecError(
            code="WSEC203",
            what="the target file is not valid TOML",
            where=str(path),
            found=str(error),
            hint="mend the line named above; docs/targets.md shows a whole file",
        ) from error


def _bad_package(extension: Extension, found: str, hint: str) -> WsecError:
    return WsecError(
        code="WSEC207",
        what=f"the targets of the package {extension.package} cannot be used",
        where=f"{extension.origin}, entry point {extension.name!r} of {TARGETS_GROUP}: {extension.value}",
        expected="an importable package that holds TOML files with names of their own",
        found=found,
        hint=hint,
    )


def _unknown_target(name: str) -> WsecError:
    known = list_targets()
    nearest = difflib.get_close_matches(name, known, n=1)
    return WsecError(
        code="WSEC201",
        what=f"there is no target named {name}",
        expected=f"one of {', '.join(known)}, or a path to a TOML file",
        found=name,
        hint=f"did you mean {nearest[0]}?" if nearest else "`wsec targets` lists them",
    )


def _bad_region(text: str) -> WsecError:
    return WsecError(
        code="WSEC206",
        what="the region is not a rectangle of cores",
        where="--region",
        expected="columns x rows, both at least 1, such as 64x64",
        found=text,
    )
