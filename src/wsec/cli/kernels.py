"""`wsec kernels`: the kinds of kernels, and the operators each computes."""

from __future__ import annotations

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import make_console, write_json, write_labelled


@click.command(
    cls=WsecCommand,
    epilog="""\b
Example:
  wsec kernels""",
)
@json_option
def kernels(*, as_json: bool) -> None:
    """List the kernels and the ONNX operators that they compute.

    Element-wise operators are also fused behind those kernels that compute.
    """
    kinds = kernel_kinds()
    if as_json:
        entries: list[dict[str, object]] = [
            {"kind": kind, "operators": operators} for kind, operators in kinds.items()
        ]
        write_json({"kernels": [*entries, {"kind": "unsplit", "operators": None}]})
        return
    write_labelled(
        make_console(),
        (
            *((kind, ", ".join(operators)) for kind, operators in kinds.items()),
            ("unsplit", "any other operator that onnxruntime runs; its arithmetic is serial on one core"),
        ),
    )


def kernel_kinds() -> dict[str, list[str]]:
    """Every kind that can be cut, with its operators; both sorted."""
    from wsec.compiler.kernels.registry import KINDS
    from wsec.compiler.operators import ELEMENTWISE

    kinds = {kind.name: sorted(kind.operators) for kind in KINDS}
    return dict(sorted({"elementwise": sorted(ELEMENTWISE), **kinds}.items()))
