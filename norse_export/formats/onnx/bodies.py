"""A program of floats -> a local function of standard ONNX operators: one node for each instruction, in their order.

A function takes the ports, the states and the parameters, and gives what the neuron sends, then the new states. Spikes
are sent as 0 and 1. Sources of the operators: the ONNX operator specification, opset 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import FunctionProto, NodeProto, TensorProto, helper

from norse_export.program.operations import Instruction, Op
from norse_export.program.program import Family, Program

from .names import Names

DOMAIN = "norse_export"  # of local functions
DOMAIN_VERSION = 1
OPERATORS = {
    Op.ADD: "Add",
    Op.SUB: "Sub",
    Op.MUL: "Mul",
    Op.DIV: "Div",
    Op.EXP: "Exp",
    Op.NEG: "Neg",
    Op.ABS: "Abs",
    Op.MIN: "Min",
    Op.MAX: "Max",
    Op.GREATER: "Greater",
    Op.GREATER_EQUAL: "GreaterOrEqual",
    Op.EQUAL: "Equal",
    Op.AND: "And",
    Op.OR: "Or",
    Op.NOT: "Not",
    Op.WHERE: "Where",
}
_GIVEN = (Op.PORT, Op.STATE, Op.PARAMETER)


@dataclass(frozen=True, slots=True)
class Body:
    """A local function: its proto, and the names of its values in order: what it takes, and what it gives."""

    function: FunctionProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def float_body(family: Family, dtype: str, opset: int) -> Body:
    """The step of a family as a function; dtype: "float32" or "float64", of its numbers.

    Raises:
        TypeError: the step has operations of integers.
    """
    program = family.trace()
    writer = _Writer(program, dtype)
    inputs = (*program.ports, *program.variables, *program.parameters)
    outputs = (writer.fresh("sent"), *(writer.fresh(f"{name}_next") for name in program.variables))
    for number, step in enumerate(program.instructions):
        writer.write(number, step)
    writer.give(program.output, outputs[0])
    for number, name in zip(program.state, outputs[1:], strict=True):
        writer.give(number, name)
    function = helper.make_function(
        DOMAIN, family.name, list(inputs), list(outputs), writer.nodes, [helper.make_opsetid("", opset)]
    )
    return Body(function, inputs, outputs)


class _Writer:
    """The nodes of a function, and the name under which each value of the program stands."""

    def __init__(self, program: Program, dtype: str) -> None:
        self.program = program
        self.type = TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT
        self.nodes: list[NodeProto] = []
        self.names: dict[int, str] = {}
        self.fresh = Names(step.name for step in program.instructions if step.op in _GIVEN).fresh

    def write(self, number: int, step: Instruction) -> None:
        """Add what one instruction is."""
        if step.op in _GIVEN:
            self.names[number] = step.name
            return
        name = self.names[number] = self.fresh(f"{step.op}_{number}")
        match step.op:
            case Op.CONSTANT:
                tensor = helper.make_tensor("value", self.type, (), [float(step.constants[0])])
                self.add("Constant", (), name, value=tensor)
            case Op.MATMUL:  # of a matrix [N, N] and values [B, N]; not Transpose and MatMul: see windows.py
                matrix, values = (self.names[operand] for operand in step.operands)
                self.add("Gemm", (values, matrix), name, transB=1)
            case _ if step.op in OPERATORS:
                self.add(OPERATORS[step.op], [self.names[operand] for operand in step.operands], name)
            case _:
                raise TypeError(f"{step.op} is no operation of floats")

    def give(self, number: int, name: str) -> None:
        """Give a value of the program as an output of the function."""
        if number in self.program.truths:
            self.add("Cast", (self.names[number],), name, to=self.type)
        else:
            self.add("Identity", (self.names[number],), name)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add one node."""
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [output], **attributes))
