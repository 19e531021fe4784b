"""Traces a torch model into a continuous graph, and runs it: the graph, and rung 0 of the ladder of proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError, UsageError
from norse_export.frontend.encoders import Encoded, replaced, showing
from norse_export.frontend.example import as_rasters, check_inputs, check_model, model_float
from norse_export.frontend.frameworks.step_functions import in_loops
from norse_export.frontend.recorded_model import OVER_TIME, read_outputs, record
from norse_export.frontend.reference import reference_run
from norse_export.frontend.shown import shown_by_model
from norse_export.frontend.time_axis import find_time
from norse_export.frontend.undisturbed import Snapshot, undisturbed
from norse_export.ir.doubts import IMAGES, READOUTS
from norse_export.ir.graph import Graph
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

__all__ = ["OVER_TIME", "Traced", "find_time", "rerun", "trace"]

Array = NDArray[Any]
Time = Literal["auto", "outside", "inside"]
Encoders = Literal["inside", "boundary"]


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced model: its graph, the rasters it was traced with, and what the model itself gives on them.

    steps: populations that are steps of norse.torch.functional, in the order in which the model calls them; those of
    one loop over time together. raw: what
    the model itself is called with: the rasters, but where they come from an encoder. encoded: by input, what it gave.
    images: inputs of which the model takes one image, which an encoder, or the model itself, shows at every step. own:
    those of them that the model itself shows.
    """

    graph: Graph[ContinuousNode]
    inputs: Mapping[str, Array]
    reference: Run
    time: Literal["outside", "inside"]
    steps: tuple[tuple[str, ...], ...] = ()
    raw: tuple[torch.Tensor, ...] = ()
    encoded: Mapping[str, Encoded] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def trace(model: Any, example_input: Any, *, time: Time = "auto", encoders: Encoders = "inside") -> Traced:
    """Trace a model on an example raster [T, B, ...] (a tensor or array), and run it on that raster.

    example_input: a tuple of rasters for a model of several inputs, in the order of forward's arguments.
    time: "outside": the model takes one step a call and is called T times with the state that it returned; "inside":
    it takes the whole raster and is called once; "auto" finds it from the modules inside.

    encoders: "inside": an encoder that is a population is a part of the graph, whose input is then the image that it is
    shown at every step; "boundary": what every encoder gives is the graph's input, for targets that take spikes alone.

    The raster is taken in the float type of the model's parameters. The model is as before afterwards, its own
    attributes and the random states included. What acts differently only at a step that is not recorded (from the
    fourth on) is not seen here: `norse_export.trace` compares the graph with the model over the whole raster, and so
    does all that saves or loads a model.

    Raises:
        UnsupportedError: an operation or module is not understood, or the model depends on its input's values or on
            its own past in a way that a graph cannot; all findings are listed.
        UsageError: not a module, a wrong example input, the model raises, or both meanings of time are possible.
        GraphError: impossible parameters: not finite, tau below 0, dt of 2 tau or more; all findings are listed.
    """
    check_model(model)
    rasters = as_rasters(example_input, model_float(model))
    check_inputs(model, len(rasters))
    chosen = find_time(model, rasters) if time == "auto" else time
    _check_words(chosen, encoders)
    with torch.no_grad(), undisturbed(model) as before:
        graph, steady = record(model, rasters, chosen, before.weights, encoders=encoders == "inside")
        encoded = steady.recording.encoded
        given = dict(zip(steady.inputs, rasters, strict=True)) | {name: one.raster for name, one in encoded.items()}
        given |= {name: given[name].expand(n, *given[name].shape) for name, n in steady.recording.images.items()}
        extent = next((one.raster for one in encoded.values()), next(iter(given.values()))).shape[:2]
        steps = in_loops(steady.recording.functional, 1 if chosen == "outside" else extent[0])
        with replaced(model, encoded):
            read = _read(model, rasters, graph)
            reference = reference_run(model, rasters, chosen, graph, steps, extent=extent, read=read)
        _check_unchanged(before)
    inputs = {name: raster.contiguous().numpy() for name, raster in given.items()}
    images, own = tuple(steady.recording.images), shown_by_model(steady.recording, graph)
    return Traced(graph, inputs, reference, chosen, steps, rasters, encoded, images, own)


def _check_words(time: str, encoders: str) -> None:
    if time not in ("outside", "inside"):
        raise UsageError(f"time={time!r}", where="time", fix="use 'auto', 'outside' or 'inside'")
    if encoders not in ("inside", "boundary"):
        raise UsageError(f"encoders={encoders!r}", where="encoders", fix="use 'inside' or 'boundary'")


def rerun(model: torch.nn.Module, traced: Traced, inputs: Mapping[str, Array]) -> Run:
    """Run a traced model on other rasters [T, B, ...], in the float type that it was traced with.

    Raises:
        UsageError: rasters that do not fit the model, as one of several images where the model shows one at all its
            steps. UnsupportedError: it does something else than its graph.
    """
    checked = checked_inputs(traced.graph, inputs)
    given = {
        name: torch.from_numpy(np.array(checked[name], dtype=example.dtype))  # a copy: a file's arrays are read-only
        for name, example in traced.inputs.items()
    }
    encoded = {name: replace(one, raster=given[name]) for name, one in traced.encoded.items()}
    names = zip(given, traced.raw, strict=True)
    _check_shown(traced, given)
    changing = any(_changes(given[name]) for name in traced.images)
    flat = frozenset(traced.images if changing else ()) - frozenset(traced.own)  # as many images for each sample
    shown = {name: given[name].flatten(0, 1) if name in flat else given[name][0] for name in traced.images}
    called_with = tuple(raw if name in encoded else shown.get(name, given[name]) for name, raw in names)
    extent = next(iter(given.values())).shape[:2]
    frames = showing(model, extent[0], frames=changing) if traced.images else nullcontext()
    with torch.no_grad(), undisturbed(model), replaced(model, encoded), frames:
        read = _read(model, called_with, traced.graph)
        return reference_run(model, called_with, traced.time, traced.graph, traced.steps, extent=extent, read=read)


def _changes(raster: torch.Tensor) -> bool:
    return bool((raster != raster[:1]).any())


def _check_shown(traced: Traced, given: Mapping[str, torch.Tensor]) -> None:
    """Refuse what a model cannot be run on that shows one image at each of its steps by itself."""
    for name in traced.own:
        steps, own, changing = len(given[name]), len(traced.inputs[name]), _changes(given[name])
        if changing or steps != own:
            found = "images that change" if changing else f"{steps} steps"
            raise UsageError(
                f"the model shows one image at each of its {own} steps, and is given {found}",
                where=name,
                fix=f"give one image at each of {own} steps, as the raster that the model was saved with",
                kind="images",
            )


def _read(model: torch.nn.Module, rasters: tuple[torch.Tensor, ...], graph: Graph[ContinuousNode]) -> dict[str, Any]:
    """Rasters of the outputs of which the model gives something made of all steps."""
    names = tuple(json.loads(graph.metadata.get(READOUTS, "{}")))
    return read_outputs(model, rasters, names, encoders=IMAGES in graph.metadata) if names else {}


def _check_unchanged(before: Snapshot) -> None:
    if changed := before.changed():
        raise UnsupportedError(
            f"the model changes its own tensors while it runs: {', '.join(changed)}",
            where=changed[0],
            fix="change weights and buffers in training, and not in forward; call model.eval() before saving",
            kind="changes_itself",
        )
