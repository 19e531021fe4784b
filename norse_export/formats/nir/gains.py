"""The numbers of a .nir file that follow from dt: the one place where reader and writer compute them, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.arrays import FloatArray
from norse_export.ir.schemes import EULER, Scheme
from norse_export.ir.schemes import coefficient as step_coefficient

# How the metadata names the w_in with which an input is added as it is.
UNIT_W_IN: dict[Scheme, str] = {"euler": "tau_syn/dt", "exponential": "1/(1-exp(-dt/tau_syn))"}


def unit_w_in(tau_syn: FloatArray, dt: float, scheme: Scheme = EULER) -> NDArray[np.float64]:
    """The w_in with which a step adds an input to the current as it is: tau_syn/dt under forward Euler."""
    with np.errstate(over="ignore"):  # what is not finite is refused where the file is written
        if scheme == EULER:
            return tau_syn.astype(np.float64) / dt
        return np.asarray(1.0 / step_coefficient(dt, tau_syn, scheme))


def unit_rate(dt: float) -> NDArray[np.float64]:
    """The r with which an Euler step of an IF adds an input to v as it is: 1/dt, in 1/s. One number."""
    return np.asarray(1.0 / dt, np.float64)


def coefficient(tau: FloatArray, dt: float, dtype: str, scheme: Scheme = EULER) -> FloatArray:
    """dt/tau, or 1 - exp(-dt/tau), in float64, rounded once to the population's float type; 0 where tau is infinite."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):  # populations refuse what is not below 2
        return step_coefficient(dt, tau, scheme).astype(dtype)
