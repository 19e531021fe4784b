"""What two runs of one network both hold: traces and vendors' simulators record some layers and states only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from norse_export.errors import Finding, UsageError
from norse_export.ir.run import Run


@dataclass(frozen=True, slots=True)
class Common:
    """Both runs, with what both hold; findings: what only the first holds, of which nothing is said."""

    first: Run
    second: Run
    findings: tuple[Finding, ...]


def in_common(own: Run, other: Run, where: str) -> Common:
    """Spikes, outputs and states of an artefact's own run, and those of them that another run of it holds.

    Raises:
        UsageError: they share no layer and no output, or the other holds states of floats.
    """
    held = other.observables
    populations = dict.fromkeys((*own.spikes, *own.observables))
    names = [name for name in populations if name in other.spikes or held.get(name)]
    outputs = [name for name in own.outputs if name in other.outputs]
    if not names and not outputs:
        raise UsageError(
            "the trace has no layer in common with the artefact",
            where=where,
            fix="compare a trace with the artefact that it was recorded from",
        )
    if any(raster.dtype.kind == "f" for name in names for raster in held.get(name, {}).values()):
        raise UsageError(
            "the trace holds states of floats, and the artefact has whole numbers in units of its own",
            where=where,
            fix="compare it with the model, or the model with the artefact",
        )

    def reduced(run: Run, states: Mapping[str, Mapping[str, Any]]) -> Run:
        shared = {
            name: {key: states[name][key] for key in sorted(own.observables.get(name, {})) if key in held[name]}
            for name in names
            if name in held and name in states
        }
        spikes = {name: run.spikes[name] for name in own.spikes if name in other.spikes}
        return Run(spikes, {name: run.outputs[name] for name in outputs}, run.ran_by, shared)

    missing = [*(name for name in populations if name not in names), *(n for n in own.outputs if n not in outputs)]
    findings = tuple(
        Finding("not_recorded", "warning", name, "it was not recorded: nothing is said about it", "record it too")
        for name in missing
    )
    return Common(reduced(own, own.observables), reduced(other, held), findings)
