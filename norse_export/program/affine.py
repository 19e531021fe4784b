"""A step evaluated with a bound of its rounding error: affine arithmetic over a straight-line program.

A `Spread` is a real value with what another computation of it may be off by: linear parts, one for each uncertain
source (a state variable, an input port), and a radius for everything else. Linear parts cancel as they do in the real
computation, so the leak damps an error as it damps the state; a radius never cancels.

Every operation rounds by at most u |result| + tiny, the result being that of the operands as the other computation has
them: u (|value| + error), with the error before rounding. `tiny` is what a result below the normal range may lose,
whether it is rounded to a subnormal number or flushed to zero. An operation on values that every computation shares
(parameters, counters of steps, spikes) does not round where its result has a place in the float type.

A comparison of shared values has one outcome. That of others which decides on the spike has its outcome given, and the
margin by which it was decided is kept. One that asks again what the spikes of the step before were has that outcome
(`known_past.py`). Any other has its own outcome; where it is nearer than its error, another computation may have the
other one, and what is chosen by it is off by as much as the two choices are apart.

Source: L. de Figueiredo, J. Stolfi, Affine arithmetic: concepts and applications, Numerical Algorithms 37, 2004; the
model of rounding is that of N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.program.known_past import Known, asks_for_the_past, known_past
from norse_export.program.operations import Instruction, Op
from norse_export.program.program import Program

Array = NDArray[Any]
Error = Array | float
Linear = Mapping[str, Error]


@dataclass(frozen=True, slots=True)
class Spread:
    """value: float64. linear: source -> sensitivity to it. radius: bound of all other error."""

    value: Array
    linear: Linear
    radius: Error = 0.0

    @classmethod
    def exact(cls, value: Array) -> Spread:
        """A value that every computation shares."""
        return cls(value, {})

    @property
    def is_exact(self) -> bool:
        """Whether every computation shares the value."""
        return not self.linear and isinstance(self.radius, float) and self.radius == 0.0

    def error(self, errors: Mapping[str, Error]) -> Error:
        """Bound of the error, when each source is off by up to `errors[source]`; broadcasts to the value's shape."""
        total = self.radius
        for source, sensitivity in self.linear.items():
            total = total + np.abs(sensitivity) * errors[source]
        return total


@dataclass(frozen=True, slots=True)
class BoundedStep:
    """State and output after a step, each with its error bound; `margin` is threshold quantity minus threshold.

    An error of exactly 0.0 is a value that every computation shares. Where no spike was possible, the margin is minus
    infinity. past: what the next step is to be given as such.
    """

    state: tuple[Array, ...]
    state_error: tuple[Error, ...]
    output: Array
    output_error: Array
    margin: Array | None
    margin_error: Array | None
    past: Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class _Decision:
    """The comparison with the threshold. outcome: that of the spikes, where there could be one; else its own.

    undecided: where the outcome is its own, and too near to the threshold to be that of every computation.
    """

    outcome: Array
    margin: Array
    error: Array
    undecided: Array | None = None


def bounded_step(
    program: Program,
    ports: Mapping[str, tuple[Array, Error]],
    state: Mapping[str, tuple[Array, Error]],
    parameters: Mapping[str, Array],
    spikes: Array | None,
    u: float,
    tiny: float = 0.0,
    past: Mapping[str, Known] | None = None,
) -> BoundedStep:
    """Evaluate one step in float64, forced to take `spikes`, and bound how far a run with unit roundoff u may be.

    ports and state: each a value and the bound of its error; an error of exactly 0.0 is a value that all share.
    spikes: bool, None for a family that does not spike. tiny: the smallest normal number of that run's float type.
    past: what the step before gave as such; None before the first.

    Raises:
        ValueError: the spikes are not given where the program has them; it combines comparisons of values that may be
            off; it has an operation whose error is not known: a division by such a value, an operation on integers.
    """
    given = {**ports, **state}
    errors = {name: error for name, (_, error) in given.items()}
    asked = {number: past[name] for number, name in asks_for_the_past(program).items()} if past else {}
    machine = _Machine(program, u, tiny, errors, given, parameters, spikes, asked, *_threshold(program))
    values = [machine.value(number) for number in range(len(program.instructions))]
    following = (
        {} if spikes is None else known_past(program, spikes, lambda number: _known(values[number], spikes.shape))
    )
    return _bounded(program, values, errors, following)


