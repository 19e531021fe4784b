"""A vendor's own software on an artefact: what it made of it is held against what was foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from norse_export import registry
from norse_export.compare import Comparison, compare
from norse_export.errors import ExportError, Finding, ParityError, UsageError
from norse_export.ir.run import Run
from norse_export.pipeline.choices import VendorChoice
from norse_export.pipeline.common import in_common
from norse_export.pipeline.model import Rasters
from norse_export.report.results import VendorCheck
from norse_export.target import Target, VendorReport, Vendors

VENDOR_RUNG = 4  # of the ladder of proof: the vendor's simulator against the emulation


def require_vendor(choice: VendorChoice | None, targets: Sequence[Target]) -> None:
    """Refuse a vendor that none of the targets knows.

    Raises:
        UsageError: it names those that there are.
    """
    if choice is None or any(has_vendor(target, choice) for target in targets):
        return
    known = [f"{name} ({target.name})" for target in targets for name in getattr(target, "vendors", ())]
    names = ", ".join(target.name for target in targets)
    fix = f"use one of: {', '.join(known)}" if known else "leave --vendor out: no software of a vendor checks it"
    raise UsageError(f"target {names} has no vendor {choice.name!r}", where="--vendor", fix=fix)


def has_vendor(target: Target, choice: VendorChoice) -> bool:
    """Whether the target knows this vendor."""
    return choice.name in getattr(target, "vendors", ())


def vendor_checked(
    target: Target, choice: VendorChoice, artefact: Path, rasters: Rasters, emulated: Run
) -> VendorCheck:
    """Have the vendor's software load an artefact, and run it where it can, and compare.

    emulated: what the artefact did on the rasters [T, B, *shape] here; the vendor's run may be of fewer steps and
    samples, the first ones.

    Raises:
        MissingDependencyError: the software is not installed.
    """
    with registry.blaming(target.name):
        report = cast(Vendors, target).vendor_check(choice.name, artefact, rasters, python=choice.python)
    parity, findings = (None, ()) if report.run is None else _compared(emulated, report.run, report)
    return VendorCheck(
        target=target.name,
        vendor=report.vendor,
        version=report.version,
        compared=dict(report.compared),
        figures=dict(report.figures),
        parity=parity,
        findings=(*report.findings, *findings),
    )


def vendor_error(check: VendorCheck) -> ExportError | None:
    """The error that a check amounts to; None where everything is as foretold."""
    name = f"{check.vendor} {check.version}".strip()
    fix = f"please report it with the model file; without --vendor {check.vendor} the artefact is written all the same"
    for kind, counts in check.compared.items():
        if counts.differing:
            message = f"{name} made {counts.differing} of {counts.total} {kind} other than was foretold"
            return ParityError(message, where=check.target, fix=fix, kind="vendor")
    errors = [finding for finding in check.findings if finding.severity == "error"]
    if errors:
        return ParityError.of(errors)
    parity = check.parity
    if parity is None or parity.equal:
        return None
    found = parity.first_divergence
    place = "" if found is None else f" at step {found.step}, sample {found.sample}, {found.quantity}"
    where = check.target if found is None else found.node
    return ParityError(
        f"{name} runs the artefact otherwise than our emulation{place}", where=where, fix=fix, kind="vendor"
    )


def _compared(emulated: Run, vendor: Run, report: VendorReport) -> tuple[Comparison, tuple[Finding, ...]]:
    """The vendor's run against the emulation, of the steps, samples, layers and states that it holds."""
    rasters = [*vendor.spikes.values(), *vendor.outputs.values()]
    if not rasters:
        raise ParityError(
            f"the run of {report.vendor} holds neither spikes nor outputs",
            where=report.vendor,
            fix="please report it with the model file",
            kind="vendor",
        )
    steps, samples = rasters[0].shape[:2]
    common = in_common(_first(emulated, steps, samples), vendor)
    parity = compare(common.first, common.second, rung=VENDOR_RUNG)
    if not parity.vacuous:
        return parity, common.findings
    message = f"vacuous: in the run of {report.vendor} nothing fired, so that its equality proves nothing"
    fix = "give inputs on which every layer fires (--inputs)"
    return parity, (*common.findings, Finding("vacuous", "warning", report.vendor, message, fix))


def _first(run: Run, steps: int, samples: int) -> Run:
    """The first steps of the first samples of a run, without its last states."""

    def cut(rasters: Mapping[str, Any]) -> dict[str, Any]:
        return {name: raster[:steps, :samples] for name, raster in rasters.items()}

    observables = {name: cut(states) for name, states in run.observables.items()}
    return replace(run, spikes=cut(run.spikes), outputs=cut(run.outputs), observables=observables, final_state={})
