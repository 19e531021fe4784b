"""The closed set of operations a neuron step may use, and what records them.

A step is a plain function of values. On arrays the operators below are numpy's own, so calling the step is the
interpreter. On `Symbol`s the same call leaves a straight-line list of `Instruction`s: the one form from which every
other execution (error bounds today; kernels, ONNX bodies, documentation) is derived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np


class Op(StrEnum):
    """Name of an operation; the operands are given in order."""

    PORT = "port"
    STATE = "state"
    PARAMETER = "parameter"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    GREATER = "greater"
    WHERE = "where"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation on earlier values; `operands` are their numbers, `name` is set for ports, states, parameters."""

    op: Op
    operands: tuple[int, ...] = ()
    name: str = ""


@dataclass(slots=True)
class Tape:
    """What a symbolic call has recorded so far."""

    instructions: list[Instruction] = field(default_factory=list)

    def record(self, op: Op, *operands: Symbol, name: str = "") -> Symbol:
        """Append one instruction and give the symbol of its value."""
        for operand in operands:
            if not isinstance(operand, Symbol) or operand.tape is not self:
                raise TypeError(f"{op} takes values of the step it stands in, got {operand!r}")
        self.instructions.append(Instruction(op, tuple(operand.number for operand in operands), name))
        return Symbol(self, len(self.instructions) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A value of a step that is being traced. Only the operations below exist; anything else is a TypeError."""

    tape: Tape
    number: int
    __array_ufunc__: ClassVar[None] = None  # numpy must not take a symbol for an array of one object

    def __add__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.ADD, self, other)

    def __sub__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.SUB, self, other)

    def __mul__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.MUL, self, other)

    def __gt__(self, other: Symbol) -> Symbol:
        return self.tape.record(Op.GREATER, self, other)

    def __eq__(self, other: object) -> bool:
        raise TypeError("a step compares values with > only")

    def __bool__(self) -> bool:
        raise TypeError("a step cannot branch on a value; use where(condition, a, b)")


def where(condition: Any, chosen: Any, otherwise: Any) -> Any:
    """Give `chosen` where the condition holds, else `otherwise`; elementwise."""
    for value in (condition, chosen, otherwise):
        if isinstance(value, Symbol):
            return value.tape.record(Op.WHERE, condition, chosen, otherwise)
    return np.where(condition, chosen, otherwise)
