"""Chains of layers as users write them: containers of Norse's and torch's, convolutional nets, the models of Norse."""

from __future__ import annotations

import norse.torch as snn
import torch
from battery.case import Case
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.models.mobilenet import MobileNetV2
from norse.torch.models.vgg import VGG, make_layers
from torch import nn


def mlp() -> nn.Module:
    return snn.SequentialState(nn.Linear(9, 12), snn.LIFCell(), nn.Linear(12, 4), snn.LICell())


def deep() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Linear(8, 8), snn.LIFBoxCell()]
    return snn.SequentialState(*layers, nn.Linear(8, 3))


def tutorial() -> nn.Module:
    """Norse's tutorial on convolutional nets."""
    return snn.SequentialState(
        nn.Conv2d(1, 4, 3, 1),
        snn.LIFCell(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 6, 3, 1),
        snn.LIFCell(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(6, 5),
        snn.LICell(),
    )


def readme() -> nn.Module:
    """The example of Norse's own readme, smaller."""
    return snn.SequentialState(
        nn.Conv2d(1, 5, 5, 1),
        snn.LIFCell(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(5, 8, 3, 1),
        snn.LIFCell(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(1),
        nn.Linear(8, 10),
        snn.LICell(),
    )


def bn_avgpool() -> nn.Module:
    net = snn.SequentialState(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        snn.LIFCell(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        snn.LIFCell(),
        nn.AvgPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    with torch.no_grad():
        net[1].running_mean.fill_(0.1)
        net[1].running_var.fill_(0.7)
        net[5].running_var.copy_(torch.tensor([0.5, 0.9, 1.3, 2.0]))
    return net


def nested() -> nn.Module:
    block = snn.SequentialState(nn.Linear(9, 7), snn.LIFCell(), nn.Identity())
    inner = snn.SequentialState(snn.SequentialState(nn.Linear(7, 6), snn.LIFBoxCell()), nn.Linear(6, 6))
    return snn.SequentialState(
        block, inner, snn.LIFCell(), nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)), snn.LICell()
    )


def hidden() -> nn.Module:
    return snn.SequentialState(nn.Linear(9, 7), snn.LIFCell(), nn.Linear(7, 4), snn.LIFCell(), return_hidden=True)


def hidden_sequence() -> nn.Module:
    return snn.SequentialState(
        snn.Lift(nn.Linear(9, 7)), snn.LIF(), snn.Lift(nn.Linear(7, 4)), snn.LIF(), return_hidden=True
    )


def named() -> nn.Module:
    """A user's class with a container inside, as in most scripts."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = snn.SequentialState(nn.Linear(9, 10), snn.LIFCell(), nn.Linear(10, 8), snn.LIFCell())
            self.readout = nn.Linear(8, 3)

        def forward(self, x, state=None):
            z, state = self.features(x, state)
            return self.readout(z), state

    return Net()


def lifted() -> nn.Module:
    return snn.SequentialState(
        snn.Lift(nn.Conv2d(1, 3, 3)), snn.LIF(), snn.Lift(nn.MaxPool2d(2)), nn.Flatten(2), nn.Linear(27, 5), snn.LI()
    )


def lifted_block() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.AvgPool2d(2))
    return snn.SequentialState(
        snn.Lift(block), snn.LIF(), snn.Lift(nn.Flatten()), snn.Lift(nn.Linear(27, 5)), snn.LIF()
    )


def lifted_stateful() -> nn.Module:
    return snn.Lift(snn.SequentialState(nn.Linear(9, 7), snn.LIFCell(), nn.Linear(7, 4), snn.LICell()))


def sequences() -> nn.Module:
    return snn.SequentialState(nn.Linear(9, 7), snn.LIF(), snn.LIFRecurrent(7, 6), nn.Linear(6, 4), snn.LI())


def readme_recurrent() -> nn.Module:
    """The example in the documentation of SequentialState."""
    return snn.SequentialState(
        snn.Lift(nn.Conv2d(2, 4, 3)), nn.Flatten(2), snn.LIFRecurrent(4 * 6 * 2, 6), snn.LIFRecurrent(6, 1)
    )


def plain_sequential() -> nn.Module:
    """Layers without a state in a plain Sequential, and a population at the end."""
    return nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 6), snn.LIFCell())


def recurrent_sequential() -> nn.Module:
    return snn.RecurrentSequential(nn.Linear(6, 8), snn.LIFCell(), nn.Linear(8, 6), snn.LIFCell())


def recurrent_sequential_middle() -> nn.Module:
    return snn.RecurrentSequential(nn.Linear(6, 6), snn.LIFCell(), nn.Linear(6, 8), snn.LIFCell(), output_modules=1)


def recurrent_sequential_inside() -> nn.Module:
    inner = snn.RecurrentSequential(nn.Linear(6, 8), snn.LIFCell(), nn.Linear(8, 6), snn.LIFCell())
    return snn.SequentialState(nn.Linear(9, 6), inner, nn.Linear(6, 3), snn.LICell())


def recurrent_sequential_lifted() -> nn.Module:
    return snn.Lift(snn.RecurrentSequential(nn.Linear(6, 8), snn.LIFCell(), nn.Linear(8, 6), snn.LIFCell()))


def recurrent_cells() -> nn.Module:
    return snn.SequentialState(
        snn.LIFRecurrentCell(9, 8), nn.Linear(8, 8), snn.LSNNRecurrentCell(8, 6), snn.LILinearCell(6, 3)
    )


def autapses() -> nn.Module:
    return snn.SequentialState(snn.LIFRecurrentCell(9, 8, autapses=True), nn.Linear(8, 3), snn.LICell())


def given_weights() -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    inner, outer = torch.rand(8, 9, generator=generator) * 0.6, torch.rand(8, 8, generator=generator) - 0.7
    cell = snn.LIFRecurrentCell(9, 8, input_weights=inner, recurrent_weights=outer, autapses=True)
    return snn.SequentialState(cell, nn.Linear(8, 3))


def given_weights_no_autapses() -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    inner = nn.Parameter(torch.rand(8, 9, generator=generator) * 0.6)
    outer = nn.Parameter(torch.rand(8, 8, generator=generator) - 0.7)
    return snn.LIFRecurrent(9, 8, input_weights=inner, recurrent_weights=outer)


def conv1d() -> nn.Module:
    return snn.SequentialState(
        nn.Conv1d(2, 4, 3, padding=1), snn.LIFCell(), nn.AvgPool1d(2), nn.Conv1d(4, 3, 3, groups=1), snn.LIFBoxCell(),
        nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


def grouped() -> nn.Module:
    return snn.SequentialState(
        nn.Conv2d(4, 8, (3, 2), stride=(2, 1), padding=(1, 0), groups=4), snn.LIFCell(),
        nn.Conv2d(8, 4, 1), snn.LIFCell(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def dilated() -> nn.Module:
    return snn.SequentialState(
        nn.Conv2d(1, 3, 3, dilation=2, padding=2), snn.LIFCell(), nn.Flatten(), nn.Linear(108, 3), snn.LICell()
    )


def lconv() -> nn.Module:
    return snn.SequentialState(snn.LConv2d(1, 3, 3), snn.LIF(), nn.Flatten(2), nn.Linear(48, 4), snn.LI())


def vgg() -> nn.Module:
    net = VGG(make_layers([4, "M", 5, "M"]), num_classes=3, init_weights=False)
    net.classifier[0] = snn.Lift(nn.Linear(5 * 49, 8))
    net.classifier[3] = snn.Lift(nn.Linear(8, 8))
    net.classifier[6] = snn.Lift(nn.Linear(8, 3))
    return net


def vgg_norm() -> nn.Module:
    net = VGG(make_layers([4, "M", 5, "M"], batch_norm=True), num_classes=3, init_weights=False)
    net.classifier[0] = snn.Lift(nn.Linear(5 * 49, 8))
    net.classifier[3] = snn.Lift(nn.Linear(8, 8))
    net.classifier[6] = snn.Lift(nn.Linear(8, 3))
    return net


def vgg_features() -> nn.Module:
    """The features of a VGG in a container that hands the state on."""
    return snn.SequentialState(*make_layers([4, "M", 5, "M"]))


def mobilenet() -> nn.Module:
    return MobileNetV2(num_classes=3, width_mult=0.1, inverted_residual_setting=[[1, 8, 1, 1], [2, 8, 2, 2]])


def population_per_channel() -> nn.Module:
    p = snn.LIFParameters(
        v_th=torch.tensor([0.3, 0.5, 0.9]).reshape(3, 1, 1),
        tau_mem_inv=torch.tensor([90.0, 200.0, 340.0]).reshape(3, 1, 1),
    )
    return snn.SequentialState(nn.Conv2d(1, 3, 3), snn.LIFCell(p), nn.Flatten(), nn.Linear(48, 4), snn.LICell())


def different_dt() -> nn.Module:
    return snn.SequentialState(
        nn.Linear(9, 8),
        snn.LIFCell(dt=0.001),
        nn.Linear(8, 8),
        snn.LIFCell(dt=0.002),
        nn.Linear(8, 3),
        snn.LICell(dt=0.0005),
    )


CASES = (
    Case("mlp", mlp, (9,)),
    Case("deep", deep, (9 - 1,), gain=6.0),
    Case("tutorial", tutorial, (1, 12, 12), gain=2.0),
    Case("readme", readme, (1, 14, 14), gain=2.0),
    Case("bn_avgpool", bn_avgpool, (2, 8, 8), gain=2.0),
    Case("nested", nested, (9,), gain=2.5),
    Case("hidden", hidden, (9,), gain=1.5),
    Case("hidden_sequence", hidden_sequence, (9,), gain=1.5),
    Case("named", named, (9,), gain=1.5),
    Case("lifted", lifted, (1, 8, 8)),
    Case("lifted_block", lifted_block, (1, 8, 8), gain=4.0),
    Case("lifted_stateful", lifted_stateful, (9,)),
    Case("sequences", sequences, (9,), gain=1.5),
    Case("readme_recurrent", readme_recurrent, (2, 8, 4), gain=1.5),
    Case("plain_sequential", plain_sequential, (9,)),
    Case("recurrent_sequential", recurrent_sequential, (6,), gain=1.5),
    Case("recurrent_sequential_middle", recurrent_sequential_middle, (6,), gain=1.5),
    Case("recurrent_sequential_inside", recurrent_sequential_inside, (9,), gain=1.5),
    Case("recurrent_sequential_lifted", recurrent_sequential_lifted, (6,), gain=1.5),
    Case("recurrent_cells", recurrent_cells, (9,), gain=2.0),
    Case("autapses", autapses, (9,), gain=None, rate=0.6),
    Case("given_weights", given_weights, (9,), gain=None),
    Case("given_weights_no_autapses", given_weights_no_autapses, (9,), gain=None),
    Case("conv1d", conv1d, (2, 8), gain=2.0),
    Case("grouped", grouped, (4, 6, 5), gain=2.5),
    Case("dilated", dilated, (1, 6, 6), gain=1.5),
    Case("lconv", lconv, (1, 6, 6), gain=1.5),
    Case("convnet", lambda: ConvNet(feature_size=16), (1, 16, 16), gain=0.8, steps=12),
    Case("convnet4", lambda: ConvNet4(feature_size=16), (1, 16, 16), gain=0.8, steps=10),
    Case("vgg", vgg, (3, 8, 8), gain=2.0),
    Case("vgg_norm", vgg_norm, (3, 8, 8), gain=2.0),
    Case("vgg_features", vgg_features, (3, 8, 8), gain=2.0),
    Case("mobilenet", mobilenet, (3, 8, 8), gain=2.0),
    Case("population_per_channel", population_per_channel, (1, 6, 6)),
    Case("different_dt", different_dt, (9,), gain=2.0),
)
