"""How a model is to be compiled: all that a user may ask for, and what is refused before any model is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Products

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from wsec.compiler.placement import Constraint
    from wsec.compiler.plan import FabricDepth, Objective, StatesChoice
    from wsec.compiler.schedule.modes import Execution
    from wsec.compiler.target import Target
    from wsec.passes import Pass, PlacedPass

DEFAULT_PASS_TIMEOUT: Final = 600.0  # seconds; two orders above what the largest models need


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile.

    Attributes:
        target: Name of a shipped target, path of a TOML file, or a loaded target.
        region: Columns and rows of the wafer to use; None for all of it.
        dims: Sizes of the model's open dimensions.
        effort: How hard placement searches; 1.0 is a few seconds for a network of 60 kernels.
        seed: Of the search.
        passes: Passes to add to the pipeline; a plain one runs before the last dead-code elimination.
        pipeline: The pipeline; None for the default one.
        dump_passes: Folder for the model before the first pass and after each; None for no dumps.
        verify_passes: Compare the numbers of the model with the original after each pass.
        pass_timeout: Seconds that one pass may take; None for any time.
        host: Operators that cores cannot run may run on the host; False makes them an error.
        defects: A TOML file that lists dead cores, docs/targets.md; None for a wafer without.
        constraints: What must hold of the placement, by operators: a TOML file, docs/constraints.md, or records of
            `wsec.compiler.placement`.
        mode: How kernels share the wafer (docs/modes.md): `pipelined`, `sequential`, `streaming`, or `auto` for the best by
            `objective` of those that fit.
        objective: `throughput` or `latency`, for `auto`.
        wafers: How many to divide the model over; None for the fewest that it fits on.
        phases: How many parts of the model take turns on the wafer; None for the fewest with which it fits.
        samples_per_phase: On how many samples a phase works before the next one's weights are loaded; None for as many as
            make loads and fills a small part of a round, one where the objective is latency.
        collective: The algorithm by which kernels combine partial results, docs/collectives.md; `auto` takes the cheapest
            for each use.
        fabric: `lanes` routes words between the rectangles of kernels; `full` also inside of them, from core to core
            (docs/fabric.md), and counts what that takes.
        states: `auto` keeps the KV cache of a decoder on the wafer between two runs (docs/states.md); with `none` its inputs
            and outputs come and go with each run.
        min_throughput: Samples a second that the plan has to make by its estimate; None for any number.
        max_memory: The most resident bytes that this process may come to hold while it compiles; None for any number.
        products: Where kernels take turns: products of matrices by `shifts` of their operands, as measured programs compute them,
            by `sums` of parts, or whichever is faster (docs/modes.md).
    """

    target: str | Path | Target = "wse2"
    region: tuple[int, int] | None = None
    dims: Mapping[str, int] | None = None
    effort: float = 1.0
    seed: int = 0
    passes: Sequence[Pass | PlacedPass] = ()
    pipeline: Sequence[Pass] | None = None
    dump_passes: Path | None = None
    verify_passes: bool = False
    pass_timeout: float | None = DEFAULT_PASS_TIMEOUT
    host: bool = True
    defects: Path | None = None
    constraints: str | Path | Sequence[Constraint] = ()
    mode: str = "pipelined"
    objective: Objective = "throughput"
    wafers: int | None = 1
    phases: int | None = 1
    samples_per_phase: int | None = None
    collective: str = "auto"
    fabric: FabricDepth = "lanes"
    states: StatesChoice = "auto"
    min_throughput: float | None = None
    max_memory: int | None = None
    products: Products = "auto"


@dataclass(frozen=True, slots=True)
class PrefillRequest:
    """The model of a prefill, compiled beside its decoder; `dims` are sizes of its open dimensions that differ from those of the decoder."""

    model: str | Path
    dims: Mapping[str, int] | None = None


def check_options(options: Options) -> None:
    """Refuse what no model can be compiled for.

    Raises:
        WsecError: WSEC343, WSEC364, WSEC365, WSEC368 to WSEC370.
    """
    _check_phases(options)
    execution_of(options)
    _check_collective(options)
    _check_products(options)


def _check_phases(options: Options) -> None:
    """Refuses what no model can be compiled for."""
    if options.samples_per_phase is not None and options.samples_per_phase < 1:
        raise WsecError(
            "WSEC365",
            "a phase works on no samples",
            expected="at least 1 sample a phase",
            found=str(options.samples_per_phase),
            hint="ask for another number: --samples-per-phase",
        )


def execution_of(options: Options) -> Execution:
    """How the model shall be executed; `phases` other than 1 stand for streaming.

    Raises:
        WsecError: WSEC364, WSEC368 to WSEC370 options that exclude each other.
    """
    from wsec.compiler.schedule.modes import Execution, check_execution

    mode = "streaming" if options.mode == "pipelined" and options.phases != 1 else options.mode
    execution = Execution(
        mode=mode,
        objective=options.objective,
        wafers=options.wafers,
        phases=options.phases if options.phases != 1 else None,
        samples=options.samples_per_phase,
    )
    check_execution(execution, options.fabric, constrained=bool(options.constraints))
    return execution


def _check_collective(options: Options) -> None:
    """Refuses an algorithm that nobody knows."""
    from wsec.compiler.cost.collective_uses import ALGORITHMS, AUTO

    if options.collective not in (AUTO, *ALGORITHMS):
        raise WsecError(
            "WSEC343",
            "there is no such algorithm for collectives",
            expected=f"one of {', '.join((AUTO, *ALGORITHMS))}",
            found=options.collective,
            hint="docs/collectives.md says what each is good for; auto takes the cheapest for each use",
        )


def _check_products(options: Options) -> None:
    """Refuses a way of products that nobody knows."""
    known = get_args(Products)
    if options.products not in known:
        raise WsecError(
            "WSEC383",
            "there is no such way of products",
            expected=f"one of {', '.join(known)}",
            found=options.products,
            hint="docs/modes.md says what each is good for; auto takes whichever is faster",
        )
