"""ONNX of whole numbers: random fixed nets, in standard operators, are the emulator's bit for bit.

That models are read back, and that one step and a Scan agree, is seen in tests/unit/targets/test_onnx_target.py: here
the Scan model alone runs, so that many nets can.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bulk import numbers
from random_fixed_nets import FixedNet, random_fixed_net

from norse_export.formats.onnx.files import SCAN, models_of
from norse_export.formats.onnx.write import write_models
from norse_export.interpret.fixed import emulate
from norse_export.ir.run import Run
from norse_export.targets.onnx.runner import run_models, runner_for

CHUNKS, TOGETHER = 50, 10
OTHERS = 300_000  # seeds that no other test has


def ran(net: FixedNet, folder: Path) -> Run:
    """The net as a Scan model of ONNX, run on onnxruntime with every state recorded."""
    step, models = models_of(net.graph, opset=18)
    write_models(folder, {SCAN: models[SCAN]})
    rasters = {name: raster.astype(step.inputs[name].dtype) for name, raster in net.inputs.items()}
    return run_models(folder / SCAN, step, rasters, runner_for(0), states=True)


def assert_same_bits(expected: Run, actual: Run) -> None:
    """Spikes, outputs, last states, and what was observed after every step."""
    pairs = [(expected.spikes, actual.spikes), (expected.outputs, actual.outputs)]
    for one, other in ((expected.final_state, actual.final_state), (expected.observables, actual.observables)):
        pairs += [(values, other[name]) for name, values in one.items()]
    for one, other in pairs:
        assert set(one) == set(other)
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.parametrize("chunk", numbers(CHUNKS, shown=1))
def test_random_nets_of_whole_numbers_are_the_emulators_bit_for_bit(chunk: int, tmp_path: Path) -> None:
    fired = 0
    for seed in range(OTHERS + TOGETHER * chunk, OTHERS + TOGETHER * (chunk + 1)):
        net, folder = random_fixed_net(seed), tmp_path / str(seed)
        folder.mkdir()
        expected = emulate(net.graph, net.inputs, states=True)
        assert_same_bits(expected, ran(net, folder))
        fired += any(spikes.any() for spikes in expected.spikes.values())
    assert fired >= TOGETHER // 3
