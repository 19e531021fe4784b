"""Models of several ways: residual connections, parts and joins, shared layers, several inputs and outputs."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
from battery.case import Case
from torch import nn


class Net(nn.Module):
    """Two layers of neurons with weights before each; the classes below connect them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(8, 8), snn.LIFCell(), nn.Linear(8, 8), snn.LIFCell()

    def forward(self, x: Any, state: Any = None) -> Any:
        s1, s2 = (None, None) if state is None else state
        y, s1, s2 = self.connected(x, s1, s2)
        return y, (s1, s2)

    def connected(self, x: Any, s1: Any, s2: Any) -> Any:
        raise NotImplementedError


class Skip(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(a), s2)
        return a + b, s1, s2


class SkipInput(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(a) + x, s2)
        return b, s1, s2


class SkipInPlace(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        h = self.fc2(a)
        h += x
        b, s2 = self.lif2(h, s2)
        return b, s1, s2


class SkipScaled(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(torch.add(self.fc2(a), x, alpha=0.5), s2)
        return b, s1, s2


class Concat(Net):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 3)

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(x), s2)
        return self.out(torch.cat((a, b), dim=-1)), s1, s2


class Split(Net):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(4, 8)

    def connected(self, x, s1, s2):
        left, right = torch.split(x, 4, dim=1)
        a, s1 = self.lif1(self.fc1(left), s1)
        b, s2 = self.lif2(self.fc2(right), s2)
        return a + b, s1, s2


class Chunk(Split):
    def connected(self, x, s1, s2):
        left, right = x.chunk(2, -1)
        a, s1 = self.lif1(self.fc1(left), s1)
        b, s2 = self.lif2(self.fc2(right), s2)
        return torch.hstack([a, b]), s1, s2


class Sliced(Split):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x[:, :4]), s1)
        b, s2 = self.lif2(self.fc2(x[..., 4:]), s2)
        return a - b, s1, s2


class EvenOdd(Split):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x[:, ::2]), s1)
        b, s2 = self.lif2(self.fc2(x[:, 1::2]), s2)
        return a + b, s1, s2


class Constants(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(2 * x - 0.25) / 1.5, s1)
        b, s2 = self.lif2(-self.fc2(a) + 2.5, s2)
        return 3.0 * b - 1, s1, s2


class Buffers(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(8) % 3 > 0).float())
        self.gain, self.offset = nn.Parameter(torch.ones(8) * 1.5), nn.Parameter(torch.ones(8) * 0.1)

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x * self.mask), s1)
        b, s2 = self.lif2(self.fc2(a) * self.gain + self.offset, s2)
        return b, s1, s2


class SharedWeights(Net):
    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc1(a), s2)
        return b, s1, s2


