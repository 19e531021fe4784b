"""All models of the battery, by name. Not tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from battery import containers, families, functions, loops, starts, tasks, wiring
from norse_structures import STRUCTURES, Structure
from torch import nn


class Model(Protocol):
    """A model, and rasters for it; the same ones in every call."""

    @property
    def name(self) -> str:
        """What tests call it."""

    @property
    def time(self) -> Any:
        """What `trace` is told of the meaning of time."""

    def model(self, dtype: torch.dtype = torch.float32, *, grid: bool = False) -> nn.Module:
        """The module in evaluation mode. grid: sums of its weights are exact in any order."""

    def rasters(self, dtype: torch.dtype = torch.float32) -> Any:
        """What the model is called with."""


@dataclass(frozen=True, slots=True)
class Built:
    """A structure, whose weights are on a grid as it is built."""

    name: str
    structure: Structure

    @property
    def time(self) -> Any:
        """What `trace` is told of the meaning of time."""
        return self.structure.time

    def model(self, dtype: torch.dtype = torch.float32, *, grid: bool = False) -> nn.Module:
        """The module; in float32 of the float type that it is built in."""
        with torch.random.fork_rng():
            torch.manual_seed(5)
            made = self.structure.build()
        return made if dtype is torch.float32 else made.to(dtype)

    def rasters(self, dtype: torch.dtype = torch.float32) -> Any:
        """A raster, or a tuple of them."""
        example = self.structure.example()
        if dtype is torch.float32:
            return example
        return tuple(one.to(dtype) for one in example) if isinstance(example, tuple) else example.to(dtype)


OWN: tuple[Model, ...] = (
    *families.CASES,
    *containers.CASES,
    *loops.CASES,
    *starts.CASES,
    *wiring.CASES,
    *functions.CASES,
    *tasks.CASES,
)
MODELS: dict[str, Model] = {case.name: case for case in OWN} | {
    name: Built(name, structure) for name, structure in STRUCTURES.items()
}
