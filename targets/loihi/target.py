"""Target `loihi`: a folder with a `.net` file that lava-dl's netx loads, and what the host needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes.lowered import InputRange
from norse_export.passes.plans import QuantiseChoice
from norse_export.passes.quantise import Quantised
from norse_export.target import Limit, Stage, VendorReport

from .chain import chain_of
from .fit import capacity_findings, fitted_limits
from .host import host_part, read_host, write_host
from .lowering import lowered_to_chip
from .net_output import write_net
from .netx import load_net
from .recording import read_rasters, samples_of, write_recording
from .replay import HOST, NET, is_folder, is_net, replayed_graph, takes_images
from .report import write_report
from .told import CHIP_KEY
from .vendor import LAVA, lava_report

RECORDING, REPORT, SCRIPT = "recording.nir", "report.json", "run_on_loihi.py"


@dataclass(frozen=True, slots=True)
class LoihiTarget:
    """Loihi 2 as Lava's bit-accurate models have it, by lava-dl's file. states: `run` records every state."""

    name: str = "loihi"
    stage: Stage = Stage.FIXED
    suffix: str = ".loihi"
    folder: bool = True
    description: str = "Intel Loihi 2: a .net file for lava-dl's netx, and a script that compares the chip; Lava's law"
    states: bool = False
    vendors: tuple[str, ...] = (LAVA,)
    files: ClassVar[frozenset[str]] = frozenset({NET, HOST, RECORDING, REPORT, SCRIPT})

    def lower(
        self,
        graph: Graph[DiscreteNode],
        choice: QuantiseChoice,
        calibration: Mapping[str, NDArray[Any]] | None,
        *,
        ranges: Mapping[str, InputRange] | None,
    ) -> Quantised:
        """The model as integers of the chip, under the law `lava`.

        Raises:
            UnsupportedError: whatever the chip cannot hold; every one is a finding.
            UsageError: widths that the chip does not have; calibration inputs that do not fit the model.
        """
        return lowered_to_chip(graph, choice, calibration, ranges)

    def check(self, graph: Graph[FixedNode]) -> tuple[Finding, ...]:
        """What netx cannot load, registers out of their ranges, layers that no core holds; cores and chips as notes."""
        chain, findings = chain_of(graph)
        if chain is None:
            return findings
        return (*findings, *capacity_findings(chain, graph.metadata.get(CHIP_KEY)))

    def limits(self, graph: Graph[FixedNode]) -> tuple[Limit, ...]:
        """What the core that uses most takes, and what all chips take of one; none where a layer fits no core."""
        chain, _ = chain_of(graph)
        return () if chain is None else fitted_limits(chain, graph.metadata.get(CHIP_KEY))

    def emit(self, graph: Graph[FixedNode], path: Path) -> None:
        """Write the folder's files; same graph, same bytes.

        Raises:
            UnsupportedError: netx cannot load a net like this.
        """
        chain, findings = chain_of(graph)
        if chain is None:
            raise UnsupportedError.of([finding for finding in findings if finding.severity == "error"])
        write_net(path / NET, chain)
        write_host(path / HOST, host_part(graph, chain))
        write_report(path / REPORT, graph, chain)
        (path / SCRIPT).write_bytes(Path(__file__).with_name(SCRIPT).read_bytes())

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Run the net as netx would load it, under Lava's law; host layers in float64."""
        done = emulate(replayed_graph(artefact, _limits(artefact)), inputs, states=self.states)
        name = NET if artefact.is_dir() else artefact.name
        return replace(done, ran_by=f"emulation of {name} as netx loads it, under Lava's law")

    def runners(self) -> tuple[str, ...]:
        """The emulation, which is part of norse-export."""
        return ("emulation",)

    def holds(self, path: Path) -> bool:
        """Whether a folder is one that `emit` wrote, or a file a `.net` file; never raises."""
        return is_folder(path) if path.is_dir() else is_net(path)

    def read(self, path: Path, limits: Limits) -> Graph[FixedNode]:
        """The net as netx would load it, with the host's layers; of a `.net` file by itself without.

        Raises:
            ExportError: a file is damaged, or netx could not load it.
        """
        return replayed_graph(path, limits)

    def recorded(self, path: Path) -> Mapping[str, NDArray[Any]] | None:
        """The rasters that were played when the export was proved; None where the folder holds none.

        Raises:
            InputFileError, UnsafeFileError, LimitError: the recording is damaged.
        """
        stored = path / RECORDING
        return read_rasters(stored, _limits(path)) if path.is_dir() and stored.exists() else None

    def record(self, artefact: Path, inputs: Mapping[str, NDArray[Any]], run: Run) -> None:
        """Write the first samples of the rasters, and spikes and states of every layer on them."""
        limits = _limits(artefact)
        part, net = read_host(artefact / HOST, limits), load_net(artefact / NET, limits)
        samples = samples_of(part, inputs)
        if any(not run.observables.get(layer.name) for layer in part.layers):
            few = {name: raster[:, :samples] for name, raster in inputs.items()}
            run = replace(self, states=True).run(artefact, few)
        write_recording(artefact / RECORDING, part, inputs, run, images=takes_images(net))

    def vendor_check(
        self, vendor: str, artefact: Path, inputs: Mapping[str, NDArray[Any]], *, python: Path | None
    ) -> VendorReport:
        """What Intel's Lava makes of a folder or a `.net` file: `lava_report`.

        Raises:
            MissingDependencyError: Lava is not installed for that interpreter. UsageError: no such interpreter, vendor.
        """
        if vendor not in self.vendors:
            raise UsageError(f"no vendor {vendor!r}", where="--vendor", fix=f"use {', '.join(self.vendors)}")
        return lava_report(artefact, inputs, python)


def _limits(path: Path) -> Limits:
    """Limits that any file of ours keeps: nothing in it is compressed, so that it declares no more than it is long."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.exists())
    return Limits(max_bytes=max(size, Limits().max_bytes))
