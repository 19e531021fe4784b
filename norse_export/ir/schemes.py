"""Schemes: how the coefficient of a step follows from dt and a time constant.

An equation tau dy/dt = y_inf - y becomes y + c (y_inf - y), with y_inf what arrives in the step. Two choices of c:

- "euler": c = dt/tau, forward Euler, which Norse, snnTorch and SpikingJelly compute.
- "exponential": c = 1 - exp(-dt/tau): the exact solution after dt while y_inf stays what it is. So it is exact for a
  membrane or a synapse whose input is constant within a step. The membrane of a population with a synapse takes its
  current as constant within the step, too (the one that `order` says), although it decays: that is exponential Euler,
  and not the exact solution of both equations together.

Both are the same step with other coefficients, and the same where nothing leaks. Source of both and of what is exact:
S. Rotter, M. Diesmann, Biological Cybernetics 81 (1999) 381-402, section 3; sinabs computes exp(-1/tau)
(sinabs/layers/lif.py).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["euler", "exponential"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
EULER: Scheme = "euler"


def coefficient(dt: float, tau: Any, scheme: Scheme) -> NDArray[np.float64]:
    """The coefficient c in float64, of the shape of tau; dt and tau in seconds. 0 where tau is infinite."""
    ratio: NDArray[np.float64] = np.float64(dt) / np.asarray(tau, np.float64)
    return ratio if scheme == EULER else -np.expm1(-ratio)
