"""Judges a plan: everything that is wrong with it, each finding with what was expected and what is there.

The checker recomputes what it compares from the plan's records and from the shapes and attributes of the lowered
model. It shares no code with the kernels, cost, placement and routing that made the plan. docs/kernels.md is the
contract that both follow.

What it checks, by code:

* WSEC541 header: known format; region inside the wafer; inputs and outputs those of the lowered model; interval not
  below its bound nor below a kernel's cycles.
* WSEC542 placement: rectangles as large as their mesh, inside the region, no two of a phase on one core; behind the
  region, whole rows of living cores.
* WSEC543 shardings: mesh axes as split; a view holds as many elements as its tensor; an axis cuts one dimension;
  every element of an output lies on exactly one core, but for replication; nothing left partial; element types those
  of the model; weights are initializers; what goes around in a product whose operands shift has as many parts as steps.
* WSEC544 reads: every core holds every element that it reads to compute its block of the output, at the place where
  the kind looks for it; a reduction that is cut is combined over every part.
* WSEC545 operators: kind, operands, arguments and chain of a kernel are those of the nodes that it computes.
* WSEC546 memory: weights, shares of the samples that wait, outputs, what is being worked on and code fit a core; the
  ledger says no less.
* WSEC547 dataflow: each node is computed once; each activation comes over one link from where it is produced; each
  output of the model goes to the host; host operators are the nodes that they name, and are given what they read; a state is
  an input and an output of the model that one kernel reads and writes on the same cores (WSEC543), and no link carries it.
* WSEC548 links: they bring each core all it needs; words and cycles are enough; they hold as many samples as their
  inputs.
* WSEC549 routes: lanes begin and end in the rectangles they join; no core is crossed twice by one colour in a phase;
  colours are within the target's budget.
* WSEC550 cycles: of a kernel, no fewer than the multiply-adds of products and convolutions and the words that a core
  receives.
* WSEC551 wafers: links go forwards over wafers and phases; a tensor that another one reads leaves its own once; the interval
  leaves time for the words between wafers, of which the target has a link; intervals and bounds of each wafer.
* WSEC552 constraints: rectangles are as the user demanded: pins, regions, forbidden areas, borders, edges.
* WSEC553 phases: weights, words and cycles that a phase takes besides its work; intervals and bounds of each phase, and
  that their sum is in that of the plan; that what streams has room in the memory outside. Of a wafer whose kernels take turns, that the weights of all and the turn that needs most
  fit each core (WSEC546 for a kernel alone), that what a core lacks of a tensor has the time to come and lies on the line of its
  exchanges, that all-reduces bring results to all cores and have the time for their words, and that the interval has room for all turns.
* WSEC554 circuits: areas inside the region, with positions that mean something, one setting of a colour on a core; colours of
  the target; each link, exchange and collective has its circuit; no setting leads to nobody; partial results and statistics
  are combined along every axis that cuts them.
* WSEC555 streams: those of a link begin at exactly the cores that hold the tensor, run as its lanes, and end at every core of
  the consumer; exchanges, reductions and broadcasts inside kernels go between the cores that docs/fabric.md names.
* WSEC556 deliveries: each core ends with every element that it needs, out of its stream, dealt or through exchanges.
* WSEC557 deadlocks: no circle of routers of a colour that wait for each other, the positions of their switches included.
* WSEC558 queues: links and circuits of a kernel are no more than a core has queues for.
* WSEC559 loads: the words through a port between routers are no more than it carries, by the interval of each link, and
  by that of the plan.

`check_pair` judges the plan of a prefill beside that of the decoder whose weights and caches it shares: that the decoder has them,
where they are said to be in place (WSEC543), that the time to bring the others is counted (WSEC548), and the memory of both (WSEC546).

What it does not check yet: the values of weights and the digest of the original (the runtime does); the words that each exchange
of turns carries; cycles beyond those lower bounds and the interval that the slots allow; the chain's buffers; positions of Resize where rounding decides; arguments that a kind does not define.

A kernel whose mesh or shardings are unsound gets no further findings of its own, as they would be noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import Finding

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir

    from wsec.compiler.plan import Plan

__all__ = ["Finding", "check_pair", "check_plan"]


def check_plan(plan: Plan, lowered: onnx_ir.Model | Path | None = None) -> tuple[Finding, ...]:
    """All findings on `plan`; none says that the plan is legal, as far as the module's docstring goes.

    Args:
        plan: The plan.
        lowered: The lowered model, its file or the plan folder that holds it. Without it, what depends on the model
            (WSEC541 interface, WSEC543 shapes and types, WSEC544, WSEC545, WSEC547 nodes) is not checked.

    Returns:
        The findings in the order of the plan: header, placement, kernels, dataflow, links, routes, wafers, phases.
    """
    from wsec.compiler.plan_checker.whole_plan import (
        check_whole_plan,
    )  # who wants a part of it waits for that part alone

    return check_whole_plan(plan, lowered)


def check_pair(decoder: Plan, prefill: Plan, digest: str) -> tuple[Finding, ...]:
    """All findings on the plan of a prefill beside that of its decoder, each of which is legal alone.

    Args:
        decoder: The plan whose weights and states stay.
        prefill: The plan that shares them.
        digest: SHA-256 of the decoder's plan.json.
    """
    from wsec.compiler.plan_checker.pairs import check_whole_pair

    return check_whole_pair(decoder, prefill, digest)
