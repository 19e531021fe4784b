"""Placements fit, are never worse than the trivial one, and what does not fit is named with its numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fixed_graphs import every_node, layers, population
from hypothesis import event, given, settings
from hypothesis import strategies as st

from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.load import load
from norse_export.errors import CapacityError, UsageError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.placement import Part, Placement, check_placement
from norse_export.ir.stages import FixedNode
from norse_export.passes.arrange import Flow, improved, snake
from norse_export.passes.map import CoreLimits, mesh, place, place_in_order, traffic

LIMITS = CoreLimits(width=8, height=8, neurons=1024, words=65536, axons=2**19, accumulators=32768, lanes=8)


def synapses(node: Any) -> list[tuple[int, int]]:
    """Source and target cell of each synapse whose weight is not 0."""
    if isinstance(node, DenseSynapses):
        return [(int(j), int(i)) for i, j in np.argwhere(node.weight)]
    if isinstance(node, SparseSynapses):
        sources = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
        return [(int(j), int(i)) for j, i, w in zip(sources, node.targets, node.weight, strict=True) if w]
    assert isinstance(node, ConvSynapses)
    (_, height, width), (c_out, rows, columns) = node.input_shape, node.map_shape
    found = []
    for k, c, ky, kx in np.argwhere(node.weight):
        source = k // (c_out // node.groups) * (node.input_shape[0] // node.groups) + c
        for y in range(rows):
            for x in range(columns):
                sy = y * node.stride[0] - node.padding[0] + ky * node.dilation[0]
                sx = x * node.stride[1] - node.padding[1] + kx * node.dilation[1]
                if 0 <= sy < height and 0 <= sx < width:
                    found.append((int((source * height + sy) * width + sx), int((k * rows + y) * columns + x)))
    return found


def distance(a: int, b: int, width: int) -> int:
    return abs(a % width - b % width) + abs(a // width - b // width)


def read_by_the_host(graph: Graph[FixedNode]) -> set[str]:
    """Populations from which a path without another population leads to an output."""

    def before(name: str) -> set[str]:
        senders = {edge.source for edge in graph.edges if edge.target == name}
        return set().union(*({n} if isinstance(graph.nodes[n], Population) else before(n) for n in senders))

    return set().union(*(before(name) for name, node in graph.nodes.items() if isinstance(node, Output)))


def counted_hops(graph: Graph[FixedNode], placement: Placement, spikes: Mapping[str, Any]) -> int:
    """Hops flit by flit: one for each spike of a cell and each core, or host, it leads to; the host is at core 0."""
    core = {(p.population, n): p.core for p in placement.parts for n in range(p.start, p.stop)}
    flits = {(name, n, 0, "host") for name, n in core if name in read_by_the_host(graph)}
    for edge in graph.edges:
        node = graph.nodes[edge.target]
        if isinstance(node, DenseSynapses | ConvSynapses | SparseSynapses):
            onto = [e.target for e in graph.outgoing(edge.target) if isinstance(graph.nodes[e.target], Population)]
            flits |= {(edge.source, j, core[name, i], "core") for j, i in synapses(node) for name in onto}
    return sum(
        int(np.ravel(spikes[source])[cell] if source in spikes else 1)
        * distance(core.get((source, cell), 0), target, placement.width)
        for source, cell, target, _ in flits
    )


def assert_fits(graph: Graph[FixedNode], placement: Placement, limits: CoreLimits) -> None:
    """By the machine's own tables."""
    check_placement(placement, graph)
    assert placement.width <= limits.width
    assert placement.height <= limits.height
    config = MachineConfig(lanes=limits.lanes, word_bits=4096)
    neurons, accumulators, axons, words = load(graph, placement, config).memory.max(axis=0)
    assert neurons <= limits.neurons
    assert accumulators <= limits.accumulators
    assert axons <= limits.axons
    assert words <= limits.words


