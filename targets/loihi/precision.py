"""How many bits a weight has: precision modes, and the arrays of 8-bit synapses that make up the weights of each.

| mode | arrays | weights | where netx leaves off |
|---|---|---|---|
| even8 | one, mixed | even, -256 to 254, or all of -128 to 127 | |
| split | excitatory and inhibitory | -255 to 255 | the second array |
| stacked | coarse as even8, and fine in parts of 64 | about 14 bits | the second array |

Weights of one sign need no second array in mode split. The sum of the fine array is shifted by the chip, floor, before
it is added to that of the coarse one. netx connects one array to a population: the second stands beside it in the file
(additions.py), and run_on_loihi.py connects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .law import IntArray, SignMode
from .limits import MIXED_MAX, MIXED_MIN, ONE_SIGN_MAX
from .weights import largest_scale, whole

Floats = NDArray[np.float64]
FINE_EXP = -7  # fine weights are even: steps of 1 / 64


class Precision(StrEnum):
    """A mode; the first one is the default."""

    EVEN8 = "even8"
    SPLIT = "split"
    STACKED = "stacked"

    @property
    def bits(self) -> int:
        """Bits of a mixed weight, its sign included."""
        return {"even8": 8, "split": 9, "stacked": 14}[self]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One array of whole weights; each counts 2^exponent."""

    weight: IntArray
    exponent: int = 0

    @property
    def sign_mode(self) -> SignMode:
        """The mode that synapses of a second array are given."""
        return SignMode.MIXED if self.exponent else SignMode.INHIBITORY


def fitting_scale(values: Floats, precision: Precision) -> float:
    """The weight that an integer 1 stands for, where the largest weight just fits; 0 for weights that are all 0."""
    if precision is Precision.SPLIT:
        return float(np.abs(values).max(initial=0.0)) / ONE_SIGN_MAX
    return largest_scale(values)


def first_of(values: Floats, scale: float, precision: Precision) -> IntArray:
    """The array that netx connects, before what netx does to it; see `weights.settled`."""
    if precision is Precision.SPLIT and values.max(initial=0.0) > 0:
        near = np.clip(np.rint(values / scale), 0, ONE_SIGN_MAX).astype(np.int64)
        if near.any():
            return near
    return whole(values, scale)


def parts_of(
    values: Floats, scale: float, precision: Precision, first: IntArray, active: float | None = None
) -> tuple[Part, ...]:
    """All arrays for weights in whole numbers of scale: the first one, and what it leaves to a second.

    active: how many sources of a neuron spike together, in the mean of the steps in which any does. The floor of a fine
    sum takes half a scale off it, on average: so much is added to it, evenly spread over the weights of those sources.
    """
    match precision:
        case Precision.EVEN8:
            return (Part(first),)
        case Precision.SPLIT:
            rest = np.minimum(np.clip(np.rint(values / scale), -ONE_SIGN_MAX, None) - first, 0)
            second = Part(rest.astype(np.int64))
        case Precision.STACKED:
            added = 0.0 if active is None else 0.5 / active
            rest = 2 * np.rint((values / scale - first + added) * 2.0 ** (-FINE_EXP - 1))
            second = Part(np.clip(rest, MIXED_MIN, MIXED_MAX).astype(np.int64), FINE_EXP)
    return (Part(first), second) if second.weight.any() else (Part(first),)


def in_all(parts: tuple[Part, ...]) -> Floats:
    """What the arrays together stand for, in scales."""
    total: Any = sum(part.weight * 2.0**part.exponent for part in parts)
    return np.asarray(total, np.float64)
