"""The operator SquaredDistance: how far each row of `x` is from each row of `y`, squared.

It is a function of standard operators, so onnxruntime runs models with it, and wsec can compare. The kernel computes it
without the tensor of all differences that the standard operators need.
"""

from __future__ import annotations

import onnx
import onnx.parser

DOMAIN = "example.wsec"
OPERATOR = "SquaredDistance"
KIND = "wsec_example.squared_distance"

_BODY = f"""
<domain: "{DOMAIN}", opset_import: ["" : 21]>
{OPERATOR} (x, y) => (distance) {{
    middle = Constant <value_ints = [1]> ()
    front = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [2]> ()
    rows = Unsqueeze (x, middle)
    columns = Unsqueeze (y, front)
    difference = Sub (rows, columns)
    square = Mul (difference, difference)
    distance = ReduceSum <keepdims = 0> (square, last)
}}
"""


def squared_distance_function() -> onnx.FunctionProto:
    """The definition of the operator, to be put into a model: x [n, k], y [m, k] to distance [n, m]."""
    return onnx.parser.parse_function(_BODY)
