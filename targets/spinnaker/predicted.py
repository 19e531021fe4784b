"""What sPyNNaker should make of an artefact: cores with their neurons, words, shifts and synapses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.files.checked import open_input
from norse_export.files.limits import Limits
from norse_export.ir.fixed import FixedInput

from . import reading
from .law import PORTS
from .limits import Use, fullest, usage

Array = NDArray[Any]
NETWORK = "network.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Synapses of one receptor type: of each its source and target cell, and its weight [N]."""

    source: str
    sources: int
    kind: int
    delay_steps: int
    source_cells: Array
    target_cells: Array
    weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class Neurons:
    """A population: parameter words [N, W], a shift for each receptor type, projections onto it in their order."""

    model: str
    words: Array
    shifts: tuple[int, ...]
    onto: tuple[Projection, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """A network by the labels that sPyNNaker has for it. rasters: [T, N] bool, of each input."""

    use: Mapping[str, Use]
    neurons: Mapping[str, Neurons]
    rasters: Mapping[str, Array]


def predict(artefact: Path, inputs: Mapping[str, Array]) -> Predicted:
    """Read an artefact; inputs are rasters [T, B, *shape], of which the first sample is played.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged. UsageError: rasters for other inputs.
    """
    path = artefact / NETWORK
    with open_input(path) as file:
        limits = Limits(max_bytes=max(path.stat().st_size, Limits().max_bytes))  # nothing in it is compressed
        document, arrays = reading.held(file, name=str(path), limits=limits)
    network = reading.decoded(document, arrays, str(path), limits)
    labels, rasters = network.labels, {}
    for name, node in network.graph.nodes.items():
        if isinstance(node, FixedInput):
            rasters[labels[name]] = _raster(name, node, inputs)
    spikes = {name: fullest(rasters[label]) for name, label in labels.items() if label in rasters}
    use = {labels[name]: one for name, one in usage(network.graph, spikes).items()}
    neurons = {one["label"]: _neurons(one, document, arrays, labels, use) for one in document["populations"]}
    return Predicted(use, neurons, rasters)


def _raster(name: str, node: FixedInput, inputs: Mapping[str, Array]) -> Array:
    raster = inputs.get(name)
    if raster is None or raster.ndim < 2 or raster.shape[2:] != tuple(node.shape) or not raster.size:
        what = "none" if raster is None else f"one of shape {list(raster.shape)}"
        fix = f"give a raster [steps, samples, {', '.join(map(str, node.shape))}]"
        raise UsageError(f"a raster for the input {name!r} is needed: {what} was given", where="inputs", fix=fix)
    played: Array = np.asarray(raster[:, 0]).reshape(len(raster), -1) != 0
    return played


def _neurons(
    entry: Any, document: Any, arrays: Mapping[str, Array], labels: Mapping[str, str], use: Mapping[str, Use]
) -> Neurons:
    onto = []
    for one in document["projections"]:
        if one["target"] != entry["name"]:
            continue
        starts, targets, weights = (arrays[f"{one['tensors']}.{part}"] for part in ("starts", "targets", "weights"))
        sources = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        kind, label = PORTS.index(one["port"]), labels[one["source"]]
        onto.append(Projection(label, len(starts) - 1, kind, one["delay_steps"], sources, targets, weights))
    words = arrays[entry["tensor"]].astype(np.int64)
    table = np.broadcast_to(words, (use[entry["label"]].neurons, words.shape[1]))
    return Neurons(entry["model"], table, tuple(entry["shifts"]), tuple(onto))
