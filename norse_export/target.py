"""What a target is, and what a run of anything gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.graph import Graph

Array = NDArray[Any]


class Stage(StrEnum):
    """Which graph a target takes."""

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"
    FIXED = "fixed"


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
class Limit:
    """One resource of a target: how much is used, how much there is, and where that number comes from."""

    name: str
    used: float
    maximum: float | None
    source: str


class Target(Protocol):
    """A backend. Targets implement this; nobody inherits."""

    name: str
    stage: Stage
    suffix: str  # of the artefact's default name: "m.nir" for ".nir"
    folder: bool  # whether the artefact is a folder
    description: str  # one line: chip or format, law

    def check(self, graph: Graph[Any]) -> tuple[Finding, ...]:
        """Every limit that the graph breaks, and everything in it that the target cannot express; empty: it fits."""

    def emit(self, graph: Graph[Any], path: Path) -> None:
        """Write the artefact to `path`, a file or an empty folder; same graph, same bytes."""

    def run(self, artefact: Path, inputs: Mapping[str, Array]) -> Run:
        """Run what `emit` wrote on rasters [T, B, *shape], reading nothing else.

        Raises:
            TargetUnavailableError: nothing on this machine can run it.
        """

    def runners(self) -> tuple[str, ...]:
        """What on this machine can run the artefact; empty if nothing."""
