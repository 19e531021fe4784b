"""The step of any family in whole numbers: its program of real numbers, translated instruction by instruction.

    real          whole
    state s       the state, whose 1 stands for base / 2^bits of it, base being what a weight of 1 stands for; states
                  that count steps stand for themselves
    port x        the sum of whole weights, in the unit base
    parameters    levels and factors: see scaled.py
    new state     rounded to the state's unit as the law rounds, and narrowed to state_bits

Where a state decays, s - beta s, it is multiplied by 1 - beta, once. What arrives at several ports that are added one
behind the other arrives at the first: whole numbers have no order of summation. A division by a state, an exponential
of one and a product with a matrix have no integer form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.passes.scaled import ZERO, Arithmetic, Floats, Known, Number, Value, computed
from norse_export.program.laws import Law
from norse_export.program.operations import COMPARED, Instruction, Op, Symbol
from norse_export.program.program import Program

_MERGED = (Op.ADD, Op.SUB, Op.WHERE, Op.MIN, Op.MAX)  # what keeps a count a count
_GIVEN = (Op.PORT, Op.STATE, Op.CLOCK, Op.RANDOM, Op.PARAMETER)  # in the order in which they begin a program


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What whole numbers stand for.

    base: a weight of 1, [*shape]. bits: of each state that does not count, below it. free: bits of what is sent by
    neurons without such a state.
    """

    base: Floats
    bits: Mapping[str, int]
    free: int = 0

    @property
    def working(self) -> int:
        """The finest bits."""
        return max(self.bits.values(), default=self.free)

    def of(self, state: str) -> Floats:
        """What a 1 of a state stands for."""
        return self.base * 2.0 ** -self.bits[state] if state in self.bits else np.ones(())


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """An integer program and its parameters. sent: what a 1 that neurons without spikes send stands for."""

    program: Program
    parameters: Mapping[str, NDArray[np.int64]]
    sent: Floats
    lost: Mapping[str, Floats]


def obstacles(program: Program) -> Iterator[tuple[str, str]]:
    """What of a program has no integer form: kinds and reasons."""
    known = known_numbers(program)
    for number, step in enumerate(program.instructions):
        if number in known:
            continue
        if step.op is Op.EXP:
            yield "exp", "an exponential of a state has no integer form"
        elif step.op is Op.MATMUL:
            yield "matmul", "a product of a matrix and the membranes of a whole layer has no integer form"
        elif step.op is Op.DIV and step.operands[1] not in known:
            yield "division", "a division by a state has no integer form"
        elif step.op in (Op.RANDOM, Op.CLOCK):
            yield str(step.op), f"a step that reads its {step.op} has no integer form"


@lru_cache(256)
def known_numbers(program: Program) -> frozenset[int]:
    """Numbers of the instructions that follow from parameters and written numbers alone."""
    known: set[int] = set()
    for number, step in enumerate(program.instructions):
        if step.op in (Op.PARAMETER, Op.CONSTANT) or (step.operands and known.issuperset(step.operands)):
            known.add(number)
    return frozenset(known)


@lru_cache(256)
def counting(program: Program) -> frozenset[str]:
    """Names of the states that count: to which nothing but written numbers is added, and one of these at least is."""
    return frozenset(
        name for name, number in zip(program.variables, program.state, strict=True) if _counts(program, name, number)
    )


def _counts(program: Program, name: str, number: int) -> bool:
    known, written = known_numbers(program), False
    seen, stack = set(), [number]
    while stack:
        if (here := stack.pop()) in seen:
            continue
        seen.add(here)
        step = program.instructions[here]
        if here in known:
            continue
        if step.op is Op.STATE and step.name == name:
            continue
        if step.op not in _MERGED:
            return False
        added = [program.instructions[operand] for operand in step.operands if step.op in (Op.ADD, Op.SUB)]
        written = written or any(one.op is Op.CONSTANT and one.constants[0] for one in added)
        stack.extend(step.operands[1:] if step.op is Op.WHERE else step.operands)
    return written


