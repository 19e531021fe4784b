"""Bounds of what reaches a port, judged by the worst raster: exact where sources are independent."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.errors import GraphError, UnsupportedError
from norse_export.ir.bounds import (
    all_ranges,
    population_ranges,
    port_intervals,
    source_intervals,
    synapse_sums,
    synapses_intervals,
    weight_totals,
)
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode
from norse_export.program.laws import Law, integer_family
from norse_export.program.operations import saturate, where
from norse_export.program.program import Family, Step

Array = NDArray[Any]


def summing(x: Any, v: Any) -> Step:
    return Step(state=(v + x,), spike=v + x > 0)


SUMMING = Family("summing", summing, ("x",), ("v",))


def population(
    family: Family, shape: tuple[int, ...], values: Mapping[str, Any] | None = None, **more: Any
) -> Population:
    given = values or {}
    return Population(
        program=family.trace(),
        shape=shape,
        parameters={name: np.broadcast_to(np.asarray(given[name]), shape) for name in family.parameters},
        initial_state={name: np.broadcast_to(np.asarray(given.get(name, 0)), shape) for name in family.state},
        dt=0.001,
        **more,
    )


def by_hand(node: Any) -> Array:
    """The dense matrix [N_out, N_in] of a projection, synapse by synapse."""
    n_in, n_out = int(np.prod(node.input_shape)), int(np.prod(node.output_shape))
    matrix = np.zeros((n_out, n_in), np.int64)
    match node:
        case DenseSynapses():
            matrix += node.weight
        case SparseSynapses():
            for source in range(n_in):
                for synapse in range(node.starts[source], node.starts[source + 1]):
                    matrix[node.targets[synapse], source] += node.weight[synapse]
        case ConvSynapses():
            channels, height, width = node.input_shape
            c_out, h_out, w_out = node.map_shape
            share, block = node.weight.shape[1], c_out // node.groups
            for o, y, x in itertools.product(range(c_out), range(h_out), range(w_out)):
                for c, ky, kx in itertools.product(range(share), *map(range, node.weight.shape[2:])):
                    iy = y * node.stride[0] + ky * node.dilation[0] - node.padding[0]
                    ix = x * node.stride[1] + kx * node.dilation[1] - node.padding[1]
                    if 0 <= iy < height and 0 <= ix < width:
                        source = ((o // block * share + c) * height + iy) * width + ix
                        matrix[(o * h_out + y) * w_out + x, source] += node.weight[o, c, ky, kx]
            assert channels == share * node.groups
    return matrix


def drawn(generator: np.random.Generator, *shape: int) -> Array:
    return generator.integers(-127, 128, shape).astype(np.int8)


def conv(generator: np.random.Generator, **choices: Any) -> ConvSynapses:
    groups = choices.get("groups", 1)
    kernel = choices.pop("kernel", (3, 3))
    size = choices.pop("size", (6, 7))
    weight = drawn(generator, 4, 4 // groups, *kernel)
    pairs = [choices.get(name, default) for name, default in (("stride", (1, 1)), ("padding", (0, 0)))]
    spread = choices.get("dilation", (1, 1))
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, *pairs, spread, strict=True)]
    return ConvSynapses(weight=weight, input_shape=(4, *size), output_shape=(4, *out), **choices)


def sparse(generator: np.random.Generator) -> SparseSynapses:
    counts = generator.integers(0, 5, 9)
    counts[3] = 0
    starts = np.concatenate([[0], np.cumsum(counts)])
    targets = np.concatenate([np.sort(generator.integers(0, 6, count)) for count in counts])
    return SparseSynapses(starts, targets, drawn(generator, targets.size), (9,), (6,))


def projections() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "dense": DenseSynapses(drawn(generator, 6, 9), (9,), (2, 3)),
        "sparse": sparse(generator),
        "conv": conv(generator, kernel=(5, 2)),
        "conv, padded": conv(generator, padding=(2, 1)),
        "conv, strides": conv(generator, stride=(2, 3), padding=(1, 2)),
        "conv, dilated, groups": conv(generator, dilation=(2, 1), padding=(3, 1), groups=2),
        "conv, kernel larger than the input": conv(generator, size=(2, 2), kernel=(5, 4), padding=(2, 3)),
        "conv, padding beyond the kernel": conv(generator, size=(3, 3), kernel=(2, 2), padding=(4, 5), stride=(3, 2)),
    }


@pytest.mark.parametrize("node", projections().values(), ids=projections())
def test_totals_are_those_of_each_synapse_counted_by_hand(node: Any) -> None:
    matrix = by_hand(node)
    if isinstance(node, SparseSynapses):  # two synapses of one pair may cancel in the matrix, not in the bound
        matrix = by_hand_apart(node)
    negative, positive = weight_totals(node)
    assert negative.tolist() == np.minimum(matrix, 0).sum(1).tolist()
    assert positive.tolist() == np.maximum(matrix, 0).sum(1).tolist()


def test_large_weights_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    node = DenseSynapses(drawn(np.random.default_rng(2), 7, 9), (9,), (7,))
    whole = weight_totals(node)
    for chunk in (1, 20, 45, 63):
        monkeypatch.setattr("norse_export.ir.bounds._CHUNK", chunk)
        assert [side.tolist() for side in weight_totals(node)] == [side.tolist() for side in whole]
        assert [side.tolist() for side in whole] == [
            np.minimum(by_hand(node), 0).sum(1).tolist(),
            np.maximum(by_hand(node), 0).sum(1).tolist(),
        ]


def by_hand_apart(node: SparseSynapses) -> Array:
    """One column for each synapse."""
    matrix = np.zeros((int(np.prod(node.output_shape)), node.weight.size), np.int64)
    matrix[node.targets, np.arange(node.weight.size)] = node.weight
    return matrix


def delivered(sums: Array, delivery: Delivery) -> Array:
    if delivery.wrap_bits is not None:
        half = 1 << (delivery.wrap_bits - 1)
        sums = (sums + half) % (2 * half) - half
    return sums * 2**delivery.shift if delivery.shift >= 0 else sums // 2**-delivery.shift


@pytest.mark.parametrize("delivery", [Delivery(), Delivery(shift=6), Delivery(shift=-3)], ids=["as is", "up", "down"])
@pytest.mark.parametrize("source", [(0, 1), (-1, 1), (-3, 5)])
def test_the_worst_raster_reaches_both_ends_and_no_raster_passes_them(
    source: tuple[int, int], delivery: Delivery
) -> None:
    generator = np.random.default_rng(1)
    node = DenseSynapses(drawn(generator, 5, 8), (8,), (5,), delivery)
    sums = synapse_sums(node, source)
    rasters = np.array(list(itertools.product(source, repeat=8)))
    got = delivered(rasters @ node.weight.astype(np.int64).T, delivery)
    assert sums.low.tolist() == got.min(0).tolist()
    assert sums.high.tolist() == got.max(0).tolist()
    assert sums.delivered == (got.min(), got.max())


def test_a_wrap_gives_the_whole_range_only_where_a_sum_can_wrap() -> None:
    weight = np.array([[100, 27], [100, 28], [-100, -28], [-100, -29]], np.int8)
    sums = synapse_sums(DenseSynapses(weight, (2,), (4,), Delivery(wrap_bits=8, shift=2)), (0, 1))
    assert sums.high.tolist() == [4 * 127, 4 * 127, 0, 4 * 127]
    assert sums.low.tolist() == [0, 4 * -128, 4 * -128, 4 * -128]
    assert sums.exact == (-129, 128)


def net(family: Family = SUMMING, values: Any = None, low: int = 0, **more: Any) -> Graph[FixedNode]:
    weight = np.array([[1, 2, 3], [4, -5, 6]], np.int8)
    nodes: dict[str, FixedNode] = {
        "in": FixedInput((3,), low=low),
        "a": DenseSynapses(weight, (3,), (2,)),
        "b": DenseSynapses(np.array([[10, 10, 10], [-20, 0, 0]], np.int16), (3,), (2,), Delivery(shift=1)),
        "p": population(family, (2,), values, **more),
        "out": Output((2,)),
    }
    edges = (Edge("in", "a"), Edge("in", "b", delay_steps=3), Edge("a", "p"), Edge("b", "p"), Edge("p", "out"))
    return Graph(nodes, edges)


def test_what_arrives_at_a_port_is_summed_over_its_projections_for_each_neuron() -> None:
    assert port_intervals(net()) == {"p": {"x": (-45, 66)}}
    assert port_intervals(net(low=-1)) == {"p": {"x": (-66, 66)}}


def test_a_saturated_port_gives_no_more_than_its_largest_sum() -> None:
    graph = net(saturated={"x": 50})
    with pytest.raises(GraphError) as caught:
        port_intervals(graph)
    assert caught.value.where == "p"
    assert "negative: -45" in caught.value.what
    assert "weights" in caught.value.fix
    positive = {**graph.nodes, "a": DenseSynapses(np.ones((2, 3), np.int8), (3,), (2,))}
    positive["b"] = DenseSynapses(np.full((2, 3), 20, np.int8), (3,), (2,))
    assert port_intervals(Graph(positive, graph.edges)) == {"p": {"x": (0, 50)}}


def counting(x: Any, v: Any) -> Step:
    z = x > v
    return Step(state=(v,), spike=where(z, 3, where(x > 0, -1, 0)))


def test_what_a_population_sends_follows_from_its_program() -> None:
    nodes = net(Family("counting", counting, ("x",), ("v",)))
    assert source_intervals(nodes) == {"in": (0, 1), "p": (-1, 3)}
    assert source_intervals(net()) == {"in": (0, 1), "p": (0, 1)}


def test_a_population_that_always_sends_something_sent_nothing_before_the_first_step() -> None:
    def always(x: Any, v: Any) -> Step:
        return Step(state=(v,), spike=where(x > v, 3, 2))

    assert source_intervals(net(Family("always", always, ("x",), ("v",))))["p"] == (0, 3)


@pytest.mark.parametrize(("low", "high"), [(-(2**31), 0), (0, 2**31)])
def test_spikes_of_32_bits_are_the_largest(low: int, high: int) -> None:
    def graded(low: int, high: int) -> Graph[FixedNode]:
        def step(x: Any, v: Any) -> Step:
            return Step(state=(v,), spike=saturate(x, low, high))

        return net(Family("graded", step, ("x",), ("v",)))

    assert source_intervals(graded(min(low + 1, 0), max(high - 1, 0)))["p"] == (min(low + 1, 0), max(high - 1, 0))
    with pytest.raises(UnsupportedError, match="32 bits"):
        source_intervals(graded(low, high))
    assert source_intervals(graded(-3, -2))["p"] == (-3, 0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_port_is_refused_when_the_sum_of_its_projections_passes_62_bits(sign: int) -> None:
    weight = np.full((1, 1), sign * (2**31 - 1), np.int32)
    parts = {name: DenseSynapses(weight, (1,), (1,), Delivery(shift=30)) for name in "abc"}

    def graph(names: str) -> Graph[FixedNode]:
        nodes: dict[str, FixedNode] = {"in": FixedInput((1,)), "p": population(SUMMING, (1,)), "out": Output((1,))}
        nodes |= {name: parts[name] for name in names}
        edges = [edge for name in names for edge in (Edge("in", name), Edge(name, "p"))]
        return Graph(nodes, (*edges, Edge("p", "out")))

    one = (2**31 - 1) << 30
    assert port_intervals(graph("ab")) == {"p": {"x": (0, 2 * one) if sign > 0 else (-2 * one, 0)}}
    with pytest.raises(UnsupportedError) as caught:
        port_intervals(graph("abc"))
    assert caught.value.where == "p"
    assert "port 'x'" in caught.value.what
    assert caught.value.fix


def test_spikes_that_nothing_bounds_are_refused_by_name() -> None:
    def loud(x: Any, v: Any) -> Step:
        return Step(state=(v,), spike=x)

    with pytest.raises(UnsupportedError) as caught:
        port_intervals(net(Family("loud", loud, ("x",), ("v",))))
    assert caught.value.where == "p"
    assert "32 bits" in caught.value.what
    assert "saturate" in caught.value.fix


def test_sums_that_64_bits_do_not_hold_are_refused_by_name() -> None:
    weight = np.full((1, 4), 2**31 - 1, np.int32)
    nodes: dict[str, FixedNode] = {
        "in": FixedInput((4,), high=2**31 - 1),
        "w": DenseSynapses(weight, (4,), (1,)),
        "p": population(SUMMING, (1,)),
        "out": Output((1,)),
    }
    edges = (Edge("in", "w"), Edge("w", "p"), Edge("p", "out"))
    with pytest.raises(UnsupportedError) as caught:
        port_intervals(Graph(nodes, edges))
    assert caught.value.where == "w"
    assert caught.value.fix
    nodes["in"] = FixedInput((4,), high=2**28)
    assert port_intervals(Graph(nodes, edges)) == {"p": {"x": (0, 4 * (2**31 - 1) * 2**28)}}
    nodes["w"] = DenseSynapses(weight, (4,), (1,), Delivery(shift=2))
    with pytest.raises(UnsupportedError, match="shifted by 2") as caught:
        port_intervals(Graph(nodes, edges))
    assert caught.value.where == "w"


def test_integer_weights_behind_what_sends_no_spikes_are_refused() -> None:
    def silent(x: Any, v: Any) -> Step:
        return Step(state=(v + x,), output=v)

    graph = net(Family("silent", silent, ("x",), ("v",)))
    more = {**graph.nodes, "w": DenseSynapses(np.ones((2, 2), np.int8), (2,), (2,)), "o": Output((2,))}
    with pytest.raises(GraphError) as caught:
        port_intervals(Graph(more, (*graph.edges, Edge("p", "w"), Edge("w", "o"))))
    assert caught.value.where == "w"
    assert "'p' sends no spikes" in caught.value.what
    assert caught.value.fix


def test_a_port_that_no_projection_feeds_is_refused() -> None:
    nodes: dict[str, FixedNode] = {"in": FixedInput((2,)), "p": population(SUMMING, (2,)), "out": Output((2,))}
    with pytest.raises(GraphError) as caught:
        port_intervals(Graph(nodes, (Edge("in", "p"), Edge("p", "out"))))
    assert (caught.value.where, bool(caught.value.fix)) == ("p", True)
    assert "no projection" in caught.value.what


LAW_VALUES = {"v_keep": [4000, 3000], "i_keep": 2048, "i_bias": 0, "v_bias": [0, 7], "v_th": [500, 900], "v_reset": 0}


def test_the_ranges_of_a_population_hold_over_all_its_neurons() -> None:
    graph = net(integer_family("cuba_lif", Law(), 0), LAW_VALUES)
    ranges = all_ranges(graph)["p"]
    assert ranges.values == population_ranges(graph.nodes["p"], {"x": (-45, 66)}).values  # type: ignore[arg-type]
    assert ranges.state["v"][1] == 900
    assert -46 <= ranges.state["i"][0] <= -45
    assert 65 <= ranges.state["i"][1] <= 66
    assert len(ranges.proven) == 2


def test_a_value_that_64_bits_do_not_hold_is_refused_with_its_population() -> None:
    def square(x: Any, v: Any) -> Step:
        product = (v + x) * (v + x)
        return Step(state=(v + x,), spike=product > 5)

    with pytest.raises(UnsupportedError) as caught:
        all_ranges(net(Family("square", square, ("x",), ("v",))))
    assert caught.value.where == "p"
    assert "64 bits" in caught.value.what
    assert "narrow" in caught.value.fix


def test_sums_that_the_caller_has_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = net(integer_family("cuba_lif", Law(), 0), LAW_VALUES)
    sums, expected = synapses_intervals(graph), all_ranges(graph)
    assert sums["a"].delivered == (-5, 10)
    assert sums["b"].delivered == (-40, 60)
    monkeypatch.setattr("norse_export.ir.bounds.weight_totals", None)
    assert port_intervals(graph, sums) == {"p": {"x": (-45, 66)}}
    assert all_ranges(graph, sums) == expected
