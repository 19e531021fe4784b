"""Random nets under the law of Loihi 2: what the written files do is what the engine does, overflows included."""

from __future__ import annotations

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
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.targets.loihi import LoihiTarget, host, law, netx
from norse_export.targets.loihi.chain import chain_of
from norse_export.targets.loihi.host import host_part, write_host
from norse_export.targets.loihi.net_output import write_net
from norse_export.targets.loihi.replay import HOST, NET, replayed_graph
from norse_export.targets.loihi.weights import settled

BLOCKS, NETS, STEPS = 10, 100, 40
TARGET = LoihiTarget()
Generator = np.random.Generator


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
    return Population(
        program=(law.LAVA_READOUT if readout else law.LAVA_LIF).trace(),
        shape=shape,
        parameters={name: np.broadcast_to(np.asarray(value), shape) for name, value in values.items()},
        initial_state={name: np.zeros(shape, np.int64) for name in ("u", "v")},
        dt=1e-3,
        unit={name: np.full(shape, 0.25) for name in ("u", "v")},
    )


def net(generator: Generator) -> Graph[Any]:
    """A chain of one to three layers; the first ones perhaps convolutions, the last perhaps a readout."""
    images = bool(generator.integers(2))
    shape: tuple[int, ...] = (2, 4, 3) if images else (int(generator.integers(1, 80)),)
    nodes: dict[str, Any] = {"input": FixedInput(shape)}
    edges, before, count = [], "input", int(generator.integers(1, 4))
    for number in range(count):
        name, last = f"layer {number}", number == count - 1
        images = images and bool(generator.integers(3))
        if images:
            kernel = weights(generator, 3, shape[0], 2, 2)
            synapses: Any = ConvSynapses(
                kernel.astype(np.int16), shape, (3, *shape[1:]), padding=(1, 1), dilation=(2, 2),
                delivery=law.conv_delivery(),
            )  # fmt: skip
        else:
            cells = int(generator.integers(1, 12))
            matrix = settled(weights(generator, cells, int(np.prod(shape))))
            synapses = DenseSynapses(matrix.astype(np.int16), shape, (cells,))
        shape = synapses.output_shape
        nodes |= {f"to {name}": synapses}
        nodes[name] = population(generator, shape, readout=last and bool(generator.integers(2)))
        edges += [Edge(before, f"to {name}", "x", 1), Edge(f"to {name}", name, "a")]
        if not images and nodes[name].spikes and generator.integers(2):
            back = settled(weights(generator, *shape, *shape))
            nodes[f"loop {name}"] = DenseSynapses(back.astype(np.int16), shape, shape)
            edges += [Edge(name, f"loop {name}", "x", 1), Edge(f"loop {name}", name, "a")]
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
