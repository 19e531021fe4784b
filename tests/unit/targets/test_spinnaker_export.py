"""Models exported to SpiNNaker through the pipeline: equal to the bit when read back, and near the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export import cli, registry
from norse_export.errors import UnsupportedError
from norse_export.pipeline import IntegerChoice
from norse_export.report.results import TargetExport

EXAMPLES = Path(__file__).parents[3] / "examples"


def exported(model: Path, out: Path, **choices: Any) -> TargetExport:
    (result,) = norse_export.export(model, "spinnaker", out=out, **choices).targets
    return result


def proved(result: TargetExport, differing: dict[str, float]) -> None:
    """Rung 3 equal in spikes, outputs and states; rung 2 told, and at most so large a share of spikes differs."""
    assert result.error is None
    same, price = result.parity
    assert (same.rung, same.equal, same.vacuous) == (3, True, False)
    assert {layer.states_equal for layer in same.layers} <= {True, None}
    assert (price.rung, price.skew_steps > 0) == (2, True)
    layers = {layer.node: layer for layer in price.layers if layer.kind == "spikes"}
    assert set(layers) == set(differing)
    for name, most in differing.items():
        assert layers[name].differing <= most * layers[name].spikes_expected, name
    assert [cost.node for cost in result.prices][: len(differing)] == list(differing)


def test_the_digits_are_read_as_well_as_by_the_model(tmp_path: Path) -> None:
    out = tmp_path / "digits.spinnaker"
    proved(exported(EXAMPLES / "digits/model.pt", out), {"1": 0.001, "4": 0.02, "7": 0.08})
    given = np.load(EXAMPLES / "digits/test.npz", allow_pickle=False)
    raster, labels = given["input"], given["labels"]
    late = 5  # four layers, and a membrane that is recorded before its update
    silence = np.zeros((late, *raster.shape[1:]), raster.dtype)
    run = registry.load("spinnaker").run(out, {"input": np.concatenate([raster, silence])})
    found = run.outputs["output"][late:].mean(axis=0).argmax(axis=1)
    assert abs(np.mean(found == labels) - 353 / 360) <= 0.005  # of Norse: README.md of the example


def test_the_digits_are_read_by_the_emulation_of_spinnaker_2(tmp_path: Path) -> None:
    out = tmp_path / "digits.spinnaker"
    result = exported(EXAMPLES / "digits/model.pt", out, integers=IntegerChoice(chip="spinnaker2"))
    proved(result, {"1": 0.1, "4": 1, "7": 0.6})  # biases act from the first step on: spikes of the first steps differ
    assert "unchecked" in {finding.kind for finding in result.findings}
    given = np.load(EXAMPLES / "digits/test.npz", allow_pickle=False)
    run = registry.load("spinnaker").run(out, {"input": given["input"]})
    found = run.outputs["output"][4:].mean(axis=0).argmax(axis=1)
    assert abs(np.mean(found == given["labels"]) - 353 / 360) <= 0.015


def test_the_tutorial_s_network_is_exported(tmp_path: Path) -> None:
    out = tmp_path / "tutorial.spinnaker"
    proved(exported(EXAMPLES / "tutorial/model.pt", out), {"1": 0.01, "3": 0.05})


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    first, last = torch.nn.Linear(12, 20), torch.nn.Linear(20, 3)
    loop = snn.LIFRecurrentCell(20, 20, autapses=True)
    with torch.no_grad():
        first.weight.mul_(6)
        loop.input_weights.mul_(4)
        loop.recurrent_weights.mul_(1.5)
    raster = (np.random.default_rng(1).random((60, 3, 12)) < 0.3).astype(np.float32)
    path = tmp_path_factory.mktemp("recurrent") / "m.pt"
    norse_export.save(snn.SequentialState(first, snn.LIFCell(), loop, last, snn.LICell()), path, raster)
    return path


def test_a_recurrent_model_is_exported(recurrent: Path, tmp_path: Path) -> None:
    proved(exported(recurrent, tmp_path / "out"), {"1": 0.01, "2": 0.2})  # one spike sends a loop another way


def test_a_wrong_weight_in_the_artefact_is_found(
    recurrent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from norse_export.targets.spinnaker import artefact

    def wrong(node: Any) -> Any:
        made = listed(node)
        weight = made.weight.astype(np.int32)
        weight[:1] += 1
        return type(made)(made.starts, made.targets, weight, made.input_shape, made.output_shape)

    listed = artefact.listed
    monkeypatch.setattr(artefact, "listed", wrong)
    result = exported(recurrent, tmp_path / "out")
    assert result.error is not None
    assert result.error.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_without_a_search_the_shifts_are_spynnaker_s_own(recurrent: Path, tmp_path: Path) -> None:
    plain = exported(recurrent, tmp_path / "a", integers=IntegerChoice(search=False))
    searched = exported(recurrent, tmp_path / "b")
    assert plain.error is None
    coarse, fine = ([one.error_rms for cost in made.prices for one in cost.projections] for made in (plain, searched))
    assert all(a > 2 * b for a, b in zip(coarse, fine, strict=True))


def test_what_the_chip_lacks_ends_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = snn.SequentialState(torch.nn.Linear(4, 3), snn.LSNNCell())
    path = tmp_path / "m.pt"
    norse_export.save(model, path, np.ones((20, 1, 4), np.float32))
    assert cli.main([str(path), "--target", "spinnaker", "-o", str(tmp_path / "out")]) == UnsupportedError.exit_code
    assert "a threshold that rises with every spike" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
