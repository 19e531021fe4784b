"""save: what cannot be written is refused before the model runs, what is written does what the model does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from permissions import permissions_count
from torch import nn

import norse_export
from norse_export.errors import OutputError, ParityError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.saved import read_saved
from norse_export.frontend.trace import Traced, trace
from norse_export.ir.run import Run
from norse_export.pipeline.tracing import check_trace

X = (torch.rand(30, 3, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()


class Watched(nn.Module):
    """Tells whether it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.cell = nn.Linear(6, 4), snn.LIFCell(p=snn.LIFParameters(v_th=torch.tensor(0.1)))
        self.ran: list[int] = []
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-0.5, 1, 24).reshape(4, 6))
            self.layer.bias.fill_(0.125)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        RUNS.append(1)
        return self.cell(self.layer(x), state)


RUNS: list[int] = []


def exists(path: Path) -> Path:
    path.write_bytes(b"old")
    return path


def link(path: Path) -> Path:
    (path.parent / "target").write_bytes(b"old")
    path.symlink_to("target")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


PLACES: dict[str, tuple[Any, bool, str]] = {
    "a file that exists": (exists, False, "exists"),
    "a link": (link, True, "link"),
    "a link, not forced": (link, False, "link"),
    "a folder": (folder, True, "directory"),
    "a fifo": (fifo, True, "regular"),
    "no such folder": (lambda path: path / "deeper", False, "folder"),
    "a NUL": (lambda path: Path(f"{path}\0"), False, "NUL"),
}


@pytest.mark.parametrize("name", PLACES)
def test_an_output_that_cannot_be_is_refused_before_the_model_runs(name: str, tmp_path: Path) -> None:
    make, force, words = PLACES[name]
    path = make(tmp_path / "m.pt")
    before = sorted(entry.name for entry in tmp_path.iterdir())
    RUNS.clear()
    with pytest.raises(OutputError) as caught:
        norse_export.save(Watched(), path, X, force=force)
    assert words in str(caught.value)
    assert not RUNS
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before
    assert all(entry.read_bytes() == b"old" for entry in tmp_path.iterdir() if entry.is_file())


