"""How a model is executed: which plan is made where the user names the mode, and which of several where they leave it open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from wsec.compiler.cost.turns import sequential_cycles
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.plan import Alternative
from wsec.compiler.schedule.mixtures import Mixture, plan_mixture
from wsec.compiler.schedule.outside import check_outside
from wsec.compiler.schedule.phases import may_gain, plan_phases
from wsec.compiler.schedule.rounds import rhythms_of, round_cycles
from wsec.compiler.schedule.sequential.planning import plan_sequential, plan_streamed_turns
from wsec.compiler.schedule.wafers import plan_wafers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from wsec.compiler.plan import ExecutionMode, FabricDepth, Objective, WaferMode
    from wsec.compiler.planning import Planner
    from wsec.compiler.residents import Residents
    from wsec.compiler.schedule.division import WaferPlans
    from wsec.compiler.target import Target

AUTO: Final = "auto"
MODES: Final[tuple[WaferMode, ...]] = ("pipelined", "sequential", "streaming")
STREAMED_TURNS: Final[ExecutionMode] = "sequential-streaming"
"""Of one wafer: kernels take turns, and weights that find no room come in for every sample."""

OBJECTIVES: Final[tuple[Objective, ...]] = ("throughput", "latency")


@dataclass(frozen=True, slots=True)
class Execution:
    """What was asked for.

    Attributes:
        mode: One of `MODES`, `STREAMED_TURNS`, or `auto`; or several of `MODES` with commas between, one for each wafer.
        objective: By which `auto` chooses.
        wafers: How many; None for the fewest that it fits on.
        phases: Of a wafer that streams; None for the fewest that fit.
        samples: Of a batch, likewise; None for as many as loads and fills ask for.
    """

    mode: str
    objective: Objective
    wafers: int | None
    phases: int | None
    samples: int | None

    @property
    def modes(self) -> tuple[WaferMode, ...]:
        """That of each wafer where they are named one by one; else the one of all."""
        names = tuple(name.strip() for name in self.mode.split(","))
        return cast("tuple[WaferMode, ...]", names)  # `check_execution` refuses others

    @property
    def streams(self) -> bool:
        """Whether some wafer was asked to."""
        return "streaming" in self.modes


@dataclass(frozen=True, slots=True)
class Chosen:
    """The plans that were taken, what the others would have cost, and what to say of it."""

    plans: WaferPlans
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()


def check_execution(execution: Execution, fabric: FabricDepth, *, constrained: bool) -> None:
    """Refuses what no model can be compiled for.

    Raises:
        WsecError: WSEC364 modes for another number of wafers, WSEC368 no such mode or objective, WSEC369 something that a mode does not have.
    """
    several = len(execution.modes) > 1
    for what, given, known in (
        *(("mode", mode, MODES if several else (AUTO, *MODES, STREAMED_TURNS)) for mode in execution.modes),
        ("objective", execution.objective, OBJECTIVES),
    ):
        if given not in known:
            raise WsecError(
                "WSEC368",
                f"there is no such {what}",
                expected=f"one of {', '.join(known)}",
                found=str(given) or "no name",
                hint="docs/modes.md says what each is good for",
            )
    if execution.wafers is not None and execution.wafers < 1:
        raise WsecError(
            "WSEC370",
            "a model needs a wafer",
            expected="at least 1 wafer",
            found=str(execution.wafers),
            hint="ask for another number, or `--wafers auto`",
        )
    if execution.phases is not None and not execution.streams:
        raise _not_of_mode(execution.mode, f"{execution.phases} phases", "phases are of --mode streaming")
    if several and execution.wafers not in {1, len(execution.modes)}:
        wafers = "auto" if execution.wafers is None else str(execution.wafers)
        raise WsecError(
            "WSEC364",
            "there are not as many modes as wafers",
            where=f"mode {execution.mode}",
            expected=f"{len(execution.modes)} wafers, one for each mode",
            found=f"wafers {wafers}",
            hint="leave out --wafers, or name one mode for all",
        )
    in_turns = {"sequential", STREAMED_TURNS} & set(execution.modes)
    if execution.mode == STREAMED_TURNS and execution.wafers != 1:
        wafers = "wafers auto" if execution.wafers is None else f"{execution.wafers} wafers"
        raise _not_of_mode(
            execution.mode, wafers, "use one wafer, or `--mode sequential`, whose weights stay"
        )
    if in_turns and fabric == "full":
        hint = "leave out --fabric full: what links of turns take is counted by the model of docs/modes.md"
        raise _not_of_mode(execution.mode, "words that are followed from core to core", hint)
    if in_turns and constrained:
        raise _not_of_mode(
            execution.mode, "constraints of the placement", "leave out --constraints, or the mode"
        )


def _not_of_mode(mode: str, found: str, hint: str) -> WsecError:
    return WsecError(
        "WSEC369",
        "the mode does not have what was asked for",
        where=f"mode {mode}",
        expected="options of this mode, docs/modes.md",
        found=found,
        hint=hint,
    )


def plan_in_mode(
    planner: Planner, lowered: ir.Model, execution: Execution, residents: Residents | None = None
) -> Chosen:
    """The plan of a lowered model in the mode that was asked for, or in the best of those that fit; beside `residents` in turns.

    Raises:
        WsecError: WSEC3xx where it does not fit.
    """
    if residents is not None:
        plans = plan_sequential(planner, lowered, None, residents)
        return Chosen(plans, notes=plans.notes)
    if execution.mode != AUTO:
        plans = _planned(planner, lowered, execution)
        return Chosen(plans, notes=plans.notes)
    return _best(planner, lowered, execution)


def _planned(planner: Planner, lowered: ir.Model, execution: Execution, least_phases: int = 1) -> WaferPlans:
    modes = set(execution.modes)
    several = len(execution.modes) > 1
    wafers = len(execution.modes) if several else execution.wafers
    if execution.mode == STREAMED_TURNS:
        plans = plan_streamed_turns(planner, lowered)
        check_outside(plans.wafers, plans.samples, planner.target)
        return plans
    if modes == {"sequential"}:
        return plan_sequential(planner, lowered, wafers)
    if modes == {"pipelined"}:
        return plan_wafers(planner, lowered, wafers)
    if several or (wafers or 1) > 1:
        of_wafers = execution.modes if several else execution.modes * (wafers or 1)
        mixture = Mixture(of_wafers, execution.phases, execution.samples, execution.objective)
        plans = plan_mixture(planner, lowered, mixture)
    else:  # phases fit one wafer whenever they fit several: the fewest is one
        plans = plan_phases(
            planner, lowered, execution.phases, execution.samples, execution.objective, least=least_phases
        )
    check_outside(plans.wafers, plans.samples, planner.target)
    return plans


def _best(planner: Planner, lowered: ir.Model, execution: Execution) -> Chosen:
    """Every mode planned that can be, and the best taken; streaming only where weights, or all buffers, have no room."""
    found: list[tuple[WaferPlans, Alternative]] = []
    others: list[Alternative] = []
    refusal: WsecError | None = None
    asked = execution.objective
    for mode in (*MODES, STREAMED_TURNS):
        if found and _keeps_states(found[0][0]):
            execution = replace(execution, objective="latency")
        stay = any(measured.mode != "streaming" for _, measured in found)
        if mode == STREAMED_TURNS and execution.objective == "latency":
            stay = any(measured.mode == "sequential" for _, measured in found)  # a pipeline is slow for one
        first = (
            found[0][0] if found else None
        )  # the pipelined plan, or the sequential one where that does not fit
        of_wafers = execution.wafers == 1 or (
            execution.wafers is not None and first is not None and not first.decisions
        )
        tight = of_wafers and execution.objective == "throughput" and first is not None and may_gain(first)
        refused = _refused(mode, planner, execution.wafers, stay=stay, tight=tight)
        if refused:
            others.append(Alternative(mode, execution.wafers or 1, None, None, refused))
            continue
        try:
            plans = _planned(planner, lowered, replace(execution, mode=mode), 2 if tight else 1)
        except WsecError as error:
            if error.exit_status is not ExitStatus.DOES_NOT_FIT:
                raise
            refusal = error if mode != STREAMED_TURNS or refusal is None else refusal
            others.append(Alternative(mode, execution.wafers or 1, None, None, f"{error.code}: {error.what}"))
            continue
        found.append((plans, _measured(plans, mode, lowered, planner.target)))
    if not found:
        raise refusal or AssertionError("some mode is always tried")

    def cost(item: tuple[WaferPlans, Alternative]) -> tuple[int, int]:
        _, measured = item
        both = measured.interval or 0, measured.latency or 0
        return both if execution.objective == "throughput" else (both[1], both[0])

    taken = min(found, key=cost)
    purpose = asked if asked == execution.objective else f"{asked}, which goes by the latency of a step"
    weighed = tuple([measured for plans, measured in found if plans is not taken[0]] + others)
    return Chosen(taken[0], weighed, (*_notes(taken[1], weighed, purpose), *taken[0].notes))


def _keeps_states(plans: WaferPlans) -> bool:
    """Whether a run needs what the one before has left: no two samples are under way at once, and the latency is what counts."""
    return any(operand.state for nest in plans.nests for operand in nest.inputs)


def _refused(mode: str, planner: Planner, wafers: int | None, *, stay: bool, tight: bool) -> str:
    """Why a mode is not tried, given whether weights have room to stay, and links too little for buffers; empty where it is."""
    in_turns = mode in {"sequential", STREAMED_TURNS}
    if in_turns and planner.fabric == "full":
        return "words of turns are not followed from core to core"
    if in_turns and planner.constraints:
        return "turns know no constraints of the placement"
    if mode == "streaming" and stay and not tight:
        return "the weights stay, and kernels have all buffers: loading again takes longer"
    if mode == STREAMED_TURNS and stay:
        return "the weights stay: loading them again takes longer"
    if mode == STREAMED_TURNS and wafers != 1:
        return "weights of turns come in on one wafer"
    return ""


def _measured(plans: WaferPlans, mode: ExecutionMode, lowered: ir.Model, target: Target) -> Alternative:
    """Interval and latency by what planning counted, and the rhythm of pipelines whose buffers are full."""
    interval = plans.placement.interval
    if mode in {"sequential", STREAMED_TURNS}:
        latency = sum(sequential_cycles(wafer) for wafer in plans.wafers)
        return Alternative(mode, len(plans.wafers), interval, latency, "turns and reshardings")
    rhythms = [rhythms_of(wafer, lowered, target) for wafer in plans.wafers]
    if mode == "streaming" and len(rhythms[0]) > 1:
        rounds = [
            round_cycles(each, plans.samples, overlapped=wafer.overlapped)
            for each, wafer in zip(rhythms, plans.wafers, strict=True)
        ]
        interval = -(-max(rounds) // plans.samples)
        samples = f"{plans.samples} sample{'s' * (plans.samples > 1)}"
        said = f"a batch of {samples} in {len(rhythms[0])} phases"
        return Alternative(mode, len(plans.wafers), interval, sum(rounds), said)
    each = [phase for of_wafer in rhythms for phase in of_wafer]
    latency = sum(phase.fill + phase.interval for phase in each)
    interval = max([interval, *(phase.interval for phase in each)])
    return Alternative(mode, len(plans.wafers), interval, latency, "placement, buffers, and the longest path")


def _notes(taken: Alternative, others: tuple[Alternative, ...], purpose: str) -> Iterator[str]:
    yield (
        f"mode {taken.mode} was taken for {purpose}: interval {taken.interval:,}, latency {taken.latency:,} cycles as planned"
    )
    for other in others:
        if other.interval is None:
            yield f"mode {other.mode} was not: {other.reason}"
        else:
            yield f"mode {other.mode} would take: interval {other.interval:,}, latency {other.latency:,} cycles as planned"
