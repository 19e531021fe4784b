"""A neuron program as the source text of a kernel: one loop over the neurons, one line for each instruction.

The text depends on the program's structure alone: names are numbered, and all numbers (shifts, bounds, constants) are
arguments. Two programs of one structure therefore share one compiled kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from norse_export.program.operations import Instruction, Op, Rounding
from norse_export.program.program import Program

NARROWING = (Op.SATURATE, Op.WRAP, Op.WRAP_ONCE)
_PLAIN = {
    Op.ADD: "I({0} + {1})",
    Op.SUB: "I({0} - {1})",
    Op.MUL: "I({0} * {1})",
    Op.NEG: "I(-{0})",
    Op.ABS: "I(abs({0}))",
    Op.MIN: "I(min({0}, {1}))",
    Op.MAX: "I(max({0}, {1}))",
    Op.GREATER: "{0} > {1}",
    Op.GREATER_EQUAL: "{0} >= {1}",
    Op.EQUAL: "{0} == {1}",
    Op.AND: "{0} & {1}",
    Op.OR: "{0} | {1}",
    Op.NOT: "not {0}",
    Op.WHERE: "either({0}, {1}, {2})",
    Op.SHIFT_LEFT: "I({0} << {c}_0)",
}
_DIVIDED = {  # of a 64-bit product p: c_0 the shift, c_1 its mask, c_2 half of the divisor
    Rounding.FLOOR: "I({p} >> {c}_0)",
    Rounding.TOWARD_ZERO: "I(-((-{p}) >> {c}_0)) if {p} < 0 else I({p} >> {c}_0)",
    Rounding.HALF_EVEN: "I({p} >> {c}_0) + I((({p} & {c}_1) > {c}_2)"
    " | ((({p} & {c}_1) == {c}_2) & ((({p} >> {c}_0) & I(1)) == I(1))))",
    Rounding.STOCHASTIC: "I(({p} + I({r} >> {c}_3)) >> {c}_0)",
}
_BY_PARTS = {  # h, l: products with the upper and the lower part of a; toward zero: floor of p + c_1 where p < 0
    Rounding.FLOOR: "I({h} + I({l} >> {c}_0))",
    Rounding.TOWARD_ZERO: "I({h} + I(I({l} + I(I(I({0} ^ {1}) >> I(31)) & {c}_1)) >> {c}_0))",
    Rounding.HALF_EVEN: "I(I({h} + I({l} >> {c}_0)) + I((({l} & {c}_1) > {c}_2)"
    " | ((({l} & {c}_1) == {c}_2) & ((I({h} + I({l} >> {c}_0)) & I(1)) == I(1)))))",
    Rounding.STOCHASTIC: "I({h} + I(I({l} + I({r} >> {c}_3)) >> {c}_0))",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """How a program is compiled.

    bits: of all arithmetic. uniform: each parameter is one number for all neurons. exact: no narrowing instruction
    ever changes a value, so that none is executed; else those that do are counted. observed: the program's observables
    are written too.
    """

    bits: Literal[32, 64]
    uniform: bool
    exact: bool
    observed: bool


def narrowing(program: Program) -> tuple[int, ...]:
    """Numbers of the instructions that can narrow a value."""
    return tuple(number for number, step in enumerate(program.instructions) if step.op in NARROWING)


def results(program: Program, *, observed: bool) -> tuple[int, ...]:
    """Numbers of the values that a kernel writes beside the states: what is sent, spikes if others, observables."""
    spike = () if program.spike in (None, program.output) else (program.spike,)
    return (program.output, *spike, *(number for _, number in program.observe if observed))


def constants(program: Program, bits: int) -> tuple[int, ...]:
    """The numbers that the kernel takes for the instructions, in order."""
    return tuple(value for step in program.instructions for value in _numbers(step, bits))


@lru_cache(256)
def update_source(program: Program, variant: Variant) -> str:
    """Source of the kernel of a program.

    Its numbers: how many neurons; addresses of the ports' sums (set to 0), of the states, of the random numbers; for
    each parameter an address, or the value where uniform; the constants; addresses of the results, and of the counters
    of the narrowing instructions.
    """
    arguments, body = _Text(program, variant).lines()
    counted = len(_counters(program, variant))
    taken = ", ".join(_taken(kind, number, counted) for number, (_, kind) in enumerate(arguments, start=1))
    names = ", ".join(name for name, _ in arguments)
    lines = "\n".join(f"        {line}" for line in body)
    before = "".join(f"    {name} = I(0)\n" for name in _counters(program, variant))
    before += "".join(f"    {name} = {name} & {variant.bits - 1}\n" for name in _shifts(program))
    after = "".join(f"    counters[{number}] += {name}\n" for number, name in enumerate(_counters(program, variant)))
    return f"""import numpy as np
from norse_export.engine.kernels.memory import entry_point, jitted, view

I = np.int{variant.bits}


@jitted
def either(condition, a, b):  # a branch of its own: hundreds of them in one function are more than numba takes
    return a if condition else b


@jitted
def update(t, size, {names}):
{before}    for j in range(size):
{lines}
{after}

@entry_point(CACHE)
def kernel(row, t, sample):
    n = view(row, {len(arguments) + 1}, np.int64)
    update(t, n[0], {taken})
