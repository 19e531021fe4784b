"""check: what fits a target and what blocks, all findings at once; writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from norse_export import registry
from norse_export.errors import ExportError, MissingDependencyError
from norse_export.pipeline.choices import FormChoice, InputChoice, IntegerChoice, LoadChoice, chosen_inputs
from norse_export.pipeline.exporting import refuse_unused
from norse_export.pipeline.fitting import fitting, takers
from norse_export.pipeline.forms import in_form
from norse_export.pipeline.loading import load_model
from norse_export.report.results import CheckResult, TargetSummary
from norse_export.target import Target


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
    checked = tuple(fitting(loaded, *item, integers, loading.limits) for item in found.items())
    for error in (target.error for target in checked if target.target in targets):
        if error is not None:
            raise error
    known = {target.target: target.fits for target in checked}
    return CheckResult(loaded.name, checked, loaded.findings, takers(loaded, known, integers, loading.limits))


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