def _known(condition: Spread | _Decision, shape: tuple[int, ...]) -> Known:
    outcome = condition.outcome if isinstance(condition, _Decision) else _shared(condition).value
    undecided = condition.undecided if isinstance(condition, _Decision) else None
    sure = np.ones((), bool) if undecided is None else ~undecided
    return Known(np.broadcast_to(outcome, shape), np.broadcast_to(sure, shape))


def _threshold(program: Program) -> tuple[frozenset[int], tuple[int, ...]]:
    """The comparison that the spike is, alone or together with conditions; and those conditions."""
    found, conditions, left = set[int](), list[int](), [] if program.spike is None else [program.spike]
    while left:
        number = left.pop()
        step = program.instructions[number]
        if step.op is Op.AND:
            left.extend(step.operands)
        elif step.op in (Op.GREATER, Op.GREATER_EQUAL):
            found.add(number)
        else:
            conditions.append(number)
    return frozenset(found), tuple(conditions)


@dataclass(frozen=True, slots=True)
class _Machine:
    """One step: how far each operation of the other computation may round, and how far its sources may be off."""

    program: Program
    u: float
    tiny: float
    errors: Mapping[str, Error]
    given: Mapping[str, tuple[Array, Error]]
    parameters: Mapping[str, Array]
    spikes: Array | None
    asked: Mapping[int, Known]  # comparisons whose outcome the step before tells
    deciding: frozenset[int]
    conditions: tuple[int, ...]
    values: dict[int, Spread | _Decision] = field(default_factory=dict)

    def value(self, number: int) -> Spread | _Decision:
        """The value of one instruction, computed once: conditions of the spike are needed before their turn."""
        if number not in self.values:
            step = self.program.instructions[number]
            self.values[number] = self.result(number, step, [self.value(operand) for operand in step.operands])
        return self.values[number]

    def result(self, number: int, step: Instruction, operands: list[Spread | _Decision]) -> Spread | _Decision:
        """The value of one instruction, of its operands."""
        match step.op:
            case Op.PORT | Op.STATE:
                value, error = self.given[step.name]
                return Spread(value, {} if isinstance(error, float) and error == 0.0 else {step.name: 1.0})
            case Op.PARAMETER:
                return Spread.exact(self.parameters[step.name])
            case Op.CONSTANT:
                return Spread.exact(np.asarray(float(step.constants[0])))
            case Op.WHERE:
                return _choice(operands[0], _number(operands[1]), _number(operands[2]), self.errors)
            case Op.AND:
                return _both(*operands)
            case Op.GREATER | Op.GREATER_EQUAL | Op.EQUAL:
                return self.comparison(number, step.op, *map(_number, operands))
            case Op.OR | Op.NOT:
                return Spread.exact(_LOGICAL[step.op](*(_shared(operand).value for operand in operands)))
        return self.arithmetic(step.op, [_number(operand) for operand in operands])

    def comparison(self, number: int, op: Op, a: Spread, b: Spread) -> Spread | _Decision:
        """The outcome, where all share it; else that of the spikes, and the margin."""
        if number in self.deciding and self.spikes is not None:
            apart = Spread(*_sum(a, b, -1.0))  # a comparison does not round
            margin, error = apart.value, np.broadcast_to(apart.error(self.errors), apart.value.shape)
            if not self.conditions:
                return _Decision(self.spikes, margin, error)
            possible = np.logical_and.reduce([_shared(self.value(number)).value for number in self.conditions])
            own = margin > 0 if op is Op.GREATER else margin >= 0
            undecided = ~possible & ~(np.abs(margin) > error)
            return _Decision(np.where(possible, self.spikes, own), margin, error, undecided)
        if not (a.is_exact and b.is_exact):
            if number in self.deciding:
                raise ValueError("the spikes are not given")
            apart = Spread(*_sum(a, b, -1.0))
            margin, error = apart.value, np.broadcast_to(apart.error(self.errors), apart.value.shape)
            outcome, undecided = _LOGICAL[op](a.value, b.value), ~(np.abs(margin) > error)
            if (told := self.asked.get(number)) is not None:
                outcome, undecided = np.where(told.sure, told.outcome, outcome), undecided & ~told.sure
            return _Decision(outcome, margin, error, undecided)
        return Spread.exact(_LOGICAL[op](a.value, b.value))

    def arithmetic(self, op: Op, operands: list[Spread]) -> Spread:
        """A number made of numbers."""
        exact = all(operand.is_exact for operand in operands)
        match op:
            case Op.NEG:
                return Spread(*_scaled(operands[0], -1.0))
            case Op.ABS | Op.MIN | Op.MAX:
                value = _EXTREME[op](*(operand.value for operand in operands))
                return Spread(value, {}, 0.0 if exact else self._largest_error(operands))
            case Op.ADD:
                made = _sum(operands[0], operands[1], 1.0)
            case Op.SUB:
                made = _sum(operands[0], operands[1], -1.0)
            case Op.MUL:
                made = _product(operands[0], operands[1], self.errors)
            case Op.DIV if operands[1].is_exact:
                made = _quotient(operands[0], operands[1].value)
            case Op.EXP:
                return self._exponential(operands[0])
            case Op.MATMUL if operands[0].is_exact:
                return self._matmul(operands[0].value, operands[1])
            case _:
                raise ValueError(f"the rounding error of {op} is not known")
        if exact and self._has_place(made[0]):
            return Spread.exact(made[0])
        return self._rounded(*made)

    def _largest_error(self, operands: list[Spread]) -> Error:
        largest: Error = 0.0
        for operand in operands:
            largest = np.maximum(largest, operand.error(self.errors))
        return largest

    def _rounded(self, value: Array, linear: Linear, radius: Error, roundings: float = 1.0) -> Spread:
        before = Spread(value, linear, radius)
        rounding = roundings * self.u * (np.abs(value) + before.error(self.errors)) + self.tiny
        return Spread(value, linear, radius + rounding)

    def _has_place(self, value: Array) -> bool:
        """Whether no run rounds a result of shared values; in float64 it is the same in all runs."""
        if self.u < _SINGLE:
            return True
        return bool(np.all((value == value.astype(np.float32)) & ((value == 0) | (np.abs(value) >= self.tiny))))

    def _exponential(self, x: Spread) -> Spread:
        """e^(x + d) = e^x (1 + d + ...): the first order is linear; libraries are within two last places."""
        value, error = np.exp(x.value), x.error(self.errors)
        linear = {source: value * sensitivity for source, sensitivity in x.linear.items()}
        beyond = value * (np.expm1(error) - error) + value * np.asarray(x.radius)
        return self._rounded(value, linear, beyond, _ROUNDINGS_OF_EXP)

    def _matmul(self, matrix: Array, x: Spread) -> Spread:
        """n terms, n roundings of their sum; a neuron's error spreads to others, so nothing stays linear."""
        error = np.broadcast_to(x.error(self.errors), x.value.shape)
        sizes = np.matmul(np.abs(x.value) + error, np.abs(matrix).T)
        radius = np.matmul(error, np.abs(matrix).T)
        terms = matrix.shape[-1]
        return Spread(np.matmul(x.value, matrix.T), {}, radius + terms * (self.u * sizes + self.tiny))


