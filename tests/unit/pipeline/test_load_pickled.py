"""Files of torch.save and factories give the graph that norse_export.save gives, or ask for what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn

import norse_export
from norse_export.errors import InputFileError, ParityError, UnsupportedError, UsageError
from norse_export.frontend.torch_save import enable_torch_save
from norse_export.ir.graph import Graph
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frontend"))

from graph_parts import differences as graph_differences
from norse_battery import BATTERY
from norse_battery import model as battery_model
from traced_models import seeded, spikes

QUICK = snn.LIFParameters(v_th=torch.tensor(0.2), tau_mem_inv=torch.linspace(80, 300, 6))
BOX = snn.LIFBoxParameters(v_th=torch.tensor(0.3))

MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cells": (lambda: snn.SequentialState(nn.Linear(5, 6), snn.LIFCell(QUICK), nn.Linear(6, 2), snn.LICell()), (5,)),
    "recurrent": (lambda: snn.SequentialState(snn.LIFRecurrentCell(5, 6), nn.Linear(6, 2), snn.LIBoxCell()), (5,)),
    "sequences": (lambda: snn.SequentialState(nn.Linear(5, 6), snn.LIF(QUICK), snn.LIFRecurrent(6, 4), snn.LI()), (5,)),
    "maps": (
        lambda: snn.SequentialState(
            nn.Conv2d(2, 3, 3, padding=1, groups=1), nn.BatchNorm2d(3), snn.LIFBoxCell(BOX), nn.AvgPool2d(2),
            nn.Flatten(), nn.Dropout(), nn.Linear(12, 4), snn.IAFCell(),
        ),
        (2, 4, 4),
    ),
    "lift": (
        lambda: snn.SequentialState(snn.Lift(nn.Conv2d(2, 3, 3)), snn.LIF(), nn.Flatten(2), nn.Linear(12, 2)),
        (2, 4, 4),
    ),
    "float64": (lambda: snn.SequentialState(nn.Linear(5, 6), snn.LIFCell(QUICK)).double(), (5,)),
}  # fmt: skip


def loaded(path: Path, inputs: InputChoice | None = None, **choice: Any) -> Model:
    return load_model(path, LoadChoice(**choice), inputs or InputChoice())


def saved_graph(model: nn.Module, shape: tuple[int, ...], tmp_path: Path) -> Graph[Any]:
    norse_export.save(model, tmp_path / "saved.pt", spikes(20, 3, *shape))
    return loaded(tmp_path / "saved.pt").graph


@pytest.mark.parametrize("name", MODELS)
def test_a_pickled_module_gives_the_graph_that_save_gives(name: str, tmp_path: Path) -> None:
    enable_torch_save()
    make, shape = MODELS[name]
    model = seeded(make(), gain=4.0)
    torch.save(model, tmp_path / "pickled.pt")
    found = loaded(tmp_path / "pickled.pt", input_shape=shape)
    assert graph_differences(saved_graph(model, shape, tmp_path), found.graph) == []
    assert found.kind == "pickled module"
    assert found.stored is None


def test_the_truth_of_a_pickled_module_is_the_module_itself(tmp_path: Path) -> None:
    enable_torch_save()
    model = seeded(MODELS["cells"][0](), gain=4.0)
    torch.save(model, tmp_path / "m.pt")
    x = spikes(30, 4, 5, seed=3)
    truth = loaded(tmp_path / "m.pt").truth({"input": x.numpy().astype(np.uint8)})
    state, outputs = None, []
    with torch.no_grad():
        for step in x:
            out, state = model(step, state)
            outputs.append(out.numpy())
    assert truth.rung == 0
    assert np.array_equal(truth.run.outputs["output"], np.stack(outputs))
    with pytest.raises(UsageError, match="wrong input shape"):
        loaded(tmp_path / "m.pt").truth({"input": np.zeros((3, 2, 7), np.float32)})


FACTORY = """
import norse.torch as snn
import torch
from torch import nn

def build():
    return snn.SequentialState(nn.Linear(5, 6), snn.LIFCell(), nn.Linear(6, 2), snn.LICell())

