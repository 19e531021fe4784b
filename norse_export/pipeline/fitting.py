"""Whether a model fits a target, and which targets take one that another refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from norse_export import registry
from norse_export.errors import CapacityError, ExportError, Finding, MissingDependencyError, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.ir.layers import Conv, Linear
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model
from norse_export.pipeline.staging import stage
from norse_export.report.results import TargetCheck
from norse_export.target import Limited, Stage, Target

_LARGE = 10**7  # parameters: beyond it, other targets are not tried out only to name them


def blocking(findings: Sequence[Finding]) -> ExportError | None:
    """The error that a target's findings amount to; None where they are only warnings."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return None
    kind = CapacityError if all(finding.kind == "capacity" for finding in errors) else UnsupportedError
    return kind.of(errors)


def fitting(
    model: Model, name: str, target: Target | MissingDependencyError, integers: IntegerChoice, limits: Limits
) -> TargetCheck:
    """Check a model against one target; an error stands in the result."""
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


def takers(model: Model, known: Mapping[str, bool], integers: IntegerChoice, limits: Limits) -> tuple[str, ...] | None:
    """The targets that take a model, where one that was asked does not; None where none is to be named.

    known: of targets that were asked, whether it fits. The others are asked now, but for a large model; as they are of
    themselves, for what is chosen of the widths, the mode or the chip of one target says nothing of another.
    """
    others = {name: target for name, target in registry.chosen(("all",)).items() if name not in known}
    if all(known.values()) or (others and _parameters(model) > _LARGE):
        return None
    # other scales change no more than how many weights become 0
    quick = IntegerChoice(calibration=integers.calibration, search=False)
    fits = {**known, **{name: fitting(model, name, target, quick, limits).fits for name, target in others.items()}}
    return tuple(name for name in registry.names() if fits.get(name))


def naming_takers(
    error: UnsupportedError, model: Model, target: Target, integers: IntegerChoice, limits: Limits
) -> UnsupportedError:
    """The error of a target that takes the model's own numbers, with the targets that take this model in its remedy.

    Every other target is asked to check the model. One of whole numbers names no others: what they lose differs.
    """
    found = None if target.stage is Stage.FIXED else takers(model, {target.name: False}, integers, limits)
    if found is None:
        return error
    told = f"targets that take this model: {', '.join(found) or 'none'}; norse-export run runs it as it is"
    error.findings = tuple(replace(f, fix=f"{f.fix}; {told}") if f is error.findings[0] else f for f in error.findings)
    error.fix = error.findings[0].fix
    return error


def _parameters(model: Model) -> int:
    return sum(node.weight.size for node in model.graph.nodes.values() if isinstance(node, Linear | Conv))
