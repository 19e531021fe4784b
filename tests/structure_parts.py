"""What the models of the structures are made of: modules of a user's own, weights that make them fire. Not tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import norse.torch as snn
import torch
from torch import nn

T, BATCH, WIDE, HIDDEN, OUT = 24, 3, 8, 6, 3
Build = Callable[[], nn.Module]


def raster(*shape: int, rate: float = 0.4, seed: int = 0) -> torch.Tensor:
    """Zeros and ones."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def spikes() -> torch.Tensor:
    """The raster of a small dense model."""
    return raster(T, BATCH, WIDE)


def maps() -> torch.Tensor:
    """The raster of a small convolutional model: two channels of 6 by 6."""
    return raster(T, BATCH, 2, 6, 6)


@dataclass(frozen=True, slots=True)
class Structure:
    """A model as a user writes it, and what tracing makes of it.

    build: the model, in evaluation mode. example: what it is traced with. refused: (kind, words of the message) of the
    finding that refuses it; empty where it is exported.
    """

    build: Build
    example: Callable[[], Any] = spikes
    refused: tuple[str, ...] = ()
    time: Any = "auto"


def drawn(model: nn.Module, gain: float = 5.0, seed: int = 0) -> nn.Module:
    """The model in evaluation mode with weights on a grid of 1/64, more of them positive: sums of them are exact."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            bound = gain / max(1, parameter[0].numel()) ** 0.5
            numbers = (torch.rand(parameter.shape, generator=generator) * 2 - 0.8) * bound
            parameter.copy_(torch.round(numbers * 64) / 64)
    return model.eval()


class Whole(nn.Module):
    """Takes the whole raster. `run` is its forward: it is given the module, whose parts are named, and the raster."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


class Step(Whole):
    """Takes one step and a state."""

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:  # type: ignore[override]  # a state beside it
        return self.run(self, x, state)


class Pair(Whole):
    """Takes two whole rasters."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:  # type: ignore[override]  # a second raster
        return self.run(self, x, y)


def parts() -> dict[str, nn.Module]:
    """Two layers, a population and an integrator."""
    return {
        "layer": nn.Linear(WIDE, HIDDEN),
        "back": nn.Linear(HIDDEN, HIDDEN),
        "readout": nn.Linear(HIDDEN, OUT),
        "cell": snn.LIFCell(),
        "second": snn.LIFCell(),
        "leaky": snn.LICell(),
    }


def whole(run: Callable[..., Any], gain: float = 5.0, **more: Callable[[], nn.Module]) -> Build:
    """A model that takes the whole raster."""
    return lambda: drawn(Whole(run, **parts(), **{name: make() for name, make in more.items()}), gain)


def step(run: Callable[..., Any], gain: float = 5.0, **more: Callable[[], nn.Module]) -> Build:
    """A model that takes one step and a state."""
    return lambda: drawn(Step(run, **parts(), **{name: make() for name, make in more.items()}), gain)


def linear(a: int, b: int) -> Any:
    """Makes a Linear layer."""
    return lambda: nn.Linear(a, b)


def both() -> tuple[torch.Tensor, torch.Tensor]:
    """Two rasters."""
    return spikes(), raster(T, BATCH, WIDE, seed=1)
