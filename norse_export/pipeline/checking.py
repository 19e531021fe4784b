"""check: what fits a target and what blocks, all findings at once; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from norse_export import registry
from norse_export.errors import CapacityError, ExportError, Finding, MissingDependencyError, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.pipeline.choices import FormChoice, InputChoice, IntegerChoice, LoadChoice, chosen_inputs
from norse_export.pipeline.exporting import blocking, refuse_unused
from norse_export.pipeline.forms import in_form
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.staging import stage
from norse_export.report.results import CheckResult, TargetCheck, TargetSummary
from norse_export.target import Limited, Target


def check(
    model: str | Path,
    targets: Sequence[str] = ("all",),
    *,
    loading: LoadChoice | None = None,
    inputs: InputChoice | str | Path | None = None,
    integers: IntegerChoice | None = None,
    form: FormChoice | None = None,
) -> CheckResult:
    """Check a model file against targets; ("all",) or () means every target.

    Among all targets, one that fails (a broken package of others) has its error in the result; the others are checked.

    Raises:
        ExportError: the model cannot be read, or is impossible; a target that was asked for by name fails; choices of
            integers that no target takes.
    """
    found = in_form(registry.chosen(targets or ("all",)), form or FormChoice())
    loading, integers = loading or LoadChoice(), integers or IntegerChoice()
    refuse_unused(integers, [target for target in found.values() if not isinstance(target, MissingDependencyError)])
    loaded = load_model(Path(model), loading, chosen_inputs(inputs))
    checked = tuple(_check_one(loaded, *item, integers, loading.limits) for item in found.items())
    for error in (target.error for target in checked if target.target in targets):
        if error is not None:
            raise error
    return CheckResult(loaded.name, checked, loaded.findings)


def _check_one(
    model: Model, name: str, target: Target | MissingDependencyError, integers: IntegerChoice, limits: Limits
) -> TargetCheck:
    if isinstance(target, MissingDependencyError):
        return TargetCheck(name, fits=False, findings=(), error=target)
    try:
        staged = stage(model, target, integers, None, limits)
    except (UnsupportedError, CapacityError) as error:
        return TargetCheck(name, fits=False, findings=error.findings)
    except ExportError as error:
        return TargetCheck(name, fits=False, findings=(), error=error)
    try:
        with registry.blaming(name, "cannot check a model"):
            findings = (*staged.findings, *_findings(target.check(staged.graph)))
            limits_used = tuple(cast(Limited, target).limits(staged.graph)) if hasattr(target, "limits") else ()
    except (UnsupportedError, CapacityError) as error:
        return TargetCheck(name, fits=False, findings=error.findings)
    except ExportError as error:
        return TargetCheck(name, fits=False, findings=(), error=error)
    return TargetCheck(name, blocking(findings) is None, findings, limits_used)


def _findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """What a target found; a target of others may give anything."""
    findings = tuple(found)
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"its check gives {type(finding).__name__} instead of findings")
    return findings


def targets() -> tuple[TargetSummary, ...]:
    """Every target, built in or added by another package, and what on this machine can run its artefacts.

    One that fails is listed too: its description says why, its stage is `unknown`, and nothing runs it.
    """
    return tuple(_summary(*item) for item in registry.chosen(("all",)).items())


def _summary(name: str, target: Target | ExportError) -> TargetSummary:
    origin = registry.origin(name)
    if not isinstance(target, ExportError):
        try:
            with registry.blaming(name, "cannot say what can run it"):
                runners = tuple(map(str, target.runners()))
                vendors = tuple(map(str, getattr(target, "vendors", ())))
                return TargetSummary(name, str(target.stage), str(target.description), runners, origin, vendors)
        except ExportError as error:
            target = error
    return TargetSummary(name, "unknown", target.what, (), origin)
