"""Scan of opset 8, which walks through a batch of sequences, as two of opset 9, which walk through one.

The outer one takes the samples apart, the inner one is the old node on one sample: neither needs to know how many there
are. What the old node carried has an axis of samples too, so that all of it is an input of the outer one.
"""

from __future__ import annotations

import onnx_ir as ir


def gives_lengths(scan: ir.Node) -> bool:
    """Whether the samples have lengths of their own, which opset 9 cannot say."""
    return scan.inputs[0] is not None


def nest_scan(scan: ir.Node) -> None:
    """Rewrite a Scan-8 without lengths in place, as Scan-9 says it."""
    operands = [value for value in scan.inputs[1:] if value is not None]
    stem = scan.name or scan.outputs[0].name
    body = scan.attributes.pop("body").as_graph()
    directions = scan.attributes.pop("directions", None)
    samples = [
        ir.Value(name=f"{stem}_sample_{index}", type=value.type) for index, value in enumerate(operands)
    ]
    inner = ir.node(
        "Scan",
        samples,
        attributes={"body": body, "num_scan_inputs": scan.attributes["num_scan_inputs"].as_int()},
        num_outputs=len(scan.outputs),
        name=f"{stem}_of_one_sample",
    )
    if directions is not None:
        inner.attributes.add(ir.AttrInt64s("scan_input_directions", list(directions.as_ints())))
    for output, value in zip(scan.outputs, inner.outputs, strict=True):
        value.name, value.type = f"{stem}_{output.name}_of_one_sample", output.type
    outer = ir.Graph(samples, inner.outputs, nodes=[inner], name=f"{stem}_samples")
    scan.resize_inputs(len(operands))
    for index, value in enumerate(operands):
        scan.replace_input_with(index, value)
    scan.attributes.add(ir.AttrGraph("body", outer))
    scan.attributes.add(ir.AttrInt64("num_scan_inputs", len(operands)))
