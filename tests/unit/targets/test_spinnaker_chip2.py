"""SpiNNaker 2: the NIR file against the reader's rules written down once more, and the emulation of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from small_nets import cuba_li, cuba_lif, dense, discrete_chain, graph, spikes

from norse_export.engine.network import compile_network
from norse_export.errors import ExportError, InputFileError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.nir.write import write
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output
from norse_export.ir.neurons import IF, LI, LIF
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import QuantiseChoice
from norse_export.program.families import Rule
from norse_export.program.operations import Op
from norse_export.targets.spinnaker import SpinnakerTarget
from norse_export.targets.spinnaker.artefact import identifier
from norse_export.targets.spinnaker.chip2_file import KEY, read_document

TARGET = SpinnakerTarget(states=True)
CHIP2 = QuantiseChoice(chip="spinnaker2")
STEPS, SAMPLES = 60, 3


def raster(cells: int = 8, rate: float = 0.3) -> dict[str, Any]:
    return {"input": spikes(np.random.default_rng(7), STEPS, SAMPLES, cells, rate=rate)}


def weights(seed: int, n_in: int, n_out: int, *, bias: bool = False) -> Linear:
    generator = np.random.default_rng(seed)
    layer = dense(generator, n_in, n_out, scale=4 / np.sqrt(n_in))
    return Linear(layer.weight, generator.normal(size=n_out).astype(np.float32) / 4 if bias else None)


def recurrent() -> Graph[Any]:
    """A layer with a bias and a reset off 0, a recurrent one, a readout."""
    resting = {"v_reset": -0.2, "v0": np.full(6, -0.2, np.float32)}
    nodes = {
        "input": Input((8,), "float32"),
        "0": weights(1, 8, 6, bias=True),
        "a": cuba_lif((6,), **resting),
        "2": weights(2, 6, 5),
        "b.lif": cuba_lif((5,), recurrent=True),
        "back": weights(3, 5, 5),
        "4": weights(4, 5, 2),
        "li": cuba_li((2,)),
        "output": Output((2,)),
    }
    edges: list[Any] = [("input", "0"), ("0", "a"), ("a", "2"), ("2", "b.lif", "x"), ("b.lif", "back", "x", 1)]
    edges += [("back", "b.lif", "r"), ("b.lif", "4"), ("4", "li"), ("li", "output")]
    return discretise(graph(nodes, edges))


def box() -> Graph[Any]:
    """Layers without synapses."""
    levels = {"v_th": np.float32(1), "v_reset": np.float32(0)}
    layer = LIF(
        shape=(6,), dt=1e-3, tau_mem=np.float32(1e-2), v_leak=np.float32(0.1), v0=np.zeros(6, np.float32), **levels
    )
    last = LI(shape=(3,), dt=1e-3, tau_mem=np.float32(1e-2), v_leak=np.float32(0))
    wide = [replace(layer, weight=3 * layer.weight) for layer in (weights(1, 8, 6, bias=True), weights(2, 6, 3))]
    return discrete_chain((8,), wide[0], layer, wide[1], last)


def exported(model: Graph[Any], folder: Path) -> Graph[Any]:
    made = TARGET.lower(model, CHIP2, raster())
    assert TARGET.check(made.graph) == ()
    TARGET.emit(made.graph, folder)
    return made.graph


def read_as_the_reader_does(path: Path, inputs: Any) -> dict[str, Any]:
    """Spikes and membranes in float64, by what the reader makes of each field; nothing of ours is used."""
    network = nir.read(path)
    kinds = (nir.LIF, nir.CubaLIF)
    neurons = {name: node for name, node in network.nodes.items() if isinstance(node, kinds)}
    (entry,) = [name for name, node in network.nodes.items() if isinstance(node, nir.Input)]
    dt = 1e-3
    state = {name: [np.zeros((SAMPLES, node.v_threshold.size))] * 2 for name, node in neurons.items()}
    sent: dict[str, Any] = {name: np.zeros((SAMPLES, node.v_threshold.size)) for name, node in neurons.items()}
    sent[entry] = np.zeros((SAMPLES, inputs.shape[2]))
    found: dict[str, Any] = {name: ([], []) for name in neurons}
    for x in inputs:
        now = {entry: x.astype(float)}
        for name, node in neurons.items():
            drive, bias = 0.0, 0.0
            for layer in [a for a, b in network.edges if b == name]:
                (source,) = [a for a, b in network.edges if b == layer]
                drive = drive + sent[source] @ network.nodes[layer].weight.T.astype(float)
                bias = bias + getattr(network.nodes[layer], "bias", 0.0)
            v, i = state[name]
            if isinstance(node, nir.CubaLIF):
                a, b = dt / node.tau_mem, dt / node.tau_syn
                scale = 1 / (a * node.r) / (b * node.w_in)
                offset = a * node.v_leak * scale + bias * node.w_in / (b * node.w_in)
                j = i + drive
                state[name][1:] = [j * (1 - b)]
            else:
                a = dt / node.tau
                scale = 1 / (a * node.r)
                offset, j = a * node.v_leak * scale + bias, drive
            v = (1 - a) * v + j + offset
            fired = v > node.v_threshold * scale
            found[name][0].append(fired)
            found[name][1].append(v)
            state[name] = [np.where(fired, 0, v), state[name][1]]
            now[name] = fired.astype(float)
        sent = now
    return {name: (np.array(fired), np.array(v)) for name, (fired, v) in found.items()}


@pytest.mark.parametrize("model", [recurrent, box])
def test_the_file_means_to_the_reader_what_is_emulated(model: Callable[[], Graph[Any]], tmp_path: Path) -> None:
    exported(model(), tmp_path)
    inputs = raster()
    expected, actual = read_as_the_reader_does(tmp_path / "network.nir", inputs["input"]), TARGET.run(tmp_path, inputs)
    assert "documented rules" in actual.ran_by
    network = TARGET.read(tmp_path, Limits())
    for name, fired in actual.spikes.items():
        assert 30 < fired.sum() < 0.9 * fired.size, name
        assert np.array_equal(fired, expected[identifier(name)][0])
    readout = "li" if "li" in network.nodes else "3"
    population: Any = network.nodes[readout]
    shift = next(step for step in population.program.instructions if step.op is Op.SHIFT_LEFT)
    raw = actual.observables[readout]["v_rec"]
    assert np.allclose(raw / 2.0 ** shift.constants[0], expected[identifier(readout)][1], atol=0.01)
    assert np.abs(raw).max() > 0


@pytest.mark.parametrize("model", [recurrent, box])
def test_the_artefact_runs_to_the_engine_s_bits(model: Callable[[], Graph[Any]], tmp_path: Path) -> None:
    made = exported(model(), tmp_path)
    expected, actual = compile_network(made).run(raster(), states=True).run, TARGET.run(tmp_path, raster())
    for kind in ("spikes", "outputs"):
        for name, values in getattr(expected, kind).items():
            assert np.array_equal(values, getattr(actual, kind)[name]), name
    for name, recorded in expected.observables.items():
        for key, values in recorded.items():
            assert np.array_equal(values, actual.observables[name][key]), (name, key)


def test_spikes_are_near_the_model_s_late_by_their_depth() -> None:
    """The first layer's weights are multiples of a 32nd, which 8 bits hold: there every spike is the model's."""
    first = np.clip(np.rint(weights(1, 8, 20).weight * 64), -127, 127) / 32
    first[0, 0] = 127 / 32
    model = discrete_chain((8,), Linear(first), cuba_lif((20,)), weights(2, 20, 10), cuba_lif((10,)))
    made = TARGET.lower(model, CHIP2, raster())
    expected, actual = interpret(model, raster()).spikes, compile_network(made.graph).run(raster()).run.spikes
    assert dict(made.skew) == {"1": 1, "3": 2, "output": 2}
    for name, most in (("1", 0.0), ("3", 0.1)):
        late = made.skew[name]
        differing = np.count_nonzero(expected[name][: STEPS - late] != actual[name][late:])
        assert expected[name].any()
        assert differing <= most * expected[name].sum()


def test_weights_have_8_bits_and_use_them(tmp_path: Path) -> None:
    exported(recurrent(), tmp_path)
    network = nir.read(tmp_path / "network.nir")
    layers = [node for node in network.nodes.values() if hasattr(node, "weight")]
    assert len(layers) == 4
    for node in layers:
        assert np.array_equal(node.weight, np.rint(node.weight))
        assert np.abs(node.weight).max() <= 127
    assert max(np.abs(node.weight).max() for node in layers) == 127
    assert sum(isinstance(node, nir.Affine) for node in layers) == 1


def test_the_same_graph_gives_the_same_bytes_and_the_report_says_what_was_not_checked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    exported(recurrent(), tmp_path / "a")
    exported(recurrent(), tmp_path / "b")
    for name in ("network.nir", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert "no vendor code was available" in report["not_checked"]
    assert report["reader"]["reset"] == "ResetMethod.ZERO"
    assert report["totals"]["cores"] == 4


def test_a_folder_is_told_read_and_recorded(tmp_path: Path) -> None:
    exported(recurrent(), tmp_path)
    assert TARGET.holds(tmp_path)
    assert TARGET.recorded(tmp_path) is None
    TARGET.record(tmp_path, raster(), TARGET.run(tmp_path, raster()))
    stored: Any = TARGET.recorded(tmp_path)
    assert np.array_equal(stored["input"], raster()["input"])
    metadata = TARGET.read(tmp_path, Limits()).metadata
    assert float(metadata["dt"]) == 1e-3
    assert json.loads(metadata["skew"]) == {"a": 1, "b.lif": 2, "li": 3, "output": 3}
    (tmp_path / "network.nir").write_bytes(b"nothing")
    assert not TARGET.holds(tmp_path)
    exported(recurrent(), tmp_path)
    with pytest.raises(UsageError, match="SpiNNaker 2"):
        TARGET.vendor_check("spynnaker", tmp_path, raster(), python=None)


@pytest.mark.bulk
@pytest.mark.parametrize(
    "change",
    [
        lambda notes: notes.update(format=2),
        lambda notes: notes["shapes"].update(a=[10**12]),
        lambda notes: notes["shapes"].update(a=[-6]),
        lambda notes: notes["shapes"].update(a=[7]),
        lambda notes: notes["shapes"].pop("a"),
        lambda notes: notes["names"].popitem(),
        lambda notes: notes["scales"].update(a="x"),
        lambda notes: notes.update(dt=-1.0),
        lambda notes: notes.update(dt=1e-30),
        lambda notes: notes["outputs"].update(other="nobody"),
        lambda notes: notes.update(metadata=3),
    ],
)
def test_a_damaged_network_is_refused(tmp_path: Path, change: Any) -> None:
    exported(recurrent(), tmp_path)
    document = read_document(tmp_path, Limits())
    notes = json.loads(str(document.metadata[KEY]))
    change(notes)
    write(tmp_path / "network.nir", replace(document, metadata={KEY: json.dumps(notes)}))
    with pytest.raises(ExportError) as caught:
        TARGET.run(tmp_path, raster())
    assert caught.value.exit_code == 2


def test_a_nir_file_of_others_is_no_artefact(tmp_path: Path) -> None:
    exported(recurrent(), tmp_path)
    document = read_document(tmp_path, Limits())
    write(tmp_path / "network.nir", replace(document, metadata={}))
    with pytest.raises(InputFileError, match="none that was exported"):
        TARGET.run(tmp_path, raster())


@pytest.mark.bulk
def test_weights_of_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    exported(recurrent(), tmp_path)
    document = read_document(tmp_path, Limits())
    layers = {name: node for name, node in document.nodes.items() if getattr(node, "type", "") == "Linear"}
    for wrong in (128.0, 0.5):
        name, node = next(iter(layers.items()))
        weight = np.array(node.fields["weight"])
        weight[0, 0] = wrong
        nodes = {**document.nodes, name: replace(node, fields={"weight": weight})}
        write(tmp_path / "network.nir", replace(document, nodes=nodes))
        with pytest.raises(InputFileError, match="8 bits"):
            TARGET.run(tmp_path, raster())


def refused(model: Graph[Any], inputs: Any = None) -> set[tuple[str, str]]:
    with pytest.raises(ExportError) as caught:
        TARGET.lower(model, CHIP2, inputs)
    assert caught.value.exit_code == 3
    return {(finding.kind, finding.where) for finding in caught.value.findings}


def test_what_the_reader_does_not_take_is_refused_by_name() -> None:
    chain = discrete_chain((8,), weights(1, 8, 6), cuba_lif((6,), v0=np.full(6, 0.1, np.float32)))
    assert refused(chain) == {("initial_state", "1")}
    assert refused(discrete_chain((8,), weights(1, 8, 6), cuba_lif((6,)), weights(2, 6, 3))) == {
        ("host_layer", "2"),
        ("host_layer", "output"),
    }
    nodes = {"input": Input((8,), "float32"), "0": weights(1, 8, 6), "1": cuba_lif((6,)), "output": Output((6,))}
    late = graph(nodes, [("input", "0", "x", 2), ("0", "1"), ("1", "output")])
    assert refused(discretise(late)) == {("delay", "0")}
    slow = cuba_lif((6,), tau_mem=50.0, tau_syn=30.0)
    assert refused(discrete_chain((8,), weights(1, 8, 6), slow)) == {("range", "1")}


@pytest.mark.bulk
@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (IF(shape=(6,), dt=1e-3, v_th=np.float32(1), v_reset=np.float32(0)), "family"),
        (cuba_lif((6,), rule=Rule(threshold="ge")), "threshold"),
        (cuba_lif((6,), rule=Rule(reset="subtract")), "family"),
    ],
    ids=["no leak", "at the threshold", "by subtraction"],
)
def test_neurons_whose_step_the_reader_does_not_document_are_refused_by_name(layer: Any, kind: str) -> None:
    assert refused(discrete_chain((8,), weights(1, 8, 6), layer)) == {(kind, "1")}


def test_membrane_first_arrives_with_the_one_delay_that_the_reader_has() -> None:
    first = Rule(order="membrane_first")
    model = discrete_chain((8,), weights(1, 8, 6), cuba_lif((6,), v_th=0.5, rule=first))
    made = TARGET.lower(model, CHIP2, raster())
    assert made.skew == {"1": 0, "output": 0}
    expected, actual = (run.spikes["1"] for run in (interpret(model, raster()), emulate(made.graph, raster())))
    assert expected.sum() > 50
    assert np.count_nonzero(expected != actual) < expected.sum() / 4
    assert np.count_nonzero(expected[:-1] != actual[1:]) > expected.sum() / 2


def test_convolutions_become_matrices(tmp_path: Path) -> None:
    kernel = np.random.default_rng(3).normal(size=(2, 1, 3, 3)).astype(np.float32)
    nodes = {
        "input": Input((1, 6, 6), "float32"),
        "0": Conv(kernel, (6, 6), None, (1, 1), (1, 1), (1, 1), 1),
        "1": cuba_lif((2, 6, 6)),
        "2": Flatten((2, 6, 6)),
        "3": weights(2, 72, 3),
        "4": cuba_li((3,)),
        "output": Output((3,)),
    }
    names = list(nodes)
    model = discretise(graph(nodes, list(pairwise(names))))
    inputs = {"input": spikes(np.random.default_rng(1), STEPS, 2, 1, 6, 6)}
    made = TARGET.lower(model, CHIP2, inputs)
    TARGET.emit(made.graph, tmp_path)
    run = TARGET.run(tmp_path, inputs)
    assert run.spikes["1"].shape == (STEPS, 2, 2, 6, 6)
    expected = interpret(model, inputs)
    assert np.mean(expected.spikes["1"][:-1] != run.spikes["1"][1:]) < 0.02
    assert np.corrcoef(expected.outputs["output"][:-2].ravel(), run.outputs["output"][2:].ravel())[0, 1] > 0.99


def test_chips_that_are_not_offered_are_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="spinnaker3"):
        TARGET.lower(recurrent(), QuantiseChoice(chip="spinnaker3"), None)
