"""Containers, Norse's own models, encoders and decoders, several inputs and outputs, functions, types. Not tests."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from norse.torch.functional.decode import sum_decode
from norse.torch.functional.encode import constant_current_lif_encode, poisson_encode
from norse.torch.functional.lif import LIFParameters
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.models.mobilenet import MobileNetV2
from norse.torch.models.vgg import VGG, make_layers
from norse.torch.module.encode import PoissonEncoderStep
from norse.torch.module.exp_filter import ExpFilter
from norse.torch.module.lif_correlation import LIFCorrelation
from structure_parts import BATCH, OUT, WIDE, Build, Structure, T, both, drawn, linear, maps, raster, step, whole
from torch import nn


def net(*layers: Any, gain: float = 5.0, **options: Any) -> Build:
    """A SequentialState of layers, each made anew."""
    return lambda: drawn(snn.SequentialState(*(layer() for layer in layers), **options), gain)


def lift(make: Any) -> Any:
    """Makes a Lift of what is made."""
    return lambda: snn.Lift(make())


def inner(*layers: Any, **options: Any) -> Any:
    """Makes a SequentialState."""
    return lambda: snn.SequentialState(*(layer() for layer in layers), **options)


def plain(*layers: Any) -> Any:
    """Makes a torch Sequential."""
    return lambda: nn.Sequential(*(layer() for layer in layers))


def image() -> torch.Tensor:
    """What an encoder takes: [B, N]."""
    return torch.rand((BATCH, WIDE), generator=torch.Generator().manual_seed(0))


def bright() -> torch.Tensor:
    """An image of strong currents."""
    return image() * 20


def small_vgg(*, batch_norm: bool = False, size: int = 14) -> nn.Module:
    """Norse's VGG with a classifier of few neurons, as for another task. size: of its maps, a multiple of 14."""
    model = VGG.__new__(VGG)  # without the classifier of 120 million weights
    nn.Module.__init__(model)
    model.features = make_layers([4, "M", 6], batch_norm)
    model.avgpool = snn.Lift(nn.AdaptiveAvgPool2d((7, 7)))
    model.classifier = nn.Sequential(
        snn.Lift(nn.Linear(6 * 49, 10)), snn.LIF(), snn.Lift(nn.Dropout()), snn.Lift(nn.Linear(10, OUT))
    )
    return drawn(model, 4.0)


def small_mobilenet() -> nn.Module:
    """MobileNetV2 of two blocks."""
    setting = [[1, 48, 1, 1], [2, 48, 2, 1]]
    model = MobileNetV2(num_classes=4, width_mult=0.5, inverted_residual_setting=setting)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
                module.weight.fill_(3.0)
                module.bias.fill_(0.5)
    return model.eval()


def conv_net(cls: Any) -> Build:
    """Norse's ConvNet with weights that make it fire."""

    def build() -> nn.Module:
        model, generator = cls(1, 16), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, gain in (("conv1", 8.0), ("conv2", 2.0), ("fc1", 6.0), ("out", 1.0)):
                for parameter in getattr(model, name).parameters():
                    bound = gain / max(1, parameter[0].numel()) ** 0.5
                    parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)
        return model.eval()

    return build


class Tutorial(nn.Module):
    """An encoder, a network and a decoder, as in Norse's tutorials."""

    def __init__(self, encoder: nn.Module, snn_: nn.Module, decoder: Any) -> None:
        super().__init__()
        self.encoder, self.snn, self.decoder = encoder, snn_, decoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encoder(x)
        x = self.snn(x)
        return self.decoder(x)


def _decode(x: torch.Tensor) -> torch.Tensor:
    return F.log_softmax(torch.max(x, 0)[0], dim=1)


def _decode_last(x: torch.Tensor) -> torch.Tensor:
    return x[-1]


