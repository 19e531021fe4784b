"""Artefacts of a chip: found by their content, run, inspected, compared, recorded, and checked by vendors' software."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from chip_target import ChipTarget

import norse_export
from norse_export import cli, registry
from norse_export.errors import ExportError, InputFileError, MissingDependencyError, ParityError, UsageError
from norse_export.pipeline import InputChoice, IntegerChoice, LoadChoice, VendorChoice
from norse_export.report.results import ExportResult

STEPS, SAMPLES = 40, 3
GIVEN = InputChoice(random_steps=STEPS, rate=0.3, samples=2, seed=5)


@pytest.fixture(autouse=True)
def chip(monkeypatch: pytest.MonkeyPatch) -> type[ChipTarget]:
    """The chip stands in the table of targets, and no other chip; what it does wrong is undone after each test."""
    for name in ("loihi", "spinnaker"):
        monkeypatch.delitem(registry._TARGETS, name)
    monkeypatch.setitem(registry._TARGETS, "chip", "chip_target:ChipTarget")
    for name in ("late", "skew", "differing", "flip"):
        monkeypatch.setattr(ChipTarget, name, getattr(ChipTarget, name))
    monkeypatch.setattr(ChipTarget, "asked", [])
    return ChipTarget


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 6), snn.LIFCell())
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.mul_(6)
    path = tmp_path_factory.mktemp("chip") / "m.pt"
    raster = (np.random.default_rng(1).random((STEPS, SAMPLES, 12)) < 0.3).astype(np.float32)
    norse_export.save(snn.SequentialState(*layers), path, raster)
    return path


@pytest.fixture(scope="module")
def artefact(model: Path) -> Path:
    """An export to the chip, of which tests only read."""
    path = model.with_suffix(".chip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._TARGETS, "chip", "chip_target:ChipTarget")
        assert exported(model, path).error is None
    return path


@pytest.fixture(scope="module")
def sim(model: Path) -> Path:
    path = model.with_suffix(".sim")
    assert norse_export.export(model, "sim", out=path, integers=IntegerChoice(search=False)).error is None
    return path


def exported(model: Path, out: Path, **choices: Any) -> ExportResult:
    return norse_export.export(model, "chip", out=out, integers=IntegerChoice(search=False), **choices)


def test_an_export_records_what_proved_it_and_a_file_that_was_not_run_records_nothing(
    model: Path, artefact: Path, tmp_path: Path
) -> None:
    assert (artefact / "raster.npz").is_file()
    assert json.loads((artefact / "expected.json").read_text())["1"] > 0
    assert exported(model, tmp_path / "n.chip", verify=False).error is None
    assert [file.name for file in (tmp_path / "n.chip").iterdir()] == ["net"]


def test_run_takes_a_folder_and_plays_what_it_holds(artefact: Path) -> None:
    ran = norse_export.run(artefact)
    assert (ran.inputs.origin, ran.inputs.steps, ran.inputs.samples) == ("stored in the artefact", STEPS, 2)
    assert (ran.file, ran.ran_by) == ("m.chip", "emulation of a chip for tests")
    assert ran.law.startswith("generic")
    counts = {layer.node: layer.spikes for layer in ran.layers}
    assert counts == json.loads((artefact / "expected.json").read_text())
    assert all(layer.states["v"][0] < layer.states["v"][1] for layer in ran.layers)
    assert ran.activity is None


def test_run_takes_rasters_that_are_given_and_random_ones(model: Path, artefact: Path, tmp_path: Path) -> None:
    given = np.ones((7, 1, 12), np.float32)
    np.savez(tmp_path / "x.npz", input=given, labels=np.array([5]))
    ran = norse_export.run(artefact, inputs=tmp_path / "x.npz")
    assert (ran.inputs.origin, ran.inputs.steps) == ("x.npz", 7)
    assert ran.accuracy in (0.0, 1.0)
    assert norse_export.run(artefact, inputs=GIVEN).inputs.origin == "random, rate 0.3, seed 5"
    exported(model, tmp_path / "n.chip", verify=False)
    alone = norse_export.run(tmp_path / "n.chip")
    assert alone.inputs.origin.startswith("random, rate ")
    assert [(finding.kind, finding.severity) for finding in alone.findings] == [("random_inputs", "warning")]


def test_run_takes_the_rasters_of_a_model(model: Path, artefact: Path, sim: Path) -> None:
    """An artefact that holds none can be run on those that it was proved on."""
    of_model, of_sim = norse_export.run(model), norse_export.run(sim, inputs=model)
    assert (of_sim.inputs.origin, of_sim.inputs.samples, of_sim.findings) == ("stored in m.pt", SAMPLES, ())
    assert of_sim.layers[0].spikes == pytest.approx(of_model.layers[0].spikes, rel=0.1)
    assert norse_export.parity(artefact, sim, inputs=model).error is None


def test_a_trace_of_a_folder_equals_it_and_one_that_was_changed_does_not(artefact: Path, tmp_path: Path) -> None:
    norse_export.run(artefact, trace=tmp_path / "t.nir")
    same = norse_export.parity(artefact, tmp_path / "t.nir")
    assert same.error is None
    assert [layer.node for layer in same.parity[0].layers] == ["1", "3"]
    assert same.parity[0].spikes > 0
    ChipTarget.late = 1
    assert isinstance(norse_export.parity(tmp_path / "t.nir", artefact).error, ParityError)


@pytest.fixture
def probed(artefact: Path) -> dict[str, np.ndarray[Any, Any]]:
    """What a chip's probes give of one sample, with codes where a neuron fires."""
    raster = (np.random.default_rng(3).random((30, 12)) < 0.3).astype(np.int8)
    done = replace(ChipTarget(), states=True).run(artefact, {"input": raster[:, np.newaxis]})
    arrays = {"input": raster}
    for name in ("1", "3"):
        fired, v = done.spikes[name][:, 0], done.observables[name]["v"][:, 0]
        arrays |= {f"spikes.{name}": fired.astype(np.int8), f"v.{name}": np.where(fired, 128, v).astype(np.float32)}
    assert arrays["spikes.3"].any()
    return arrays


