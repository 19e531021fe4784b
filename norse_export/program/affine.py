"""A step evaluated with a bound of its rounding error: affine arithmetic over a straight-line program.

A `Spread` is a real value with what another computation of it may be off by: linear parts, one for each uncertain
source (a state variable, an input port), and a radius for everything else. Linear parts cancel as they do in the real
computation, so the leak damps an error as it damps the state; a radius never cancels.

Every operation rounds by at most u |result| + tiny, the result being that of the operands as the other computation has
them: u (|value| + error), with the error before rounding. `tiny` is what a result below the normal range may lose,
whether it is rounded to a subnormal number or flushed to zero.

Source: L. de Figueiredo, J. Stolfi, Affine arithmetic: concepts and applications, Numerical Algorithms 37, 2004; the
model of rounding is that of N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.program.operations import Op
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
    """State and output after a step, each with its error bound; `margin` is threshold quantity minus threshold."""

    state: tuple[Array, ...]
    state_error: tuple[Array, ...]
    output: Array
    output_error: Array
    margin: Array | None
    margin_error: Array | None


@dataclass(frozen=True, slots=True)
class _Rounding:
    """How far each operation of the other computation may round, and how far its sources may be off."""

    u: float
    tiny: float
    errors: Mapping[str, Error]

    def rounded(self, value: Array, linear: Linear, radius: Error) -> Spread:
        before = Spread(value, linear, radius)
        return Spread(value, linear, radius + (self.u * (np.abs(value) + before.error(self.errors)) + self.tiny))


def bounded_step(
    program: Program,
    ports: Mapping[str, tuple[Array, Error]],
    state: Mapping[str, tuple[Array, Error]],
    parameters: Mapping[str, Array],
    spikes: Array | None,
    u: float,
    tiny: float = 0.0,
) -> BoundedStep:
    """Evaluate one step in float64, forced to take `spikes`, and bound how far a run with unit roundoff u may be.

    ports and state: each a value and the bound of its error; an error of exactly 0.0 is a value that all share.
    spikes: bool, None for a family that does not spike. tiny: the smallest normal number of that run's float type.

    Raises:
        ValueError: the program compares values elsewhere than at its threshold, or has an operation on integers.
    """
    given = {**ports, **state}
    rounding = _Rounding(u, tiny, {name: error for name, (_, error) in given.items()})
    values: list[Spread] = []
    margin: Spread | None = None
    for number, step in enumerate(program.instructions):
        operands = [values[operand] for operand in step.operands]
        match step.op:
            case Op.PORT | Op.STATE:
                value, error = given[step.name]
                shared = isinstance(error, float) and error == 0.0
                result = Spread(value, {} if shared else {step.name: 1.0})
            case Op.PARAMETER:
                result = Spread.exact(parameters[step.name])
            case Op.ADD:
                result = rounding.rounded(*_sum(operands[0], operands[1], 1.0))
            case Op.SUB:
                result = rounding.rounded(*_sum(operands[0], operands[1], -1.0))
            case Op.MUL:
                result = rounding.rounded(*_product(operands[0], operands[1], rounding.errors))
            case Op.GREATER:
                if number != program.spike or spikes is None:
                    raise ValueError("a comparison that is not the spike cannot be bounded")
                margin = Spread(*_sum(operands[0], operands[1], -1.0))  # a comparison does not round
                result = Spread.exact(spikes)
            case Op.WHERE:
                result = _choice(*operands)
            case _:
                raise ValueError(f"the rounding error of {step.op} is not known")
        values.append(result)
    return _bounded(program, values, margin, rounding.errors)


def _bounded(program: Program, values: list[Spread], margin: Spread | None, errors: Mapping[str, Error]) -> BoundedStep:
    def error(spread: Spread) -> Array:
        return np.broadcast_to(spread.error(errors), spread.value.shape)

    after, output = [values[number] for number in program.state], values[program.output]
    return BoundedStep(
        state=tuple(spread.value for spread in after),
        state_error=tuple(map(error, after)),
        output=output.value,
        output_error=error(output),
        margin=None if margin is None else margin.value,
        margin_error=None if margin is None else error(margin),
    )


def _sum(a: Spread, b: Spread, sign: float) -> tuple[Array, Linear, Error]:
    linear = dict(a.linear)
    for source, sensitivity in b.linear.items():
        linear[source] = linear.get(source, 0.0) + sign * sensitivity
    return a.value + sign * b.value, linear, a.radius + b.radius


def _product(a: Spread, b: Spread, errors: Mapping[str, Error]) -> tuple[Array, Linear, Error]:
    value = a.value * b.value
    for exact, other in ((a, b), (b, a)):
        if exact.is_exact:
            linear = {source: sensitivity * exact.value for source, sensitivity in other.linear.items()}
            return value, linear, np.abs(exact.value) * other.radius
    error_a, error_b = a.error(errors), b.error(errors)
    return value, {}, np.abs(a.value) * error_b + np.abs(b.value) * error_a + error_a * error_b


def _choice(condition: Spread, chosen: Spread, otherwise: Spread) -> Spread:
    z = condition.value
    sources = {**chosen.linear, **otherwise.linear}
    return Spread(
        np.where(z, chosen.value, otherwise.value),
        {name: np.where(z, chosen.linear.get(name, 0.0), otherwise.linear.get(name, 0.0)) for name in sources},
        np.where(z, chosen.radius, otherwise.radius),
    )
