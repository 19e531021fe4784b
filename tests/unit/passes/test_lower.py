"""Lowering: paths from spikes to neurons as projections, biases as constants, the rest to the host, or a refusal."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_nets import chain, cuba_li, cuba_lif, graph

from norse_export.errors import ExportError, Finding, UnsupportedError
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.passes.discretise import discretise
from norse_export.passes.linear import ConvWeights, DenseWeights, SparseWeights
from norse_export.passes.lower import input_ranges, lower
from norse_export.passes.lowered import ANY_SPIKE, InputRange, Lowered

Array = NDArray[Any]
F = np.float32


def linear(n_out: int, n_in: int, *, bias: float = 0.0, seed: int = 0) -> Linear:
    weight = np.random.default_rng(seed).integers(-8, 9, size=(n_out, n_in)) / 8
    return Linear(weight.astype(F), np.full(n_out, bias, F) if bias else None)


def conv(shape: tuple[int, ...], channels: int = 2, *, bias: bool = False) -> Conv:
    weight = np.random.default_rng(1).integers(-8, 9, size=(channels, shape[0], 3, 3)) / 8
    return Conv(weight.astype(F), shape[1:], np.arange(1, channels + 1, dtype=F) if bias else None, padding=(1, 1))


def max_pool(shape: tuple[int, ...], **options: Any) -> Pool:
    return Pool("max", shape, (2, 2), (2, 2), **options)


def lowered(nodes: dict[str, Any], edges: list[tuple[Any, ...]], **ranges: InputRange) -> Lowered:
    return lower(discretise(graph(nodes, edges)), ranges)


def refused(nodes: dict[str, Any], edges: list[tuple[Any, ...]], **ranges: InputRange) -> tuple[Finding, ...]:
    with pytest.raises(UnsupportedError) as caught:
        lowered(nodes, edges, **ranges)
    assert caught.value.exit_code == 3
    assert all(f.where and f.fix for f in caught.value.findings)
    return caught.value.findings


def test_one_layer_is_one_projection_that_has_its_name() -> None:
    layer = linear(3, 4, bias=0.5)
    found = lower(discretise(chain((4,), layer, cuba_lif((3,)))))
    (projection,) = found.projections
    assert (projection.name, projection.source, projection.target, projection.port) == ("0", "input", "1", "x")
    assert (projection.delay_steps, projection.layers) == (0, ("0",))
    assert isinstance(projection.weights, DenseWeights)
    np.testing.assert_array_equal(projection.weights.weight, layer.weight)
    np.testing.assert_array_equal(found.constants["1"]["x"], np.full(3, 0.5))
    assert found.inputs["input"][1] == InputRange(0, 1, 1.0)
    assert list(found.host) == ["output"]
    assert [(e.source, e.target) for e in found.host_edges] == [("1", "output")]


def test_pooling_and_convolution_are_one_convolution_with_both_names_and_a_constant_for_each_cell() -> None:
    pool = Pool("avg", (2, 6, 6), (2, 2), (2, 2))
    found = lower(discretise(chain((2, 6, 6), pool, conv((2, 3, 3), bias=True), cuba_lif((2, 3, 3)))))
    (projection,) = found.projections
    assert projection.name == "0+1"
    assert isinstance(projection.weights, ConvWeights)
    expected = np.broadcast_to(np.array([1.0, 2.0])[:, None, None], (2, 3, 3))
    np.testing.assert_array_equal(found.constants["2"]["x"], expected)


def test_a_bias_goes_through_the_layers_behind_it() -> None:
    first, second = linear(3, 4, bias=2.0), linear(2, 3, bias=1.0, seed=1)
    found = lower(discretise(chain((4,), first, second, cuba_lif((2,)))))
    np.testing.assert_array_equal(found.constants["2"]["x"], second.weight @ np.full(3, 2.0) + 1.0)
    np.testing.assert_array_equal(found.projections[0].weights.weight, second.weight @ first.weight)


def test_a_sum_is_several_projections_and_a_bias_behind_it_counts_once() -> None:
    nodes = {"input": Input((4,)), "a": linear(4, 4), "sum": Sum((4,)), "b": linear(3, 4, bias=1.0, seed=2)}
    nodes |= {"lif": cuba_lif((3,)), "output": Output((3,))}
    edges = [("input", "a"), ("a", "sum"), ("input", "sum"), ("sum", "b"), ("b", "lif"), ("lif", "output")]
    found = lowered(nodes, edges)
    assert [p.name for p in found.projections] == ["a+b", "b"]
    np.testing.assert_array_equal(found.projections[0].weights.weight, nodes["b"].weight @ nodes["a"].weight)
    np.testing.assert_array_equal(found.projections[1].weights.weight, nodes["b"].weight)
    np.testing.assert_array_equal(found.constants["lif"]["x"], np.ones(3))


def recurrent(bias: float = 0.0, *, before: int = 1, behind: int = 0) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    nodes = {"input": Input((4,)), "w": linear(3, 4), "lif": cuba_lif((3,), recurrent=True)}
    nodes |= {"rec": linear(3, 3, bias=bias, seed=3), "output": Output((3,))}
    edges = [("input", "w"), ("w", "lif"), ("lif", "rec", "x", before), ("rec", "lif", "r", behind), ("lif", "output")]
    return nodes, edges


@pytest.mark.parametrize(("before", "behind"), [(1, 0), (0, 1), (2, 3)])
def test_delays_of_a_path_add_up(before: int, behind: int) -> None:
    found = lowered(*recurrent(before=before, behind=behind))
    assert [(p.name, p.source, p.port, p.delay_steps) for p in found.projections] == [
        ("w", "input", "x", 0),
        ("rec", "lif", "r", before + behind),
    ]


def test_a_delay_behind_a_bias_is_refused_and_before_it_is_not() -> None:
    lowered(*recurrent(0.5, before=2))
    (finding,) = refused(*recurrent(0.5, before=0, behind=2))
    assert finding.kind == "bias_delay"
    assert finding.where == "rec -> lif"


def test_edges_without_layers_and_with_shapes_only_are_one_to_one() -> None:
    nodes = {"input": Input((2, 2)), "a": cuba_lif((2, 2)), "flat": Flatten((2, 2)), "b": cuba_lif((4,))}
    nodes["output"] = Output((4,))
    found = lowered(nodes, [("input", "a"), ("a", "flat"), ("flat", "b"), ("b", "output")])
    assert [p.name for p in found.projections] == ["input to a", "a to b"]
    for projection in found.projections:
        assert isinstance(projection.weights, SparseWeights)
        np.testing.assert_array_equal(projection.weights.weight, np.ones(4))
        np.testing.assert_array_equal(projection.weights.targets, np.arange(4))


def test_one_layer_in_several_projections_gives_each_a_name_of_its_own() -> None:
    nodes = {"input": Input((3,)), "a": cuba_lif((3,)), "b": cuba_lif((3,)), "w": linear(3, 3)}
    nodes |= {"c": cuba_lif((3,)), "d": cuba_lif((3,)), "o": Output((3,)), "p": Output((3,)), "q": Output((3,))}
    edges = [("input", "a"), ("input", "b"), ("a", "w"), ("b", "w"), ("w", "c"), ("w", "d"), ("c", "o"), ("d", "p")]
    found = lowered(nodes, [*edges, ("w", "q")])
    names = [p.name for p in found.projections if p.layers == ("w",)]
    assert names == ["w from a", "w from b", "w from a to d.x", "w from b to d.x"]
    assert list(found.host) == ["w", "o", "p", "q"]  # "w" stays the host's


def test_max_pooling_of_spikes_is_a_population_of_its_own() -> None:
    nodes = {"input": Input((1, 4, 4)), "conv": conv((1, 4, 4)), "lif": cuba_lif((2, 4, 4))}
    nodes |= {"pool": max_pool((2, 4, 4)), "flat": Flatten((2, 2, 2)), "w": linear(3, 8), "out": cuba_lif((3,))}
    nodes["output"] = Output((3,))
    names = list(nodes)
    found = lowered(nodes, list(itertools.pairwise(names)))
    assert list(found.populations) == ["lif", "pool", "out"]
    assert found.populations["pool"].family is ANY_SPIKE
    assert found.populations["pool"].shape == (2, 2, 2)
    (projection,) = found.onto("pool")
    assert isinstance(projection.weights, ConvWeights)
    np.testing.assert_array_equal(projection.weights.weight, np.ones((2, 1, 2, 2)))
    assert [p.source for p in found.onto("out")] == ["pool"]


@pytest.mark.parametrize("before", ["conv", "scale", "sum", "graded"])
def test_max_pooling_of_anything_else_is_refused(before: str) -> None:
    nodes: dict[str, Any] = {"input": Input((2, 4, 4)), "lif": cuba_lif((2, 4, 4))}
    layers = {"conv": conv((2, 4, 4)), "scale": Scale(np.full((2, 4, 4), 2.0)), "sum": Sum((2, 4, 4))}
    nodes["before"] = layers.get(before, Sum((2, 4, 4)))
    nodes |= {"pool": max_pool((2, 4, 4)), "out": cuba_lif((2, 2, 2)), "output": Output((2, 2, 2))}
    edges = [("input", "lif"), ("before", "pool"), ("pool", "out"), ("out", "output")]
    sources = {"sum": ["lif", "input"], "graded": ["input"]}.get(before, ["lif"])
    edges += [(source, "before") for source in sources]
    (finding,) = refused(nodes, edges, **({"input": InputRange(0, 2)} if before == "graded" else {}))
    assert (finding.kind, finding.where) == ("max_pool", "pool")


def test_layers_behind_the_last_spikes_stay_for_the_host() -> None:
    nodes = {
        "input": Input((2, 4, 4)),
        "lif": cuba_lif((2, 4, 4)),
        "pool": max_pool((2, 4, 4)),
        "li": cuba_li((2, 2, 2)),
    }
    nodes |= {"flat": Flatten((2, 2, 2)), "w": linear(3, 8, bias=1.0), "output": Output((3,))}
    nodes |= {"seen": max_pool((2, 4, 4)), "second": Output((2, 2, 2))}
    edges = [("input", "lif"), ("lif", "pool"), ("pool", "li"), ("li", "flat"), ("flat", "w"), ("w", "output", "x", 2)]
    found = lowered(nodes, [*edges, ("lif", "seen"), ("seen", "second")])
    assert list(found.populations) == ["lif", "pool", "li"]
    assert set(found.host) == {"flat", "w", "output", "seen", "second"}
    assert ("w", "output", 2) in [(e.source, e.target, e.delay_steps) for e in found.host_edges]


def test_membrane_values_that_reach_neurons_are_refused_each_by_its_name() -> None:
    nodes = {
        "input": Input((3,)),
        "li": cuba_li((3,)),
        "w": linear(3, 3),
        "other": cuba_li((3,)),
        "lif": cuba_lif((3,)),
    }
    nodes["output"] = Output((3,))
    edges = [("input", "li"), ("li", "w"), ("w", "lif"), ("input", "other"), ("other", "lif"), ("lif", "output")]
    findings = refused(nodes, edges)
    assert {(f.kind, f.where) for f in findings} == {("analog_values", "li"), ("analog_values", "other")}


def test_a_loop_of_layers_alone_is_refused() -> None:
    nodes = {"input": Input((3,)), "sum": Sum((3,)), "w": linear(3, 3), "lif": cuba_lif((3,)), "output": Output((3,))}
    edges = [("input", "sum"), ("sum", "w"), ("w", "sum", "x", 1), ("w", "lif"), ("lif", "output")]
    (finding,) = refused(nodes, edges)
    assert (finding.kind, finding.where) == ("loop", "sum")


def test_branches_without_end_are_refused() -> None:
    nodes: dict[str, Any] = {"input": Input((2,))}
    edges: list[tuple[Any, ...]] = []
    last = "input"
    for number in range(12):
        nodes |= {f"a{number}": Scale(np.full(2, 2.0)), f"s{number}": Sum((2,))}
        edges += [(last, f"a{number}"), (f"a{number}", f"s{number}"), (last, f"s{number}")]
        last = f"s{number}"
    nodes |= {"lif": cuba_lif((2,)), "output": Output((2,))}
    assert {f.kind for f in refused(nodes, [*edges, (last, "lif"), ("lif", "output")])} == {"paths"}


def test_a_model_without_neurons_is_refused() -> None:
    assert [f.kind for f in refused({"input": Input((2,)), "output": Output((2,))}, [("input", "output")])] == [
        "no_neurons"
    ]


def test_the_unit_of_an_input_goes_into_the_weights() -> None:
    model: Graph[Any] = discretise(chain((4,), linear(3, 4), cuba_lif((3,))))
    plain, scaled = lower(model), lower(model, {"input": InputRange(-2, 5, 0.25)})
    np.testing.assert_array_equal(scaled.projections[0].weights.weight, plain.projections[0].weights.weight / 4)
    assert scaled.inputs["input"][1].high == 5


def test_an_input_of_another_unit_that_an_output_reads_is_refused() -> None:
    nodes = {"input": Input((2,)), "lif": cuba_lif((2,)), "output": Output((2,)), "copy": Output((2,))}
    edges = [("input", "lif"), ("lif", "output"), ("input", "copy")]
    lowered(nodes, edges)
    assert [f.where for f in refused(nodes, edges, input=InputRange(0, 1, 0.5))] == ["input"]


@pytest.mark.parametrize(
    ("raster", "expected"),
    [([0.0, 1.0], (0, 1)), ([0.0, 0.0], (0, 1)), ([2.0, 7.0], (0, 7)), ([-1.0, 1.0], (-1, 1))],
)
def test_rasters_of_whole_numbers_say_their_range(raster: list[float], expected: tuple[int, int]) -> None:
    found = input_ranges({"input": np.array(raster).reshape(2, 1, 1)})
    assert found == {"input": InputRange(*expected)}


def test_rasters_of_other_numbers_are_refused_each_by_name() -> None:
    rasters = {"a": np.array([0.0, 0.5]), "b": np.array([1.0]), "c": np.array([2.0**31])}
    with pytest.raises(UnsupportedError, match="numbers from 0") as caught:
        input_ranges(rasters)
    assert [f.where for f in caught.value.findings] == ["a", "c"]
    assert all("spikes" in f.fix for f in caught.value.findings)
    assert isinstance(caught.value, ExportError)