_SINGLE = 2.0**-30  # a unit roundoff above this is of float32
_ROUNDINGS_OF_EXP = 4.0  # two units in the last place, each of up to two unit roundoffs
_LOGICAL: dict[Op, Any] = {
    Op.GREATER: np.greater,
    Op.GREATER_EQUAL: np.greater_equal,
    Op.EQUAL: np.equal,
    Op.OR: np.logical_or,
    Op.NOT: np.logical_not,
}
_EXTREME: dict[Op, Any] = {Op.ABS: np.abs, Op.MIN: np.minimum, Op.MAX: np.maximum}


def _number(value: Spread | _Decision) -> Spread:
    if not isinstance(value, Spread):
        raise ValueError("a spike that is taken for a number cannot be bounded")  # noqa: TRY004  # of the program, no type
    return value


def _shared(value: Spread | _Decision) -> Spread:
    if isinstance(value, _Decision) or not value.is_exact:
        raise ValueError("a condition that is made of the spike cannot be bounded")
    return value


def _both(a: Spread | _Decision, b: Spread | _Decision) -> Spread | _Decision:
    """a and b: where the shared one of them does not hold, there is no spike however the other is decided."""
    if isinstance(b, _Decision):
        a, b = b, a
    condition = _shared(b).value
    if isinstance(a, _Decision):
        undecided = None if a.undecided is None else a.undecided & condition
        return _Decision(a.outcome & condition, np.where(condition, a.margin, -np.inf), a.error, undecided)
    return Spread.exact(np.logical_and(_shared(a).value, condition))


