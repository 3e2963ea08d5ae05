"""What a kernel computes: kind, operands, arguments and chain: each thing that is made wrong is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from legal_plans import change_input, change_kernel
from plan_changes import Case, assert_findings, entry, kernel, output, step

from wsec.compiler.sharding import Sharding, cut, whole

CASES = (
    Case(
        "kind unknown",
        kernel("product", kind="cross_product"),
        (
            "WSEC545 kernel product: the kind is known; expected one of attention, convolution, transposed_convolution, matmul, experts, pooling, reduction, softmax, normalization, gather, transpose, reshape, slice, pad, concat, expand, resize, recurrent, batched, elementwise, unsplit, found cross_product",
        ),
    ),
    Case(
        "kind of another operator",
        kernel("product", kind="pooling"),
        (
            "WSEC545 kernel product: the kind computes the operator; expected AveragePool, MaxPool, found ai.onnx MatMul of product",
        ),
    ),
    Case(
        "result of another node",
        output("product", tensor="s"),
        (
            "WSEC545 kernel product: a kernel gives the output of its last node; expected p, found s",
            "WSEC547 link p to sum.e0: a link begins where its tensor is produced; expected a tensor that is produced, found p from product",
        ),
    ),
    Case(
        "argument of another value",
        kernel("conv", arguments={"window": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (1, 0)}),
        (
            "WSEC545 kernel conv, argument pads: arguments are those of the node; expected (1, 1), found (1, 0)",
        ),
    ),
    Case(
        "argument of another length",
        kernel("conv", arguments={"window": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (1,)}),
        ("WSEC545 kernel conv, argument pads: arguments are those of the node; expected (1, 1), found (1,)",),
    ),
    Case(
        "argument missing",
        kernel("conv", arguments={"window": (3, 3), "strides": (1, 1), "pads": (1, 1)}),
        (
            "WSEC545 kernel conv, argument dilations: arguments are those of the node; expected (1, 1), found nothing",
        ),
    ),
    Case(
        "weights of another name",
        entry("conv", "bias", tensor="w2"),
        (
            "WSEC543 kernel conv, input bias: a tensor is one of the lowered model, with a shape; expected a tensor of that name, found w2",
        ),
    ),
    Case(
        "input missing",
        lambda plan: change_kernel(plan, "conv", lambda kernel: replace(kernel, inputs=kernel.inputs[:2])),
        (
            "WSEC545 kernel conv, input bias: inputs are the tensors that the nodes read; expected b, found nothing",
        ),
    ),
    Case(
        "input too many",
        lambda plan: change_kernel(
            plan,
            "product",
            lambda kernel: replace(
                kernel, inputs=(*kernel.inputs, change_input(kernel, "b", role="c").inputs[1])
            ),
        ),
        (
            "WSEC545 kernel product, input c: inputs are the tensors that the nodes read; expected nothing, found v",
        ),
    ),
    Case(
        "chain step missing",
        lambda plan: change_kernel(plan, "sum", lambda kernel: replace(kernel, chain=kernel.chain[:1])),
        (
            "WSEC545 kernel sum, chain: a chain has a step for each node behind the kernel's own; expected Add, Mul, found Add",
            "WSEC545 kernel sum, input e2: inputs are the tensors that the nodes read; expected nothing, found scale",
        ),
    ),
    Case(
        "chain operator",
        step("sum", 0, operator="Sub"),
        (
            "WSEC545 kernel sum, chain step 0: a step is its node, which is element-wise; expected Add of sum, element-wise, found Sub",
        ),
    ),
    Case(
        "chain attribute",
        step("sum", 1, attributes={"alpha": 1.0}),
        (
            "WSEC545 kernel sum, chain step 1: a step has the attributes of its node; expected {}, found {'alpha': 1.0}",
        ),
    ),
    Case(
        "chain element type",
        step("sum", 0, dtype="float16"),
        (
            "WSEC545 kernel sum, chain step 0: a step has the element type of its node; expected float32, found float16",
        ),
    ),
    Case(
        "chain wired to the wrong input",
        step("sum", 0, inputs=("e0", "e0")),
        (
            "WSEC545 kernel sum, chain step 0: a step is wired as its node; expected an input that reads p, an input that reads y, found e0, e0",
            "WSEC545 kernel sum, input e0: inputs are the tensors that the nodes read; expected y, found p",
            "WSEC545 kernel sum, input e1: inputs are the tensors that the nodes read; expected nothing, found y",
        ),
    ),
    Case(
        "chain wired to a later step",
        step("sum", 0, inputs=("e0", "out")),
        (
            "WSEC545 kernel sum, chain step 0: a step is wired as its node; expected an input that reads p, an input that reads y, found e0, out",
            "WSEC545 kernel sum, input e1: inputs are the tensors that the nodes read; expected nothing, found y",
        ),
    ),
    Case(
        "chain with too few inputs",
        step("sum", 1, inputs=("s",)),
        (
            "WSEC545 kernel sum, chain step 1: a step is wired as its node; expected s, an input that reads scale, found s",
            "WSEC545 kernel sum, input e2: inputs are the tensors that the nodes read; expected nothing, found scale",
        ),
    ),
    Case(
        "chain output named as an input",
        lambda plan: step("sum", 1, inputs=("e1", "e2"))(step("sum", 0, output="e1")(plan)),
        (
            "WSEC545 kernel sum, chain: outputs of steps have names of their own; expected each name once, found e0, e1, e2, result, e1, out",
            "WSEC545 kernel sum, input e1: inputs are the tensors that the nodes read; expected s, found y",
        ),
    ),
    Case(
        "operand broadcast along the wrong dimension",
        entry("sum", "e2", sharding=Sharding((whole(1), whole(1), cut(6, 2, ("d1",)), whole(1)))),
        (
            "WSEC545 kernel sum, input e2: an operand of a chain broadcasts to the output's view as its tensor to the output; expected a view of [1, 6, 1, 1] over [1, 6, 8, 8], found [1, 1, 6, 1]",
        ),
    ),
    Case(
        "operand of too few dimensions",
        entry("sum", "e2", sharding=Sharding((cut(6, 2, ("d1",)), whole(1), whole(1)))),
        (
            "WSEC545 kernel sum, input e2: an operand of a chain broadcasts to the output's view as its tensor to the output; expected a view of [1, 6, 1, 1] over [1, 6, 8, 8], found [6, 1, 1]",
        ),
    ),
    Case(
        "kernel computes nothing",
        kernel("product", operators=()),
        (
            "WSEC547 node product (MatMul): each node of the lowered model is computed once; expected one kernel, or the host, found 0 of them",
        ),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_findings_are_exact(case: Case) -> None:
    """What is wrong is said word for word, with its place and numbers."""
    assert_findings(case)
