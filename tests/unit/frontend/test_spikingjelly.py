"""Models of SpikingJelly: traced, run, and equal to SpikingJelly in every spike and state; or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bulk import some
from counted_nets import weighted
from torch import nn
from traced_models import assert_replayed, equal, kinds, refusal, spikes

from norse_export.frontend.replay import replay, stepping_in
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed: pip install 'norse-export[spikingjelly]'")
from spikingjelly.activation_based import functional, layer, neuron, surrogate  # behind the skip

T, B, N_IN, N, N_OUT = 60, 3, 6, 8, 4

NEURONS: dict[str, Callable[[], Any]] = {
    "IF": lambda: neuron.IFNode(),
    "IF-subtract": lambda: neuron.IFNode(v_reset=None, v_threshold=0.7),
    "IF-to-a-value": lambda: neuron.IFNode(v_reset=-0.3),
    "LIF": lambda: neuron.LIFNode(),
    "LIF-tau": lambda: neuron.LIFNode(tau=3.3),
    "LIF-whole": lambda: neuron.LIFNode(tau=3.3, decay_input=False),
    "LIF-subtract": lambda: neuron.LIFNode(tau=2.7, v_reset=None),
    "LIF-subtract-whole": lambda: neuron.LIFNode(tau=2.7, v_reset=None, decay_input=False),
    "LIF-to-a-value": lambda: neuron.LIFNode(tau=2.7, v_reset=-0.13, v_threshold=0.77, detach_reset=True),
    "LIF-to-a-value-whole": lambda: neuron.LIFNode(tau=2.7, v_reset=0.11, decay_input=False),
    "LIF-surrogate": lambda: neuron.LIFNode(surrogate_function=surrogate.ATan()),
    "LIF-slow-surrogate": lambda: neuron.LIFNode(tau=2.3, surrogate_function=surrogate.S2NN()),
    "PLIF": lambda: neuron.ParametricLIFNode(init_tau=2.7),
    "PLIF-whole": lambda: neuron.ParametricLIFNode(init_tau=2.7, decay_input=False),
    "PLIF-subtract": lambda: neuron.ParametricLIFNode(init_tau=1.9, v_reset=None),
    "PLIF-to-a-value": lambda: neuron.ParametricLIFNode(init_tau=1.9, v_reset=0.07),
}


def multi_step(model: nn.Module) -> nn.Module:
    functional.set_step_mode(model, "m")
    return model


def two_layers(make: Callable[[], Any]) -> nn.Module:
    return nn.Sequential(layer.Linear(N_IN, N), make(), layer.Linear(N, N_OUT), neuron.IFNode())


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.MaxPool2d(2),
        layer.Conv2d(4, 4, 3),
        neuron.LIFNode(v_reset=None),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(4, N_OUT),
        neuron.ParametricLIFNode(),
    )


def containers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)),
        neuron.IFNode(step_mode="m"),
        layer.MultiStepContainer(nn.Flatten(), nn.Linear(4 * 36, 5), neuron.LIFNode()),
    )


class Loop(nn.Module):
    """A loop over time in forward, the network reset before it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2 = nn.Linear(N_IN, N), neuron.LIFNode(), nn.Linear(N, N_OUT)
        self.lif2 = neuron.ParametricLIFNode()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self)
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(x[step])))) for step in range(len(x))])


def recurrent(mode: str, inner: Any) -> nn.Module:
    return nn.Sequential(layer.Linear(N_IN, N, step_mode=mode), inner)


IMAGE = (T, B, 2, 8, 8)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float]] = {
    "convolution, all steps": (lambda: multi_step(convolutional()), IMAGE, 4.0),
    "convolution, one step": (convolutional, IMAGE, 4.0),
    "containers": (containers, IMAGE, 4.0),
    "a loop in forward": (Loop, (T, B, N_IN), 4.0),
    **{
        f"linear recurrence, {mode}": (
            lambda mode=mode: recurrent(
                mode, layer.LinearRecurrentContainer(neuron.LIFNode(v_reset=None), N, N, True, step_mode=mode)
            ),
            (T, B, N_IN),
            2.0,
        )
        for mode in "ms"
    },
    **{
        f"element-wise recurrence, {mode}": (
            lambda mode=mode: recurrent(
                mode, layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda a, b: a + b, step_mode=mode)
            ),
            (T, B, N_IN),
            1.0,
        )
        for mode in "ms"
    },
}


