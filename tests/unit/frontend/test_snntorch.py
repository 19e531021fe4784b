"""Models of snnTorch: traced, run, and equal to snnTorch in every spike and state; or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bulk import some
from counted_nets import weighted
from numpy.typing import NDArray
from torch import nn
from traced_models import equal, kinds, refusal, same, spikes

from norse_export.frontend.replay import replay, stepping_in
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

utils = pytest.importorskip("snntorch.utils", reason="snnTorch is not installed")
snn = pytest.importorskip("snntorch", reason="snnTorch is not installed: pip install 'norse-export[snntorch]'")

Array = NDArray[Any]
T, B, N_IN, N, N_OUT = 60, 3, 6, 8, 4
STATES = {"mem": "v", "syn": "i", "syn_exc": "i_e", "syn_inh": "i_i"}


def raster(seed: int = 0) -> torch.Tensor:
    return spikes(T, B, N_IN, seed=seed)


def keeps(neuron: Any) -> list[str]:
    return [name for name in ("spk", "syn_exc", "syn_inh", "syn", "mem") if hasattr(neuron, name)]


class Loop(nn.Module):
    """A loop over time as snnTorch's tutorials write it, states passed by hand; gives spikes and membranes."""

    def __init__(self, neuron: Any) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(N_IN, N), neuron
        self.fc2, self.lif2 = nn.Linear(N, N_OUT), snn.Leaky(beta=0.8, threshold=0.5)

    def forward(self, x: torch.Tensor) -> Any:
        state, mem2 = self.lif1.reset_mem(), self.lif2.init_leaky()
        state = state if isinstance(state, tuple) else (state,)
        spk_rec, mem_rec = [], []
        for step in range(x.size(0)):
            spk, *after = self.lif1(self.fc1(x[step]), *state)
            state = (spk, *after) if hasattr(self.lif1, "recurrent") else tuple(after)
            spk2, mem2 = self.lif2(self.fc2(spk), mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return torch.stack(spk_rec), torch.stack(mem_rec)


class Hidden(nn.Module):
    """One step a call, the states in the neurons; a convolution before them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(2, 3, 3), snn.Leaky(beta=0.9, init_hidden=True)
        self.pool, self.flat, self.fc = nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, N_OUT)
        self.lif2 = snn.Leaky(beta=0.7, init_hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif2(self.fc(self.flat(self.pool(self.lif1(self.conv(x))))))


class HiddenLoop(nn.Module):
    """A loop over time, the states in the neurons, which are reset before it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(N_IN, N), snn.Synaptic(alpha=0.8, beta=0.9, init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(N, N_OUT), snn.Leaky(beta=0.7, init_hidden=True, output=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.lif1.reset_mem()
        self.lif2.reset_mem()
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(step))))[0] for step in x])


def sequential(**last: Any) -> nn.Sequential:
    first = snn.Leaky(beta=0.9, init_hidden=True)
    return nn.Sequential(
        nn.Linear(N_IN, N), first, nn.Linear(N, N_OUT), snn.Synaptic(alpha=0.7, beta=0.8, init_hidden=True, **last)
    )


def per_neuron(seed: int = 3) -> torch.Tensor:
    return 0.3 + 0.6 * torch.rand(N, generator=torch.Generator().manual_seed(seed))


GAIN = {"Synaptic": 1.2}
RESETS = [
    {"reset_mechanism": mechanism, "reset_delay": delay}
    for mechanism in ("subtract", "zero", "none")
    for delay in (True, False)
]
NEURONS: dict[str, Callable[[], Any]] = {
    **{
        f"{name}-{'-'.join(map(str, reset.values()))}": lambda name=name, decays=decays, reset=reset: getattr(
            snn, name
        )(*decays, **reset)
        for name, decays in {"Leaky": (0.9,), "Synaptic": (0.6, 0.8)}.items()
        for reset in RESETS
    },
    **{
        f"RLeaky-{'-'.join(map(str, reset.values()))}": lambda reset=reset: snn.RLeaky(0.9, linear_features=N, **reset)
        for reset in RESETS
    },
    **{
        f"RSynaptic-{mechanism}": lambda mechanism=mechanism: snn.RSynaptic(
            0.6, 0.8, linear_features=N, reset_mechanism=mechanism
        )
        for mechanism in ("subtract", "zero", "none")
    },
    **{
        f"Alpha-{mechanism}": lambda mechanism=mechanism: snn.Alpha(0.9, 0.8, threshold=0.2, reset_mechanism=mechanism)
        for mechanism in ("subtract", "zero", "none")
    },
    "Leaky-per-neuron": lambda: snn.Leaky(per_neuron(), threshold=per_neuron(4)),
    "Leaky-learned": lambda: snn.Leaky(per_neuron(), threshold=per_neuron(4), learn_beta=True, learn_threshold=True),
    "Leaky-beta-above-one": lambda: snn.Leaky(1.5, reset_mechanism="zero"),
    "Synaptic-learned": lambda: snn.Synaptic(per_neuron(), per_neuron(5), learn_alpha=True, learn_beta=True),
    "RLeaky-one-to-one": lambda: snn.RLeaky(0.9, all_to_all=False, V=per_neuron()),
    "RLeaky-one-number": lambda: snn.RLeaky(0.9, all_to_all=False, V=0.3),
    "RSynaptic-one-to-one": lambda: snn.RSynaptic(0.6, 0.8, all_to_all=False, V=-per_neuron()),
    "Leaky-surrogate": lambda: snn.Leaky(0.9, spike_grad=snn.surrogate.fast_sigmoid()),
    "Leaky-without-surrogate": lambda: snn.Leaky(0.9, surrogate_disable=True),
}


