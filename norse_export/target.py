"""What a target is, and what a run of anything gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.files.limits import Limits
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]

__all__ = [
    "Compared",
    "Folders",
    "Limit",
    "Limited",
    "Readable",
    "ReadableTarget",
    "Recording",
    "Run",
    "Stage",
    "Target",
    "VendorReport",
    "Vendors",
]


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


class Readable(Protocol):
    """A part that a target may have: its artefacts can be run, inspected and compared without the model.

    The metadata of the graph say what a reader should know: "law" in words, and "skew", where what a layer or output
    sends is late, as a JSON object from its name to a number of steps.
    """

    def holds(self, path: Path) -> bool:
        """Whether a file or folder is an artefact of this target, by its content; never raises."""

    def read(self, path: Path, limits: Limits) -> Graph[Any]:
        """What an artefact holds: a graph of the target's stage.

        Raises:
            InputFileError, LimitError, GraphError: it is damaged.
        """

    def recorded(self, path: Path) -> Mapping[str, Array] | None:
        """The rasters [T, B, *shape] that are stored in an artefact; None where there are none."""


class Limited(Protocol):
    """A part that a target may have: it tells how much of its chip a network takes."""

    def limits(self, graph: Graph[FixedNode]) -> tuple[Limit, ...]:
        """Every resource that is limited: how much is used, how much there is, and who says so."""


class Folders(Protocol):
    """A part that a target may have: which files are its own in a folder, so that an old one may be replaced."""

    files: ClassVar[frozenset[str]]  # names of all files that an artefact may have


class ReadableTarget(Target, Readable, Protocol):
    """A target whose artefacts can be read back."""


class Recording(Protocol):
    """A part that a target may have: artefacts hold the rasters that proved them, with what is expected of the chip."""

    def record(self, artefact: Path, inputs: Mapping[str, Array], run: Run) -> None:
        """Add rasters [T, B, *shape] and what the emulation did on them to a new artefact; same run, same bytes."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How many things of a kind a vendor's software gave, and how many of them are not what we foretold."""

    total: int
    differing: int


@dataclass(frozen=True, slots=True)
class VendorReport:
    """What a vendor's own software made of an artefact.

    compared: by kind ("weights"). figures: what the vendor's software says of itself ("cores"). run: what its simulator
    gave, where it has one.
    """

    vendor: str
    version: str
    compared: Mapping[str, Compared] = field(default_factory=dict)
    figures: Mapping[str, float | str] = field(default_factory=dict)
    run: Run | None = None
    findings: tuple[Finding, ...] = ()


class Vendors(Protocol):
    """A part that a target may have: a vendor's own software can check its artefacts."""

    vendors: tuple[str, ...]

    def vendor_check(
        self, vendor: str, artefact: Path, inputs: Mapping[str, Array], *, python: Path | None
    ) -> VendorReport:
        """Run the vendor's software on an artefact, in a process, home and configuration of its own.

        python: the interpreter in which it is installed; None: this one.

        Raises:
            MissingDependencyError: it is not installed.
        """
