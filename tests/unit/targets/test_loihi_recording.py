"""The law `lava` against the trace of a real Loihi 2 chip: one neuron, 1000 steps, in every membrane value."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from norse_export.targets.loihi import emulate

# What the trace was recorded with; recordings/README.md says where each number comes from.
LAYER = {"W": [[10]], "du": 4095, "dv": 163, "vth": 25, "sign_mode": "excitatory"}
SPIKE_CODE = 128  # what the chip's probe reads where a neuron spiked; no potential


def trace(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input spikes, v and output spikes, [T] each."""
    x, v, s = np.loadtxt(shared / "recordings" / "nir_paper" / name, delimiter=",").T.astype(np.int64)
    return x, v, s


def test_the_law_is_the_chips_in_every_spike_and_potential(shared: Path) -> None:
    x, v, s = trace(shared, "lif_lava_loihi_fixed.csv")
    (states,) = emulate([LAYER], x[:, np.newaxis])
    assert np.array_equal(states["s"][:, 0], s)
    assert np.flatnonzero(s).tolist() == [461, 511, 711, 761]
    assert np.array_equal(states["v"][s == 0, 0], v[s == 0])
    assert v[s == 1].tolist() == [SPIKE_CODE] * 4
    assert states["v"][s == 1, 0].tolist() == [0] * 4


def test_the_law_is_lavas_own_trace(shared: Path) -> None:
    x, v, s = trace(shared, "lif_lava_cpu_fixed.csv")
    (states,) = emulate([LAYER], x[:, np.newaxis])
    assert np.array_equal(states["s"][:, 0], s)
    assert np.array_equal(states["v"][:, 0], v)
