"""Norse's encoders are a boundary: the graph takes what they give, and does with it what the model does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import assert_replayed, kinds, refusal, same, seeded, spikes

import norse_export
from norse_export.errors import UnsupportedError
from norse_export.frontend.recorded_model import ENCODERS
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import find_time, rerun, trace
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

T = 24
IMAGE = torch.rand((3, 8), generator=torch.Generator().manual_seed(0))


def behind(encoder: nn.Module) -> nn.Module:
    """The encoder, a layer and a population."""
    layers = seeded(snn.SequentialState(nn.Linear(8, 6), snn.LIF()), gain=6.0)
    return snn.SequentialState(encoder, layers[0], layers[1]).eval()


ENCODED: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, int]] = {
    "PoissonEncoder": (lambda: snn.PoissonEncoder(T, f_max=400), IMAGE, T),
    "SignedPoissonEncoder": (lambda: snn.SignedPoissonEncoder(T, f_max=400), IMAGE, T),
    "ConstantCurrentLIFEncoder": (lambda: snn.ConstantCurrentLIFEncoder(T), IMAGE * 30, T),
    "SpikeLatencyLIFEncoder": (lambda: snn.SpikeLatencyLIFEncoder(T), IMAGE * 30, T),
    "SpikeLatencyEncoder": (snn.SpikeLatencyEncoder, spikes(T, 3, 8), T),
}


@pytest.mark.parametrize("name", ENCODED)
def test_what_an_encoder_gives_is_the_input_of_the_graph(name: str) -> None:
    make, x, steps = ENCODED[name]
    model = behind(make())
    torch.manual_seed(0)
    traced = same(model, x)
    assert traced.time == "inside"
    assert list(traced.graph.nodes) == ["input", "1", "2", "output"]
    assert json.loads(traced.graph.metadata[ENCODERS]) == {"input": "0"}
    given = traced.inputs["input"]
    assert given.shape == (steps, 3, 8)
    assert given.any()
    assert torch.equal(traced.raw[0], x)


def test_a_random_encoder_gives_what_it_gave_and_not_something_new() -> None:
    """The reference run is of the raster that was recorded, whatever the random state is."""
    model = behind(snn.PoissonEncoder(T, f_max=400))
    torch.manual_seed(1)
    one = same(model, IMAGE)
    torch.manual_seed(2)
    other = same(model, IMAGE)
    assert not np.array_equal(one.inputs["input"], other.inputs["input"])
    assert one.graph.edges == other.graph.edges


def test_the_encoder_is_back_in_its_place_afterwards() -> None:
    model = behind(snn.PoissonEncoder(T, f_max=400))
    trace(model, IMAGE)
    torch.manual_seed(3)
    one = model[0](IMAGE)
    assert not torch.equal(one, model[0](IMAGE))
    assert not model[0]._forward_hooks


def test_other_rasters_stand_for_what_the_encoder_gives() -> None:
    model = behind(snn.PoissonEncoder(T, f_max=400))
    traced = trace(model, IMAGE)
    others = {"input": spikes(11, 2, 8, seed=4).numpy()}
    run, graph = rerun(model, traced, others), discretise(traced.graph)
    assert run.spikes["2"].shape == (11, 2, 6)
    assert run.spikes["2"].any()
    assert np.array_equal(run.spikes["2"], interpret(graph, others).spikes["2"])
    assert_replayed(run, replay(graph, others))


def test_a_model_with_an_encoder_is_saved_with_what_it_gave(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    norse_export.save(behind(snn.PoissonEncoder(T, f_max=400)), path, IMAGE)
    loaded = norse_export.load(path)
    assert loaded.stored is not None
    inputs, truth = loaded.stored
    assert inputs["input"].shape == (T, 3, 8)
    assert set(np.unique(inputs["input"])) == {0.0, 1.0}
    assert np.array_equal(interpret(loaded.discrete, inputs).spikes["2"], truth.run.spikes["2"])
    assert_replayed(truth.run, loaded.truth(inputs).run)


def test_an_encoder_in_a_plain_sequential_is_found() -> None:
    model = nn.Sequential(snn.PoissonEncoder(T, f_max=400), behind(nn.Identity())).eval()
    assert find_time(model) == "inside"
    assert same(model, IMAGE).inputs["input"].shape == (T, 3, 8)


def test_an_encoder_alone_gives_its_raster() -> None:
    traced = trace(snn.PoissonEncoder(T, f_max=400), IMAGE)
    assert np.array_equal(traced.inputs["input"], traced.reference.outputs["output"])


def test_an_encoder_behind_a_layer_is_refused() -> None:
    model = snn.SequentialState(nn.Linear(8, 8), snn.PoissonEncoder(T, f_max=400), snn.LIF()).eval()
    findings = refusal(model, IMAGE, error=UnsupportedError)
    assert "encoder" in kinds(findings)
    (finding,) = [finding for finding in findings if finding.kind == "encoder"]
    assert finding.where == "1"
    assert "PoissonEncoder encodes something else than the model's own input" in finding.message
    assert "put the encoder first" in finding.fix


def test_an_input_that_is_also_used_past_the_encoder_is_refused() -> None:
    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.encoder, self.cell = nn.Linear(8, 8), snn.PoissonEncoder(T, f_max=400), snn.LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.layer(x)
            return self.cell(self.encoder(x) + h)[0]

    assert "encoder" in kinds(refusal(Past().eval(), IMAGE.unsqueeze(1), error=UnsupportedError))


def test_what_was_encoded_is_not_taken_for_what_the_encoder_gave() -> None:
    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoded, self.raw, self.cell = nn.Linear(8, 6), nn.Linear(8, 6), snn.LIF()
            self.encoder = snn.SpikeLatencyEncoder()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            e = self.encoder(x)
            return self.cell(self.encoded(e) + self.raw(x))[0]

    (finding,) = refusal(seeded(Past()), spikes(T, 3, 8), error=UnsupportedError)[:1]
    assert (finding.kind, finding.where) == ("constant_input", "raw")
