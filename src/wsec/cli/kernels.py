"""`wsec kernels`: the kinds of kernels, and the operators each computes."""

from __future__ import annotations

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import make_console, write_json, write_labelled
from wsec.compiler.kernel_packages import is_custom_kind


@click.command(
    cls=WsecCommand,
    epilog="""\b
Example:
  wsec kernels""",
)
@json_option
def kernels(*, as_json: bool) -> None:
    """List the kernels and the ONNX operators that they compute, those of other packages with their origin.

    Element-wise operators are also fused behind every other kernel.
    """
    listed = kernel_kinds()
    if as_json:
        entries: list[dict[str, object]] = [
            {"kind": kind, "operators": operators, "origin": origin} for kind, operators, origin in listed
        ]
        own = listed[0][2]
        write_json({"kernels": [*entries, {"kind": "unsplit", "operators": None, "origin": own}]})
        return
    write_labelled(
        make_console(),
        (
            *(
                (kind, ", ".join(operators) + (f" (from {origin})" if is_custom_kind(kind) else ""))
                for kind, operators, origin in listed
            ),
            ("unsplit", "any other operator that onnxruntime runs; its arithmetic is serial on one core"),
        ),
    )


def kernel_kinds() -> list[tuple[str, list[str], str]]:
    """Every kind that can be cut, with its operators and where it comes from: wsec's own first, then by name."""
    from wsec.compiler.kernel_packages import kernel_packages, package_of_kind
    from wsec.compiler.kernels.custom import custom_kinds
    from wsec.compiler.kernels.registry import KINDS
    from wsec.compiler.operators import ELEMENTWISE

    own = kernel_packages()[0].origin
    kinds = {kind.name: (sorted(kind.operators), own) for kind in KINDS}
    kinds["attention"] = (["MatMul", "Softmax"], own)
    kinds["elementwise"] = (sorted(ELEMENTWISE), own)
    for kind in custom_kinds().values():
        kinds[kind.name] = (sorted(kind.operators), package_of_kind(kind.name, kind.name).origin)
    return [(name, *kinds[name]) for name in sorted(kinds, key=lambda name: (is_custom_kind(name), name))]
