"""Artefacts: read, described and run as they stand, by their target, whatever model they were made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export import registry
from norse_export.errors import Finding, InputFileError, UsageError
from norse_export.files import strict_json
from norse_export.files.checked import open_input
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.interpret import checked_inputs
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.ir.notes import CLASSES, named
from norse_export.ir.run import Run
from norse_export.ir.stages import Input, Neuron
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.model import Rasters
from norse_export.pipeline.rasters import (
    RANDOM,
    RANDOM_STEPS,
    RISING_RATES,
    check_labels,
    matched,
    origin_of,
    random_raster,
    random_words,
    read_rasters,
    summary_of,
)
from norse_export.pipeline.staging import with_states
from norse_export.pipeline.written import artefact_of
from norse_export.report.results import EdgeSummary, InputSummary, InspectResult, NodeSummary
from norse_export.target import ReadableTarget

Array = NDArray[Any]
TRAINED = ("weight", "bias", "scale")  # numbers of a layer that are its parameters; all else of it follows from them
# Files of these kinds are no artefact of any target, and no target is loaded to say so.
_NEVER = (Kind.SAVED, Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.NPZ, Kind.NPY, Kind.CSV, Kind.EMPTY)


@dataclass(frozen=True, slots=True)
class Held:
    """An artefact that was read: its file or folder, the target that it is of, and its graph: fixed, or discrete."""

    path: Path
    target: ReadableTarget
    graph: Graph[Any]

    @property
    def name(self) -> str:
        """What the file or folder is called."""
        return self.path.name or str(self.path)

    @property
    def law(self) -> str:
        """The arithmetic, in words."""
        unknown = "floats: the framework's own steps" if self.floats else "whole numbers; the artefact says no more"
        return self.graph.metadata.get("law", unknown)

    @property
    def floats(self) -> bool:
        """Whether it computes in floats, as the model does."""
        return any(isinstance(node, Input) for node in self.graph.nodes.values())

    @property
    def inputs(self) -> dict[str, FixedInput | Input]:
        """Every input, by name."""
        return {name: node for name, node in self.graph.nodes.items() if isinstance(node, FixedInput | Input)}

    @property
    def populations(self) -> dict[str, Population | Neuron]:
        """Every population, by name."""
        return {name: node for name, node in self.graph.nodes.items() if isinstance(node, Population | Neuron)}

    @property
    def skew(self) -> dict[str, int]:
        """By how many steps what each layer and output sends is late; what is not named is not late.

        Raises:
            InputFileError: the artefact says no such thing.
        """
        text = self.graph.metadata.get("skew")
        if text is None:
            return {}
        told = strict_json.loads(text, where=self.name, limits=Limits())
        if not isinstance(told, dict) or not all(type(steps) is int and steps >= 0 for steps in told.values()):
            message = f"corrupt: its skew is no table of steps: {text[:80]!r}"
            raise InputFileError(message, where=self.name, fix="export the model again", kind="corrupt")
        return told

    def run(self, rasters: Rasters, *, states: bool = False) -> Run:
        """Run it on rasters, by the target; states: every state after every step."""
        with registry.blaming(self.target.name):
            return with_states(self.target, recorded=states).run(self.path, rasters)


def target_of(path: Path) -> ReadableTarget | None:
    """The target that a file or folder is an artefact of; None for any other file.

    Raises:
        InputFileError: there is no such file, it cannot be read, or it is a folder of none of the targets.
    """
    folder = os.path.isdir(path)
    if not folder:
        with open_input(path) as file:
            if kind_of(file) in _NEVER:
                return None
    target = registry.holder(path)
    if target is None and folder:
        raise InputFileError(
            "the input is a directory, and no artefact of any target",
            where=str(path),
            fix="give a model file, or a folder as norse-export wrote it, with all of its files",
        )
    return target


def read_artefact(path: Path, target: ReadableTarget, choice: LoadChoice) -> Held:
    """Read an artefact of a target, checked as data of others.

    Raises:
        UsageError: the choice says what an artefact says itself.
        InputFileError, LimitError, GraphError, CapacityError: it is damaged, or contradicts itself.
    """
    if choice != LoadChoice(limits=choice.limits):
        message = f"an artefact of {target.name} says its own dt and shapes, and holds no model to build"
        raise UsageError(
            message, where=path.name, fix="leave out what describes a model (--dt, --factory and the like)"
        )
    with registry.blaming(target.name):
        return Held(path, target, target.read(path, choice.limits))


def choose_rasters(held: Held, choice: InputChoice, limits: Limits) -> tuple[Rasters, InputSummary, Any]:
    """Rasters from a file, those that the artefact holds, or random ones, with their origin and labels.

    Raises:
        UsageError: they do not fit the artefact's inputs.
    """
    shapes = {name: node.shape for name, node in held.inputs.items()}
    if choice.file is not None:
        given = read_rasters(choice.file, limits)
        rasters: Rasters = checked_inputs(held.graph, matched(shapes, given))
        check_labels(held.graph, given.labels, len(next(iter(rasters.values()))[0]), choice.file.name)
        return rasters, summary_of(origin_of(choice.file), rasters), given.labels
    if choice.random_steps is None:
        with registry.blaming(held.target.name):
            recorded = held.target.recorded(held.path)
        if recorded:
            rasters = checked_inputs(held.graph, recorded)
            return rasters, summary_of("stored in the artefact", rasters), None
    return *_random(held, shapes, choice), None


def _random(held: Held, shapes: Mapping[str, tuple[int, ...]], choice: InputChoice) -> tuple[Rasters, InputSummary]:
    """Random rasters as they were asked for, or at the lowest rate at which every population fires."""
    asked = choice.random_steps is not None
    steps = choice.random_steps if choice.random_steps is not None else RANDOM_STEPS
    for rate in (choice.rate,) if asked else RISING_RATES:
        rasters = {
            name: random_raster(shape, steps, choice.samples, rate, choice.seed + number)
            for number, (name, shape) in enumerate(shapes.items())
        }
        if asked or all(raster.any() for raster in held.run(rasters).spikes.values()):
            break
    return rasters, summary_of(random_words(rate, choice.seed), rasters)


def unasked(held: Held, choice: InputChoice, summary: InputSummary) -> tuple[Finding, ...]:
    """A warning where an artefact was run on random rasters because it holds none, and nobody chose any."""
    if choice.file is not None or choice.random_steps is not None or not summary.origin.startswith(RANDOM):
        return ()
    message = f"the artefact holds no rasters, and none were given: these are random ones ({summary.origin})"
    fix = "give those of the model (--inputs model.pt), others (--inputs x.npz), or say --random T"
    return (Finding("random_inputs", "warning", held.name, message, fix),)


def inspect_artefact(held: Held) -> InspectResult:
    """Describe an artefact: nodes, edges, law, what can run it here, and what else it says of itself."""
    written, graph = artefact_of(held.path), held.graph
    with registry.blaming(held.target.name):
        recorded, runners = held.target.recorded(held.path), held.target.runners()
    classes = named(graph, CLASSES)
    told = {key: text for key, text in graph.metadata.items() if key != CLASSES} | {
        "run_by": ", ".join(runners) or "nothing here"
    }
    if recorded:
        told["stored_input"] = ", ".join(f"{name} {list(raster.shape)}" for name, raster in recorded.items())
    return InspectResult(
        file=held.name,
        kind=f"an artefact of target {held.target.name}",
        sha256=written.sha256,
        bytes=written.bytes,
        nodes=tuple(_node(name, node, classes.get(name)) for name, node in graph.nodes.items()),
        edges=tuple(EdgeSummary(e.source, e.target, e.port, e.delay_steps) for e in graph.edges),
        dt=tuple(dict.fromkeys(node.dt for node in held.populations.values())),
        provenance=told,
    )


def _node(name: str, node: Any, made_of: str | None) -> NodeSummary:
    arrays: dict[str, Array] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif field.name == "parameters":
            arrays |= value
    population = isinstance(node, Population | Neuron)
    details = {key: _described(value, population=population) for key, value in arrays.items()}
    trained = sum(int(arrays[key].size) for key in TRAINED if key in arrays)
    stored = sum(_distinct(value) for value in node.parameters.values()) if population else trained
    return NodeSummary(
        name=name,
        type=type(node).__name__,
        input_shape=node.input_shape,
        output_shape=node.output_shape,
        parameters=stored,
        dt=node.dt if population else None,
        details=details,
        made_of=made_of,
    )


def _distinct(value: Array) -> int:
    """How many numbers a parameter is: one where all neurons share it."""
    return 1 if bool((value == value.flat[0]).all()) else int(value.size)


def _described(value: Array, *, population: bool) -> str:
    if not population:
        return f"{value.dtype} {list(value.shape)}"
    low, high = value.min(), value.max()
    return f"{low:g}" if low == high else f"{low:g} .. {high:g}"
