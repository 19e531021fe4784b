"""Functions and operators that a model applies to signals, each in a small model. Not tests."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from norse.torch.functional.lift import lift as lift_function
from structure_parts import HIDDEN, WIDE, Build, Pair, Structure, both, drawn, linear, maps, parts, step, whole
from torch import nn


def between(use: Any, gain: float = 5.0, **more: Any) -> Build:
    """One step: a population behind `use` of the module, the first layer's current and the input."""

    def run(m: Any, x: torch.Tensor, state: Any) -> Any:
        z, state = m.cell(use(m, m.layer(x)), state)
        return m.readout(z), state

    return step(run, gain, **more)


def behind(use: Any, **more: Any) -> Build:
    """One step: `use` of the module and the population's spikes."""

    def run(m: Any, x: torch.Tensor, state: Any) -> Any:
        z, state = m.cell(m.layer(x), state)
        return use(m, z), state

    return step(run, **more)


def on_maps(use: Any, **more: Any) -> Build:
    """One step on maps: `use` of what the convolution gives, [B, 3, 4, 4], then a population."""

    def run(m: Any, x: torch.Tensor, state: Any) -> Any:
        return m.cell(use(m, m.conv(x)), state)

    return step(run, 6.0, conv=lambda: nn.Conv2d(2, 3, 3), **more)


def masked(m: Any, h: torch.Tensor) -> torch.Tensor:
    """A mask of the model's own."""
    return h * torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])


def _in_place(m: Any, h: torch.Tensor) -> torch.Tensor:
    h *= 0.5
    h += 0.25
    return h


def _lifted_function(m: Any, x: torch.Tensor) -> torch.Tensor:
    lifted, p = lift_function(lif_feed_forward_step), LIFParameters()
    zeros = torch.zeros(x.shape[1], HIDDEN)
    z, _ = lifted(m.layer(x), state=LIFFeedForwardState(v=zeros, i=zeros.clone()), p=p)
    return z


def _two(m: Any, x: torch.Tensor, y: torch.Tensor) -> Any:
    s, outputs, spikes = None, [], []
    for a, b in zip(x, y, strict=True):
        z, s = m.cell(m.layer(a) + m.other(b), s)
        outputs.append(m.readout(z))
        spikes.append(z)
    return {"out": torch.stack(outputs), "spikes": torch.stack(spikes)}


