"""Rung 0 on other inputs: the replay of a traced graph is the model itself, bit for bit."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from test_trace_batch_norm import CASES as NORMALISED
from test_trace_batch_norm import normalised
from test_trace_layers import LAYERS
from test_trace_neurons import CELLS, SEQUENCES, VARIANTS, N, driven, population
from test_trace_structure import Branches, lif
from torch import nn
from traced_models import currents, interpreted, seeded, spikes

from norse_export.errors import GraphError, UsageError
from norse_export.formats.node_codec import decode_node, encode_node
from norse_export.frontend.reference import reference_run
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import OVER_TIME, Traced, trace
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF
from norse_export.ir.run import Run
from norse_export.passes.discretise import discretise


def assert_bits_equal(expected: Run, actual: Run) -> None:
    """Spikes, outputs and final states, to the last bit."""
    assert set(expected.spikes) == set(actual.spikes)
    for name, raster in expected.spikes.items():
        assert np.array_equal(raster, actual.spikes[name]), name
    for name, values in expected.outputs.items():
        assert values.dtype == actual.outputs[name].dtype
        assert np.array_equal(values, actual.outputs[name]), name
    for name, variables in expected.final_state.items():
        assert set(variables) == set(actual.final_state[name])
        for variable, values in variables.items():
            found = actual.final_state[name][variable]
            assert values.dtype == found.dtype
            assert np.array_equal(np.broadcast_to(values, found.shape), found), (name, variable)


def replayed(model: nn.Module, example: torch.Tensor, other: torch.Tensor) -> Traced:
    """Trace on the example; on the other raster model and replay must agree."""
    traced = trace(model, example)
    expected = reference_run(model, (other,), traced.time, traced.graph)
    (name,) = traced.inputs
    assert_bits_equal(expected, replay(discretise(traced.graph), {name: other.numpy()}))
    assert_bits_equal(traced.reference, replay(discretise(traced.graph), traced.inputs))
    return traced


@pytest.mark.parametrize(
    ("variant", "dtype"), [*((variant, torch.float32) for variant in VARIANTS), ("per neuron", torch.float64)]
)
@pytest.mark.parametrize("kind", [*CELLS, *SEQUENCES], ids=lambda kind: kind.__name__)
def test_every_population_is_replayed_bit_for_bit(kind: type, variant: str, dtype: torch.dtype) -> None:
    model = population(kind, variant, dt=0.0017).to(dtype)
    example = driven(kind, dtype)[:8]
    other = currents(45, example.shape[1], N, scale=1.7, seed=5).to(dtype)
    traced = replayed(model, example, other)
    run = reference_run(model, (other,), traced.time, traced.graph)
    assert all(raster.any() for raster in run.spikes.values())


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_replayed_bit_for_bit(name: str) -> None:
    layers, shape = LAYERS[name]
    model = seeded(snn.SequentialState(lif(), *layers, snn.LICell()), gain=7.0, seed=1)
    example, other = (8 * spikes(steps, 3, *shape, rate=0.3, seed=steps) for steps in (10, 25))
    replayed(model, example, other * currents(*other.shape, scale=0.3))


@pytest.mark.parametrize("kind", ["outside", "inside", "lift"])
def test_wide_layers_are_replayed_in_the_models_own_order_of_sums(kind: str) -> None:
    """A product of a whole raster and one of a step add up in different orders: 87 % of these values differ."""
    first, second = nn.Linear(784, 512), nn.Linear(512, 300)
    cells = {
        "outside": lambda: snn.SequentialState(first, snn.LIFCell(), second, snn.LICell()),
        "inside": lambda: snn.SequentialState(first, snn.LIF(), second, snn.LI()),
        "lift": lambda: snn.SequentialState(snn.Lift(first), snn.LIF(), second, snn.Lift(snn.LICell())),
    }
    model = cells[kind]().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * 0.2)
    traced = replayed(model, spikes(4, 8, 784), spikes(12, 8, 784, seed=1))
    listed = {"outside": None, "inside": '["0", "2"]', "lift": '["2"]'}[kind]
    assert traced.graph.metadata.get(OVER_TIME) == listed
    if kind == "inside":
        plain = Graph(traced.graph.nodes, traced.graph.edges)
        other = {"input": spikes(12, 8, 784, seed=1).numpy()}
        one, two = (replay(discretise(graph), other) for graph in (traced.graph, plain))
        assert not np.array_equal(one.final_state["1"]["v"], two.final_state["1"]["v"])


def test_a_layer_that_leads_nowhere_is_not_listed() -> None:
    class Dangling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.unused(x)
            return self.used(x)

    traced = trace(seeded(Dangling()), spikes(6, 3, 6), time="inside")
    assert traced.graph.metadata[OVER_TIME] == '["used"]'
    assert replay(discretise(traced.graph), traced.inputs).outputs["output"].any()


def test_a_value_that_was_doubled_is_replayed_bit_for_bit() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.layer(x)
            return h + h

    replayed(seeded(Doubled()), spikes(6, 3, 6), currents(9, 3, 6))


def test_branches_and_residuals_are_replayed_bit_for_bit() -> None:
    model = seeded(Branches(), gain=3.0)
    replayed(model, spikes(10, 3, 6), currents(40, 3, 6, scale=2.0))


def test_recurrence_with_dense_weights_is_replayed_bit_for_bit() -> None:
    for model in (snn.LIFRecurrentCell(40, 60), snn.LIFRecurrent(40, 60)):
        replayed(seeded(model, gain=3.0), spikes(5, 4, 40), spikes(60, 4, 40, seed=3))


@pytest.mark.parametrize("name", NORMALISED)
def test_a_folded_normalisation_is_replayed_within_the_margin(name: str) -> None:
    """Folded it is another computation than the model's: the one case in which bits may differ."""
    layer, norm, shape = NORMALISED[name]
    model = snn.SequentialState(*normalised(layer, norm), snn.LICell()).eval()
    traced = trace(model, spikes(5, 3, *shape))
    other = {"input": spikes(30, 3, *shape, seed=2).numpy()}
    graph = discretise(traced.graph)
    bounded = interpret_bounded(graph, other, {}, dtype="float32").outputs["output"]
    expected = reference_run(model, (torch.from_numpy(other["input"]),), traced.time, traced.graph)
    for run in (expected, replay(graph, other)):
        assert (np.abs(run.outputs["output"].astype(np.float64) - bounded.value) <= bounded.error).all()


