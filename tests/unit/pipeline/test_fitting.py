"""A target that cannot express a model names those that can, and what it names is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import norse.torch as snn
import pytest
import torch

from norse_export import registry
from norse_export.pipeline import check, export, save


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


def test_a_target_of_integers_names_no_others(models: dict[str, Path], tmp_path: Path) -> None:
    (refused,) = export(models["adex"], "loihi", out=tmp_path / "a").targets
    assert refused.error is not None
    assert "targets that take this model" not in refused.error.fix
