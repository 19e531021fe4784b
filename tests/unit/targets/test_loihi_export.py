"""Target loihi through the whole pipeline: examples, a recurrent model, the model that a real chip was traced with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export import registry
from norse_export.compare import Comparison
from norse_export.errors import UnsupportedError
from norse_export.pipeline import IntegerChoice, LoadChoice
from norse_export.report.results import TargetExport

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def exported(model: Path, out: Path, **choices: Any) -> TargetExport:
    (result,) = norse_export.export(model, "loihi", out=out, **choices).targets
    return result


def proof_and_price(result: TargetExport) -> tuple[Comparison, Comparison]:
    assert result.error is None
    proof, price = result.parity
    assert (proof.rung, proof.equal, proof.vacuous, price.rung) == (3, True, False, 2)
    assert all(layer.differing == 0 for layer in proof.layers)
    return proof, price


def recurrent_model(path: Path) -> Path:
    torch.manual_seed(0)
    first, last = torch.nn.Linear(12, 20, bias=False), torch.nn.Linear(20, 4, bias=False)
    with torch.no_grad():
        first.weight.mul_(8)
        last.weight.mul_(4)
    model = snn.SequentialState(first, snn.LIFRecurrentCell(20, 20), last, snn.LICell())
    raster = (np.random.default_rng(0).random((60, 3, 12)) < 0.3).astype(np.float32)
    norse_export.save(model, path, raster)
    return path


@pytest.mark.parametrize(
    ("precision", "points", "least"),
    [
        ("even8", 0.015, (0.94, 0.74, 0.72)),
        pytest.param("split", 0.015, (0.96, 0.79, 0.75), marks=pytest.mark.bulk),
        pytest.param("stacked", 0.005, (0.97, 0.85, 0.79), marks=pytest.mark.bulk),
    ],
)
def test_digits_cost_at_most_so_many_points_of_accuracy(
    precision: str, points: float, least: tuple[float, ...], tmp_path: Path
) -> None:
    digits = EXAMPLES / "digits"
    choice = IntegerChoice(precision=precision)
    result = exported(digits / "model.pt", tmp_path / "d.loihi", inputs=digits / "test.npz", integers=choice)
    proof, price = proof_and_price(result)
    assert proof.spikes > 1_000_000
    assert price.skew_steps == 4
    assert price.accuracy is not None
    expected, actual = price.accuracy
    assert expected > 0.95
    assert actual >= expected - points
    found = [layer.jaccard for layer in price.layers if layer.kind == "spikes"]
    assert all(jaccard > wanted for jaccard, wanted in zip(found, least, strict=True))
    told = [finding.kind for finding in result.findings if finding.severity == "warning"]
    assert told == ([] if precision == "even8" else ["additions"])


def test_the_tutorials_last_linear_is_the_hosts(tmp_path: Path) -> None:
    proof, price = proof_and_price(exported(EXAMPLES / "tutorial" / "model.pt", tmp_path / "t.loihi"))
    assert proof.spikes > 100_000
    assert price.skew_steps == 2
    report = json.loads((tmp_path / "t.loihi" / "report.json").read_text())
    assert [layer["name"] for layer in report["on_host"]] == ["4", "5"]


@pytest.mark.parametrize(
    "precision", ["even8", *(pytest.param(mode, marks=pytest.mark.bulk) for mode in ("split", "stacked"))]
)
def test_a_recurrent_model_is_proved_and_loses_no_step_in_its_loop(precision: str, tmp_path: Path) -> None:
    model = recurrent_model(tmp_path / "r.pt")
    choice = IntegerChoice(precision=precision)
    _, price = proof_and_price(exported(model, tmp_path / "r.loihi", integers=choice))
    assert price.skew_steps == 2
    (spiking,) = [layer for layer in price.layers if layer.kind == "spikes"]
    assert spiking.spikes_expected > 300
    assert spiking.jaccard > 0.8


def test_the_model_of_a_chips_trace_spikes_when_the_chip_did_with_our_scales(shared: Path, tmp_path: Path) -> None:
    """From the .nir file, at 8 bits: the four spikes of recordings/nir_paper/lif_lava_loihi_fixed.csv."""
    recorded = np.loadtxt(shared / "recordings" / "nir_paper" / "lif_lava_loihi_fixed.csv", delimiter=",")
    raster = recorded[:, :1, np.newaxis]
    np.savez(tmp_path / "x.npz", input=raster.astype(np.float32))
    model = shared / "recordings" / "nir_paper" / "lif_norse.nir"
    result = exported(model, tmp_path / "m.loihi", inputs=tmp_path / "x.npz", loading=LoadChoice(dt=1e-4))
    proof_and_price(result)
    (spikes,) = registry.load("loihi").run(tmp_path / "m.loihi", {"input": raster.astype(np.int64)}).spikes.values()
    assert np.flatnonzero(spikes).tolist() == np.flatnonzero(recorded[:, 2]).tolist() == [461, 511, 711, 761]


def test_a_model_that_the_chip_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(4, 5), snn.LIFCell(snn.LIFParameters(v_leak=torch.tensor(1.9))))
    raster = (np.random.default_rng(0).random((30, 2, 4)) < 0.5).astype(np.float32)
    norse_export.save(model, tmp_path / "m.pt", raster)
    result = exported(tmp_path / "m.pt", tmp_path / "m.loihi")
    assert isinstance(result.error, UnsupportedError)
    assert (result.error.exit_code, result.error.findings[0].kind) == (3, "initial_state")
    assert not (tmp_path / "m.loihi").exists()


def test_widths_are_a_wrong_call(tmp_path: Path) -> None:
    result = exported(
        EXAMPLES / "tutorial" / "model.pt", tmp_path / "t.loihi", integers=IntegerChoice(per_channel=True), verify=False
    )
    assert result.error is not None
    assert result.error.exit_code == 2


@pytest.mark.parametrize("example", ["digits", pytest.param("tutorial", marks=pytest.mark.bulk)])
def test_check_tells_cores_and_the_limit_that_binds(example: str) -> None:
    (checked,) = norse_export.check(EXAMPLES / example / "model.pt", ["loihi"]).targets
    assert checked.fits
    notes = [finding.message for finding in checked.findings if finding.kind == "cores"]
    assert [note.split(":")[0] for note in notes] == ["Loihi 2", "Loihi 1"]
    assert all("bound by" in note for note in notes)
    assert "unknown: axons in" in notes[0]
