"""Host operators: what they are, what they are given, and what goes over the edge for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from legal_plans import change_link, check_without_circuits, network_model, on_host, plan_with_host

from wsec.compiler.plan import HOST, Plan

if TYPE_CHECKING:
    from collections.abc import Callable


def _changed(position: int, **changes: object) -> Callable[[Plan], Plan]:
    """Changes entries of a host operator."""

    def change(plan: Plan) -> Plan:
        operators = list(plan.host_operators)
        operators[position] = replace(operators[position], **changes)  # type: ignore[arg-type] # names are the caller's
        return replace(plan, host_operators=tuple(operators))

    return change


def _retyped(plan: Plan) -> Plan:
    (value,) = plan.host_operators[0].outputs
    return _changed(0, outputs=(replace(value, shape=(None, 6, 8, 8)),))(plan)


def test_a_plan_with_host_operators_is_legal() -> None:
    """What kernels give and the host reads goes there once; what the host gives the host needs no link."""
    plan = plan_with_host()
    assert check_without_circuits(plan, network_model()) == ()
    assert check_without_circuits(plan) == ()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            lambda plan: replace(plan, host_operators=plan.host_operators[:1]),
            "node scaled (Mul): each node of the lowered model is computed once; expected one kernel, or the host, found 0 of them",
        ),
        (
            lambda plan: replace(plan, host_operators=(*plan.host_operators, on_host("relu"))),
            "tensor y: a tensor is there once; expected one, found 2",
        ),
        (
            lambda plan: replace(plan, host_operators=(*plan.host_operators, on_host("sum"))),
            "node sum (Add): each node of the lowered model is computed once; expected one kernel, or the host, found 2 of them",
        ),
        (
            _changed(0, operator="Sub"),
            "host operator sum: a host operator is the operator of its node; expected Add, found Sub",
        ),
        (
            _changed(0, inputs=("p",)),
            "host operator sum: a host operator reads what its node reads; expected p, y, found p",
        ),
        (
            _changed(0, inputs=("p", "nothing")),
            "host operator sum: a host operator reads what there is; expected an input, a weight, or what a kernel or host operator gives, found nothing",
        ),
        (
            _changed(0, outputs=()),
            "host operator sum: a host operator gives what its node gives; expected s, found nothing",
        ),
        (
            _retyped,
            "host operator sum, output s: shape and element type are the model's; expected float32 (1, 6, 8, 8), found float32 None",
        ),
        (
            lambda plan: change_link(plan, "y to host", lambda _link: None),
            "host operator sum, input y: what a host operator reads of a kernel goes to the host once; expected 1 link, found 0 links",
        ),
        (
            lambda plan: change_link(plan, "y to host", lambda link: replace(link, tensor="c")),
            "link y to host: the host is given what it asks for; expected an output of the model, or what a host operator or another wafer or phase reads, found c",
        ),
        (
            lambda plan: change_link(plan, "y to product.a", lambda link: replace(link, source=HOST)),
            "link y to product.a: a link begins where its tensor is produced; expected conv, found y from host",
        ),
        (
            lambda plan: change_link(
                plan, "y to product.a", lambda link: replace(link, source=HOST, tensor="s")
            ),
            "links: a kernel does not wait for itself; expected no circle, found a circle of links",
        ),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[Plan], Plan], finding: str) -> None:
    """Nodes, operands, results, and each transfer between kernels and the host."""
    found = [str(item) for item in check_without_circuits(change(plan_with_host()), network_model())]
    assert f"WSEC547 {finding}" in found
