"""Damages models at random: what their nodes, names, sizes, types and opsets say, and the bytes of their files.

`mutate` needs only a source of randomness, so that hypothesis and the benchmark share it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Change = Callable[[onnx.ModelProto, Random], None]

NUMBERS = (-(1 << 63), -(1 << 31), -7, -2, -1, 0, 1, 2, 3, 4, 5, 7, 64, 1000, 1 << 31, 1 << 40, (1 << 63) - 1)
_NAMES = ("", "x", "y", "host", "a/b", "a b", "nul\0", "?", "x" * 5000, "\x1b[31m")
_TYPES = (*range(24), 99)
_HEAD = '<ir_version: 10, opset_import: ["" : 21, "local" : 1]>'


def seed_models() -> dict[str, bytes]:
    """Tiny correct models by name; between them they use every kind of structure that a file may hold."""
    return {
        name: onnx.parser.parse_model(f"{_HEAD} {text}").SerializeToString() for name, text in _SEEDS.items()
    }


def mutate(data: bytes, random: Random) -> bytes:
    """One to three changes of the model; now and then of its bytes as well, or of its bytes alone."""
    if random.random() < 0.15:
        return _change_bytes(data, random)
    model = onnx.ModelProto.FromString(data)
    for _ in range(random.randint(1, 3)):
        # A change may find nothing to change, or a number that the field does not take.
        with contextlib.suppress(LookupError, ValueError, TypeError, DecodeError):
            random.choice(_CHANGES)(model, random)
    data = model.SerializeToString()
    return _change_bytes(data, random) if random.random() < 0.05 else data


def _change_bytes(data: bytes, random: Random) -> bytes:
    start = random.randrange(max(len(data), 1))
    kind = random.randrange(4)
    if kind == 0:
        return data[:start]
    if kind == 1:
        end = random.randrange(start, len(data) + 1)
        return data[:start] + data[end:]
    if kind == 2:
        other = random.randrange(max(len(data), 1))
        return data[:start] + data[other : other + random.randrange(1, 40)] + data[start:]
    damaged = bytearray(data)
    for _ in range(random.randint(1, 4)):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    """Any node, those of bodies and functions included."""
    scopes = [model.graph.node, *(function.node for function in model.functions)]
    nodes: list[onnx.NodeProto] = [node for scope in scopes for node in scope]
    for node in nodes:  # grows while it is walked
        for attribute in node.attribute:
            if attribute.HasField("g"):
                nodes.extend(attribute.g.node)
    return random.choice(nodes)


def _value_name(model: onnx.ModelProto, random: Random) -> str:
    graph = model.graph
    names: list[str] = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
    names += [name for node in graph.node for name in node.output]
    return random.choice([*names, random.choice(_NAMES)])


def _drop_node(model: onnx.ModelProto, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _repeat_node(model: onnx.ModelProto, random: Random) -> None:
    model.graph.node.append(random.choice(model.graph.node))


def _swap_nodes(model: onnx.ModelProto, random: Random) -> None:
    one, other = (random.choice(model.graph.node) for _ in range(2))
    copy = onnx.NodeProto.FromString(one.SerializeToString())
    one.CopyFrom(other)
    other.CopyFrom(copy)


def _rewire(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    node.input[random.randrange(len(node.input))] = _value_name(model, random)


def _swap_operands(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    operands = list(node.input)
    random.shuffle(operands)
    node.input[:] = operands


def _count_operands(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    values = random.choice([node.input, node.output])
    if random.random() < 0.5:
        values.pop()
    else:
        values.append(_value_name(model, random) if values is node.input else "more")


def _rename(model: onnx.ModelProto, random: Random) -> None:
    name = random.choice([*_NAMES, _value_name(model, random)])
    graph = model.graph
    what = random.choice([_node(model, random), *graph.input, *graph.output, *graph.initializer, graph])
    what.name = name


def _rename_result(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    node.output[random.randrange(len(node.output))] = _value_name(model, random)


def _change_operator(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    known = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    node.op_type = random.choice([*known, "Relu", "Add", "MatMul", "Reshape", "Nonsense"])
    if random.random() < 0.1:
        node.domain = random.choice(["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "local", "acme"])


def _change_attribute(model: onnx.ModelProto, random: Random) -> None:
    attribute = random.choice(_node(model, random).attribute)
    kind = random.randrange(6)
    if kind == 0:
        attribute.i = random.choice(NUMBERS)
    elif kind == 1:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(NUMBERS)
    elif kind == 2:
        attribute.ints.append(random.choice(NUMBERS))
    elif kind == 3:
        attribute.s = random.choice(
            [b"", b"SAME_UPPER", b"\xff", b"linear", b"reflect", b"reverse", b"A" * 5000]
        )
    elif kind == 4:
        attribute.type = random.choice(onnx.AttributeProto.AttributeType.values())
    else:
        attribute.f = random.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])


def _drop_attribute(model: onnx.ModelProto, random: Random) -> None:
    attributes = _node(model, random).attribute
    del attributes[random.randrange(len(attributes))]


def _add_attribute(model: onnx.ModelProto, random: Random) -> None:
    name = random.choice(
        ["axis", "axes", "group", "to", "keepdims", "perm", "pads", "strides", "blocksize", "nonsense"]
    )
    value = random.choice([random.choice(NUMBERS), [random.choice(NUMBERS) for _ in range(3)], "text", 0.5])
    _node(model, random).attribute.append(helper.make_attribute(name, value))


def _change_extent(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    value = random.choice([*graph.input, *graph.output, *graph.value_info])
    extents = value.type.tensor_type.shape.dim
    kind = random.randrange(4)
    if kind == 0:
        extents.add(dim_value=random.choice(NUMBERS))
    elif kind == 1:
        extents.pop()
    elif kind == 2:
        extents[random.randrange(len(extents))].dim_param = random.choice(["", "n", "batch", "?"])
    else:
        extents[random.randrange(len(extents))].dim_value = random.choice(NUMBERS)


def _change_type(model: onnx.ModelProto, random: Random) -> None:
    value = random.choice([*model.graph.input, *model.graph.output])
    if random.random() < 0.1:
        value.ClearField("type")
    else:
        value.type.tensor_type.elem_type = random.choice(_TYPES)


def _change_weight(model: onnx.ModelProto, random: Random) -> None:
    tensor = random.choice(model.graph.initializer)
    kind = random.randrange(6)
    if kind == 0:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = random.choice(_TYPES)
    elif kind == 2:
        tensor.int64_data[random.randrange(len(tensor.int64_data))] = random.choice(NUMBERS)
    elif kind == 3:
        tensor.float_data[random.randrange(len(tensor.float_data))] = random.choice(
            [0.0, float("nan"), float("inf")]
        )
    elif kind == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=random.choice(["w", "../w", "/etc/hostname", ""]))
    else:
        del model.graph.initializer[random.randrange(len(model.graph.initializer))]


def _change_versions(model: onnx.ModelProto, random: Random) -> None:
    kind = random.randrange(4)
    if kind == 0:
        model.ir_version = random.choice([0, 3, 7, 10, 13, 14, 99])
    elif kind == 1:
        del model.opset_import[random.randrange(len(model.opset_import))]
    else:
        random.choice(model.opset_import).version = random.choice([0, 1, 6, 7, 9, 11, 13, 17, 23, 24, 28, 99])


def _change_outputs(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    if random.random() < 0.3:
        del graph.output[random.randrange(len(graph.output))]
    else:
        graph.output.add(name=_value_name(model, random))


def _make_constant(model: onnx.ModelProto, random: Random) -> None:
    value = random.choice(model.graph.input)
    kind, shape = value.type.tensor_type, [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if all(0 <= extent <= 64 for extent in shape):
        count = 1
        for extent in shape:
            count *= extent
        model.graph.initializer.append(helper.make_tensor(value.name, kind.elem_type, shape, [1] * count))


def _nest(model: onnx.ModelProto, random: Random) -> None:
    """A node moves into both branches of an If, and perhaps that one into another."""
    index = random.randrange(len(model.graph.node))
    for _ in range(random.choice([1, 1, 2, 6])):
        node = onnx.NodeProto.FromString(model.graph.node[index].SerializeToString())
        body = onnx.GraphProto(
            name="branch", node=[node], output=[onnx.ValueInfoProto(name=name) for name in node.output]
        )
        outer = helper.make_node("If", ["condition"], list(node.output), then_branch=body, else_branch=body)
        model.graph.node[index].CopyFrom(outer)
    if "condition" not in {value.name for value in model.graph.input}:
        model.graph.input.append(helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, []))


def _change_function(model: onnx.ModelProto, random: Random) -> None:
    function = random.choice(model.functions)
    kind = random.randrange(4)
    if kind == 0:
        model.functions.append(function)
    elif kind == 1:
        random.choice(function.node).op_type = function.name
        random.choice(function.node).domain = function.domain
    elif kind == 2:
        function.input.append("more")
    else:
        del function.opset_import[:]


_CHANGES: tuple[Change, ...] = (
    _add_attribute, _change_attribute, _change_attribute, _change_attribute, _change_extent, _change_extent,
    _change_function, _change_operator, _change_operator, _change_outputs, _change_type, _change_versions,
    _change_weight, _change_weight, _change_weight, _count_operands, _drop_attribute, _drop_node,
    _make_constant, _nest, _rename, _rename_result, _repeat_node, _rewire, _rewire, _swap_nodes, _swap_operands,
)  # fmt: skip

_SEEDS = {
    "convolution": """g (float[1, 4, 9, 8] x) => (float[1, 3] y) <float[3, 2, 3, 3] w = {
        1, 0, 2, 0, 1, 0, 3, 1, 0, 1, 1, 0, 0, 1, 0, 2, 1, 0, 1, 0, 2, 0, 1, 0, 3, 1, 0, 1, 1, 0, 0, 1, 0, 2, 1, 0,
        1, 0, 2, 0, 1, 0, 3, 1, 0, 1, 1, 0, 0, 1, 0, 2, 1, 0}, float[3] b = {1, 2, 3}> {
        p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) \n h = Concat<axis = 1>(p, p)
        i = Constant<value_ints = [0]>() \n j = Constant<value_ints = [6]>() \n k = Constant<value_ints = [1]>()
        s = Slice(h, i, j, k) \n c = Conv<group = 3, pads = [1, 1, 1, 1]>(s, w, b) \n r = Relu(c)
        a = GlobalAveragePool(r) \n y = Flatten(a) }""",
    "perceptron": """g (float[5, 6] x) => (float[5, 4] y) <float[6, 4] w = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}, float[4] b = {1, -1, 2, 0}> {
        g = Gemm<alpha = 0.5>(x, w, b) \n t = Tanh(g) \n n = LayerNormalization(t, b) \n y = Softmax<axis = -1>(n) }""",
    "shapes": """g (float[2, 3, 4] x) => (float[a, b] y) {
        s = Shape(x) \n zero = Constant<value_int = 0>() \n n = Gather(s, zero) \n axes = Constant<value_ints = [0]>()
        u = Unsqueeze(n, axes) \n rest = Constant<value_ints = [-1]>() \n target = Concat<axis = 0>(u, rest)
        r = Reshape(x, target) \n t = Transpose<perm = [1, 0]>(r) \n pads = Constant<value_ints = [1, 0, 0, 0]>()
        p = Pad(t, pads) \n f = ConstantOfShape(u) \n m = Add(p, f) \n y = ReduceSum<keepdims = 1>(m, axes) }""",
    "recurrent": """g (float[3, 1, 2] x) => (float[3, 1, 1, 2] y) <float[1, 6, 2] w = {
        1, 2, 1, 0, 1, 0, 2, 1, 1, 0, 1, 1}, float[1, 6, 2] r = {1, 0, 1, 0, 1, 2, 1, 0, 1, 0, 1, 1}> {
        y = GRU<hidden_size = 2>(x, w, r) }""",
    "control": """g (float[3] x, bool c) => (float[3] y) {
        n = Constant<value_int = 3>() \n yes = Constant<value = bool {1}>()
        l = Loop(n, yes, x) <body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t) {
            on = Identity(go) \n t = Add(s, x) }>
        y = If(c) <then_branch = then () => (float[3] a) { a = Neg(l) },
                   else_branch = other () => (float[3] b) { b = Abs(l) }> }""",
    "integers": """g (int64[4] ids, uint8[3, 4] q) => (float[4, 3] y, int64[4, 2] places) <float[5, 3] table = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}> {
        e = Gather(table, ids) \n s = Constant<value_float = 0.1>() \n d = DequantizeLinear(q, s)
        m = MatMul(e, d) \n k = Constant<value_ints = [2]>() \n best, places = TopK(m, k)
        f = Cast<to = 1>(q) \n h = Transpose(f) \n y = Add(h, e) }""",
    "functions": """g (float[4, 3] x) => (float[4, 3] y) { a = local.twice(x) \n y = local.twice(a) }
        <domain: "local", opset_import: ["" : 21]> twice (v) => (w) { w = Add(v, v) }""",
}
