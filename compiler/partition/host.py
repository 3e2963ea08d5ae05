"""The host's part of the plan: its operators as records, what is said of them, and the refusal where none may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.core_types import container_of
from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.operator_view import OperatorView
from wsec.compiler.kernels.unsplit import captured_values
from wsec.compiler.partition.annotation import host_reason, is_on_host
from wsec.compiler.plan import TEXT, HostOperator, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

_NAMED = 4  # operators that a note names; the plan has them all


def host_operators_of(model: ir.Model) -> tuple[HostOperator, ...]:
    """The record of each node that runs on the host, in the order of the model."""
    return tuple(
        HostOperator(
            name=node.name or "",
            operator=OperatorView(node).qualified_name,
            inputs=tuple(
                dict.fromkeys(
                    value.name or "" for value in (*node.inputs, *captured_values(node)) if value is not None
                )
            ),
            outputs=tuple(plan_value(value) for value in node.outputs if value.name),
            reason=host_reason(node),
        )
        for node in model.graph
        if is_on_host(node)
    )


def plan_value(value: ir.Value) -> Value:
    """The record of a value, as much of it as is known before the model runs."""
    shape = value.shape
    return Value(
        name=value.name or "",
        dtype="" if value.dtype is None else _dtype_name(value.dtype),
        shape=None if shape is None else tuple(d if isinstance(d, int) else None for d in shape),
        container=container_of(value),
    )


def _dtype_name(dtype: ir.DataType) -> str:
    return TEXT if dtype.name == "STRING" else str(dtype.numpy())


def host_operator_notes(model: ir.Model) -> Iterator[str]:
    """What runs on the host, and why."""
    nodes = [node for node in model.graph if is_on_host(node)]
    if nodes and len(nodes) == len(model.graph):
        yield "every operator runs on the host: nothing of the model is left for the wafer"
    if nodes:
        said = [
            f"{node.name} ({OperatorView(node).qualified_name}), as {host_reason(node)}" for node in nodes
        ]
        shown = said if len(said) <= _NAMED else [*said[:_NAMED], f"{len(said) - _NAMED} more"]
        yield f"{len(nodes)} of {len(model.graph)} operators on the host: {'; '.join(shown)}"


def check_no_host(model: ir.Model) -> None:
    """Refuse a model of which a part runs on the host.

    Raises:
        WsecError: WSEC118 lists every such operator, with why.
    """
    operators = host_operators_of(model)
    if not operators:
        return
    count = len(operators)
    raise WsecError(
        "WSEC118",
        f"{count} operator{'s' * (count != 1)} of the model would run on the host",
        where="\n".join(f"{item.name} ({item.operator}): {item.reason}" for item in operators),
        expected="operators that cores can run, as --no-host asks for",
        found=f"{count} of {len(model.graph)} operators for the host",
        hint="leave --no-host out, or cut the model before the first of these operators",
    )
