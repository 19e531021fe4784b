"""Records a model: a few of its steps, or its whole raster, with two inputs; all have to be alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import torch

from norse_export.errors import UnsupportedError
from norse_export.frontend.frameworks import torch_nn
from norse_export.frontend.frameworks.table import assumed_dt, classes, tables
from norse_export.frontend.hidden import hidden_states
from norse_export.frontend.likeness import first_difference
from norse_export.frontend.readouts import sent_by
from norse_export.frontend.recorded_call import Asked, Recorded
from norse_export.frontend.undisturbed import Weights
from norse_export.ir.doubts import ENCODERS, IMAGES, READOUTS, STATES
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode

Rasters = tuple[torch.Tensor, ...]
OVER_TIME = "linear_over_time"  # in the graph's metadata: Linear layers that took the whole raster at once, as JSON
_PROBE_STEPS = 3  # steps that are recorded one by one and must all have the same structure


def record(
    model: torch.nn.Module, rasters: Rasters, time: str, weights: Weights, *, encoders: bool = True
) -> tuple[Graph[ContinuousNode], Recorded]:
    """Record the model: its graph, and the recording that stands for all.

    Recorded are the whole raster (inside) or the first steps (outside), and the same again with other values: all that
    take one kind of step must have one structure. Where a step takes what the one before it sent, step 0 is of another
    kind, and step 1 stands for all. encoders: those that are populations are a part of the graph.
    """
    asked = Asked(model, tables(torch_nn.rules()), weights, encoders)
    first: list[Recorded] = []
    steady: Recorded | None = None
    for words, values in (("", rasters), (" with other input values", tuple(map(_second_input, rasters)))):
        for number, recorded in enumerate(_recordings(asked, values, time)):
            if not words:
                first.append(recorded)
                steady = recorded if number == 0 or (number == 1 and recorded.builder.feedback) else steady
            usual = first[0] if number == 0 or steady is None else steady
            if recorded is usual:
                continue
            if number > 1 or words or not usual.builder.feedback:
                _require_same(usual, recorded, number, words, type(model).__name__)
        asked = replace(asked, steps=any(one.recording.stepped for one in first))
    if steady is None:  # there is always a first step
        raise RuntimeError("nothing was recorded")
    graph = steady.builder.finish({})
    return Graph(graph.nodes, graph.edges, _metadata(asked, graph, steady)), steady


def _metadata(asked: Asked, graph: Graph[ContinuousNode], steady: Recorded) -> dict[str, str]:
    """What the graph does not say of the model itself."""
    recording = steady.recording
    told = {
        OVER_TIME: [layer for layer in recording.over_time if layer in graph.nodes],
        ENCODERS: {name: one.path for name, one in recording.encoded.items()},
        IMAGES: sorted(recording.images),
        READOUTS: steady.builder.readouts,
        STATES: steady.beside,
    }
    found = {key: json.dumps(value) for key, value in told.items() if value}
    return {**assumed_dt(asked.model, asked.table), **classes(asked.model, graph, asked.table), **found}


def _require_same(usual: Recorded, recorded: Recorded, number: int, words: str, where: str) -> None:
    """Take over the findings of a recording, and compare it with the usual one.

    Raises:
        UnsupportedError: it has another structure.
    """
    usual.builder.merge(recorded.builder)
    difference = first_difference(usual.builder, recorded.builder)
    if difference is not None and not usual.builder.findings:
        kind = 1 if usual.builder.feedback else 0
        raise UnsupportedError(
            f"the model does not always do the same: at step {number}{words}, {difference} differs from step {kind}",
            where=where,
            fix="make the forward pass the same for every input and at every step",
            kind="control_flow",
        )


def _recordings(asked: Asked, rasters: Rasters, time: str) -> Iterator[Recorded]:
    """Recordings of one run of the model; the run ends early where the model raises, or gives no state."""
    if time == "inside":
        yield asked.whole(rasters)
        return
    with hidden_states(asked.model):
        before: Recorded | None = None
        for step in range(_PROBE_STEPS):
            recorded = asked.step(tuple(raster[step % len(raster)] for raster in rasters), step, before)
            yield recorded
            if recorded.ended:
                return
            before = recorded


def read_outputs(
    model: torch.nn.Module, rasters: Rasters, names: tuple[str, ...], *, encoders: bool = True
) -> dict[str, torch.Tensor]:
    """The rasters [T, B, ...] that a model's outputs are made of, on these rasters; by name.

    Raises:
        UnsupportedError: one of them could not be seen.
    """
    recorded = Asked(model, tables(torch_nn.rules()), Weights(), encoders).whole(rasters)
    recording, found = recorded.recording, dict[str, torch.Tensor]()
    for edge in recording.builder.edges:
        if edge.target in names and (sent := sent_by(recording, edge.source)) is not None:
            found[edge.target] = sent
    if missing := sorted(set(names) - set(found)):
        raise UnsupportedError(
            "what the model reads out could not be followed over all steps",
            where=missing[0],
            fix="return the raster of all steps, and read it out afterwards",
            kind="readout",
        )
    return found


def _second_input(raster: torch.Tensor) -> torch.Tensor:
    """Another raster of the same kind: the same values, shuffled by a fixed seed; half of them where all are one."""
    order = torch.randperm(raster.numel(), generator=torch.Generator().manual_seed(0))
    shuffled = raster.flatten()[order].reshape(raster.shape)
    return raster / 2 if torch.equal(shuffled, raster) else shuffled
