"""Every family that Loihi takes: the numbers of the exported network are those of a scalar oracle, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bulk import numbers
from family_chip_nets import LOIHI, net, raster
from loihi_oracle import lava

from norse_export.interpret.fixed import emulate
from norse_export.passes.plans import QuantiseChoice
from norse_export.program.program import Family
from norse_export.targets.loihi.chain import Chain, chain_of
from norse_export.targets.loihi.target import LoihiTarget

SEEDS = 6


@pytest.mark.parametrize("seed", numbers(SEEDS, shown=1))
@pytest.mark.parametrize("made", LOIHI, ids=lambda made: made.name)
def test_the_numbers_of_a_family_are_the_oracle_s(made: Family, seed: int) -> None:
    generator = np.random.default_rng(seed)
    graph = net(made, loop=float(generator.uniform(0.05, 0.4)), v_leak=float(generator.uniform(-0.1, 0.1)))
    fixed = LoihiTarget().lower(graph, QuantiseChoice(search=False), raster(seed), ranges=None).graph  # any scales do
    chain, findings = chain_of(fixed)
    assert chain is not None, findings
    run = emulate(fixed, raster(seed), states=True)
    fired = False
    for layer, expected in zip(chain.layers, lava(list(described(chain)), raster(seed)["input"][:, 0]), strict=True):
        for key in ("u", "v"):
            assert np.array_equal(run.observables[layer.name][key][:, 0], expected[key]), (layer.name, key)
        spikes = run.spikes[layer.name][:, 0]
        assert np.array_equal(spikes, np.asarray(expected["s"]).astype(bool)), layer.name
        fired = fired or bool(spikes.any())
    assert fired


def described(chain: Chain) -> Iterator[dict[str, Any]]:
    """The layers as Lava is given them."""
    for layer in chain.layers:
        p = {name: values.reshape(-1) for name, values in layer.population.parameters.items()}
        given: dict[str, Any] = {"syn": "dense", "neuron": "LIF"}
        given |= {"du": int(4095 - p["u_keep"][0]), "dv": int(4096 - p["v_keep"][0])}
        given |= {"vth": p["v_th"] >> 6, "bias_mant": p["bias"] >> 6, "bias_exp": np.full(len(p["bias"]), 6)}
        given |= {"u0": layer.population.initial_state["u"], "v0": layer.population.initial_state["v"]}
        matrices = {"W": layer.synapses.weight.astype(np.int64)}
        if layer.recurrent is not None:
            matrices["R"] = layer.recurrent.weight.astype(np.int64)
        mixed = any(matrix.min() < 0 < matrix.max() for matrix in matrices.values())
        odd = mixed and any(np.any(matrix & 1) for matrix in matrices.values())
        assert not odd or all(np.abs(matrix).max() <= 128 for matrix in matrices.values())
        # Mixed weights lose their last bit: small odd ones are given twice as large, and their sum is halved.
        yield given | {key: matrix * (1 + odd) for key, matrix in matrices.items()} | {"weight_exp": -int(odd)}
