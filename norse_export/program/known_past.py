"""What the spikes of a step tell of the state that it leaves.

A neuron that is reset in the step after its spike begins a step by comparing its membrane with the threshold, as the
spike of the step before did. Where the spikes are given, so is the outcome of that comparison, however near to the
threshold the membrane was. Without this a membrane that was too near once would be uncertain by a whole threshold, and
then decide nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.program.operations import Instruction, Op
from norse_export.program.program import Program

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """How a state compares with the threshold, for each neuron, where `sure`; elsewhere the outcome means nothing."""

    outcome: BoolArray
    sure: BoolArray


Outcome = Callable[[int], Known]


def asks_for_the_past(program: Program) -> Mapping[int, str]:
    """Comparisons that are those of the spike with a state variable in the place of what is compared: that variable."""
    spike = _spike(program)
    if spike is None:
        return {}
    return {
        number: program.instructions[step.operands[0]].name
        for number, step in enumerate(program.instructions)
        if step.op is spike.op
        and step.operands[1] == spike.operands[1]
        and program.instructions[step.operands[0]].op is Op.STATE
    }


def known_past(program: Program, spikes: NDArray[Any], outcome_of: Outcome) -> dict[str, Known]:
    """What the spikes of a step tell of each state variable that the next step compares with the threshold.

    spikes: bool, [B, *shape]. outcome_of: the outcome of a comparison of this step, by its number.
    """
    spike = _spike(program)
    if spike is None:
        return {}
    compared = spike.operands[0]
    nothing = Known(np.zeros_like(spikes), np.zeros_like(spikes))

    def left(number: int) -> Known:
        step = program.instructions[number]
        if number == compared:
            return Known(spikes, np.ones_like(spikes))
        if step.op is not Op.WHERE:
            return nothing
        chosen, otherwise = left(step.operands[1]), left(step.operands[2])
        if not (chosen.sure.any() or otherwise.sure.any()):
            return nothing
        by = outcome_of(step.operands[0])
        sure = by.sure & np.where(by.outcome, chosen.sure, otherwise.sure)
        return Known(np.where(by.outcome, chosen.outcome, otherwise.outcome), sure)

    places = dict(zip(program.variables, program.state, strict=True))
    return {name: left(places[name]) for name in set(asks_for_the_past(program).values())}


def _spike(program: Program) -> Instruction | None:
    """The comparison that the spike is, where it is one with a value that steps do not change."""
    if program.spike is None:
        return None
    step = program.instructions[program.spike]
    if step.op not in (Op.GREATER, Op.GREATER_EQUAL):
        return None
    return step if program.instructions[step.operands[1]].op in (Op.PARAMETER, Op.CONSTANT) else None