@st.composite
def cases(draw: st.DrawFn) -> tuple[Graph[FixedNode], CoreLimits, dict[str, Any]]:
    """A small net, cores that hold a part of it, and spike counts of some sources."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    if draw(st.integers(0, 5)) == 0:
        graph = every_node()
    else:
        sizes = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
        graph = layers(
            *sizes,
            recurrent=draw(st.booleans()),
            fan_out=draw(st.sampled_from([0, 1, 4])),
            seed=draw(st.integers(0, 99)),
        )
    lanes = draw(st.sampled_from([1, 2, 8]))
    limits = CoreLimits(
        width=draw(st.integers(8, 24)), height=draw(st.integers(8, 24)), neurons=draw(st.integers(1, 60)),
        words=draw(st.integers(100, 600)), axons=draw(st.integers(60, 200)),
        accumulators=draw(st.integers(4, 100)), lanes=lanes,
    )  # fmt: skip
    sources = [name for name, node in graph.nodes.items() if isinstance(node, FixedInput | Population)]
    counted = [name for name in sources if draw(st.booleans())]
    spikes = {name: random.integers(0, 50, graph.nodes[name].output_shape) for name in counted}
    return graph, limits, spikes


@settings(max_examples=80, deadline=None)
@given(cases())
def test_every_placement_fits_and_is_not_worse_than_the_trivial_one(case: Any) -> None:
    graph, limits, spikes = case
    placement = None
    with suppress(CapacityError):
        placement = place(graph, limits, spikes=spikes)
    event("placed" if placement else "refused")
    if placement is None:
        return
    trivial = place_in_order(graph, limits)
    assert_fits(graph, placement, limits)
    assert_fits(graph, trivial, limits)
    hops = traffic(graph, placement, spikes)
    assert hops == counted_hops(graph, placement, spikes)
    assert hops <= traffic(graph, trivial, spikes)
    assert place(graph, limits, spikes=spikes) == placement


def test_a_net_that_fits_one_core_stands_on_one() -> None:
    placement = place(layers(20, 30, 10), LIMITS)
    assert (placement.width, placement.height, placement.parts) == (1, 1, (Part("p0", 0, 30, 0), Part("p1", 0, 10, 0)))


def test_parts_have_one_size_a_multiple_of_the_lanes() -> None:
    placement = place(layers(20, 100, 10), replace(LIMITS, neurons=60))
    assert [part.neurons for part in placement.by_population["p0"]] == [56, 44]
    assert (placement.width, placement.height) == (2, 1)


def test_measured_spikes_decide_who_stands_near() -> None:
    """Two layers read the input; the one that it sends more to stands nearer to the host."""
    nodes: dict[str, FixedNode] = {"input": FixedInput((1,)), "other": FixedInput((1,)), "output": Output((90,))}
    edges = []
    for name, source in (("a", "input"), ("b", "other")):
        nodes |= {f"{name}.s": DenseSynapses(np.ones((90, 1), np.int8), (1,), (90,)), name: population("if", (90,))}
        edges += [Edge(source, f"{name}.s"), Edge(f"{name}.s", name)]
    graph = Graph(nodes, (*edges, Edge("a", "output")))
    limits = replace(LIMITS, neurons=10)
    for busy, quiet, near in (("input", "other", "a"), ("other", "input", "b")):
        spikes = {busy: np.array([1000]), quiet: np.array([0]), "a": np.zeros(90, int)}
        placement = place(graph, limits, spikes=spikes)
        reached = {name: [p.core for p in placement.by_population[name]] for name in "ab"}
        far = "ab".replace(near, "")
        ways = {n: sum(distance(0, core, placement.width) for core in reached[n]) for n in "ab"}
        assert ways[near] < ways[far]


def test_swaps_find_the_order_of_a_chain() -> None:
    """Groups that talk to their neighbours in a scrambled order: the way becomes a third, and no swap shortens it."""
    order = np.random.default_rng(5).permutation(36)
    between = np.zeros((36, 36), np.int64)
    between[order[:-1], order[1:]] = 10
    flow = Flow(between, np.zeros(36, np.int64))
    start = snake(6, 36)
    cores = improved(flow, 6, 6, start)
    assert sorted(cores) == list(range(36))
    assert flow.hops(6, cores) < flow.hops(6, start) / 2
    for g in range(36):
        for h in range(g):
            swapped = cores.copy()
            swapped[[g, h]] = swapped[[h, g]]
            assert flow.hops(6, swapped) >= flow.hops(6, cores)
    assert np.array_equal(improved(flow, 6, 6, start, sweeps=0), start)


def test_a_free_core_nearer_to_the_host_is_taken() -> None:
    flow = Flow(np.zeros((2, 2), np.int64), np.array([5, 7]))
    assert improved(flow, 3, 3, np.array([8, 7])).tolist() == [1, 0]


def test_a_snake_goes_from_neighbour_to_neighbour() -> None:
    cores = snake(4, 11)
    assert cores.tolist() == [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10]
    assert {distance(a, b, 4) for a, b in pairwise(cores)} == {1}


@pytest.mark.parametrize("groups", range(65))
def test_the_mesh_is_small_and_has_a_core_for_each(groups: int) -> None:
    for limits in (LIMITS, replace(LIMITS, width=2, height=32), replace(LIMITS, width=64, height=1)):
        width, height = mesh(groups, limits)
        assert 1 <= width <= limits.width
        assert 1 <= height <= limits.height
        assert groups <= width * height < max(groups, 1) + max(width, height)


WIDE = layers(100, 16, 16)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"words": 99}, "100 synapse words for one neuron, a core has 99"),
        ({"axons": 99}, "100 axon entries for one neuron, a core has 99"),
        ({"fan_in": 99}, "100 synapses of one neuron, a core has 99"),
        ({"width": 3, "height": 1, "neurons": 5}, "4 cores are needed; the mesh has 3 x 1"),
        ({"width": 4, "height": 1, "neurons": 5}, "8 cores are needed, 4 of them for this layer; the mesh has 4 x 1"),
    ],
)
def test_the_limit_that_binds_is_named(changes: dict[str, int], text: str) -> None:
    with pytest.raises(CapacityError) as caught:
        place(WIDE, replace(LIMITS, lanes=1, **changes))
    assert caught.value.exit_code == 4
    assert caught.value.where == "p0"
    assert text in str(caught.value)
    assert "smaller" in caught.value.fix


def test_one_more_is_enough() -> None:
    for changes in ({"words": 100}, {"axons": 100}, {"fan_in": 100}, {"width": 8, "height": 1, "neurons": 5}):
        limits = replace(LIMITS, lanes=1, **changes)
        assert_fits(WIDE, place(WIDE, limits), limits)


def test_inputs_of_a_population_are_counted() -> None:
    graph = layers(5, 40, recurrent=True)
    assert len(place(graph, replace(LIMITS, accumulators=40)).parts) == 2
    with pytest.raises(CapacityError, match="2 accumulators of one neuron, a core has 1"):
        place(graph, replace(LIMITS, accumulators=1))


def test_every_layer_that_is_too_large_is_a_finding() -> None:
    with pytest.raises(CapacityError) as caught:
        place(layers(9, 50, 60, 5, 4), replace(LIMITS, lanes=1, words=49))
    assert [finding.where for finding in caught.value.findings] == ["p1", "p2"]


@pytest.mark.parametrize("counts", [np.zeros(5, int), np.full(20, -1), np.zeros(20)])
def test_spike_counts_that_are_none_are_refused(counts: Any) -> None:
    with pytest.raises(UsageError, match="spike counts") as caught:
        place(layers(20, 3), LIMITS, spikes={"input": counts})
    assert caught.value.where == "input"


def test_a_hundred_thousand_neurons_are_placed_in_time() -> None:
    graph = layers(100, 100_000, recurrent=True, fan_out=20)
    limits = replace(LIMITS, width=64, height=64, neurons=256)
    place(layers(3, 3), limits)  # compiles
    started = time.process_time()
    placement = place(graph, limits)
    assert time.process_time() - started < 20  # seconds; measured: 4
    assert len(placement.by_core) == math.ceil(100_000 / 256)
