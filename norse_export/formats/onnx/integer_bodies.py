"""A program of integers -> a local function of standard ONNX operators on int64.

Only operators whose integer arithmetic the specification fixes are used: Add, Sub, Mul, Mod (of the sign of its
divisor), Div of what divides without a rest. Bits are shifted by products and quotients: BitShift has no signed form
below opset 28. The smaller of two numbers is chosen by Less and Where: Min and Max of onnxruntime 1.31 on int64 give
the wrong one for some numbers of 33 bits and more. program/ranges.py proves that 64 bits hold every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, TensorProto, helper

from norse_export.program.operations import LOGICAL, Instruction, Op, Rounding
from norse_export.program.program import Program

from .bodies import DOMAIN, OPERATORS, Body
from .names import Names

_GIVEN = (Op.PORT, Op.STATE, Op.PARAMETER, Op.RANDOM, Op.CLOCK)
CLOCK = "t"  # the input that counts steps


def integer_body(program: Program, name: str, opset: int) -> Body:
    """A program as a function: ports, states, clock, random words, parameters in; sent, states, spike, observed out.

    Each only where the program has it; a spike that is sent as it is, is no output of its own.

    Raises:
        TypeError: the program has operations of floats alone.
    """
    writer = IntegerWriter({step.name for step in program.instructions if step.name} | {CLOCK})
    values = _Values(writer, program)
    inputs = given(program)
    outputs = [writer.names.fresh("sent"), *(writer.names.fresh(f"{one}_next") for one in program.variables)]
    numbers = [program.output, *program.state]
    if program.spike is not None and program.spike != program.output:
        outputs.append(writer.names.fresh("spike"))
        numbers.append(program.spike)
    for observed, number in program.observe:
        outputs.append(writer.names.fresh(f"{observed}_observed"))
        numbers.append(number)
    return writer.body(name, inputs, [values.whole(number) for number in numbers], outputs, opset)


def given(program: Program) -> tuple[str, ...]:
    """What the function of a program takes, by name."""
    clock = (CLOCK,) if any(step.op is Op.CLOCK for step in program.instructions) else ()
    return (*program.ports, *program.variables, *clock, *program.random, *program.parameters)


class IntegerWriter:
    """Nodes of a function on int64, and arithmetic that ONNX has no operator for."""

    def __init__(self, taken: set[str]) -> None:
        self.names = Names(taken)
        self.nodes: list[NodeProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        """Add one node; gives the name of its value."""
        name = self.names.fresh(operator.lower()) if output is None else output
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def body(
        self, name: str, inputs: tuple[str, ...], values: Sequence[str], outputs: Sequence[str], opset: int
    ) -> Body:
        """The function of what was written; outputs: under which names it gives which values."""
        for value, output in zip(values, outputs, strict=True):
            self.add("Identity", (value,), output)
        opsets = [helper.make_opsetid("", opset)]
        function = helper.make_function(DOMAIN, name, list(inputs), list(outputs), self.nodes, opsets)
        return Body(function, inputs, tuple(outputs))

    def number(self, value: int) -> str:
        """A constant."""
        return self.add("Constant", (), value=helper.make_tensor("value", TensorProto.INT64, (), [value]))

    def extreme(self, a: str, b: str, comparison: str) -> str:
        """The smaller ("Less") or larger ("Greater") of two numbers."""
        return self.add("Where", (self.add(comparison, (a, b)), a, b))

    def floor(self, a: str, bits: int) -> str:
        """a / 2^bits, floor."""
        if not bits:
            return a
        power = self.number(1 << bits)
        return self.add("Div", (self.add("Sub", (a, self.add("Mod", (a, power)))), power))

    def rest(self, a: str, bits: int) -> str:
        """a modulo 2^bits, 0 or more."""
        return self.add("Mod", (a, self.number(1 << bits)))

    def divided(self, a: str, bits: int, rounding: Rounding, noise: str | None) -> str:
        """a / 2^bits, rounded."""
        match rounding:
            case Rounding.FLOOR:
                return self.floor(a, bits)
            case Rounding.TOWARD_ZERO:
                size = self.floor(self.add("Abs", (a,)), bits)
                negative = self.add("Less", (a, self.number(0)))
                return self.add("Where", (negative, self.add("Neg", (size,)), size))
            case Rounding.HALF_EVEN:
                return self._half_even(a, bits)
            case Rounding.STOCHASTIC:
                if noise is None:
                    raise TypeError("stochastic rounding without random numbers")
                return self.floor(self.add("Add", (a, self.floor(noise, 32 - bits))), bits)

    def _half_even(self, a: str, bits: int) -> str:
        if not bits:
            return a
        low, rest, half = self.floor(a, bits), self.rest(a, bits), self.number(1 << (bits - 1))
        odd = self.add("Equal", (self.rest(low, 1), self.number(1)))
        tie = self.add("And", (self.add("Equal", (rest, half)), odd))
        up = self.add("Or", (self.add("Greater", (rest, half)), tie))
        return self.add("Add", (low, self.add("Cast", (up,), to=TensorProto.INT64)))

    def wrapped(self, a: str, bits: int) -> str:
        """The two's complement number of that many bits."""
        half = self.number(1 << (bits - 1))
        return self.add("Sub", (self.rest(self.add("Add", (a, half)), bits), half))

    def wrapped_once(self, a: str, low: int, high: int) -> str:
        """One span added or subtracted where a is outside."""
        span = self.number(high - low + 1)
        above, below = self.add("Greater", (a, self.number(high))), self.add("Less", (a, self.number(low)))
        raised = self.add("Where", (below, self.add("Add", (a, span)), a))
        return self.add("Where", (above, self.add("Sub", (a, span)), raised))


