"""A model of the battery: how it is made, and what it is called with. Not tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Shape = tuple[int, ...]
GRID_BITS = 6


@dataclass(frozen=True, slots=True)
class Case:
    """A model as a user writes it, and rasters for it.

    make: gives the module. shape: of one step of a raster, without time and batch; a list of them for several inputs.
    gain: how large the weights are drawn; None: they stay as the module makes them. rate, scale: of the spikes in the
    rasters. still: the model takes no time axis, as an encoder does.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: Shape | list[Shape]
    gain: float | None = 1.0
    time: Any = "auto"
    steps: int = 24
    samples: int = 2
    rate: float = 0.4
    scale: float = 1.0
    still: bool = False

    def model(self, dtype: torch.dtype = torch.float32, *, grid: bool = False) -> nn.Module:
        """The module in evaluation mode; the same weights in every call. grid: on a grid of powers of two."""
        state = torch.random.get_rng_state()
        try:
            torch.manual_seed(5)
            made = self.make()
        finally:
            torch.random.set_rng_state(state)
        made = made.to(dtype).eval()
        if self.gain is not None:
            drawn(made, self.gain)
        if grid:
            on_grid(made)
        return made

    def rasters(self, dtype: torch.dtype = torch.float32) -> Any:
        """What the model is called with: [T, B, *shape], or a tuple of them."""
        shapes = self.shape if isinstance(self.shape, list) else [self.shape]
        found = tuple(self._raster(shape, seed).to(dtype) for seed, shape in enumerate(shapes))
        return found if isinstance(self.shape, list) else found[0]

    def _raster(self, shape: Shape, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        size = (self.samples, *shape) if self.still else (self.steps, self.samples, *shape)
        return (torch.rand(size, generator=generator) < self.rate).float() * self.scale


def drawn(model: nn.Module, gain: float, seed: int = 0) -> None:
    """Draw weights anew, more of them positive than negative; recurrent ones are smaller, and without autapses."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1 and name.endswith("weight"):
                continue  # of a normalisation
            size = gain / math.sqrt(max(1, weight[0].numel())) if weight.ndim else gain
            values = (torch.rand(weight.shape, generator=generator) * 2 - 0.7) * size
            if name.rpartition(".")[2] == "recurrent_weights":
                values = values / 2 * (1 - torch.eye(len(weight)))
            weight.copy_(values)


def on_grid(model: nn.Module) -> None:
    """Round every weight to a multiple of a power of two: sums of spikes are then exact in any order."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.round(weight * 2**GRID_BITS) / 2**GRID_BITS)
