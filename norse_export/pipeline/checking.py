"""check: what fits a target and what blocks, all findings at once; writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from norse_export import registry
from norse_export.errors import ExportError, MissingDependencyError, UnsupportedError
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

    Among all targets, one that cannot be loaded does not fit, with a finding that says why; the others are checked.

    Raises:
        ExportError: the model cannot be read, or is impossible.
        MissingDependencyError: a target that was asked for by name cannot be loaded.
    """
    every = not targets or "all" in targets
    names = registry.names() if every else tuple(dict.fromkeys(targets))
    found = {name: _loaded(name) if every else registry.load(name) for name in names}
    loaded = load_model(Path(model), loading or LoadChoice(), chosen_inputs(inputs))
    return CheckResult(loaded.name, tuple(_check_one(loaded, *item) for item in found.items()), loaded.findings)


def _loaded(name: str) -> Target | MissingDependencyError:
    """The target, or why it cannot be loaded."""
    try:
        return registry.load(name)
    except MissingDependencyError as error:
        return error


def _check_one(model: Model, name: str, target: Target | MissingDependencyError) -> TargetCheck:
    if isinstance(target, MissingDependencyError):
        return TargetCheck(name, fits=False, findings=target.findings)
    try:
        findings = target.check(staged(model.graph, target))
    except ExportError as error:
        if not isinstance(error, UnsupportedError):
            raise
        return TargetCheck(target.name, fits=False, findings=error.findings)
    return TargetCheck(target.name, fits=blocking(findings) is None, findings=findings)


def targets() -> tuple[TargetSummary, ...]:
    """Every target, built in or added by another package, and what on this machine can run its artefacts.

    One that cannot be loaded is listed too: its description says why, its stage is `unknown`, and nothing runs it.
    """
    return tuple(_summary(name, _loaded(name)) for name in registry.names())


def _summary(name: str, target: Target | MissingDependencyError) -> TargetSummary:
    origin = registry.origin(name)
    if isinstance(target, MissingDependencyError):
        return TargetSummary(name, "unknown", target.what, (), origin)
    return TargetSummary(name, str(target.stage), target.description, target.runners(), origin)
