"""What a run did, counted: the numbers of which reports and energy estimates are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Counts over all samples of a run.

    synaptic_operations: of each projection, how many weights were added (events times their fan-out). neuron_updates:
    of each population. sent: of each input and each spiking population, how many events it sent in each step [T].
    overflows: of each population, by number of the program's instruction, how many values a `saturate`, `wrap` or
    `wrap_once` changed; nothing where provably none ever does. saturated: of each port in which sums saturate, how many
    sums were larger than the largest, by (population, port).
    """

    synaptic_operations: Mapping[str, int]
    neuron_updates: Mapping[str, int]
    sent: Mapping[str, NDArray[np.int64]]
    overflows: Mapping[str, Mapping[int, int]]
    saturated: Mapping[tuple[str, str], int]
