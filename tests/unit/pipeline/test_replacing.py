"""A folder is replaced by an export only where all that is in it was written by one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export.errors import OutputError
from norse_export.pipeline import IntegerChoice
from norse_export.targets.onnx import OnnxTarget

FOLDERS = (("onnx", None), ("loihi", None), ("spinnaker", None), ("spinnaker", "spinnaker2"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(6, 8, bias=False), snn.LIFCell(), torch.nn.Linear(8, 3, bias=False), snn.LIFCell())
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.mul_(6).abs_()  # type: ignore[operator,union-attr]
    path = tmp_path_factory.mktemp("replaced") / "m.pt"
    raster = (np.random.default_rng(0).random((30, 2, 6)) < 0.5).astype(np.float32)
    norse_export.save(snn.SequentialState(*layers), path, raster)
    return path


def exported(model: Path, target: str, chip: str | None, out: Path, *, force: bool = False) -> None:
    result = norse_export.export(model, target, out=out, integers=IntegerChoice(chip=chip), force=force)
    assert result.error is None, result.error


@pytest.mark.parametrize(("target", "chip"), FOLDERS)
def test_an_artefact_is_replaced_by_another_of_its_target(
    target: str, chip: str | None, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    exported(model, target, chip, out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "report.json").write_text("old") if (out / "report.json").exists() else None
    (out / "__pycache__").mkdir()
    (out / "__pycache__" / "deploy.pyc").write_bytes(b"")
    exported(model, target, chip, out, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_what_a_user_put_into_an_artefact_is_not_deleted(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(model, "onnx", None, out)
    (out / "chip.npz").write_text("measured")
    for force in (True, False):
        with pytest.raises(OutputError, match=r"'chip\.npz', which is no file of an export to onnx") as raised:
            norse_export.export(model, "onnx", out=out, force=force)
        assert "--force" not in raised.value.findings[0].fix
    assert (out / "chip.npz").read_text() == "measured"


def test_only_what_python_compiled_is_taken_for_that(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(model, "onnx", None, out)
    (out / "__pycache__").mkdir()
    (out / "__pycache__" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="'__pycache__', which is no file"):
        norse_export.export(model, "onnx", out=out, force=True)


def test_what_is_put_there_while_an_export_runs_is_not_deleted(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, emit = tmp_path / "out", OnnxTarget.emit
    exported(model, "onnx", None, out)

    def late(self: OnnxTarget, graph: Any, path: Path) -> None:
        emit(self, graph, path)
        (out / "late.txt").write_text("mine")

    monkeypatch.setattr(OnnxTarget, "emit", late)
    result = norse_export.export(model, "onnx", out=out, force=True)
    assert isinstance(result.error, OutputError)
    assert (out / "late.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_target_that_does_not_say_which_files_are_its_own_replaces_none(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    exported(model, "onnx", None, out)
    monkeypatch.delattr(OnnxTarget, "files")
    with pytest.raises(OutputError, match="nobody knows which files are those of onnx"):
        norse_export.export(model, "onnx", out=out, force=True)


@pytest.mark.parametrize("entry", ["thesis.txt", "model.onnx"])
def test_a_folder_of_other_things_is_not_replaced(entry: str, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / entry).mkdir(parents=True)
    (out / "another.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'another\.txt' and 1 more"):
        norse_export.export(model, "onnx", out=out, force=True)
    assert sorted(os.listdir(out)) == sorted([entry, "another.txt"])


def test_an_empty_folder_is_replaced_on_demand(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OutputError, match="already exists"):
        norse_export.export(model, "onnx", out=out)
    exported(model, "onnx", None, out, force=True)