def tutorial(decoder: Any, encoder: Any = None) -> Build:
    """The model of Norse's MNIST tutorial, smaller."""
    run = whole(lambda m, x: torch.stack(_tutorial_loop(m, x)))
    return lambda: Tutorial((encoder or (lambda: snn.PoissonEncoder(T, f_max=400)))(), run(), decoder).eval()


def _tutorial_loop(m: Any, x: torch.Tensor) -> list[torch.Tensor]:
    s = so = None
    voltages = []
    for ts in range(x.shape[0]):
        z = x[ts, :, :].view(-1, WIDE)
        z, s = m.cell(m.layer(z), s)
        vo, so = m.leaky(m.readout(z), so)
        voltages += [vo]
    return voltages


def _twice(m: Any, x: torch.Tensor, state: Any) -> Any:
    z, state = m.cell(m.layer(x), state)
    y, state = m.cell(m.back(z), state)
    return y, state


def _none_entries(m: Any, x: torch.Tensor, state: Any) -> Any:
    state = [None, None, None] if state is None else state
    z, one = m.cell(m.layer(x), state[0])
    v, two = m.leaky(m.readout(z), state[2])
    return v, [one, None, two]


def _dict_state(m: Any, x: torch.Tensor, state: Any) -> Any:
    state = state or {}
    z, one = m.cell(m.layer(x), state.get("cell"))
    v, two = m.leaky(m.readout(z), state.get("leaky"))
    return v, {"cell": one, "leaky": two}


