"""Functional calls between layers, models of Norse's functional steps, encoders and decoders, states from outside."""

from __future__ import annotations

import copy
from typing import Any

import norse.torch as snn
import torch
import torch.nn.functional as F  # noqa: N812  # as users write it
from battery.case import Case
from norse.torch.functional.decode import sum_decode
from norse.torch.functional.lif import LIFFeedForwardState, LIFState
from norse.torch.functional.threshold import threshold
from norse.torch.module.encode import PoissonEncoderStep
from torch import nn


class Functional(nn.Module):
    """Layers as functions of weights that the model holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 3, 3), nn.Linear(12, 6)
        self.lif1, self.lif2 = snn.LIFCell(), snn.LIFCell()

    def forward(self, x, state=None):
        s1, s2 = (None, None) if state is None else state
        z, s1 = self.lif1(F.conv2d(x, self.conv.weight, self.conv.bias), s1)
        z = F.avg_pool2d(z, kernel_size=2, stride=2)
        z = F.dropout(F.relu(torch.flatten(z, 1)), 0.5, self.training)
        z, s2 = self.lif2(F.linear(z, self.fc.weight, self.fc.bias), s2)
        return z, (s1, s2)


class Between(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.fc1, self.lif1 = function, nn.Linear(8, 8), snn.LIFCell()
        self.fc2, self.lif2 = nn.Linear(8, 4), snn.LIFCell()

    def forward(self, x, state=None):
        s1, s2 = (None, None) if state is None else state
        z, s1 = self.lif1(self.function(self.fc1(x)), s1)
        z, s2 = self.lif2(self.fc2(z), s2)
        return z, (s1, s2)


BETWEEN = {
    "relu": torch.relu,
    "relu_method": lambda x: x.relu(),
    "relu_functional": F.relu,
    "clamp": lambda x: torch.clamp(x, 0.0, 2.0),
    "abs": torch.abs,
    "square": lambda x: x * x,
    "power": lambda x: x**2,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "layer_norm": lambda x: F.layer_norm(x, (8,)),
    "softmax": lambda x: F.softmax(x, -1),
    "compare": lambda x: (x > 0.3).to(x.dtype),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "negative": lambda x: 0.5 - torch.neg(-x),
    "divided": lambda x: x / 0.75,
    "multiplied": lambda x: torch.mul(x, 1.25),
    "round": torch.round,
    "flip": lambda x: x.flip(-1),
    "permute_features": lambda x: x[:, [7, 6, 5, 4, 3, 2, 1, 0]],
    "unsqueeze": lambda x: x.unsqueeze(1).squeeze(1),
    "roll": lambda x: torch.roll(x, 1, dims=-1),
}


class Steps(nn.Module):
    """Norse's functional steps, in a model of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 3)
        self.p = snn.LIFParameters(v_th=torch.tensor(0.6))

    def forward(self, x, state=None):
        if state is None:
            zeros = torch.zeros(x.shape[0], 8, dtype=x.dtype)
            state = (LIFFeedForwardState(zeros, zeros), snn.LIState(zeros[:, :3], zeros[:, :3]))
        z, s1 = snn.lif_feed_forward_step(self.fc1(x), state[0], self.p, 0.002)
        v, s2 = snn.li_feed_forward_step(self.fc2(z), state[1])
        return v, (s1, s2)


class StepLoop(nn.Module):
    """Norse's functional steps, in a loop of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.r = nn.Parameter(torch.zeros(8, 8)), nn.Parameter(torch.zeros(8, 8))
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        state = LIFState(*(torch.zeros(x.shape[1], 8, dtype=x.dtype) for _ in range(3)))
        out = []
        for xt in x:
            z, state = snn.lif_step(xt, state, self.w, self.r, snn.LIFParameters())
            out.append(self.out(z))
        return torch.stack(out)


class BoxSteps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, state=None):
        if state is None:
            zeros = torch.zeros(x.shape[0], 8, dtype=x.dtype)
            state = (snn.LIFBoxFeedForwardState(v=zeros), snn.IAFFeedForwardState(v=zeros))
        z, s1 = snn.lif_box_feed_forward_step(self.fc1(x), state[0])
        z, s2 = snn.iaf_feed_forward_step(self.fc2(z), state[1])
        return z, (s1, s2)


class OwnNeuron(nn.Module):
    """A neuron of the user's own, in torch's operations and Norse's threshold: the state is no population's."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x, v=None):
        v = torch.zeros(x.shape[0], 8, dtype=x.dtype) if v is None else v
        v = 0.9 * v + self.fc(x)
        z = threshold(v - 1.0, "super", 100.0)
        return z, v * (1 - z)


class Given(nn.Module):
    """A state that the model makes itself for its first step."""

    def __init__(self, level: float = 0.5) -> None:
        super().__init__()
        self.fc, self.lif, self.level = nn.Linear(8, 8), snn.LIFCell(), level

    def forward(self, x, state=None):
        if state is None:
            v = torch.full((x.shape[0], 8), self.level, dtype=x.dtype)
            state = LIFFeedForwardState(v=v, i=torch.zeros_like(v))
        return self.lif(self.fc(x), state)


class Learned(Given):
    """A first potential that was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.v0 = nn.Parameter(torch.zeros(8))

    def forward(self, x, state=None):
        if state is None:
            v = self.v0.expand(x.shape[0], 8)
            state = LIFFeedForwardState(v=v, i=torch.zeros_like(v))
        return self.lif(self.fc(x), state)


class Stored(nn.Module):
    """The state is an attribute, as in other frameworks."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.state = nn.Linear(8, 8), snn.LIFCell(), None

    def forward(self, x):
        z, self.state = self.lif(self.fc(x), self.state)
        return z


