"""What a run did, counted: the numbers of which reports and energy estimates are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """Counts over all samples of a run.

    synaptic_operations: of each projection, how many weights were added (events times their fan-out). neuron_updates:
    of each population. sent: of each input and each spiking population, how many events it sent in each step [T].
    overflows: of each population, by number of the program's instruction, how many values a `saturate`, `wrap` or
    `wrap_once` changed; without those that provably change none. saturated: of each port in which sums saturate, how
    many sums were larger than the largest, by (population, port).
    """

    synaptic_operations: Mapping[str, int]
    neuron_updates: Mapping[str, int]
    sent: Mapping[str, NDArray[np.int64]]
    overflows: Mapping[str, Mapping[int, int]]
    saturated: Mapping[tuple[str, str], int]


class Counters:
    """Memory for the counts of one thread, by kind and name; the kernels add to it."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}

    def address(self, kind: str, name: str, size: int) -> int:
        """Address of `size` counters."""
        array = self._arrays.setdefault((kind, name), np.zeros(size, np.int64))
        return int(array.ctypes.data)

    def of(self, kind: str) -> dict[str, NDArray[Any]]:
        """The counters of one kind by name."""
        return {name: array for (held, name), array in self._arrays.items() if held == kind}


def total(counters: list[Counters], kind: str) -> dict[str, NDArray[np.int64]]:
    """The counters of one kind, summed over threads."""
    each = [held.of(kind) for held in counters]
    return {name: np.sum([held[name] for held in each], axis=0) for name in each[0]}
