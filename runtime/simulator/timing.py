"""What the machine takes for a word and for an instruction, from a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class FabricTiming:
    """Routers and links.

    Attributes:
        hop_cycles: From one router's queue to the next.
        ramp_cycles: From a router's queue to its core, or from the core to the queue.
        queue_words: Depth of every queue. A way of several cycles holds a word more for each cycle after the first.
        colours: Colours of a router.
    """

    hop_cycles: int = 1
    ramp_cycles: int = 2
    queue_words: int = 4
    colours: int = 24


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """Compute engines. The default is the ideal engine of textbooks: a word a cycle, nothing for the instruction.

    Attributes:
        issue_cycles: To start an instruction, and each further vector of one that has several.
        loop_cycles: To go back to the start of a loop. A loop around one instruction alone costs no more than its issues.
        task_switch_cycles: To set off a task, or to wake one.
        word_cycles: One step of a vector over all lanes.
        lanes: Elements of such a step.
        divide_cycles: A quotient or a square root.
        transcendental_cycles: A function that is computed by series, or a power.
    """

    issue_cycles: float = 0.0
    loop_cycles: float = 0.0
    task_switch_cycles: float = 0.0
    word_cycles: float = 1.0
    lanes: float = 1.0
    divide_cycles: float = 1.0
    transcendental_cycles: float = 1.0


def fabric_timing(target: Target) -> FabricTiming:
    """The fabric of a target.

    Raises:
        WsecError: WSEC592 the target's fabric is none that can be simulated.
    """
    fabric = target.fabric
    _check(target, "fabric.hop_cycles", fabric.hop_cycles, "1 or 2", fits=fabric.hop_cycles in {1, 2})
    _check(
        target,
        "fabric.link_words_per_cycle",
        fabric.link_words_per_cycle,
        "1",
        fits=fabric.link_words_per_cycle == 1,
    )
    _check(target, "fabric.ramp_cycles", fabric.ramp_cycles, "at most 64", fits=fabric.ramp_cycles <= 64)
    _check(target, "fabric.queue_words", fabric.queue_words, "at most 64", fits=fabric.queue_words <= 64)
    _check(target, "fabric.colours", fabric.colours, "at most 256", fits=fabric.colours <= 256)
    return FabricTiming(int(fabric.hop_cycles), fabric.ramp_cycles, fabric.queue_words, fabric.colours)


def engine_timing(target: Target, element_type: str = "float32") -> EngineTiming:
    """The engines of a target for vectors of an element type.

    Raises:
        WsecError: WSEC592 the target does not say how many elements of the type it computes at once.
    """
    core = target.core
    unit = core.matrix_unit
    size = "none" if unit is None else f"{unit.rows} x {unit.columns} x {unit.depth}"
    expected = "no matrix unit: programs of vector instructions are simulated"
    _check(target, "core.matrix_unit", size, expected, fits=unit is None)
    by_itself = "0: instructions move words"
    _check(target, "core.dma_engines", core.dma_engines, by_itself, fits=core.dma_engines == 0)
    lanes = core.lanes.get(element_type, 0.0)
    _check(target, f"core.lanes.{element_type}", lanes, "elements of a step", fits=lanes > 0)
    return EngineTiming(
        issue_cycles=core.issue_cycles,
        loop_cycles=core.loop_cycles,
        task_switch_cycles=core.task_switch_cycles,
        word_cycles=core.step_cycles(element_type),
        lanes=lanes,
        divide_cycles=core.divide_cycles,
        transcendental_cycles=core.transcendental_cycles,
    )


def _check(target: Target, key: str, found: float | str, expected: str, *, fits: bool) -> None:
    if not fits:
        raise WsecError(
            code="WSEC592",
            what="the fabric of the target cannot be simulated",
            where=f"target {target.name}, {key}",
            expected=expected,
            found=str(found),
            hint="estimates take any value; for a simulation choose a target whose fabric has these",
        )
