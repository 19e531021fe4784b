"""Every class of Norse's neurons in a small net: with numbers, with one number for each neuron, and as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import norse.torch as snn
import torch
from battery.case import Case
from norse.torch.functional import izhikevich
from norse.torch.functional.reset import reset_subtract
from norse_battery import CLASSES, class_of, has_weights, is_sequence, model, raster
from torch import nn

WIDE = 8
# How large the weights have to be, for the neuron to fire with the parameters that Norse gives it.
GAINS = {"LIFBox": 6.0, "IAF": 0.5, "LSNN": 3.0, "Izhikevich": 40.0, "LIFAdEx": 2.0, "LIFMC": 1.5}


@dataclass(frozen=True, slots=True)
class Between:
    """Weights, a population of a class, and weights behind it; parameters that are no short fractions."""

    kind: str
    each: bool  # a number for each neuron

    @property
    def name(self) -> str:
        """What tests call it."""
        return f"{self.kind} {'of each neuron' if self.each else 'of all'}"

    @property
    def time(self) -> str:
        """Whether the model takes a step a call."""
        return "inside" if is_sequence(self.kind) else "outside"

    def model(self, dtype: torch.dtype = torch.float32, *, grid: bool = False) -> nn.Module:
        """The module in evaluation mode."""
        return model(self.kind, each=self.each, dtype=dtype, grid=grid)

    def rasters(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Zeros and ones [T, B, 9]."""
        return raster(dtype=dtype)


def as_it_comes(name: str) -> nn.Module:
    """The class with its default arguments."""
    cls = class_of(name)
    arguments: tuple[Any, ...] = (WIDE, WIDE) if has_weights(name) else ()
    if CLASSES[name] == "Izhikevich":
        arguments = (*arguments, izhikevich.tonic_spiking)
    return snn.SequentialState(nn.Linear(9, WIDE), cls(*arguments), nn.Linear(WIDE, 4))


def by_subtraction() -> nn.Module:
    """A spike takes the threshold off the membrane, and no more."""
    p = snn.LIFBoxParameters(tau_mem_inv=torch.tensor(371.0), v_th=torch.tensor(0.37), reset_method=reset_subtract)
    return snn.SequentialState(nn.Linear(9, WIDE), snn.LIFBoxCell(p), nn.Linear(WIDE, 4))


class Correlated(nn.Module):
    """Norse's cell with correlation sensors takes its weights as arguments, and computes how they should change."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = snn.LIFCorrelation(WIDE, 4)
        self.input_weights, self.recurrent_weights = (nn.Parameter(torch.zeros(4, n)) for n in (WIDE, 4))

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.cell(x, self.input_weights, self.recurrent_weights, state)


CASES = (
    *(
        Between(name, each)
        for name in CLASSES
        for each in (False, True)
    ),
    *(
        Case(f"{name} as it comes", partial(as_it_comes, name), (9,), GAINS.get(CLASSES[name], 2.0))
        for name in CLASSES
    ),
    Case("LIFBoxCell by subtraction", by_subtraction, (9,), 4.0),
    Case("LIFCorrelation as it comes", Correlated, (WIDE,)),
)  # fmt: skip
