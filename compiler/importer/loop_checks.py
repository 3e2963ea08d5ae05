"""Finds loops that never end, or not before a very large number of steps: running one to measure a shape would not return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.importer.node_checks import misused
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    import onnx_ir as ir

_MOST_STEPS = 1 << 24


def check_loops(model: ir.Model) -> None:
    """Check every Loop whose condition stays true whatever its body computes; others may end, and are not judged.

    Raises:
        WsecError: WSEC119 lists those that take more steps than any machine does.
    """
    findings = [
        (
            f"{node.name or 'a node'} (Loop)",
            f"at most {_MOST_STEPS:,} steps, or a condition that its body changes",
            found,
        )
        for node in all_nodes(model.graph)
        if node.op_type == "Loop" and node.domain == "" and (found := _endless(node)) is not None
    ]
    if findings:
        raise misused(findings)


def _endless(node: ir.Node) -> str | None:
    count, condition = (*node.inputs, None, None)[:2]
    body = node.attributes["body"].as_graph()
    if len(body.outputs) == 0 or len(body.inputs) < 2:
        return None
    source = _origin(body.outputs[0])
    stays = (
        _is_true(source)
        if source is not body.inputs[1]
        else condition is None or _is_true(_origin(condition))
    )
    if not stays:
        return None
    if count is None:
        return "no number of steps, and a condition that stays true"
    if count.const_value is None or int(count.const_value.numpy().reshape(-1)[0]) <= _MOST_STEPS:
        return None
    return f"{int(count.const_value.numpy().reshape(-1)[0]):,} steps, and a condition that stays true"


def _origin(value: ir.Value) -> ir.Value:
    """Where a value comes from that is only passed on."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _is_true(value: ir.Value) -> bool:
    return value.const_value is not None and bool(value.const_value.numpy().reshape(-1)[:1].all())
