"""States of a plan between two runs: what the inputs that stay on the wafer held last (docs/states.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.element_types import element_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Plan, State
    from wsec.runtime.element_types import Array, Held


class StateStore:
    """The states of one plan; zeros until a run leaves others."""

    def __init__(self, plan: Plan) -> None:
        self._states = plan.states
        self._held: dict[str, Array] = {}

    def completed(self, inputs: Mapping[str, Held]) -> dict[str, Held]:
        """The inputs, with states that are not among them as the last run left them."""
        return {**{state.input: self._value(state) for state in self._states}, **inputs}

    def keep(self, written: Mapping[str, Array]) -> None:
        """Remember what a run left, by the names of the outputs."""
        self._held = {state.input: written[state.output].reshape(state.shape) for state in self._states}

    def values(self) -> dict[str, Array]:
        """Every state by the name of its input."""
        return {state.input: self._value(state) for state in self._states}

    def reset(self) -> None:
        """All states are zeros again."""
        self._held.clear()

    def _value(self, state: State) -> Array:
        held = self._held.get(state.input)
        return np.zeros(state.shape, element_type(state.dtype)) if held is None else held
