"""Models that loop over time by themselves, in the ways in which users write it."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
from battery.case import Case
from torch import nn


class Plain(nn.Module):
    """Index, collect in a list, stack."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif, self.fc2, self.li = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 3), snn.LICell()

    def forward(self, x: Any) -> Any:
        s1 = s2 = None
        out = []
        for t in range(x.shape[0]):
            z, s1 = self.lif(self.fc1(x[t]), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v)
        return torch.stack(out)


class Each(Plain):
    def forward(self, x: Any) -> Any:
        s1, s2, out = None, None, []
        for xt in x:
            z, s1 = self.lif(self.fc1(xt), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out += [v]
        return torch.stack(out, dim=0)


class Enumerated(Plain):
    def forward(self, x: Any) -> Any:
        s1, s2, out = None, None, []
        for _, xt in enumerate(torch.unbind(x, 0)):
            z, s1 = self.lif(self.fc1(xt), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v.unsqueeze(0))
        return torch.cat(out, dim=0)


class Buffered(Plain):
    def forward(self, x: Any) -> Any:
        steps, batch = x.shape[:2]
        voltages = torch.zeros(steps, batch, 3, device=x.device, dtype=x.dtype)
        s1 = s2 = None
        for ts in range(steps):
            z, s1 = self.lif(self.fc1(x[ts, :]), s1)
            v, s2 = self.li(self.fc2(z), s2)
            voltages[ts, :, :] = v
        return voltages


class BatchFirst(Plain):
    """[B, T, ...] inside, as data sets often are."""

    def forward(self, x: Any) -> Any:
        x = x.transpose(0, 1)
        s1, s2, out = None, None, []
        for t in range(x.size(1)):
            z, s1 = self.lif(self.fc1(x[:, t]), s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v)
        return torch.stack(out)


class Prefix(Plain):
    """The layer in front takes the whole raster at once."""

    def forward(self, x: Any) -> Any:
        x = self.fc1(x)
        s1, s2, out = None, None, []
        for t in range(len(x)):
            z, s1 = self.lif(x[t], s1)
            v, s2 = self.li(self.fc2(z), s2)
            out.append(v)
        return torch.stack(out)


class Suffix(Plain):
    """The layer behind takes the spikes of all steps at once."""

    def forward(self, x: Any) -> Any:
        s1, out = None, []
        for t in range(len(x)):
            z, s1 = self.lif(self.fc1(x[t]), s1)
            out.append(z)
        return self.fc2(torch.stack(out))


class States(Plain):
    """States in a list, and handed over to a method."""

    def step(self, x: Any, states: list[Any]) -> Any:
        z, states[0] = self.lif(self.fc1(x), states[0])
        v, states[1] = self.li(self.fc2(z), states[1])
        return v, states

    def forward(self, x: Any) -> Any:
        states: list[Any] = [None, None]
        out = []
        for xt in x:
            v, states = self.step(xt, states)
            out.append(v)
        return torch.stack(out)


class Both(Plain):
    """Spikes and potentials."""

    def forward(self, x: Any) -> Any:
        s1 = s2 = None
        spikes, out = [], []
        for xt in x:
            z, s1 = self.lif(self.fc1(xt), s1)
            v, s2 = self.li(self.fc2(z), s2)
            spikes.append(z)
            out.append(v)
        return torch.stack(out), torch.stack(spikes)


class MaxOverTime(Plain):
    def forward(self, x: Any) -> Any:
        return torch.max(super().forward(x), 0).values


class SumOverTime(Plain):
    def forward(self, x: Any) -> Any:
        return super().forward(x).sum(0)


class MeanOverTime(Plain):
    def forward(self, x: Any) -> Any:
        return super().forward(x).mean(dim=0)


class LastStep(Plain):
    def forward(self, x: Any) -> Any:
        return super().forward(x)[-1]


class LastOfLoop(Plain):
    def forward(self, x: Any) -> Any:
        s1 = s2 = None
        for xt in x:
            z, s1 = self.lif(self.fc1(xt), s1)
            v, s2 = self.li(self.fc2(z), s2)
        return v


class Counting(Plain):
    """Adds up spikes in the loop."""

    def forward(self, x: Any) -> Any:
        s1, s2, total = None, None, 0
        for xt in x:
            z, s1 = self.lif(self.fc1(xt), s1)
            v, s2 = self.li(self.fc2(z), s2)
            total = total + v
        return total


class Softmax(Plain):
    """The classifier of Norse's tutorials: the largest potential, and its logarithm."""

    def forward(self, x: Any) -> Any:
        m, _ = torch.max(super().forward(x), 0)
        return torch.nn.functional.log_softmax(m, dim=1)


class Feedback(nn.Module):
    """Spikes of the step before come back through weights."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.back, self.lif, self.out = (
            nn.Linear(9, 8),
            nn.Linear(8, 8, bias=False),
            snn.LIFCell(),
            nn.Linear(8, 3),
        )

    def forward(self, x: Any) -> Any:
        s, out = None, []
        z = torch.zeros(x.shape[1], 8, dtype=x.dtype)
        for xt in x:
            z, s = self.lif(self.fc(xt) + self.back(z), s)
            out.append(self.out(z))
        return torch.stack(out)


class FeedbackOfOutput(Feedback):
    """The potential of the readout comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.back, self.li = nn.Linear(3, 8, bias=False), snn.LICell()

    def forward(self, x: Any) -> Any:
        s, s2, out = None, None, []
        v = x.new_zeros(x.shape[1], 3)
        for xt in x:
            z, s = self.lif(self.fc(xt) + self.back(v), s)
            v, s2 = self.li(self.out(z), s2)
            out.append(v)
        return torch.stack(out)


class FeedbackOrNone(Feedback):
    """Nothing comes back in the first step."""

    def forward(self, x: Any) -> Any:
        s, z, out = None, None, []
        for xt in x:
            h = self.fc(xt) if z is None else self.fc(xt) + self.back(z)
            z, s = self.lif(h, s)
            out.append(self.out(z))
        return torch.stack(out)


class FeedbackJoined(nn.Module):
    """The spikes of the step before stand beside the input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(9 + 8, 8), snn.LIFCell()

    def forward(self, x: Any) -> Any:
        s, out = None, []
        z = torch.zeros(x.shape[1], 8, dtype=x.dtype)
        for xt in x:
            z, s = self.lif(self.fc(torch.cat([xt, z], dim=1)), s)
            out.append(z)
        return torch.stack(out)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = snn.LSNNRecurrentCell(9, 8), snn.LILinearCell(8, 3)

    def forward(self, x: Any) -> Any:
        s1, so, out = None, None, []
        for ts in range(len(x)):
            z, s1 = self.hidden(x[ts], s1)
            v, so = self.out(z, so)
            out.append(v)
        return torch.stack(out)


class TwoLoops(nn.Module):
    """One loop for each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.a, self.fc2, self.b = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 4), snn.LIFCell()

    def forward(self, x: Any) -> Any:
        s, first = None, []
        for xt in x:
            z, s = self.a(self.fc1(xt), s)
            first.append(z)
        s, second = None, []
        for zt in torch.stack(first):
            z, s = self.b(self.fc2(zt), s)
            second.append(z)
        return torch.stack(second)


