"""The default pipeline as a table with a reason on each row, and the rules of its order as a second table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.passes.registry import parse_pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.passes.base import Pass

PIPELINE: tuple[tuple[str, str], ...] = (
    ("inline-functions", "a kernel is made of operators, not of functions"),
    ("fold-constants", "exporters compute shapes in the graph; folded, every shape is static"),
    ("unroll-loops", "a loop of known length is a pipeline of its steps"),
    ("inline-conditionals", "a wafer loads no other program for a sample: both branches have cores"),
    ("eliminate-dead-code", "what folding has orphaned must not count as a user"),
    (
        "recognize-experts",
        "hundreds of small operators a layer are one kernel, and the passes behind see few",
    ),
    ("legalize-operators", "standard operators have kernels, and are what the passes behind look for"),
    ("remove-identities", "an identity between convolution and normalisation would hide the pair"),
    ("fold-batch-normalization", "normalisation at inference is a scale that the weights can carry"),
    ("canonicalize-gemm", "MatMul and Add are the same computation with kernels of their own"),
    ("canonicalize-shapes", "one Reshape, Slice or reduction instead of seven ways to write it"),
    ("fold-quantization", "pairs of quantisation are products of integers, and weights keep their bits"),
    ("fold-constants", "reshaped and transposed weights are weights"),
    ("remove-identities", "canonical reshapes and slices often turn out to do nothing"),
    ("eliminate-common-subexpressions", "a formula reads as one where each of its values is computed once"),
    ("recognize-normalization", "a normalisation in one kernel moves its input once, not five times"),
    ("recognize-activations", "an activation is one operator of a chain, and softmax one kernel"),
    ("recognize-rotary", "a rotation in one kernel needs no other core's half of a head"),
    ("fold-scales", "a scale that the weights can carry needs no kernel; formulas took theirs before"),
    ("simplify-casts", "a widening that is undone costs a kernel and changes nothing"),
    ("move-transposes", "islands of another layout end where their transpositions meet"),
    ("canonicalize-shapes", "what move-transposes left of single axes is a Reshape, and Reshapes merge"),
    ("eliminate-common-subexpressions", "exporters repeat masks and slices in each layer"),
    ("eliminate-dead-code", "weights that were replaced need no core memory"),
    ("name-nodes", "groups, plans and messages refer to operators by name"),
    ("fuse-attention", "one kernel keeps the scores where they are computed, a few rows at a time"),
    ("fuse-dequantization", "weights of few bits stay so in core memory"),
    ("fuse-elementwise", "a chain behind an operator costs no transport when its kernel computes it"),
    ("limit-connections", "a core has a queue for each tensor that comes or leaves, and few of them"),
)
"""Name of the pass and why it stands there."""

ORDER: tuple[tuple[str, str, str], ...] = (
    ("inline-functions", "fold-constants", "shapes inside a function depend on its caller"),
    (
        "fold-constants",
        "recognize-experts",
        "exporters compute the numbers of experts, and pick weights by them",
    ),
    ("inline-conditionals", "recognize-experts", "it looks at the main graph only"),
    ("recognize-experts", "canonicalize-shapes", "columns of shares are still one operator each"),
    ("recognize-experts", "fold-scales", "the shares of experts belong to the mixture"),
    ("recognize-experts", "fuse-dequantization", "codes of experts are stacked first"),
    ("legalize-operators", "fold-constants", "its masks and positions are often constants"),
    ("legalize-operators", "canonicalize-gemm", "it writes FusedGemm as Gemm"),
    ("fold-constants", "unroll-loops", "numbers of steps and conditions are computed from shapes"),
    ("unroll-loops", "inline-conditionals", "a condition on the number of the step is constant in each step"),
    ("inline-conditionals", "canonicalize-gemm", "operators in branches become operators of the graph"),
    ("remove-identities", "fold-batch-normalization", "the pair must be adjacent"),
    ("fold-batch-normalization", "canonicalize-gemm", "a Gemm has a bias that takes the shift"),
    ("canonicalize-gemm", "fold-constants", "its transposed weights are folded"),
    ("canonicalize-shapes", "eliminate-common-subexpressions", "equal slices only look equal when canonical"),
    ("canonicalize-shapes", "recognize-normalization", "statistics regain their axis by canonical reshapes"),
    ("eliminate-common-subexpressions", "recognize-normalization", "a mean taken twice hides that it is one"),
    ("recognize-normalization", "fold-scales", "the scale of a normalisation belongs to it"),
    ("recognize-activations", "fold-scales", "the factors of an activation belong to it"),
    ("fold-constants", "move-transposes", "weights that are transposed here would be transpositions"),
    ("move-transposes", "fuse-elementwise", "a group keeps its shape"),
    ("canonicalize-shapes", "recognize-rotary", "halves of a head may come from a Split"),
    ("eliminate-common-subexpressions", "recognize-rotary", "both halves must turn by the same table"),
    ("recognize-rotary", "move-transposes", "heads must still be the second axis"),
    ("recognize-normalization", "simplify-casts", "its casts to single precision are part of it"),
    ("simplify-casts", "fuse-elementwise", "a cast that goes would leave a hole in its group"),
    ("recognize-normalization", "fuse-elementwise", "what is left of its arithmetic joins no group"),
    ("recognize-activations", "fuse-elementwise", "what is left of its arithmetic joins no group"),
    ("inline-conditionals", "legalize-operators", "it rewrites the main graph only"),
    ("fold-quantization", "fuse-dequantization", "weights of a product of integers need no dequantisation"),
    ("legalize-operators", "fold-quantization", "QLinearAdd becomes a pair around an Add"),
    ("canonicalize-gemm", "fold-quantization", "only a MatMul becomes a product of integers"),
    ("fold-quantization", "fold-constants", "it transposes codes of weights"),
    ("eliminate-common-subexpressions", "fuse-dequantization", "equal weights would be merged again"),
    ("name-nodes", "fuse-dequantization", "a group is called after its product"),
    ("fuse-dequantization", "fuse-elementwise", "a chain grows behind the whole kernel"),
    ("eliminate-dead-code", "fuse-elementwise", "a dead user would keep a value out of its group"),
    ("eliminate-common-subexpressions", "fuse-elementwise", "merging nodes later would tear groups apart"),
    ("name-nodes", "fuse-attention", "a group is called after its first node"),
    ("fuse-attention", "fuse-elementwise", "a chain would take the scaling or the mask away from the scores"),
    ("name-nodes", "fuse-elementwise", "a group is called after its first node"),
    ("fuse-elementwise", "limit-connections", "tensors inside of a kernel need no queue"),
)
"""(a, b, why): the last b stands after some a. Checked by `check_order`."""


def default_pipeline() -> tuple[Pass, ...]:
    """The passes of `PIPELINE`, whose order is checked."""
    names = [name for name, _ in PIPELINE]
    check_order(names)
    return tuple(parse_pass(name) for name in names)


def check_order(names: Sequence[str]) -> None:
    """Check a pipeline against `ORDER`; a rule of which one side is absent holds.

    Raises:
        WsecError: WSEC405 names the first rule that does not hold.
    """
    last = {name: index for index, name in enumerate(names)}
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    for before, after, why in ORDER:
        if before in first and after in last and first[before] > last[after]:
            raise WsecError(
                "WSEC405",
                f"the pass {before} must run before {after}",
                where=", ".join(names),
                expected=f"{before} before {after}, because {why}",
                found=f"{after} is pass {last[after] + 1}, {before} is pass {first[before] + 1}",
                hint="change the order of the passes",
            )
