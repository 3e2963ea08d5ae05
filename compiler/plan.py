"""The plan: everything the compiler decided, as frozen records that become plan.json (format 4).

A plan is a folder: `plan.json`, the lowered `model.onnx` and the `original.onnx` it came from. Records hold plain
values only, so msgspec reads, checks and writes them, and their JSON Schema is published in docs/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wsec.compiler.plan_fabric import Circuit, Exchange, Link, Rectangle, Route, RouterArea, Slots
from wsec.compiler.plan_shared import Kept, SharedCache, SharedResidents, SharedWeight
from wsec.compiler.sharding import Mesh, Sharding
from wsec.compiler.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HOST",
    "PLAN_FORMAT",
    "REPLICAS",
    "TEXT",
    "Alternative",
    "Argument",
    "ChainStep",
    "Circuit",
    "Collective",
    "CollectiveAlgorithm",
    "Cycles",
    "DefectMap",
    "Exchange",
    "FabricDepth",
    "HostOperator",
    "Kept",
    "Kernel",
    "KernelInput",
    "KernelOutput",
    "Link",
    "MemoryLedger",
    "Objective",
    "Phase",
    "PhaseSummary",
    "PlacementConstraint",
    "PlacementSummary",
    "Plan",
    "Products",
    "Rectangle",
    "Rotation",
    "Route",
    "RouterArea",
    "SharedCache",
    "SharedResidents",
    "SharedWeight",
    "Slots",
    "State",
    "StatesChoice",
    "Value",
    "Wafer",
    "WaferMode",
]

PLAN_FORMAT = 4
HOST = (
    "host"  # source and target of links from and to what is not on the wafer: inputs, outputs, host operators
)
TEXT = "string"  # element type of text, which numpy has no one word for

REPLICAS = ("row_replicas", "column_replicas")
"""Axes of a mesh, on rows and on columns, along which all cores compute the same; a split says how many do."""
FabricDepth = Literal["lanes", "full"]
WaferMode = Literal["pipelined", "sequential", "streaming"]
ExecutionMode = Literal["pipelined", "sequential", "streaming", "sequential-streaming"]
Objective = Literal["throughput", "latency"]
StatesChoice = Literal["auto", "none"]
Products = Literal["auto", "sums", "shifts"]

CollectiveAlgorithm = Literal["star", "chain", "tree", "two_phase", "two_level", "ring"]
Argument = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of the model, or what a host operator gives.

    Attributes:
        name: Of the tensor in the lowered model.
        dtype: Element type in numpy's words, `TEXT` for text; empty where it is unknown.
        shape: Of a tensor, or of the elements of a sequence. None for an extent that is known only when the model runs,
            and for a shape of which not even the rank is known. All that reaches the wafer has a whole one.
        container: `tensor`, `sequence`, `optional`, `optional sequence`, or `other` for what ONNX has beyond them, such as maps.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    container: str = "tensor"

    @property
    def extents(self) -> tuple[int, ...] | None:
        """The shape of a tensor where it is known before the model runs, else None."""
        if self.container != "tensor" or self.shape is None:
            return None
        known = tuple(extent for extent in self.shape if extent is not None)
        return known if len(known) == len(self.shape) else None


@dataclass(frozen=True, slots=True)
class KernelInput:
    """A tensor that a kernel reads.

    Attributes:
        role: What the tensor is to the kernel (`x`, `w`, `a`, `b`, `e0` ...); unique in the kernel.
        tensor: Name of the tensor in the lowered model.
        dtype: Element type in numpy's words.
        constant: True for a weight, which is loaded once and stays; False for an activation, which a link brings.
        sharding: The elements each core needs, over a row-major view of the tensor.
        slots: Samples that are held at once, 1 for a weight or a state. Cores that need the same block of an activation hold
            it together, an equal share each, and pass it around when its turn comes.
        state: True for a state of the plan: no link brings it, as it lies where the last run of the kernel left it.
    """

    role: str
    tensor: str
    dtype: str
    constant: bool
    sharding: Sharding
    slots: Slots = 1
    state: bool = False

    @property
    def resident(self) -> bool:
        """Whether it stays on the cores, so that no link brings it."""
        return self.constant or self.state


@dataclass(frozen=True, slots=True)
class KernelOutput:
    """A tensor that a kernel produces.

    Attributes:
        tensor: Name of the tensor in the lowered model.
        dtype: Element type in numpy's words.
        sharding: How it lies on the kernel's mesh.
        slots: How many samples are held there.
        everywhere: Whether all-reduces bring it to all cores along its root axes, which combined it at the root.
        state: Whether it is written over the state that the kernel read, on the same cores; no link takes it away.
    """

    tensor: str
    dtype: str
    sharding: Sharding
    slots: Slots = 2
    everywhere: bool = False
    state: bool = False


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One operator of a kernel that has several: an element-wise one behind its own, or one of its body.

    `inputs` are roles of the kernel's inputs, names of earlier steps' outputs, `"result"` for the result of the
    kernel's own operator, or `""` for an optional input that is not given.
    """

    operator: str
    inputs: tuple[str, ...]
    output: str
    dtype: str
    attributes: dict[str, Argument]


