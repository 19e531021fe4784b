"""What a law of SpiNNaker written carelessly would do, one instruction at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

FAULTS: dict[Op, tuple[dict[str, Any], ...]] = {
    Op.MUL_SHIFT: ({"rounding": Rounding.TOWARD_ZERO}, {"rounding": Rounding.HALF_EVEN}),
    Op.WRAP: ({"op": Op.SATURATE, "constants": (-(2**31), 2**31 - 1)}, {"constants": (33,)}),
    Op.GREATER_EQUAL: ({"op": Op.GREATER},),
    Op.GREATER: ({"op": Op.GREATER_EQUAL},),
}


def faults(program: Program) -> dict[str, Program]:
    """Every program with one instruction replaced by a careless one, by what is replaced."""
    found = {}
    for number, step in enumerate(program.instructions):
        for change in FAULTS.get(step.op, ()):
            text = " ".join(str(value) for value in change.values())
            found[f"%{number} {step.op}: {text}"] = _with(program, number, replace(step, **change))
    return found


def _with(program: Program, number: int, step: Instruction) -> Program:
    instructions = list(program.instructions)
    instructions[number] = step
    return replace(program, instructions=tuple(instructions))