"""


def _taken(kind: str, number: int, counted: int) -> str:
    if kind == "number":
        return f"I(n[{number}])"
    return f"view(n[{number}], {counted}, np.int64)" if kind == "counters" else f"view(n[{number}], n[0], {kind})"


def _shifts(program: Program) -> list[str]:
    """The arguments that are amounts of shifts: known to be small, they are shifted by in the width of the values."""
    shifts = (Op.SHIFT_LEFT, Op.SHIFT_RIGHT, Op.MUL_SHIFT, Op.WRAP)
    return [f"c{number}_0" for number, step in enumerate(program.instructions) if step.op in shifts]


def _counters(program: Program, variant: Variant) -> list[str]:
    return [] if variant.exact else [f"o{number}" for number in narrowing(program)]


def _numbers(step: Instruction, bits: int) -> tuple[int, ...]:
    """The numbers of one instruction, those that follow from its constants included."""
    match step.op:
        case Op.SHIFT_RIGHT | Op.MUL_SHIFT:
            by = step.constants[0]
            half = (1 << by) >> 1 if by else 1  # nothing is halfway where nothing is divided
            return (by, (1 << by) - 1, half, *((32 - by,) if step.rounding is Rounding.STOCHASTIC else ()))
        case Op.WRAP:
            return (max(0, bits - step.constants[0]),)
        case Op.WRAP_ONCE:
            low, high = step.constants
            return (low, high, high - low + 1)
        case _:
            return step.constants


class _Text:
    """The lines of one kernel."""

    def __init__(self, program: Program, variant: Variant) -> None:
        self.program, self.variant = program, variant
        self.truths = program.truths

    def lines(self) -> tuple[list[tuple[str, str]], list[str]]:
        """Names and kinds of the arguments, and the lines of the loop."""
        program, variant = self.program, self.variant
        ports, states = _of(program, Op.PORT), _of(program, Op.STATE)
        held = "number" if variant.uniform else "I"
        arguments = [(f"a{number}", "I") for number in (*ports, *states)]
        arguments += [(f"a{number}", "np.int64") for number in _of(program, Op.RANDOM)]
        arguments += [(f"a{number}", held) for number in _of(program, Op.PARAMETER)]
        for number, step in enumerate(program.instructions):
            arguments += [(f"c{number}_{k}", "number") for k in range(len(_numbers(step, variant.bits)))]
        body = [line for number in range(len(program.instructions)) for line in self.instruction(number)]
        body += [f"a{number}[j] = {self.whole(new)}" for number, new in zip(states, program.state, strict=True)]
        body += [f"a{number}[j] = I(0)" for number in ports]
        for place, number in enumerate(results(program, observed=variant.observed)):
            arguments.append((f"r{place}", "np.uint8" if number in self.truths else "I"))
            body.append(f"r{place}[j] = v{number}")
        arguments += [] if variant.exact or not narrowing(program) else [("counters", "counters")]
        return arguments, body

    def whole(self, number: int) -> str:
        """A value as a number: a truth value is 0 or 1."""
        return f"I(v{number})" if number in self.truths else f"v{number}"

    def truth(self, number: int) -> str:
        """A value as a truth value: a number is true where it is not 0."""
        return f"v{number}" if number in self.truths else f"(v{number} != 0)"

    def instruction(self, number: int) -> list[str]:
        """The lines of one instruction."""
        step = self.program.instructions[number]
        match step.op:
            case Op.PORT | Op.STATE | Op.RANDOM:
                return [f"v{number} = a{number}[j]"]
            case Op.PARAMETER:
                return [f"v{number} = a{number}" + ("" if self.variant.uniform else "[j]")]
            case Op.CLOCK:
                return [f"v{number} = I(t)"]
            case Op.CONSTANT:
                return [f"v{number} = c{number}_0"]
            case Op.SHIFT_RIGHT | Op.MUL_SHIFT:
                return self.divided(number, step)
            case Op.SATURATE | Op.WRAP | Op.WRAP_ONCE:
                return self.narrowed(number, step)
            case _:
                logical = 3 if step.op in (Op.AND, Op.OR, Op.NOT) else 0  # so many operands are truth values
                if step.op is Op.WHERE:
                    logical = 3 if number in self.truths else 1
                given = [self.truth(n) if place < logical else self.whole(n) for place, n in enumerate(step.operands)]
                return [f"v{number} = " + _PLAIN[step.op].format(*given, c=f"c{number}")]

    def narrowed(self, number: int, step: Instruction) -> list[str]:
        a, c = f"v{step.operands[0]}", f"c{number}"
        if self.variant.exact:
            return [f"v{number} = {a}"]
        text = {
            Op.SATURATE: f"I(min(max({a}, {c}_0), {c}_1))",
            Op.WRAP: f"I(I({a} << {c}_0) >> {c}_0)",
            Op.WRAP_ONCE: f"I({a} - {c}_2) if {a} > {c}_1 else (I({a} + {c}_2) if {a} < {c}_0 else {a})",
        }[step.op]
        return [f"v{number} = {text}", f"o{number} = I(o{number} + I(v{number} != {a}))"]

    def divided(self, number: int, step: Instruction) -> list[str]:
        rounding, c = step.rounding or Rounding.FLOOR, f"c{number}"
        a = f"v{step.operands[0]}"
        noise = f"v{step.operands[-1]}"
        if step.op is Op.SHIFT_RIGHT or self.variant.bits == 64:
            product = f"I({a} * v{step.operands[1]})" if step.op is Op.MUL_SHIFT else a
            text = _DIVIDED[rounding].format(p=f"p{number}", c=c, r=noise)
            return [f"p{number} = {product}", f"v{number} = {text}"]
        k = f"v{step.operands[1]}"
        lines = [f"h{number} = I(I({a} >> {c}_0) * {k})", f"l{number} = I(I({a} & {c}_1) * {k})"]
        text = _BY_PARTS[rounding].format(a, k, h=f"h{number}", l=f"l{number}", c=c, r=noise)
        return [*lines, f"v{number} = {text}"]


def _of(program: Program, op: Op) -> list[int]:
    return [number for number, step in enumerate(program.instructions) if step.op is op]
