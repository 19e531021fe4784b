"""Integers: three executions of random fixed nets, bit for bit, in spikes, outputs, every state of every step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import fixed_oracle
import numpy as np
import pytest
from bulk import numbers
from fixed_comparison import as_run, first_difference, part
from fixed_programs import of_law
from random_fixed_nets import FixedNet, random_fixed_net

from norse_export.engine import packing
from norse_export.engine.activity import Activity
from norse_export.engine.codegen import Variant
from norse_export.engine.network import compile_network
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph, components
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.program.operations import Op, Rounding

CHUNKS, TOGETHER = 40, 50
OTHERS = 100_000  # seeds of nets that the large test does not see
OWN = 8  # in one net of so many each population has a kernel that is made for it, however small it is


@pytest.mark.parametrize("chunk", numbers(CHUNKS, shown=2))
def test_engine_and_emulator_are_the_oracle_bit_for_bit(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the nets on two threads; what the engine counts is what the oracle counts.

    Populations this small share a kernel that serves everything, and convolutions this small are written out, unless
    the engine is told otherwise.
    """
    most = packing.WRITTEN_OUT
    for seed in range(chunk * TOGETHER, (chunk + 1) * TOGETHER):
        net = random_fixed_net(seed)
        oracle = fixed_oracle.run(net.graph, net.inputs)
        expected = as_run(net.graph, oracle)
        assert first_difference(expected, emulate(net.graph, net.inputs, states=True)) is None, seed
        monkeypatch.setattr(packing, "WRITTEN_OUT", most * (seed % 3 == 0))
        network = compile_network(net.graph, general_below=0 if seed % OWN == 0 else 64)
        done = network.run(net.inputs, states=True, threads=1 + seed // OWN % 2)
        assert first_difference(expected, done.run) is None, seed
        assert counted(net, done.activity) == counted_by(net, oracle), seed


@pytest.mark.bulk
def test_random_fixed_nets_reach_every_kind_of_kernel() -> None:
    chosen = Counter[Variant]()
    for seed in range(0, CHUNKS * TOGETHER, OWN):
        network = compile_network(random_fixed_net(seed).graph, general_below=0)
        chosen.update(packed.variant for packed in network.nodes.populations.values())
    for choice in ("uniform", "exact"):
        assert all(sum(n for v, n in chosen.items() if getattr(v, choice) is given) > 8 for given in (True, False))
    assert all(sum(n for v, n in chosen.items() if v.bits == bits) > 100 for bits in (32, 64))


def counted(net: FixedNet, activity: Activity) -> dict[str, Any]:
    return {
        "synaptic": dict(activity.synaptic_operations),
        "updates": dict(activity.neuron_updates),
        "sent": {name: each.tolist() for name, each in activity.sent.items()},
        "narrowed": {(name, n): c for name, each in activity.overflows.items() for n, c in each.items() if c},
        "saturated": dict(activity.saturated),
    }


def counted_by(net: FixedNet, oracle: fixed_oracle.OracleRun) -> dict[str, Any]:
    counts, nodes = oracle.counts, net.graph.nodes
    steps, samples = next(iter(net.inputs.values())).shape[:2]
    populations = {name: node for name, node in nodes.items() if isinstance(node, Population)}
    senders = [name for name, node in nodes.items() if isinstance(node, FixedInput)]
    senders += [name for name, node in populations.items() if node.spikes]
    return {
        "synaptic": {name: counts.synaptic[name] for name, node in nodes.items() if isinstance(node, ALL)},
        "updates": {name: steps * samples * prod(node.shape) for name, node in populations.items()},
        "sent": {
            name: [sum(value != 0 for s in oracle.samples for value in s.sent[name][t]) for t in range(steps)]
            for name in senders
        },
        "narrowed": {key: count for key, count in counts.narrowed.items() if count},
        "saturated": {
            (name, port): counts.saturated[name, port] for name, node in populations.items() for port in node.saturated
        },
    }


def by_emulator(net: FixedNet, first_sample: int = 0) -> Run:
    return emulate(net.graph, net.inputs, states=True, first_sample=first_sample)


def by_engine(net: FixedNet, first_sample: int = 0) -> Run:
    return compile_network(net.graph).run(net.inputs, states=True, first_sample=first_sample).run


@pytest.mark.parametrize("executed", [by_emulator, by_engine])
def test_a_sample_alone_is_the_sample_among_others(executed: Callable[..., Run]) -> None:
    for seed in range(OTHERS, OTHERS + 60):
        net = random_fixed_net(seed, samples=3)
        together = executed(net)
        for sample in range(3):
            raster = {name: values[:, sample : sample + 1] for name, values in net.inputs.items()}
            alone = executed(FixedNet(net.graph, raster), sample)
            assert first_difference(part(together, sample), alone) is None, seed


@pytest.mark.parametrize("executed", [by_emulator, by_engine])
def test_the_order_of_nodes_and_edges_changes_nothing(executed: Callable[..., Run]) -> None:
    for seed in range(OTHERS, OTHERS + 60):
        net = random_fixed_net(seed)
        assert first_difference(executed(net), executed(reordered(net, seed))) is None, seed


def test_a_network_runs_again_and_on_any_number_of_threads_as_it_did_first() -> None:
    """A run leaves nothing behind, whatever the batch before it was."""
    for seed in range(OTHERS, OTHERS + 30):
        net = random_fixed_net(seed, samples=5)
        network = compile_network(net.graph)
        first = network.run(net.inputs, states=True)
        network.run({name: values[::-1, :2] for name, values in net.inputs.items()})
        for threads in (1, 2, 3, 8):
            again = network.run(net.inputs, states=True, threads=threads)
            assert first_difference(first.run, again.run) is None, seed
            assert counted(net, again.activity) == counted(net, first.activity), seed


@pytest.mark.parametrize("chunk", range(4))
def test_larger_nets_too(chunk: int) -> None:
    """Rows of many cells, of all lengths beside the width of a vector; engine and emulator."""
    for seed in range(OTHERS + 1000 + 15 * chunk, OTHERS + 1015 + 15 * chunk):
        net = random_fixed_net(seed, size=150, samples=4)
        expected = by_emulator(net)
        assert first_difference(expected, by_engine(net)) is None, seed


@pytest.mark.slow
def test_the_longest_program_of_the_generic_law_compiles() -> None:
    """255 spikes a step: more than a thousand instructions."""
    drawn = of_law("if", {"reset": "subtract", "max_spikes": 255, "overflow": "wrap"}, shifted=False)
    rng = np.random.default_rng(0)
    neurons = drawn(rng, 100).population(rng, (5,), 0, {}, mixed=False)
    synapses = DenseSynapses(rng.integers(0, 2000, (5, 3)).astype(np.int16), (3,), (5,))
    nodes = {"input": FixedInput((3,)), "synapses": synapses, "neurons": neurons}
    net = FixedNet(Graph(nodes, (Edge("input", "synapses"), Edge("synapses", "neurons"))), {})
    net.inputs["input"] = rng.integers(0, 2, (9, 2, 3))
    expected = by_emulator(net)
    assert expected.spikes["neurons"].max() > 20
    assert first_difference(expected, by_engine(net)) is None


def test_with_the_jit_disabled_the_same_bits_come_out() -> None:
    """In a process of its own: numba reads the switch when it is imported."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "fixed_without_jit", str(OTHERS), "25"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["25", "equal"]


def reordered(net: FixedNet, seed: int) -> FixedNet:
    rng = np.random.default_rng(seed)
    names, edges = list(net.graph.nodes), list(net.graph.edges)
    rng.shuffle(names)
    rng.shuffle(edges)  # type: ignore[arg-type]
    return FixedNet(Graph({name: net.graph.nodes[name] for name in names}, tuple(edges)), net.inputs)


@pytest.mark.bulk
def test_random_fixed_nets_hold_everything() -> None:
    nets = [random_fixed_net(seed) for seed in range(0, CHUNKS * TOGETHER, 4)]
    nodes = [node for net in nets for node in net.graph.nodes.values()]
    programs = {node.program.structure: node.program for node in nodes if isinstance(node, Population)}
    assert len(programs) <= 30  # a kernel is compiled for each
    instructions = [step for program in programs.values() for step in program.instructions]
    assert {step.op for step in instructions} == set(Op) - {Op.DIV, Op.EXP, Op.MATMUL}  # those are of real numbers
    for op in (Op.MUL_SHIFT, Op.SHIFT_RIGHT):
        assert {step.rounding for step in instructions if step.op is op} == set(Rounding)
    delays = Counter(edge.delay_steps for net in nets for edge in net.graph.edges)
    assert all(delays[steps] > 20 for steps in range(6))
    assert sum(len(group) > 1 for net in nets for group in components(net.graph)) > 25
    dtypes = Counter((type(n), n.weight.dtype.name) for n in nodes if isinstance(n, ALL))
    assert all(dtypes[kind, name] > 8 for kind in ALL for name in ("int8", "int16", "int32"))
    convs = [n for n in nodes if isinstance(n, ConvSynapses)]
    for option, plain in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
        assert sum(getattr(n, option) != plain for n in convs) > 25
    sparse = [n for n in nodes if isinstance(n, SparseSynapses)]
    assert sum(bool(np.any(np.diff(n.targets) == 0)) for n in sparse) > 25
    assert sum(bool(np.any(np.diff(n.starts) == 0)) for n in sparse) > 25
    deliveries = [n.delivery for n in nodes if isinstance(n, ALL)]
    assert {d.shift for d in deliveries} >= {-31, -6, -1, 0, 1, 6}
    assert max(d.shift for d in deliveries) > 12
    assert {d.wrap_bits for d in deliveries} >= {None, 4, 8, 12}
    assert sum(bool(node.saturated) for node in nodes if isinstance(node, Population)) > 12
    assert sum(isinstance(node, FixedInput) and node.high > 1 for node in nodes) > 50
    shared = Counter((seed, edge.target) for seed, net in enumerate(nets) for edge in net.graph.edges)
    assert sum(count > 1 for count in shared.values()) > 80
    senders = [net.graph.nodes[e.source] for net in nets for e in net.graph.edges if is_output(net, e.target)]
    assert {type(node).__name__ for node in senders} >= {"Linear", "Sum", "Population", "DenseSynapses", "ConvSynapses"}


ALL = (DenseSynapses, ConvSynapses, SparseSynapses)


def is_output(net: FixedNet, name: str) -> bool:
    return isinstance(net.graph.nodes[name], Output)


@pytest.mark.bulk
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