@dataclass(frozen=True, slots=True)
class MemoryLedger:
    """Bytes of SRAM on the fullest core of a kernel. `states` are what stays from one run to the next, as a KV cache."""

    weights: int
    activations: int
    buffers: int
    code: int
    states: int = 0

    @property
    def total(self) -> int:
        """Sum of the entries."""
        return self.weights + self.activations + self.buffers + self.code + self.states


@dataclass(frozen=True, slots=True)
class Cycles:
    """Cycles of one sample on the busiest core.

    Attributes:
        compute: Arithmetic.
        communication: Exchanges and collectives between the cores of the kernel, once a sample has come.
        memory: SRAM ports.
        transfer: Words that links bring and take, through the ramp, beside the work on other samples; of cores with DMA engines
            what these take longer than arithmetic and SRAM ports.
    """

    compute: int
    communication: int
    memory: int
    transfer: int = 0

    @property
    def alone(self) -> int:
        """Without words of other cores: arithmetic overlaps the SRAM ports that feed it."""
        return max(self.compute, self.memory)

    @property
    def work(self) -> int:
        """From a sample that has come to its result: communication overlaps nothing."""
        return self.alone + self.communication

    @property
    def total(self) -> int:
        """Between two samples: a core does one thing at a time, and words that links bring or take are one."""
        return self.work + self.transfer


@dataclass(frozen=True, slots=True)
class Collective:
    """How partial results or statistics are combined along one axis of a kernel's mesh; docs/fabric.md has the orders.

    Attributes:
        kind: `reduce` leaves the result at the root; `all_reduce` broadcasts it from there.
        axis: Name of the mesh axis.
        algorithm: Which cores add to which: `star`, `chain`, `tree`, `two_phase`, `two_level` or `ring`; one for each axis.
        group: Cores of a group, for `two_phase` and `two_level`; else 0.
        words: Words of a core that take part, each time.
        times: How often for one sample.
        root: Which core has the result first: the one at index 0, or the one in the middle, towards which both sides send.
    """

    kind: Literal["reduce", "all_reduce"]
    axis: str
    algorithm: CollectiveAlgorithm
    group: int
    words: int
    times: int = 1
    root: Literal["first", "middle"] = "first"


@dataclass(frozen=True, slots=True)
class Rotation:
    """How the parts of one loop go around a square of cores, so that a core has another part of it in each step (docs/kernels.md).

    Attributes:
        loop: It has no axis of its own: what follows it lies along the axis of the loop that it does not follow itself.
        steps: Into how many parts it is cut, which are those of the other two loops.
        placed: Roles of weights that are loaded where the first step needs them. Whatever else shifts is brought there first, or
            brought home behind the last step where it is the result.
    """

    loop: str
    steps: int
    placed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """A distributed program for one operator or a fused group, and where it sits.

    Attributes:
        name: Unique in the plan.
        kind: Which program it is; docs/kernels.md lists them.
        operators: Names of the nodes of the lowered model that it computes.
        arguments: The formal arguments of the kind, from the lowered operator.
        split: How many ways each loop is cut.
        turns: Loop -> how many turns a core takes to walk its part of it, to work on less of its blocks at once.
        rectangle: Where it sits; as large as its mesh.
        mesh: The axes of the rectangle; each axis has the name of the loop that it cuts.
        inputs: In the order of the kind's roles, those of the chain behind them.
        outputs: One, but for unsplit kernels.
        chain: Element-wise operators fused behind the kernel's own.
        memory: Bytes on the fullest core.
        cycles: Cycles of one sample.
        body: The kernel's own operators in order, for a kind that is made of several (docs/kernels.md).
        collectives: In the order in which they happen, the last axis of the mesh first.
        rotation: Of a product whose operands shift, which loop's parts go around; else null.
        chain_cores: Cores of a line that share the chain behind a reduction: those around the root, an equal part of the block each. In
            turns alone.
    """

    name: str
    kind: str
    operators: tuple[str, ...]
    arguments: dict[str, Argument]
    split: dict[str, int]
    rectangle: Rectangle
    mesh: Mesh
    inputs: tuple[KernelInput, ...]
    outputs: tuple[KernelOutput, ...]
    chain: tuple[ChainStep, ...]
    memory: MemoryLedger
    cycles: Cycles
    turns: dict[str, int] = field(default_factory=dict)
    body: tuple[ChainStep, ...] = ()
    collectives: tuple[Collective, ...] = ()
    rotation: Rotation | None = None
    chain_cores: int = 1