def test_a_graph_that_was_stored_is_replayed_as_before() -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), lif(), nn.Linear(6, 2), snn.LICell()), gain=5.0)
    traced = trace(model, spikes(6, 3, 6))
    arrays: dict[str, Any] = {}
    encoded = {name: encode_node(node, name, arrays) for name, node in traced.graph.nodes.items()}
    for array in arrays.values():
        array.setflags(write=False)
    nodes = {name: decode_node(name, node, arrays, "m.pt") for name, node in encoded.items()}
    stored = Graph(nodes, traced.graph.edges, traced.graph.metadata)
    other = {"input": spikes(30, 3, 6, seed=1).numpy()}
    other["input"].setflags(write=False)
    assert_bits_equal(replay(discretise(traced.graph), other), replay(discretise(stored), other))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float64])
def test_rasters_of_any_type_are_taken(dtype: Any) -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), lif()), gain=5.0)
    traced = trace(model, spikes(6, 3, 6))
    x = spikes(20, 3, 6, seed=1).numpy()
    graph = discretise(traced.graph)
    assert_bits_equal(replay(graph, {"input": x}), replay(graph, {"input": x.astype(dtype)}))


def test_the_run_says_what_ran() -> None:
    traced = trace(seeded(nn.Linear(6, 2)), spikes(6, 3, 6))
    ran_by = replay(discretise(traced.graph), traced.inputs).ran_by
    assert ran_by.startswith(traced.reference.ran_by)
    assert ran_by.endswith("on the traced graph")
    for words in (f"torch {torch.__version__}", "float32", "batch 3", "threads"):
        assert words in ran_by
    assert "norse" not in ran_by  # which has no part in it
    traced = trace(seeded(snn.SequentialState(nn.Linear(6, 2), snn.LIFCell())), spikes(6, 3, 6))
    assert traced.reference.ran_by.startswith("norse ")
    assert replay(discretise(traced.graph), traced.inputs).ran_by.startswith(traced.reference.ran_by)


