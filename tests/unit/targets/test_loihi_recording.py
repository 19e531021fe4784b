"""The law `lava` against the trace of a real Loihi 2 chip: one neuron, 1000 steps, in every membrane value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from net_files import NEURON, dense, write_net

import norse_export
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


# The same through `parity`: a net with the constants of the recording, and the trace as it was published


@pytest.fixture
def recorded_net(tmp_path: Path) -> Path:
    neuron = dict(NEURON, iDecay=4096, vDecay=163, vThMant=25)
    return write_net(tmp_path / "recorded.net", [dense([[10.0]], neuron=neuron)])


@pytest.mark.parametrize("name", ["lif_lava_loihi_fixed.csv", "lif_lava_cpu_fixed.csv"])
def test_parity_takes_the_trace_of_a_chip(name: str, recorded_net: Path, shared: Path) -> None:
    """1000 of 1000 spikes, and all membrane values but the four that are codes of the chip's probe."""
    result = norse_export.parity(recorded_net, shared / "recordings" / "nir_paper" / name)
    assert result.error is None
    (comparison,) = result.parity
    assert (comparison.steps, comparison.spikes, comparison.equal, comparison.vacuous) == (1000, 4, True, False)
    assert any("a chip's probe reads a code there" in finding.message for finding in result.findings)


def archived(shared: Path, **names: str) -> dict[str, Any]:
    x, v, s = trace(shared, "lif_lava_loihi_fixed.csv")
    return {names.get(name, name): values for name, values in {"input": x, "v": v, "spikes": s}.items()}


@pytest.mark.parametrize("names", [{}, {"v": "v.0", "spikes": "spikes.0"}], ids=["one layer", "by layer"])
def test_parity_takes_the_trace_as_an_archive(
    names: dict[str, str], recorded_net: Path, shared: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "t.npz", **archived(shared, **names))
    result = norse_export.parity(recorded_net, tmp_path / "t.npz")
    assert result.error is None
    assert result.parity[0].spikes == 4


@pytest.mark.parametrize(("name", "step"), [("v", 470), ("spikes", 600)])
def test_one_other_value_in_a_trace_is_found(
    name: str, step: int, recorded_net: Path, shared: Path, tmp_path: Path
) -> None:
    given = archived(shared)
    given[name][step] += 1
    np.savez(tmp_path / "t.npz", **given)
    result = norse_export.parity(recorded_net, tmp_path / "t.npz")
    assert result.error is not None
    assert result.error.exit_code == 1
    first = result.parity[0].first_divergence
    assert first is not None
    assert first.step == step
