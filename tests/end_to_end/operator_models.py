"""Models of one operator, with the shape that each of its inputs has, for every operator that the kind `batched` cuts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FLOAT, INT8, UINT8, INT64 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT64


@dataclass
class OperatorModel:
    """A node: inputs are shapes (an activation), arrays (a weight) or None (not given).

    Attributes:
        operator: `domain.Name`, or the name alone for one of `ai.onnx`.
        inputs: What it reads.
        attributes: Of the node.
        types: Element type of the activations, float32 where none is said.
        outputs: How many it gives.
        opset: Of `ai.onnx`.
        label: What tells it from others of the operator.
    """

    operator: str
    inputs: list[tuple[int, ...] | NDArray[Any] | np.generic | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    types: dict[int, int] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 21
    label: str = ""

    @property
    def name(self) -> str:
        """What the test is called."""
        return f"{self.operator} {self.label}".strip()

    def save(self, path: Path) -> Path:
        """Write the model, whose outputs have shapes that the importer infers."""
        domain, _, operator = self.operator.rpartition(".")
        names, infos, weights = [], [], []
        for index, item in enumerate(self.inputs):
            names.append("" if item is None else f"x{index}")
            if isinstance(item, tuple):
                kind = self.types.get(index, FLOAT)
                infos.append(helper.make_tensor_value_info(names[-1], kind, item))
            elif item is not None:
                weights.append(numpy_helper.from_array(np.asarray(item), names[-1]))
        outputs = [f"y{index}" for index in range(self.outputs)]
        node = helper.make_node(operator, names, outputs, "node", domain=domain, **self.attributes)
        graph = helper.make_graph(
            [node], "one", infos, [onnx.ValueInfoProto(name=name) for name in outputs], weights
        )
        opsets = [helper.make_opsetid("", self.opset)] + (
            [helper.make_opsetid(domain, 1 if domain == "com.microsoft" else 3)] if domain else []
        )
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
        return path


def integers(*values: int) -> NDArray[np.int64]:
    """An int64 vector."""
    return np.array(values, dtype=np.int64)


def scalar(value: int) -> NDArray[np.int64]:
    """An int64 scalar."""
    return np.array(value, dtype=np.int64)


def normal(*shape: int) -> NDArray[np.float32]:
    """Seeded float32 numbers."""
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def below(limit: int, *shape: int) -> NDArray[np.int64]:
    """Seeded indices."""
    return np.random.default_rng([limit, *shape]).integers(0, limit, shape)


def small(dtype: Any, *shape: int) -> NDArray[Any]:
    """Seeded integers of 8 bits, near the middle of their range."""
    low = 0 if np.dtype(dtype).kind == "i" else 128
    return (np.random.default_rng(shape).integers(-9, 9, shape) + low).astype(dtype)


def positive(*shape: int) -> NDArray[np.float32]:
    """Seeded scales."""
    return (0.05 + np.random.default_rng(shape).random(shape) / 10).astype(np.float32)


X = (5, 6, 7)
IMAGE = (3, 5, 9, 8)

TREES = {
    "nodes_nodeids": [0, 1, 2, 3, 4], "nodes_treeids": [0] * 5, "nodes_featureids": [0, 0, 1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.1, 0.0, -0.3, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 3, 0, 0], "nodes_falsenodeids": [2, 0, 4, 0, 0],
}  # fmt: skip

OPERATORS = [
    OperatorModel("ArgMax", [X], {"axis": 1}),
    OperatorModel("ArgMin", [X], {"axis": -1, "keepdims": 0}),
    OperatorModel("ArgMax", [X], {"axis": 0, "keepdims": 0, "select_last_index": 1}, label="first axis"),
    OperatorModel("CumSum", [X, scalar(1)], {"exclusive": 1}),
    OperatorModel("CumSum", [X, scalar(-1)], {"reverse": 1}, label="reversed"),
    OperatorModel("TopK", [X, integers(3)], {"axis": 1}, outputs=2),
    OperatorModel("TopK", [X, integers(2)], {"largest": 0}, outputs=2, label="last axis"),
    OperatorModel("Hardmax", [X], {"axis": 1}),
    OperatorModel("LpNormalization", [X], {"axis": 0, "p": 1}),
    OperatorModel("GatherElements", [X, below(6, 5, 4, 7)], {"axis": 1}),
    OperatorModel("GatherElements", [X, below(6, 3, 9, 7)], {"axis": 1}, label="shorter elsewhere"),
    OperatorModel("ScatterElements", [X, np.argsort(normal(5, 6, 7), axis=1)[:, :2], (5, 2, 7)], {"axis": 1}),
    OperatorModel(
        "ScatterElements", [X, below(6, 5, 9, 7), (5, 9, 7)], {"axis": 1, "reduction": "add"}, label="added"
    ),
    OperatorModel("GatherND", [X, below(5, 4, 3, 2)]),
    OperatorModel("GatherND", [X, below(6, 5, 3, 1)], {"batch_dims": 1}, label="batches"),
    OperatorModel("ScatterND", [X, integers(4, 1)[:, None], (2, 6, 7)]),
    OperatorModel("OneHot", [(5, 6), scalar(9), np.array([-1, 2.5], np.float32)], {"axis": 1}, {0: INT64}),
    OperatorModel("LRN", [IMAGE], {"size": 3}),
    OperatorModel("LpPool", [IMAGE], {"kernel_shape": [3, 2], "p": 2, "strides": [2, 1]}),
    OperatorModel("GlobalLpPool", [IMAGE], {"p": 1}),
    OperatorModel("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 1]}, outputs=2),
    OperatorModel("MeanVarianceNormalization", [IMAGE]),
    OperatorModel("LayerNormalization", [X, normal(6, 7), normal(6, 7)], {"axis": 1}, outputs=3),
    OperatorModel("Trilu", [X, scalar(-1)], {"upper": 0}),
    OperatorModel("ReverseSequence", [X, below(5, 6) + 1], {"time_axis": 0, "batch_axis": 1}),
    OperatorModel("ReverseSequence", [X, below(6, 5) + 1], {"time_axis": 1, "batch_axis": 0}, label="batch first"),
    OperatorModel("Pad", [X, integers(0, -2, 0, 0, 3, 0)], {"mode": "edge"}),
    OperatorModel(
        "Resize", [IMAGE, None, np.array([1, 1, 2, 1], np.float32)], {"mode": "cubic"}
    ),
    OperatorModel(
        "Resize", [IMAGE, None, None, integers(5, 12)], {"mode": "linear", "antialias": 1, "axes": [1, 3]},
        label="antialias",
    ),
    OperatorModel("GridSample", [IMAGE, (3, 4, 6, 2)], {"mode": "cubic"}),
    OperatorModel(
        "RoiAlign", [IMAGE, np.abs(normal(7, 4)) * np.array([1, 1, 4, 4], np.float32), below(3, 7)],
        {"output_height": 2, "output_width": 3},
    ),
    OperatorModel("Det", [(4, 5, 3, 3)]),
    OperatorModel("DFT", [(4, 6, 5, 1), None, scalar(1)], {"onesided": 1}),
    OperatorModel("STFT", [(4, 40, 1), scalar(8), None, scalar(16)], {"onesided": 1}),
    OperatorModel("Einsum", [(4, 5, 6), (4, 6, 3)], {"equation": "bij,bjk->bki"}),
    OperatorModel("Einsum", [(4, 5, 6)], {"equation": "ijk"}, label="implicit"),
    OperatorModel("QuantizeLinear", [X, positive(6), below(9, 6).astype(np.uint8)], {"axis": 1}),
    OperatorModel("QuantizeLinear", [X, positive(1).reshape(())], label="one scale"),
    OperatorModel("DequantizeLinear", [small(np.int8, *X), positive(5)], {"axis": 0}, label="of a weight"),
    OperatorModel("DequantizeLinear", [X, positive(7), small(np.int8, 7)], {"axis": -1}, {0: INT8}),
    OperatorModel(
        "DequantizeLinear", [X, positive(5, 2, 7)], {"axis": 1, "block_size": 3}, {0: INT8}, label="blocks"
    ),
    OperatorModel("MatMulInteger", [(4, 5, 6), small(np.uint8, 6, 7)], types={0: UINT8}),
    OperatorModel(
        "MatMulInteger",
        [(5, 6), small(np.int8, 6, 7), np.array([3], np.uint8), small(np.int8, 7)],
        types={0: UINT8},
        label="zero points",
    ),
    OperatorModel(
        "QLinearMatMul",
        [(5, 6), np.float32(0.1), np.uint8(3), small(np.int8, 6, 7), positive(7), np.zeros(7, np.int8), np.float32(0.2), np.uint8(9)],
        types={0: UINT8},
    ),
    OperatorModel("ConvInteger", [IMAGE, small(np.uint8, 7, 5, 3, 3), np.uint8(4)], {"pads": [1, 1, 1, 1]}, {0: UINT8}),
    OperatorModel(
        "QLinearConv",
        [IMAGE, np.float32(0.1), np.uint8(3), small(np.int8, 7, 5, 3, 3), positive(7), np.zeros(7, np.int8), np.float32(0.3), np.uint8(8), below(9, 7).astype(np.int32)],
        {"strides": [2, 1]},
        {0: UINT8},
    ),
    OperatorModel(
        "QLinearConv",
        [(3, 6, 9, 8), np.float32(0.1), np.uint8(3), small(np.int8, 6, 2, 3, 3), np.float32(0.1), np.int8(0), np.float32(0.3), np.uint8(8)],
        {"group": 3},
        {0: UINT8},
        label="groups",
    ),
    OperatorModel("DeformConv", [IMAGE, normal(4, 5, 3, 3), (3, 18, 7, 6)], {"kernel_shape": [3, 3]}, opset=22),
    OperatorModel("Col2Im", [(4, 12, 20), integers(5, 6), integers(2, 2)], {}),
    OperatorModel("CastLike", [X, np.zeros(1, np.float64)]),
    OperatorModel("AffineGrid", [(3, 2, 3), integers(3, 2, 5, 6)]),
    OperatorModel("CenterCropPad", [X, integers(4)], {"axes": [1]}),
    OperatorModel("RotaryEmbedding", [(3, 4, 5, 8), normal(3, 5, 4), normal(3, 5, 4)], opset=23),
    OperatorModel(
        "RotaryEmbedding", [(3, 5, 32), normal(9, 4), normal(9, 4), below(9, 3, 5)], {"num_heads": 4}, opset=23,
        label="positions",
    ),
    OperatorModel(
        "GRU", [(4, 3, 5), normal(2, 18, 5), normal(2, 18, 6)],
        {"hidden_size": 6, "direction": "bidirectional", "activations": ["HardSigmoid", "Tanh"] * 2}, outputs=2,
    ),
    OperatorModel(
        "LSTM", [(4, 3, 5), normal(1, 24, 5), normal(1, 24, 6), None, None, (1, 3, 6)],
        {"hidden_size": 6, "activations": ["Elu", "Tanh", "Relu"]}, outputs=3,
    ),
    OperatorModel("RNN", [(4, 3, 5), normal(1, 6, 5), normal(1, 6, 6)], {"hidden_size": 6, "activations": ["Elu"]}),
    OperatorModel("ai.onnx.ml.Scaler", [(5, 3)], {"offset": [1.0, 2.0, 3.0], "scale": [0.5, 2.0, 3.0]}),
    OperatorModel("ai.onnx.ml.Normalizer", [(5, 3)], {"norm": "L2"}),
    OperatorModel("ai.onnx.ml.Binarizer", [(5, 3)], {"threshold": 0.25}),
    OperatorModel("ai.onnx.ml.Imputer", [(5, 3)], {"imputed_value_floats": [1.5], "replaced_value_float": 0.0}),
    OperatorModel(
        "ai.onnx.ml.LabelEncoder", [(5, 3)],
        {"keys_int64s": [0, 1, 2, 3], "values_floats": [0.5, 1.5, -2.0, 9.0], "default_float": -1.0}, {0: INT64},
    ),
    OperatorModel("ai.onnx.ml.ArrayFeatureExtractor", [(5, 4), integers(3, 0, 1)]),
    OperatorModel("ai.onnx.ml.OneHotEncoder", [(5, 4)], {"cats_int64s": [0, 1, 2], "zeros": 1}, {0: INT64}),
    OperatorModel("ai.onnx.ml.FeatureVectorizer", [(5, 2), (5, 3)], {"inputdimensions": [2, 3]}),
    OperatorModel(
        "ai.onnx.ml.LinearRegressor", [(6, 3)],
        {"coefficients": [0.5, 1.0, -2.0, 1.5, 0.25, 3.0], "intercepts": [1.0, 2.0], "targets": 2},
    ),
    OperatorModel(
        "ai.onnx.ml.LinearClassifier", [(6, 3)],
        {"coefficients": [0.5, 1.0, -2.0, 1.5, 0.25, 3.0], "intercepts": [1.0, 2.0], "classlabels_ints": [4, 7]},
        outputs=2,
    ),
    OperatorModel(
        "ai.onnx.ml.SVMRegressor", [(6, 2)],
        {
            "coefficients": [1.0, -0.5], "support_vectors": [0.0, 1.0, 2.0, -1.0], "rho": [0.25], "n_supports": 2,
            "kernel_type": "RBF", "kernel_params": [0.5, 0.0, 3.0],
        },
    ),
    OperatorModel(
        "ai.onnx.ml.SVMClassifier", [(6, 2)],
        {
            "coefficients": [1.0, -0.5], "support_vectors": [0.0, 1.0, 2.0, -1.0], "rho": [0.25],
            "vectors_per_class": [1, 1], "classlabels_ints": [0, 1], "kernel_type": "LINEAR",
            "kernel_params": [0.0, 0.0, 0.0],
        },
        outputs=2,
    ),
    OperatorModel("ai.onnx.ml.TreeEnsembleRegressor", [(6, 2)], TREES | {
        "n_targets": 1, "target_ids": [0, 0, 0], "target_nodeids": [1, 3, 4], "target_treeids": [0, 0, 0],
        "target_weights": [1.0, 2.0, -3.0],
    }),
    OperatorModel("ai.onnx.ml.TreeEnsembleClassifier", [(6, 2)], TREES | {
        "classlabels_int64s": [3, 5], "class_ids": [0, 1, 0], "class_nodeids": [1, 3, 4], "class_treeids": [0, 0, 0],
        "class_weights": [1.0, 0.75, 0.25],
    }, outputs=2),
    OperatorModel("DepthToSpace", [(2, 12, 3, 5)], {"blocksize": 2}),
    OperatorModel("DepthToSpace", [(2, 12, 3, 5)], {"blocksize": 2, "mode": "CRD"}, label="columns first"),
    OperatorModel("SpaceToDepth", [(2, 3, 6, 4)], {"blocksize": 2}),
    OperatorModel("SpaceToDepth", [(2, 3, 6, 4)], {"blocksize": 2, "mode": "CRD"}, opset=28, label="channels first"),
    OperatorModel("Trilu", [(5, 6)], label="one matrix"),
    OperatorModel("DFT", [(1, 16, 1), None, scalar(1)], label="one transform"),
    OperatorModel("Resize", [(1, 1, 5, 4), None, np.array([1, 1, 2, 3], np.float32)], {"mode": "cubic"}, label="one image"),
    OperatorModel("MaxPool", [(1, 1, 7, 6)], {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1]}, outputs=2, label="one image"),
    OperatorModel("LpPool", [(1, 1, 17)], {"kernel_shape": [3], "dilations": [2], "auto_pad": "VALID"}, label="one image", opset=18),
    OperatorModel("Tile", [(3, 1, 5), integers(2, 4, 1)]),
    OperatorModel("Attention", [(3, 4, 5, 8), (3, 4, 6, 8), (3, 4, 6, 8), (5, 6)], opset=23),
    OperatorModel("Attention", [(3, 4, 5, 8), (3, 2, 6, 8), (3, 2, 6, 8)], opset=23, label="grouped"),
    OperatorModel(
        "Attention", [(3, 5, 32), (3, 5, 32), (3, 5, 32), None, (3, 4, 2, 8), (3, 4, 2, 8)],
        {"q_num_heads": 4, "kv_num_heads": 4, "is_causal": 1}, opset=23, outputs=3, label="past",
    ),
]  # fmt: skip
