"""Heads cut in pairs of features: rotations are local, numbers are onnxruntime's, and the checker knows what may be seen so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from decoder_models import Decoder

from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, follows
from wsec.compiler.kernels.loop_parts import loop_in_parts
from wsec.compiler.kernels.operator_view import Unsplittable
from wsec.compiler.plan_checker import check_plan
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from wsec.compiler.plan import Argument, Kernel
    from wsec.loaded_plan import Plan


@pytest.fixture(scope="module", params=["auto", "two_level"])
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A tiny decoder whose kernels take turns, one step."""
    folder = tmp_path_factory.mktemp("decoder")
    options = Options(target="wse3", region=(16, 16), mode="sequential", collective=request.param)
    return compile_model(Decoder(form="contrib").save(folder), options, folder / "decoder.plan")


def _changed(plan: Plan, old: Kernel, arguments: dict[str, Argument]) -> set[str]:
    """Rules that a plan breaks where one kernel has other arguments."""
    (wafer,) = plan.record.wafers
    new = replace(old, arguments=old.arguments | arguments)
    phases = tuple(
        replace(phase, kernels=tuple(new if kernel == old else kernel for kernel in phase.kernels))
        for phase in wafer.phases
    )
    record = replace(plan.record, wafers=(replace(wafer, phases=phases),))
    return {finding.rule for finding in check_plan(record, plan.folder / "model.onnx")}


def test_heads_in_pairs_give_the_numbers_of_onnxruntime(plan: Plan) -> None:
    """Blocks that do not lie dense in weights and states change no number, and the checker follows them."""
    assert plan.verify().passed
    assert plan.check() == ()


def test_rotations_and_attention_find_what_they_need(plan: Plan) -> None:
    """No words move from the projections over the rotations to the attention, nor on to the projection of its result."""
    turned = [kernel for kernel in plan.record.kernels() if "pairs" in kernel.arguments]
    attentions = [kernel for kernel in plan.record.kernels() if kernel.kind == "attention"]
    assert len(turned) == 2 * len(attentions) > 0
    assert all("h" in kernel.arguments["q"] for kernel in attentions)  # type: ignore[operator]
    names = {kernel.name for kernel in turned}
    moved = [link for link in plan.record.links() if link.source in names]
    assert moved
    assert all(link.cycles == 0 for link in moved)


def test_parts_that_are_not_those_of_a_loop_are_refused(plan: Plan) -> None:
    """Extents whose product is another one, and parts of a loop that a kernel does not have."""
    kernel = next(kernel for kernel in plan.record.kernels() if "parts_n" in kernel.arguments)
    extents = kernel.arguments["parts_n"]
    assert isinstance(extents, tuple)
    rule = "the parts of a loop have as many positions as the loop, which all operands follow one by one"
    assert rule in _changed(plan, kernel, {"parts_n": (int(extents[0]) + 1, *map(int, extents[1:]))})
    assert rule in _changed(plan, kernel, {"parts_x": (2, 2)})


def test_pairs_that_no_rotation_has_are_refused(plan: Plan) -> None:
    """Half as many as the head has, and those of a product of matrices."""
    rule = "pairs are those of a rotary embedding of whole heads"
    turned = next(kernel for kernel in plan.record.kernels() if "pairs" in kernel.arguments)
    pairs = turned.arguments["pairs"]
    assert isinstance(pairs, int)
    assert rule in _changed(plan, turned, {"pairs": pairs // 2})
    product = next(kernel for kernel in plan.record.kernels() if kernel.kind == "matmul")
    assert rule in _changed(plan, product, {"pairs": pairs})


def test_halves_that_lie_apart_are_refused(plan: Plan) -> None:
    """The loop over halves is just outside of that over the features of each, in every operand."""
    kernel = next(kernel for kernel in plan.record.kernels() if kernel.kind == "attention")
    order = kernel.arguments["q"]
    assert isinstance(order, tuple)
    swapped = tuple({"h": "d", "d": "h"}.get(str(name), str(name)) for name in order)
    rule = "the dimensions of query, key, value and result follow the loops of an attention"
    assert rule in _changed(plan, kernel, {"q": swapped})


def _product() -> LoopNest:
    rows, columns = Loop("k", 8, LoopRole.REDUCTION), Loop("n", 24)
    return LoopNest(
        kind="matmul",
        operators=("product",),
        loops=(rows, columns),
        inputs=(
            Operand("a", "x", "float32", 4, constant=False, maps=(follows(rows),)),
            Operand("b", "w", "float32", 4, constant=True, maps=(follows(rows), follows(columns))),
        ),
        outputs=(Operand("result", "y", "float32", 4, constant=False, maps=(follows(columns),)),),
        arguments={},
        work=Work(("k", "n"), operations=1, walks=(("n",),), summed=(("k",),)),
    )


def test_a_loop_in_parts_is_followed_in_order() -> None:
    """Operands, work and the groups of the output have the parts in place of the loop; those named stay whole."""
    nest = loop_in_parts(_product(), "n", (3, 2, 4), whole=(1,))
    assert [(loop.name, loop.extent, loop.cuttable) for loop in nest.loops] == [
        ("k", 8, True),
        ("n_0", 3, True),
        ("n_1", 2, False),
        ("n_2", 4, True),
    ]
    assert [each.loop for each in nest.inputs[1].maps] == ["k", "n_0", "n_1", "n_2"]
    assert nest.work.loops == ("k", "n_0", "n_1", "n_2")
    assert nest.work.walks == (("n_0", "n_1", "n_2"),)
    assert nest.output_groups == ((0, 1, 2),)
    assert nest.arguments == {"parts_n": (3, 2, 4)}


def test_parts_of_another_product_are_no_parts() -> None:
    """24 columns are not 3 times 7."""
    with pytest.raises(Unsplittable, match="24 positions"):
        loop_in_parts(_product(), "n", (3, 7))