@pytest.mark.parametrize("name", some(NEURONS, list(NEURONS)[::3]))
def test_a_loop_over_time_is_traced_and_equal_in_every_spike(name: str) -> None:
    model = weighted(Loop(NEURONS[name]()), GAIN.get(name.split("-")[0], 2.0))
    traced = equal(model, raster())
    assert traced.time == "inside"
    assert traced.graph.metadata["counted_in_steps"] == "snnTorch"
    assert traced.reference.ran_by.startswith("snntorch ")
    other = {"input": raster(7).numpy()}
    expected, discrete = rerun(model, traced, other), discretise(traced.graph)
    assert None not in stepping_in(discrete)
    actual = replay(discrete, other)
    for population, values in expected.spikes.items():
        np.testing.assert_array_equal(actual.spikes[population], values)
    for population, states in expected.final_state.items():
        for variable, values in states.items():
            np.testing.assert_array_equal(actual.final_state[population][variable], values)


@pytest.mark.parametrize("model", [Hidden, HiddenLoop, sequential, lambda: sequential(output=True)])
def test_neurons_that_keep_their_states_are_traced(model: Callable[[], nn.Module]) -> None:
    made = model()
    weighted(made)
    x = spikes(T, B, 2, 8, 8) if isinstance(made, Hidden) else raster()
    traced = same(made, x)
    assert traced.time == ("inside" if isinstance(made, HiddenLoop) else "outside")
    again = trace(made, x)  # the first run has left nothing behind
    np.testing.assert_array_equal(again.reference.outputs["output"], traced.reference.outputs["output"])


class ConvolvedBack(nn.Module):
    """A recurrent convolution, and the network reset by snntorch.utils."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv2d(2, 3, 3), snn.RLeaky(0.9, conv2d_channels=3, kernel_size=3, init_hidden=True)
        self.fc, self.lif2 = nn.Linear(48, N_OUT), snn.Leaky(0.8, init_hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        utils.reset(self)
        return torch.stack([self.lif2(self.fc(self.lif1(self.conv(step)).flatten(1))) for step in x])


class Step(nn.Module):
    """One step a call, the states passed in and out in a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2 = nn.Linear(N_IN, N), snn.Leaky(0.9), nn.Linear(N, N_OUT)
        self.lif2 = snn.Leaky(0.8)

    def forward(self, x: torch.Tensor, state: Any = (None, None)) -> Any:
        spk, mem1 = self.lif1(self.fc1(x), state[0])
        spk, mem2 = self.lif2(self.fc2(spk), state[1])
        return spk, (mem1, mem2)