@dataclass(frozen=True, slots=True)
class HostOperator:
    """A node of the lowered model that runs on the host, beside the wafer.

    What it reads of kernels comes over links to `host`, and kernels read what it gives over links from `host`.

    Attributes:
        name: Of the node.
        operator: `domain.Name`, or the name alone for one of `ai.onnx`.
        inputs: Names of the tensors that it and its bodies read, weights included, each once.
        outputs: What it gives.
        reason: Why it runs on the host.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[Value, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PlacementSummary:
    """What placement found, and what no placement can go below.

    Attributes:
        interval: The measure of the search: cycles of a sample in the slowest kernel as it was split, or of its words across the
            edge of a rectangle where that takes longer: placement expects a quarter of the edge to carry them, and four
            lanes for each core of depth. How words come home inside kernels is chosen later: they may take more cycles
            than the split counted for passing blocks on, or fewer. Of a plan on several wafers, also of its words from
            one to the next. Of a plan of several phases, the sum over all, with a sample's share of the loads and with
            what crosses.
        interval_bound: Area lower bound of that measure: with fewer cycles, the kernels would need more cores than there
            are. It holds for every placement of the splits that the compiler considered, with words on the whole edge,
            and says nothing of buffers, nor of a plan whose links bring words in fewer cycles than splits counted. Of a plan on several wafers, of all their cores together. Of a plan of several phases,
            the work of all kernels over the cores of the grid, and a sample's share of their weights.
        wirelength: Word-hops of a sample between the centres of kernels.
        method: The stage of the search that found it.
        interrupted: Whether the search was stopped early.
    """

    interval: int
    interval_bound: int
    wirelength: float
    method: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """What a phase costs besides its work, as it takes turns with others on its wafer.

    Attributes:
        placement: What placement found for its kernels.
        weight_bytes: Weights of its kernels, each tensor once.
        load_cycles: In which they come to the wafer, before the phase works: once for all samples of a batch.
        words_in: Words of a sample that earlier phases made and this one reads, each tensor once.
        words_out: Words of a sample that this phase makes and later ones read, each tensor once.
        crossing_cycles: In which the words in and out of one sample pass, one direction after the other, and the states of its
            kernels, which other phases have no room for.
    """

    placement: PlacementSummary
    weight_bytes: int
    load_cycles: int
    words_in: int
    words_out: int
    crossing_cycles: int


@dataclass(frozen=True, slots=True)
class TurnLoad:
    """How the weights of a turn come in from outside, for every sample.

    Attributes:
        cycles: In which they do.
        ahead: Whether that is while the turn before does arithmetic; of the first turn, the last one of the sample before.
    """

    cycles: int
    ahead: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """Kernels that are on the wafer at the same time, the links between them, and the circuits that carry all their words.

    With other phases on its wafer it has a summary; a turn whose weights do not stay has a load.
    """

    kernels: tuple[Kernel, ...]
    links: tuple[Link, ...]
    summary: PhaseSummary | None = None
    circuits: tuple[Circuit, ...] = ()
    load: TurnLoad | None = None


@dataclass(frozen=True, slots=True)
class Wafer:
    """One wafer.

    Attributes:
        phases: In order.
        placement: With other wafers in a plan, what placement found on this one.
        mode: `pipelined`: all kernels work at once, each on another sample. `sequential`: phases take turns on a sample, and the
            weights of all stay in place, but for those of turns with a load. `streaming`: phases take turns on a batch, and weights come in for each (docs/modes.md).
        overlapped: Of a wafer that streams, whether the weights of a phase come in while the one before works.
    """

    phases: tuple[Phase, ...]
    placement: PlacementSummary | None = None
    mode: WaferMode = "pipelined"
    overlapped: bool = False

    def kernels(self) -> Iterator[Kernel]:
        """Every kernel, by phase."""
        for phase in self.phases:
            yield from phase.kernels

    def links(self) -> Iterator[Link]:
        """Every link, by phase."""
        for phase in self.phases:
            yield from phase.links


@dataclass(frozen=True, slots=True)
class DefectMap:
    """Which cores of a wafer a plan uses, as its grid has dead ones.

    Attributes:
        width: Columns of the wafer, dead cores and all.
        height: Rows of it.
        dead: Dead cores, (column, row), sorted.
        rows: The rows that are used, in order: row `i` of the grid lies in row `rows[i]` of the wafer.
        skipped: For each of them, the columns of the wafer that it does not use, in order.
        row_hops: Hops between neighbours of a row, on average.
        column_hops: Hops between neighbours of a column, on average.
    """

    width: int
    height: int
    dead: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    skipped: tuple[tuple[int, ...], ...]
    row_hops: float
    column_hops: float

    @property
    def columns(self) -> int:
        """Columns of the grid that programs see."""
        return self.width - len(self.skipped[0])


@dataclass(frozen=True, slots=True)
class PlacementConstraint:
    """What the user demanded of the placement.

    Attributes:
        kind: `pin` (the rectangle is `area`), `region` (it lies in `area`), `forbid` (no rectangle has a core in `area`),
            `adjacent` (two rectangles share a border), `edge` (it touches one of `sides` of the region).
        name: What the user called it; may be empty.
        operators: Of whose kernels it is demanded.
        area: In columns and rows of the region.
        sides: Sides of the region.
    """

    kind: Literal["pin", "region", "forbid", "adjacent", "edge"]
    name: str
    operators: tuple[str, ...]
    area: Rectangle | None = None
    sides: tuple[Literal["left", "right", "top", "bottom"], ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to execute the model that the compiler weighed.

    Attributes:
        mode: Of all wafers; `sequential-streaming` are turns whose weights come in where they find no room.
        wafers: How many.
        interval: Cycles between two samples, by the measure that the choice was made by; None where it does not fit.
        latency: Cycles of one sample, likewise.
        reason: What that measure is, or why it does not fit.
    """

    mode: ExecutionMode
    wafers: int
    interval: int | None
    latency: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class State:
    """A tensor that stays on the wafer from one run to the next, as the KV cache of a decoder (docs/states.md).

    One kernel reads it as `input` and writes it in place as `output`.

    Attributes:
        input: Name of the model's input that it is.
        output: Name of the model's output that is its update.
        dtype: Element type in numpy's words.
        shape: Of both.
    """

    input: str
    output: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan of a model on a target.

    Attributes:
        format: Version of this format.
        model: Name of the model's file.
        model_sha256: Digest of `original.onnx`; weights in other files are not read for it.
        target: The machine, embedded.
        region_width: Columns that were given to the compiler.
        region_height: Rows that were given to the compiler.
        inputs: Inputs of the model.
        outputs: Outputs of the model.
        wafers: Kernels and links, by wafer and phase.
        host_operators: Nodes that run on the host, in topological order.
        placement: Interval, bound and how it was found.
        notes: What the compiler assumed or changed, a sentence each.
        versions: Versions of what made the plan.
        defects: The cores of the wafer behind the grid, where some are dead.
        constraints: What the user demanded of the placement.
        samples_per_phase: Samples of which each phase makes its part before the next begins; 1 where there is one phase.
        fabric: How far words are followed: `full`, from core to core, by circuits; `lanes`, between the rectangles of kernels
            alone. What kernels then do to collect, spread and sort them is neither routed nor counted.
        alternatives: What the modes that were not taken would have cost, where the compiler chose one.
        states: Inputs and outputs of the model that stay on the wafer between two runs, in the order of the inputs.
        absent_weights: Files of weights that the model declares and that did not exist when it was compiled; such a plan
            can be checked and estimated, not run.
        shared: What is on the cores once for this plan and for that of a decoder, where it was made for one.
    """

    format: int
    model: str
    model_sha256: str
    target: Target
    region_width: int
    region_height: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    wafers: tuple[Wafer, ...]
    host_operators: tuple[HostOperator, ...]
    placement: PlacementSummary
    notes: tuple[str, ...]
    versions: dict[str, str]
    defects: DefectMap | None = None
    constraints: tuple[PlacementConstraint, ...] = ()
    samples_per_phase: Slots = 1
    fabric: FabricDepth = "full"
    alternatives: tuple[Alternative, ...] = ()
    states: tuple[State, ...] = ()
    absent_weights: tuple[str, ...] = ()
    shared: SharedResidents | None = None

    def kernels(self) -> Iterator[Kernel]:
        """Every kernel, by wafer and phase."""
        for wafer in self.wafers:
            yield from wafer.kernels()

    def links(self) -> Iterator[Link]:
        """Every link, by wafer and phase."""
        for wafer in self.wafers:
            yield from wafer.links()
