"""Target loihi starts where the model does: biases at synapses, v_leak, v0, i0, however late the first spikes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loihi_models import box, linear, number, raster
from small_nets import cuba_li, cuba_lif, discrete_chain

from norse_export.engine.network import compile_network
from norse_export.errors import UnsupportedError
from norse_export.interpret import interpret
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.passes.plans import QuantiseChoice
from norse_export.targets.loihi import LoihiTarget, emulate_net

TARGET = LoihiTarget(states=True)
FAR = 50.0  # a threshold that nothing reaches: membranes are compared, and no resets


def lowered(model: Graph[Any], inputs: Any = None) -> Any:
    return TARGET.lower(model, QuantiseChoice(precision="stacked"), inputs, ranges=None)


NEURONS: dict[str, Any] = {
    "rest": cuba_lif((8,), v_th=FAR),
    "current": cuba_lif((8,), v_th=FAR).changed(i0=np.linspace(-1, 1, 8).astype(np.float32)),
    "leak": cuba_lif((8,), v_th=FAR, v_leak=0.7, v_reset=-0.3),
    "membrane": cuba_lif((8,), v_th=FAR, v_leak=-0.4, v0=0.9),
    "box": box(v_th=number(FAR), v_leak=number(0.6), v0=number(-0.5)),
}


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("name", NEURONS)
def test_membranes_are_the_models_from_the_first_step_on(name: str, before: int) -> None:
    """Behind `before` layers, which come one step later each, with a bias in every layer."""
    nodes: list[Any] = []
    for number_of in range(before):
        nodes += [linear(8, 6 if not nodes else 8, number_of, scale=3.0, bias=0.1), cuba_lif((8,))]
    nodes += [linear(8, 8 if nodes else 6, 9, bias=-0.2), NEURONS[name]]
    model, inputs, last = discrete_chain((6,), *nodes), raster(6), str(len(nodes) - 1)
    made = lowered(model, inputs)
    late = made.skew[last]
    assert late == before + 1
    forced = compile_network(made.graph).run(inputs, states=True).run
    truth = interpret(model, inputs, states=True).observables[last]["v"]
    population = made.graph.nodes[last]
    assert isinstance(population, Population)
    reset = float(np.asarray(NEURONS[name]["v_reset"]).flat[0])
    found = forced.observables[last]["v"] * population.unit["v"] + reset
    quiet = 3 if before else len(truth) - late  # behind other layers what comes before their first different spikes
    wrong = np.abs(found[late : late + quiet] - truth[:quiet])
    assert wrong.max() < 0.02 * np.abs(truth).max() + 1e-3
    not_shifted = np.abs(found[:quiet] - truth[:quiet])
    assert not_shifted.max() > 2 * wrong.max()


def test_a_bias_costs_no_more_spikes_than_weights_alone() -> None:
    def jaccard(bias: float | None) -> float:
        nodes = [linear(20, 6, 0, scale=3.0, bias=bias), cuba_lif((20,)), linear(8, 20, 1, scale=2.0, bias=bias)]
        model, inputs = discrete_chain((6,), *nodes, cuba_lif((8,))), raster(6)
        return float(lowered(model, inputs).table[-1].jaccard)

    assert jaccard(0.15) > 0.9
    assert jaccard(0.15) > jaccard(None) - 0.05


def test_the_readout_of_a_bias_is_proved_from_where_it_starts() -> None:
    model = discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,)), linear(3, 8, bias=0.5), cuba_li((3,)))
    made = lowered(model, raster(6))
    assert {price.node: price.proven for price in made.table}["3"]
    assert made.graph.nodes["3"].initial_state["u"].any()


def test_netx_alone_starts_at_zero_and_that_is_told(tmp_path: Path) -> None:
    model = discrete_chain((6,), linear(8, 6, scale=3.0, bias=0.3), cuba_lif((8,)))
    made = TARGET.lower(model, QuantiseChoice(), raster(6), ranges=None)
    assert [(f.kind, f.severity) for f in made.findings if f.where == "model.net"] == [("additions", "note")]
    TARGET.emit(made.graph, tmp_path)
    given = raster(6)["input"][:, 0]
    ((ours,), (netx,)) = (emulate_net(tmp_path / "model.net", given, additions=added) for added in (True, False))
    starts = made.graph.nodes["1"].initial_state["u"]
    first = np.trunc(starts * (4096 - 819) / 4096)
    assert np.array_equal(ours["u"][0], first)
    assert not netx["u"][0].any()


def test_a_start_that_the_chip_cannot_have_is_told() -> None:
    """A membrane without memory cannot be set before the last of the steps that come before its first spikes."""
    quick = box(tau_mem=number(1e-3), v_th=number(1), v_leak=number(2.0), v0=number(0.0))
    model = discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,)), linear(8, 8), quick)
    (told,) = [f for f in lowered(model, raster(6)).findings if f.kind == "initial_state"]
    assert (told.severity, told.where) == ("warning", "3")
    assert "8 of 8 neurons" in told.message


def test_a_layer_that_begins_above_its_threshold_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError) as caught:
        lowered(discrete_chain((6,), linear(8, 6), cuba_lif((8,), v0=1.5)))
    (finding,) = caught.value.findings
    assert (finding.kind, finding.where, caught.value.exit_code) == ("initial_state", "1", 3)
