"""ONNX of whole numbers: random fixed nets, in standard operators, are the emulator's bit for bit.

That models are read back, and that one step and a Scan agree, is seen in tests/unit/targets/test_onnx_target.py: here
the Scan model alone runs, so that many nets can.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bulk import numbers
from numpy.typing import NDArray
from random_fixed_nets import FixedNet, random_fixed_net

from norse_export.formats.onnx.evaluator import Session
from norse_export.formats.onnx.files import SCAN, models_of
from norse_export.formats.onnx.synapses import reach_of
from norse_export.formats.onnx.write import write_models
from norse_export.interpret.fixed import emulate
from norse_export.ir.bounds import synapses_intervals
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.targets.onnx.runner import Runner, run_models, runner_for

CHUNKS, TOGETHER = 50, 10
OTHERS, OPTIMISED = 300_000, 310_000  # seeds that no other test has


def ran(net: FixedNet, folder: Path, on: Runner | None = None) -> Run:
    """The net as a Scan model of ONNX, run with every state recorded; by default as the target runs it."""
    step, models = models_of(net.graph, opset=18)
    write_models(folder, {SCAN: models[SCAN]})
    rasters = {name: raster.astype(step.inputs[name].dtype) for name, raster in net.inputs.items()}
    return run_models(folder / SCAN, step, rasters, on or runner_for(0), states=True)


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


@pytest.mark.parametrize("chunk", numbers(CHUNKS // 2, shown=1))
def test_a_runtime_that_optimises_gives_the_same_whole_numbers(chunk: int, tmp_path: Path) -> None:
    """As a session is without any option, and as many threads as there are cores."""
    for seed in range(OPTIMISED + TOGETHER * chunk, OPTIMISED + TOGETHER * (chunk + 1)):
        net, folder = random_fixed_net(seed), tmp_path / str(seed)
        folder.mkdir()
        assert_same_bits(emulate(net.graph, net.inputs, states=True), ran(net, folder, Runner("plain", plain_session)))


def plain_session(model: Path | bytes, _: Path) -> Session:
    """A session of onnxruntime without an option."""
    session = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model))
    return lambda names, feeds: [np.asarray(value) for value in session.run(list(names), dict(feeds))]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["dense", "convolution", "listed"])
def test_sums_that_float64_does_not_hold_are_the_emulators(kind: str, seed: int, tmp_path: Path) -> None:
    """Weights of 32 bits times numbers of 21: sums of up to 2^56, of int64; and of 13 bits, of float64."""
    rng = np.random.default_rng(seed)
    wide = seed % 2 == 0
    high, shift = (2**20, int(rng.choice([-31, -20, -9]))) if wide else (2**12, int(rng.choice([-3, 0, 2])))
    synapses = drawn_synapses(
        rng, kind, Delivery(wrap_bits=int(rng.choice([24, 31])) if seed % 3 else None, shift=shift)
    )
    nodes = {"input": FixedInput(synapses.input_shape, -high, high), "sum": synapses}
    nodes |= {"output": Output(synapses.output_shape)}
    graph: Graph[FixedNode] = Graph(nodes, (Edge("input", "sum", "x", int(rng.integers(3))), Edge("sum", "output")))
    size = (6, int(rng.choice([1, 8])), *synapses.input_shape)
    raster = np.where(rng.random(size) < 0.5, rng.integers(-high, high, size), rng.choice([-high, 0, high], size))
    net = FixedNet(graph, {"input": raster.astype(np.float64)})
    largest = reach_of(synapses_intervals(graph)["sum"])
    assert (largest >= 2**53) if wide else (2**24 <= largest < 2**53)
    assert_same_bits(emulate(graph, net.inputs, states=True), ran(net, tmp_path))


def drawn_synapses(
    rng: np.random.Generator, kind: str, delivery: Delivery
) -> DenseSynapses | ConvSynapses | SparseSynapses:
    """Synapses with weights of 32 bits."""

    def weights(*shape: int) -> NDArray[np.int32]:
        return rng.integers(-(2**31), 2**31, shape).astype(np.int32)

    if kind == "dense":
        return DenseSynapses(weights(5, 16), (16,), (5,), delivery=delivery)
    if kind == "convolution":
        options: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
        return ConvSynapses(weights(4, 4, 3, 2), (8, 5, 4), (4, 3, 6), **options, delivery=delivery)
    counts = rng.integers(6, 9, 16)
    targets = np.concatenate([np.sort(rng.integers(0, 5, count)) for count in counts]).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return SparseSynapses(starts, targets, weights(int(counts.sum())), (16,), (5,), delivery=delivery)
