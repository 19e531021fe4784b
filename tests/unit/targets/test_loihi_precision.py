"""Target loihi: precision modes, what their second arrays hold, and delays; the .net file gives all of it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from loihi_models import NETS, linear, raster
from small_nets import cuba_lif, discrete_chain

from norse_export.engine.network import compile_network
from norse_export.errors import InputFileError, UnsupportedError, UsageError
from norse_export.interpret import interpret
from norse_export.ir.fixed import ConvSynapses, DenseSynapses
from norse_export.ir.graph import Graph
from norse_export.passes.plans import QuantiseChoice
from norse_export.passes.quantise import Quantised
from norse_export.targets.loihi import LoihiTarget, emulate_net
from norse_export.targets.loihi.chain import chain_of
from norse_export.targets.loihi.law import Delivery
from norse_export.targets.loihi.precision import FINE_EXP, Precision, first_of, fitting_scale, in_all, parts_of

TARGET = LoihiTarget(states=True)
SECOND = ("split", "stacked")
NORMAL = np.random.default_rng(0).normal(size=(20, 30))


def lowered(model: Graph[Any], inputs: Any, precision: str | None) -> Quantised:
    return TARGET.lower(model, QuantiseChoice(precision=precision), inputs, ranges=None)


def errors(precision: Precision, values: Any = NORMAL, factor: float = 1.0) -> Any:
    scale = factor * fitting_scale(values, precision)
    parts = parts_of(values, scale, precision, first_of(values, scale, precision))
    for part in parts:
        assert np.abs(part.weight).max() <= 256
    return (in_all(parts) * scale - values) / fitting_scale(values, Precision.SPLIT)


def test_every_mode_halves_the_error_at_least() -> None:
    """Largest errors, in parts of the largest weight / 255: steps of 2, of 1, and of 1 / 64."""
    even, split, stacked = (np.abs(errors(mode)).max() for mode in Precision)
    assert 0.9 < even <= 1.02
    assert 0.45 < split <= 0.5
    assert stacked <= 1.02 / 128


def test_an_inhibitory_array_is_only_there_where_signs_are_mixed() -> None:
    # No zeros: netx takes negative weights with a 0 among them for mixed ones.
    for values in (np.abs(NORMAL), -np.abs(NORMAL) - 0.1):
        scale = fitting_scale(values, Precision.SPLIT)
        (only,) = parts_of(values, scale, Precision.SPLIT, first_of(values, scale, Precision.SPLIT))
        assert np.abs(only.weight).max() == 255
    scale = fitting_scale(NORMAL, Precision.SPLIT)
    positive, negative = parts_of(NORMAL, scale, Precision.SPLIT, first_of(NORMAL, scale, Precision.SPLIT))
    assert positive.weight.min() == 0
    assert negative.weight.max() == 0
    assert not np.any(positive.weight * negative.weight)


def test_fine_weights_make_up_for_the_floor_of_their_sum() -> None:
    """Twelve of thirty sources spike together: without what is added, each sum would lose half a scale."""
    scale = fitting_scale(NORMAL, Precision.STACKED)
    first = first_of(NORMAL, scale, Precision.STACKED)
    spikes = np.random.default_rng(1).permuted(np.tile(np.arange(30) < 12, (2000, 1)), axis=1)
    found = {}
    for active in (None, 12.0):
        coarse, fine = parts_of(NORMAL, scale, Precision.STACKED, first, active)
        sums = spikes @ coarse.weight.T + ((spikes @ fine.weight.T) >> -FINE_EXP)
        found[active] = float(np.mean(sums - spikes @ NORMAL.T / scale))
    assert found[None] == pytest.approx(-0.5, abs=0.05)
    assert found[12.0] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("precision", SECOND)
@pytest.mark.parametrize(
    "name", ["biased", *(pytest.param(name, marks=pytest.mark.bulk) for name in NETS if name != "biased")]
)
def test_the_files_give_back_every_spike_and_state(name: str, precision: str, tmp_path: Path) -> None:
    make, shape = NETS[name]
    inputs = raster(*shape)
    made = lowered(make(), inputs, precision)
    assert [f for f in TARGET.check(made.graph) if f.severity == "error"] == []
    TARGET.emit(made.graph, tmp_path)
    actual, expected = TARGET.run(tmp_path, inputs), compile_network(made.graph).run(inputs, states=True).run
    for layer, wanted in expected.observables.items():
        assert all(np.array_equal(actual.observables[layer][key], wanted[key]) for key in wanted)
    assert all(np.array_equal(actual.spikes[layer], wanted) for layer, wanted in expected.spikes.items())
    assert sum(int(spikes.sum()) for spikes in expected.spikes.values()) > 100


@pytest.mark.bulk
def test_second_arrays_are_of_the_modes_kind() -> None:
    for precision in SECOND:
        made = lowered(NETS["images"][0](), raster(1, 8, 8), precision)
        chain, _ = chain_of(made.graph)
        assert chain is not None
        for layer in chain.layers:
            (second,) = layer.more
            assert type(second) is type(layer.synapses)
            if precision == "split":
                assert layer.synapses.weight.min() == 0
                assert second.weight.max() == 0
                assert second.delivery == layer.synapses.delivery
            else:
                assert second.delivery == Delivery(shift=FINE_EXP)
                assert not np.any(second.weight & 1)


@pytest.mark.bulk
def test_modes_cost_memory_and_win_spikes(tmp_path: Path) -> None:
    inputs, found = raster(1, 8, 8), {}
    for precision in Precision:
        made = lowered(NETS["images"][0](), inputs, precision)
        (tmp_path / precision).mkdir()
        TARGET.emit(made.graph, tmp_path / precision)
        report = json.loads((tmp_path / precision / "report.json").read_text())
        memory = np.array([layer["synapse_memory_bits"] for layer in report["layers"]])
        found[precision] = (memory.sum(axis=0), np.mean([row.jaccard for row in made.table if row.jaccard]))
        notes = {finding.kind: finding for finding in made.findings if finding.kind in ("synapse_memory", "additions")}
        assert set(notes) == (set(notes) if precision == "even8" else {"synapse_memory", "additions"})
        if precision != "even8":
            assert f"{memory[:, 1].sum() // 8:,} more" in notes["synapse_memory"].message
            assert notes["additions"].severity == "warning"
    even, split, stacked = (found[mode] for mode in Precision)
    assert even[0][1] == 0
    assert np.array_equal(split[0], [even[0][0], even[0][0]])
    assert np.array_equal(stacked[0], split[0])
    assert even[1] < split[1] < stacked[1]


def test_netx_alone_runs_the_first_arrays(tmp_path: Path) -> None:
    """What `additions=False` runs is the graph without the second array."""
    model, inputs = discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,))), raster(6)
    made = lowered(model, inputs, "stacked")
    TARGET.emit(made.graph, tmp_path)
    (alone,) = emulate_net(tmp_path / "model.net", inputs["input"][:, 0], additions=False)
    nodes = {name: node for name, node in made.graph.nodes.items() if name != "0 (2)"}
    edges = tuple(edge for edge in made.graph.edges if "0 (2)" not in (edge.source, edge.target))
    first = compile_network(Graph(nodes, edges)).run(inputs, states=True).run.observables["1"]["u"]
    both = compile_network(made.graph).run(inputs, states=True).run.observables["1"]["u"]
    assert np.array_equal(alone["u"], first[:, 0])
    assert not np.array_equal(alone["u"], both[:, 0])


def test_an_unknown_mode_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="loihi has no precision 'even9'") as caught:
        lowered(NETS["cuba_lif"][0](), None, "even9")
    assert caught.value.fix == "use one of: even8, split, stacked"


def delayed(name: str, steps: int) -> Graph[Any]:
    model = NETS[name][0]()
    edges = [replace(edge, delay_steps=steps) if edge.source == "input" else edge for edge in model.edges]
    return Graph(model.nodes, tuple(edges))


@pytest.mark.parametrize(
    ("steps", "precision"),
    [
        pytest.param(1, "even8", marks=pytest.mark.bulk),
        (7, "stacked"),
        pytest.param(62, "split", marks=pytest.mark.bulk),
    ],
)
def test_delays_before_dense_layers_are_in_the_file(steps: int, precision: str, tmp_path: Path) -> None:
    inputs = {"input": np.concatenate([raster(6)["input"]] * 2)}
    model = delayed("cuba_lif", steps)
    made = lowered(model, inputs, precision)
    assert made.skew == {"1": 1, "output": 1}
    before, after = interpret(model, inputs).spikes["1"], compile_network(made.graph).run(inputs).run.spikes["1"]
    assert not before[:steps].any()
    assert np.count_nonzero(before[:-1] != after[1:]) < 0.05 * np.count_nonzero(before)
    TARGET.emit(made.graph, tmp_path)
    assert np.array_equal(TARGET.run(tmp_path, inputs).spikes["1"], after)
    with h5py.File(tmp_path / "model.net") as file:
        assert file["layer/0/delay"][()] == steps


def test_delays_that_the_file_has_not_are_refused_by_name() -> None:
    for model in (delayed("cuba_lif", 63), delayed("recurrent", 2)):
        with pytest.raises(UnsupportedError) as caught:
            lowered(model, None, None)
        assert [finding.kind for finding in caught.value.findings] == ["delay"]
    twice = NETS["recurrent"][0]()
    edges = [replace(edge, delay_steps=2) if edge.port == "r" else edge for edge in twice.edges]
    with pytest.raises(UnsupportedError, match="a delay of 2 steps from 'lif' to 'lif'"):
        lowered(Graph(twice.nodes, tuple(edges)), None, None)


def test_a_delay_before_a_convolution_makes_it_dense() -> None:
    made = lowered(delayed("images", 3), raster(1, 8, 8), "even8")
    assert isinstance(made.graph.nodes["0"], DenseSynapses)
    assert not any(isinstance(node, ConvSynapses) for node in made.graph.nodes.values())
    assert [finding for finding in TARGET.check(made.graph) if finding.severity == "error"] == []


CHANGES: dict[str, tuple[str, Any, str]] = {
    "another block": ("additions/7", None, "additions to layer '7'"),
    "states of another shape": ("additions/0/u", np.zeros(3, np.int64), "it should have"),
    "states beyond 24 bits": ("additions/0/v", np.int64(2**24), "does not hold whole numbers"),
    "weights that are no numbers of 9 bits": ("additions/0/synapses/0/weight", np.full((8, 6), 300), "whole numbers"),
    "weights of floats": ("additions/0/synapses/0/weight", np.full((8, 6), 0.5), "whole numbers"),
    "weights of another shape": ("additions/0/synapses/0/weight", np.zeros((6, 8), np.int16), "it should have"),
    "an exponent beyond the chip's": ("additions/0/synapses/0/weight_exp", np.int64(-20), "whole numbers"),
    "a type that is none": ("additions/0/synapses/0/type", np.array([b"odd"], "S10"), "an array of type 'odd'"),
    "no exponent": ("additions/0/synapses/0/weight_exp", None, "has shape none"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_additions_that_do_not_belong_are_refused(change: str, tmp_path: Path) -> None:
    model = discrete_chain((6,), linear(8, 6, scale=3.0, bias=0.2), cuba_lif((8,)))
    TARGET.emit(lowered(model, raster(6), "stacked").graph, tmp_path)
    key, value, message = CHANGES[change]
    with h5py.File(tmp_path / "model.net", "r+") as file:
        if key in file:
            del file[key]
        if value is not None:
            file[key] = value
        elif "weight_exp" not in key:
            file.create_group(key)
    with pytest.raises(InputFileError, match=message) as caught:
        emulate_net(tmp_path / "model.net", raster(6)["input"][:, 0])
    assert caught.value.where.startswith("/additions")
    assert caught.value.fix
