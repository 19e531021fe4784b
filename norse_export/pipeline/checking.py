"""check: what fits a target and what blocks, all findings at once; writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from norse_export import registry
from norse_export.errors import ExportError, UnsupportedError
from norse_export.pipeline.choices import InputChoice, LoadChoice, chosen_inputs
from norse_export.pipeline.exporting import blocking, staged
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.report.results import CheckResult, TargetCheck, TargetSummary
from norse_export.target import Target


def check(
    model: str | Path,
    targets: Sequence[str] = ("all",),
    *,
    loading: LoadChoice | None = None,
    inputs: InputChoice | str | Path | None = None,
) -> CheckResult:
    """Check a model file against targets; ("all",) or () means every target.

    Raises:
        ExportError: the model cannot be read, or is impossible.
    """
    names = registry.names() if not targets or "all" in targets else tuple(dict.fromkeys(targets))
    loaded_targets = [registry.load(name) for name in names]
    loaded = load_model(Path(model), loading or LoadChoice(), chosen_inputs(inputs))
    return CheckResult(loaded.name, tuple(_check_one(loaded, target) for target in loaded_targets), loaded.findings)


def _check_one(model: Model, target: Target) -> TargetCheck:
    try:
        findings = target.check(staged(model.graph, target))
    except ExportError as error:
        if not isinstance(error, UnsupportedError):
            raise
        return TargetCheck(target.name, fits=False, findings=error.findings)
    return TargetCheck(target.name, fits=blocking(findings) is None, findings=findings)


def targets() -> tuple[TargetSummary, ...]:
    """Every target, built in or added by another package, and what on this machine can run its artefacts."""
    found = []
    for name in registry.names():
        target = registry.load(name)
        found.append(
            TargetSummary(name, str(target.stage), target.description, target.runners(), type(target).__module__)
        )
    return tuple(found)