FUNCTIONS: dict[str, Structure] = {
    "two rasters in one loop, a dict": Structure(
        lambda: drawn(Pair(_two, other=nn.Linear(WIDE, HIDDEN), **parts())), both
    ),
    "h + h": Structure(between(lambda m, h: h + h, 3.0)),
    "h - h": Structure(between(lambda m, h: (h - h) + h)),
    "h * h": Structure(between(lambda m, h: h * h)),
    "cat([h, h])": Structure(between(lambda m, h: m.joined(torch.cat([h, h], 1)), joined=linear(12, 6))),
    "cat([z, z])": Structure(behind(lambda m, z: m.joined(torch.cat((z, z), -1)), joined=linear(12, 3))),
    "stack([h, h]).sum(0)": Structure(between(lambda m, h: torch.stack((h, h)).sum(0), 3.0)),
    "hstack": Structure(behind(lambda m, z: m.joined(torch.hstack((z, z * 0.5))), joined=linear(12, 3))),
    "h + 1.0": Structure(between(lambda m, h: h + 1.0)),
    "h + 0": Structure(between(lambda m, h: h + 0)),
    "0.5 * h": Structure(between(lambda m, h: 0.5 * h)),
    "1 - z": Structure(behind(lambda m, z: m.readout(1 - z))),
    "-z": Structure(behind(lambda m, z: m.readout(-z))),
    "a mask": Structure(between(masked, 6.0)),
    "a learned gain": Structure(between(lambda m, h: h * m.scale.weight[0], 6.0, scale=linear(6, 1))),
    "a learned bias": Structure(between(lambda m, h: h + m.scale.weight[0], 6.0, scale=linear(6, 1))),
    "torch.where with a mask": Structure(
        between(lambda m, h: torch.where(torch.arange(6) < 4, h, torch.zeros(6)), 6.0)
    ),
    "masked_fill": Structure(between(lambda m, h: h.masked_fill(torch.arange(6) > 4, 0.0), 6.0)),
    "torch.where on values": Structure(
        between(lambda m, h: torch.where(h > 0, h, torch.zeros_like(h))), refused=("operation", "gt")
    ),
    "clamp below": Structure(between(lambda m, h: h.clamp(min=0))),
    "clamp": Structure(between(lambda m, h: torch.clamp(h, -1, 2))),
    "clip": Structure(between(lambda m, h: h.clip(0.0, 1.5), 6.0)),
    "relu6": Structure(between(lambda m, h: F.relu6(h))),
    "nn.ReLU6": Structure(between(lambda m, h: m.act(h), act=nn.ReLU6)),
    "leaky_relu": Structure(between(lambda m, h: F.leaky_relu(h, 0.25))),
    "nn.LeakyReLU": Structure(between(lambda m, h: m.act(h), act=lambda: nn.LeakyReLU(0.25))),
    "nn.Hardtanh": Structure(between(lambda m, h: m.act(h), act=nn.Hardtanh)),
    "abs": Structure(between(lambda m, h: h.abs())),
    "square": Structure(between(lambda m, h: h**2)),
    "torch.maximum": Structure(between(lambda m, h: torch.maximum(h, m.back(h)))),
    "sigmoid": Structure(between(lambda m, h: torch.sigmoid(h)), refused=("operation", "sigmoid")),
    "nn.Sigmoid": Structure(between(lambda m, h: m.act(h), act=nn.Sigmoid), refused=("module", "Sigmoid")),
    "relu_": Structure(between(lambda m, h: h.relu_())),
    "F.relu in place": Structure(between(lambda m, h: F.relu(h, inplace=True))),
    "nn.ReLU in place": Structure(between(lambda m, h: m.act(h), act=lambda: nn.ReLU(inplace=True))),
    "in place by numbers": Structure(between(_in_place, 6.0)),
    "mul_ and add_": Structure(between(lambda m, h: h.mul_(0.5).add_(0.25), 6.0)),
    "in place on what was used before": Structure(behind(lambda m, z: m.readout(z) + 0.5 * z.mul_(0.5)[:, :3])),
    "in place on a part": Structure(between(lambda m, h: (h[:, :3].mul_(0.5), h)[1]), refused=("in_place", "mul_")),
    "a part set": Structure(
        between(lambda m, h: (h.__setitem__((slice(None), 0), 0.0), h)[1]), refused=("operation", "__setitem__")
    ),
    "x @ W": Structure(between(lambda m, h: h @ m.back.weight.t())),
    "matmul": Structure(between(lambda m, h: torch.matmul(h, m.back.weight))),
    "W of the model's own": Structure(between(lambda m, h: F.linear(h, m.back.weight * 0.5))),
    "addmm": Structure(between(lambda m, h: torch.addmm(m.back.bias, h, m.back.weight.t()))),
    "logical_or": Structure(behind(lambda m, z: m.readout(snn.logical_or(z, z))), refused=("operation", "logical")),
    "permuted features": Structure(on_maps(lambda m, h: h.permute(0, 2, 3, 1)), maps),
    "transposed maps": Structure(on_maps(lambda m, h: h.transpose(2, 3)), maps),
    "channels last, and back": Structure(on_maps(lambda m, h: torch.movedim(h, 1, -1).swapaxes(1, -1)), maps),
    "maps and batch exchanged": Structure(
        on_maps(lambda m, h: h.transpose(0, 1)), maps, ("operation", "here those of time or batch are")
    ),
    "view as channels": Structure(on_maps(lambda m, h: h.flatten(1).view(-1, 6, 2, 4)), maps),
    "unflatten": Structure(on_maps(lambda m, h: h.flatten(1).unflatten(1, (3, 16))), maps),
    "nn.Unflatten": Structure(on_maps(lambda m, h: m.un(h.flatten(1)), un=lambda: nn.Unflatten(1, (3, 16))), maps),
    "squeeze": Structure(on_maps(lambda m, h: F.max_pool2d(h, 4).squeeze(-1).squeeze(-1)), maps),
    "squeeze of all": Structure(on_maps(lambda m, h: F.max_pool2d(h, 4).squeeze()), maps),
    "unsqueeze": Structure(on_maps(lambda m, h: h.flatten(1).unsqueeze(1)), maps),
    "x.view(x.size(0), -1)": Structure(on_maps(lambda m, h: h.view(h.size(0), -1)), maps),
    "reshape to the batch": Structure(on_maps(lambda m, h: h.reshape(-1, 48)), maps),
    "a channel": Structure(on_maps(lambda m, h: h[:, 1]), maps),
    "some neurons": Structure(on_maps(lambda m, h: h.flatten(1)[:, [20, 3, 7, 41]]), maps),
    "index_select": Structure(on_maps(lambda m, h: h.index_select(1, torch.tensor([2, 0]))), maps),
    "flip": Structure(on_maps(lambda m, h: h.flip(1)), maps),
    "sum over features": Structure(on_maps(lambda m, h: h.flatten(2).sum(-1)), maps),
    "mean over maps": Structure(on_maps(lambda m, h: h.mean((2, 3))), maps),
    "max over maps": Structure(on_maps(lambda m, h: h.amax((2, 3))), maps),
    "zero padding": Structure(on_maps(lambda m, h: F.pad(h, (1, 1, 2, 0))), maps),
    "nn.ZeroPad2d": Structure(on_maps(lambda m, h: m.pad(h), pad=lambda: nn.ZeroPad2d(1)), maps),
    "adaptive_avg_pool2d": Structure(on_maps(lambda m, h: F.adaptive_avg_pool2d(h, 2)), maps),
    "adaptive_avg_pool2d to 1": Structure(on_maps(lambda m, h: F.adaptive_avg_pool2d(h, (1, 1)).flatten(1)), maps),
    "adaptive_max_pool2d": Structure(on_maps(lambda m, h: F.adaptive_max_pool2d(h, 2)), maps),
    "nn.AdaptiveAvgPool2d": Structure(on_maps(lambda m, h: m.p(h), p=lambda: nn.AdaptiveAvgPool2d((2, 1))), maps),
    "avg_pool2d": Structure(on_maps(lambda m, h: F.avg_pool2d(h, 2)), maps),
    "upsampled": Structure(
        on_maps(lambda m, h: m.up(h), up=lambda: nn.Upsample(scale_factor=2)), maps, ("module", "Upsample")
    ),
    "transposed convolution": Structure(
        on_maps(lambda m, h: m.up(h), up=lambda: nn.ConvTranspose2d(3, 2, 2)), maps, ("module", "ConvTranspose2d")
    ),
    "random noise": Structure(
        between(lambda m, h: h + torch.randn(6) * 0.1), refused=("control_flow", "does not always do the same")
    ),
    "norse's lift function": Structure(whole(_lifted_function)),
}
