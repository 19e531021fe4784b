"""Writes a chain as a `.net` file for lava-dl's netx: HDF5, all of it datasets; the same chain, the same bytes.

Names, types and shapes are those that lava-dl's own export writes; what netx does not read (inFeatures, kernelSize,
refDelay, gradedSpike) is there for people and for other readers. neuron/messageBits is never written: netx fails on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from norse_export.formats.hdf5_output import writing_hdf5
from norse_export.ir.fixed import ConvSynapses

from .additions_output import write_additions
from .chain import Chain, ChainLayer, i_decay, mantissas, v_decay

Array = NDArray[Any]
_TEXT = h5py.string_dtype()
_TYPE = "S10"


def write_net(path: Path, chain: Chain) -> None:
    """Write `path`, which is made or emptied first; an error of the file system comes as OSError."""
    with writing_hdf5(path) as file:
        layers = file.create_group("layer")
        if chain.layers[0].is_conv:
            _typed(layers, "input", chain.input_shape)
        images = False
        for layer in chain.layers:
            if images and not layer.is_conv:
                _typed(layers, "flatten", (layer.synapses.weight.shape[1], 1, 1))
            images = layer.is_conv
            _write_layer(layers, layer)
        write_additions(file, chain)


def _typed(layers: h5py.Group, sort: str, shape: tuple[int, ...]) -> h5py.Group:
    """The next layer, with what every one has."""
    group = layers.create_group(str(len(layers)))
    _write(group, "type", np.array([sort.encode("ascii")], _TYPE))
    _write(group, "shape", np.array(shape, np.int64))
    return group


def _write_layer(layers: h5py.Group, layer: ChainLayer) -> None:
    synapses, bias = layer.synapses, mantissas(layer, "bias")
    if isinstance(synapses, ConvSynapses):
        group = _typed(layers, "conv", synapses.map_shape)
        _write_window(group, synapses)
    else:
        recurrent = layer.recurrent is not None and bool(layer.recurrent.weight.any())
        group = _typed(layers, "dense_rec" if recurrent else "dense", (len(synapses.weight),))
        _write(group, "inFeatures", np.int64(synapses.weight.shape[1]))
        _write(group, "outFeatures", np.int64(synapses.weight.shape[0]))
        if layer.recurrent is not None and recurrent:
            _write(group, "weight_rec", layer.recurrent.weight.astype(np.float32))
    _write(group, "weight", synapses.weight.astype(np.float32))
    if layer.delay_steps:
        _write(group, "delay", np.int64(layer.delay_steps))
    if bias.any():
        _write(group, "bias", np.broadcast_to(bias, synapses.weight.shape[:1]).astype(np.float32))
    _write_neuron(group.create_group("neuron"), layer)


def _write_window(group: h5py.Group, synapses: ConvSynapses) -> None:
    for name in ("stride", "padding", "dilation"):
        _write(group, name, np.array(getattr(synapses, name), np.int64))
    _write(group, "groups", np.int64(synapses.groups))
    _write(group, "inChannels", np.int64(synapses.input_shape[0]))
    _write(group, "outChannels", np.int64(synapses.weight.shape[0]))
    _write(group, "kernelSize", np.array(synapses.weight.shape[2:], np.int64))


def _write_neuron(group: h5py.Group, layer: ChainLayer) -> None:
    group.create_dataset("type", data="CUBA", dtype=_TEXT, track_times=False)
    _write(group, "iDecay", np.int64(i_decay(layer)))
    _write(group, "vDecay", np.int64(v_decay(layer)))
    _write(group, "vThMant", mantissas(layer, "v_th"))
    _write(group, "refDelay", np.int64(1))
    _write(group, "gradedSpike", np.bool_(0))


def _write(group: h5py.Group, name: str, value: Any) -> None:
    group.create_dataset(name, data=value, track_times=False)
