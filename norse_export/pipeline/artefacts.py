"""Artefacts of `sim`: read, described and run as they stand, whatever model they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export import metrics
from norse_export.engine.machine.config import config_from, read_config
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load as machine_load
from norse_export.engine.machine.wiring import check_wiring
from norse_export.engine.network import FixedRun, compile_network
from norse_export.errors import Finding, UsageError
from norse_export.files.checked import open_input
from norse_export.files.digest import file_digest
from norse_export.files.kind import Kind
from norse_export.files.limits import Limits
from norse_export.formats.fixed_file import FixedModel, read_fixed
from norse_export.interpret import checked_inputs
from norse_export.ir.fixed import FixedInput, Population
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.model import Rasters
from norse_export.pipeline.rasters import (
    RANDOM_STEPS,
    RISING_RATES,
    check_labels,
    matched,
    random_raster,
    random_words,
    read_rasters,
    summary_of,
)
from norse_export.report.results import ActivitySummary, EdgeSummary, InputSummary, InspectResult, NodeSummary

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cycles:
    """Count cycles; machine: a TOML file of parameters, None takes those of the artefact."""

    machine: Path | None = None


def read_artefact(path: Path, limits: Limits) -> FixedModel:
    """Read an artefact, its placement checked against its machine.

    Raises:
        InputFileError, LimitError, GraphError, UsageError, CapacityError: it is damaged, or contradicts itself.
    """
    with open_input(path) as file:
        model = read_fixed(file, name=path.name, limits=limits)
    check_wiring(model.graph, model.placement, config_from(model.machine, where=path.name))
    return model


def refuse_choices(path: Path, choice: LoadChoice) -> None:
    """An artefact says all that a model file may leave open."""
    if choice != LoadChoice(limits=choice.limits):
        message = "an artefact of sim says its own dt and shapes, and holds no model to build"
        raise UsageError(
            message, where=path.name, fix="leave out what describes a model (--dt, --factory and the like)"
        )


def choose_rasters(model: FixedModel, choice: InputChoice, limits: Limits) -> tuple[Rasters, InputSummary, Any]:
    """Rasters from a file, or random ones, with their origin and labels.

    Raises:
        UsageError: they do not fit the artefact's inputs.
    """
    inputs = {name: node for name, node in model.graph.nodes.items() if isinstance(node, FixedInput)}
    shapes = {name: node.shape for name, node in inputs.items()}
    if choice.file is not None:
        given = read_rasters(choice.file, limits)
        rasters: Rasters = checked_inputs(model.graph, matched(shapes, given))
        check_labels(model.graph, given.labels, len(next(iter(rasters.values()))[0]), choice.file.name)
        return rasters, summary_of(choice.file.name, rasters), given.labels
    steps, rates = (
        (RANDOM_STEPS, RISING_RATES) if choice.random_steps is None else (choice.random_steps, (choice.rate,))
    )
    for rate in rates:
        rasters = {
            name: random_raster(shape, steps, choice.samples, rate, choice.seed + number)
            for number, (name, shape) in enumerate(shapes.items())
        }
        if len(rates) == 1 or all(raster.any() for raster in run_artefact(model, rasters).run.spikes.values()):
            break
    return rasters, summary_of(random_words(rate, choice.seed), rasters), None


def run_artefact(model: FixedModel, rasters: Rasters, *, states: bool = False) -> FixedRun:
    """Run an artefact on the engine; with its states who fired is listed, too: `activity` is quicker with that."""
    return compile_network(model.graph).run(rasters, states=states, events=states)


def activity(
    model: FixedModel, rasters: Rasters, done: FixedRun, wanted: Cycles | None
) -> tuple[ActivitySummary, tuple[Finding, ...]]:
    """What a run did and cost; with its cycles on the reference machine, if asked for."""
    counts = done.activity
    table: Mapping[str, object] | None = None
    findings: tuple[Finding, ...] = ()
    if wanted is not None:
        path = wanted.machine
        config = config_from(model.machine, where="machine") if path is None else read_config(path)
        check_wiring(model.graph, model.placement, config)
        spikes = {**rasters, **done.run.spikes} if done.events is None else done.events
        report = cycles(machine_load(model.graph, model.placement, config), spikes, detail=False)
        table, findings = report.summary(), report.findings()
    made = ActivitySummary(
        spikes=sum(int(np.count_nonzero(raster)) for raster in done.run.spikes.values()),
        synaptic_operations=sum(counts.synaptic_operations.values()),
        neuron_updates=sum(counts.neuron_updates.values()),
        overflows=sum(sum(each.values()) for each in counts.overflows.values()),
        saturated=sum(counts.saturated.values()),
        footprint_bytes=metrics.footprint(model.graph).total,
        activation_sparsity=metrics.activation_sparsity(done.run.spikes),
        cycles=table,
    )
    return made, (*findings, *_overflows(counts.overflows))


def inspect_artefact(path: Path, choice: LoadChoice) -> InspectResult:
    """Describe an artefact: nodes, edges, law, placement, machine."""
    refuse_choices(path, choice)
    model = read_artefact(path, choice.limits)
    with open_input(path) as file:
        sha256, size = file_digest(file)
    graph, placement = model.graph, model.placement
    told = {**graph.metadata, "mesh": f"{placement.width} x {placement.height} cores"}
    told |= {f"machine.{name}": str(value) for name, value in model.machine.items()}
    return InspectResult(
        file=path.name,
        kind=Kind.FIXED.value,
        sha256=sha256,
        bytes=size,
        nodes=tuple(_node(name, node) for name, node in graph.nodes.items()),
        edges=tuple(EdgeSummary(e.source, e.target, e.port, e.delay_steps) for e in graph.edges),
        dt=tuple(dict.fromkeys(node.dt for node in graph.nodes.values() if isinstance(node, Population))),
        provenance=told,
    )


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


def _node(name: str, node: Any) -> NodeSummary:
    arrays: dict[str, Array] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif field.name == "parameters":
            arrays |= value
    details = {key: _described(value, population=isinstance(node, Population)) for key, value in arrays.items()}
    weights = arrays.get("weight")
    stored = sum(_distinct(value) for value in node.parameters.values()) if isinstance(node, Population) else 0
    return NodeSummary(
        name=name,
        type=type(node).__name__,
        input_shape=node.input_shape,
        output_shape=node.output_shape,
        parameters=stored if weights is None else int(weights.size),
        dt=node.dt if isinstance(node, Population) else None,
        details=details,
    )


def _distinct(value: Array) -> int:
    """How many numbers a parameter is: one where all neurons share it."""
    return 1 if bool((value == value.flat[0]).all()) else int(value.size)


def _described(value: Array, *, population: bool) -> str:
    if not population:
        return f"{value.dtype} {list(value.shape)}"
    low, high = int(value.min()), int(value.max())
    return f"{low}" if low == high else f"{low} .. {high}"