class _Values:
    """The values of a program, written in the order of its instructions, and taken as what an operator needs."""

    def __init__(self, writer: IntegerWriter, program: Program) -> None:
        self.writer = writer
        self.truths = program.truths
        self.names: list[str] = []
        for step in program.instructions:
            self.names.append(self._written(step))

    def whole(self, number: int) -> str:
        """A value as int64."""
        name = self.names[number]
        return self.writer.add("Cast", (name,), to=TensorProto.INT64) if number in self.truths else name

    def truth(self, number: int) -> str:
        """A value as a truth value."""
        name = self.names[number]
        return name if number in self.truths else self.writer.add("Cast", (name,), to=TensorProto.BOOL)

    def _written(self, step: Instruction) -> str:
        writer = self.writer
        if step.op in _GIVEN:
            return step.name or CLOCK
        if step.op in LOGICAL:
            return writer.add(OPERATORS[step.op], [self.truth(operand) for operand in step.operands])
        if step.op is Op.WHERE:
            condition, *chosen = step.operands
            take = self.truth if set(chosen) <= self.truths else self.whole
            return writer.add("Where", (self.truth(condition), *(take(operand) for operand in chosen)))
        operands = [self.whole(operand) for operand in step.operands]
        match step.op:
            case Op.CONSTANT:
                return writer.number(step.constants[0])
            case Op.SHIFT_LEFT:
                return writer.add("Mul", (operands[0], writer.number(1 << step.constants[0])))
            case Op.SHIFT_RIGHT | Op.MUL_SHIFT:
                count = 1 if step.op is Op.SHIFT_RIGHT else 2
                a = operands[0] if count == 1 else writer.add("Mul", operands[:2])
                noise = operands[count] if len(operands) > count else None
                return writer.divided(a, step.constants[0], Rounding(step.rounding or ""), noise)
            case Op.SATURATE:
                low, high = (writer.number(bound) for bound in step.constants)
                return writer.extreme(writer.extreme(operands[0], high, "Less"), low, "Greater")
            case Op.MIN | Op.MAX:
                return writer.extreme(operands[0], operands[1], "Less" if step.op is Op.MIN else "Greater")
            case Op.WRAP:
                return writer.wrapped(operands[0], step.constants[0])
            case Op.WRAP_ONCE:
                return writer.wrapped_once(operands[0], *step.constants)
            case _ if step.op in OPERATORS and step.op not in (Op.DIV, Op.EXP):
                return writer.add(OPERATORS[step.op], operands)
        raise TypeError(f"{step.op} is no operation of integers")
