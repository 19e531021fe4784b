"""Norse's encoders: those of images are populations of the graph, of all others the graph takes what they give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import assert_replayed, judged, kinds, refusal, same, seeded, spikes

import norse_export
from norse_export.errors import UnsupportedError, UsageError
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import find_time, rerun, trace
from norse_export.interpret import interpret
from norse_export.ir.doubts import ENCODERS, IMAGES
from norse_export.passes.discretise import discretise

T = 24
IMAGE = torch.rand((3, 8), generator=torch.Generator().manual_seed(0))


def behind(*encoders: nn.Module) -> nn.Module:
    """The encoder, a layer and a population."""
    layers = seeded(snn.SequentialState(nn.Linear(8, 6), snn.LIF()), gain=6.0)
    return snn.SequentialState(*encoders, layers[0], layers[1]).eval()


def each(low: float, high: float, seed: int) -> torch.Tensor:
    """A parameter of eight neurons."""
    return low + (high - low) * torch.rand(8, generator=torch.Generator().manual_seed(seed))


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
    traced = trace(model, x, encoders="boundary")
    assert judged(traced).equal
    assert_replayed(traced.reference, replay(discretise(traced.graph), traced.inputs))
    assert traced.time == "inside"
    assert list(traced.graph.nodes) == ["input", "1", "2", "output"]
    assert json.loads(traced.graph.metadata[ENCODERS]) == {"input": "0"}
    given = traced.inputs["input"]
    assert given.shape == (steps, 3, 8)
    assert given.any()
    assert torch.equal(traced.raw[0], x)


P = snn.LIFParameters
OWN = P(tau_mem_inv=torch.tensor(333.0), v_leak=torch.tensor(0.1), v_th=torch.tensor(0.7))
EACH = P(tau_mem_inv=each(50, 350, 1), v_leak=each(0, 0.3, 2), v_th=each(0.5, 1.5, 3))
BELOW = P(v_reset=torch.tensor(-0.3))
INSIDE: dict[str, tuple[Callable[[], tuple[nn.Module, ...]], float]] = {
    "constant current": (lambda: (snn.ConstantCurrentLIFEncoder(T),), 30.0),
    "of other parameters": (lambda: (snn.ConstantCurrentLIFEncoder(T, OWN, dt=0.0007),), 3.0),
    "of parameters of each neuron": (lambda: (snn.ConstantCurrentLIFEncoder(T, EACH),), 9.0),
    "spike latency": (lambda: (snn.SpikeLatencyLIFEncoder(T),), 10.0),
    "spike latency that resets elsewhere": (lambda: (snn.SpikeLatencyLIFEncoder(T, BELOW),), 10.0),
    "constant current, then latency": (lambda: (snn.ConstantCurrentLIFEncoder(T), snn.SpikeLatencyEncoder()), 10.0),
}


@pytest.mark.parametrize("name", INSIDE)
def test_an_encoder_of_images_is_a_population_to_the_bit(name: str) -> None:
    make, scale = INSIDE[name]
    model = behind(*make())
    traced = same(model, IMAGE * scale, exact=True)
    assert traced.time == "inside"
    assert list(traced.reference.spikes) == [str(number) for number in range(len(make()))] + [str(1 + len(make()))]
    assert traced.graph.metadata[IMAGES] == '["input"]'
    assert ENCODERS not in traced.graph.metadata
    given = traced.inputs["input"]
    assert given.shape == (T, 3, 8)
    assert (given == (IMAGE * scale).numpy()).all()
    with torch.no_grad():
        assert np.array_equal(traced.reference.spikes["0"], model[0](IMAGE * scale).numpy() != 0)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("raster", ["shorter", "longer", "another image each step"])
def test_other_images_are_encoded_as_norse_does(name: str, raster: str) -> None:
    make, scale = INSIDE[name]
    model = behind(*make())
    traced = trace(model, IMAGE * scale)
    image = traced.inputs["input"]
    changing = np.random.default_rng(0).random((31, 2, 8), dtype=np.float32) * scale
    others = {"shorter": image[:7], "longer": np.concatenate([image, image]), "another image each step": changing}
    inputs = {"input": others[raster]}
    run, graph = rerun(model, traced, inputs), discretise(traced.graph)
    assert all(fired.any() for fired in run.spikes.values())
    assert_replayed(run, replay(graph, inputs))
    for population, fired in interpret(graph, inputs).spikes.items():
        assert np.array_equal(run.spikes[population], fired)


@pytest.mark.parametrize("encoder", [snn.ConstantCurrentLIFEncoder, snn.SpikeLatencyLIFEncoder])
def test_an_encoder_in_float64_is_a_population_to_the_bit(encoder: Any) -> None:
    """What ConstantCurrentLIFEncoder gives is float32 in a model of any type: nothing else can stand behind it."""
    model, x = encoder(T).eval(), IMAGE.double() * 30
    model.register_parameter("unused", nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    traced = trace(model, x)
    (name,) = traced.reference.spikes
    run = interpret(discretise(traced.graph), traced.inputs, dtype="float64")
    assert np.array_equal(run.spikes[name], traced.reference.spikes[name])
    for variable, values in traced.reference.final_state[name].items():
        assert np.array_equal(values, run.final_state[name][variable]), variable


def test_layers_before_an_encoder_are_of_the_image() -> None:
    class Signed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed, self.encoder = nn.Linear(8, 8), snn.ConstantCurrentLIFEncoder(T)
            self.layer, self.cell = nn.Linear(8, 6), snn.LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(self.layer(self.encoder(torch.relu(20 * self.mixed(x)))))[0]

    model = seeded(Signed(), gain=3.0)
    traced = same(model, IMAGE)
    assert list(traced.reference.spikes) == ["encoder", "cell"]
    assert traced.inputs["input"].shape == (T, 3, 8)
    others = {"input": np.random.default_rng(0).random((9, 2, 8), dtype=np.float32)}
    assert np.array_equal(
        rerun(model, traced, others).spikes["cell"], interpret(discretise(traced.graph), others).spikes["cell"]
    )


def test_an_encoder_that_no_population_is_stays_a_boundary() -> None:
    """v - (v - v_reset) is not v_reset in every last bit."""
    traced = same(behind(snn.ConstantCurrentLIFEncoder(T, BELOW)), IMAGE * 30)
    assert list(traced.reference.spikes) == ["2"]
    assert json.loads(traced.graph.metadata[ENCODERS]) == {"input": "0"}


def test_an_image_that_also_goes_past_its_encoder_is_refused() -> None:
    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.cell = snn.ConstantCurrentLIFEncoder(T), snn.LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(self.encoder(x) + x)[0]

    (finding,) = refusal(Past().eval(), IMAGE * 30, error=UnsupportedError)
    assert finding.kind == "operation"
    assert "adds two traced values of one shape only" in finding.message


def test_a_model_that_raises_behind_its_encoders_tells_that_alone() -> None:
    model = behind(snn.ConstantCurrentLIFEncoder(T), snn.SpikeLatencyEncoder()).double()
    (finding,) = refusal(model, IMAGE.double())
    assert (finding.kind, finding.where[:1]) == ("model_raised", "2")


def test_encoders_are_inside_or_a_boundary() -> None:
    with pytest.raises(UsageError, match="encoders='outside'"):
        trace(behind(snn.ConstantCurrentLIFEncoder(T)), IMAGE, encoders="outside")  # type: ignore[arg-type]  # wrong


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