def test_an_input_that_does_not_fit_is_refused() -> None:
    graph = discretise(trace(seeded(nn.Linear(6, 2)), spikes(6, 3, 6)).graph)
    with pytest.raises(UsageError, match="wrong input shape"):
        replay(graph, {"input": np.zeros((6, 3, 7), np.float32)})
    with pytest.raises(UsageError, match="named"):
        replay(graph, {"x": np.zeros((6, 3, 6), np.float32)})


def _graph(node: Any, **metadata: str) -> Graph[Any]:
    nodes = {"in": Input(node.input_shape), "n": node, "out": Output(node.output_shape)}
    edges = [Edge("in", "n"), Edge("n", "out")]
    return Graph(nodes, tuple(edges), metadata)


GAINED = {
    "CubaLIF": CubaLIF(shape=(4,), dt=1e-3, tau_mem=np.float64(0.01), tau_syn=np.float64(0.005),
                       v_leak=np.float32(0), v_th=np.float32(0.3), v_reset=np.float32(0), r=np.float32(1.7)),
    "CubaLI": CubaLI(shape=(4,), dt=1e-3, tau_mem=np.float64(0.01), tau_syn=np.float64(0.005),
                     v_leak=np.float32(0.1), w_in=np.float32(1.0)),
    "LIF": LIF(shape=(4,), dt=1e-3, tau_mem=np.float64(0.01), v_leak=np.float32(0), v_th=np.float32(0.3),
               v_reset=np.float32(0), r=np.float32(2.5)),
    "LI": LI(shape=(4,), dt=1e-3, tau_mem=np.float64(0.01), v_leak=np.float32(0), r=np.float32(2.5)),
    "IF": IF(shape=(4,), dt=1e-3, v_th=np.float32(1), v_reset=np.float32(0), r=np.float32(300.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", GAINED)
def test_gains_that_norse_has_not_are_applied_to_the_input(name: str) -> None:
    graph = discretise(_graph(GAINED[name]))
    x = {"in": currents(50, 2, 4, scale=2.0).numpy()}
    expected = interpret(graph, x)
    assert_bits_equal(replay(graph, x), expected)
    assert all(raster.any() for raster in expected.spikes.values())


@pytest.mark.parametrize("text", ["", "{}", "7", '["nowhere"]', "[7]", "[" * 100_000])
def test_metadata_that_list_no_layers_are_refused(text: str) -> None:
    graph = _graph(Linear(np.ones((2, 3), np.float32)), **{OVER_TIME: text})
    with pytest.raises(GraphError, match=OVER_TIME):
        replay(discretise(graph), {"in": np.ones((2, 1, 3), np.float32)})


def test_replay_and_interpreter_are_two_computations_that_agree() -> None:
    traced = trace(seeded(Branches(), gain=3.0), spikes(30, 3, 6))
    one, other = interpreted(traced), replay(discretise(traced.graph), traced.inputs)
    assert {name: raster.sum() for name, raster in one.spikes.items()} == {
        name: raster.sum() for name, raster in other.spikes.items()
    }
    assert one.ran_by.startswith("interpreter")
    assert not other.ran_by.startswith("interpreter")
