"""Loops whose steps the raster alone does not tell: images that are shown, first states, layers that hear late."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
from battery.case import Case
from torch import nn

STEPS = 24


class Plain(nn.Module):
    """Two layers; the image is shown at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif, self.fc2, self.li = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 3), snn.LICell()

    def over(self, parts: Any) -> list[Any]:
        """What each step gives."""
        s1 = s2 = None
        out = []
        for part in parts:
            z, s1 = self.lif(self.fc1(part), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v)
        return out

    def forward(self, x: Any) -> Any:
        return torch.stack(self.over([x] * STEPS))


class Repeated(Plain):
    def forward(self, x: Any) -> Any:
        return torch.stack(self.over(x.unsqueeze(0).repeat(STEPS, 1, 1)))


class Largest(Plain):
    def forward(self, x: Any) -> Any:
        return super().forward(x).max(0).values


class Layers(nn.Module):
    """Sequence modules behind an image that is expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif, self.fc2, self.li = nn.Linear(9, 8), snn.LIF(), nn.Linear(8, 3), snn.LI()

    def forward(self, x: Any) -> Any:
        return self.li(self.fc2(self.lif(self.fc1(x.expand(STEPS, -1, -1)))[0]))[0]


class Maps(nn.Module):
    """A normalised convolution of the image, in a SequentialState that is called at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = snn.SequentialState(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), snn.LIFCell(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4),
            snn.LIFRecurrentCell(4, 4),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        state, out = None, []
        for _ in range(STEPS):
            z, state = self.net(x, state)
            out.append(z)
        return torch.stack(out)


class FirstState(Plain):
    """A state of the shape of what a layer gives."""

    def forward(self, x: Any) -> Any:
        s1 = s2 = None
        out = []
        for part in x:
            if s1 is None:
                s1 = self.lif.initial_state(self.fc1(part))
            z, s1 = self.lif(self.fc1(part), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v)
        return torch.stack(out)


class StepState(Plain):
    """The same, one step a call."""

    def forward(self, x: Any, state: Any = None) -> Any:
        s1, s2 = state or (self.lif.state_fallback(self.fc1(x)), None)
        z, s1 = self.lif(self.fc1(x), s1)
        v, s2 = self.li(self.fc2(z), s2)
        return v, (s1, s2)


class Pipeline(nn.Module):
    """Each layer hears the one before it a step late, and runs ahead of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.a, self.fc2, self.b = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 6), snn.LIFCell()
        self.fc3, self.li = nn.Linear(6, 3), snn.LICell()

    def forward(self, x: Any) -> Any:
        s1 = s2 = s3 = None
        first, second = (torch.zeros(x.shape[1], width, dtype=x.dtype) for width in (8, 6))
        out = []
        for part in x:
            v, s3 = self.li(self.fc3(second), s3)
            second, s2 = self.b(self.fc2(first), s2)
            first, s1 = self.a(self.fc1(part), s1)
            out.append(v)
        return torch.stack(out)


SMALL = (9,)
CASES = (
    *(
        Case(f"shown: {kind.__name__}", kind, SMALL, gain=3.0, rate=0.5, still=True)
        for kind in (Plain, Repeated, Largest, Layers)
    ),
    Case("shown: Maps", Maps, (1, 6, 6), gain=3.0, rate=0.5, still=True),
    Case("start: FirstState", FirstState, SMALL, gain=1.5),
    Case("start: StepState", StepState, SMALL, gain=1.5),
    Case("start: Pipeline", Pipeline, SMALL, gain=1.5),
)
