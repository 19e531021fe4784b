"""Norse's memory task as spikes: one bit is stored, others pass by, and then it is recalled.

A sequence is a row of periods. In each of them one of two bits is shown; in one of the first half the command STORE is
given with it, and in one of the second half the command RECALL, with no bit: the answer is the bit of the STORE.

Source: norse 1.1.0, `norse.dataset.memory`, after G. Bellec et al., "Long short-term memory and learning-to-learn in
networks of spiking neurons", 2018, arXiv:1803.09574.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from norse.dataset.memory import MemoryStoreRecallDataset
from torch import Tensor

PERIODS = 6
PERIOD_STEPS = 20  # of 1 ms
POPULATION = 5  # neurons for each of: bit 0, bit 1, STORE, RECALL
INPUTS = 4 * POPULATION
SPIKE_RATE = 200  # Hz, of a bit that is shown; commands have half of it


@dataclass(frozen=True, slots=True)
class Sequences:
    """Rasters [T, B, 20] of zeros and ones, the period of RECALL in each [B], and the bit to recall [B]."""

    raster: Tensor
    recall: Tensor
    bits: Tensor

    def of(self, chosen: Tensor) -> Sequences:
        """Those of the given numbers."""
        return Sequences(self.raster[:, chosen], self.recall[chosen], self.bits[chosen])


def sequences(count: int, *, seed: int, periods: int = PERIODS) -> Sequences:
    """So many random sequences; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = MemoryStoreRecallDataset(
            count,
            seq_length=PERIOD_STEPS,
            seq_periods=periods,
            seq_repetitions=1,
            population_size=POPULATION,
            poisson_rate=SPIKE_RATE,
        )
        rasters, answers = zip(*(drawn[number] for number in range(count)), strict=True)
    answer = torch.stack(answers).long()  # [B, periods, 2]: one-hot in the period of RECALL, else zeros
    return Sequences(torch.stack(rasters, 1).float(), answer.sum(2).argmax(1), answer.sum(1).argmax(1))


def by_period(outputs: Tensor) -> Tensor:
    """The mean of the readout [T, B, 2] in each period, [periods, B, 2]."""
    return outputs.unflatten(0, (-1, PERIOD_STEPS)).mean(1)


def recalled(outputs: Tensor, recall: Tensor) -> Tensor:
    """The readout [T, B, 2] in the period of RECALL, [B, 2]: the bit is the larger of the two."""
    return by_period(outputs)[recall, torch.arange(outputs.shape[1])]


def asked(raster: Tensor) -> Sequences:
    """The sequences of a raster [T, B, 20], with what they ask for: it can be read off their spikes."""
    bit_0, bit_1, store, recall = by_period(raster.float()).unflatten(2, (4, POPULATION)).sum(3).unbind(2)
    everyone = torch.arange(raster.shape[1])
    stored_in = store.argmax(0)
    return Sequences(raster, recall.argmax(0), (bit_1 > bit_0)[stored_in, everyone].long())
