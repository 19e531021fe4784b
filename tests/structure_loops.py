"""Models that loop over time themselves. Not tests."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from structure_parts import BATCH, HIDDEN, OUT, WIDE, Structure, T, maps, raster, whole
from torch import nn


def over(m: Any, parts: Any) -> list[torch.Tensor]:
    """Layer, population, layer and integrator for every part: what the integrator gives."""
    s = o = None
    outputs = []
    for part in parts:
        z, s = m.cell(m.layer(part), s)
        v, o = m.leaky(m.readout(z), o)
        outputs.append(v)
    return outputs


def each(layer: Any, cell: Any, parts: Any) -> list[torch.Tensor]:
    """Layer and cell for every part: what the cell gives."""
    s, outputs = None, []
    for part in parts:
        z, s = cell(layer(part), s)
        outputs.append(z)
    return outputs


def hidden(m: Any, parts: Any) -> list[torch.Tensor]:
    """Layer and population for every part: the spikes."""
    return each(m.layer, m.cell, parts)


def read(m: Any, parts: Any) -> list[torch.Tensor]:
    """Layer and integrator for every part."""
    return each(m.readout, m.leaky, parts)


def _filled(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(x.shape[0], x.shape[1], OUT)
    for t, v in enumerate(over(m, x)):
        out[t, :, :] = v
    return out


def _filled_twice(m: Any, x: torch.Tensor) -> Any:
    out, spikes = torch.zeros(len(x), x.shape[1], OUT), torch.empty(len(x), x.shape[1], HIDDEN)
    s = o = None
    for t in range(x.size(0)):
        spikes[t], s = m.cell(m.layer(x[t]), s)
        out[t], o = m.leaky(m.readout(spikes[t]), o)
    return out, spikes


def _half_filled(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(x.shape[0], x.shape[1], OUT)
    for t, v in enumerate(over(m, x)):
        if t % 2:
            out[t] = v
    return out


def _filled_late(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(x) + 1, x.shape[1], OUT)
    for t, v in enumerate(over(m, x)):
        out[t + 1] = v
    return out[1:]


def _filled_one_late(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(x) + 1, x.shape[1], OUT)
    for t, v in enumerate(over(m, x)):
        out[t + 1] = v
    return out[:-1]


def _at_once_and_not(m: Any, x: torch.Tensor) -> torch.Tensor:
    """The layer takes the raster, the population its steps, the readout the raster again, the integrator its steps."""
    sent = each(_itself, m.cell, m.layer(x))
    return torch.stack(each(_itself, m.leaky, m.readout(torch.stack(sent))))


def _itself(x: torch.Tensor) -> torch.Tensor:
    return x


def _grown(m: Any, x: torch.Tensor) -> torch.Tensor:
    outputs = over(m, x)
    out = outputs[0].unsqueeze(0)
    for v in outputs[1:]:
        out = torch.cat((out, v.unsqueeze(0)), 0)
    return out


def _fed_back(m: Any, x: torch.Tensor) -> torch.Tensor:
    z, s, outputs = torch.zeros(x.shape[1], HIDDEN), None, []
    for part in x:
        z, s = m.cell(m.layer(part) + m.back(z), s)
        outputs.append(z)
    return torch.stack(outputs)


def _fed_back_if(m: Any, x: torch.Tensor) -> torch.Tensor:
    """No feedback before the first step, by a branch."""
    z: Any = None
    s, outputs = None, []
    for part in x:
        current = m.layer(part) if z is None else m.layer(part) + m.back(z)
        z, s = m.cell(current, s)
        outputs.append(z)
    return torch.stack(outputs)


def _counted(m: Any, x: torch.Tensor) -> torch.Tensor:
    count = torch.zeros(x.shape[1], HIDDEN)
    for z in hidden(m, x):
        count = count + z
    return count


def _counted_in_place(m: Any, x: torch.Tensor) -> torch.Tensor:
    s, count = None, torch.zeros(x.shape[1], HIDDEN)
    for part in x:
        z, s = m.cell(m.layer(part), s)
        count += z
    return count


def _counted_each_step(m: Any, x: torch.Tensor) -> torch.Tensor:
    s, count, counts = None, torch.zeros(x.shape[1], HIDDEN), []
    for part in x:
        z, s = m.cell(m.layer(part), s)
        count = count + z
        counts.append(count)
    return torch.stack(counts)


def _last(m: Any, x: torch.Tensor) -> torch.Tensor:
    return over(m, x)[-1]


def _unrolled(m: Any, x: torch.Tensor) -> Any:
    """States of all layers in one list, made before the loop."""
    states: list[Any] = [None, None, None]
    outputs, seen = [], []
    for t in range(x.shape[0]):
        z, states[0] = m.cell(m.layer(x[t]), states[0])
        y, states[1] = m.second(m.back(z), states[1])
        v, states[2] = m.leaky(m.readout(y), states[2])
        outputs.append(v)
        seen.append(y)
    return torch.stack(outputs), torch.stack(seen)


def _convolutional(m: Any, x: torch.Tensor) -> torch.Tensor:
    s0 = s1 = so = None
    outputs = []
    for ts in range(x.shape[0]):
        z, s0 = m.lif0(m.conv1(x[ts, :]), s0)
        z = F.max_pool2d(z, 2, 2)
        z = 2 * m.conv2(z)
        z, s1 = m.lif1(z, s1)
        z = F.relu(z.view(-1, 12))
        v, so = m.out(m.fc(z), so)
        outputs += [v]
    return torch.stack(outputs)


CONVOLUTIONAL: dict[str, Any] = {
    "conv1": lambda: nn.Conv2d(2, 4, 3),
    "conv2": lambda: nn.Conv2d(4, 12, 2),
    "fc": lambda: nn.Linear(12, OUT),
    "lif0": snn.LIFCell,
    "lif1": snn.LIFCell,
    "out": snn.LICell,
}


def _sequential_inside(m: Any, x: torch.Tensor) -> torch.Tensor:
    state, outputs = None, []
    for part in x:
        y, state = m.net(part, state)
        outputs.append(y)
    return torch.stack(outputs)


class Looped(nn.Module):
    """A layer of a user's own that loops over time, as a part of a model."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(wide, out), snn.LIFCell()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(each(self.fc, self.lif, (x[t] for t in range(x.shape[0]))))


