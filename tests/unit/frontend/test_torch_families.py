"""Every class of Norse's neurons, through a file of torch.save: what is traced is what the model itself gives.

Both are, to the bit: they are written as our own model file, which holds the graph, the spikes, the outputs and the
final states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import norse.torch as snn
import pytest
import torch
from battery.case import Case
from battery.containers import CASES
from bulk import some
from norse.torch.functional import izhikevich
from norse.torch.module.izhikevich import Izhikevich
from norse_battery import CLASSES, FIRST_STEP, model, raster
from torch import nn
from torch_programs import read, saved

import norse_export
from norse_export.errors import ExportError
from norse_export.frontend.saved.torch_modules import rebuild
from norse_export.frontend.torch_save import enable_torch_save
from norse_export.frontend.trace import trace

enable_torch_save()


def assert_same_file(original: nn.Module, x: torch.Tensor, folder: Path) -> None:
    """The model, and the one rebuilt from its file of torch.save, make the same model file."""
    rebuilt = rebuild(*read(saved(original)))
    for name, made in (("original", original), ("rebuilt", rebuilt)):
        norse_export.save(made, folder / name, x)
    assert (folder / "original").read_bytes() == (folder / "rebuilt").read_bytes()


def learned(p: Any) -> Any:
    """The tuple with every tensor in it, and in the tuple within it, as a parameter that is trained."""
    made = {}
    for name, value in p._asdict().items():
        trained = nn.Parameter(value) if isinstance(value, torch.Tensor) and name != "alpha" else value
        made[name] = learned(value) if hasattr(value, "_asdict") else trained
    return type(p)(**made)


@pytest.mark.parametrize("each", [False, True], ids=["one number", "a number for each neuron"])
@pytest.mark.parametrize("name", some(CLASSES, list(CLASSES)[::4]))
def test_a_file_of_torch_save_is_traced_as_the_model_is(name: str, each: bool, tmp_path: Path) -> None:
    assert_same_file(model(name, each=each), raster(), tmp_path)


@pytest.mark.parametrize("name", some([n for n in CLASSES if not n.startswith("Izhikevich")], list(CLASSES)[1::5]))
def test_parameters_that_were_trained_are_read_as_such(name: str, tmp_path: Path) -> None:
    original = model(name, each=True)
    original[1].p = learned(original[1].p)
    rebuilt: Any = rebuild(*read(saved(original)))
    assert any(isinstance(value, nn.Parameter) for value in _numbers(rebuilt[1].p))
    assert_same_file(original, raster(), tmp_path)


def _numbers(p: Any) -> list[Any]:
    return [inner for value in p for inner in (_numbers(value) if hasattr(value, "_asdict") else [value])]


@pytest.mark.parametrize("name", some([name for name in CLASSES if name not in FIRST_STEP], list(CLASSES)[2::5]))
def test_models_in_float64_are_read_as_such(name: str, tmp_path: Path) -> None:
    assert_same_file(model(name, each=True, dtype=torch.float64), raster(dtype=torch.float64), tmp_path)


@pytest.mark.parametrize("name", some(CLASSES, list(CLASSES)[::4]))
def test_the_models_of_these_tests_spike(name: str) -> None:
    """Files of silent models would be equal for nothing; readouts have no spikes."""
    reference = trace(model(name, each=True), raster()).reference
    assert all(0 < spikes.sum() < spikes.size for spikes in reference.spikes.values())
    assert bool(reference.spikes) == (not name.startswith("LI") or name.startswith("LIF"))


BEHAVIOURS = sorted(
    name for name, value in vars(izhikevich).items() if isinstance(value, izhikevich.IzhikevichSpikingBehavior)
)


@pytest.mark.parametrize("name", some(BEHAVIOURS, list(BEHAVIOURS)[::6]))
def test_the_behaviours_that_norse_names_are_read(name: str, tmp_path: Path) -> None:
    drive = nn.Linear(9, 5)
    with torch.no_grad():
        drive.weight.copy_(torch.linspace(10, 80, 45).reshape(5, 9))
    assert_same_file(snn.SequentialState(drive, Izhikevich(getattr(izhikevich, name))), raster(), tmp_path)


def test_parameters_that_stand_twice_are_shared_again() -> None:
    """An Izhikevich neuron holds its parameters itself, and in its behaviour."""
    original = model("IzhikevichRecurrentCell", each=True)
    rebuilt: Any = rebuild(*read(saved(original)))
    assert rebuilt[1].p.a is rebuilt[1].spiking_method.p.a
    assert rebuilt[1].initial_state(torch.zeros(1, 6)).v.shape == (1, 6)


# Structures: the models of the battery that are made of known classes alone

SAVED = [case for case in CASES if case.name not in ("named", "lconv")]  # a class of a function's own; one not traced


@pytest.mark.filterwarnings("ignore::norse_export.errors.SilentLayerWarning")
@pytest.mark.parametrize("case", SAVED, ids=[case.name for case in SAVED])
def test_structures_are_traced_from_a_file_as_the_model_is(case: Case, tmp_path: Path) -> None:
    original, x = case.model(), case.rasters()
    rebuilt = rebuild(*read(saved(original)))
    outcomes = [_outcome(made, x, case.time, tmp_path / name) for name, made in (("a", original), ("b", rebuilt))]
    assert outcomes[0] == outcomes[1]


def _outcome(made: nn.Module, x: Any, meaning: Any, path: Path) -> Any:
    """The bytes of the model file, or the findings of a model that is refused."""
    try:
        norse_export.save(made, path, x, time=meaning)
    except ExportError as error:
        return error.findings
    return path.read_bytes()
