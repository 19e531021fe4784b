"""What a run of anything gives, and the error bounds that the interpreter gives beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave.

    spikes: for each population that spikes, its raster [T, B, *shape]: bool, or int32 where a step can hold several.
    outputs: for each output of the graph, what it sent, [T, B, *shape].
    observables: for each node, named recordings [T, B, *shape] ("v", "i").
    final_state: for each population, its state variables after the last step, [B, *shape].
    ran_by: what ran, for people: framework and versions, interpreter, emulation, vendor simulator, chip.
    """

    spikes: Mapping[str, Array]
    outputs: Mapping[str, Array]
    ran_by: str
    observables: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    final_state: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("spikes", "outputs", "observables", "final_state"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True, slots=True)
class Bounded:
    """Float64 values and the bound of their error, of one shape."""

    value: Array
    error: Array


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of each spiking population the margin v - v_th before the reset; of outputs and final states the values.

    observables: of each population, if asked for, its state variables after every step.
    exact: populations whose inputs have no rounding error at all (power-of-two grids). Two runs of one step rule give
    them the same bits, so that nothing explains a difference.
    """

    margins: Mapping[str, Bounded]
    outputs: Mapping[str, Bounded]
    final_state: Mapping[str, Mapping[str, Bounded]]
    exact: frozenset[str] = frozenset()
    observables: Mapping[str, Mapping[str, Bounded]] = field(default_factory=dict)
