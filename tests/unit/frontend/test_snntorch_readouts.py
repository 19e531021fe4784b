"""snnTorch's membranes as what a model gives, and its tutorials, which show one image at every step."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from counted_nets import weighted
from torch import nn
from traced_models import assert_replayed, refusal, same, spikes

from norse_export.frontend.replay import replay
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.ir.doubts import IMAGES, READOUTS, STATES, doubts
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.notes import CLASSES
from norse_export.passes.discretise import discretise

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed: pip install 'norse-export[snntorch]'")

T, B, N_IN, N, N_OUT = 40, 3, 6, 8, 4
X = spikes(T, B, N_IN)
IMAGE = torch.rand((B, N_IN), generator=torch.Generator().manual_seed(0))


class Readout(nn.Module):
    """Two layers; `give` makes of the spikes and membranes of the second what the model gives."""

    def __init__(self, neuron: Any, give: Any) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(N_IN, N), snn.Leaky(beta=0.9)
        self.fc2, self.lif2, self.give = nn.Linear(N, N_OUT), neuron, give

    def parts(self, x: torch.Tensor) -> Any:
        """What each step takes."""
        return (x[step] for step in range(x.size(0)))

    def forward(self, x: torch.Tensor) -> Any:
        mem1, state = self.lif1.init_leaky(), self.lif2.reset_mem()
        state = state if isinstance(state, tuple) else (state,)
        spk_rec, mem_rec = [], []
        for part in self.parts(x):
            spk1, mem1 = self.lif1(self.fc1(part), mem1)
            spk2, *after = self.lif2(self.fc2(spk1), *state)
            state = tuple(after)
            spk_rec.append(spk2)
            mem_rec.append(after[-1])
        return self.give(spk_rec, mem_rec)


class Shown(Readout):
    """As the tutorials have it: the same image at every step."""

    def parts(self, x: torch.Tensor) -> Any:
        return (x for _ in range(T))


def membranes(spk: Any, mem: Any) -> torch.Tensor:
    return torch.stack(mem, dim=0)


NEURONS: dict[str, Any] = {
    f"{name}, {reset}{', at once' if now else ''}": lambda cls=cls, own=own, reset=reset, now=now: cls(
        **own, threshold=0.5, reset_mechanism=reset, reset_delay=not now
    )
    for name, cls, own in (("Leaky", snn.Leaky, {"beta": 0.8}), ("Synaptic", snn.Synaptic, {"alpha": 0.6, "beta": 0.8}))
    for reset in ("subtract", "zero", "none")
    for now in ((False, True) if reset != "none" else (False,))
}


@pytest.mark.parametrize("name", NEURONS)
def test_the_membrane_of_the_last_neurons_is_an_output(name: str) -> None:
    model = weighted(Readout(NEURONS[name](), membranes))
    traced = same(model, X)
    assert list(traced.graph.nodes) == ["input", "fc1", "lif1", "fc2", "lif2", "output"]
    node = traced.graph.nodes["lif2"]
    assert isinstance(node, NeuronModel)
    assert not node.spikes
    assert list(traced.reference.spikes) == ["lif1"]
    output = traced.reference.outputs["output"]
    with torch.no_grad():
        assert np.array_equal(output, model(X).numpy())
        model.give = lambda spk, mem: torch.stack(spk)
        assert model(X).any()  # a threshold is passed, so that a reset shows


@pytest.mark.parametrize("name", NEURONS)
def test_in_float64_a_membrane_is_snntorchs_to_the_bit(name: str) -> None:
    """One layer: snnTorch's spikes are float32 in a model of any type, which no layer in float64 takes."""

    class Single(Readout):
        def forward(self, x: torch.Tensor) -> Any:
            state, mem_rec = self.lif2.reset_mem(), []
            state = state if isinstance(state, tuple) else (state,)
            for part in self.parts(x):
                _, *state = self.lif2(self.fc1(part)[:, :N_OUT], *state)
                mem_rec.append(state[-1])
            return torch.stack(mem_rec)

    model = weighted(Single(NEURONS[name](), None)).double()
    with torch.no_grad():
        model.fc1.weight.copy_(torch.round(model.fc1.weight * 64) / 64)  # sums are exact in any order
        model.fc1.bias.copy_(torch.round(model.fc1.bias * 64) / 64)
    traced = trace(model, X.double())
    found = interpret(discretise(traced.graph), traced.inputs, dtype="float64").outputs["output"]
    assert found.dtype == np.float64
    assert np.ptp(found) > 0.5
    assert np.array_equal(found, traced.reference.outputs["output"])


