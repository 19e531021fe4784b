"""A delay of each cell in seconds: of the continuous graph; in the discrete one, delays stand on edges, in steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, checked, first_true
from norse_export.ir.graph import Shape
from norse_export.ir.neurons import SAME_DT
from norse_export.ir.shapes import KeepsShape, OnePort, check_dt, check_shape

MAX_STEPS = 2**31 - 1  # of a delay


@dataclass(frozen=True, slots=True, eq=False)
class Delay(OnePort, KeepsShape):
    """y(t) = x(t - delay), cell by cell; before that, zeros. Source: nir.Delay.

    delay: seconds, [*shape], whole numbers of steps up to the rounding of its dtype. least_steps: what a shorter delay
    is made to last: 1 where a loop closes through the node and nothing else in it takes time.
    """

    delay: FloatArray
    dt: float
    least_steps: int = 0

    def __post_init__(self) -> None:
        check_dt(self.dt, "Delay")
        object.__setattr__(self, "delay", checked(self.delay, where="Delay", field="delay"))
        check_shape(self.shape, "Delay")
        whole_steps(self.delay, self.dt)
        if self.least_steps < 0:
            message = f"least_steps = {self.least_steps}"
            raise GraphError(message, where="Delay", fix="give a number of steps, 0 or more", kind="delay")

    @property
    def shape(self) -> Shape:  # type: ignore[override]  # a property where the mixin has a field
        """One value for each cell."""
        return self.delay.shape

    @property
    def steps(self) -> NDArray[np.int64]:
        """The delays in steps, [*shape]."""
        return np.maximum(whole_steps(self.delay, self.dt), self.least_steps)

    @property
    def waits(self) -> bool:
        """Whether every cell takes a step or more, so that a loop may close through the node."""
        return bool(self.steps.min() > 0)


def whole_steps(delay: NDArray[np.floating], dt: float) -> NDArray[np.int64]:
    """Give delays in seconds as numbers of steps.

    Raises:
        GraphError: one is negative, too long, or no whole number of steps, beyond the rounding of its dtype.
    """
    steps = delay.astype(np.float64) / dt
    whole = np.rint(steps)
    apart = np.abs(steps - whole) > whole * (float(np.finfo(delay.dtype).eps) + SAME_DT)
    if (index := first_true(apart | (whole > MAX_STEPS) | (delay < 0))) is None:
        return whole.astype(np.int64)
    value = float(delay[index])
    fix = f"give multiples of dt, such as {float(whole[index]) * dt:g} s, or choose a dt that divides the delays"
    if value < 0 or steps[index] > MAX_STEPS:
        fix = f"give a delay of 0 to {MAX_STEPS} steps, in seconds"
    message = f"delay{list(index)} = {value:g} s is {steps[index]:.10g} steps of dt = {dt:g} s"
    raise GraphError(message, where="Delay", fix=fix, kind="delay")
