"""The numbers of a .nir file that follow from dt: the one place where reader and writer compute them, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.arrays import FloatArray


def unit_w_in(tau_syn: FloatArray, dt: float) -> NDArray[np.float64]:
    """The w_in with which an Euler step adds an input to the current as it is: tau_syn/dt."""
    with np.errstate(over="ignore"):  # what is not finite is refused where the file is written
        return tau_syn.astype(np.float64) / dt


def unit_rate(dt: float) -> NDArray[np.float64]:
    """The r with which an Euler step of an IF adds an input to v as it is: 1/dt, in 1/s. One number."""
    return np.asarray(1.0 / dt, np.float64)


def coefficient(tau: FloatArray, dt: float, dtype: str) -> FloatArray:
    """dt/tau, divided in float64 and rounded once to the float type of the population; 0 where tau is infinite."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):  # populations refuse what is not below 2
        quotient: FloatArray = (dt / tau.astype(np.float64)).astype(dtype)
    return quotient