@pytest.mark.parametrize("name", NEURONS)
def test_another_raster_gives_what_snntorch_gives(name: str) -> None:
    model = weighted(Readout(NEURONS[name](), membranes))
    traced, other = trace(model, X), {"input": spikes(T + 7, 2, N_IN, rate=0.6, seed=3).numpy()}
    assert_replayed(rerun(model, traced, other), replay(discretise(traced.graph), other))


READ: dict[str, tuple[Any, str]] = {
    "the last": (lambda spk, mem: mem[-1], "the last step"),
    "the largest": (lambda spk, mem: torch.stack(mem).max(0)[0], "max"),
    "the mean": (lambda spk, mem: torch.stack(mem).mean(0), "mean"),
    "softmax of the sum": (lambda spk, mem: torch.softmax(torch.stack(mem).sum(0), -1), "sum, softmax"),
}


@pytest.mark.parametrize("name", READ)
def test_a_membrane_is_read_out_as_any_output(name: str) -> None:
    give, told = READ[name]
    traced = same(weighted(Readout(snn.Leaky(0.8), give)), X)
    assert traced.graph.metadata[READOUTS] == f'{{"output": "{told}"}}'
    assert traced.reference.outputs["output"].shape == (T, B, N_OUT)


@pytest.mark.parametrize("reset", ["subtract", "none"])
def test_membranes_beside_the_spikes_are_told_to_be_left_out(reset: str) -> None:
    neuron = snn.Leaky(0.8, reset_mechanism=reset)
    traced = same(weighted(Readout(neuron, lambda spk, mem: (torch.stack(spk), torch.stack(mem)))), X)
    assert list(traced.graph.nodes) == ["input", "fc1", "lif1", "fc2", "lif2", "output"]
    assert list(traced.reference.spikes) == ["lif1", "lif2"]
    assert traced.graph.metadata[STATES] == '["lif2"]'
    (told,) = (finding for finding in doubts(traced.graph) if "record of its states" in finding.message)
    assert "return a list, [spikes, membranes], or the membranes alone" in told.fix


@pytest.mark.parametrize("turned", [False, True])
def test_a_list_of_both_gives_both_as_the_remedy_says(turned: bool) -> None:
    def give(spk: Any, mem: Any) -> Any:
        return [torch.stack(mem), torch.stack(spk)] if turned else [torch.stack(spk), torch.stack(mem)]

    traced = same(weighted(Readout(snn.Leaky(0.8), give)), X)
    assert STATES not in traced.graph.metadata
    sources = {edge.target: edge.source for edge in traced.graph.edges}
    both = [sources["output.0"], sources["output.1"]]
    assert (both[::-1] if turned else both) == ["lif2", "lif2.membrane"]
    classes = json.loads(traced.graph.metadata[CLASSES])
    assert classes == dict.fromkeys(("lif1", "lif2", "lif2.membrane"), "snnTorch Leaky")


def test_spikes_and_membranes_in_a_dict_are_two_outputs() -> None:
    def give(spk: Any, mem: Any) -> Any:
        return {"spikes": torch.stack(spk), "potential": torch.stack(mem)}

    traced = same(weighted(Readout(snn.Leaky(0.8), give)), X)
    assert list(traced.reference.outputs) == ["output.spikes", "output.potential"]
    assert {"lif2", "lif2.membrane"} <= set(traced.graph.nodes)
    assert list(traced.reference.spikes) == ["lif1", "lif2"]


def test_a_membrane_that_a_layer_hears_is_sent() -> None:
    class Deep(Readout):
        def forward(self, x: torch.Tensor) -> Any:
            mem1, mem2, sent = self.lif1.init_leaky(), self.lif2.init_leaky(), []
            for part in self.parts(x):
                _, mem1 = self.lif1(self.fc1(part), mem1)
                spk2, mem2 = self.lif2(self.fc2(mem1), mem2)
                sent.append(spk2)
            return torch.stack(sent)

    traced = same(weighted(Deep(snn.Leaky(0.8, threshold=0.5), None)), X)
    assert list(traced.reference.spikes) == ["lif2"]


def test_other_membranes_are_refused_with_what_to_do() -> None:
    findings = refusal(weighted(Readout(snn.Alpha(alpha=0.9, beta=0.8), membranes)), X)
    assert "the output is the state of 'lif2'" in findings[0].message
    assert "snnTorch's Leaky or Synaptic" in findings[0].fix


@pytest.mark.parametrize("give", [membranes, lambda spk, mem: torch.stack(spk), lambda spk, mem: mem[-1]])
def test_the_image_of_a_tutorial_is_shown_at_every_step(give: Any) -> None:
    traced = same(weighted(Shown(snn.Leaky(0.8, threshold=0.5), give)), IMAGE)
    assert traced.graph.metadata[IMAGES] == '["input"]'
    assert traced.inputs["input"].shape == (T, B, N_IN)
    assert (traced.inputs["input"] == IMAGE.numpy()).all()