CONTAINERS: dict[str, Structure] = {
    "cells": Structure(net(linear(8, 6), snn.LIFCell, linear(6, 3), snn.LICell)),
    "sequences": Structure(net(linear(8, 6), snn.LIF, linear(6, 3), snn.LI)),
    "nested": Structure(net(linear(8, 6), inner(snn.LIFCell, inner(linear(6, 5), snn.LIFCell)))),
    "hidden layers": Structure(net(linear(8, 6), snn.LIFCell, linear(6, 3), snn.LICell, return_hidden=True)),
    "hidden layers nested": Structure(net(inner(linear(8, 6), snn.LIFCell, return_hidden=True), return_hidden=False)),
    "hidden layers within hidden layers": Structure(
        net(linear(8, 6), inner(snn.LIFCell, linear(6, 5)), snn.LIFCell, return_hidden=True)
    ),
    "hidden sequences": Structure(net(linear(8, 6), snn.LIF, linear(6, 3), snn.LI, return_hidden=True)),
    "RecurrentSequential": Structure(lambda: drawn(snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell()))),
    "RecurrentSequential of an inner module": Structure(
        lambda: drawn(snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell(), nn.Linear(8, 8), output_modules=1))
    ),
    "RecurrentSequential of two modules": Structure(
        lambda: drawn(snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell(), output_modules=[0, 1])),
        refused=("model_raised", "expected Tensor"),
    ),
    "RecurrentSequential inside": Structure(
        net(linear(8, 6), lambda: snn.RecurrentSequential(snn.LIFCell(), nn.Linear(6, 6)), linear(6, 3))
    ),
    "Lift of layers": Structure(
        net(lift(lambda: nn.Conv2d(2, 4, 3)), snn.LIF, lambda: nn.Flatten(2), linear(64, 3), snn.LI), maps
    ),
    "Lift of a cell": Structure(net(linear(8, 6), lift(snn.LIFCell))),
    "Lift of a SequentialState": Structure(
        lambda: drawn(snn.Lift(inner(linear(8, 6), snn.LIFCell, linear(6, 3), snn.LICell)()))
    ),
    "Lift of a nested SequentialState": Structure(
        net(linear(8, 6), lift(inner(inner(snn.LIFCell, linear(6, 5)), snn.LIFCell)))
    ),
    "Lift of a Sequential": Structure(net(lift(plain(linear(8, 6), nn.ReLU)), snn.LIF)),
    "Lift of a Lift": Structure(net(lift(lift(linear(8, 6))), snn.LIF), refused=("time_axis", "Lift")),
    "Lift behind a stateful Lift": Structure(net(lift(snn.LIFCell), lift(linear(8, 3)))),
    "a user's block in Lift": Structure(
        net(lift(lambda: step(lambda m, x, s: m.cell(m.layer(x), s))()), lift(linear(6, 3)))
    ),
    "SequentialState given two rasters": Structure(
        net(linear(8, 6), snn.LIFCell), both, ("inputs", "SequentialState takes one raster")
    ),
    "a plain Sequential of cells": Structure(
        lambda: drawn(nn.Sequential(nn.Linear(8, 6), snn.LIFCell(), nn.Linear(6, 3))),
        refused=("model_raised", "the state that LIFCell gives as one tuple"),
    ),
    "recurrent": Structure(net(lambda: snn.LIFRecurrentCell(8, 6), linear(6, 3), snn.LICell)),
    "recurrent sequence with autapses": Structure(
        net(lambda: snn.LIFRecurrent(8, 6, autapses=True), linear(6, 3), snn.LI)
    ),
    "another dt in each layer": Structure(
        net(linear(8, 6), lambda: snn.LIFCell(dt=0.002), linear(6, 3), lambda: snn.LICell(dt=0.0005))
    ),
    "None among the states": Structure(step(_none_entries)),
    "states in a dict": Structure(step(_dict_state)),
    "a population twice in a step": Structure(step(_twice), refused=("shared_neurons", "called twice in a step")),
    "one population in two places": Structure(
        lambda: (lambda cell: drawn(snn.SequentialState(nn.Linear(8, 6), cell, nn.Linear(6, 6), cell)))(snn.LIFCell())
    ),
    "a layer in two places": Structure(
        lambda: (lambda fc: drawn(snn.SequentialState(fc, snn.LIFCell(), fc, snn.LIFCell()), 3.0))(nn.Linear(8, 8))
    ),
    "float64": Structure(lambda: net(linear(8, 6), snn.LIFCell)().double()),
    "float16": Structure(lambda: net(linear(8, 6), snn.LIFCell)().half(), refused=("dtype", "float16")),
    "bfloat16": Structure(lambda: net(linear(8, 6), snn.LIFCell)().bfloat16(), refused=("dtype", "bfloat16")),
    "batch normalisation": Structure(
        net(lift(lambda: nn.Conv2d(2, 4, 3)), lift(lambda: nn.BatchNorm2d(4)), snn.LIF), maps
    ),
    "batch normalisation in training": Structure(
        lambda: net(linear(8, 6), lambda: nn.BatchNorm1d(6), snn.LIFCell)().train(), refused=("training", "BatchNorm1d")
    ),
    "dropout in training": Structure(
        lambda: net(linear(8, 6), lambda: nn.Dropout(0.5), snn.LIFCell)().train(), refused=("training", "Dropout")
    ),
    "weights without gradients": Structure(
        lambda: net(linear(8, 6), snn.LIFCell)().requires_grad_(requires_grad=False)
    ),
    "LIFCorrelation": Structure(lambda: drawn(Correlated()), refused=("module", "LIFCorrelation")),
    "ExpFilter": Structure(net(linear(8, 6), snn.LIF, lambda: ExpFilter(6, 3)), refused=("module", "ExpFilter")),
}


