"""What two runs of one network both hold: traces and vendors' simulators record some layers and states only."""

from __future__ import annotations

from dataclasses import dataclass

from norse_export.errors import Finding
from norse_export.ir.run import Run


@dataclass(frozen=True, slots=True)
class Common:
    """Both runs, with what both hold; findings: what only the first holds, of which nothing is said."""

    first: Run
    second: Run
    findings: tuple[Finding, ...]


def in_common(own: Run, other: Run) -> Common:
    """Spikes, outputs and states of an artefact's own run, and those of them that another run of it holds."""
    held = other.observables
    populations = dict.fromkeys((*own.spikes, *own.observables))
    names = [name for name in populations if name in other.spikes or held.get(name)]
    outputs = [name for name in own.outputs if name in other.outputs]

    def reduced(run: Run) -> Run:
        shared = {
            name: {key: run.observables[name][key] for key in sorted(own.observables[name]) if key in held[name]}
            for name in names
            if name in held and name in own.observables
        }
        spikes = {name: run.spikes[name] for name in own.spikes if name in other.spikes}
        return Run(spikes, {name: run.outputs[name] for name in outputs}, run.ran_by, shared)

    missing = [*(name for name in populations if name not in names), *(n for n in own.outputs if n not in outputs)]
    findings = tuple(
        Finding("not_recorded", "warning", name, "it was not recorded: nothing is said about it", "record it too")
        for name in missing
    )
    return Common(reduced(own), reduced(other), findings)
