"""Every family on SpiNNaker: the model's spikes, the chip's numbers as the scalar oracle has them, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from family_chip_nets import FIRST, GE, STEPS, SUBTRACT, ZERO, net, neuron, of_class, raster
from small_nets import cuba_lif, discrete_chain
from spinnaker_oracle import Neuron as Oracle
from spinnaker_oracle import run_network

from norse_export.errors import UnsupportedError
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate, summed
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.passes.quantise import QuantiseChoice, Quantised
from norse_export.program.families import Rule, family
from norse_export.program.program import Family
from norse_export.targets.spinnaker import SpinnakerTarget, reading
from norse_export.targets.spinnaker.derive import LEAK, ONE, expk
from norse_export.targets.spinnaker.lower import lower

TARGET = SpinnakerTarget(states=True)
# Their decays and weights are rounded, and so a few spikes may differ; the step is the same.
LEAKY = [
    *(family("lif_refrac", recurrent=loop) for loop in (False, True)),
    *(family("cuba_lif", recurrent=loop, rule=rule) for rule in (GE, FIRST, ZERO) for loop in (False, True)),
    *(family("lif", recurrent=True, rule=rule) for rule in (Rule(), GE)),
    family("lif_quotient_whole", rule=GE),
    family("leaky_zero"),
    family("leaky_decayed", recurrent=True),
    family("synaptic_zero"),
    family("synaptic_zero_now"),
]
EXACT = [
    family("if"),
    family("if", recurrent=True),
    family("if", rule=GE),
    family("if", rule=Rule(reset="zero", threshold="ge")),
    family("threshold"),
    family("threshold", rule=GE),
]


def made_of(graph: Graph[Any]) -> Quantised:
    return lower(graph, QuantiseChoice(), raster())


def spike_counts(graph: Graph[Any], made: Quantised) -> dict[str, tuple[int, int]]:
    """Of each layer the spikes of the model, in float64, and the cells that differ on the chip."""
    before, after = interpret(graph, raster(), dtype="float64").spikes, emulate(made.graph, raster()).spikes
    found = {}
    for name, sent in before.items():
        late = made.skew[name]
        found[name] = (int(sent.sum()), int(np.count_nonzero(sent[: STEPS - late] != after[name][late:])))
    return found


@pytest.mark.parametrize("made", LEAKY, ids=lambda made: made.name)
def test_the_first_layer_sends_the_model_s_spikes(made: Family) -> None:
    graph = net(made)
    counts = spike_counts(graph, made_of(graph))
    sent, differing = counts["n0"]
    assert sent > 40
    assert differing <= sent / 50, counts
    assert counts["n1"][0] > 10


@pytest.mark.parametrize("made", EXACT, ids=lambda made: made.name)
def test_what_has_no_decay_is_exact_where_numbers_are_on_a_grid(made: Family) -> None:
    graph = net(made, grid=64)
    counts = spike_counts(graph, made_of(graph))
    assert all(sent > 40 and not differing for sent, differing in counts.values()), counts


def test_a_spike_at_the_threshold_is_one_of_ge_alone() -> None:
    """One input of weight v_th each step: v comes to the threshold exactly."""
    given = {"input": np.ones((8, 1, 1), np.float32)}
    sent = {}
    for rule in (Rule(), GE):
        node = neuron(family("if", rule=rule), 1, v_th=0.75, v=0.0, v_reset=0.0)
        graph = Graph(
            {"input": Input((1,)), "w": Linear(np.full((1, 1), 0.25, np.float32)), "n": node, "output": Output((1,))},
            (Edge("input", "w"), Edge("w", "n"), Edge("n", "output")),
        )
        made = lower(graph, QuantiseChoice(), given)
        sent[rule.threshold] = np.flatnonzero(emulate(made.graph, given).spikes["n"]).tolist()
    assert sent == {"gt": [4], "ge": [3, 6]}  # a step later than in the model


def test_membrane_first_is_a_delay_and_takes_no_step_of_its_own() -> None:
    graph = net(family("cuba_lif", rule=FIRST))
    made = made_of(graph)
    assert {made.skew["n0"], made.skew["n1"]} == {0}
    assert {edge.delay_steps for edge in made.graph.edges if edge.source in ("input", "n0")} == {1}


def test_rest_is_the_chip_s_refractory_time_and_begins_where_the_model_s_does() -> None:
    graph = net(family("lif_refrac"), rho_reset=np.float32(4.0), rho=np.float32(2.0))
    made = made_of(graph)
    node: Any = made.graph.nodes["n1"]
    assert set(node.parameters["t_refract"].tolist()) == {4}
    assert set(node.initial_state["refractory"].tolist()) == {2 + made.skew["n1"]}
    sent, differing = spike_counts(graph, made)["n0"]
    assert differing <= sent / 50


def test_the_leak_that_counts_escape_is_the_chip_s_least() -> None:
    """exp_tc of the longest time constants: 1 would stand still, and no time constant gives what is between."""
    assert [expk(-n) for n in (0, 1)] == [ONE, ONE - LEAK]
    node: Any = made_of(net(family("if"), grid=64)).graph.nodes["n0"]
    assert set(node.parameters["exp_tc"].tolist()) == {ONE - LEAK}
    assert set(node.parameters["r_membrane"].tolist()) == {ONE}


def test_what_is_below_the_window_is_told() -> None:
    made = made_of(net(family("if")))
    assert {finding.where for finding in made.findings if finding.kind == "creep"} == {"n0", "n1"}


def oracle_of(graph: Graph[Any], inputs: Mapping[str, Any]) -> dict[str, list[list[dict[str, int]]]]:
    """What the scalar oracle makes of the fixed graph, sample 0, records [T][n] of each population."""
    own = {"v": "v_init", "refractory": "refract_timer", "i_exc": "exc_isyn", "i_inh": "inh_isyn"}
    ends = {name: "inp" if isinstance(node, FixedInput) else name for name, node in graph.nodes.items()}
    populations, ways = {}, {}
    shifts: Any = json.loads(graph.metadata["spinnaker"])
    for name, node in graph.nodes.items():
        if isinstance(node, Population):
            given = {**node.parameters, **{own[key]: value for key, value in node.initial_state.items()}}
            flat = {key: value.reshape(-1) for key, value in given.items()}
            populations[name] = [
                Oracle(
                    "exc_decay" in flat,
                    {key: int(values[cell]) for key, values in flat.items()},
                    shifts[name]["shifts"],
                )
                for cell in range(node.shape[0])
            ]
        elif isinstance(node, Synapses):
            (into,), (out,) = graph.incoming(name), graph.outgoing(name)
            size = node.input_shape[0]
            rows = summed(name, node, np.eye(size, dtype=np.int8)[:, np.newaxis])[:, 0]
            signed = rows * (-1 if out.port == "inh" else 1)
            weights, delays = ways.get((ends[into.source], out.target), (np.zeros_like(rows), np.ones_like(rows)))
            ways[ends[into.source], out.target] = (weights + signed, np.where(rows != 0, into.delay_steps, delays))
    lists = {key: (weights.tolist(), delays.tolist()) for key, (weights, delays) in ways.items()}
    slots = {name: [16] * len(neurons) for name, neurons in populations.items()}
    return run_network(inputs["input"][:, 0].astype(int).tolist(), populations, lists, slots)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are parsed here: a process for each would be all that takes time."""

    def parse(parser: str, file: BinaryIO, *, name: str, limits: Limits) -> Parsed:
        module, _, function = parser.partition(":")
        return Parsed(*getattr(import_module(module), function)(file, limits))

    monkeypatch.setattr(reading, "parse_in_child", parse)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("made", [*LEAKY, *EXACT], ids=lambda made: made.name)
