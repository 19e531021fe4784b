"""Integers: three executions of random fixed nets, bit for bit, in spikes, outputs, every state of every step."""

from __future__ import annotations

from collections import Counter

import fixed_oracle
import numpy as np
import pytest
from fixed_comparison import as_run, first_difference, part
from random_fixed_nets import FixedNet, random_fixed_net

from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Graph, components
from norse_export.ir.layers import Output
from norse_export.program.operations import Op, Rounding

CHUNKS, TOGETHER = 40, 50
OTHERS = 100_000  # seeds of nets that the large test does not see


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_emulator_is_the_oracle_bit_for_bit(chunk: int) -> None:
    for seed in range(chunk * TOGETHER, (chunk + 1) * TOGETHER):
        net = random_fixed_net(seed)
        expected = as_run(net.graph, fixed_oracle.run(net.graph, net.inputs))
        assert first_difference(expected, emulate(net.graph, net.inputs, states=True)) is None, seed


def test_a_sample_alone_is_the_sample_among_others() -> None:
    for seed in range(OTHERS, OTHERS + 60):
        net = random_fixed_net(seed, samples=3)
        together = emulate(net.graph, net.inputs, states=True)
        for sample in range(3):
            raster = {name: values[:, sample : sample + 1] for name, values in net.inputs.items()}
            alone = emulate(net.graph, raster, states=True, first_sample=sample)
            assert first_difference(part(together, sample), alone) is None, seed


def test_the_order_of_nodes_and_edges_changes_nothing() -> None:
    for seed in range(OTHERS, OTHERS + 60):
        net = random_fixed_net(seed)
        assert first_difference(*(emulate(n.graph, n.inputs, states=True) for n in (net, reordered(net, seed)))) is None


def reordered(net: FixedNet, seed: int) -> FixedNet:
    rng = np.random.default_rng(seed)
    names, edges = list(net.graph.nodes), list(net.graph.edges)
    rng.shuffle(names)
    rng.shuffle(edges)  # type: ignore[arg-type]
    return FixedNet(Graph({name: net.graph.nodes[name] for name in names}, tuple(edges)), net.inputs)


def test_random_fixed_nets_hold_everything() -> None:
    nets = [random_fixed_net(seed) for seed in range(CHUNKS * TOGETHER)]
    nodes = [node for net in nets for node in net.graph.nodes.values()]
    programs = {node.program.structure: node.program for node in nodes if isinstance(node, Population)}
    assert len(programs) <= 30  # a kernel is compiled for each
    instructions = [step for program in programs.values() for step in program.instructions]
    assert {step.op for step in instructions} == set(Op)
    for op in (Op.MUL_SHIFT, Op.SHIFT_RIGHT):
        assert {step.rounding for step in instructions if step.op is op} == set(Rounding)
    delays = Counter(edge.delay_steps for net in nets for edge in net.graph.edges)
    assert all(delays[steps] > 50 for steps in range(6))
    assert sum(len(group) > 1 for net in nets for group in components(net.graph)) > 400
    dtypes = Counter((type(n), n.weight.dtype.name) for n in nodes if isinstance(n, ALL))
    assert all(dtypes[kind, name] > 20 for kind in ALL for name in ("int8", "int16", "int32"))
    convs = [n for n in nodes if isinstance(n, ConvSynapses)]
    for option, plain in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
        assert sum(getattr(n, option) != plain for n in convs) > 100
    sparse = [n for n in nodes if isinstance(n, SparseSynapses)]
    assert sum(bool(np.any(np.diff(n.targets) == 0)) for n in sparse) > 100
    assert sum(bool(np.any(np.diff(n.starts) == 0)) for n in sparse) > 100
    deliveries = [n.delivery for n in nodes if isinstance(n, ALL)]
    assert {d.shift for d in deliveries} >= {-31, -6, -1, 0, 1, 6}
    assert max(d.shift for d in deliveries) > 12
    assert {d.wrap_bits for d in deliveries} >= {None, 1, 4, 8, 12}
    assert sum(bool(node.saturated) for node in nodes if isinstance(node, Population)) > 50
    assert sum(isinstance(node, FixedInput) and node.high > 1 for node in nodes) > 200
    shared = Counter((seed, edge.target) for seed, net in enumerate(nets) for edge in net.graph.edges)
    assert sum(count > 1 for count in shared.values()) > 300
    senders = [net.graph.nodes[e.source] for net in nets for e in net.graph.edges if is_output(net, e.target)]
    assert {type(node).__name__ for node in senders} >= {"Linear", "Sum", "Population", "DenseSynapses", "ConvSynapses"}


ALL = (DenseSynapses, ConvSynapses, SparseSynapses)


def is_output(net: FixedNet, name: str) -> bool:
    return isinstance(net.graph.nodes[name], Output)


def test_random_fixed_nets_fire_and_leave_their_widths() -> None:
    nets = range(OTHERS, OTHERS + 200)
    firing = narrowing = saturating = plain = 0
    for seed in nets:
        net = random_fixed_net(seed)
        happened = fixed_oracle.run(net.graph, net.inputs).counts
        spiking = [name for name, node in net.graph.nodes.items() if isinstance(node, Population) and node.spikes]
        firing += all(happened.spikes[name] for name in spiking)
        narrowed = sum(happened.narrowed.values())
        narrowing += narrowed > 0
        plain += narrowed == 0
        saturating += sum(happened.saturated.values()) > 0
        assert happened.largest < 2**62
    assert firing > 160
    assert narrowing > 60
    assert saturating > 5
    assert plain > 5