def test_a_recording_of_a_chip_is_compared_with_its_artefact_but_for_the_codes_of_its_probes(
    artefact: Path, tmp_path: Path, probed: dict[str, np.ndarray[Any, Any]]
) -> None:
    path = tmp_path / "chip.npz"
    np.savez(path, **probed)  # type: ignore[arg-type]
    result = norse_export.parity(artefact, path)
    assert result.error is None
    assert (result.parity[0].steps, result.parity[0].samples) == (30, 1)
    assert [layer.states_equal for layer in result.parity[0].layers] == [True, True]
    assert any("probe" in finding.message for finding in result.findings)
    silent = tuple(np.argwhere(probed["spikes.1"] == 0)[40])
    probed["v.1"][silent] += 1
    np.savez(path, **probed)  # type: ignore[arg-type]
    (parity,) = norse_export.parity(path, artefact).parity
    assert parity.first_divergence is not None
    assert (parity.first_divergence.node, parity.first_divergence.quantity) == ("1", "v")
    probed["spikes.3"][7, 2] ^= 1
    np.savez(path, **{key: probed[key] for key in ("input", "spikes.3")})  # type: ignore[arg-type]
    (parity,) = norse_export.parity(path, artefact).parity
    assert parity.first_divergence is not None
    assert (parity.first_divergence.node, parity.first_divergence.step) == ("3", 7)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"input": np.ones((5, 12))}, "neither spikes nor outputs"),
        ({"input": np.ones((5, 12)), "spikes.2": np.ones((5, 20))}, "no layer in common"),
        ({"spikes.1": np.ones((5, 20))}, "no input raster"),
        ({"input": np.ones((5, 12)), "spikes.1": np.ones(())}, "no steps"),
        ({"input": np.ones((5, 12)), "spikes.1": np.ones((5, 20)), "v.1": np.full((5, 20), 0.5)}, "states of floats"),
    ],
)
def test_a_recording_that_cannot_be_compared_is_refused(
    artefact: Path, tmp_path: Path, arrays: dict[str, Any], text: str
) -> None:
    np.savez(tmp_path / "chip.npz", **arrays)
    with pytest.raises(ExportError, match=text) as refused:
        norse_export.parity(artefact, tmp_path / "chip.npz")
    assert refused.value.exit_code == 2
    assert refused.value.where
    assert refused.value.fix


