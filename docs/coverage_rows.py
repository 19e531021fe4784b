"""The rows of docs/coverage.md: a small network for each class of neurons, layer and structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import norse.torch as snn
import torch
from norse.torch.functional import izhikevich
from norse.torch.functional.reset import reset_subtract
from torch import nn

from norse_export.frontend.frameworks.norse import rules

STEPS, SAMPLES, WIDE = 30, 2, 6
MAPS = (1, 6, 6)
GRID = 64  # weights are multiples of 1/GRID
# How large weights have to be, for a class to fire with the parameters that Norse gives it.
GAINS = {"LIFBoxCell": 6.0, "IAFCell": 0.5, "IAF": 0.5, "LSNN": 3.0, "Izhikevich": 40.0}


@dataclass(frozen=True, slots=True)
class Row:
    """A model, and the shape of what it takes in a step; two of them for two inputs.

    gain: how large its weights are; 0: 2, and 4 for maps. still: it takes no time axis, as what encodes an image does.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: Any = (WIDE,)
    gain: float = 0.0
    time: Any = "auto"
    still: bool = False

    def model(self) -> nn.Module:
        """The module in evaluation mode, its weights drawn on a grid."""
        module = self.make().eval()
        gain = self.gain or (4.0 if self.shape == MAPS else 2.0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.ndim == 1 and name.endswith("weight"):
                    continue  # of a normalisation
                size = gain / math.sqrt(max(1, weight[:1].numel() if weight.ndim else 1))
                drawn = (torch.rand(weight.shape, generator=generator) * 2 - 0.7) * size
                if name.endswith("recurrent_weights"):
                    drawn = drawn / 2 * (1 - torch.eye(len(weight)))
                weight.copy_(torch.round(drawn * GRID) / GRID)
        return module

    def raster(self) -> Any:
        """Zeros and ones [T, B, *shape]."""
        shapes = self.shape if isinstance(self.shape, list) else [self.shape]
        lead = (SAMPLES,) if self.still else (STEPS, SAMPLES)
        made = tuple(
            (torch.rand((*lead, *shape), generator=torch.Generator().manual_seed(seed)) < 0.4).float()
            for seed, shape in enumerate(shapes)
        )
        return made if isinstance(self.shape, list) else made[0]


def _population(cls: type, *arguments: Any) -> nn.Module:
    return snn.SequentialState(nn.Linear(WIDE, WIDE), cls(*arguments), nn.Linear(WIDE, 4))


def neurons() -> list[Row]:
    """Every class of Norse's."""
    found = []
    for cls in rules():
        name, arguments = cls.__name__, ()
        if "Recurrent" in name or name in ("LILinearCell", "CobaLIFCell"):
            arguments = (WIDE, WIDE)
        if name.startswith("Izhikevich"):
            arguments = (*arguments, izhikevich.tonic_spiking)
        gain = next((gain for prefix, gain in GAINS.items() if name.startswith(prefix)), 0.0)
        told = ", whose input Norse leaves aside" if name == "CobaLIFCell" else ""
        found.append(Row(f"`{name}`{told}", partial(_population, cls, *arguments), gain=gain))
    subtract = snn.LIFBoxParameters(reset_method=reset_subtract)
    found.append(Row("`LIFBoxCell`, reset by subtraction", partial(_population, snn.LIFBoxCell, subtract), gain=6.0))
    return found


def snntorch_neurons() -> list[Row]:
    """Every class of snnTorch's that is known, with every reset of its first."""
    import snntorch

    def row(cls: str, *arguments: Any, words: str = "", **options: Any) -> Row:
        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(WIDE, WIDE), getattr(snntorch, cls)(*arguments, init_hidden=True, **options))

        return Row(f"`{cls}`{words}", make)

    def read(reset: str) -> Row:
        def make() -> nn.Module:
            first = snntorch.Leaky(0.75, reset_mechanism="zero", reset_delay=False)  # which every target takes
            return Membranes(first, snntorch.Leaky(0.75, reset_mechanism=reset))

        return Row(f'`Leaky`, `reset_mechanism="{reset}"`, its membrane as the output', make)

    return [
        row("Leaky", 0.75),
        row("Leaky", 0.75, words=', `reset_mechanism="zero"`', reset_mechanism="zero"),
        row("Leaky", 0.75, words=', `reset_mechanism="none"`', reset_mechanism="none"),
        read("subtract"),
        read("none"),
        row("Synaptic", 0.5, 0.75),
        row("Alpha", 0.75, 0.5),
        row("RLeaky", 0.75, linear_features=WIDE),
        row("RSynaptic", 0.5, 0.75, linear_features=WIDE),
    ]


