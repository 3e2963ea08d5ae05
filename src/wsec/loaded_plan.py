"""A plan as people hold it: what `wsec.compile` and `wsec.load_plan` give, and all that it can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.compiler.plan_checker import Finding
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.decoding import DecodeEstimate
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.executor import Observer as TensorObserver
    from wsec.runtime.generation import Generation, Step
    from wsec.runtime.onnx_export import Devices, Export
    from wsec.runtime.oracle import Verification
    from wsec.runtime.programs.results import PlanSimulation
    from wsec.runtime.programs.turns.results import TurnsSimulation


class Plan:
    """A compiled model: the record of every decision, and the folder that holds it.

    Attributes:
        record: What plan.json says.
        folder: Where the plan is.
    """

    def __init__(self, loaded: LoadedPlan) -> None:
        self.record: PlanRecord = loaded.plan
        self.folder: Path = loaded.folder
        self._loaded = loaded

    @property
    def prefill(self) -> Plan | None:
        """The plan of the prefill that was compiled with this decoder, in the same folder; None where there is none."""
        from wsec.compiler.plan_io import PREFILL_FOLDER

        folder = self.folder / PREFILL_FOLDER
        return load_plan(folder) if folder.is_dir() else None

    def run(
        self, inputs: Mapping[str, NDArray[np.generic]], *, observe: TensorObserver | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Execute the plan shard by shard on `inputs` by name; outputs by name.

        `observe` is called with the name and the value of every tensor that a kernel makes, in the order of execution.

        Raises:
            WsecError: WSEC5xx where an input is missing, unknown, or of another shape or type.
        """
        from wsec.runtime.executor import execute

        return execute(self._loaded, inputs, observe)

    def verify(
        self,
        inputs: Mapping[str, NDArray[np.generic]] | None = None,
        *,
        observe: TensorObserver | None = None,
    ) -> Verification:
        """Execute the plan and compare with onnxruntime on the original model; seeded inputs where none are given.

        `observe` is as in `run`.
        """
        from wsec.runtime.oracle import verify

        return verify(self._loaded, inputs, observe=observe)

    def generate(
        self,
        prompt: Sequence[int],
        steps: int,
        *,
        prefill: Plan | Literal["none"] | None = None,
        verify: bool = False,
        observe: Callable[[Step], None] | None = None,
    ) -> Generation:
        """Continue `prompt`, numbers of tokens, by `steps` tokens with this plan of a decoder (docs/generation.md).

        Args:
            prompt: Numbers of tokens.
            steps: How many to make; each is the most likely one.
            prefill: A plan that takes the prompt at once; by default the one that was compiled with this decoder. Without
                any, or with `none`, the prompt goes through this one token by token.
            verify: Compare every step with onnxruntime.
            observe: Called after each step.

        Raises:
            WsecError: WSEC572 to WSEC575 this is no decoder, or the prompt does not suit it, and what `verify` raises.
        """
        from wsec.runtime.generation import generate

        chosen = self.prefill if prefill is None else prefill
        first = chosen._loaded if isinstance(chosen, Plan) else None  # noqa: SLF001 - another of this class
        return generate(self._loaded, prompt, steps, prefill=first, verify=verify, observe=observe)

    def simulate(
        self,
        inputs: Mapping[str, NDArray[np.generic]] | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        max_cycles: int | None = None,
        threads: int = 1,
        holds: Mapping[str, int] | None = None,
    ) -> PlanSimulation:
        """Run the plan cycle by cycle on the simulated fabric.

        Every sample has the same `inputs`; where none are given each has random ones of its own, from `seed` on. `holds` are
        cycles before which the cores of a kernel do not begin with the first sample, by its name.

        Raises:
            WsecError: WSEC350 it is too large, WSEC590 to WSEC597 it cannot be simulated, or does not come to its end.
        """
        from wsec.runtime.inputs import make_inputs
        from wsec.runtime.programs.simulate import simulate_plan
        from wsec.runtime.simulator.simulation import MAX_CYCLES

        drawn = [make_inputs(self.record, seed + number) for number in range(samples)]
        given = drawn if inputs is None else inputs
        end = MAX_CYCLES if max_cycles is None else max_cycles
        return simulate_plan(
            self._loaded, given, samples=samples, max_cycles=end, threads=threads, holds=holds
        )

    def simulate_turns(
        self,
        inputs: Mapping[str, NDArray[np.generic]] | None = None,
        *,
        seed: int = 0,
        max_cycles: int | None = None,
        threads: int = 1,
    ) -> TurnsSimulation:
        """Run the turns of a sequential plan cycle by cycle, each by itself and equal ones once; random inputs where none are given.

        Raises:
            WsecError: WSEC350 it is too large, WSEC387, WSEC388 and WSEC590 to WSEC597 it cannot be simulated.
        """
        from wsec.runtime.inputs import make_inputs
        from wsec.runtime.programs.turns.simulate import simulate_turns
        from wsec.runtime.simulator.simulation import MAX_CYCLES

        given = make_inputs(self.record, seed) if inputs is None else inputs
        end = MAX_CYCLES if max_cycles is None else max_cycles
        return simulate_turns(self._loaded, given, max_cycles=end, threads=threads)

    @property
    def sequential(self) -> bool:
        """Whether kernels take turns on some wafer."""
        return any(wafer.mode == "sequential" for wafer in self.record.wafers)

    def estimate(self) -> Estimate:
        """Cycles by kernel and link, interval and latency of the pipeline, time at the target's clock."""
        from wsec.runtime.estimate import estimate

        return estimate(self.record)

    def decoding(self, prefill: str | Path | None = None) -> DecodeEstimate | None:
        """Tokens per second, time to the first token, energy and what bounds a decoder; None for other plans.

        Args:
            prefill: Folder of the plan of the prefill, from which the time to the first token then comes; by default that of
                the one that was compiled with this decoder.

        Raises:
            WsecError: WSEC572, WSEC575 that is not the plan of a prefill of this decoder.
        """
        from wsec.runtime.decoding import decode_estimate

        other = self.prefill if prefill is None else load_plan(prefill)
        given = None if other is None else (other.record, other.estimate(), str(other.folder))
        return decode_estimate(self.record, self.estimate(), given)

    def report(
        self, path: str | Path, *, png: str | Path | None = None, svg: str | Path | None = None
    ) -> None:
        """Write the plan as one HTML page, which needs nothing beside it, and its floorplan as pictures where asked for.

        Raises:
            WsecError: WSEC565 kernels wait for each other, WSEC585 a file cannot be written.
        """
        from wsec.runtime.report import REPORT_FILE, write_page, write_picture

        for place in (path, png, svg):
            if place is not None:
                REPORT_FILE.check_place(Path(place))
        estimate = self.estimate()
        write_page(Path(path), self.record, estimate)
        if png is not None:
            write_picture(Path(png), estimate, "png")
        if svg is not None:
            write_picture(Path(svg), estimate, "svg")

    def export_onnx(self, path: str | Path, *, devices: Devices = "cores") -> Export:
        """Write the lowered model with device configurations of ONNX (docs/export.md).

        Args:
            path: The file; weights of more than 1 GiB go to a file beside it.
            devices: A device for each of the `cores`, with shardings, or one for each of the `kernels`.

        Raises:
            WsecError: WSEC567 the lowered model cannot be read, WSEC589 the file cannot be written.
        """
        from wsec.runtime.onnx_export import export_onnx

        return export_onnx(self._loaded, Path(path), devices)

    def to_dataframe(self) -> DataFrame:
        """One row for each kernel: where it sits, its split, cycles and bytes.

        Raises:
            WsecError: WSEC586 pandas is not installed.
        """
        from wsec.runtime.report.tables import plan_table

        return plan_table(self.record)

    def _repr_html_(self) -> str:
        """What a notebook shows: key figures and the floorplan."""
        from wsec.runtime.report.notebook import estimate_html

        return estimate_html(self.estimate())

    def check(self, shares: Plan | None = None) -> tuple[Finding, ...]:
        """All findings of the plan checker; none for a legal plan.

        Args:
            shares: The plan of the decoder whose weights this one uses: both are judged as a pair too. By default the one in
                whose folder this one lies. The plan of a prefill that lies in this one's folder is judged with it.
        """
        from wsec.compiler.plan_checker import check_pair, check_plan
        from wsec.compiler.plan_io import digest_of

        findings = check_plan(self.record, self.folder / "model.onnx")
        decoder = self._decoder() if shares is None else shares
        if decoder is not None:
            findings += check_pair(decoder.record, self.record, digest_of(decoder.record))
        first = self.prefill
        return findings if first is None else (*findings, *_inside(first.check(self), first))

    def _decoder(self) -> Plan | None:
        """The plan that this one's folder lies in, where it is one that it shares weights with."""
        from wsec.compiler.plan_io import PLAN_FILE, PREFILL_FOLDER

        folder = self.folder.resolve()
        lies_in_one = folder.name == PREFILL_FOLDER and (folder.parent / PLAN_FILE).is_file()
        return load_plan(folder.parent) if lies_in_one and self.record.shared is not None else None


def _inside(findings: tuple[Finding, ...], part: Plan) -> tuple[Finding, ...]:
    """The findings of a plan that lies in another's folder, which they say."""
    return tuple(replace(finding, where=f"{part.folder.name}: {finding.where}") for finding in findings)


def load_plan(folder: str | Path) -> Plan:
    """Read a plan folder.

    Raises:
        WsecError: WSEC5xx where it is no plan, of another format, or broken.
    """
    from wsec.compiler.plan_io import load_plan as load

    return Plan(load(Path(folder)))
