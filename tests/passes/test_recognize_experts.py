"""Mixtures of experts are found in the ways exporters write them; sums that are none stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest

from wsec.compiler.node_runner import make_node_runner
from wsec.passes import run_pipeline
from wsec.passes.recognize_experts import RecognizeExperts

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[str], ir.Model]
    Array = np.ndarray[Any, Any]

ROWS, HIDDEN, INNER, EXPERTS = 5, 6, 4, 3
RNG = np.random.default_rng(2)

BEST = "best, which = TopK<axis=-1>(logits, two) "
TABLE = "table = ScatterElements<axis=1>(zeros, which, shares) "
ROUTERS = {
    "softmax of the best": BEST + "shares = Softmax<axis=-1>(best) " + TABLE,
    "best of the softmax": "all = Softmax(logits) best, which = TopK(all, two) "
    "table = ScatterElements<axis=-1>(zeros, which, best) ",
    "best of the softmax, normalised": "all = Softmax(logits) best, which = TopK(all, two) "
    "sum = ReduceSum<keepdims=1>(best, last) shares = Div(best, sum) " + TABLE,
}
PROJECTIONS = {
    "MatMul": "p{e} = MatMul(x, u{e}) h{e} = Add(p{e}, bu{e}) ",
    "Gemm": "h{e} = Gemm<transB=1>(x, ut{e}, bu{e}) ",
    "rows of one": "r{e} = Gather(us, i{e}) p{e} = MatMul(x, r{e}) q{e} = Gather(bus, i{e}) h{e} = Add(q{e}, p{e}) ",
}
PAIRS = "g{e} = Slice(h{e}, zero, big, last, two) l{e} = Slice(h{e}, one, big, last, two) "
HALVES = "g{e}, l{e} = Split<axis=-1, num_outputs=2>(h{e}) "
SWISH = "z{e} = Mul(g{e}, slope) s{e} = Sigmoid(z{e}) "
ACTIVATIONS = {
    "pairs, bounded": PAIRS + "c{e} = Clip(g{e}, , limit) b{e} = Clip(l{e}, minus, limit) "
    "z{e} = Mul(slope, c{e}) s{e} = Sigmoid(z{e}) k{e} = Add(b{e}, unit) a{e} = Mul(c{e}, s{e}) v{e} = Mul(k{e}, a{e}) ",
    "pairs": PAIRS + SWISH + "a{e} = Mul(l{e}, g{e}) v{e} = Mul(a{e}, s{e}) ",
    "halves": HALVES + SWISH + "a{e} = Mul(s{e}, g{e}) k{e} = Add(unit, l{e}) v{e} = Mul(a{e}, k{e}) ",
    "halves by Slice": "g{e} = Slice(h{e}, zero, four, last) l{e} = Slice(h{e}, four, big, last) "
    + SWISH
    + "a{e} = Mul(s{e}, g{e}) v{e} = Mul(a{e}, l{e}) ",
}
APART = "pg{e} = MatMul(x, d{e}t) pl{e} = MatMul(x, o{e}) s{e} = Sigmoid(pg{e}) a{e} = Mul(pg{e}, s{e}) v{e} = Mul(a{e}, pl{e}) "
RELU = "pg{e} = MatMul(x, o{e}) v{e} = Relu(pg{e}) "
SILU = "pg{e} = MatMul(x, o{e}) s{e} = Sigmoid(pg{e}) v{e} = Mul(s{e}, pg{e}) "
RESULT = "w{e} = MatMul(v{e}, d{e}) y{e} = Add(w{e}, bd{e}) "
COLUMNS = {
    "Gather": "n{e} = Gather<axis=1>(table, i{e}) m{e} = Unsqueeze(n{e}, one) ",
    "Slice": "m{e} = Slice(table, j{e}, j{e}1, one) ",
}
WEIGHTED = "t{e} = Mul(y{e}, m{e}) "
SUM = "f = Add(t0, t1) y = Add(f, t2)"


def _constants() -> str:
    found = [
        f"float[{ROWS}, {EXPERTS}] zeros = {{{', '.join(['0'] * ROWS * EXPERTS)}}}",
        "int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4}, int64[1] big = {99}",
        "int64[1] three = {3}, int64[2] one_two = {1, 2}, int64[2] one_three = {1, 3}",
        "int64[1] last = {-1}, float limit = {0.7}, float minus = {-0.7}, float slope = {1.702}, float unit = {1.0}",
    ]
    up = RNG.standard_normal((EXPERTS, HIDDEN, 2 * INNER))
    bias = RNG.standard_normal((EXPERTS, 2 * INNER))
    down = RNG.standard_normal((EXPERTS, INNER, HIDDEN))
    found += [_tensor("us", up), _tensor("bus", bias), _tensor("ust", up.swapaxes(1, 2))]
    found += [_tensor("ds", down), _tensor("dst", down.swapaxes(1, 2)), _tensor("bds", bias[:, :HIDDEN])]
    for e in range(EXPERTS):
        found += [_tensor(f"u{e}", up[e]), _tensor(f"ut{e}", up[e].T), _tensor(f"bu{e}", bias[e])]
        found += [
            _tensor(f"d{e}", down[e]),
            _tensor(f"d{e}t", down[e].T),
            _tensor(f"bd{e}", bias[e, :HIDDEN]),
        ]
        found += [_tensor(f"o{e}", up[e, :, :INNER])]
        found += [f"int64 i{e} = {{{e}}}", f"int64[1] j{e} = {{{e}}}", f"int64[1] j{e}1 = {{{e + 1}}}"]
    return ", ".join(found)


def _tensor(name: str, values: Array) -> str:
    shape = ", ".join(map(str, values.shape))
    return f"float[{shape}] {name} = {{{', '.join(f'{value:.5f}' for value in values.ravel())}}}"


CONSTANTS = _constants()


def _text(
    router: str = ROUTERS["softmax of the best"],
    expert: str = PROJECTIONS["MatMul"] + ACTIVATIONS["pairs, bounded"] + RESULT,
    column: str = COLUMNS["Gather"],
    end: str = SUM,
) -> str:
    experts = "".join((expert + column + WEIGHTED).replace("{e}", str(e)) for e in range(EXPERTS))
    return (
        f"g (float[{ROWS}, {HIDDEN}] x, float[{ROWS}, {EXPERTS}] logits) => (float[{ROWS}, {HIDDEN}] y) "
        f"<{CONSTANTS}> {{ {router} {experts} {end} }}"
    )


def _results(model: ir.Model) -> list[Array]:
    rng = np.random.default_rng(4)
    feeds = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in (("x", (ROWS, HIDDEN)), ("logits", (ROWS, EXPERTS)))
    }
    return make_node_runner(ir.serde.serialize_model(model)).run(feeds)


def _recognized(build: Build, text: str) -> ir.Model:
    """What the pass makes of a model: the same numbers, the truth about changes, the same bytes each time."""
    model, again = build(text), build(text)
    expected = _results(model)
    before = [node.op_type for node in model.graph]
    modified = run_pipeline(model, [RecognizeExperts()])
    assert modified == (before != [node.op_type for node in model.graph])
    np.testing.assert_allclose(_results(model)[0], expected[0], rtol=1e-5, atol=1e-5)
    assert not RecognizeExperts().run(model).modified
    run_pipeline(again, [RecognizeExperts()])
    first, second = (
        ir.serde.serialize_model(each).SerializeToString(deterministic=True) for each in (model, again)
    )
    assert first == second
    return model


def _mixture(model: ir.Model) -> ir.Node:
    (node,) = model.graph
    assert (node.domain, node.op_type) == ("com.microsoft", "MoE")
    return node


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_routers(router: str, build: Build) -> None:
    """A softmax of the best logits, or the best of a softmax, normalised or not."""
    node = _mixture(_recognized(build, _text(ROUTERS[router])))
    assert node.attributes["k"].as_int() == 2
    assert node.attributes["normalize_routing_weights"].as_int() == int(router != "best of the softmax")


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
def test_weights(projection: str, column: str, build: Build) -> None:
    """Weights of their own for each expert, turned or not, or rows of one tensor; shares by Gather or Slice."""
    expert = PROJECTIONS[projection] + ACTIVATIONS["pairs"] + RESULT
    node = _mixture(_recognized(build, _text(expert=expert, column=COLUMNS[column])))
    assert node.inputs[2] is not None
    assert node.inputs[2].shape == ir.Shape([EXPERTS, 2 * INNER, HIDDEN])


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_joined_gates(activation: str, build: Build) -> None:
    """Gate and linear part by turns or as halves, bounded or not, in any order of factors."""
    expert = PROJECTIONS["MatMul"] + ACTIVATIONS[activation] + RESULT
    node = _mixture(_recognized(build, _text(expert=expert)))
    assert node.attributes["swiglu_fusion"].as_int() == (1 if "pairs" in activation else 2)
    assert ("swiglu_limit" in node.attributes) == ("bounded" in activation)
    moved = activation in {"pairs, bounded", "halves"}
    assert node.attributes["activation_beta"].as_float() == float(moved)


@pytest.mark.parametrize(
    ("expert", "name"), [(RELU, "relu"), (SILU, "silu"), (APART.replace("d{e}t", "o{e}"), "swiglu")]
)
def test_other_activations(expert: str, name: str, build: Build) -> None:
    """One product with an activation behind it, or one each for gate and linear part, which have no bias."""
    model = _recognized(build, _text(expert=expert + "y{e} = MatMul(v{e}, d{e}) "))
    node = _mixture(model)
    assert node.attributes["activation_type"].as_string() == name
    assert node.inputs[3] is None
    assert (len(node.inputs) > 6) == (name == "swiglu")


STAYS = {
    "an expert is missing": _text().replace("f = Add(t0, t1) y = Add(f, t2)", "y = Add(t0, t1)"),
    "something else is added": _text(end="f = Add(t0, t1) k = Add(f, x) y = Add(k, t2)"),
    "an expert reads other rows": _text()
    .replace("MatMul(x, u1)", "MatMul(other, u1)")
    .replace("best, which", "other = Neg(x) best, which", 1),
    "bounds differ": _text().replace("b1 = Clip(l1, minus, limit)", "b1 = Clip(l1, minus, unit)"),
    "gates are bounded from below": _text().replace("Clip(g2, , limit)", "Clip(g2, minus, limit)"),
    "the linear part is behind the gate of another": _text().replace("a1 = Mul(c1, s1)", "a1 = Mul(c0, s1)"),
    "the table is not empty": _text().replace("zeros = {0,", "zeros = {1,"),
    "the least are chosen": _text().replace("TopK<axis=-1>", "TopK<axis=-1, largest=0>"),
    "shares of another axis": _text().replace("Softmax<axis=-1>(best)", "Softmax<axis=0>(best)"),
    "a result is read elsewhere": _text(end="f = Add(t0, t1) k = Add(f, t2) y = Add(k, t0)"),
}


@pytest.mark.parametrize("case", STAYS, ids=str)
def test_what_is_no_mixture_stays(case: str, build: Build) -> None:
    """Sums that differ from one in a single place."""
    assert STAYS[case] != _text()
    model = build(STAYS[case])
    assert not RecognizeExperts().run(model).modified


def test_numbers_stay_in_any_order(survives_any_order: Callable[..., None]) -> None:
    """Wherever its rules let the pass stand among the others."""
    survives_any_order(_text())


def test_blocks_of_few_bits_stay_codes(build: Build) -> None:
    """Codes, scales and zero points of all experts are stacked as such, and dequantised by one operator a matrix."""
    text = _text(expert=PROJECTIONS["MatMul"] + ACTIVATIONS["pairs"] + RESULT)
    model = build(text)
    for node in [node for node in model.graph if node.op_type == "MatMul"]:
        _quantize(model, node)
    expected = _results(model)
    assert RecognizeExperts().run(model).modified
    assert [node.op_type for node in model.graph] == ["DequantizeLinear", "DequantizeLinear", "MoE"]
    assert {str(node.inputs[0].dtype) for node in model.graph if node.inputs[0] is not None} >= {"UINT4"}
    np.testing.assert_allclose(_results(model)[0], expected[0], rtol=1e-5, atol=1e-5)


def _quantize(model: ir.Model, node: ir.Node) -> None:
    """Let a MatMul read a DequantizeLinear of codes in blocks of two instead of its weights."""
    weights = node.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    array = weights.const_value.numpy()
    scale = np.abs(array).reshape(-1, 2, array.shape[1]).max(axis=1) / 7
    zero = np.full(scale.shape, 8)
    codes = np.clip(np.rint(array / np.repeat(scale, 2, axis=0)) + 8, 0, 15)
    values = []
    for name, data, kind in (
        ("codes", codes, ir.DataType.UINT4),
        ("scale", scale, ir.DataType.FLOAT),
        ("zero", zero, ir.DataType.UINT4),
    ):
        tensor = ir.tensor(data.astype(kind.numpy()), dtype=kind, name=f"{weights.name}_{name}")
        value = ir.Value(
            name=tensor.name, type=ir.TensorType(kind), shape=ir.Shape(data.shape), const_value=tensor
        )
        model.graph.register_initializer(value)
        values.append(value)
    created = ir.node(
        "DequantizeLinear", values, attributes={"axis": 0, "block_size": 2}, name=f"{node.name}_codes"
    )
    output = created.outputs[0]
    output.name, output.shape, output.dtype = f"{weights.name}_wide", weights.shape, ir.DataType.FLOAT
    node.prepend(created)
    node.replace_input_with(1, output)


INDEXED_FIRST = {
    "rows": "xr = Unsqueeze(x, one_two) u = Gather(us, which) p = MatMul(xr, u) ps = Squeeze(p, two) ",
    "columns": "xr = Unsqueeze(x, one_three) u = Gather(ust, which) p = MatMul(u, xr) ps = Squeeze(p, three) ",
}
INDEXED_SECOND = {
    "rows": "vr = Unsqueeze(v, two) w = Gather(ds, which) q = MatMul(vr, w) qs = Squeeze(q, two) ",
    "columns": "vr = Unsqueeze(v, three) w = Gather(dst, which) q = MatMul(w, vr) qs = Squeeze(q, three) ",
}
INDEXED_BIAS = ("b1 = Gather(bus, which) h = Add(ps, b1) ", "b2 = Gather(bds, which) r = Add(b2, qs) ")
INDEXED_SUM = {
    "Mul": "sm = Unsqueeze(shares, two) t = Mul(r, sm) y = ReduceSum<keepdims=0>(t, one)",
    "MatMul": "sm = Unsqueeze(shares, one) t = MatMul(sm, r) y = Squeeze(t, one)",
}


def _indexed(form: str = "rows", end: str = "Mul", activation: str = "pairs, bounded") -> str:
    body = INDEXED_FIRST[form] + INDEXED_BIAS[0] + ACTIVATIONS[activation].replace("{e}", "")
    body += INDEXED_SECOND[form] + INDEXED_BIAS[1] + INDEXED_SUM[end]
    return (
        f"g (float[{ROWS}, {HIDDEN}] x, float[{ROWS}, {EXPERTS}] logits) => (float[{ROWS}, {HIDDEN}] y) "
        f"<{CONSTANTS}> {{ {BEST} shares = Softmax<axis=-1>(best) {body} }}"
    )


@pytest.mark.parametrize("end", INDEXED_SUM, ids=str)
@pytest.mark.parametrize("form", INDEXED_FIRST, ids=str)
def test_weights_that_are_picked_by_index(form: str, end: str, build: Build) -> None:
    """Gathered matrices times rows or columns, added by a product with the shares or by a sum."""
    model = _recognized(build, _indexed(form, end))
    assert [node.op_type for node in model.graph if node.op_type not in {"Squeeze", "Reshape"}] == ["MoE"]


INDEXED_STAYS = {
    "other indices": _indexed().replace("w = Gather(ds, which)", "other = Neg(which) w = Gather(ds, other)"),
    "another axis": _indexed()
    .replace("ReduceSum<keepdims=0>(t, one)", "ReduceSum<keepdims=0>(t, two)")
    .replace(f"float[{ROWS}, {HIDDEN}] y", f"float[{ROWS}, 2] y"),
    "shares of something else": _indexed().replace("Softmax<axis=-1>(best)", "Sigmoid(best)"),
    "a bias for every expert alike": _indexed().replace(
        "b1 = Gather(bus, which) h = Add(ps, b1)", "h = Add(ps, bu0)"
    ),
}


@pytest.mark.parametrize("case", INDEXED_STAYS, ids=str)
def test_what_is_picked_otherwise_stays(case: str, build: Build) -> None:
    """Forms that differ from one in a single place."""
    assert INDEXED_STAYS[case] != _indexed()
    model = build(INDEXED_STAYS[case])
    assert not RecognizeExperts().run(model).modified