def spikingjelly_neurons() -> list[Row]:
    """Every class of SpikingJelly's that is known, with its resets and in both step modes."""
    from spikingjelly.activation_based import neuron

    def row(cls: str, words: str = "", **options: Any) -> Row:
        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(WIDE, WIDE), getattr(neuron, cls)(**options))

        return Row(f"`{cls}`{words}", make)

    return [
        row("IFNode"),
        row("IFNode", ", reset by subtraction", v_reset=None),
        row("LIFNode"),
        row("LIFNode", ", reset by subtraction", v_reset=None),
        row("LIFNode", ", `decay_input=False`", decay_input=False),
        row("LIFNode", ', `step_mode="m"`', step_mode="m"),
        row("ParametricLIFNode"),
    ]


def _before(layer: Callable[[], nn.Module], n_out: int = 8) -> Callable[[], nn.Module]:
    """The layer on maps of spikes, which gives so many values, and neurons behind it."""
    return lambda: snn.SequentialState(
        nn.Conv2d(1, 2, 3), snn.LIFCell(), layer(), nn.Flatten(), nn.Linear(n_out, 4), snn.LIFCell()
    )


class Between(nn.Module):
    """A function between two populations."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.fc1, self.lif1, self.lif2 = nn.Linear(WIDE, WIDE), snn.LIFCell(), snn.LIFCell()
        self.fc2, self.fc3, self.function = nn.Linear(WIDE, WIDE), nn.Linear(WIDE, WIDE), function

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        """A step."""
        first, second = (None, None) if state is None else state
        z, first = self.lif1(self.fc1(x), first)
        z, second = self.lif2(self.function(self, z, x), second)
        return z, (first, second)


class Loop(nn.Module):
    """A loop over time, with feedback if asked for."""

    def __init__(self, *, feedback: bool) -> None:
        super().__init__()
        self.fc, self.lif, self.back = nn.Linear(WIDE, WIDE), snn.LIFCell(), nn.Linear(WIDE, WIDE, bias=False)
        self.feedback = feedback

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A whole raster."""
        z, state, found = torch.zeros(x.shape[1], WIDE), None, []
        for step in x:
            z, state = self.lif(self.fc(step) + self.back(z) if self.feedback else self.fc(step), state)
            found.append(z)
        return torch.stack(found)


class Membranes(nn.Module):
    """Two layers of snnTorch in a loop, and the membranes of the second."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.fc1, self.first, self.fc2, self.second = nn.Linear(WIDE, WIDE), first, nn.Linear(WIDE, 4), second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A whole raster."""
        a, b, found = self.first.init_leaky(), self.second.init_leaky(), []
        for step in x:
            spk, a = self.first(self.fc1(step), a)
            _, b = self.second(self.fc2(spk), b)
            found.append(b)
        return torch.stack(found)