@lru_cache(256)
def joined_ports(program: Program) -> Mapping[str, str]:
    """Of each port the one at which its sum arrives: itself, or the first of those that are added in a row."""
    uses: dict[int, list[int]] = {}
    for number, step in enumerate(program.instructions):
        for operand in step.operands:
            uses.setdefault(operand, []).append(number)
    numbers = {step.name: n for n, step in enumerate(program.instructions) if step.op is Op.PORT}
    found = {name: name for name in numbers}
    ends: dict[int, str] = {}  # the value in which a port, and those joined to it, were last added
    for name, number in numbers.items():
        taken = uses.get(number, [])
        if len(taken) != 1 or (added := program.instructions[taken[0]]).op is not Op.ADD:
            continue
        other = added.operands[0] if added.operands[1] == number else added.operands[1]
        if uses[other] == taken:
            earlier = program.instructions[other].name if other < number else None  # ports come first, in their order
            before = ends.get(other) or earlier or name
            found[name] = found[before]
        ends[taken[0]] = name
    return MappingProxyType(found)


class _Translation:
    """One program on its way."""

    def __init__(self, program: Program, parameters: Mapping[str, Floats], arriving: Mapping[str, Floats]) -> None:
        self.program, self.parameters, self.arriving = program, parameters, arriving
        self.values: list[Value | Symbol] = []

    def run(self, law: Law, units: Units, graded: int | None) -> Translated:
        """Translate it."""
        self.law, self.units = law, units
        self.write = Arithmetic(law, units.base, units.working)
        for step in self.program.instructions:
            self.values.append(self.given(step) if not step.operands else self.result(step))
        stored = {number: self.stored(name, number) for name, number in self.states()}
        spike, output = self.program.spike, self.program.output
        bits = units.bits.get("v", units.working)
        if spike is None:
            v = dict(self.states()).get("v")
            made = stored[v] if v == output and v in stored else self.sent(output, bits, graded)
        else:
            made = self.truth(spike)
            if output != spike:
                raise UnsupportedError(
                    "neurons that spike, and send something else, have no integer form", where="step", fix="send spikes"
                )
        state = tuple(stored[number].number for _, number in self.states())
        fired = None if spike is None and graded is None else made.number
        program = _ordered(self.write.tape.instructions, state, fired, made.number)
        kept = {name: self.write.parameters[name] for name in program.parameters}
        sent = units.base * 2.0**-bits
        return Translated(program, MappingProxyType(kept), sent, MappingProxyType(self.write.lost))

    def states(self) -> list[tuple[str, int]]:
        return list(zip(self.program.variables, self.program.state, strict=True))

    def given(self, step: Instruction) -> Value | Symbol:
        """The value of an instruction without operands."""
        match step.op:
            case Op.PORT if joined_ports(self.program)[step.name] != step.name:
                return Known(ZERO)
            case Op.PORT:
                symbol = self.write.tape.record(Op.PORT, name=step.name)
                return Number(
                    symbol, self.units.base, 0, Known(self.arriving.get(step.name, ZERO), "bias"), label="weight"
                )
            case Op.STATE:
                symbol = self.write.tape.record(Op.STATE, name=step.name)
                counts = step.name in counting(self.program)
                bits = 0 if counts else self.units.bits[step.name]
                return Number(symbol, np.ones(()) if counts else self.units.base, bits, counts=counts)
            case Op.PARAMETER:
                return Known(self.parameters[step.name], step.name)
            case Op.CONSTANT:
                return Known(np.float64(step.constants[0]) + ZERO)
            case _:
                raise UnsupportedError(f"{step.op} has no integer form", where=step.op, fix="leave it out of the step")

    def result(self, step: Instruction) -> Value | Symbol:
        """The value of an instruction with operands."""
        write, given = self.write, [self.values[operand] for operand in step.operands]
        if step.op in (Op.AND, Op.OR, Op.NOT):
            return write.tape.record(step.op, *given)
        if step.op is Op.WHERE:
            return self.branch(given)
        numbers = [one for one in given if not isinstance(one, Symbol)]
        if len(numbers) < len(given):
            raise UnsupportedError(f"{step.op} of a truth value has no integer form", where=step.op, fix="use where")
        if all(isinstance(one, Known) for one in numbers) and step.op not in COMPARED:
            return computed(step.op, *numbers)  # type: ignore[arg-type]
        return self.arithmetic(step.op, numbers)

    def arithmetic(self, op: Op, given: list[Value]) -> Value | Symbol:
        write, first, last = self.write, given[0], given[-1]
        if op is Op.SUB:
            op, last = Op.ADD, last.negative
        if op is Op.DIV and isinstance(last, Known):
            op, last = Op.MUL, Known(1 / last.value, last.name)
        number, other = (first, last) if isinstance(first, Number) else (last, first)
        match op:
            case Op.ADD if isinstance(number, Number):
                return write.add(number, other)
            case Op.MUL if isinstance(number, Number):
                return write.multiply(number, other)
            case Op.NEG if isinstance(number, Number):
                return number.negative
            case Op.ABS if isinstance(number, Number):
                return write.magnitude(number)
            case Op.MIN | Op.MAX:
                return write.extreme(op, first, last)
            case Op.GREATER | Op.GREATER_EQUAL | Op.EQUAL:
                return write.compared(op, first, last)
        raise UnsupportedError(f"{op} of a state has no integer form", where=op, fix="leave it out of the step")

    def branch(self, given: list[Value | Symbol]) -> Value | Symbol:
        condition, chosen, otherwise = given
        if not isinstance(condition, Symbol):
            raise UnsupportedError("a choice by parameters has no integer form", where="where", fix="compare a state")
        if isinstance(chosen, Symbol) and isinstance(otherwise, Symbol):
            return self.write.tape.record(Op.WHERE, condition, chosen, otherwise)
        if isinstance(chosen, Symbol) or isinstance(otherwise, Symbol):
            raise UnsupportedError("a choice of a truth value or a number", where="where", fix="choose of one kind")
        return self.write.chosen(condition, chosen, otherwise)

    def stored(self, name: str, number: int) -> Symbol:
        """The value of a state after the step."""
        value = self.number(number)
        counts = name in counting(self.program)
        unit, bits = (np.ones(()), 0) if counts else (self.units.base, self.units.bits[name])
        return self.narrow(self.write.whole(value, unit, bits))

    def sent(self, number: int, below: int, bits: int | None) -> Symbol:
        """What neurons without spikes send, `below` bits below a weight of 1."""
        return self.narrow(self.write.whole(self.number(number), self.units.base, below), bits)

    def number(self, number: int) -> Value:
        value = self.values[number]
        if isinstance(value, Symbol):
            raise UnsupportedError("a state that is a truth value has no integer form", where="step", fix="count it")
        return value

    def truth(self, number: int) -> Symbol:
        value = self.values[number]
        if not isinstance(value, Symbol):
            raise UnsupportedError("spikes that are numbers have no integer form", where="step", fix="compare")
        return value

    def narrow(self, whole: Symbol | int, bits: int | None = None) -> Symbol:
        symbol = self.write.tape.record(Op.CONSTANT, constants=(whole,)) if isinstance(whole, int) else whole
        return self.write.narrowed(symbol, bits or self.law.state_bits)