@pytest.mark.parametrize("mode", "ms")
@pytest.mark.parametrize("name", some(NEURONS, list(NEURONS)[::3]))
def test_a_neuron_is_traced_in_both_step_modes_and_equal_in_every_spike(name: str, mode: str) -> None:
    model = weighted(two_layers(NEURONS[name]))
    functional.set_step_mode(model, mode)
    traced = equal(model, spikes(T, B, N_IN))
    assert traced.time == ("inside" if mode == "m" else "outside")
    assert traced.graph.metadata["counted_in_steps"] == "SpikingJelly"
    assert traced.reference.ran_by.startswith("spikingjelly ")
    discrete, other = discretise(traced.graph), {"input": spikes(T, B, N_IN, seed=7).numpy()}
    known = None not in stepping_in(discrete)
    assert known is not name.startswith("PLIF")  # its function takes w, of which the graph has the sigmoid
    if known:
        assert_replayed(rerun(model, traced, other), replay(discrete, other))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_traced_and_equal_in_every_spike(name: str) -> None:
    make, shape, gain = MODELS[name]
    traced = equal(weighted(make(), gain), spikes(*shape))
    again = trace(weighted(make(), gain), spikes(*shape))
    np.testing.assert_array_equal(again.reference.outputs["output"], traced.reference.outputs["output"])


def test_layers_of_a_model_that_takes_all_steps_are_replayed_in_every_bit() -> None:
    model = nn.Sequential(layer.Conv2d(2, 4, 3), neuron.IFNode(), layer.Flatten(), layer.Linear(144, N_OUT))
    weighted(multi_step(model))
    traced = equal(model, spikes(*IMAGE))
    assert_replayed(traced.reference, replay(discretise(traced.graph), traced.inputs))


@pytest.mark.parametrize("mode", "ms")
@pytest.mark.parametrize("name", some(NEURONS, list(NEURONS)[::3]))
def test_every_state_is_spikingjellys_in_float64(name: str, mode: str) -> None:
    model = weighted(two_layers(NEURONS[name])).double()
    functional.set_step_mode(model, mode)
    x = spikes(T, B, N_IN).double()
    traced = equal(model, x)
    run = interpret(discretise(traced.graph), {"input": x.numpy()}, states=True)
    functional.set_step_mode(model, "s")
    seen: dict[str, list[Any]] = {"1": [], "3": []}
    with torch.no_grad():
        for step in x:
            model(step)
            for path, states in seen.items():
                states.append(model[int(path)].v.numpy().copy())
    for path, states in seen.items():
        assert np.abs(run.observables[path]["v"] - np.stack(states)).max() <= 1e-12


def test_a_spike_at_the_very_threshold() -> None:
    """SpikingJelly fires at v >= v_threshold."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), neuron.IFNode())
    nn.init.constant_(model[0].weight, 0.25)
    traced = equal(model, torch.ones(8, 1, 1), exact=True)
    assert traced.reference.spikes["1"][:, 0, 0].tolist() == [False, False, False, True] * 2


def test_a_network_that_was_not_reset_starts_from_its_state_or_is_refused() -> None:
    model = weighted(two_layers(NEURONS["LIF"]))
    with torch.no_grad():
        model(spikes(B, N_IN))
    findings = refusal(model, spikes(T, B, N_IN))
    assert set(kinds(findings)) == {"initial_state"}
    assert "reset the network" in findings[0].fix
    functional.reset_net(model)
    equal(model, spikes(T, B, N_IN))
    assert model[1].v == 0.0  # as before the trace
    model[1].v = 0.3
    assert equal(model, spikes(T, B, N_IN)).graph.nodes["1"]["v0"].tolist() == pytest.approx([0.3] * N)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: neuron.QIFNode(), "module", "QIFNode is not supported"),
        (lambda: neuron.KLIFNode(), "module", "KLIFNode is not supported"),
        (lambda: layer.SynapseFilter(), "module", "SynapseFilter is not supported"),
        (
            lambda: neuron.LIFNode(surrogate_function=surrogate.Sigmoid(spiking=False)),
            "threshold_method",
            "spiking=False",
        ),
        (lambda: neuron.IFNode(surrogate_function=lambda x: (x > 0).float()), "threshold_method", "surrogate_function"),
        (lambda: neuron.IFNode(v_threshold=float("nan")), "nan", "v_threshold holds NaN"),
        (lambda: neuron.IFNode(step_mode="m"), "time_axis", "step mode 'm'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(make: Callable[[], Any], kind: str, words: str) -> None:
    model = weighted(nn.Sequential(nn.Linear(N_IN, N), make()))
    findings = refusal(model, spikes(T, B, N_IN), time="outside")
    found = [finding for finding in findings if finding.kind == kind]
    assert found, kinds(findings)
    assert words in found[0].message
    assert found[0].where == "1"


def test_one_step_neurons_on_rasters_are_refused() -> None:
    findings = refusal(weighted(two_layers(NEURONS["LIF"])), spikes(T, B, N_IN), time="inside")
    assert any("set_step_mode" in finding.fix for finding in findings)
