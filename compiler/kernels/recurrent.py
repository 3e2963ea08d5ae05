"""The kind `recurrent`: LSTM, GRU and RNN that keep their weights on the cores and step in time.

Cut by direction, batch and hidden unit: a core holds the rows of all gates of its units, so after each step every core
gathers the hidden state that the others computed. Where the rows of one unit fit no core, they are cut too, by feature
and by unit of the state, and the partial sums are combined at every step. Time is never cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Product, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of

if TYPE_CHECKING:
    from wsec.compiler.plan import Argument

_WITHOUT_PARAMETERS = frozenset({"Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"})


@dataclass(frozen=True, slots=True)
class _Cell:
    """Gates of a cell; transcendentals and other operations of a hidden unit and step, beside its products."""

    gates: int
    activations: tuple[str, ...]
    transcendentals: int
    operations: int


_CELLS = {
    "GRU": _Cell(3, ("Sigmoid", "Tanh"), 3, 10),
    "LSTM": _Cell(4, ("Sigmoid", "Tanh", "Tanh"), 5, 12),
    "RNN": _Cell(1, ("Tanh",), 1, 2),
}
RECURRENT = tuple(_CELLS)


def make_recurrent(operator: OperatorView) -> LoopNest:
    """The loop nest of an LSTM, GRU or RNN node."""
    cell = _CELLS[operator.op_type]
    steps, batch, features = shape_of(operator.input(0))
    directions, hidden = shape_of(operator.input(2))[0], shape_of(operator.input(2))[2]
    activations = _activations(operator, cell, directions)
    if 0 in (steps, batch, features, hidden):
        raise Unsplittable("it has an empty dimension")
    d, b, t = Loop("d", directions), Loop("b", batch), Loop("t", steps, cuttable=False)
    h = Loop("h", hidden, LoopRole.COLLECTIVE)
    i, j = Loop("i", features, LoopRole.REDUCTION), Loop("j", hidden, LoopRole.REDUCTION)
    state, gates = tuple(map(follows, (d, b, h))), fixed(cell.gates)
    roles = (
        ("x", (follows(t), follows(b), follows(i))),
        ("w", (follows(d), gates, follows(h), follows(i))),
        ("r", (follows(d), gates, follows(h), follows(j))),
        ("bias", (follows(d), fixed(2), gates, follows(h))),
        ("lengths", (follows(b),)),
        ("initial_h", state),
        ("initial_c", state),
        ("peepholes", (follows(d), fixed(3), follows(h))),
    )
    given = [index for index, value in enumerate(operator.node.outputs) if value.name]
    exchanged = 2 if operator.op_type == "GRU" and not operator.integer("linear_before_reset", 0) else 1
    inputs = [
        operator.operand(role, index, maps)
        for index, (role, maps) in enumerate(roles)
        if operator.has_input(index)
    ]
    made = [
        operand(f"out{index}", operator.node.outputs[index], (follows(t), *state) if index == 0 else state)
        for index in given
    ]
    work, *further = _work(cell, inputs[0].dtype, steps * exchanged)
    return LoopNest(
        kind="recurrent",
        operators=(operator.name,),
        loops=(d, b, t, h, i, j),
        inputs=tuple(inputs),
        outputs=tuple(made),
        arguments=_arguments(operator, activations, given),
        work=work,
        further_work=tuple(further),
    )


def _arguments(operator: OperatorView, activations: tuple[str, ...], given: list[int]) -> dict[str, Argument]:
    """What the kernel is told; `given` are the numbers of the outputs that it makes."""
    return {
        "cell": operator.op_type,
        "direction": operator.text("direction", "forward"),
        "activations": activations,
        "clip": operator.real("clip", 0.0),
        "linear_before_reset": bool(operator.integer("linear_before_reset", 0)),
        "input_forget": bool(operator.integer("input_forget", 0)),
        "outputs": tuple(given),
    }


def _work(cell: _Cell, dtype: str, gathers: int) -> tuple[Work, Work, Work]:
    """Products with the state, which is gathered before them, products with the input, and the gates."""
    walks = (("d",), ("b",), ("t",), ("h",))
    state = Work(
        ("d", "b", "t", "h", "j"),
        operations=cell.gates,
        dtype=dtype,
        walks=walks,
        summed=(("j",),),
        gathered=("d", "b", "h"),
        gathers=gathers,
        partials=cell.gates,
        product=Product(("b",), ("h",)),
    )
    given = Work(
        ("d", "b", "t", "h", "i"),
        operations=cell.gates,
        dtype=dtype,
        walks=walks,
        summed=(("i",),),
        product=Product(("b", "t"), ("h",)),
    )
    gates = Work(
        ("d", "b", "t", "h"),
        operations=cell.operations,
        transcendentals=cell.transcendentals,
        dtype=dtype,
        walks=walks,
    )
    return state, given, gates


def _activations(operator: OperatorView, cell: _Cell, directions: int) -> tuple[str, ...]:
    """Names of the activations, for each direction one after the other, as the definition spells them."""
    if operator.integer("layout", 0):
        raise Unsplittable("layout 1")
    if "activation_alpha" in operator.node.attributes or "activation_beta" in operator.node.attributes:
        raise Unsplittable("its activations have parameters")
    attribute = operator.node.attributes.get("activations")
    if attribute is None:
        return cell.activations * directions
    names = tuple(name.capitalize() for name in attribute.as_strings())
    strangers = sorted(set(names) - _WITHOUT_PARAMETERS)
    if strangers or len(names) != len(cell.activations) * directions:
        raise Unsplittable(f"activations {', '.join(strangers or names)}")
    return names