def translated(
    program: Program,
    parameters: Mapping[str, Floats],
    arriving: Mapping[str, Floats],
    law: Law,
    units: Units,
    *,
    graded: int | None = None,
) -> Translated:
    """The program in whole numbers.

    parameters: in the model's units, [*shape]. arriving: at each port what arrives in every step beside spikes. graded:
    numbers of so many bits are sent in the place of spikes, so that they reach other neurons.

    Raises:
        UnsupportedError: it has no integer form, or a level is too large for the units.
    """
    return _Translation(program, parameters, arriving).run(law, units, graded)


def _ordered(instructions: list[Instruction], state: tuple[int, ...], spike: int | None, output: int) -> Program:
    """The program, ports, states, random numbers and parameters first, without what nothing needs."""
    needed, stack = set(), [*state, output, *([] if spike is None else [spike])]
    while stack:
        if (number := stack.pop()) not in needed:
            needed.add(number)
            stack.extend(instructions[number].operands)
    needed |= {n for n, step in enumerate(instructions) if step.op in (Op.PORT, Op.STATE)}
    leaves = {op: [n for n in sorted(needed) if instructions[n].op is op] for op in _GIVEN}
    order = [n for op in _GIVEN for n in leaves[op]]
    order += [n for n in sorted(needed) if instructions[n].op not in _GIVEN]
    place = {number: index for index, number in enumerate(order)}
    moved = []
    for number in order:
        step = instructions[number]
        operands = tuple(place[operand] for operand in step.operands)
        moved.append(Instruction(step.op, operands, step.name, step.constants, step.rounding))
    return Program(
        tuple(moved), tuple(place[n] for n in state), None if spike is None else place[spike], place[output], ()
    )
