"""`wsec export`: a plan in the words of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument
from wsec.cli.output import count, make_console, plural, write_json, write_labelled
from wsec.cli.progress import show_status

if TYPE_CHECKING:
    from wsec.runtime.onnx_export import Devices

_LARGE_BYTES = 256_000_000


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec export model.plan --onnx -o placed.onnx
  wsec export model.plan --onnx --devices kernels -o placed.onnx

onnxruntime runs the file, and viewers of ONNX show it.""",
)
@plan_argument
@click.option("--onnx", "onnx_format", is_flag=True, help="As ONNX, which is the only format so far.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file; by default the plan's name with .placed.onnx, in the current folder.",
)
@click.option(
    "--devices",
    type=click.Choice(["cores", "kernels"]),
    default="cores",
    show_default=True,
    help="A device for each core, with shardings, or one for each kernel.",
)
@json_option
def export(*, plan: str, onnx_format: bool, output: Path | None, devices: Devices, as_json: bool) -> None:  # noqa: ARG001 - one format, which may be named
    """Write the lowered model of the plan in the folder PLAN with its placement as ONNX device configurations."""
    from wsec.loaded_plan import load_plan

    name = Path(plan).resolve().name.removesuffix(".plan")
    path = Path(f"{name}.placed.onnx") if output is None else output
    with show_status("writing the model"):
        written = load_plan(plan).export_onnx(path, devices=devices)
    if as_json:
        data = None if written.data is None else str(written.data)
        numbers = {key: getattr(written, key) for key in ("devices", "nodes", "shardings", "left_out")}
        write_json({"plan": plan, "onnx": str(written.path), "data": data, **numbers})
        return
    lines = [
        (
            "devices",
            f"{count(written.devices)}, {'of each kernel' if devices == 'kernels' else 'of each core'} one",
        ),
        (
            "placed",
            f"{plural(written.nodes, 'node')}, {plural(written.shardings, 'tensor')} of them with devices",
        ),
    ]
    if written.left_out:
        lines.append(
            (
                "left out",
                f"{plural(written.left_out, 'sharding')} that ONNX has no words for; the plan has them",
            )
        )
    if written.data is not None:
        lines.append(("weights", str(written.data)))
    lines.append(("onnx", str(written.path)))
    size = written.path.stat().st_size
    if devices == "cores" and size > _LARGE_BYTES:
        lines.append(
            ("note", f"{size / 1e6:,.0f} MB: --devices kernels makes a file that viewers open sooner")
        )
    write_labelled(make_console(), lines)
