"""Networks in the manner of the tasks that come with Norse: digits, speech commands, a pole on a cart, memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import norse.torch as snn
import torch
from battery.case import Case
from norse.torch.functional.lsnn import LSNNParameters
from norse.torch.models.conv import ConvNet
from torch import nn


class Digits(nn.Module):
    """An image is encoded, the raster is given the shape of maps, and the largest potentials are classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rsnn = snn.ConstantCurrentLIFEncoder(seq_length=16), ConvNet(feature_size=16)

    def forward(self, x):
        batch = x.shape[0]
        x = self.encoder(x.view(-1, 256) * 2.0)
        x = x.reshape(16, batch, 1, 16, 16)
        m, _ = torch.max(self.rsnn(x), 0)
        return nn.functional.log_softmax(m, dim=1)


class Speech(nn.Module):
    """A recurrent layer and a readout; the last potential counts."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.readout = cell(9, 12), snn.LILinearCell(12, 4)

    def forward(self, x):
        s = so = None
        for ts in range(x.shape[0]):
            z, s = self.cell(x[ts, :], s)
            v, so = self.readout(z, so)
        return nn.functional.log_softmax(v, dim=1)


class Cart(nn.Module):
    """Positive and negative values are encoded apart."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.lif = snn.ConstantCurrentLIFEncoder(20), snn.LIFRecurrentCell(8, 12)
        self.dropout, self.readout = nn.Dropout(0.5), snn.LILinearCell(12, 2)

    def forward(self, x):
        x = 2 * x - 1
        positive, negative = self.encoder(torch.relu(50 * x)), self.encoder(torch.relu(-50 * x))
        x = torch.cat([positive, negative], dim=2)
        steps, batch, _ = x.shape
        voltages = torch.zeros(steps, batch, 2, device=x.device)
        s1 = so = None
        for ts in range(steps):
            z, s1 = self.lif(x[ts, :, :], s1)
            voltages[ts, :, :], so = self.readout(self.dropout(z), so)
        return torch.softmax(torch.max(voltages, 0)[0], dim=1)


class Halves(nn.Module):
    """Half of the layer adapts; the state has no default."""

    def __init__(self) -> None:
        super().__init__()
        p = LSNNParameters(v_th=torch.as_tensor(0.5), tau_adapt_inv=1 / torch.as_tensor(2.0).exp())
        self.lsnn = snn.LSNNRecurrentCell(9, 6, p)
        self.lif = snn.LIFRecurrentCell(9, 6, snn.LIFParameters(v_th=torch.as_tensor(0.5)))

    def forward(self, x, state):
        first, second = (None, None) if state is None else state
        a, first = self.lif(x, first)
        b, second = self.lsnn(x, second)
        return torch.cat((a, b), -1), (first, second)


class Memory(nn.Module):
    """Those halves, and a readout, over time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.readout = Halves(), snn.LILinearCell(12, 2)

    def forward(self, x):
        state, readout, out = None, None, []
        for step in x:
            z, state = self.layer(step, state)
            v, readout = self.readout(z, readout)
            out.append(v)
        return torch.stack(out)


class WithState(nn.Module):
    """Takes a whole raster, and a state that nobody gives."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.out = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 3)

    def forward(self, x, state=None):
        out = []
        for t in range(x.shape[0]):
            z, state = self.lif(self.fc(x[t]), state)
            out.append(self.out(z))
        return torch.stack(out), state


class Initialised(nn.Module):
    """Asks its cells for their first state."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(9, 8), snn.LIFCell()

    def forward(self, x, state=None):
        h = self.fc(x)
        return self.lif(h, self.lif.initial_state(h) if state is None else state)


class Named(nn.Module):
    """Layers in dictionaries of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"in": nn.Linear(9, 8), "cell": snn.LIFCell(), "out": nn.Linear(8, 3)})

    def forward(self, x, state=None):
        z, state = self.parts["cell"](self.parts["in"](x), state)
        return self.parts["out"](z), state


class Ensemble(nn.Module):
    """Three small networks, and the mean of what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            snn.SequentialState(nn.Linear(9, 6), snn.LIFCell(), nn.Linear(6, 3), snn.LICell()) for _ in range(3)
        )

    def forward(self, x, state=None):
        states = [None] * 3 if state is None else state
        results = [net(x, one) for net, one in zip(self.nets, states, strict=True)]
        return sum(y for y, _ in results) / 3, [one for _, one in results]


class Reservoir(nn.Module):
    """A fixed recurrent layer in buffers, and a trained readout."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("inner", torch.rand(12, 9, generator=generator) - 0.1)
        self.register_buffer("outer", (torch.rand(12, 12, generator=generator) - 0.6) * 0.4)
        self.lif, self.readout = snn.LIFCell(), nn.Linear(12, 3)

    def forward(self, x):
        z, state, out = torch.zeros(x.shape[1], 12, dtype=x.dtype), None, []
        for step in x:
            z, state = self.lif(nn.functional.linear(step, self.inner) + nn.functional.linear(z, self.outer), state)
            out.append(self.readout(z))
        return torch.stack(out)


def sequential_by_name() -> nn.Module:
    return nn.Sequential(OrderedDict(inner=nn.Linear(9, 8), lif=snn.LIF()))


def sequential_of_sequences() -> nn.Module:
    """Only the last layer of a plain Sequential may hand on a state."""
    return nn.Sequential(snn.Lift(nn.Conv2d(1, 2, 3)), nn.Flatten(2), nn.Linear(32, 6), snn.LIFRecurrent(6, 5))


def alone() -> nn.Module:
    return snn.LIFRecurrentCell(9, 8)


def torch_recurrent() -> nn.Module:
    """A layer of torch's own that has a state."""
    return snn.SequentialState(nn.Linear(9, 8), snn.LIF(), nn.GRU(8, 4), snn.LI())


CASES = (
    Case("task_digits", Digits, (256,), gain=0.8, still=True),
    Case("task_speech", lambda: Speech(snn.LIFRecurrentCell), (9,), gain=2.0),
    Case("task_speech_lsnn", lambda: Speech(snn.LSNNRecurrentCell), (9,), gain=2.0),
    Case("task_cart", Cart, (4,), gain=2.0, still=True),
    Case("task_memory_layer", Halves, (9,), gain=2.0),
    Case("task_memory", Memory, (9,), gain=2.0),
    Case("with_state", WithState, (9,), gain=2.0),
    Case("initialised", Initialised, (9,), gain=2.0),
    Case("module_dict", Named, (9,), gain=2.0),
    Case("ensemble", Ensemble, (9,), gain=2.0),
    Case("reservoir", Reservoir, (9,), gain=1.5),
    Case("sequential_by_name", sequential_by_name, (9,), gain=2.0),
    Case("sequential_of_sequences", sequential_of_sequences, (1, 6, 6), gain=2.0),
    Case("alone", alone, (9,), gain=2.0),
    Case("torch_recurrent", torch_recurrent, (9,), gain=2.0),
)
