"""Random rasters: what is too large for the machine is refused before it is made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import norse.torch as snn
import numpy as np
import pytest
import torch

import norse_export
from norse_export.errors import UsageError
from norse_export.pipeline.rasters import random_raster

PAGE = 4096
CELLS = 12 + 20 + 3 + 3  # input, two populations, output


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model file; both populations take part."""
    torch.manual_seed(0)
    layers = (torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 3), snn.LICell())
    network = snn.SequentialState(*layers).eval()
    with torch.no_grad():
        network[0].weight *= 8
    norse_export.save(network, tmp_path / "model.pt", (torch.rand(30, 2, 12) < 0.5).float())
    return tmp_path / "model.pt"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Gives the machine another number of pages of memory."""

    def with_pages(pages: int) -> None:
        sizes = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": PAGE}
        monkeypatch.setattr(os, "sysconf", sizes.__getitem__)

    return with_pages


def test_a_run_that_no_machine_has_the_memory_for_is_refused(model: Path) -> None:
    choice = norse_export.InputChoice(random_steps=10**9, samples=10**6)
    with pytest.raises(UsageError) as caught:
        norse_export.run(model, inputs=choice)
    assert f"{10**15 * CELLS * 64 / 1e9:.3g} GB" in caught.value.what
    assert caught.value.where == "--random"
    assert "fewer steps" in caught.value.fix
    assert "fewer samples" in caught.value.fix


def test_half_of_the_memory_may_be_needed_and_no_more(model: Path, machine: Callable[[int], None]) -> None:
    machine(2 * 64 * CELLS)  # half of it: PAGE cells, that is PAGE steps of one sample
    norse_export.run(model, inputs=norse_export.InputChoice(random_steps=PAGE, samples=1))
    with pytest.raises(UsageError, match="GB of memory"):
        norse_export.run(model, inputs=norse_export.InputChoice(random_steps=PAGE + 1, samples=1))
    with pytest.raises(UsageError, match="GB of memory"):
        norse_export.export(model, ["nir"], inputs=norse_export.InputChoice(random_steps=PAGE, samples=2))


def test_the_search_for_a_rate_is_refused_too(model: Path, machine: Callable[[int], None]) -> None:
    artefact = model.with_suffix(".nir")
    assert norse_export.export(model, ["nir"], out=artefact).error is None
    machine(2 * 64 * CELLS)
    with pytest.raises(UsageError, match="100 steps of 41 samples"):
        norse_export.run(artefact, inputs=norse_export.InputChoice(samples=41))


def test_a_machine_that_does_not_tell_its_memory_refuses_nothing(machine: Callable[[int], None]) -> None:
    machine(-1)
    assert random_raster((4,), 50, 3, 0.5, 0).shape == (50, 3, 4)


def test_a_raster_of_a_model_that_is_not_traced_yet_is_refused(machine: Callable[[int], None]) -> None:
    machine(2)  # half of it: 64 cells of 64 bytes
    assert np.isin(random_raster((2, 4), 8, 1, 0.5, 0), (0, 1)).all()
    with pytest.raises(UsageError, match="9 steps of 1 samples"):
        random_raster((2, 4), 9, 1, 0.5, 0)


def test_the_command_line_says_it_and_is_not_killed(model: Path) -> None:
    line = [sys.executable, "-m", "norse_export", "run", str(model), "--random", "1000000000", "--samples", "1000"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "GB of memory" in ended.stderr
    assert "where: --random" in ended.stderr


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ([0, 3], "label 3 of sample 1: the model decides among 3 outputs"),
        ([-1, 2], "label -1 of sample 0: the model decides among 3 outputs"),
        ([0, 0.5], "label 0.5 of sample 1: the model decides among 3 outputs"),
        ([0, np.nan], "label nan of sample 1: the model decides among 3 outputs"),
        ([0], "the number of labels, 1, is not that of samples, 2"),
    ],
)
@pytest.mark.parametrize("command", ["run", "parity"])
def test_labels_that_the_model_cannot_decide_on_are_refused(
    command: str, labels: list[float], what: str, model: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", input=np.ones((20, 2, 12), np.float32), labels=np.array(labels))
    with pytest.raises(UsageError) as caught:
        getattr(norse_export, command)(*[model] * (1 + (command == "parity")), inputs=tmp_path / "x.npz")
    assert caught.value.what == what
    assert caught.value.where == "x.npz [labels]"
    assert "label" in caught.value.fix


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_labels_of_every_type_count(dtype: str, model: Path, tmp_path: Path) -> None:
    raster = (np.random.default_rng(0).random((20, 2, 12)) < 0.5).astype(np.float32)
    np.savez(tmp_path / "x.npz", input=raster, labels=np.array([0, 1], dtype))
    result = norse_export.run(model, inputs=tmp_path / "x.npz")
    assert result.accuracy in (0.0, 0.5, 1.0)