def test_a_folder_that_must_not_be_written_to_is_refused_before_the_model_runs(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    RUNS.clear()
    try:
        with permissions_count(), pytest.raises(OutputError):
            norse_export.save(Watched(), tmp_path / "m.pt", X)
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert not RUNS


def test_force_replaces_a_file_and_a_refusal_keeps_it(tmp_path: Path) -> None:
    path = exists(tmp_path / "m.pt")
    with pytest.raises(UnsupportedError):
        norse_export.save(nn.Sequential(nn.Softmax(-1), Watched()), path, X, force=True, time="outside")
    assert path.read_bytes() == b"old"
    norse_export.save(Watched(), path, X, force=True)
    assert path.read_bytes() != b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.pt"]


def test_a_file_holds_the_model_the_example_and_what_the_model_did(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    model = Watched()
    norse_export.save(model, str(path), X)
    with path.open("rb") as file:
        saved = read_saved(file, name="m.pt", limits=Limits())
    traced = trace(model, X)
    assert list(saved.graph.nodes) == list(traced.graph.nodes)
    assert np.array_equal(saved.inputs["input"], X.numpy())
    assert np.array_equal(saved.reference.spikes["cell"], traced.reference.spikes["cell"])
    assert np.array_equal(saved.reference.outputs["output"], traced.reference.outputs["output"])
    assert set(saved.reference.final_state["cell"]) == {"v", "i"}
    assert saved.reference.ran_by == traced.reference.ran_by
    assert dict(saved.provenance) == {
        "norse_export": norse_export.__version__, "time": "outside", "model_class": "Watched",
    }  # fmt: skip


def test_the_same_model_gives_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    names = "m.pt", "other.pt", "no suffix"
    for name in names:
        norse_export.save(Watched(), tmp_path / name, X)
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1


def test_an_example_in_any_form_gives_the_same_bytes(tmp_path: Path) -> None:
    forms = X, X.numpy(), X.bool().numpy(), X.double(), X.tolist()
    for number, form in enumerate(forms):
        norse_export.save(Watched(), tmp_path / f"{number}.pt", form)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_time_is_handed_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="time='both'"):
        norse_export.save(Watched(), tmp_path / "m.pt", X, time="both")
    with pytest.raises(UnsupportedError, match="whole raster"):
        norse_export.save(Watched(), tmp_path / "m.pt", X, time="inside")
    assert not list(tmp_path.iterdir())


def tampered(**changes: Any) -> Traced:
    """A trace whose reference is not what the graph does."""
    traced = trace(Watched(), X)
    run = traced.reference
    parts = {"spikes": run.spikes, "outputs": run.outputs, "final_state": run.final_state, **changes}
    return Traced(traced.graph, traced.inputs, Run(ran_by=run.ran_by, **parts), traced.time)


def test_a_trace_that_does_not_do_what_the_model_does_is_refused() -> None:
    traced = trace(Watched(), X)
    check_trace(traced, "Watched")
    spikes = traced.reference.spikes["cell"].copy()
    spikes[17, 2, 1] ^= True
    with pytest.raises(ParityError) as caught:
        check_trace(tampered(spikes={"cell": spikes}, outputs={"output": spikes.astype(np.float32)}), "Watched")
    assert "step 17, sample 2, spikes[1]" in caught.value.what
    assert caught.value.where == "cell"
    state = {
        "cell": {"v": traced.reference.final_state["cell"]["v"] + 0.01, "i": traced.reference.final_state["cell"]["i"]}
    }
    with pytest.raises(ParityError, match="v"):
        check_trace(tampered(final_state=state), "Watched")


def test_more_rounding_than_is_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each difference may be explained, and yet there are too many of them to prove anything."""
    from norse_export.pipeline import tracing

    traced = trace(Watched(), X)
    real = tracing.compare

    def compare(*args: Any, **kwargs: Any) -> Any:
        from dataclasses import replace

        return replace(real(*args, **kwargs), equal=False, explained_flips=7, allowed_flips=1)

    monkeypatch.setattr(tracing, "compare", compare)
    with pytest.raises(ParityError, match="7 spikes differ by rounding, 1 may"):
        check_trace(traced, "Watched")


def test_numbers_that_overflow_are_refused(tmp_path: Path) -> None:
    model = Watched()
    with torch.no_grad():
        model.layer.weight.fill_(3e38)
    with pytest.raises(UsageError) as caught:
        norse_export.save(model, tmp_path / "m.pt", X)
    assert caught.value.findings[0].kind == "not_finite"
    assert not list(tmp_path.iterdir())


class Two(nn.Module):
    """A layer that always fires, and one that never does behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.silent = snn.LIFCell(p=snn.LIFParameters(v_th=torch.tensor(-1.0))), snn.LIFBoxCell()
        self.layer = nn.Linear(6, 6)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        first, second = state or (None, None)
        z, first = self.first(x, first)
        y, second = self.silent(self.layer(z), second)
        return y, (first, second)


def test_a_layer_that_never_fires_is_warned_of_by_name(tmp_path: Path) -> None:
    with pytest.warns(norse_export.SilentLayerWarning) as caught:
        norse_export.save(Two(), tmp_path / "m.pt", X)
    (warning,) = caught
    message = str(warning.message)
    assert "'silent'" in message
    assert "'first'" not in message
    assert "Give an example on which every layer fires" in message
    assert warning.filename == __file__
    assert (tmp_path / "m.pt").is_file()


def test_a_warning_that_is_made_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(norse_export.SilentLayerWarning):  # warnings are errors here
        norse_export.save(Two(), tmp_path / "m.pt", X)
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys, torch
torch.set_num_threads(int(sys.argv[2]))
from test_saving import Watched, X
import norse_export
norse_export.save(Watched(), sys.argv[1], X)
"""


def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    norse_export.save(Watched(), tmp_path / "m.pt", X)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    here = Path(__file__)
    path = os.pathsep.join(map(str, (here.parent, here.parents[2])))
    environment = {**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": path}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, "other.pt", str(torch.get_num_threads())]
    subprocess.run(command, check=True, cwd=folder, env=environment)
    assert (folder / "other.pt").read_bytes() == (tmp_path / "m.pt").read_bytes()


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (1, 2, 0)], ids=["path first", "path last", "model last"])
def test_arguments_in_another_order_are_refused_with_the_right_one(order: tuple[int, ...], tmp_path: Path) -> None:
    given = (Watched(), tmp_path / "m.pt", X)
    with pytest.raises(UsageError, match="is a ") as caught:
        norse_export.save(*(given[position] for position in order))  # type: ignore[arg-type]
    assert "save(model, path, example_input)" in caught.value.fix
    assert list(tmp_path.iterdir()) == []
