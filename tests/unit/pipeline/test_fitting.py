"""A target that cannot express a model names those that can, and what it names is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import norse.torch as snn
import pytest
import torch

from norse_export import cli, registry
from norse_export.errors import UnsupportedError
from norse_export.files.limits import Limits
from norse_export.pipeline import check, export, fitting, save
from norse_export.pipeline.choices import InputChoice, IntegerChoice, LoadChoice
from norse_export.pipeline.fitting import naming_takers, takers
from norse_export.pipeline.loading import load_model
from norse_export.report.results import TargetCheck
from norse_export.report.schema import schema


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that NIR has no primitive for."""
    torch.manual_seed(0)
    made: dict[str, Any] = {"lsnn": snn.LSNN(), "adex": snn.LIFAdEx()}
    folder = tmp_path_factory.mktemp("models")
    for name, neurons in made.items():
        model = snn.SequentialState(torch.nn.Linear(4, 6), neurons)
        x = 3 * (torch.rand(30, 2, 4) < 0.5).float()
        save(model, folder / f"{name}.pt", x)
    return {name: folder / f"{name}.pt" for name in made}


@pytest.mark.parametrize("name", ["lsnn", "adex"])
def test_nir_names_the_targets_that_take_what_it_refuses(
    name: str, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (refused,) = export(models[name], "nir").targets
    error = refused.error
    assert error is not None
    assert error.exit_code == 3
    assert "NIR has no primitive" in error.what
    fits = {one.target for one in check(models[name], ()).targets if one.fits}
    listed = error.fix.split("targets that take this model: ")[1].split(";")[0].split(", ")
    assert set(listed) == fits - {"nir"} != set()
    assert set(listed) < set(registry.names())
    assert "norse-export run" in error.fix
    assert error.fix == error.findings[0].fix
    assert list(tmp_path.iterdir()) == []


def test_check_tells_which_targets_take_the_model_whichever_was_asked(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = check(models["lsnn"], ())
    fits = tuple(one.target for one in every.targets if one.fits)
    assert 0 < len(fits) < len(every.targets)
    assert every.takers == fits
    assert check(models["lsnn"], ("nir",)).takers == fits
    assert check(models["lsnn"], ("loihi", fits[0])).takers == fits
    assert check(models["lsnn"], fits).takers is None
    assert cli.main(["check", str(models["lsnn"]), "--target", "nir"]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"targets that take this model: {', '.join(fits)}"
    assert cli.main(["check", str(models["lsnn"]), "--target", "nir", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema())
    assert document["result"]["takers"] == list(fits)
    monkeypatch.setattr(fitting, "_LARGE", 10)
    assert check(models["lsnn"], ("nir",)).takers is None  # the others are not asked
    assert check(models["lsnn"], ()).takers == fits  # and here they were


def test_check_says_it_where_no_target_takes_the_model(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "names", lambda: ["nir", "loihi"])
    assert cli.main(["check", str(models["adex"])]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "targets that take this model: none; norse-export run and parity run it as it is"


def test_messages_speak_of_the_class_that_the_user_wrote(models: dict[str, Path]) -> None:
    checked = {one.target: one for one in check(models["lsnn"], ("nir", "loihi", "spinnaker")).targets}
    assert checked["nir"].findings[0].message == "Norse LSNN: NIR has no primitive that takes its step"
    for name in ("loihi", "spinnaker"):
        finding = next(one for one in checked[name].findings if one.kind == "family")
        assert finding.where == "1"
        assert finding.message.startswith("its neurons (Norse LSNN) have a threshold that rises with every spike: ")


def test_a_target_of_integers_names_no_others(models: dict[str, Path], tmp_path: Path) -> None:
    (refused,) = export(models["adex"], "loihi", out=tmp_path / "a").targets
    assert refused.error is not None
    assert "targets that take this model" not in refused.error.fix


ASKED = {
    "a chip of its own": IntegerChoice(chip="loihi1"),
    "a mode of its own": IntegerChoice(precision="split"),
    "widths of its own": IntegerChoice(weight_bits=4, state_bits=16, per_channel=True),
    "bits of a layer": IntegerChoice(layer_bits={"0": 4}),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_chosen_for_one_target_says_nothing_of_the_others(asked: str, models: dict[str, Path]) -> None:
    model = load_model(models["lsnn"], LoadChoice(), InputChoice())
    expected = tuple(one.target for one in check(models["lsnn"], ()).targets if one.fits)
    assert "sim" in expected
    assert takers(model, {"loihi": False}, ASKED[asked], Limits()) == expected
    error = UnsupportedError("no", where="0", fix="none", kind="family")
    told = naming_takers(error, model, registry.load("nir"), ASKED[asked], Limits()).fix
    assert f"targets that take this model: {', '.join(expected)};" in told


def test_the_command_names_them_with_an_option_of_the_asked_target_as_without(
    models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for more in ((), ("--chip", "loihi1"), ("--precision", "split")):
        assert cli.main(["check", str(models["lsnn"]), "--target", "loihi", *more]) == 3
        told.append(capsys.readouterr().out.splitlines()[-1])
    assert told[0].startswith("targets that take this model: ")
    assert "sim" in told[0]
    assert told == told[:1] * 3


def test_the_others_are_asked_with_the_rasters_that_the_scales_are_to_be_chosen_on(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[IntegerChoice] = []

    def noting(model: Any, name: str, target: Any, integers: IntegerChoice, limits: Limits) -> TargetCheck:
        asked.append(integers)
        return TargetCheck(name, fits=True, findings=())

    monkeypatch.setattr(fitting, "fitting", noting)
    model, given = load_model(models["lsnn"], LoadChoice(), InputChoice()), Path("rasters.npz")
    takers(model, {"loihi": False}, IntegerChoice(calibration=given, chip="loihi1", weight_bits=4), Limits())
    assert asked == [IntegerChoice(calibration=given, search=False)] * (len(registry.names()) - 1)
