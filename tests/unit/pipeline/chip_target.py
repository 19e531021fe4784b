"""A target of whole numbers for tests: a folder that it can read, record and have checked by two vendors. Not tests.

What it does wrong is told by the class itself, so that a test can set it for a while.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from norse_export import registry
from norse_export.errors import Finding, MissingDependencyError
from norse_export.files.limits import Limits
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.target import Compared, Limit, Stage, VendorReport

WEIGHTS = 10


@dataclass(frozen=True, slots=True)
class ChipTarget:
    """`sim` in a folder. states: as of sim."""

    name: str = "chip"
    stage: Stage = Stage.FIXED
    suffix: str = ".chip"
    folder: bool = True
    description: str = "a chip for tests"
    states: bool = False
    vendors: tuple[str, ...] = ("maps", "runs", "missing")
    files: ClassVar[frozenset[str]] = frozenset({"net", "raster.npz", "expected.json"})

    late: ClassVar[int] = 0  # steps by which everything is sent late
    skew: ClassVar[str | None] = None  # what the artefact says of that
    differing: ClassVar[int] = 0  # weights that `maps` makes otherwise
    flip: ClassVar[bool] = False  # `runs` gives one other spike
    asked: ClassVar[list[tuple[Any, ...]]] = []  # vendor checks that were made

    def check(self, graph: Graph[Any]) -> tuple[Finding, ...]:
        return _sim().check(graph)

    def limits(self, graph: Graph[Any]) -> tuple[Limit, ...]:
        return (Limit("nodes", len(graph.nodes), 100, "measured"),)

    def emit(self, graph: Graph[Any], path: Path) -> None:
        _sim().emit(graph, path / "net")

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        done = replace(_sim(), states=self.states).run(artefact / "net", inputs)
        return replace(
            done,
            spikes={name: _later(raster) for name, raster in done.spikes.items()},
            outputs={name: _later(raster) for name, raster in done.outputs.items()},
            ran_by="emulation of a chip for tests",
        )

    def runners(self) -> tuple[str, ...]:
        return ("emulation",)

    def holds(self, path: Path) -> bool:
        return (path / "net").is_file()

    def read(self, path: Path, limits: Limits) -> Graph[Any]:
        graph = _sim().read(path / "net", limits)
        told = {} if self.skew is None else {"skew": self.skew}
        return Graph(graph.nodes, graph.edges, {**graph.metadata, **told})

    def recorded(self, path: Path) -> Mapping[str, NDArray[Any]] | None:
        stored = path / "raster.npz"
        return dict(np.load(stored)) if stored.exists() else None

    def record(self, artefact: Path, inputs: Mapping[str, NDArray[Any]], run: Run) -> None:
        np.savez(artefact / "raster.npz", **{name: raster[:, :2] for name, raster in inputs.items()})  # type: ignore[arg-type]
        spikes = {name: int(raster[:, :2].sum()) for name, raster in run.spikes.items()}
        (artefact / "expected.json").write_text(json.dumps(spikes))

    def vendor_check(
        self, vendor: str, artefact: Path, inputs: Mapping[str, NDArray[Any]], *, python: Path | None
    ) -> VendorReport:
        self.asked.append((vendor, artefact.name, python))
        if vendor == "missing":
            raise MissingDependencyError("the tool is not installed", where="--vendor", fix="install the tool")
        if vendor == "maps":
            return VendorReport(vendor, "1.0", {"weights": Compared(WEIGHTS, self.differing)}, {"cores": 3})
        few = {name: raster[:20, :1] for name, raster in inputs.items()}  # a slow simulator
        done = replace(self, states=True).run(artefact, few)
        spikes = {name: raster.copy() for name, raster in done.spikes.items()}
        if self.flip:
            spikes["3"][4, 0, 1] ^= True
        return VendorReport(vendor, "2.0", run=replace(done, spikes=spikes, ran_by="the simulator of a vendor"))


def _later(raster: NDArray[Any]) -> NDArray[Any]:
    late = ChipTarget.late
    return np.concatenate([np.zeros_like(raster[:late]), raster[: len(raster) - late]])


def _sim() -> Any:
    return registry.load("sim")