def test_an_artefact_of_another_model_is_no_price(artefact: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = snn.SequentialState(torch.nn.Linear(12, 30), snn.LIFCell(), torch.nn.Linear(30, 6), snn.LIFCell())
    with torch.no_grad():
        other[0].weight.mul_(6)
        other[2].weight.mul_(6)
    norse_export.save(other, tmp_path / "o.pt", np.ones((20, 1, 12), np.float32))
    with pytest.raises(UsageError, match=r"1 \[20\], 3 \[6\], .* those of the other 1 \[30\]"):
        norse_export.parity(tmp_path / "o.pt", artefact)


def test_inspect_describes_a_folder(artefact: Path) -> None:
    shown = norse_export.inspect(artefact)
    assert shown.kind == "an artefact of target chip"
    assert shown.bytes == sum(file.stat().st_size for file in artefact.iterdir())
    assert [node.type for node in shown.nodes] == [
        "FixedInput", "DenseSynapses", "Population", "DenseSynapses", "Population", "Output",
    ]  # fmt: skip
    assert shown.provenance["run_by"] == "emulation"
    assert shown.provenance["stored_input"] == f"input [{STEPS}, 2, 12]"
    assert shown.provenance["law"].startswith("generic")


def test_a_model_and_a_folder_are_compared_each_at_its_own_time(
    model: Path, artefact: Path, chip: type[ChipTarget]
) -> None:
    """A chip that sends everything two steps late costs nothing more, if its artefact says so."""
    in_time = norse_export.parity(model, artefact).parity[0]
    chip.late, chip.skew = 2, '{"1": 2, "3": 2, "output": 2}'
    late = norse_export.parity(artefact, model).parity[0]
    assert (in_time.rung, in_time.skew_steps, late.rung, late.skew_steps) == (2, 0, 2, 2)
    assert late.steps == STEPS - 2
    assert sum(layer.differing for layer in late.layers) <= sum(layer.differing for layer in in_time.layers)
    chip.skew = None
    untold = norse_export.parity(model, artefact).parity[0]
    assert sum(layer.differing for layer in untold.layers) > 3 * sum(layer.differing for layer in in_time.layers)


@pytest.mark.parametrize("skew", ["{", "[]", '{"1": -1}', '{"1": true}', '{"1": 1.5}'])
def test_a_skew_that_is_none_is_refused(model: Path, artefact: Path, chip: type[ChipTarget], skew: str) -> None:
    chip.skew = skew
    with pytest.raises(InputFileError, match=r"skew|JSON") as refused:
        norse_export.parity(model, artefact)
    assert refused.value.where
    assert refused.value.fix


def test_artefacts_of_two_targets_are_compared_by_spikes_each_at_its_own_time(
    artefact: Path, sim: Path, chip: type[ChipTarget]
) -> None:
    same = norse_export.parity(artefact, artefact)
    assert (same.parity[0].rung, same.error) == (3, None)
    chip.late, chip.skew = 3, '{"1": 3, "3": 3, "output": 3}'
    for pair in ((artefact, sim), (sim, artefact)):
        result = norse_export.parity(*pair, inputs=GIVEN)
        assert result.error is None
        assert (result.parity[0].equal, result.parity[0].steps) == (True, STEPS - 3)
    chip.skew = None
    assert norse_export.parity(artefact, sim, inputs=GIVEN).error is not None


def test_a_folder_of_nobody_and_a_folder_in_the_place_of_a_model_are_refused(artefact: Path, tmp_path: Path) -> None:
    for command in (norse_export.run, norse_export.inspect):
        with pytest.raises(InputFileError, match="no artefact of any target") as refused:
            command(tmp_path)
        assert refused.value.fix
    with pytest.raises(InputFileError, match="no artefact of any target"):
        norse_export.export(tmp_path, "sim", out=tmp_path / "m.sim")
    with pytest.raises(InputFileError, match="of target chip holds what the model became, and no model"):
        norse_export.export(artefact, "sim", out=tmp_path / "m.sim")
    with pytest.raises(UsageError, match="says its own dt"):
        norse_export.run(artefact, loading=LoadChoice(dt=1e-3))
    with pytest.raises(UsageError, match="no artefact of sim"):
        norse_export.run(artefact, count_cycles=True)


def test_a_target_that_fails_to_say_what_it_holds_is_our_bug_and_that_of_another_package_is_passed_over(
    artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise RuntimeError("no")

    monkeypatch.setattr(ChipTarget, "holds", broken)
    with pytest.raises(RuntimeError, match="no"):
        registry.holder(artefact)
    monkeypatch.setattr(
        registry, "_known", lambda _name: type("Entry", (), {"dist": None, "module": "m", "value": "v"})
    )
    assert registry.holder(artefact) is None


def test_a_vendor_that_agrees_stands_in_the_result(artefact: Path, chip: type[ChipTarget]) -> None:
    result = norse_export.run(artefact, vendor=VendorChoice("maps", Path("python")))
    assert result.error is None
    (check,) = result.vendor
    assert (check.target, check.vendor, check.version, check.equal) == ("chip", "maps", "1.0", True)
    assert check.compared["weights"].total == 10
    assert check.figures == {"cores": 3}
    assert chip.asked == [("maps", "m.chip", Path("python"))]


def test_a_vendors_run_is_compared_with_the_emulation_as_far_as_it_goes(
    model: Path, artefact: Path, tmp_path: Path, chip: type[ChipTarget]
) -> None:
    result = norse_export.run(artefact, vendor=VendorChoice("runs"))
    assert result.error is None
    parity = result.vendor[0].parity
    assert parity is not None
    assert (parity.rung, parity.steps, parity.samples, parity.equal) == (4, 20, 1, True)
    assert all(layer.states_equal for layer in parity.layers if layer.kind == "spikes")
    chip.flip = True
    failed = exported(model, tmp_path / "n.chip", vendor=VendorChoice("runs"))
    assert isinstance(failed.error, ParityError)
    assert "step 4" in failed.error.what
    assert not (tmp_path / "n.chip").exists()
    assert not failed.targets[0].vendor[0].equal


def test_a_vendor_that_makes_other_weights_is_a_broken_parity(artefact: Path, chip: type[ChipTarget]) -> None:
    chip.differing = 1
    ran = norse_export.run(artefact, vendor=VendorChoice("maps"))
    assert isinstance(ran.error, ParityError)
    assert "1 of 10 weights" in ran.error.what
    assert ran.layers


def test_a_vendor_that_is_not_installed_or_not_known_is_told(model: Path, artefact: Path, tmp_path: Path) -> None:
    result = exported(model, tmp_path / "m.chip", vendor=VendorChoice("missing"))
    assert isinstance(result.error, MissingDependencyError)
    assert not (tmp_path / "m.chip").exists()
    for refused in (
        lambda: exported(model, tmp_path / "m.chip", vendor=VendorChoice("other")),
        lambda: norse_export.run(artefact, vendor=VendorChoice("other")),
    ):
        with pytest.raises(UsageError, match="no vendor 'other'") as unknown:
            refused()
        assert "maps (chip), runs (chip)" in unknown.value.fix
    with pytest.raises(UsageError, match="no vendor 'maps'"):
        norse_export.export(model, "nir", out=tmp_path / "m.nir", vendor=VendorChoice("maps"))
    with pytest.raises(UsageError, match="and this is a model"):
        norse_export.run(model, vendor=VendorChoice("maps"))
    with pytest.raises(UsageError, match="--no-verify does not run it"):
        exported(model, tmp_path / "m.chip", vendor=VendorChoice("maps"), verify=False)


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--vendor", "maps"], 0), (["--vendor", "missing"], 5), (["--vendor", "x"], 2), (["--vendor-python", "x"], 2)],
)
def test_the_command_line_hands_the_vendor_on(artefact: Path, words: list[str], code: int, capsys: Any) -> None:
    assert cli.main(["run", str(artefact), "--json", *words]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    if code == 0:
        assert document["result"]["vendor"][0]["compared"] == {"weights": {"total": 10, "differing": 0}}


def test_export_to_all_targets_makes_one_folder(model: Path, tmp_path: Path) -> None:
    result = norse_export.export(model, "all", out=tmp_path / "out", integers=IntegerChoice(search=False))
    names = ("nir", "onnx", "sim", "chip")
    assert [(one.target, one.error) for one in result.targets] == [(name, None) for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"m.{name}" for name in names)


def test_among_all_targets_one_that_cannot_be_loaded_is_told_and_the_others_are_made(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = MissingDependencyError("its package is broken", where="chip", fix="mend it")
    real = registry.load

    def load(name: str) -> Any:
        if name == "chip":
            raise error
        return real(name)

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.delitem(registry._TARGETS, "sim")
    result = norse_export.export(model, ["all"], out=tmp_path / "out")
    assert [(one.target, one.error) for one in result.targets] == [("nir", None), ("onnx", None), ("chip", error)]
    assert result.error is error
    with pytest.raises(MissingDependencyError):
        norse_export.export(model, ["all", "chip"], out=tmp_path / "other")


def test_check_tells_what_a_target_takes_of_its_chip(model: Path) -> None:
    (checked,) = norse_export.check(model, ["chip"]).targets
    (limit,) = checked.limits
    assert (limit.name, limit.maximum, limit.source) == ("nodes", 100, "measured")


def test_a_mode_and_a_chip_stand_in_the_provenance(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def lower(_self: Any, graph: Any, choice: Any, calibration: Any, *, ranges: Any) -> Any:
        from norse_export.passes.quantise import quantise

        seen.append(choice)
        return quantise(graph, replace(choice, precision=None, chip=None), calibration, ranges=ranges)

    monkeypatch.setattr(ChipTarget, "lower", lower, raising=False)
    metadata: list[Any] = []
    monkeypatch.setattr(ChipTarget, "check", lambda _self, graph: metadata.append(graph.metadata) or ())
    norse_export.check(model, ["chip"], integers=IntegerChoice(precision="split", chip="chip2"))
    assert (seen[0].precision, seen[0].chip) == ("split", "chip2")
    assert (metadata[0]["precision"], metadata[0]["chip"]) == ("split", "chip2")
