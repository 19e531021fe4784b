"""Runs a Norse model of cells over a raster, step by step, and counts the spikes of each layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from norse.torch import LIFCell
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Activity:
    """How often the neurons of one layer fired: `spikes` of at most `slots` = steps * samples * neurons."""

    spikes: int
    slots: int

    @property
    def rate(self) -> float:
        """Spikes for each neuron and step, between 0 and 1."""
        return self.spikes / self.slots

    def __str__(self) -> str:
        return f"{self.spikes} spikes, {self.rate:.1%} of {self.slots}"


def unroll(model: nn.Module, raster: Tensor) -> Tensor:
    """The model's outputs [T, B, ...] on a raster [T, B, ...]; every neuron starts in its initial state."""
    outputs, state = [], None
    for step in raster:
        output, state = model(step, state)
        outputs.append(output)
    return torch.stack(outputs)


@torch.no_grad()
def activity(model: nn.Module, raster: Tensor) -> tuple[Tensor, dict[str, Activity]]:
    """The outputs [T, B, ...] on a raster [T, B, ...], and the activity of each LIF layer by its name."""
    spikes: dict[str, int] = {}
    slots: dict[str, int] = {}

    def count(name: str, fired: Tensor) -> None:
        spikes[name] = spikes.get(name, 0) + int(fired.count_nonzero())
        slots[name] = slots.get(name, 0) + fired.numel()

    hooks = [
        cell.register_forward_hook(lambda _cell, _inputs, result, name=name: count(name, result[0]))
        for name, cell in model.named_modules()
        if isinstance(cell, LIFCell)
    ]
    try:
        outputs = unroll(model, raster)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, {name: Activity(spikes[name], slots[name]) for name in spikes}