class Conv(nn.Module):
    """A convolutional net with pooling and flattening by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif, self.fc, self.out = nn.Conv2d(1, 3, 3), snn.LIFCell(), nn.Linear(12, 3), snn.LICell()

    def forward(self, x: Any) -> Any:
        s1, so, out = None, None, []
        for xt in x:
            z, s1 = self.lif(self.conv(xt), s1)
            z = torch.nn.functional.max_pool2d(z, 2).view(z.shape[0], -1)
            v, so = self.out(torch.relu(self.fc(z)), so)
            out.append(v)
        return torch.stack(out)


class WithSequential(nn.Module):
    """A container called in a loop, its state carried."""

    def __init__(self) -> None:
        super().__init__()
        self.net = snn.SequentialState(nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 3), snn.LICell())

    def forward(self, x: Any) -> Any:
        state, out = None, []
        for xt in x:
            y, state = self.net(xt, state)
            out.append(y)
        return torch.stack(out)


class Delayed(nn.Module):
    """The second layer sees the spikes of the step before."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.a, self.fc2, self.b = nn.Linear(9, 8), snn.LIFCell(), nn.Linear(8, 4, bias=False), snn.LIFCell()

    def forward(self, x: Any) -> Any:
        s1 = s2 = None
        before, out = torch.zeros(x.shape[1], 8, dtype=x.dtype), []
        for xt in x:
            y, s2 = self.b(self.fc2(before), s2)
            before, s1 = self.a(self.fc1(xt), s1)
            out.append(y)
        return torch.stack(out)


class SubSteps(nn.Module):
    """Two steps of the neuron for each step of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(9, 8), snn.LIFCell()

    def forward(self, x: Any) -> Any:
        s, out = None, []
        for xt in x:
            h = self.fc(xt)
            for _ in range(2):
                z, s = self.lif(h, s)
            out.append(z)
        return torch.stack(out)


class WholeState(Plain):
    """Returns the last state, too."""

    def forward(self, x: Any) -> Any:
        s1, out = None, []
        for xt in x:
            z, s1 = self.lif(self.fc1(xt), s1)
            out.append(z)
        return torch.stack(out), s1


SMALL = (9,)
CASES = (
    *(
        Case(f"loop_{kind.__name__}", kind, SMALL, gain=1.5)
        for kind in (
            Plain, Each, Enumerated, Buffered, BatchFirst, Prefix, Suffix, States, Both, MaxOverTime, SumOverTime,
            MeanOverTime, LastStep, LastOfLoop, Counting, Softmax, Feedback, FeedbackOfOutput, FeedbackOrNone,
            FeedbackJoined, Recurrent, TwoLoops, WithSequential, Delayed, SubSteps, WholeState,
        )
    ),
    Case("loop_Conv", Conv, (1, 6, 6), gain=1.5),
)  # fmt: skip
