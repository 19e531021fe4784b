"""What each command gives. The pipeline fills these in; text.py and document.py show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from norse_export.compare import Comparison
from norse_export.errors import ExportError, Finding
from norse_export.report.outcome import first_to_exit
from norse_export.target import Compared, Limit

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file or folder that was written; of a folder, sha256 is over its files' names and sha256 sums, sorted."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class InputSummary:
    """Where the rasters came from: "stored in the model", a file's name, or "random, rate 0.1, seed 0"."""

    origin: str
    steps: int
    samples: int


@dataclass(frozen=True, slots=True)
class VendorCheck:
    """What a vendor's own software made of an artefact; see target.VendorReport.

    parity: its run against our emulation, where it has a simulator.
    """

    target: str
    vendor: str
    version: str
    compared: Mapping[str, Compared]
    figures: Mapping[str, float | str]
    parity: Comparison | None
    findings: tuple[Finding, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether all of it is as it was foretold."""
        same = self.parity is None or self.parity.equal
        return same and not any(counts.differing for counts in self.compared.values())


@dataclass(frozen=True, slots=True)
class TargetExport:
    """The export to one target. `error` is why it failed; then `artefact` is None and no file stands under its name.

    prices: of a target of integers, what quantisation cost each layer. vendor: what a vendor's software said, if asked.
    """

    target: str
    artefact: Artefact | None
    parity: tuple[Comparison, ...]
    verified: bool
    findings: tuple[Finding, ...]
    error: ExportError | None = None
    prices: tuple[LayerPrice, ...] = ()
    vendor: tuple[VendorCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export to one or several targets."""

    model: str
    inputs: InputSummary | None
    targets: tuple[TargetExport, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def error(self) -> ExportError | None:
        """The error that decides the exit code: the first that is there of 70, 2, 5, 3, 4, 1."""
        return first_to_exit([target.error for target in self.targets if target.error is not None])


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """Whether a model fits a target: every finding, and the use of every resource that has a limit.

    `error` is why the target could not be asked; then nothing is known, and `fits` is False.
    """

    target: str
    fits: bool
    findings: tuple[Finding, ...]
    limits: tuple[Limit, ...] = ()
    error: ExportError | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What fits and what blocks, for each target asked for.

    takers: where one of them does not fit, those of all targets that take the model; None where all that were asked
    fit, and where the others were not asked, for the model is large.
    """

    model: str
    targets: tuple[TargetCheck, ...]
    findings: tuple[Finding, ...] = ()
    takers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """One node: its type, shapes, number of trained parameters, and its parameters as short text ("tau_mem 0.01 s").

    Shapes are None where the file does not say them, as of the modules in a file of torch.save; of a tensor in a
    state_dict the output shape is its own. parameters: weights, biases and scales, time constants and potentials,
    without what follows from others (alpha, beta); one number where a population shares it. Of a module or tensor
    that is only listed: all numbers that are stored for it, buffers too. made_of: the class of the user's framework
    that a population was made of, as "snnTorch Leaky"; None where the file does not say it.
    """

    name: str
    type: str
    input_shape: Shape | None
    output_shape: Shape | None
    parameters: int
    dt: float | None
    details: Mapping[str, str] = field(default_factory=dict)
    made_of: str | None = None


@dataclass(frozen=True, slots=True)
class EdgeSummary:
    """One edge."""

    source: str
    target: str
    port: str
    delay_steps: int


@dataclass(frozen=True, slots=True)
class InspectResult:
    """A file: what kind it is, its graph, and where it comes from."""

    file: str
    kind: str
    sha256: str
    bytes: int
    nodes: tuple[NodeSummary, ...]
    edges: tuple[EdgeSummary, ...]
    dt: tuple[float, ...]
    provenance: Mapping[str, str]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerActivity:
    """What one population did in a run; rate: spikes per neuron and step; states: name -> (lowest, highest)."""

    node: str
    neurons: int
    spikes: int | None
    rate: float | None
    states: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ActivitySummary:
    """What a run of whole numbers did, over all samples; footprint and sparsity as metrics.py defines them.

    overflows: values that the width of a state changed; saturated: sums that the width of a port changed. cycles: on
    the reference machine (engine/machine/report.py), None where they were not counted.
    """

    spikes: int
    synaptic_operations: int
    neuron_updates: int
    overflows: int
    saturated: int
    footprint_bytes: int
    activation_sparsity: float
    cycles: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run of a model or artefact. activity: None where nothing is counted. error: a vendor's software disagrees."""

    file: str
    ran_by: str
    law: str
    inputs: InputSummary
    layers: tuple[LayerActivity, ...]
    trace: Artefact | None
    accuracy: float | None = None
    findings: tuple[Finding, ...] = ()
    activity: ActivitySummary | None = None
    vendor: tuple[VendorCheck, ...] = ()
    error: ExportError | None = None


@dataclass(frozen=True, slots=True)
class ParityResult:
    """Two things compared."""

    a: str
    b: str
    inputs: InputSummary | None
    parity: tuple[Comparison, ...]
    findings: tuple[Finding, ...] = ()
    error: ExportError | None = None


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """One target of the registry.

    runners: what on this machine can run its artefacts. vendors: whose own software can check them, where installed.
    """

    name: str
    stage: str
    description: str
    runners: tuple[str, ...]
    origin: str
    vendors: tuple[str, ...] = ()