def test_the_written_artefact_is_the_oracle_s_bit_for_bit(made: Family, tmp_path: Path) -> None:
    lowered = made_of(net(made, grid=64 if made in EXACT else None))
    TARGET.emit(lowered.graph, tmp_path)
    assert not [finding for finding in TARGET.check(lowered.graph) if finding.severity == "error"]
    expected, actual = oracle_of(lowered.graph, raster()), TARGET.run(tmp_path, raster())
    for name in ("n0", "n1"):
        fired = np.array([[cell["spike"] for cell in row] for row in expected[name]])
        v = np.array([[cell["v_post"] for cell in row] for row in expected[name]])
        unit: Any = lowered.graph.nodes[name]
        assert fired.any()
        assert np.array_equal(actual.spikes[name][:, 0], fired.astype(bool))
        assert np.array_equal(np.rint(actual.observables[name]["v"][:, 0]), v), name
        read: Any = TARGET.read(tmp_path, Limits()).nodes[name]
        assert np.array_equal(read.unit["v"], unit.unit["v"])


REFUSED = {
    "lsnn": "threshold that rises", "lif_ex": "exponential", "lif_adex": "adaptation", "lif_adex_refrac": "adaptation",
    "izhikevich": "midpoint", "leaky_subtract": "subtraction", "leaky_none": "no reset",
    "synaptic_subtract": "subtraction", "alpha_zero": "two currents",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_chip_does_not_have_is_refused_by_name_and_with_its_reason(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        made_of(of_class(net(family(name)), "Framework Class"))
    assert caught.value.exit_code == 3
    assert [(finding.kind, finding.where) for finding in caught.value.findings] == [("family", "n0"), ("family", "n1")]
    for finding in caught.value.findings:
        assert finding.message.startswith("its neurons (Framework Class) have ")
        assert REFUSED[name] in finding.message
        assert "_" not in finding.message.replace("IF_curr_exp and IF_curr_delta", "").replace("IZK_curr_exp", "")
    assert all("norse-export run, parity" in finding.fix for finding in caught.value.findings)


@pytest.mark.parametrize("name", ["cuba_lif", "lif", "if", "lif_share"])
def test_a_reset_by_subtraction_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="a reset by subtraction"):
        made_of(net(family(name, rule=SUBTRACT)))


def test_a_reset_above_the_threshold_would_fire_through_the_rest_and_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="the chip compares at rest") as caught:
        made_of(net(family("lif_refrac"), v_reset=np.float32(0.75)))
    assert {finding.kind for finding in caught.value.findings} == {"refractory"}
    made_of(net(family("cuba_lif"), v_reset=np.float32(0.75)))  # without a rest it is nothing


def test_thresholds_that_no_count_reaches_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="do not fit the chip"):
        made_of(net(family("if"), v_th=np.float32(1e6)))


def test_an_ordinary_layer_is_untouched_by_all_this() -> None:
    plain = discrete_chain((4,), Linear(np.ones((3, 4), np.float32)), cuba_lif((3,)))
    told = json.loads(lower(plain, QuantiseChoice()).graph.metadata["spinnaker"])
    assert told["1"]["counts"] is False