class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.cell, self.calls = nn.Linear(5, 6), snn.LIFCell(), 0

    def forward(self, x, state=None):
        self.calls += 1
        z, state = self.cell(self.layer(x), state)
        return (z + z if self.calls > 2 else z), state

class Late(Counting):
    def forward(self, x, state=None):
        self.calls += 1
        z, state = self.cell(self.layer(x), state)
        return (z + z if self.calls > 60 else z), state

class Shown(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.cell = nn.Linear(5, 6), snn.LIFCell()

    def forward(self, x):
        state, sent = None, []
        for _ in range(12):
            z, state = self.cell(self.layer(x), state)
            sent.append(z)
        return torch.stack(sent)
"""


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets_under_test.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_under_test", raising=False)
    return tmp_path


def test_a_factory_with_a_state_dict_gives_the_graph_that_save_gives(factory: Path) -> None:
    model = seeded(snn.SequentialState(nn.Linear(5, 6), snn.LIFCell(), nn.Linear(6, 2), snn.LICell()), gain=4.0)
    torch.save(model.state_dict(), factory / "weights.pt")
    found = loaded(factory / "weights.pt", factory="nets_under_test:build")
    assert graph_differences(saved_graph(model, (5,), factory), found.graph) == []
    assert "nets_under_test:build" in found.kind


def test_a_factory_whose_model_keeps_a_past_is_refused(factory: Path) -> None:
    torch.save({"layer.weight": torch.zeros(6, 5), "layer.bias": torch.zeros(6)}, factory / "weights.pt")
    with pytest.raises(UnsupportedError) as caught:
        loaded(factory / "weights.pt", factory="nets_under_test:Counting")
    assert caught.value.findings[0].kind == "control_flow"


@pytest.mark.parametrize("doing", [norse_export.load, norse_export.inspect, norse_export.check])
def test_a_model_that_acts_differently_at_a_late_step_is_refused(factory: Path, doing: Callable[..., Any]) -> None:
    """Its trace, of a few steps, looks right."""
    weights = {"layer.weight": torch.full((6, 5), 0.5), "layer.bias": torch.full((6,), 0.5)}
    torch.save(weights, factory / "weights.pt")
    with pytest.raises(ParityError, match=r"differs from the model at step \d\d") as caught:
        doing(factory / "weights.pt", loading=LoadChoice(factory="nets_under_test:Late"))
    assert caught.value.where == "output"


def test_a_model_that_acts_differently_after_the_example_is_taken(factory: Path) -> None:
    """Nobody sees it there; and the model is refused for what it does on the example, not for its class."""
    torch.save({"layer.weight": torch.full((6, 5), 0.5), "layer.bias": torch.zeros(6)}, factory / "weights.pt")
    found = loaded(factory / "weights.pt", InputChoice(random_steps=20), factory="nets_under_test:Late")
    assert found.graph.nodes["cell"].output_shape == (6,)


def test_a_model_that_shows_an_image_takes_rasters_of_any_kind(factory: Path) -> None:
    """Of one image at each of its steps the truth is the model itself, of others its traced graph."""
    torch.save({"layer.weight": torch.full((6, 5), 0.5), "layer.bias": torch.zeros(6)}, factory / "weights.pt")
    found = loaded(factory / "weights.pt", InputChoice(random_steps=20, rate=0.5), factory="nets_under_test:Shown")
    assert found.graph.metadata["images"] == '["input"]'
    image = np.repeat(spikes(1, 3, 5, rate=0.7).numpy(), 12, 0)
    own, changing = found.truth({"input": image}).run, found.truth({"input": spikes(9, 2, 5, rate=0.7).numpy()}).run
    assert own.spikes["cell"].shape == (12, 3, 6)
    assert changing.spikes["cell"].shape == (9, 2, 6)
    assert own.spikes["cell"].any()
    assert changing.spikes["cell"].any()
    assert "on the traced graph" in changing.ran_by
    assert "on the traced graph" not in own.ran_by


def test_a_state_dict_alone_asks_for_a_factory(tmp_path: Path) -> None:
    torch.save(nn.Linear(5, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputFileError) as caught:
        loaded(tmp_path / "weights.pt")
    assert "--factory" in caught.value.fix


def test_a_model_of_maps_asks_for_its_input_shape_by_name(tmp_path: Path) -> None:
    enable_torch_save()
    torch.save(seeded(MODELS["maps"][0]()), tmp_path / "m.pt")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path / "m.pt")
    (finding,) = caught.value.findings
    assert finding.kind == "input_shape"
    assert "--input-shape" in finding.fix
    assert "--inputs" in finding.fix


def test_cells_alone_ask_for_their_input_shape_by_name(tmp_path: Path) -> None:
    enable_torch_save()
    torch.save(snn.SequentialState(snn.LIFCell(), snn.LICell()), tmp_path / "m.pt")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path / "m.pt")
    assert caught.value.findings[0].kind == "input_shape"
    assert loaded(tmp_path / "m.pt", input_shape=(3,)).graph.nodes["0"].output_shape == (3,)


def test_a_raster_tells_the_shape(tmp_path: Path) -> None:
    enable_torch_save()
    model = seeded(MODELS["maps"][0]())
    torch.save(model, tmp_path / "m.pt")
    np.savez(tmp_path / "x.npz", x=spikes(12, 3, 2, 4, 4).numpy().astype(bool))
    found = loaded(tmp_path / "m.pt", InputChoice(file=tmp_path / "x.npz"))
    assert graph_differences(saved_graph(model, (2, 4, 4), tmp_path), found.graph) == []


def test_a_wrong_shape_names_the_layer(tmp_path: Path) -> None:
    enable_torch_save()
    torch.save(seeded(MODELS["maps"][0]()), tmp_path / "m.pt")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path / "m.pt", input_shape=(3, 4, 4))
    assert caught.value.findings[0].where.startswith("0, in SequentialState")
    assert caught.value.fix.startswith("check --input-shape 3,4,4 (one sample of one step")


def test_a_model_that_mixes_steps_and_rasters_asks_for_time_by_name(tmp_path: Path) -> None:
    enable_torch_save()
    torch.save(snn.SequentialState(nn.Linear(5, 6), snn.LIFCell(), snn.LIF()), tmp_path / "m.pt")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path / "m.pt")
    assert caught.value.findings[0].kind == "time"


def test_a_module_that_is_not_supported_is_refused_with_its_path(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(5, 5), nn.Dropout()).train(), tmp_path / "m.pt")
    with pytest.raises(UnsupportedError) as caught:
        loaded(tmp_path / "m.pt")
    assert [(f.kind, f.where) for f in caught.value.findings] == [("training", "1")]


# Every family; models that begin with an encoder


@pytest.mark.parametrize("family", BATTERY)
def test_every_family_is_read_from_a_file(family: str, tmp_path: Path) -> None:
    """Through the limited process; its forms and parameters are tried in test_torch_families."""
    enable_torch_save()
    model = battery_model(BATTERY[family].classes[-1], each=True)
    torch.save(model, tmp_path / "pickled.pt")
    found = loaded(tmp_path / "pickled.pt")
    assert graph_differences(saved_graph(model, (9,), tmp_path), found.graph) == []


ENCODERS = {
    "random": lambda: snn.PoissonEncoder(30, f_max=700),
    "of currents": lambda: snn.ConstantCurrentLIFEncoder(30, snn.LIFParameters(v_th=torch.tensor(0.1))),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("told", ["by the weights", "by a raster"])
def test_a_model_that_begins_with_an_encoder_takes_what_the_encoder_gives(name: str, told: str, tmp_path: Path) -> None:
    enable_torch_save()
    rest = seeded(snn.SequentialState(snn.Lift(nn.Linear(5, 6)), snn.LIF()), gain=6.0)
    torch.save(snn.SequentialState(ENCODERS[name](), *rest), tmp_path / "m.pt")
    x = spikes(30, 4, 5, seed=3)
    np.savez(tmp_path / "x.npz", x=x.numpy().astype(bool))
    found = loaded(tmp_path / "m.pt", InputChoice(file=tmp_path / "x.npz") if told == "by a raster" else None)
    truth = found.truth({"input": x.numpy()})
    with torch.no_grad():
        expected = rest(x)[0].numpy().astype(bool)
    assert truth.rung == 0
    assert np.array_equal(next(iter(truth.run.spikes.values())), expected)
    assert 0 < expected.mean() < 1