def _forgetting_once(m: Any, x: torch.Tensor) -> torch.Tensor:
    s, outputs = None, []
    for t in range(len(x)):
        z, s = m.cell(m.layer(x[t]), None if t == 7 else s)
        outputs.append(z)
    return torch.stack(outputs)


def _forgetting(m: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([m.cell(m.layer(part))[0] for part in x])


def _constant(m: Any, x: torch.Tensor) -> torch.Tensor:
    """One image, shown at every step of the model's own."""
    s, outputs = None, []
    for _ in range(T):
        z, s = m.cell(m.layer(x), s)
        outputs.append(z)
    return torch.stack(outputs)


def _delayed(m: Any, x: torch.Tensor) -> torch.Tensor:
    """What the population sent a step ago goes on."""
    s, before, outputs = None, torch.zeros(x.shape[1], HIDDEN), []
    for part in x:
        outputs.append(m.readout(before))
        before, s = m.cell(m.layer(part), s)
    return torch.stack(outputs)


def _data(m: Any, x: torch.Tensor) -> torch.Tensor:
    s, outputs = None, []
    for part in x:
        z, s = m.cell(m.layer(part), s)
        if z.sum() > 1:
            z = z * 0.5
        outputs.append(z)
    return torch.stack(outputs)


LOOPS: dict[str, Structure] = {
    "x[t]": Structure(whole(lambda m, x: torch.stack(over(m, (x[t] for t in range(x.shape[0])))))),
    "for x_t in x": Structure(whole(lambda m, x: torch.stack(over(m, x)))),
    "enumerate": Structure(whole(lambda m, x: torch.stack(over(m, (p for _, p in enumerate(x)))))),
    "zip of range and raster": Structure(
        whole(lambda m, x: torch.stack(over(m, (p for _, p in zip(range(T), x, strict=True)))))
    ),
    "x.unbind(0)": Structure(whole(lambda m, x: torch.stack(over(m, x.unbind(0)), dim=0))),
    "split into steps": Structure(whole(lambda m, x: torch.stack(over(m, (p.squeeze(0) for p in x.split(1)))))),
    "chunk into steps": Structure(whole(lambda m, x: torch.stack(over(m, (p[0] for p in x.chunk(T)))))),
    "x[t:t+1].squeeze(0)": Structure(
        whole(lambda m, x: torch.stack(over(m, (x[t : t + 1].squeeze(0) for t in range(T)))))
    ),
    "cat of unsqueezed steps": Structure(whole(lambda m, x: torch.cat([v.unsqueeze(0) for v in over(m, x)]))),
    "cat of v[None]": Structure(whole(lambda m, x: torch.cat([v[None] for v in over(m, x)], dim=0))),
    "vstack of v[None]": Structure(whole(lambda m, x: torch.vstack([v[None] for v in over(m, x)]))),
    "a raster grown by cat": Structure(whole(_grown)),
    "preallocated": Structure(whole(_filled)),
    "two preallocated, read back": Structure(whole(_filled_twice)),
    "preallocated for half of the steps": Structure(whole(_half_filled), refused=("time_loop", "12 of 24 steps")),
    "preallocated with a row of zeros before, cut off": Structure(whole(_filled_late)),
    "preallocated a step late": Structure(whole(_filled_one_late), refused=("time_loop", "steps 0 to 22 of 24")),
    "a second loop over a list": Structure(whole(lambda m, x: torch.stack(read(m, hidden(m, x))))),
    "three loops over lists": Structure(whole(lambda m, x: torch.stack(read(m, each(m.back, m.second, hidden(m, x)))))),
    "a second loop over a stack": Structure(whole(lambda m, x: torch.stack(read(m, torch.stack(hidden(m, x)))))),
    "layers of all steps between loops": Structure(whole(_at_once_and_not)),
    "two populations beside each other, a loop each": Structure(
        whole(lambda m, x: torch.stack([a + b for a, b in zip(hidden(m, x), each(m.layer, m.second, x), strict=True)]))
    ),
    "modules that loop, in a Sequential": Structure(
        whole(lambda m, x: m.net(x), net=lambda: nn.Sequential(Looped(WIDE, HIDDEN), Looped(HIDDEN, OUT)))
    ),
    "a module that loops before sequences": Structure(
        whole(
            lambda m, x: m.net(m.own(x))[0],
            own=lambda: Looped(WIDE, HIDDEN),
            net=lambda: snn.SequentialState(nn.Linear(HIDDEN, HIDDEN), snn.LIF()),
        ),
        time="inside",
    ),
    "a module that loops behind sequences": Structure(
        whole(
            lambda m, x: m.own(m.net(x)[0]),
            own=lambda: Looped(HIDDEN, HIDDEN),
            net=lambda: snn.SequentialState(nn.Linear(WIDE, HIDDEN), snn.LIF()),
        ),
        time="inside",
    ),
    "a loop around a SequentialState": Structure(
        whole(
            _sequential_inside,
            net=lambda: snn.SequentialState(
                nn.Linear(WIDE, HIDDEN), snn.LIFCell(), nn.Linear(HIDDEN, OUT), snn.LICell()
            ),
        )
    ),
    "a loop around a RecurrentSequential": Structure(
        whole(_sequential_inside, net=lambda: snn.RecurrentSequential(nn.Linear(WIDE, WIDE), snn.LIFCell()))
    ),
    "states in a list, two outputs": Structure(whole(_unrolled)),
    "feedback from zeros": Structure(whole(_fed_back)),
    "feedback by a branch": Structure(whole(_fed_back_if), refused=("control_flow", "it has a bias")),
    "a step late": Structure(whole(_delayed)),
    "spikes counted at every step": Structure(whole(_counted_each_step)),
    "convolutional": Structure(whole(_convolutional, **CONVOLUTIONAL), maps),
    "batch first, transposed inside": Structure(
        whole(lambda m, x: torch.stack(over(m, (x.transpose(0, 1)[:, t] for t in range(len(x))))))
    ),
    "batch first in between": Structure(
        whole(lambda m, x: torch.stack(over(m, x.transpose(0, 1).unbind(1)), 1).transpose(0, 1))
    ),
    "batch first at the end": Structure(whole(lambda m, x: torch.stack(over(m, x), dim=1))),
    "batch first": Structure(
        whole(lambda m, x: torch.stack(over(m, (x[:, t] for t in range(x.shape[1]))), 1)),
        refused=("time_loop", "second axis"),
    ),
    "the state left out once": Structure(whole(_forgetting_once), refused=("state", "not carried")),
    "the state never carried": Structure(whole(_forgetting), refused=("state", "not carried")),
    "backwards": Structure(
        whole(lambda m, x: torch.stack(over(m, reversed(list(x))))),
        refused=("time_loop", "step 23, with step 0 before it"),
    ),
    "results backwards": Structure(whole(lambda m, x: torch.stack(over(m, x)[::-1])), refused=("time_loop", "23 to 0")),
    "every other step": Structure(
        whole(lambda m, x: torch.stack(over(m, x[::2]))), refused=("time_loop", "step 2, with step 0 before it")
    ),
    "not the last step": Structure(
        whole(lambda m, x: torch.stack(over(m, (x[t] for t in range(len(x) - 1))))),
        refused=("time_loop", "steps 0 to 22 of 24"),
    ),
    "an image at every step": Structure(whole(_constant), lambda: raster(BATCH, WIDE, rate=0.6)),
    "a branch on the data": Structure(whole(_data), refused=("control_flow", "data-dependent")),
    "the last step as output": Structure(whole(_last)),
    "the last step of the stack": Structure(whole(lambda m, x: torch.stack(over(m, x))[-1])),
    "the largest of all steps": Structure(whole(lambda m, x: torch.max(torch.stack(over(m, x)), 0)[0])),
    "the largest, then softmax": Structure(
        whole(lambda m, x: F.log_softmax(torch.max(torch.stack(over(m, x)), 0)[0], dim=1))
    ),
    "the mean of all steps": Structure(whole(lambda m, x: torch.stack(over(m, x)).mean(0))),
    "the mean of the last steps": Structure(whole(lambda m, x: torch.stack(over(m, x)[-5:]).mean(0))),
    "the sum of all steps": Structure(whole(lambda m, x: torch.stack(hidden(m, x)).sum(dim=0))),
    "the sum of a list": Structure(whole(lambda m, x: sum(hidden(m, x)))),
    "the sum of spikes and their rates": Structure(whole(lambda m, x: torch.stack(hidden(m, x)).sum(0) / x.shape[0])),
    "spikes counted": Structure(whole(_counted)),
    "spikes counted in place": Structure(whole(_counted_in_place)),
    "a layer behind the mean": Structure(
        whole(lambda m, x: m.readout(torch.stack(hidden(m, x)).mean(0))), refused=("readout", "made of all steps")
    ),
    "the mean and the raster": Structure(whole(lambda m, x: ((h := torch.stack(hidden(m, x))).mean(0), h))),
}
