"""Runs of artefacts of `sim`, counted: what a run did, and how many cycles of the reference machine it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from norse_export import metrics
from norse_export.engine.machine.config import config_from, read_config
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load as machine_load
from norse_export.engine.machine.wiring import check_wiring
from norse_export.engine.network import FixedRun, compile_network
from norse_export.errors import Finding
from norse_export.files.checked import open_input
from norse_export.files.limits import Limits
from norse_export.formats.fixed_file import FixedModel, read_fixed
from norse_export.ir.run import Run
from norse_export.pipeline.model import Rasters
from norse_export.report.results import ActivitySummary


@dataclass(frozen=True, slots=True)
class Cycles:
    """Count cycles; machine: a TOML file of parameters, None takes those of the artefact."""

    machine: Path | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A run, every state recorded, and what it did."""

    run: Run
    activity: ActivitySummary
    findings: tuple[Finding, ...]


def counted_run(path: Path, limits: Limits, rasters: Rasters, wanted: Cycles | None) -> Counted:
    """Run an artefact on the engine and count; with its cycles on the reference machine, if asked for.

    Raises:
        ExportError: the artefact is damaged; the machine asked for does not hold it, or has impossible parameters.
    """
    with open_input(path) as file:
        model = read_fixed(file, name=path.name, limits=limits)
    done = compile_network(model.graph).run(rasters, states=True, events=wanted is not None)
    table, findings = (None, ()) if wanted is None else _cycles(model, done, rasters, wanted)
    counts = done.activity
    activity = ActivitySummary(
        spikes=sum(int(np.count_nonzero(raster)) for raster in done.run.spikes.values()),
        synaptic_operations=sum(counts.synaptic_operations.values()),
        neuron_updates=sum(counts.neuron_updates.values()),
        overflows=sum(sum(each.values()) for each in counts.overflows.values()),
        saturated=sum(counts.saturated.values()),
        footprint_bytes=metrics.footprint(model.graph).total,
        activation_sparsity=metrics.activation_sparsity(done.run.spikes),
        cycles=table,
    )
    return Counted(done.run, activity, (*findings, *_overflows(counts.overflows)))


def _cycles(
    model: FixedModel, done: FixedRun, rasters: Rasters, wanted: Cycles
) -> tuple[Mapping[str, object], tuple[Finding, ...]]:
    given = wanted.machine
    config = config_from(model.machine, where="machine") if given is None else read_config(given)
    check_wiring(model.graph, model.placement, config)
    spikes = {**rasters, **done.run.spikes} if done.events is None else done.events
    report = cycles(machine_load(model.graph, model.placement, config), spikes, detail=False)
    return report.summary(), report.findings()


def _overflows(overflows: Mapping[str, Mapping[int, int]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            "overflow",
            "warning",
            name,
            f"{sum(counts.values())} values left the width of a state, and were narrowed as the law says",
            "give states more bits (--state-bits), or calibrate on inputs like these (--calib)",
        )
        for name, counts in overflows.items()
        if sum(counts.values())
    )