class Shown(Loop):
    """One image, at every step of the model's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """An image."""
        return super().forward(x.expand(STEPS, *x.shape))


class Late(nn.Module):
    """A layer that runs ahead of the one that it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.a, self.fc2, self.b = nn.Linear(WIDE, WIDE), snn.LIFCell(), nn.Linear(WIDE, 4), snn.LIFCell()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A whole raster."""
        z, first, second, found = torch.zeros(x.shape[1], WIDE), None, None, []
        for step in x:
            y, second = self.b(self.fc2(z), second)
            z, first = self.a(self.fc1(step), first)
            found.append(y)
        return torch.stack(found)


class Two(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.lif, self.out = nn.Linear(WIDE, 5), nn.Linear(4, 5), snn.LIFCell(), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor, state: Any = None) -> Any:
        """A step."""
        z, state = self.lif(self.left(x) + self.right(y), state)
        return (self.out(z), z), state


class Steps(nn.Module):
    """A step of norse.torch.functional, in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(WIDE, WIDE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A whole raster."""
        zeros = torch.zeros(x.shape[1], WIDE)
        state, found = snn.LIFFeedForwardState(zeros, zeros), []
        for step in x:
            z, state = snn.lif_feed_forward_step(self.fc(step), state, snn.LIFParameters())
            found.append(z)
        return torch.stack(found)


class Started(nn.Module):
    """A first state of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(WIDE, WIDE), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        """A step."""
        if state is None:
            state = snn.LIFFeedForwardState(torch.full((x.shape[0], WIDE), 0.5), torch.zeros(x.shape[0], WIDE))
        return self.lif(self.fc(x), state)


def _spoken(name: str, function: Callable[..., Any], gain: float = 0.0) -> Row:
    return Row(f"`{name}`", lambda: Between(function), gain=gain)


def _encoded(encoder: Any) -> nn.Module:
    """An encoder that fires on an image of zeros and ones."""
    p = snn.LIFParameters(v_th=torch.tensor(0.25))
    return snn.SequentialState(encoder(STEPS, p), nn.Linear(WIDE, WIDE), snn.LIF())


def _chain(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: snn.SequentialState(*(make() for make in layers))


def _linear(n_in: int = WIDE, n_out: int = WIDE) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(n_in, n_out)


def _shared() -> nn.Module:
    layer = nn.Linear(WIDE, WIDE)
    return snn.SequentialState(layer, snn.LIFCell(), layer, snn.LIFCell())


LAYERS = [
    Row("`Linear`", _chain(_linear(), snn.LIFCell)),
    Row("`Linear` without bias", _chain(lambda: nn.Linear(WIDE, WIDE, bias=False), snn.LIFCell)),
    Row("`Linear` behind the last spikes", _chain(_linear(), snn.LIFCell, _linear(WIDE, 3))),
    Row("`Conv1d`", _chain(lambda: nn.Conv1d(1, 3, 3), snn.LIFCell), (1, 8)),
    Row("`Conv2d`", _chain(lambda: nn.Conv2d(1, 3, 3), snn.LIFCell), MAPS),
    Row(
        "`Conv2d` with stride, padding, groups",
        _chain(lambda: nn.Conv2d(2, 4, (3, 2), 2, 1, groups=2), snn.LIFCell),
        (2, 6, 6),
    ),
    Row("`Conv2d`, dilated", _chain(lambda: nn.Conv2d(1, 2, 3, dilation=2), snn.LIFCell), MAPS),
    Row(
        "`BatchNorm2d` behind `Conv2d`",
        _chain(lambda: nn.Conv2d(1, 3, 3), lambda: nn.BatchNorm2d(3), snn.LIFCell),
        MAPS,
    ),
    Row("`BatchNorm1d` behind `Linear`", _chain(_linear(), lambda: nn.BatchNorm1d(WIDE), snn.LIFCell)),
    Row("`AvgPool2d`", _before(lambda: nn.AvgPool2d(2)), MAPS),
    Row("`MaxPool2d`", _before(lambda: nn.MaxPool2d(2)), MAPS),
    Row("`LPPool2d` of norm 1 (a sum)", _before(lambda: nn.LPPool2d(1, 2)), MAPS),
    Row("`AvgPool1d`", _chain(lambda: nn.Conv1d(1, 3, 3), snn.LIFCell, lambda: nn.AvgPool1d(2)), (1, 8)),
    Row("`AdaptiveAvgPool2d`", _before(lambda: nn.AdaptiveAvgPool2d(2)), MAPS),
    Row("`AdaptiveMaxPool2d`", _before(lambda: nn.AdaptiveMaxPool2d(2)), MAPS),
    Row("`ZeroPad2d`", _before(lambda: nn.ZeroPad2d((1, 0, 1, 0)), 50), MAPS),
    Row("`Flatten`", _before(nn.Identity, 32), MAPS, 9.0),
    Row(
        "`Unflatten`",
        _chain(_linear(WIDE, 8), lambda: nn.Unflatten(1, (2, 4)), lambda: nn.Conv1d(2, 3, 2), snn.LIFCell),
    ),
    Row(
        "`LConv2d` of Norse, over whole rasters",
        lambda: snn.SequentialState(snn.LConv2d(1, 3, 3), snn.LIF()),
        MAPS,
    ),
    Row(
        "`Dropout`, `Dropout1d`, `Dropout2d`, `Dropout3d`, `AlphaDropout`, `FeatureAlphaDropout` in evaluation",
        _chain(_linear(), nn.Dropout, snn.LIFCell),
    ),
    Row("`Identity`", _chain(_linear(), nn.Identity, snn.LIFCell)),
    Row("`ReLU`", _chain(_linear(), nn.ReLU, _linear(), snn.LIFCell)),
    Row("`ReLU6`, `Hardtanh`", _chain(_linear(), nn.ReLU6, _linear(), snn.LIFCell)),
    Row("`LeakyReLU`", _chain(_linear(), nn.LeakyReLU, _linear(), snn.LIFCell)),
]
FUNCTIONS = [
    _spoken("x + y", lambda m, z, x: m.fc2(z) + x),
    _spoken("x - y", lambda m, z, x: m.fc2(z) - m.fc3(x), 4.0),
    _spoken("x * y", lambda m, z, x: m.fc2(z) * m.fc3(x)),
    _spoken("2 * x", lambda m, z, x: m.fc2(2 * z)),
    _spoken("x / 3", lambda m, z, x: m.fc2(z) / 3, 6.0),
    _spoken("x + 0.5", lambda m, z, x: m.fc2(z) + 0.5),
    _spoken("-x", lambda m, z, x: m.fc2(z) - (-m.fc3(x))),
    _spoken("torch.relu(x)", lambda m, z, x: torch.relu(m.fc2(z))),
    _spoken("torch.cat", lambda m, z, x: torch.cat([m.fc2(z)[:, :2], m.fc3(x)[:, :4]], 1)),
    _spoken("x.split, x[:, a:b]", lambda m, z, x: m.fc2(z) + torch.cat([x[:, 3:], x[:, :3]], 1)),
    _spoken(
        "x.permute, x.transpose, x.unflatten, x.unsqueeze",
        lambda m, z, x: m.fc2(z.unflatten(1, (2, 3)).permute(0, 2, 1).flatten(1)),
    ),
    Row("`F.avg_pool2d`, `torch.flatten`", lambda: Pooled(), MAPS),
]


class Pooled(nn.Module):
    """Functions of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1, self.fc, self.lif2 = nn.Conv2d(1, 2, 3), snn.LIFCell(), nn.Linear(8, 4), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        """A step."""
        first, second = (None, None) if state is None else state
        z, first = self.lif1(self.conv(x), first)
        z, second = self.lif2(self.fc(torch.flatten(nn.functional.avg_pool2d(z, 2), 1)), second)
        return z, (first, second)


STRUCTURES = [
    Row("`SequentialState`, nested", _chain(_linear(), _chain(snn.LIFCell, _linear()), snn.LIFCell)),
    Row("`return_hidden`", lambda: snn.SequentialState(nn.Linear(WIDE, WIDE), snn.LIFCell(), return_hidden=True)),
    Row("`RecurrentSequential`", lambda: snn.RecurrentSequential(nn.Linear(WIDE, WIDE), snn.LIFCell())),
    Row("`Lift`, sequences", _chain(lambda: snn.Lift(nn.Conv2d(1, 2, 3)), snn.LIF), MAPS),
    Row("recurrent, with autapses", _chain(lambda: snn.LIFRecurrentCell(WIDE, WIDE, autapses=True))),
    Row("shared weights", _shared),
    Row("a residual connection", lambda: Between(lambda m, z, x: m.fc2(z) + z)),
    Row("two inputs, two outputs", Two, [(WIDE,), (4,)]),
    Row("a loop over time", lambda: Loop(feedback=False)),
    Row("a loop over time with feedback", lambda: Loop(feedback=True)),
    Row("a layer that hears another a step late", Late),
    Row("an image shown at every step of the model's own", lambda: Shown(feedback=False), still=True),
    Row("steps of `norse.torch.functional`", Steps, time="inside"),
    Row("a first state of the model's own", Started),
    Row("two time steps", _chain(_linear(), snn.LIFCell, _linear(), lambda: snn.LIFCell(dt=0.002))),
    Row(
        "parameters of each neuron",
        _chain(_linear(), lambda: snn.LIFCell(snn.LIFParameters(v_th=torch.linspace(0.5, 1.5, WIDE)))),
    ),
    Row(
        "a random encoder in front",
        lambda: snn.SequentialState(snn.PoissonEncoder(STEPS, 400), nn.Linear(WIDE, WIDE), snn.LIF()),
        still=True,
    ),
    Row("`ConstantCurrentLIFEncoder` in front", lambda: _encoded(snn.ConstantCurrentLIFEncoder), still=True),
    Row("`SpikeLatencyLIFEncoder` in front", lambda: _encoded(snn.SpikeLatencyLIFEncoder), gain=30.0, still=True),
]

# By title; those of another framework are made when it is there.
SECTIONS: Mapping[str, Callable[[], list[Row]]] = {
    "Neurons": neurons,
    "Layers": lambda: LAYERS,
    "Functions": lambda: FUNCTIONS,
    "Structures": lambda: STRUCTURES,
    "snnTorch": snntorch_neurons,
    "SpikingJelly": spikingjelly_neurons,
}
