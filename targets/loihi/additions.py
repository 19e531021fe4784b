"""What a layer of a `.net` file has beside what netx reads: where its states start, and second arrays of synapses.

A file that needs them has a group /additions, with a group for each such layer, named by its number among those with
neurons. All of it is datasets:

    u, v                      where the states start, [*shape] in torch's order, or one number
    synapses/0, 1, ...        one more array of synapses each:
        type                  "mixed" or "inhibitory": its sign mode
        weight                [N_out, N_in], or a kernel [C_out, C_in / groups, kH, kW] with the window of the layer
        weight_exp            the sum of its weights is multiplied by 2^weight_exp, floor
        recurrent             1 where it leads from the layer to itself, else 0

netx reads none of it: by itself it runs the first arrays alone, from states of 0. `run_on_loihi.py` adds it to the
network that netx made, by processes of Lava that netx uses, too; so does `emulate_net`. Lava's convolutions know no
weight_exp: a kernel with one is connected as listed synapses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.ir.graph import Shape

from . import law
from .law import IntArray, SignMode
from .layers import LavaLayer, Projection
from .net_file import ADDITIONS as ROOT
from .net_file import STATE_FIELDS as STATES

Array = NDArray[Any]
MAX_EXP = 8
_TYPES = {"mixed": SignMode.MIXED, "inhibitory": SignMode.INHIBITORY}
_FIX = "export the model again"


def with_additions(
    layers: Sequence[LavaLayer], described: Mapping[str, Sequence[str]], arrays: Mapping[str, Array]
) -> tuple[LavaLayer, ...]:
    """The layers with what the file adds to them. described: of each block the types of its arrays of synapses.

    Raises:
        InputFileError: what is added does not belong to the layers, or is nothing that the chip has.
    """
    if unknown := sorted(described.keys() - {str(number) for number in range(len(layers))}):
        message = f"additions to layer {unknown[0][:40]!r}: the file has {len(layers)} layers with neurons"
        raise InputFileError(message, where=f"/{ROOT}", fix=_FIX)
    made = list(layers)
    for block, types in described.items():
        made[int(block)] = _added(layers[int(block)], f"{ROOT}/{block}", types, arrays)
    return tuple(made)


def _added(layer: LavaLayer, place: str, types: Sequence[str], arrays: Mapping[str, Array]) -> LavaLayer:
    shape = layer.shape if layer.forward.sort == "conv" else (layer.forward.weight.shape[0],)
    initial = dict(layer.neurons.initial)
    for name in STATES:
        if f"{place}/{name}" in arrays:
            initial[name] = _whole(arrays, f"{place}/{name}", (shape, ()), law.STATE_RANGE)
    more: dict[bool, list[Projection]] = {False: [], True: []}
    for number, sort in enumerate(types):
        recurrent = bool(_whole(arrays, f"{place}/{number}/recurrent", ((),), 1))
        more[recurrent].append(_projection(layer, f"{place}/{number}", sort, arrays, recurrent=recurrent))
    neurons = replace(layer.neurons, initial=initial)
    return replace(layer, neurons=neurons, more=tuple(more[False]), more_recurrent=tuple(more[True]))


def _projection(layer: LavaLayer, place: str, sort: str, arrays: Mapping[str, Array], *, recurrent: bool) -> Projection:
    forward = layer.forward
    cells = forward.weight.shape[0]
    if sort not in _TYPES or (recurrent and forward.sort == "conv"):
        message = f"an array of type {sort[:40]!r}" + (" from a convolution to itself" if recurrent else "")
        raise InputFileError(message, where=f"/{place}", fix=f"write {' or '.join(_TYPES)}, and no recurrent kernels")
    exponent = int(_whole(arrays, f"{place}/weight_exp", ((),), MAX_EXP))
    weight = _whole(arrays, f"{place}/weight", ((cells, cells) if recurrent else forward.weight.shape,), 256)
    return Projection(
        sort="dense" if recurrent else forward.sort,
        weight=weight,
        weight_exp=exponent,
        sign_mode=_TYPES[sort],
        delays=None if recurrent else forward.delays,
        window=forward.window,
        listed=forward.sort == "conv" and exponent != 0,
    )


def _whole(arrays: Mapping[str, Array], key: str, shapes: Sequence[Shape | None], largest: int) -> IntArray:
    """Whole numbers of one of some shapes, none larger than `largest`."""
    found = arrays.get(key)
    if found is None or found.shape not in shapes or not prod(found.shape):
        message = f"{key} has shape {'none' if found is None else found.shape}, it should have {shapes[0]}"
        raise InputFileError(message, where=f"/{key}", fix=_FIX)
    if found.dtype.kind not in "iu" or found.min() < -largest or found.max() > largest:
        message = f"{key} (dtype {found.dtype}) does not hold whole numbers from {-largest} to {largest}"
        raise InputFileError(message, where=f"/{key}", fix=_FIX)
    return found.astype(np.int64)
