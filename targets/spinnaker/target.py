"""Target `spinnaker`: a folder with the network as data, a PyNN script that deploys it, and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from norse_export.errors import ExportError, Finding, UsageError
from norse_export.files.checked import open_input
from norse_export.files.limits import Limits
from norse_export.interpret.fixed import emulate
from norse_export.ir.bounds import all_ranges
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes.lowered import InputRange
from norse_export.passes.plans import offered
from norse_export.passes.quantise import QuantiseChoice, Quantised
from norse_export.target import Limit, Stage, VendorReport

from . import chip2_file, chip2_lower, limits, report
from .artefact import KEY, told, write
from .fit import limits_of
from .lower import check_choice, lower
from .reading import Network, read
from .recording import EXPECTED, PLAYED, expected, read_recording, write_played, write_recording
from .vendor import NAME as SPYNNAKER
from .vendor import check as check_vendor

NETWORK, SCRIPT, REPORT = "network.safetensors", "deploy.py", "report.json"
CHIPS = ("spinnaker1", chip2_file.CHIP)
_LOOKED_AT = 1 << 16  # bytes of a file's header in which its kind must stand


@dataclass(frozen=True, slots=True)
class SpinnakerTarget:
    """SpiNNaker through sPyNNaker: bit-exact to the code that runs on the chip.

    states: `run` records every state and observable after every step.
    """

    name: str = "spinnaker"
    stage: Stage = Stage.FIXED
    suffix: str = ".spinnaker"
    folder: bool = True
    description: str = "SpiNNaker, sPyNNaker 7.4.1: IF_curr_exp and IF_curr_delta in s16.15, deployed by a PyNN script"
    states: bool = False
    vendors: tuple[str, ...] = (SPYNNAKER,)
    files: ClassVar[frozenset[str]] = frozenset({NETWORK, SCRIPT, REPORT, PLAYED, EXPECTED, chip2_file.NETWORK})

    def lower(
        self,
        graph: Graph[DiscreteNode],
        choice: QuantiseChoice | None = None,
        calibration: Mapping[str, NDArray[Any]] | None = None,
        *,
        ranges: Mapping[str, InputRange] | None = None,
    ) -> Quantised:
        """Give the network as the chip computes it: see lower.py, and chip2_lower.py for --chip spinnaker2."""
        choice = choice or QuantiseChoice()
        check_choice(choice)
        if offered(choice.chip, "--chip", CHIPS, self.name) == chip2_file.CHIP:
            return chip2_lower.lower(graph, choice, calibration, ranges=ranges)
        return lower(graph, choice, calibration, ranges=ranges)

    def check(self, graph: Graph[FixedNode]) -> tuple[Finding, ...]:
        """Every limit of the chip that is broken, and what a user should know."""
        try:
            if chip2_file.METADATA in graph.metadata:
                all_ranges(graph)
                return tuple(chip2_file.findings(graph))
            told(graph)
            all_ranges(graph)
        except ExportError as error:
            return error.findings
        return tuple(limits.findings(limits.usage(graph)))

    def limits(self, graph: Graph[FixedNode]) -> tuple[Limit, ...]:
        """How much of the chip and of a board the network takes; none is told of SpiNNaker 2."""
        if chip2_file.METADATA in graph.metadata:
            return ()
        return limits_of(limits.usage(graph))

    def emit(self, graph: Graph[FixedNode], path: Path) -> None:
        """Write network, script and report into a folder; same graph, same bytes.

        Raises:
            GraphError: the graph is not under the chip's law.
        """
        if chip2_file.METADATA in graph.metadata:
            chip2_file.emit(graph, path)
            return
        use = limits.usage(graph)
        with (path / NETWORK).open("wb") as file:
            write(file, graph, use)
        (path / SCRIPT).write_bytes(Path(__file__).with_name(SCRIPT).read_bytes())
        document = report.document(graph, use)
        (path / REPORT).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Replay the network of the folder under the chip's law, from the words that the chip would be loaded with."""
        done = emulate(load(artefact).graph, inputs, states=self.states)
        told = "py-spinnaker2's documented rules" if _for_chip2(artefact) else "sPyNNaker 7.4.1's neurons"
        return replace(done, ran_by=f"our emulation of {told}, from the artefact; no chip")

    def runners(self) -> tuple[str, ...]:
        """The emulation, which is part of norse-export."""
        return ("emulation",)

    def holds(self, path: Path) -> bool:
        """Whether a folder holds a network of a chip, by the first bytes of its files."""
        if chip2_file.holds(path):
            return True
        try:
            with open_input(path / NETWORK) as file:
                return KEY.encode() in file.read(_LOOKED_AT)
        except (ExportError, OSError, ValueError):
            return False

    def read(self, path: Path, limits: Limits) -> Graph[FixedNode]:
        """The network of a folder.

        Raises:
            InputFileError, LimitError, GraphError: it is damaged, or no such folder.
        """
        return load(path, limits).graph

    def recorded(self, path: Path) -> dict[str, NDArray[Any]] | None:
        """The rasters that lie beside the network; None where it was written without."""
        return read_recording(path, load(path), _room(path))

    def record(self, artefact: Path, inputs: Mapping[str, NDArray[Any]], run: Run) -> None:
        """Add the first samples, and what is to be expected of the chip: see recording.py."""
        network, path = load(artefact), artefact / REPORT
        write_recording(artefact, network, inputs, run)
        if chip2_file.holds(artefact):
            return
        spikes = {name: limits.fullest(raster[:, 0]) for name, raster in inputs.items()}
        document = report.recorded(json.loads(path.read_text()), limits.usage(network.graph, spikes))
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")

    def vendor_check(
        self, vendor: str, artefact: Path, inputs: Mapping[str, NDArray[Any]], *, python: Path | None
    ) -> VendorReport:
        """Map an artefact onto a virtual board with the real sPyNNaker, and compare what it would load: see vendor.py.

        Raises:
            MissingDependencyError: sPyNNaker is not installed. UsageError: another vendor, or no such interpreter.
        """
        if vendor not in self.vendors:
            fix = f"use one of: {', '.join(self.vendors)}"
            raise UsageError(f"no vendor {vendor!r} for target {self.name}", where="--vendor", fix=fix)
        if _for_chip2(artefact):
            message = "sPyNNaker is for SpiNNaker 1: no vendor's software was available for SpiNNaker 2"
            raise UsageError(message, where="--vendor", fix="leave --vendor out, or export with --chip spinnaker1")
        return check_vendor(artefact, inputs, python=python)


def load(artefact: Path, limits: Limits | None = None) -> Network:
    """Read what `emit` wrote; without limits as much as the folder's files hold, for nothing in them is compressed.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged, or no such folder.
    """
    if _for_chip2(artefact):
        return chip2_file.load(artefact, limits or _room(artefact))
    path = artefact / NETWORK
    with open_input(path) as file:
        return read(file, name=str(path), limits=limits or _room(artefact))


def _for_chip2(artefact: Path) -> bool:
    return (artefact / chip2_file.NETWORK).exists()


def _room(artefact: Path) -> Limits:
    size = sum(file.stat().st_size for file in artefact.iterdir())
    return Limits(max_bytes=max(size, Limits().max_bytes))


def write_raster(artefact: Path, inputs: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write rasters [T, B, *shape] of your own for `deploy.py --raster`, with what is to be expected of the chip."""
    network = load(artefact)
    run, membranes = expected(network, inputs)
    with path.open("wb") as file:
        write_played(file, network, inputs, run.spikes, membranes)


__all__ = ["SpinnakerTarget", "load", "write_raster"]
