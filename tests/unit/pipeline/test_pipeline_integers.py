"""Export to whole numbers through the pipeline: choices, prices, proof, and what the artefact is good for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export import cli
from norse_export.errors import InputFileError, ParityError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.fixed_file import FixedModel, read_fixed
from norse_export.ir.fixed import DenseSynapses
from norse_export.passes.prices import LayerPrice
from norse_export.pipeline import IntegerChoice, LoadChoice
from norse_export.pipeline.advice import advice
from norse_export.report.results import ExportResult, TargetExport

STEPS, SAMPLES = 40, 3


def network(scale: float = 1.0) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 6), snn.LIFCell(), torch.nn.Linear(6, 3))
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.mul_(6 * scale)
    return snn.SequentialState(*layers, snn.LICell())


def raster(seed: int = 1, rate: float = 0.3) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(seed).random((STEPS, SAMPLES, 12)) < rate).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("integers") / "m.pt"
    norse_export.save(network(), path, raster())
    return path


@pytest.fixture(scope="module")
def artefact(model: Path) -> Path:
    path = model.with_suffix(".sim")
    assert norse_export.export(model, "sim", out=path).error is None
    return path


def exported(model: Path, out: Path, **choices: Any) -> TargetExport:
    integers = IntegerChoice(**choices)
    (result,) = norse_export.export(model, "sim", out=out, integers=integers).targets
    return result


def read(path: Path) -> FixedModel:
    with path.open("rb") as file:
        return read_fixed(file, name=path.name, limits=Limits())


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {name: node.weight for name, node in read(path).graph.nodes.items() if isinstance(node, DenseSynapses)}


def test_the_first_comparison_proves_equality_and_the_second_tells_the_price(model: Path, tmp_path: Path) -> None:
    result = exported(model, tmp_path / "m.sim", weight_bits=4)
    proof, price = result.parity
    assert (proof.rung, proof.equal, proof.vacuous) == (3, True, False)
    assert proof.reference != proof.actual
    assert (price.rung, price.equal) == (2, False)
    assert {layer.node for layer in price.layers} == {"1", "3", "output"}
    assert result.error is None
    assert result.artefact is not None
    assert [cost.node for cost in result.prices] == ["1", "3", "5"]
    measured = {layer.node: layer.differing for layer in price.layers}
    assert {cost.node: cost.differing for cost in result.prices[:2]} == {name: measured[name] for name in ("1", "3")}


@pytest.mark.bulk
def test_more_bits_cost_less(model: Path, tmp_path: Path) -> None:
    costs = []
    for bits in (3, 6, 12):
        result = exported(model, tmp_path / f"{bits}.sim", weight_bits=bits)
        costs.append(sum(cost.differing or 0 for cost in result.prices))
    assert costs[0] > costs[1] > costs[2]


def test_choices_reach_the_artefact(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.sim"
    exported(model, path, weight_bits=6, layer_bits={"2": 3}, state_bits=20, decay_bits=9, search=False)
    largest = {name: int(np.abs(values.astype(int)).max()) for name, values in weights(path).items()}
    assert largest == {"0": 31, "2": 3, "4": 31}
    told = read(path).graph.metadata
    assert "weights of 6 bits" in told["law"]
    assert "states of 20" in told["law"]
    assert "decays of 9" in told["law"]
    assert told["scales"] == "one for each layer, from the largest weight, on the rasters stored in the model; 2 3 bits"


@pytest.mark.bulk
def test_a_scale_for_each_channel_uses_the_whole_range_in_each(model: Path, tmp_path: Path) -> None:
    exported(model, tmp_path / "m.sim", per_channel=True, search=False)
    for values in weights(tmp_path / "m.sim").values():
        assert (np.abs(values.astype(int)).max(axis=1) == 127).all()


@pytest.mark.bulk
def test_one_bit_is_a_sign(model: Path, tmp_path: Path) -> None:
    result = exported(model, tmp_path / "m.sim", weight_bits=1)
    assert result.error is None or isinstance(result.error, ParityError)
    exported_anyway = norse_export.export(
        model, "sim", out=tmp_path / "n.sim", integers=IntegerChoice(weight_bits=1), verify=False
    )
    assert exported_anyway.error is None
    assert {int(v) for values in weights(tmp_path / "n.sim").values() for v in values.flat} == {-1, 1}


def test_the_same_model_gives_the_same_bytes(model: Path, artefact: Path, tmp_path: Path) -> None:
    exported(model, tmp_path / "again.sim")
    assert (tmp_path / "again.sim").read_bytes() == artefact.read_bytes()


def test_scales_are_chosen_on_the_calibration_rasters(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", input=raster(7, 0.05))
    result = exported(model, tmp_path / "m.sim", calibration=tmp_path / "calib.npz", weight_bits=4)
    assert any("calib.npz" in finding.message for finding in result.findings)
    assert "calib.npz" in read(tmp_path / "m.sim").graph.metadata["scales"]
    spikes = {cost.node: cost.spikes_before for cost in result.prices}
    expected = {layer.node: layer.spikes_expected for layer in result.parity[1].layers}
    assert spikes["1"] != expected["1"]  # measured on the calibration rasters, compared on the stored ones


def test_calibration_rasters_that_do_not_fit_name_their_option(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", a=raster(), b=raster())
    result = exported(model, tmp_path / "m.sim", calibration=tmp_path / "calib.npz")
    assert isinstance(result.error, UsageError)
    assert result.error.where == "--calib"
    assert not (tmp_path / "m.sim").exists()


def test_the_output_cannot_be_the_calibration_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "calib.npz"
    np.savez(path, input=raster())
    before = path.read_bytes()
    with pytest.raises(norse_export.ExportError, match="input"):
        norse_export.export(model, "sim", out=path, integers=IntegerChoice(calibration=path), force=True)
    assert path.read_bytes() == before


def test_bits_for_a_layer_that_is_not_there_name_those_that_are(model: Path, tmp_path: Path) -> None:
    result = exported(model, tmp_path / "m.sim", layer_bits={"conv1": 4})
    assert isinstance(result.error, UsageError)
    assert "'conv1'" in result.error.what
    assert "0, 2, 4" in result.error.fix


def test_choices_that_no_target_takes_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="targets of integers"):
        norse_export.export(model, "nir", out=tmp_path / "m.nir", integers=IntegerChoice(weight_bits=4))
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_integers_silence_is_a_failure_and_leaves_no_file(tmp_path: Path) -> None:
    quiet = network()
    with torch.no_grad():  # one weight into a layer is so large that a scale from it leaves nothing of the others
        quiet[2].weight.fill_(0.9)
        quiet[2].weight[0, 0] = -1000.0
        quiet[2].bias.zero_()
    norse_export.save(quiet, tmp_path / "m.pt", raster())
    result = exported(tmp_path / "m.pt", tmp_path / "m.sim", weight_bits=2, search=False)
    assert isinstance(result.error, ParityError)
    assert [finding.kind for finding in result.error.findings] == ["vacuous"]
    assert "never fires" in result.error.what
    assert not (tmp_path / "m.sim").exists()


def test_analog_inputs_are_refused_by_name(tmp_path: Path) -> None:
    norse_export.save(network(), tmp_path / "m.pt", raster() * 0.7)
    result = exported(tmp_path / "m.pt", tmp_path / "m.sim")
    assert isinstance(result.error, UnsupportedError)
    assert result.error.where == "input"
    assert "encode" in result.error.fix


@pytest.mark.bulk
def test_what_was_not_run_says_so(model: Path, tmp_path: Path) -> None:
    norse_export.export(model, "sim", out=tmp_path / "m.sim", verify=False)
    assert read(tmp_path / "m.sim").graph.metadata["verified"] == "no: written with --no-verify"


def test_check_quantises_and_writes_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (checked,) = norse_export.check(model, ["sim"]).targets
    assert checked.fits
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_artefact_counts_what_it_did(artefact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", raster())
    ran = norse_export.run(artefact, inputs=tmp_path / "x.npy")
    assert "generic" in ran.law
    assert ran.activity is not None
    spikes = {layer.node: layer.spikes for layer in ran.layers}
    events = int(raster().sum()) * 20 + (spikes["1"] or 0) * 6 + (spikes["3"] or 0) * 3
    assert ran.activity.synaptic_operations == events
    assert ran.activity.neuron_updates == (20 + 6 + 3) * STEPS * SAMPLES
    assert ran.activity.spikes == (spikes["1"] or 0) + (spikes["3"] or 0)
    assert ran.activity.cycles is None


def test_cycles_follow_the_machine(artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.toml").write_text("neuron_interval = 20\n")
    found = [norse_export.run(artefact, count_cycles=True, machine=m) for m in (None, tmp_path / "slow.toml")]
    plain, slow = (ran.activity.cycles for ran in found if ran.activity is not None)
    assert plain is not None
    assert slow is not None
    assert slow["cycles"] > plain["cycles"] > STEPS  # type: ignore[operator]
    assert slow["neuron_updates"] == plain["neuron_updates"]


def test_cycles_of_floats_are_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="cycles"):
        norse_export.run(model, count_cycles=True)


def test_its_trace_is_equal_to_it_again(artefact: Path, tmp_path: Path) -> None:
    norse_export.run(artefact, trace=tmp_path / "t.nir")
    for pair in ((artefact, tmp_path / "t.nir"), (tmp_path / "t.nir", artefact)):
        result = norse_export.parity(*pair)
        assert result.error is None
        (comparison,) = result.parity
        assert comparison.spikes > 100
        assert {layer.node for layer in comparison.layers} == {"1", "3", "5", "output"}
        assert all(layer.states_equal for layer in comparison.layers if layer.node != "output")


@pytest.mark.bulk
def test_parity_with_its_model_is_the_price_and_with_itself_equality(model: Path, artefact: Path) -> None:
    for pair in ((model, artefact), (artefact, model)):
        result = norse_export.parity(*pair)
        assert result.parity[0].rung == 2
        assert (result.error is None) == result.parity[0].equal
    same = norse_export.parity(artefact, artefact)
    assert same.error is None
    assert same.parity[0].rung == 3


def test_inspect_shows_its_integers_law_and_machine(artefact: Path) -> None:
    found = norse_export.inspect(artefact)
    types = {node.name: node.type for node in found.nodes}
    assert types["0"] == "DenseSynapses"
    assert types["1"] == "Population"
    assert found.dt == (0.001,)
    assert found.provenance["mesh"] == "1 x 1 cores"
    assert "machine.lanes" in found.provenance
    with pytest.raises(UsageError, match="says its own dt"):
        norse_export.inspect(artefact, loading=LoadChoice(dt=1.0))


def test_it_is_no_model_to_export(artefact: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no model to export"):
        norse_export.export(artefact, "nir", out=tmp_path / "m.nir")


def test_a_trace_is_no_model_and_one_of_whole_numbers_is_none_of_the_model_either(
    model: Path, artefact: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "t.nir"
    norse_export.run(artefact, trace=trace)
    for call in (lambda: norse_export.check(trace), lambda: norse_export.run(trace)):
        with pytest.raises(InputFileError, match="a recorded trace holds what a model did") as caught:
            call()
        assert "inspect and parity take the trace" in caught.value.fix
    compared = norse_export.parity(model, trace)
    assert compared.error is not None
    assert "norse-export parity ARTEFACT TRACE" in compared.error.fix
    assert norse_export.parity(artefact, trace).error is None
    norse_export.run(model, trace=tmp_path / "model.nir")
    assert norse_export.parity(model, tmp_path / "model.nir").findings == ()


def test_the_command_line_does_all_of_it(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "m.sim")
    line = [str(model), "--target", "sim", "-o", out, "--weight-bits", "6", "--bits", "2=4", "--per-channel", "--json"]
    assert cli.main(line) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert [entry["rung"] for entry in result["parity"]] == [3, 2]
    bits = {one["name"]: one["bits"] for cost in result["targets"][0]["prices"] for one in cost["projections"]}
    assert bits == {"0": 6, "2": 4, "4": 6}
    assert cli.main(["run", out, "--cycles", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["activity"]["cycles"]["cycles"] > 0
    assert cli.main(["run", out, "--machine", "m.toml"]) == 2
    assert cli.main([str(model), "--target", "sim", "-o", out, "--bits", "2:4"]) == 2
    assert "LAYER=BITS" in capsys.readouterr().err


def test_export_to_both_kinds_of_target(model: Path, tmp_path: Path) -> None:
    result: ExportResult = norse_export.export(model, ["nir", "sim"], out=tmp_path / "all")
    assert result.error is None
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["m.nir", "m.sim"]
    assert [[one.rung for one in target.parity] for target in result.targets] == [[1], [3, 2]]


def test_a_trace_that_differs_where_nothing_spikes_is_not_equal(artefact: Path, tmp_path: Path) -> None:
    import h5py

    norse_export.run(artefact, trace=tmp_path / "t.nir")
    places: list[str] = []
    with h5py.File(tmp_path / "t.nir") as file:
        file.visititems(lambda name, found: places.append(name) if isinstance(found, h5py.Dataset) else None)
    changed = [name for name in places if "/5/" in name and "/v/" in name and name.endswith("data")]
    changed += [name for name in places if "/output/" in name and name.endswith("data")]
    assert len(changed) == 2
    for number, place in enumerate(changed):
        other = tmp_path / f"{number}.nir"
        other.write_bytes((tmp_path / "t.nir").read_bytes())
        with h5py.File(other, "r+") as file:
            file[place][...] = file[place][...] + 1000
        assert isinstance(norse_export.parity(other, artefact).error, ParityError)


def test_a_trace_knows_its_own_inputs(model: Path, artefact: Path, tmp_path: Path) -> None:
    norse_export.run(artefact, trace=tmp_path / "t.nir")
    np.save(tmp_path / "x.npy", raster())
    with pytest.raises(UsageError, match="inputs that it was recorded on"):
        norse_export.parity(tmp_path / "t.nir", artefact, inputs=tmp_path / "x.npy")
    norse_export.run(model, trace=tmp_path / "float.nir")
    with pytest.raises(UsageError, match="states of floats"):
        norse_export.parity(tmp_path / "float.nir", artefact)


def test_labels_of_a_run_are_checked(artefact: Path, tmp_path: Path) -> None:
    for labels in ([0], [0, 1, 2, 0], [0, 1, 7]):
        np.savez(tmp_path / "x.npz", input=raster(), labels=np.array(labels))
        with pytest.raises(UsageError, match="label"):
            norse_export.run(artefact, inputs=tmp_path / "x.npz")


def test_check_of_all_targets_goes_on_where_one_refuses_the_choices(model: Path) -> None:
    checked = norse_export.check(model, integers=IntegerChoice(weight_bits=4))
    assert {target.target: target.fits for target in checked.targets}["sim"]


def test_a_layer_that_calibration_never_reached_is_scaled_by_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 3), snn.LICell())
    with torch.no_grad():
        layers[0].weight.mul_(6)
    norse_export.save(snn.SequentialState(*layers), tmp_path / "m.pt", raster())
    np.savez(tmp_path / "calib.npz", input=np.zeros_like(raster()))
    result = exported(tmp_path / "m.pt", tmp_path / "m.sim", calibration=tmp_path / "calib.npz")
    assert "1" in {finding.where for finding in result.findings if finding.kind == "calibration_silent"}
    assert result.prices[0].projections[0].clipped == 0


def test_the_price_names_the_first_spike_that_differs_and_the_error_of_the_readout(model: Path, tmp_path: Path) -> None:
    result = exported(model, tmp_path / "m.sim", weight_bits=4)
    price = result.parity[1]
    assert price.first_divergence is not None
    assert price.first_divergence.quantity == "spikes"
    layers = {layer.node: layer for layer in price.layers}
    readout, cost = layers["output"], result.prices[2]
    assert readout.values_max_abs == pytest.approx(cost.value_max_abs)
    assert readout.values_mean_abs == pytest.approx(cost.value_mean_abs)
    assert 0 < readout.values_mean_abs < readout.values_max_abs  # type: ignore[operator]
    assert {one.measured_on for one in result.prices} == {"the rasters stored in the model"}


@pytest.mark.parametrize("bits", [1, 8])
def test_a_layer_that_lost_most_of_its_spikes_is_a_warning_with_options(model: Path, tmp_path: Path, bits: int) -> None:
    result = exported(model, tmp_path / "m.sim", weight_bits=bits)
    lost = {cost.node for cost in result.prices if cost.jaccard is not None and cost.jaccard < 0.5}
    assert bool(lost) == (bits == 1)
    warned = {finding.where: finding for finding in result.findings if finding.kind == "spikes_lost"}
    assert set(warned) == lost
    assert all("--bits" in finding.fix and finding.severity == "warning" for finding in warned.values())


def test_an_outlier_that_takes_the_range_is_a_warning_with_options(tmp_path: Path) -> None:
    wide = network()
    with torch.no_grad():
        wide[0].weight[0, 0] = 1000.0
    norse_export.save(wide, tmp_path / "m.pt", raster())
    result = exported(tmp_path / "m.pt", tmp_path / "m.sim", search=False)
    (found,) = (finding for finding in result.findings if finding.kind == "outlier")
    assert (found.where, found.severity) == ("0", "warning")
    assert "--per-channel, --bits 0=16" in found.fix


def test_narrow_states_that_overflow_are_said_to() -> None:
    cost = LayerPrice("1", "lif", 4, (), 0, 12, 9, False, overflows=3)
    (found,) = advice([cost], own_law=False)
    assert (found.kind, found.where, found.fix) == ("overflow", "1", "use --state-bits 12")
    assert "3 states left their 9 bits" in found.message
    assert "--" not in advice([cost], own_law=True)[0].fix
    assert not advice([replace(cost, overflows=0)], own_law=False)
