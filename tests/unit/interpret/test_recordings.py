"""The interpreter against what Norse itself recorded, years ago, on another machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_nets import chain

from norse_export.interpret import interpret
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import LIF
from norse_export.passes.discretise import discretise

F = np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_recorded_lif_of_norse_is_reproduced(shared: Path, dtype: str) -> None:
    """Affine(1) -> LIF(tau 2.5 ms, v_th 0.1), dt 0.1 ms: every spike, and v within 1e-6, of 1000 steps."""
    path = shared / "recordings" / "nir_paper" / "lif_norse.csv"
    x, v, z = np.loadtxt(path, delimiter=",", dtype=F).T
    lif = LIF(shape=(1,), dt=1e-4, tau_mem=np.float64(2.5e-3), v_leak=F(0), v_th=F(0.1), v_reset=F(0))
    net = discretise(chain((1,), Linear(np.ones((1, 1), F), np.zeros(1, F)), lif))
    run = interpret(net, {"input": x.reshape(-1, 1, 1)}, dtype=dtype, states=True)
    assert len(x) == 1000
    assert 0 < z.sum() < 1000
    np.testing.assert_array_equal(run.spikes["1"].ravel(), z != 0)
    np.testing.assert_allclose(run.observables["1"]["v"].ravel(), v, rtol=0, atol=1e-6)
