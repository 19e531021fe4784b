"""The real pipeline behind the command line: what every command prints with --json is what our schema says."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import norse_export
from norse_export.cli import main

Printed = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds model.pt, in which every layer fires, and silent.pt, in which none does."""
    torch = pytest.importorskip("torch")
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    raster = (torch.rand(20, 2, 5) < 0.5).float()
    for name, threshold, warned in (
        ("model.pt", 0.05, nullcontext()),
        ("silent.pt", 50.0, pytest.warns(norse_export.SilentLayerWarning)),
    ):
        cell = norse.LIFCell(norse.LIFParameters(v_th=torch.as_tensor(threshold)))
        model = norse.SequentialState(torch.nn.Linear(5, 6), cell, torch.nn.Linear(6, 3), norse.LICell())
        with warned:
            norse_export.save(model, folder / name, raster)
    return folder


@pytest.fixture
def printed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Printed:
    """Runs a command with --json in an empty folder, checks the object, and gives it."""
    monkeypatch.chdir(tmp_path)
    main(["schema"])
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))

    def printed(*arguments: str) -> Any:
        code = main([*(word.replace("@", f"{folder}/") for word in arguments), "--json"])
        out, err = capsys.readouterr()
        document = json.loads(out)
        validator.validate(document)
        assert document["exit_code"] == code, err
        assert (document["status"] == "ok") == (code == 0)
        assert len(err.splitlines()) <= 5
        return document

    return printed


def test_export_inspect_run_and_parity(printed: Printed, tmp_path: Path) -> None:
    exported = printed("@model.pt", "--target", "nir")
    assert exported["exit_code"] == 0
    (entry,) = exported["result"]["parity"]
    assert (entry["equal"], entry["vacuous"]) == (True, False)
    assert entry["layers"][0]["spikes_expected"] > 0
    assert exported["result"]["artefacts"][0]["bytes"] == (tmp_path / "model.nir").stat().st_size
    assert printed("inspect", "model.nir")["result"]["sha256"] == exported["result"]["artefacts"][0]["sha256"]
    assert printed("run", "model.nir", "--random", "30", "-o", "trace.nir")["result"]["artefacts"][0]["bytes"] > 0
    assert printed("parity", "@model.pt", "model.nir")["result"]["parity"][0]["equal"]
    assert printed("parity", "model.nir", "trace.nir")["exit_code"] == 0


def test_check_targets_and_schema(printed: Printed) -> None:
    assert printed("check", "@model.pt", "--target", "nir")["result"]["targets"][0]["fits"]
    assert "nir" in [target["name"] for target in printed("targets")["result"]["targets"]]
    assert printed("schema")["exit_code"] == 0


def test_an_export_without_verification(printed: Printed) -> None:
    result = printed("@model.pt", "--target", "nir", "--no-verify")["result"]
    assert (result["targets"][0]["verified"], result["parity"]) == (False, [])


def test_a_vacuous_export_is_a_failure_on_stored_inputs(printed: Printed, tmp_path: Path) -> None:
    document = printed("@silent.pt", "--target", "nir")
    assert document["exit_code"] == 1
    assert document["result"]["parity"][0]["vacuous"]
    assert document["result"]["artefacts"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.pt", "--target", "nir"],
        ["@model.pt", "--target", "no_such_target"],
        ["inspect", "."],
        ["run", "@model.pt", "--inputs", "missing.npz"],
        ["check", "missing.pt"],
        ["parity", "@model.pt", "missing.nir"],
    ],
)
def test_what_is_wrong_with_the_call_is_2(printed: Printed, arguments: list[str]) -> None:
    document = printed(*arguments)
    assert (document["exit_code"], document["result"]) == (2, {})
    assert document["findings"]