class Nones(nn.Module):
    """A list of states with a None for each layer without one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = snn.SequentialState(nn.Linear(8, 8), snn.LIFCell(), nn.Linear(8, 4), snn.LIFCell())

    def forward(self, x, state=None):
        return self.net(x, [None] * 4 if state is None else list(state))


class Poisson(nn.Module):
    """Draws in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PoissonEncoderStep(f_max=500)
        self.net = snn.SequentialState(nn.Linear(8, 8), snn.LIFCell())

    def forward(self, x, state=None):
        return self.net(self.encoder(x), state)


class Decoded(nn.Module):
    """A network with a decoder behind it."""

    def __init__(self, decode: Any) -> None:
        super().__init__()
        self.net, self.decode = snn.SequentialState(nn.Linear(8, 8), snn.LIF(), nn.Linear(8, 3), snn.LI()), decode

    def forward(self, x):
        y, _ = self.net(x)
        return self.decode(y)


class Regularised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.count = nn.Linear(8, 8), snn.LIFCell(), snn.RegularizationCell()

    def forward(self, x, state=None):
        z, state = self.lif(self.fc(x), state)
        z, _ = self.count(z, state)
        return z, state


def encoded(encoder: nn.Module) -> nn.Module:
    return snn.SequentialState(encoder, nn.Linear(8, 8), snn.LIF(), nn.Linear(8, 3))


def times() -> nn.Module:
    return nn.Sequential(Spikes(), snn.SpikesToTimesDecoder())


class Spikes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = snn.SequentialState(nn.Linear(8, 8), snn.LIF())

    def forward(self, x):
        return self.net(x)[0]


def population() -> nn.Module:
    return snn.SequentialState(snn.PopulationEncoder(5), nn.Flatten(2), nn.Linear(40, 6), snn.LIF())


def receptive() -> nn.Module:
    field = snn.SpatialReceptiveField2d(1, 5, torch.tensor([[1.0, 0.5, 1.0, 0.0, 0.0], [2.0, 1.0, 0.7, 0.0, 0.0]]))
    return snn.SequentialState(field, snn.LIFCell(), nn.Flatten(), nn.Linear(32, 3))


def temporal() -> nn.Module:
    return snn.SequentialState(
        snn.TemporalReceptiveField((2, 4, 4), n_scales=3), nn.Flatten(), nn.Linear(96, 8), snn.LIFCell()
    )


def copied() -> nn.Module:
    """Layers that are deep copies of one another."""
    block = snn.SequentialState(nn.Linear(8, 8), snn.LIFCell(snn.LIFParameters(v_th=torch.full((8,), 0.7))))
    return snn.SequentialState(block, copy.deepcopy(block), copy.deepcopy(block))


def trained_parameters() -> nn.Module:
    """Parameters of the neurons that are trained."""
    cell = snn.LIFCell(
        snn.LIFParameters(
            tau_mem_inv=nn.Parameter(torch.linspace(80.0, 200.0, 8)), v_th=nn.Parameter(torch.full((8,), 0.8))
        )
    )
    return snn.SequentialState(nn.Linear(8, 8), cell, nn.Linear(8, 3), snn.LICell())


SMALL = (8,)
CASES = (
    Case("functional_layers", Functional, (1, 6, 6), gain=2.0),
    *(Case(f"between_{name}", lambda f=f: Between(f), SMALL, gain=2.0) for name, f in BETWEEN.items()),
    Case("steps", Steps, SMALL, gain=1.5),
    Case("step_loop", StepLoop, SMALL, gain=2.0),
    Case("box_steps", BoxSteps, SMALL, gain=3.0),
    Case("own_neuron", OwnNeuron, SMALL),
    Case("state_given", Given, SMALL, gain=1.5),
    Case("state_learned", Learned, SMALL, gain=1.5),
    Case("state_stored", Stored, SMALL, gain=1.5),
    Case("state_nones", Nones, SMALL, gain=1.5),
    Case("poisson_step", Poisson, SMALL, gain=1.5),
    Case("encoder_poisson", lambda: encoded(snn.PoissonEncoder(30, f_max=500)), SMALL, still=True, gain=2.0),
    Case("encoder_signed", lambda: encoded(snn.SignedPoissonEncoder(30, f_max=700)), SMALL, still=True, gain=2.5),
    Case(
        "encoder_constant", lambda: encoded(snn.ConstantCurrentLIFEncoder(30)), SMALL, still=True, scale=4.0, gain=2.0
    ),
    Case("encoder_latency", lambda: encoded(snn.SpikeLatencyEncoder()), SMALL, rate=0.2, gain=8.0),
    Case(
        "encoder_latency_lif", lambda: encoded(snn.SpikeLatencyLIFEncoder(30)), SMALL, still=True, scale=4.0, gain=8.0
    ),
    Case("encoder_population", population, SMALL, gain=2.0),
    Case("decode_sum", lambda: Decoded(sum_decode), SMALL, gain=1.5),
    Case("decode_argmax", lambda: Decoded(lambda y: y.sum(0).argmax(-1)), SMALL, gain=1.5),
    Case("decode_times", times, SMALL, gain=1.5),
    Case("regularised", Regularised, SMALL, gain=1.5),
    Case("receptive_field", receptive, (1, 8, 8), gain=2.0),
    Case("temporal_field", temporal, (2, 4, 4), gain=None),
    Case("copied", copied, SMALL, gain=2.0),
    Case("trained_parameters", trained_parameters, SMALL, gain=None),
)
