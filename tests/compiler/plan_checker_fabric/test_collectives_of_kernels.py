"""What the checker says of collectives that are missing, too small, out of order, or by an algorithm that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from line_traffic import kernel_of

from wsec.compiler.plan import Collective, KernelInput, KernelOutput
from wsec.compiler.plan_checker.fabric.collectives import check_collectives
from wsec.compiler.sharding import MeshAxis, Sharding, cut, whole
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel

FABRIC = load_target("wse2").fabric
AXES = (MeshAxis("m", 2, "rows"), MeshAxis("j", 3, "rows"), MeshAxis("k", 5, "columns"))


def product(*collectives: Collective) -> Kernel:
    """Sums over j and k, 4 x 7 elements on a core."""
    sharding = Sharding((cut(8, 2, ("m",)), whole(7)), root=("j", "k"))
    output = KernelOutput("y", "float32", sharding)
    return replace(kernel_of(AXES, collectives), kind="matmul", outputs=(output,))


def softmax(*collectives: Collective) -> Kernel:
    """Along the second dimension, cut in five; 4 rows on a core."""
    sharding = Sharding((cut(8, 2, ("m",)), cut(35, 5, ("k",))))
    kernel = replace(
        kernel_of((AXES[0], AXES[2]), collectives), kind="softmax", arguments={"axis": 1, "log": False}
    )
    read = KernelInput("x", "x", "float32", constant=False, sharding=sharding)
    return replace(kernel, inputs=(read,), outputs=(KernelOutput("y", "float32", sharding),))


def said(kernel: Kernel) -> list[tuple[str, str, str]]:
    """Rule, expected and found of every finding."""
    return [(item.rule, item.expected, item.found) for item in check_collectives(kernel, FABRIC)]


ALONG_K = Collective("reduce", "k", "chain", 0, 28)
ALONG_J = Collective("reduce", "j", "tree", 0, 28)
STATISTIC = Collective("all_reduce", "k", "two_phase", 3, 4, 2)


def test_sound_collectives_have_no_findings() -> None:
    """Also where every turn of a kernel has its own, smaller ones."""
    assert said(product(ALONG_K, ALONG_J)) == []
    turned = [replace(item, words=14, times=2) for item in (ALONG_K, ALONG_J)]
    assert said(product(*turned)) == []
    assert said(softmax(STATISTIC)) == []
    assert said(softmax(replace(STATISTIC, algorithm="ring", group=0, words=5))) == []
    assert said(replace(product(), kind="recurrent")) == []


COMBINED = "partial results are combined along every axis that cuts them"


@pytest.mark.parametrize(
    ("kernel", "finding"),
    [
        (product(ALONG_K), (COMBINED, "reduce along j of 28 words or more, 1 times or more", "none")),
        (
            product(replace(ALONG_K, words=27), ALONG_J),
            (COMBINED, "reduce along k of 28 words or more, 1 times or more", "27 words, 1 times"),
        ),
        (softmax(), (COMBINED, "all_reduce along k of 8 words or more, 2 times or more", "none")),
        (
            softmax(replace(STATISTIC, times=1, words=8)),
            (COMBINED, "all_reduce along k of 8 words or more, 2 times or more", "8 words, 1 times"),
        ),
        (
            product(ALONG_J, ALONG_K),
            ("axes are combined once, the last of the mesh first", "reduce along k, j", "j, k"),
        ),
        (
            product(ALONG_K, ALONG_J, replace(ALONG_J, axis="z")),
            ("a collective goes along an axis of the mesh that has several cores", "axes among m, j, k", "z"),
        ),
        (
            softmax(STATISTIC, replace(ALONG_K, words=1)),
            ("all collectives along an axis have one algorithm", "one", "chain of 0, two_phase of 3"),
        ),
        (
            softmax(replace(STATISTIC, group=2)),
            ("groups are those of the algorithm", "groups of 3", "groups of 2"),
        ),
        (
            softmax(replace(STATISTIC, algorithm="two_level", group=6)),
            ("groups are those of the algorithm", "groups of 1 to 5", "groups of 6"),
        ),
        (
            softmax(replace(STATISTIC, algorithm="ring", group=0)),
            (
                "a ring is an all-reduce along the only axis, with a word for each core",
                "such a one",
                "all_reduce of 4 words over 5 cores, 1 axes",
            ),
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else None,
)
def test_each_fault_is_found(kernel: Kernel, finding: tuple[str, str, str]) -> None:
    """And nothing else is said."""
    assert said(kernel) == [finding]