def _bounded(
    program: Program, values: list[Spread | _Decision], errors: Mapping[str, Error], past: Mapping[str, Known]
) -> BoundedStep:
    after, sent = [_number(values[number]) for number in program.state], values[program.output]
    decided = None if program.spike is None else values[program.spike]
    if isinstance(sent, _Decision):
        output, output_error = sent.outcome, np.zeros(sent.outcome.shape)
    else:
        output, output_error = sent.value, np.broadcast_to(sent.error(errors), sent.value.shape)
    return BoundedStep(
        state=tuple(spread.value for spread in after),
        state_error=tuple(
            0.0 if spread.is_exact else np.broadcast_to(spread.error(errors), spread.value.shape) for spread in after
        ),
        output=output,
        output_error=output_error,
        margin=decided.margin if isinstance(decided, _Decision) else None,
        margin_error=decided.error if isinstance(decided, _Decision) else None,
        past=past,
    )


def _sum(a: Spread, b: Spread, sign: float) -> tuple[Array, Linear, Error]:
    linear = dict(a.linear)
    for source, sensitivity in b.linear.items():
        linear[source] = linear.get(source, 0.0) + sign * sensitivity
    return a.value + sign * b.value, linear, a.radius + b.radius


def _scaled(a: Spread, factor: Error) -> tuple[Array, Linear, Error]:
    linear = {source: sensitivity * factor for source, sensitivity in a.linear.items()}
    return np.asarray(a.value * factor), linear, a.radius * np.abs(factor)


def _product(a: Spread, b: Spread, errors: Mapping[str, Error]) -> tuple[Array, Linear, Error]:
    """(a + d)(b + e) = ab + a e + b d + d e: the terms of first order are linear."""
    for exact, other in ((a, b), (b, a)):
        if exact.is_exact:
            return _scaled(other, exact.value)
    linear = {source: sensitivity * b.value for source, sensitivity in a.linear.items()}
    for source, sensitivity in b.linear.items():
        linear[source] = linear.get(source, 0.0) + sensitivity * a.value
    radius = np.abs(a.value) * b.radius + np.abs(b.value) * a.radius + a.error(errors) * b.error(errors)
    return a.value * b.value, linear, radius


def _quotient(a: Spread, divisor: Array) -> tuple[Array, Linear, Error]:
    linear = {source: sensitivity / divisor for source, sensitivity in a.linear.items()}
    return a.value / divisor, linear, a.radius / np.abs(divisor)


def _choice(condition: Spread | _Decision, chosen: Spread, otherwise: Spread, errors: Mapping[str, Error]) -> Spread:
    if isinstance(condition, _Decision) and condition.undecided is not None and condition.undecided.any():
        sure = _Decision(condition.outcome, condition.margin, condition.error)
        made, apart = _choice(sure, chosen, otherwise, errors), np.abs(chosen.value - otherwise.value)
        near, far = chosen.error(errors), otherwise.error(errors)
        either = np.where(condition.outcome, np.maximum(near, apart + far), np.maximum(far, apart + near))
        linear = {name: np.where(condition.undecided, 0.0, share) for name, share in made.linear.items()}
        return Spread(made.value, linear, np.where(condition.undecided, either, made.radius))
    z = condition.outcome if isinstance(condition, _Decision) else _shared(condition).value
    if chosen.is_exact and otherwise.is_exact:
        return Spread.exact(np.where(z, chosen.value, otherwise.value))
    sources = {**chosen.linear, **otherwise.linear}
    return Spread(
        np.where(z, chosen.value, otherwise.value),
        {name: np.where(z, chosen.linear.get(name, 0.0), otherwise.linear.get(name, 0.0)) for name in sources},
        np.where(z, chosen.radius, otherwise.radius),
    )
