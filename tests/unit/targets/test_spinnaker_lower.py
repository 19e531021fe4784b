"""Models in SpiNNaker's terms: the same spikes, late by their depth; weights in 16 bits; what is refused, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from small_nets import cuba_li, cuba_lif, dense, discrete_chain, graph, spikes

from norse_export.engine.network import compile_network
from norse_export.errors import ExportError, UsageError
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Input, Linear, Output, Pool
from norse_export.ir.neurons import LI, LIF
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import QuantiseChoice, Quantised
from norse_export.program.laws import Law
from norse_export.targets.spinnaker.derive import ONE, UNIT_BITS
from norse_export.targets.spinnaker.lower import lower
from norse_export.targets.spinnaker.saturation import saturated_cells
from norse_export.targets.spinnaker.weights import MARGIN

pytestmark = pytest.mark.bulk  # the default suite has the recordings, and whole exports

STEPS, SAMPLES = 120, 2


def box(kind: Any, size: int, **changes: Any) -> Any:
    """A layer without synapses, with a time constant of ten steps."""
    values = {"tau_mem": 1e-2, "v_leak": 0.0, **({"v_th": 1.0, "v_reset": 0.0} if kind is LIF else {}), **changes}
    return kind(shape=(size,), dt=1e-3, **{name: np.float32(value) for name, value in values.items()})


def raster(*shape: int, seed: int = 1, rate: float = 0.3) -> dict[str, Any]:
    return {"input": spikes(np.random.default_rng(seed), STEPS, SAMPLES, *shape, rate=rate)}


def aligned(model: Graph[Any], inputs: Mapping[str, Any], **choices: Any) -> tuple[Quantised, dict[str, Any], Any]:
    """What was made, and of each layer and output what it sent in the model (float64) and, in the same steps, here."""
    made = lower(model, QuantiseChoice(**choices), inputs)
    before, after = interpret(model, inputs, dtype="float64"), emulate(made.graph, inputs, states=True)
    most = max(made.skew.values())
    pairs = {}
    for kind in ("spikes", "outputs"):
        for name, sent in getattr(before, kind).items():
            late = made.skew[name]
            pairs[name] = (sent[: STEPS - most], getattr(after, kind)[name][late : STEPS - most + late])
    return made, pairs, after


def weights(seed: int, n_in: int, n_out: int, bias: float = 0.0) -> Linear:
    generator = np.random.default_rng(seed)
    layer = dense(generator, n_in, n_out, scale=4 / np.sqrt(n_in))
    return replace(layer, bias=(bias * generator.normal(size=n_out)).astype(np.float32) if bias else None)


def test_every_layer_sends_the_model_s_spikes_late_by_its_depth() -> None:
    model = discrete_chain(
        (20,),
        weights(1, 20, 15),
        cuba_lif((15,)),
        weights(2, 15, 12),
        cuba_lif((12,)),
        weights(3, 12, 4),
        cuba_li((4,)),
    )
    made, pairs, _ = aligned(model, raster(20))
    assert made.skew == {"1": 1, "3": 2, "5": 4, "output": 4}  # a membrane is recorded before its update
    for name in ("1", "3"):
        expected, actual = pairs[name]
        assert expected.sum() > 50
        assert np.array_equal(expected, actual), name
    expected, actual = pairs["output"]
    assert np.abs(expected - actual).max() < 2e-3 < np.abs(expected).max()


@pytest.mark.parametrize("late", [-1, 1])
def test_another_skew_gives_other_spikes(late: int) -> None:
    model = discrete_chain((20,), weights(1, 20, 15), cuba_lif((15,)))
    inputs = raster(20)
    made = lower(model, QuantiseChoice(), inputs)
    before, after = interpret(model, inputs).spikes["1"], emulate(made.graph, inputs).spikes["1"]
    start = made.skew["1"] + late
    assert np.count_nonzero(before[: STEPS - start] != after[start:]) > 100


def test_biases_resting_potentials_and_initial_states_are_the_model_s_at_any_depth() -> None:
    odd = {"v_leak": 0.25, "v_reset": -0.5}  # so that v begins off its rest
    model = discrete_chain(
        (20,),
        weights(1, 20, 15, bias=0.05),
        cuba_lif((15,), **odd),
        weights(2, 15, 12, bias=0.05),
        cuba_lif((12,), **odd),
        weights(3, 12, 4, bias=0.1),
        cuba_li((4,), v_leak=0.5),
    )
    _, pairs, _ = aligned(model, raster(20))
    for name in ("1", "3"):
        assert np.count_nonzero(pairs[name][0] != pairs[name][1]) <= 2, name
        assert pairs[name][0].sum() > 50
    assert np.abs(pairs["output"][0] - pairs["output"][1])[:30].max() < 2e-3


def test_a_layer_waits_for_its_input_even_where_it_begins_off_its_rest() -> None:
    model = discrete_chain((3,), weights(1, 3, 3), cuba_lif((3,)), weights(2, 3, 4, bias=1.0), cuba_lif((4,)))
    silent = {"input": np.zeros((STEPS, 1, 3), np.float32)}
    made = lower(model, QuantiseChoice(search=False), silent)
    expected, actual = interpret(model, silent).spikes["3"], emulate(made.graph, silent).spikes["3"]
    assert expected.any()
    assert np.array_equal(expected[:-2], actual[2:])


def test_layers_without_synapses_are_the_delta_model() -> None:
    model = discrete_chain(
        (20,), weights(1, 20, 15, bias=0.1), box(LIF, 15, v_th=0.3), weights(2, 15, 4), box(LI, 4, v_leak=0.1)
    )
    made, pairs, _ = aligned(model, raster(20))
    assert np.array_equal(*pairs["1"])
    assert pairs["1"][0].sum() > 50
    assert np.abs(pairs["output"][0] - pairs["output"][1]).max() < 1e-3
    told = json.loads(made.graph.metadata["spinnaker"])
    assert {entry["model"] for entry in told.values()} == {"IF_curr_delta"}


RECURRENT: dict[str, Any] = {
    "input": Input((20,), "float32"),
    "in": weights(1, 20, 15),
    "lif": cuba_lif((15,), recurrent=True),
    "back": weights(2, 15, 15),
    "output": Output((15,)),
}
LOOP = [("input", "in"), ("in", "lif", "x"), ("lif", "back", "x", 1), ("back", "lif", "r"), ("lif", "output")]


def test_recurrence_takes_the_step_that_it_takes_in_the_model() -> None:
    made, pairs, _ = aligned(discretise(graph(RECURRENT, LOOP)), raster(20))
    assert made.skew["lif"] == 1
    delays = {edge.source: edge.delay_steps for edge in made.graph.edges if edge.delay_steps}
    assert delays == {"input": 1, "lif": 1}
    assert np.count_nonzero(pairs["lif"][0] != pairs["lif"][1]) <= 2
    assert pairs["lif"][0].sum() > 50


def test_branches_of_other_lengths_meet_in_the_step_in_which_they_meet_in_the_model() -> None:
    nodes = {
        "input": Input((20,), "float32"),
        "a": weights(1, 20, 15),
        "lif_a": cuba_lif((15,)),
        "b": weights(2, 15, 15),
        "lif_b": cuba_lif((15,)),
        "c": weights(3, 15, 10),
        "d": weights(4, 20, 10),
        "lif_c": cuba_lif((10,)),
        "output": Output((10,)),
    }
    names = ["input", "a", "lif_a", "b", "lif_b", "c", "lif_c", "output"]
    edges = [*pairwise(names), ("input", "d"), ("d", "lif_c")]
    made, pairs, _ = aligned(discretise(graph(nodes, edges)), raster(20))
    assert {edge.delay_steps for edge in made.graph.edges if edge.target.startswith("d.")} == {3}
    assert np.array_equal(*pairs["lif_c"])
    assert pairs["lif_c"][0].sum() > 50


def convolutional(*, kind: str = "avg") -> Graph[Any]:
    generator = np.random.default_rng(5)
    first = Conv(generator.normal(size=(4, 2, 3, 3)).astype(np.float32), (8, 8), None, (1, 1), (1, 1), (1, 1), 1)
    second = Conv(generator.normal(size=(3, 4, 3, 3)).astype(np.float32), (4, 4), None, (1, 1), (0, 0), (1, 1), 1)
    pool: Any = Pool(kind=kind, shape=(4, 8, 8), kernel=(2, 2), stride=(2, 2), padding=(0, 0))  # type: ignore[arg-type]
    return discrete_chain((2, 8, 8), first, cuba_lif((4, 8, 8)), pool, second, cuba_lif((3, 2, 2)))


def test_convolutions_and_average_pooling() -> None:
    _, pairs, _ = aligned(convolutional(), raster(2, 8, 8))
    for name in ("1", "4"):
        assert pairs[name][0].sum() > 50
        assert np.count_nonzero(pairs[name][0] != pairs[name][1]) <= 3, name


def test_a_last_linear_layer_without_neurons_stays_on_the_host() -> None:
    model = discrete_chain((20,), weights(1, 20, 15), cuba_lif((15,)), weights(2, 15, 3, bias=0.5))
    made, pairs, _ = aligned(model, raster(20))
    assert isinstance(made.graph.nodes["2"], Linear)
    assert made.skew["output"] == 1
    assert np.array_equal(*pairs["1"])
    assert np.abs(pairs["output"][0] - pairs["output"][1]).max() < 1e-6


def test_the_engine_runs_what_the_emulation_runs() -> None:
    inputs = raster(2, 8, 8)
    made = lower(convolutional(), QuantiseChoice(), inputs)
    expected = emulate(made.graph, inputs, states=True)
    actual = compile_network(made.graph).run(inputs, states=True).run
    for name, recorded in expected.observables.items():
        for key, values in recorded.items():
            assert np.array_equal(values, actual.observables[name][key]), (name, key)


def test_parameters_are_those_of_the_exact_map() -> None:
    made = lower(discrete_chain((4,), weights(1, 4, 3), cuba_lif((3,), v_th=0.7)), QuantiseChoice())
    node: Any = made.graph.nodes["1"]
    p = {key: int(value.flat[0]) for key, value in node.parameters.items()}
    assert p["exp_tc"] in (round(0.9 * ONE), round(0.9 * ONE) - 1)
    assert abs(p["exc_decay"] - 0.8 * 2**UNIT_BITS) < 2**UNIT_BITS * 2e-5
    assert (p["r_membrane"], p["t_refract"], p["i_offset"]) == (ONE, 0, 0)
    assert p["v_thresh"] == int(np.floor(np.float64(np.float32(0.7)) * ONE)) + 1  # strict: the least above


def test_shifts_hold_what_was_seen_with_a_margin_and_a_default_that_holds_everything() -> None:
    model = discrete_chain((40,), weights(1, 40, 30), cuba_lif((30,)))
    seen = lower(model, QuantiseChoice(), raster(40, rate=0.05))
    default = lower(model, QuantiseChoice(search=False), raster(40))
    own, plain = (json.loads(made.graph.metadata["spinnaker"])["1"] for made in (seen, default))
    for shift, largest, coarse in zip(own["shifts"], own["seen"], plain["shifts"], strict=True):
        assert MARGIN * largest * 2.0 ** (15 - shift) <= 65535 < MARGIN * largest * 2.0 ** (16 - shift)
        assert coarse > shift - np.log2(own["scale"])
    assert plain["seen"] == [None, None]
    assert plain["scale"] == 1 < own["scale"]
    assert any(finding.kind == "saturation" for finding in seen.findings)
    assert not any(finding.kind == "saturation" for finding in default.findings)
    node = default.graph.nodes["1"]
    assert isinstance(node, Population)
    assert dict(node.saturated) == {"exc": 65535, "inh": 65535}


def test_a_sum_of_weights_is_seen_over_all_projections_with_their_delays() -> None:
    weight = np.array([[1.0], [1.0]], np.float32).T
    nodes = {
        "input": Input((2,), "float32"),
        "now": Linear(weight),
        "then": Linear(weight),
        "lif": cuba_lif((1,), v_th=50.0),
        "output": Output((1,)),
    }
    edges = [("input", "now"), ("input", "then", "x", 2), ("now", "lif"), ("then", "lif"), ("lif", "output")]
    pulses = np.zeros((8, 1, 2), np.float32)
    pulses[1] = 1  # two at once, and two steps later again
    told = {}
    for last, steps in ((3, "meet"), (4, "miss")):
        given = pulses.copy()
        given[last] = 1
        made = lower(discretise(graph(nodes, edges)), QuantiseChoice(), {"input": given})
        told[steps] = json.loads(made.graph.metadata["spinnaker"])["lif"]["seen"][0]
    assert told["meet"] == pytest.approx(2 * told["miss"], rel=1e-4)


def test_a_layer_that_calibration_does_not_reach_has_default_shifts_and_a_warning() -> None:
    model = discrete_chain((8,), weights(1, 8, 6), cuba_lif((6,), v_th=1e3), weights(2, 6, 3), cuba_lif((3,)))
    plain, made = lower(model, QuantiseChoice(search=False)), lower(model, QuantiseChoice(), raster(8))
    told, default = (json.loads(one.graph.metadata["spinnaker"])["3"] for one in (made, plain))
    assert [2**shift for shift in told["shifts"]] == [told["scale"] * 2**shift for shift in default["shifts"]]
    assert [f.where for f in made.findings if f.kind == "calibration_silent"] == ["3"]


def test_what_saturates_is_counted_and_told() -> None:
    """Calibrated on few spikes, judged on all: a ring buffer is full where the sum is beyond 16 bits."""
    model = discrete_chain((40,), Linear(np.full((3, 40), 0.5, np.float32)), cuba_lif((3,), v_th=1e3))
    quiet, busy = np.zeros((10, 1, 40)), np.ones((10, 1, 40))
    quiet[:, :, 0] = 1
    made = lower(model, QuantiseChoice(), {"input": quiet})
    told = json.loads(made.graph.metadata["spinnaker"])["1"]
    assert told["saturated"] == [0, 0]
    assert told["weights"] == [[120, 0], [0, 0]]
    sent = {"input": busy, "1": np.zeros((10, 1, 3))}
    assert saturated_cells(made.graph, sent) == {"1": (27, 0)}  # the first step has nothing yet
    assert compile_network(made.graph).run({"input": busy}).activity.saturated["1", "exc"] == 27


@pytest.mark.parametrize("sizes", [(40, 64, 10), (200, 64, 10), (784, 100, 10)], ids=str)
def test_hidden_spikes_of_dense_networks_hardly_differ_with_calibrated_shifts(sizes: tuple[int, ...]) -> None:
    """At most 0.3 % of the cells, and a fifth of those with the default shift: mean of five networks."""
    share = {True: [], False: []}  # type: dict[bool, list[float]]
    for seed in range(5):
        generator = np.random.default_rng(seed)
        nodes: list[Any] = []
        for n_in, n_out in pairwise(sizes):
            weight = (generator.normal(size=(n_out, n_in)) * 2 / np.sqrt(n_in)).astype(np.float32)
            nodes += [Linear(weight), cuba_lif((n_out,))]
        model = discrete_chain((sizes[0],), *nodes)
        given, judged = ({"input": spikes(generator, 200, 1, sizes[0], rate=0.1)} for _ in range(2))
        expected = interpret(model, judged).spikes["1"]
        for search, found in share.items():
            made = lower(model, QuantiseChoice(search=search), given)
            actual = emulate(made.graph, judged).spikes["1"]
            found.append(float(np.mean(expected[:-1] != actual[1:])))
    assert np.mean(share[True]) <= 0.003
    assert np.mean(share[True]) <= np.mean(share[False]) / 5
    assert np.mean(share[False]) > 0


def refused(model: Graph[Any], inputs: Mapping[str, Any] | None = None, **choices: Any) -> set[tuple[str, str]]:
    with pytest.raises(ExportError) as caught:
        lower(model, QuantiseChoice(**choices), inputs)
    assert caught.value.exit_code == 3
    assert all(finding.fix and finding.message for finding in caught.value.findings)
    return {(finding.kind, finding.where) for finding in caught.value.findings}


def one(neurons: Any) -> Graph[Any]:
    return discrete_chain((4,), weights(1, 4, 3), neurons)


def test_what_the_chip_does_not_have_is_refused_by_name() -> None:
    assert refused(one(cuba_lif((3,), tau_mem=0.9e-3))) == {("alpha", "1")}
    assert refused(one(cuba_lif((3,), tau_mem=100.0))) == {("alpha", "1")}
    assert refused(one(cuba_lif((3,), tau_syn=0.9e-3))) == {("beta", "1")}
    assert refused(one(cuba_lif((3,), tau_syn=40.0))) == {("tau_syn", "1")}
    assert refused(one(cuba_lif((3,), v_th=70000.0))) == {("range", "1")}
    assert refused(one(cuba_lif((3,), v_leak=-70000.0))) == {("range", "1")}
    assert refused(convolutional(kind="max")) == {("max_pool", "2")}
    assert refused(one(cuba_lif((3,))), law=Law(reset="subtract")) == {("reset", "law")}
    large = discrete_chain((4,), Linear(np.full((3, 4), 1e6, np.float32)), cuba_lif((3,)))
    assert refused(large) == {("range", "1")}


@pytest.mark.parametrize("leak", [0.0, -0.1])
def test_a_membrane_that_begins_above_its_threshold_is_refused(leak: float) -> None:
    assert refused(one(cuba_lif((3,), v_th=-0.5, v_leak=leak, v_reset=-1.0, v0=0.0))) == {("initial_state", "1")}


def test_all_that_is_refused_is_told_at_once() -> None:
    model = discrete_chain(
        (4,),
        weights(1, 4, 3),
        cuba_lif((3,), tau_mem=0.9e-3, tau_syn=40.0),
        weights(2, 3, 3),
        cuba_lif((3,), tau_mem=100.0),
    )
    assert refused(model) == {("alpha", "1"), ("tau_syn", "1"), ("alpha", "3")}


def test_counts_at_the_input_are_refused() -> None:
    inputs = {"input": 2 * spikes(np.random.default_rng(0), STEPS, 1, 4)}
    assert refused(one(cuba_lif((3,))), inputs) == {("input_counts", "input")}


def test_a_loop_that_is_too_fast_for_the_chip_is_refused() -> None:
    nodes = {
        "input": Input((4,), "float32"),
        "in": weights(1, 4, 3),
        "a": cuba_lif((3,)),
        "there": weights(2, 3, 3),
        "b": cuba_lif((3,)),
        "back": weights(3, 3, 3),
        "output": Output((3,)),
    }
    edges = [("input", "in"), ("in", "a"), ("a", "there"), ("there", "b"), ("back", "a"), ("b", "output")]
    for delay, works in ((1, False), (2, True)):
        model = discretise(graph(nodes, [*edges, ("b", "back", "x", delay)]))
        if works:
            assert lower(model, QuantiseChoice()).skew == {"a": 1, "b": 2, "output": 2}
        else:
            assert {kind for kind, _ in refused(model)} == {"loop_delay"}


def test_widths_that_the_chip_does_not_have_are_a_wrong_call() -> None:
    for choice in (
        QuantiseChoice(law=Law(weight_bits=4)),
        QuantiseChoice(bits={"0": 4}),
        QuantiseChoice(per_channel=True),
        QuantiseChoice(given=("weight_bits",)),  # those of the generic law, which are not the chip's
    ):
        with pytest.raises(UsageError, match="the chip has its own widths: 16 bits"):
            lower(one(cuba_lif((3,))), choice)


def test_bursts_and_coarse_decays_are_told() -> None:
    model = discrete_chain((150,), weights(1, 150, 3), cuba_lif((3,), tau_mem=10.0))
    made = lower(model, QuantiseChoice(), raster(150, rate=0.9))
    assert {("burst", "input"), ("decay_coarse", "1")} <= {(finding.kind, finding.where) for finding in made.findings}


def test_the_law_is_told_in_words() -> None:
    made = lower(one(cuba_lif((3,))), QuantiseChoice())
    assert "sPyNNaker 7.4.1" in made.graph.metadata["law"]


def test_no_number_of_a_step_wraps_where_the_scale_was_chosen() -> None:
    model = discrete_chain(
        (20,), weights(1, 20, 15, bias=0.1), cuba_lif((15,)), weights(2, 15, 4, bias=0.1), cuba_li((4,), v_leak=0.3)
    )
    made = lower(model, QuantiseChoice(), raster(20))
    assert [cost.proven for cost in made.table] == [True, True]
    told = json.loads(made.graph.metadata["spinnaker"])
    assert all(1 < entry["scale"] <= 256 for entry in told.values())
    readout: Any = made.graph.nodes["3"]
    assert readout.parameters["v_thresh"].min() == 2**30  # twice what a membrane can come to
