"""Target `sim`: writes a fixed graph with its placement, and runs what was written on the integer engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from norse_export.engine.connections import check_connections
from norse_export.engine.machine.config import MAX_AXONS, MachineConfig, config_from
from norse_export.engine.machine.wiring import check_wiring, read_by_host
from norse_export.errors import ExportError, Finding
from norse_export.files.checked import open_input
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.formats.fixed_file import FixedModel, read_fixed, write_fixed
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Placement
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode, Input
from norse_export.passes.map import place
from norse_export.target import Limit, Stage

from .limits import MESH, NEURONS, core_limits, machine_for

_CHOSEN = "chosen for the reference machine: targets/sim/README.md"


@dataclass(frozen=True, slots=True)
class SimTarget:
    """The reference: whole numbers throughout, exact, and the cycles of the reference machine.

    machine: its parameters; it is widened for longer delays and wider weights. spikes: how often each cell of each
    source fired in a run, for a placement with short ways; None: all alike. states: `run` records every state after
    every step. threads: of `run`, over samples.
    """

    name: str = "sim"
    stage: Stage = Stage.FIXED
    suffix: str = ".sim"
    folder: bool = False
    description: str = "reference simulator: integers, event-driven, exact to the cycle of its machine; generic law"
    machine: MachineConfig = field(default_factory=MachineConfig)
    spikes: Mapping[str, NDArray[Any]] | None = None
    states: bool = False
    threads: int = 1
    _placed: list[tuple[Graph[FixedNode], Placement]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def check(self, graph: Graph[FixedNode]) -> tuple[Finding, ...]:
        """Every edge that no machine has, every number that 64 bits may not hold, every layer that does not fit."""
        findings = [*_foreign(graph), *_raised(check_connections, graph)]
        if findings:
            return tuple(findings)
        return (*_raised(all_ranges, graph), *_raised(self._placement, graph), *_read(graph))

    def limits(self, graph: Graph[FixedNode]) -> tuple[Limit, ...]:
        """Cores of the mesh, and neurons of the fullest core; nothing of a graph that cannot be placed."""
        try:
            parts = self._placement(graph).parts
        except ExportError:
            return ()
        neurons: Counter[int] = Counter()
        for part in parts:
            neurons[part.core] += part.neurons
        return (
            Limit("cores", len(neurons), MESH * MESH, _CHOSEN),
            Limit("neurons of a core", max(neurons.values(), default=0), NEURONS, _CHOSEN),
        )

    def emit(self, graph: Graph[FixedNode], path: Path) -> None:
        """Write graph, placement and machine to `path`; same graph, same bytes.

        Raises:
            CapacityError: a layer does not fit a core, or the graph not the mesh; every one is a finding.
        """
        machine = asdict(machine_for(graph, self.machine))
        with path.open("wb") as file:
            write_fixed(file, FixedModel(graph, self._placement(graph), machine))

    def holds(self, path: Path) -> bool:
        """Whether a file begins as one that `emit` wrote."""
        try:
            with open_input(path) as file:
                return kind_of(file) is Kind.FIXED
        except (ExportError, OSError):
            return False

    def read(self, path: Path, limits: Limits) -> Graph[FixedNode]:
        """The graph in a file; its metadata tell of placement and machine, too, which are checked.

        Raises:
            InputFileError, LimitError, GraphError: it is damaged. UsageError, CapacityError: it contradicts itself.
        """
        model, _ = load(path, limits)
        told = {"mesh": f"{model.placement.width} x {model.placement.height} cores"}
        told |= {f"machine.{name}": str(value) for name, value in model.machine.items()}
        return Graph(model.graph.nodes, model.graph.edges, {**model.graph.metadata, **told})

    def recorded(self, path: Path) -> None:
        """A file of this target holds no rasters."""

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Run the file's graph on the engine; every other thing in it is read and checked."""
        from norse_export.engine.network import compile_network  # numba, which neither check nor emit needs

        model, _ = load(artefact)
        return compile_network(model.graph).run(inputs, states=self.states, threads=self.threads).run

    def runners(self) -> tuple[str, ...]:
        """The engine, which is part of norse-export."""
        return ("engine",)

    def _placement(self, graph: Graph[FixedNode]) -> Placement:
        """Where the neurons stand: found once for the graph that is first checked, and then written."""
        for known, placement in self._placed:
            if known is graph:
                return placement
        made = place(graph, core_limits(self.machine), spikes=self.spikes)
        self._placed[:] = [(graph, made)]
        return made


def load(artefact: Path, limits: Limits | None = None) -> tuple[FixedModel, MachineConfig]:
    """Read what `emit` wrote, and nothing else; without limits, as much as the file has bytes.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged, or no such file.
        UsageError: its machine has impossible parameters. CapacityError: its placement does not fit that machine.
    """
    with open_input(artefact) as file:
        size = artefact.stat().st_size  # nothing in it is compressed, so that it declares no more than this
        limits = limits or Limits(max_bytes=max(size, Limits().max_bytes))
        model = read_fixed(file, name=artefact.name, limits=limits)
    config = config_from(model.machine, where=artefact.name)
    check_wiring(model.graph, model.placement, config)
    return model, config


def _raised(step: Callable[[Graph[FixedNode]], object], graph: Graph[FixedNode]) -> Iterator[Finding]:
    """The findings of what a step refuses."""
    try:
        step(graph)
    except ExportError as error:
        yield from error.findings


def _foreign(graph: Graph[FixedNode]) -> Iterator[Finding]:
    for name, node in graph.nodes.items():
        if isinstance(node, Input):
            message = "an input of floats; this machine takes whole numbers"
            yield Finding("input", "error", name, message, "quantise the graph with a range for this input")
    for edge in graph.edges:
        if edge.delay_steps and not isinstance(graph.nodes[edge.target], Synapses):
            message = f"a delay of {edge.delay_steps} steps that leads to no synapses"
            yield Finding("delay", "error", f"edge {edge.source} -> {edge.target}", message, "delay synapses only")


def _read(graph: Graph[FixedNode]) -> Iterator[Finding]:
    cells = sum(prod(graph.nodes[name].output_shape) for name in read_by_host(graph))
    if cells > MAX_AXONS:
        message = f"the host reads {cells} cells, a flit can name {MAX_AXONS}"
        yield Finding("capacity", "error", "outputs", message, "put a smaller layer in front of the outputs")
