"""Meshes, shardings, reads and memory of a kernel: each thing that is made wrong is found, and nothing else."""

from __future__ import annotations

import pytest
from legal_plans import change_input, change_kernel
from plan_changes import HALVES, Case, assert_findings, dimension, entry, kernel, link, output

from wsec.compiler.plan import MemoryLedger, Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut, whole

CASES = (
    Case(
        "axis twice",
        kernel("sum", mesh=Mesh((MeshAxis("d1", 2, "rows"), MeshAxis("d1", 4, "columns")))),
        (
            "WSEC543 kernel sum: axes of a mesh are unique; expected each name once, found d1, d1",
            "WSEC543 kernel sum: the mesh has an axis for each loop that is cut; expected d1=2, d2=4, found d1=4",
        ),
    ),
    Case(
        "axis of no cores",
        kernel("sum", mesh=Mesh((MeshAxis("d1", 2, "rows"), MeshAxis("d2", 0, "columns")))),
        (
            "WSEC542 kernel sum: a rectangle is as large as its mesh; expected 0x2 cores, found 4x2 cores at x=12, y=0",
            "WSEC543 kernel sum: axes of a mesh have cores; expected sizes of at least 1, found d1=2, d2=0",
            "WSEC543 kernel sum: the mesh has an axis for each loop that is cut; expected d1=2, d2=4, found d1=2",
        ),
    ),
    Case(
        "split is not the mesh",
        kernel("sum", split={"d1": 2, "d2": 2, "d3": 2}),
        (
            "WSEC543 kernel sum: the mesh has an axis for each loop that is cut; expected d1=2, d2=2, d3=2, found d1=2, d2=4",
        ),
    ),
    Case(
        "turns of an unknown loop",
        kernel("sum", turns={"d1": 3, "z": 1}),
        (
            "WSEC543 kernel sum: turns are taken over loops of the kernel; expected loops of the split, at least 1 turn each, found z=1",
        ),
    ),
    Case(
        "turns of less than one",
        kernel("sum", turns={"d1": 0}),
        (
            "WSEC543 kernel sum: turns are taken over loops of the kernel; expected loops of the split, at least 1 turn each, found d1=0",
        ),
    ),
    Case("as many turns as positions", kernel("sum", turns={"d1": 3}), ()),
    Case(
        "more turns than positions",
        kernel("sum", turns={"d1": 4}),
        (
            "WSEC544 kernel sum, loop d1: a core takes no more turns than it has positions of a loop; expected at most 3 turns, found 4 turns",
        ),
    ),
    Case(
        "role twice",
        entry("sum", "e2", role="e1"),
        (
            "WSEC543 kernel sum: roles of a kernel are unique; expected each role once, found e0, e1, e1",
            "WSEC547 kernel sum, input e1: a weight is loaded, a state stays, an activation comes over one link; expected 0 links, found 1 link",
            "WSEC547 link y to sum.e1: a link brings the tensor that its input reads; expected scale, found y",
        ),
    ),
    Case(
        "block of nothing",
        dimension("sum", "e2", 0, block=0),
        (
            "WSEC543 kernel sum, input e2, dimension 0: blocks of a dimension hold elements; expected positive numbers, found extent 1, block 0, divisor 1",
        ),
    ),
    Case(
        "divisor of nothing",
        dimension("sum", "e2", 0, divisor=0),
        (
            "WSEC543 kernel sum, input e2, dimension 0: blocks of a dimension hold elements; expected positive numbers, found extent 1, block 1, divisor 0",
        ),
    ),
    Case(
        "axis unknown",
        dimension("product", "b", 0, axes=("z",)),
        (
            "WSEC543 kernel product, input b: a sharding names axes of its mesh; expected axes among b1, n, k, found z",
        ),
    ),
    Case(
        "axis cuts two dimensions",
        dimension("product", "b", 3, axes=("k",)),
        (
            "WSEC543 kernel product, input b: an axis cuts one dimension, or is root, or partial; expected each axis once, found k, k",
        ),
    ),
    Case(
        "axis cuts and is root",
        entry("sum", "e0", sharding=Sharding(HALVES, root=("d2",))),
        (
            "WSEC543 kernel sum, input e0: an axis cuts one dimension, or is root, or partial; expected each axis once, found d1, d2, d2",
        ),
    ),
    Case(
        "partial output",
        output("sum", sharding=Sharding((*HALVES[:2], whole(8), whole(8)), partial=("d2",))),
        ("WSEC543 kernel sum, output out: nothing is left partial; expected no partial axes, found d2",),
    ),
    Case(
        "view of another size",
        entry("sum", "e2", sharding=Sharding((whole(1), whole(5)))),
        (
            "WSEC543 kernel sum, input e2: a view holds as many elements as its tensor; expected 6 elements, found a view [1, 5]",
        ),
    ),
    Case(
        "element type of an input",
        entry("sum", "e2", dtype="float16"),
        ("WSEC543 kernel sum, input e2: the element type is the model's; expected float32, found float16",),
    ),
    Case(
        "element type of an output",
        output("sum", dtype="float64"),
        ("WSEC543 kernel sum, output out: the element type is the model's; expected float32, found float64",),
    ),
    Case(
        "slots of nothing",
        entry("sum", "e2", slots=0),
        ("WSEC543 kernel sum, input e2: a tensor has room for a sample; expected at least 1 slot, found 0",),
    ),
    Case(
        "output slots of nothing",
        output("sum", slots=0),
        (
            "WSEC543 kernel sum, output out: a tensor has room for a sample; expected at least 1 slot, found 0",
        ),
    ),
    Case(
        "weight brought",
        entry("sum", "e2", constant=False),
        (
            "WSEC543 kernel sum, input e2: weights are the initializers of the model; expected a weight, found scale as an activation",
            "WSEC547 kernel sum, input e2: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 0 links",
        ),
    ),
    Case(
        "activation loaded",
        entry("sum", "e1", constant=True),
        (
            "WSEC543 kernel sum, input e1: weights are the initializers of the model; expected an activation, found y as a weight",
            "WSEC547 kernel sum, input e1: a weight is loaded, a state stays, an activation comes over one link; expected 0 links, found 1 link",
        ),
    ),
    Case(
        "output with overlap",
        dimension("sum", "", 2, block=3),
        (
            "WSEC543 kernel sum, output out, dimension 2: blocks of an output cover it without overlap; expected plain blocks that hold 8 elements, found 4 blocks of 3, step 2, offset 0",
        ),
    ),
    Case(
        "output with a gap at the end",
        dimension("sum", "", 2, block=1, step=1),
        (
            "WSEC543 kernel sum, output out, dimension 2: blocks of an output cover it without overlap; expected plain blocks that hold 8 elements, found 4 blocks of 1, step 1, offset 0",
        ),
    ),
    Case(
        "output shifted",
        dimension("sum", "", 2, offset=1),
        (
            "WSEC543 kernel sum, output out, dimension 2: blocks of an output cover it without overlap; expected plain blocks that hold 8 elements, found 4 blocks of 2, step 2, offset 1",
        ),
    ),
    Case(
        "mesh axis of no loop",
        kernel(
            "sum",
            mesh=Mesh((MeshAxis("d1", 2, "rows"), MeshAxis("d2", 4, "columns"), MeshAxis("z", 2, "rows"))),
            split={"d1": 2, "d2": 4, "z": 2},
            rectangle=Rectangle(12, 0, 4, 4),
        ),
        ("WSEC544 kernel sum: mesh axes are loops of the kind; expected axes among d0, d1, d2, d3, found z",),
    ),
    Case(
        "output in another view",
        output("product", sharding=Sharding((cut(6, 3, ("b1",)), whole(8), cut(8, 2, ("n",))), root=("k",))),
        (
            "WSEC544 kernel product, output: the output has the view of its kind; expected [1, 6, 8, 8], found [6, 8, 8]",
        ),
    ),
    Case(
        "axes of the output exchanged",
        output("sum", sharding=Sharding((whole(1), cut(6, 4, ("d2",)), cut(8, 2, ("d1",)), whole(8)))),
        (
            "WSEC544 kernel sum, output, dimension 1: an axis cuts the dimension of its loop; expected axes d1, found axes d2",
            "WSEC544 kernel sum, output, dimension 2: an axis cuts the dimension of its loop; expected axes d2, found axes d1",
        ),
    ),
    Case(
        "input in another view",
        entry(
            "product",
            "b",
            sharding=Sharding((whole(1), whole(1), whole(1), cut(8, 2, ("k",)), cut(8, 2, ("n",)))),
        ),
        (
            "WSEC544 kernel product, input b: an input has the view of its kind; expected [1, 1, 8, 8], found [1, 1, 1, 8, 8]",
        ),
    ),
    Case(
        "input at the root only",
        entry(
            "product", "b", sharding=Sharding((whole(1), whole(1), whole(8), cut(8, 2, ("n",))), root=("k",))
        ),
        (
            "WSEC544 kernel product, input b: an input lies on every core that reads it; expected root axes among nothing, found k",
        ),
    ),
    Case(
        "root of another axis",
        entry("conv", "bias", sharding=Sharding((whole(1), cut(6, 2, ("k",))), root=("d0",))),
        (
            "WSEC544 kernel conv, input bias: an input lies on every core that reads it; expected root axes among c, found d0",
        ),
    ),
    Case(
        "reduction not combined",
        output("product", sharding=Sharding((whole(1), cut(6, 3, ("b1",)), whole(8), cut(8, 2, ("n",))))),
        (
            "WSEC544 kernel product, output: a reduction that is cut is combined at the root; expected root axes k, found root axes nothing",
        ),
    ),
    Case(
        "reduction summed twice",
        lambda plan: dimension("product", "a", 3, axes=(), block=8, step=8)(
            link("y to product.a", sharding=Sharding((whole(1), cut(6, 3, ("b1",)), whole(8), whole(8))))(
                plan
            )
        ),
        (
            "WSEC544 kernel product, loop k: the parts of a reduction are each summed once; expected plain blocks along axes k that hold 8 elements, found blocks of 8, step 8, along axes nothing",
            "WSEC544 kernel product, input b, dimension 2, block 0: a core holds every element that it reads; expected elements [0, 8), found elements [0, 4)",
        ),
    ),
    Case(
        "operand without the reduction's shards",
        dimension("product", "b", 2, axes=(), block=8, step=8),
        (
            "WSEC544 kernel product, input b, dimension 2, block 1: a block begins with the first element that its core reads; expected elements [4, 8), found elements [0, 8)",
        ),
    ),
    Case(
        "operand's shards along the wrong axis",
        entry("product", "b", sharding=Sharding((whole(1), whole(1), cut(8, 2, ("n",)), cut(8, 2, ("k",))))),
        (
            "WSEC544 kernel product, input b, dimension 2, block 0, 1: a core holds every element that it reads; expected elements [0, 4), found elements [4, 8)",
            "WSEC544 kernel product, input b, dimension 3, block 0, 1: a core holds every element that it reads; expected elements [0, 4), found elements [4, 8)",
        ),
    ),
    Case(
        "halo too short",
        dimension("conv", "x", 3, block=3),
        (
            "WSEC544 kernel conv, input x, dimension 3, block 0: a core holds every element that it reads; expected elements [0, 3), found elements [-1, 2)",
        ),
    ),
    Case(
        "window of the padded end too short",
        dimension("conv", "x", 4, block=9),
        (
            "WSEC544 kernel conv, input x, dimension 4: a block is long enough for every window; expected blocks of 10 elements, found blocks of 9",
        ),
    ),
    Case(
        "block of a whole dimension too short",
        dimension("conv", "w", 3, block=2, step=2),
        (
            "WSEC544 kernel conv, input w, dimension 3: every core holds the whole dimension; expected elements [0, 3), found elements [0, 2)",
        ),
    ),
    Case(
        "block of a whole dimension shifted",
        dimension("conv", "w", 3, offset=-1),
        (
            "WSEC544 kernel conv, input w, dimension 3: every core holds the whole dimension; expected elements [0, 3), found elements [-1, 2)",
        ),
    ),
    Case(
        "both operands of a reduction in another view",
        lambda plan: change_kernel(
            plan,
            "product",
            lambda kernel: change_input(
                change_input(
                    kernel, "a", sharding=Sharding((cut(6, 3, ("b1",)), whole(8), cut(8, 2, ("k",))))
                ),
                "b",
                sharding=Sharding((cut(8, 2, ("k",)), cut(8, 2, ("n",)))),
            ),
        ),
        (
            "WSEC544 kernel product, input a: an input has the view of its kind; expected [1, 6, 8, 8], found [6, 8, 8]",
            "WSEC544 kernel product, input b: an input has the view of its kind; expected [1, 1, 8, 8], found [8, 8]",
            "WSEC548 link y to product.a: a link uses the view of the input that it feeds; expected [6, 8, 8], found [1, 6, 8, 8]",
        ),
    ),
    Case(
        "memory beyond the core",
        dimension("conv", "w", 3, block=3000),
        (
            "WSEC546 kernel conv: a kernel fits the memory of its cores; expected at most 49152 bytes, found 225260 bytes (weights 216012, activations 160, outputs 384, at work 512, code 8192), ledger 15192",
            "WSEC546 kernel conv, weights: the ledger says no less than the blocks take; expected at least 216012 bytes, found 2000 bytes",
            "WSEC546 kernel conv, total: the ledger says no less than the blocks take; expected at least 225260 bytes (weights 216012, activations 160, outputs 384, at work 512, code 8192), found 15192 bytes",
            "WSEC550 kernel conv, compute: a lane does one multiply-add a cycle; expected at least 864000 cycles for 864000 multiply-adds, 1 a cycle, found 900 cycles",
        ),
    ),
    Case(
        "ledger beyond the core",
        kernel("sum", memory=MemoryLedger(2000, 4000, 40000, 8192)),
        (
            "WSEC546 kernel sum: a kernel fits the memory of its cores; expected at most 49152 bytes, found 9164 bytes (weights 12, activations 576, outputs 384, at work 0, code 8192), ledger 54192",
        ),
    ),
    Case(
        "ledger below the blocks",
        kernel("conv", memory=MemoryLedger(443, 2695, 511, 8191)),
        (
            "WSEC546 kernel conv, buffers: the ledger says no less than the blocks take; expected at least 512 bytes, found 511 bytes",
            "WSEC546 kernel conv, code: the ledger says no less than the blocks take; expected at least 8192 bytes, found 8191 bytes",
        ),
    ),
    Case(
        "tensor of another name",
        entry("sum", "e0", tensor="q"),
        (
            "WSEC543 kernel sum, input e0: a tensor is one of the lowered model, with a shape; expected a tensor of that name, found q",
            "WSEC547 link p to sum.e0: a link brings the tensor that its input reads; expected q, found p",
        ),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_findings_are_exact(case: Case) -> None:
    """What is wrong is said word for word, with its place and numbers."""
    assert_findings(case)
