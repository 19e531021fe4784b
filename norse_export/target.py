"""What a target is, and what a run of anything gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run

Array = NDArray[Any]

__all__ = ["Limit", "Run", "Stage", "Target"]


class Stage(StrEnum):
    """Which graph a target takes."""

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"
    FIXED = "fixed"


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