class TiedWeights(Net):
    """Two layers that hold one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc2.weight = self.fc1.weight

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(a), s2)
        return b, s1, s2


class SharedNeurons(Net):
    """One cell with a state for each place."""

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif1(self.fc2(a), s2)
        return b, s1, s2


class Product(Net):
    """Spikes that gate others."""

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(x), s2)
        return a * b, s1, s2


class Unused(Net):
    """A layer that leads nowhere."""

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        _, s2 = self.lif2(self.fc2(a), s2)
        return a, s1, s2


class Transposed(Net):
    """Weights by hand."""

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(x @ self.fc1.weight.t(), s1)
        b, s2 = self.lif2(torch.matmul(a, self.fc2.weight.T) + self.fc2.bias, s2)
        return b, s1, s2


class Lateral(Net):
    """The sum of what three ways give."""

    def connected(self, x, s1, s2):
        a, s1 = self.lif1(self.fc1(x), s1)
        b, s2 = self.lif2(self.fc2(a), s2)
        return sum([a, b, x]), s1, s2


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.lif, self.out = nn.Linear(8, 6), nn.Linear(5, 6), snn.LIFCell(), nn.Linear(6, 3)

    def forward(self, left, right, state=None):
        z, state = self.lif(self.fc1(left) + self.fc2(right), state)
        return self.out(z), state


class TwoInputsTwoOutputs(TwoInputs):
    def forward(self, left, right, state=None):
        z, state = self.lif(self.fc1(left) + self.fc2(right), state)
        return (self.out(z), z), state


class DictState(Net):
    """The state in a dict."""

    def forward(self, x, state=None):
        state = {} if state is None else state
        a, first = self.lif1(self.fc1(x), state.get("a"))
        b, second = self.lif2(self.fc2(a), state.get("b"))
        return b, {"a": first, "b": second}


class ModuleList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.cells = nn.ModuleList([snn.LIFCell(), snn.LIFBoxCell(), snn.LIFRefracCell()])

    def forward(self, x, state=None):
        state = [None] * 3 if state is None else list(state)
        for k, (layer, cell) in enumerate(zip(self.layers, self.cells, strict=True)):
            x, state[k] = cell(layer(x), state[k])
        return x, state


class Block(nn.Module):
    """A residual block of convolutions, a state of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(channels, channels, 3, padding=1), snn.LIFCell()
        self.conv2, self.lif2 = nn.Conv2d(channels, channels, 3, padding=1), snn.LIFCell()

    def forward(self, x, state=None):
        s1, s2 = (None, None) if state is None else state
        z, s1 = self.lif1(self.conv1(x), s1)
        z, s2 = self.lif2(self.conv2(z) + x, s2)
        return z, (s1, s2)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(1, 3, 3, padding=1), Block(3), Block(3)
        self.pool, self.head = nn.AvgPool2d(3), nn.Linear(12, 3)

    def forward(self, x, state=None):
        sa, sb = (None, None) if state is None else state
        x, sa = self.a(self.stem(x), sa)
        x, sb = self.b(x, sb)
        return self.head(self.pool(x).flatten(1)), (sa, sb)


class Inception(nn.Module):
    """Branches of several kernels, joined by channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lif = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 3, padding=1), snn.LIFCell()
        self.head = nn.Linear(64, 3)

    def forward(self, x, state=None):
        z, state = self.lif(torch.cat([self.a(x), self.b(x)], dim=1), state)
        return self.head(torch.flatten(torch.nn.functional.avg_pool2d(z, 1), start_dim=1)), state


class SequenceSkip(nn.Module):
    """Whole rasters, with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(8, 8), snn.LIF(), nn.Linear(8, 8), snn.LIFRecurrent(8, 8)

    def forward(self, x):
        a, _ = self.lif1(self.fc1(x))
        b, _ = self.lif2(self.fc2(a))
        return a + b


class SequenceTwoOutputs(SequenceSkip):
    def forward(self, x):
        a, _ = self.lif1(self.fc1(x))
        b, _ = self.lif2(self.fc2(a) + x)
        return {"hidden": a, "out": b}


CASES = (
    *(
        Case(f"wiring_{kind.__name__}", kind, (8,), gain=1.7)
        for kind in (
            Skip, SkipInput, SkipInPlace, SkipScaled, Concat, Split, Chunk, Sliced, EvenOdd, Constants, SharedWeights,
            TiedWeights, SharedNeurons, Product, Unused, Transposed, Lateral, DictState, ModuleList, SequenceSkip,
            SequenceTwoOutputs,
        )
    ),
    Case("wiring_Buffers", Buffers, (8,), gain=2.5),
    Case("wiring_TwoInputs", TwoInputs, [(8,), (5,)]),
    Case("wiring_TwoInputsTwoOutputs", TwoInputsTwoOutputs, [(8,), (5,)]),
    Case("wiring_ResNet", ResNet, (1, 6, 6), gain=1.5),
    Case("wiring_Inception", Inception, (1, 4, 4), gain=1.5),
)  # fmt: skip