class Correlated(nn.Module):
    """LIFCorrelation takes its weights as arguments, and changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.w, self.r = LIFCorrelation(WIDE, BATCH), nn.Parameter(torch.rand(BATCH, WIDE)), None

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.cell(x, self.w, torch.zeros(BATCH, BATCH), state)


MODELS: dict[str, Structure] = {
    "ConvNet": Structure(conv_net(ConvNet), lambda: raster(10, 2, 1, 16, 16)),
    "ConvNet4": Structure(conv_net(ConvNet4), lambda: raster(10, 2, 1, 16, 16)),
    "VGG": Structure(small_vgg, lambda: raster(10, 2, 3, 28, 28)),
    "VGG of maps of the right size": Structure(small_vgg, lambda: raster(10, 2, 3, 14, 14)),
    "VGG with batch normalisation": Structure(lambda: small_vgg(batch_norm=True), lambda: raster(10, 2, 3, 14, 14)),
    "VGG of maps that do not divide": Structure(
        small_vgg, lambda: raster(4, 2, 3, 20, 20), ("pool_adaptive", "AdaptiveAvgPool2d")
    ),
    "VGG of small maps": Structure(small_vgg, lambda: raster(4, 2, 3, 4, 4), ("pool_adaptive", "AdaptiveAvgPool2d")),
    "MobileNetV2": Structure(small_mobilenet, lambda: raster(10, 2, 3, 16, 16)),
}


CODED: dict[str, Structure] = {
    "Poisson": Structure(net(lambda: snn.PoissonEncoder(T, f_max=400), linear(8, 6), snn.LIF), image),
    "constant current": Structure(net(lambda: snn.ConstantCurrentLIFEncoder(T), linear(8, 6), snn.LIF), bright),
    "constant current with a reset elsewhere": Structure(
        net(
            lambda: snn.ConstantCurrentLIFEncoder(T, p=LIFParameters(v_reset=torch.tensor(-0.25))),
            linear(8, 6),
            snn.LIF,
        ),
        bright,
    ),
    "spike latency LIF": Structure(net(lambda: snn.SpikeLatencyLIFEncoder(T), linear(8, 6), snn.LIF, gain=15), bright),
    "spike latency": Structure(net(snn.SpikeLatencyEncoder, linear(8, 6), snn.LIF, gain=9)),
    "constant current, then latency": Structure(
        net(lambda: snn.ConstantCurrentLIFEncoder(T), snn.SpikeLatencyEncoder, linear(8, 6), snn.LIF, gain=15), bright
    ),
    "population": Structure(
        lambda: drawn(Coded(snn.PopulationEncoder(4))),
        lambda: torch.rand(T, BATCH, 2),
        ("module", "an encoder that takes one step"),
    ),
    "Poisson, a step at a time": Structure(
        net(lambda: PoissonEncoderStep(f_max=400), linear(8, 6), snn.LIFCell),
        lambda: image().expand(T, -1, -1),
        ("module", "an encoder that takes one step"),
    ),
    "constant_current_lif_encode": Structure(
        whole(lambda m, x: torch.stack(_tutorial_loop(m, constant_current_lif_encode(x, T)))),
        bright,
        ("operation", "constant_current_lif_encode"),
    ),
    "poisson_encode": Structure(
        whole(lambda m, x: torch.stack(_tutorial_loop(m, poisson_encode(x, T, f_max=400)))),
        image,
        ("operation", "poisson_encode"),
    ),
    "tutorial: largest potential": Structure(tutorial(_decode), image),
    "tutorial: last potential": Structure(tutorial(_decode_last), image),
    "tutorial: constant current, sum_decode": Structure(
        tutorial(sum_decode, lambda: snn.ConstantCurrentLIFEncoder(T)), bright
    ),
    "sum over time of sequences": Structure(
        whole(lambda m, x: sum_decode(m.net(x)[0]), net=inner(linear(8, 6), snn.LIF, linear(6, 3), snn.LI)),
        time="inside",
    ),
    "spike times": Structure(
        whole(lambda m, x: m.decode(m.net(x)[0]), net=inner(linear(8, 6), snn.LIF), decode=snn.SpikesToTimesDecoder),
        time="inside",
    ),
}


class Coded(nn.Module):
    """Values encoded by a population of features."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.layer, self.cell = encoder, nn.Linear(8, 6), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.cell(self.layer(self.encoder(x).flatten(1)), state)
