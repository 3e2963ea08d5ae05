"""`wsec run`: a plan executed shard by shard, and compared with onnxruntime."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument
from wsec.cli.generate import run_generation, token_list
from wsec.cli.output import (
    Column,
    make_console,
    seconds,
    write_json,
    write_labelled,
    write_table,
)
from wsec.cli.progress import show_status
from wsec.compiler.errors import ExitStatus
from wsec.compiler.plan import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from wsec.compiler.plan import Plan
    from wsec.runtime.oracle import Verification

    Tensors = Mapping[str, NDArray[np.generic]]

_COMPARED = (
    Column("output", elastic=True),
    Column("max error", right=True, from_width=60),
    Column("of range", right=True),
    Column("tolerance", right=True),
    Column("equal", right=True),
)
_SHAPED = (
    Column("output", elastic=True),
    Column("type", from_width=50),
    Column("shape"),
    Column("least", right=True, from_width=60),
    Column("greatest", right=True, from_width=60),
)


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec run model.plan --verify
  wsec run model.plan --inputs image.npz -o result.npz
  wsec run decoder.plan --generate 1,2,3 --steps 8 --verify

Exit status 1 where --verify finds other numbers.""",
)
@plan_argument
@click.option(
    "--inputs",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="An .npz file; random inputs without it.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of random inputs."
)
@click.option("--verify", is_flag=True, help="Compare with onnxruntime on the original model.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the outputs to an .npz file.",
)
@click.option(
    "--generate",
    metavar="TOKENS",
    callback=token_list,
    help="Continue these tokens, such as 1,2,3, with the plan of a decoder (docs/generation.md).",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=8, show_default=True, help="Tokens that --generate makes."
)
@click.option(
    "--prefill",
    metavar="PLAN|none",
    help="A plan that takes the prompt of --generate at once.  [default: the one compiled with the decoder]",
)
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    *,
    plan: str,
    inputs: Path | None,
    seed: int,
    verify: bool,
    output: Path | None,
    generate: tuple[int, ...] | None,
    steps: int,
    prefill: str | None,
    as_json: bool,
) -> None:
    """Execute the plan in the folder PLAN: every shard computes its block from what links bring it."""
    if generate is None and prefill is not None:
        raise click.UsageError("--prefill belongs to --generate")
    if generate is not None:
        if inputs is not None or output is not None:
            raise click.UsageError(
                "--generate makes its inputs, and prints tokens: leave out --inputs and -o"
            )
        passed = run_generation(plan, generate, steps, prefill=prefill, verify=verify, as_json=as_json)
        ctx.exit(ExitStatus.OK if passed else ExitStatus.FAILED_CHECK)
    from wsec.cli.tensor_files import check_output, read_tensors, with_sequences, write_tensors
    from wsec.loaded_plan import load_plan
    from wsec.runtime.inputs import make_inputs

    check_output(output)
    loaded = load_plan(plan)
    if inputs is None:
        given = make_inputs(loaded.record, seed)
    else:
        given = with_sequences(read_tensors(inputs), loaded.record.inputs)
    source = f"random, seed {seed}" if inputs is None else str(inputs)
    outputs: Tensors = {}
    if output is not None or not verify:
        with show_status("executing the shards") as tell:
            outputs = loaded.run(given, observe=_counter(loaded.record, tell))
    verification = None
    if verify:
        with show_status("executing the shards; then the original model with onnxruntime") as tell:
            verification = loaded.verify(given, observe=_counter(loaded.record, tell))
    if output is not None:
        write_tensors(output, outputs)
    if as_json:
        write_json(
            {
                "plan": plan,
                "inputs": source,
                "outputs": [asdict(value) for value in loaded.record.outputs],
                "output": None if output is None else str(output),
                "verification": None if verification is None else asdict(verification),
            }
        )
    else:
        _write(source, outputs, output, verification)
    if verification is not None and not verification.passed:
        ctx.exit(ExitStatus.FAILED_CHECK)


def _counter(plan: Plan, tell: Callable[[float], None]) -> Callable[[str, object], None]:
    """Tells of every tensor that a kernel made which share of the arithmetic is done."""
    from wsec.runtime.operations import operations_of

    done = 0
    of_tensor = {
        kernel.outputs[0].tensor: operations_of(kernel) for kernel in plan.kernels() if kernel.outputs
    }
    total = max(sum(of_tensor.values()), 1)

    def observe(name: str, _value: object) -> None:
        nonlocal done
        done += of_tensor.get(name, 0)
        tell(done / total)

    return observe


def _write(source: str, outputs: Tensors, output: Path | None, verification: Verification | None) -> None:
    console = make_console()
    write_labelled(console, (("inputs", source),))
    if verification is None:
        write_table(console, _SHAPED, [_shaped(name, tensor) for name, tensor in outputs.items()])
    else:
        _write_verification(console, verification)
    if output is not None:
        write_labelled(console, (("written", str(output)),))


def _shaped(name: str, tensor: Any) -> tuple[str, ...]:
    """A row for an output; of what is no array of numbers, only how much there is."""
    if not hasattr(tensor, "dtype"):
        length = "-" if tensor is None else f"{len(tensor)} elements"
        return name, type(tensor).__name__, length, "-", "-"
    if tensor.dtype.kind == "O":
        return name, TEXT, " x ".join(map(str, tensor.shape)) or "scalar", "-", "-"
    shape = " x ".join(map(str, tensor.shape)) or "scalar"
    least, greatest = (
        (f"{float(edge):.4g}" for edge in (tensor.min(), tensor.max())) if tensor.size else ("-", "-")
    )
    return name, tensor.dtype.name, shape, least, greatest


def _write_verification(console: Console, verification: Verification) -> None:
    write_table(
        console,
        _COMPARED,
        [
            (
                output.name,
                f"{output.max_absolute_error:.2e}",
                f"{output.max_relative_error:.2e}",
                f"{output.tolerance:.0e}",
                "yes" if output.passed else "NO",
            )
            for output in verification.outputs
        ],
    )
    times = (
        f"{seconds(verification.executor_seconds)} for the shards, "
        f"{seconds(verification.onnxruntime_seconds)} for onnxruntime at one thread: {verification.ratio:.1f} x"
    )
    verdict = "passed: the outputs are those of onnxruntime on the original model"
    if verification.deviations:
        verdict = f"passed, with the reference of ONNX where {'; '.join(verification.deviations)}"
    if not verification.passed:
        verdict = f"FAILED: {verification.explanation}"
    write_labelled(console, (("took", times), ("verdict", verdict)))
