"""Random nets under the law of Loihi 2: what the written files do is what the engine does, overflows included.

Second arrays, starting states and delays occur, too. Layers are of few structures, so that few kernels are compiled.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from bulk import numbers

from norse_export.engine.network import compile_network
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.targets.loihi import LoihiTarget, host, law, netx
from norse_export.targets.loihi.chain import chain_of
from norse_export.targets.loihi.host import host_part, write_host
from norse_export.targets.loihi.net_output import write_net
from norse_export.targets.loihi.precision import FINE_EXP
from norse_export.targets.loihi.replay import HOST, NET, replayed_graph
from norse_export.targets.loihi.weights import settled, settled_together

BLOCKS, NETS, STEPS = 10, 100, 24
TARGET = LoihiTarget()
Generator = np.random.Generator
Synapses = DenseSynapses | ConvSynapses


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are parsed here: a process for each would be all that is measured."""

    def parse(parser: str, file: BinaryIO, *, name: str, limits: Limits) -> Parsed:
        module, _, function = parser.partition(":")
        return Parsed(*getattr(import_module(module), function)(file, limits))

    for module in (host, netx):
        monkeypatch.setattr(module, "parse_in_child", parse)


def weights(generator: Generator, *shape: int) -> Any:
    """Weights of one sort that the chip has: mixed and even, small and odd, of one sign."""
    match generator.integers(5):
        case 0:
            made = 2 * generator.integers(-128, 128, shape)
        case 1:
            made = generator.integers(-128, 128, shape)
        case 2:
            made = generator.integers(0, 256, shape)
        case 3:
            made = -generator.integers(1, 256, shape)
        case _:
            made = -2 * generator.integers(0, 128, shape)  # with a 0 among them netx counts them as mixed
    made.flat[0] = made.flat[0] or 2
    return made


def population(generator: Generator, shape: tuple[int, ...], *, readout: bool) -> Population:
    """Slow decays bring states to their ends within the steps of a run; each population has a few in common."""
    i_decay = int(generator.choice([1, 1, 3, 400, 4096]))
    v_decay = int(generator.choice([0, 1, 300, 4095]))
    v_th = int(generator.choice([0, 5, 300, 20_000, 131_071]))
    bias = generator.integers(-4096, 4096, (shape[0], *(1,) * (len(shape) - 1))) * generator.integers(2)
    values = {"u_keep": 4096 - i_decay, "v_keep": 4096 - v_decay, "bias": bias << 6, "v_th": v_th << 6}
    start = int(generator.choice([0, 0, 1 << 16, 1 << 23]))
    return Population(
        program=(law.LAVA_READOUT if readout else law.LAVA_LIF).trace(),
        shape=shape,
        parameters={name: np.broadcast_to(np.asarray(value), shape) for name, value in values.items()},
        initial_state={name: generator.integers(-start + 1, max(start, 2), shape) for name in ("u", "v")},
        dt=1e-3,
        unit={name: np.full(shape, 0.25) for name in ("u", "v")},
    )


def seconds(generator: Generator, first: Synapses) -> list[Synapses]:
    """Perhaps a second array of the same ends: inhibitory, or a fine one."""
    match generator.integers(4):
        case 0:
            made, shift = -generator.integers(0, 256, first.weight.shape), 0
        case 1:
            made, shift = 2 * generator.integers(-128, 128, first.weight.shape), FINE_EXP
        case _:
            return []
    delivery = Delivery(shift=shift) if shift else first.delivery
    return [replace(first, weight=made.astype(np.int16), delivery=delivery)]


def convolution(generator: Generator, shape: tuple[int, ...]) -> ConvSynapses:
    kernel = weights(generator, 3, shape[0], 2, 2).astype(np.int16)
    window = {"padding": (1, 1), "dilation": (2, 2), "delivery": law.conv_delivery()}
    return ConvSynapses(kernel, shape, (3, *shape[1:]), **window)


def net(generator: Generator) -> Graph[Any]:
    """A chain of one to three layers; the first ones perhaps convolutions, the last perhaps a readout."""
    images = bool(generator.integers(2))
    shape: tuple[int, ...] = (2, 4, 3) if images else (int(generator.integers(1, 80)),)
    nodes: dict[str, Any] = {"input": FixedInput(shape)}
    edges, before, count = [], "input", int(generator.choice([1, 1, 2, 3]))
    for number in range(count):
        name, last = f"layer {number}", number == count - 1
        images = images and bool(generator.integers(3))
        readout, late, loops = last and bool(generator.integers(2)), 0, False
        if images:
            first: Synapses = convolution(generator, shape)
        else:
            cells = int(generator.integers(1, 12))
            loops = not readout and bool(generator.integers(2))
            forward, back = weights(generator, cells, int(np.prod(shape))), weights(generator, cells, cells)
            forward, back = settled_together(forward, back) if loops else (settled(forward), back)
            first = DenseSynapses(forward.astype(np.int16), shape, (cells,))
            late = 0 if loops else int(generator.choice([0, 0, 1, 9]))
        shape = first.output_shape
        nodes[name] = population(generator, shape, readout=readout)
        for place, array in enumerate((first, *seconds(generator, first))):
            nodes[f"to {name} {place}"] = array
            edges += [Edge(before, f"to {name} {place}", "x", 1 + late), Edge(f"to {name} {place}", name, "a")]
        if loops:
            own = DenseSynapses(back.astype(np.int16), shape, shape)
            for place, array in enumerate((own, *seconds(generator, own))):
                nodes[f"loop {name} {place}"] = array
                edges += [Edge(name, f"loop {name} {place}", "x", 1), Edge(f"loop {name} {place}", name, "a")]
        before = name
    nodes["output"] = Output(shape)
    return Graph(nodes, (*edges, Edge(before, "output")))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("block", numbers(BLOCKS, shown=1))
def test_files_of_random_nets_do_what_the_engine_does(block: int, tmp_path: Path) -> None:
    wrapped = saturated = 0
    for seed in range(block * NETS, (block + 1) * NETS):
        generator = np.random.default_rng(seed)
        graph = net(generator)
        chain, findings = chain_of(graph)
        assert chain is not None, (seed, findings)
        write_net(tmp_path / NET, chain)
        write_host(tmp_path / HOST, host_part(graph, chain))
        inputs = {"input": generator.random((STEPS, 2, *graph.nodes["input"].output_shape)) < 0.7}
        actual = emulate(replayed_graph(tmp_path, Limits()), inputs, states=True)
        expected = compile_network(graph).run(inputs, states=True).run
        assert actual.spikes.keys() == expected.spikes.keys()
        assert all(np.array_equal(actual.spikes[name], expected.spikes[name]) for name in expected.spikes)
        assert np.array_equal(actual.outputs["output"], expected.outputs["output"])
        for name, states in expected.observables.items():
            for key, values in states.items():
                assert np.array_equal(actual.observables[name][key], values), (seed, name, key)
            wrapped += bool(np.any(np.abs(np.diff(states["u"].astype(np.int64), axis=0)) > 2**23))
            saturated += bool(np.any(np.abs(states["v"]) == 2**23 - 1))
    assert wrapped
    assert saturated > NETS // 10
