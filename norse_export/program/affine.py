"""A step evaluated with a first-order bound of its rounding error: affine arithmetic over a straight-line program.

A `Spread` is a real value with what another computation of it may be off by: linear parts, one for each uncertain
source (a state variable, an input port), and a radius for everything else. Linear parts cancel as they do in the real
computation, so the leak damps an error as it damps the state; a radius never cancels.

Source: L. de Figueiredo, J. Stolfi, Affine arithmetic: concepts and applications, Numerical Algorithms 37, 2004; with
every operation's rounding bounded by u |result| (N. Higham, Accuracy and Stability, section 2.2).
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


@dataclass(frozen=True, slots=True)
class Spread:
    """value: float64. linear: source -> sensitivity to it. radius: bound of all other error; None where it is exact."""

    value: Array
    linear: Mapping[str, Array | float]
    radius: Array | float = 0.0

    @classmethod
    def exact(cls, value: Array) -> Spread:
        """A value that every computation shares."""
        return cls(value, {})

    def total(self, errors: Mapping[str, Array | float]) -> Array:
        """Bound of the error, when each source is off by up to `errors[source]`."""
        total = np.zeros_like(self.value) + self.radius
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


def bounded_step(
    program: Program,
    ports: Mapping[str, tuple[Array, Array | float]],
    state: Mapping[str, tuple[Array, Array | float]],
    parameters: Mapping[str, Array],
    spikes: Array | None,
    u: float,
) -> BoundedStep:
    """Evaluate one step in float64, forced to take `spikes`, and bound how far a run with unit roundoff u may be.

    ports and state: each a value and the bound of its error. spikes: bool, None for a family that does not spike.
    """
    given: dict[str, tuple[Array, Array | float]] = {**ports, **state}
    errors = {name: error for name, (_, error) in given.items()}
    values: list[Spread] = []
    margin: Spread | None = None
    for number, step in enumerate(program.instructions):
        operands = [values[operand] for operand in step.operands]
        match step.op:
            case Op.PORT | Op.STATE:
                result = Spread(given[step.name][0], {step.name: 1.0})
            case Op.PARAMETER:
                result = Spread.exact(parameters[step.name])
            case Op.ADD:
                result = _sum(operands[0], operands[1], 1.0, u)
            case Op.SUB:
                result = _sum(operands[0], operands[1], -1.0, u)
            case Op.MUL:
                result = _product(operands[0], operands[1], errors, u)
            case Op.GREATER:
                if number != program.spike or spikes is None:
                    raise ValueError("a comparison that is not the spike cannot be bounded")
                margin = _sum(operands[0], operands[1], -1.0, 0.0)
                result = Spread.exact(spikes)
            case Op.WHERE:
                result = _choice(*operands)
        values.append(result)
    after = [values[number] for number in program.state]
    output = values[program.output]
    return BoundedStep(
        state=tuple(spread.value for spread in after),
        state_error=tuple(spread.total(errors) for spread in after),
        output=output.value,
        output_error=output.total(errors),
        margin=None if margin is None else margin.value,
        margin_error=None if margin is None else margin.total(errors),
    )


def _sum(a: Spread, b: Spread, sign: float, u: float) -> Spread:
    value = a.value + sign * b.value
    linear = dict(a.linear)
    for source, sensitivity in b.linear.items():
        linear[source] = linear.get(source, 0.0) + sign * sensitivity
    return Spread(value, linear, a.radius + b.radius + u * np.abs(value))


def _product(a: Spread, b: Spread, errors: Mapping[str, Array | float], u: float) -> Spread:
    value = a.value * b.value
    own = u * np.abs(value)
    for exact, other in ((a, b), (b, a)):
        if not exact.linear and not np.any(exact.radius):
            linear = {source: sensitivity * exact.value for source, sensitivity in other.linear.items()}
            return Spread(value, linear, np.abs(exact.value) * other.radius + own)
    error_a, error_b = a.total(errors), b.total(errors)
    return Spread(value, {}, np.abs(a.value) * error_b + np.abs(b.value) * error_a + error_a * error_b + own)


def _choice(condition: Spread, chosen: Spread, otherwise: Spread) -> Spread:
    z = condition.value
    sources = {**chosen.linear, **otherwise.linear}
    return Spread(
        np.where(z, chosen.value, otherwise.value),
        {name: np.where(z, chosen.linear.get(name, 0.0), otherwise.linear.get(name, 0.0)) for name in sources},
        np.where(z, chosen.radius, otherwise.radius),
    )