class Charged(nn.Module):
    """Membranes that are half full before the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(N_IN, N), snn.Leaky(0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, sent = torch.full((x.size(1), N), 0.5), []
        for step in range(x.size(0)):
            spk, mem = self.lif(self.fc(x[step]), mem)
            sent.append(spk)
        return torch.stack(sent)


@pytest.mark.parametrize("model", [ConvolvedBack, Step, Charged])
def test_further_forms_of_models_are_traced(model: Callable[[], nn.Module]) -> None:
    made = weighted(model())
    traced = same(made, spikes(30, B, 2, 6, 6) if isinstance(made, ConvolvedBack) else raster())
    if isinstance(made, Charged):
        assert set(traced.graph.nodes["lif"]["v0"].tolist()) == {0.5}


def test_a_raster_is_no_image_that_is_shown_at_every_step() -> None:
    class Static(Charged):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, sent = self.lif.init_leaky(), []
            for _ in range(5):
                spk, mem = self.lif(self.fc(x), mem)
                sent.append(spk)
            return torch.stack(sent)

    first, *_ = refusal(Static(), raster())
    assert (first.kind, first.where) == ("time_axis", "lif")
    assert "x[step]" in first.fix


def test_a_model_that_resets_its_network_itself_may_come_with_an_old_state() -> None:
    model = weighted(HiddenLoop())
    with torch.no_grad():
        model(raster(5))
    equal(model, raster())


def states_of(neuron: Any, x: torch.Tensor) -> dict[str, Array]:
    """Every state after every step [T, B, N], as the neuron itself has it."""
    seen: dict[str, list[Array]] = {}
    with torch.no_grad():
        for step in x:
            neuron(step)
            for name in keeps(neuron):
                seen.setdefault(name, []).append(getattr(neuron, name).numpy().copy())
    return {STATES[name]: np.stack(values) for name, values in seen.items() if name in STATES}


# A recurrent layer of weights cannot be run in float64: snnTorch's spikes are float32.
ALONE = [name for name in NEURONS if not name.startswith(("RLeaky-", "RSynaptic-")) or "-one-" in name]


@pytest.mark.parametrize("name", some(ALONE, list(ALONE)[::4]))
def test_every_state_is_snntorchs_in_float64(name: str) -> None:
    """Neurons alone: behind one, snnTorch's float32 spikes do not go into a layer of float64."""
    neuron = NEURONS[name]()
    neuron = neuron.double()
    neuron.init_hidden = True
    x = 0.4 * torch.randn(T, B, N, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 0.3
    traced = trace(neuron, x, time="outside")
    run = interpret(discretise(traced.graph), {"input": x.numpy()}, states=True)
    path = next(iter(traced.reference.spikes))
    expected = states_of(neuron, x)
    assert 0 < traced.reference.spikes[path].mean() < 1
    np.testing.assert_array_equal(run.spikes[path], traced.reference.spikes[path])
    for variable, values in expected.items():
        assert np.abs(run.observables[path][variable] - values).max() <= 1e-12, variable


def changed(neuron: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(neuron, name, value)
    return neuron


@pytest.mark.filterwarnings("ignore:Inhibition:UserWarning")
@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: snn.Leaky(0.9, inhibition=True), "inhibition", "only one neuron"),
        (lambda: snn.Leaky(0.9, graded_spikes_factor=2.0), "graded_spikes", "graded_spikes_factor=2"),
        (lambda: snn.Leaky(0.9, state_quant=lambda mem: mem), "state_quant", "rounds its states"),
        (lambda: snn.Leaky(0.9, spike_grad=lambda x: (x > 1).float()), "threshold_method", "spike_grad"),
        (lambda: snn.Leaky(torch.rand(3, 1)), "parameter_shape", "beta of shape (3, 1)"),
        (lambda: snn.Leaky(float("nan")), "nan", "beta holds NaN"),
        (lambda: changed(snn.Leaky(0.9), reset_mechanism="zero"), "state_function", "_base_sub"),
        (lambda: snn.Lapicque(beta=0.9), "module", "Lapicque is not supported"),
        (lambda: snn.RSynaptic(0.9, 0.8, linear_features=N, reset_delay=False), "reset_delay", "cannot run it"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(make: Callable[[], Any], kind: str, words: str) -> None:
    findings = refusal(Loop(make()), raster(), time="inside")
    found = [finding for finding in findings if finding.kind == kind]
    assert found, kinds(findings)
    assert words in found[0].message
    assert found[0].where.startswith("lif1")


def test_neurons_without_hidden_state_in_a_sequential_are_told_of_it() -> None:
    model = nn.Sequential(nn.Linear(N_IN, N), snn.Leaky(0.9), nn.Linear(N, N_OUT))
    (finding,) = refusal(model, raster(), time="outside")
    assert "init_hidden=True" in finding.fix


def test_a_state_that_differs_between_samples_is_no_start() -> None:
    model = weighted(sequential())
    with torch.no_grad():
        model(raster()[0])
    findings = refusal(model, raster())
    assert set(kinds(findings)) == {"initial_state"}
    assert "reset the network" in findings[0].fix


def test_a_state_that_is_not_handed_on_is_refused() -> None:
    class Halved(Loop):
        def forward(self, x: torch.Tensor) -> Any:
            mem, sent = self.lif1.init_leaky(), []
            for step in x:
                spk, mem = self.lif1(self.fc1(step), mem)
                mem = 0.5 * mem
                sent.append(spk)
            return torch.stack(sent)

    findings = refusal(Halved(snn.Leaky(0.9)), raster())
    assert "state" in kinds(findings)
