"""Writes what a chain has beside what netx reads of a `.net` file; additions.py says what stands where."""

from __future__ import annotations

import h5py
import numpy as np

from norse_export.ir.fixed import ConvSynapses

from .chain import Chain, ChainLayer
from .law import IntArray
from .net_file import ADDITIONS, STATE_FIELDS


def needs_additions(layer: ChainLayer) -> bool:
    """Whether netx alone would run something else than this layer."""
    return bool(layer.more or layer.more_recurrent) or any(np.any(values) for values in _states(layer).values())


def write_additions(file: h5py.File, chain: Chain) -> None:
    """Write the group, if any layer needs it."""
    if not any(needs_additions(layer) for layer in chain.layers):
        return
    root = file.create_group(ADDITIONS)
    for number, layer in enumerate(chain.layers):
        if not needs_additions(layer):
            continue
        group = root.create_group(str(number))
        for name, values in _states(layer).items():
            if np.any(values):
                group.create_dataset(name, data=values, track_times=False)
        arrays = [(synapses, 0) for synapses in layer.more] + [(synapses, 1) for synapses in layer.more_recurrent]
        for place, (synapses, recurrent) in enumerate(arrays):
            one = group.create_group(f"synapses/{place}")
            sort = "inhibitory" if synapses.delivery.shift == 0 else "mixed"
            one.create_dataset("type", data=np.array([sort.encode("ascii")], "S10"), track_times=False)
            one.create_dataset("weight", data=synapses.weight.astype(np.int16), track_times=False)
            one.create_dataset("weight_exp", data=np.int64(synapses.delivery.shift), track_times=False)
            one.create_dataset("recurrent", data=np.int64(recurrent), track_times=False)


def _states(layer: ChainLayer) -> dict[str, IntArray]:
    """One number where all neurons have the same."""
    found: dict[str, IntArray] = {}
    for name in STATE_FIELDS:
        values = layer.population.initial_state[name].astype(np.int64)
        shape = layer.synapses.map_shape if isinstance(layer.synapses, ConvSynapses) else (-1,)
        found[name] = values.reshape(-1)[0] if np.all(values == values.flat[0]) else values.reshape(shape)
    return found
