"""Time constants from which the chip derives the decays nearest to those wanted: what it derives is looked up.

All raw in s16.15, for a step of 1 ms; decays of membranes in s16.15, those of currents in u0.32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .derive import ONE, UNIT_BITS, IntArray, divided, expk, expulr

LARGEST = 2**31 - 1  # raw, of a parameter
MOST_SYNAPTIC = ONE << 15  # tau_syn = 32768 dt: beyond, dt / tau_syn is 0, and so is the decay (expulr(0))
_LEAST_TIME = ONE // 11  # a time constant with which both decays are 0: derive.EXP_LEAST


def each(rule: Callable[[Any], int], values: Any) -> IntArray:
    """The rule for each value; equal ones are looked up once."""
    kinds, place = np.unique(np.asarray(values), return_inverse=True)
    return np.array([rule(kind) for kind in kinds.tolist()], np.int64)[place].reshape(np.shape(values))


@cache
def kept(tau_m: int) -> int:
    """What a step leaves of a membrane."""
    return expk(-divided(ONE, tau_m))


@cache
def decay(tau_syn: int) -> int:
    """What a step leaves of a current."""
    return expulr(-divided(ONE, tau_syn))


@cache
def initial(tau_syn: int) -> int:
    """What an arriving weight is multiplied by."""
    mask = (1 << UNIT_BITS) - 1
    return (divided(tau_syn, ONE) * (mask - decay(tau_syn)) >> 15) & mask


def membrane_time(keep: float) -> int:
    """The time constant with which a step leaves about that part of a membrane."""
    return _nearest(kept, keep * ONE, LARGEST)


def synaptic_time(keep: float) -> int:
    """The time constant with which a step leaves about that part of a current."""
    return _nearest(decay, keep * 2**UNIT_BITS, MOST_SYNAPTIC)


def least_membrane_time(exp_tc: int) -> int:
    """The least time constant that gives what is kept."""
    return _least(kept, exp_tc, LARGEST)


def least_synaptic_time(wanted: int) -> int:
    """The least time constant that gives the decay."""
    return _least(decay, wanted, MOST_SYNAPTIC)


def _nearest(rule: Callable[[int], int], wanted: float, most: int) -> int:
    """The least time constant that gives the number nearest to the one that is wanted."""
    above = _least(rule, wanted, most)
    below = max(above - 1, _LEAST_TIME)
    return above if abs(rule(above) - wanted) <= abs(rule(below) - wanted) else _least(rule, rule(below), most)


def _least(rule: Callable[[int], int], wanted: float, most: int) -> int:
    """The least time constant for which a rule that rises with it gives at least what is wanted, or the most."""
    low, high = _LEAST_TIME, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if rule(middle) >= wanted else (middle + 1, high)
    return low
