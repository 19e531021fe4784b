"""Writes .net files as lava-dl does: a group `layer`, its children numbered, every value a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

NEURON: Mapping[str, Any] = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1}


def write_net(path: Path, layers: Sequence[Mapping[str, Any]]) -> Path:
    """Write layers; a dict within one is a group."""
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            _write(file.create_group(f"layer/{number}"), layer)
    return path


def dense(weight: Any, **others: Any) -> dict[str, Any]:
    weight = np.asarray(weight, np.float32)
    return {"type": "dense", "shape": np.array([len(weight)]), "weight": weight, "neuron": NEURON} | others


def conv(weight: Any, shape: Sequence[int], **others: Any) -> dict[str, Any]:
    window = {"stride": np.array([1, 1]), "padding": np.array([0, 0]), "dilation": np.array([1, 1]), "groups": 1}
    weight = np.asarray(weight, np.float32)
    return {"type": "conv", "shape": np.array(shape), "weight": weight, "neuron": NEURON} | window | others


def _write(group: h5py.Group, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name), value)
        elif name == "type" and group.name.count("/") == 2:
            group.create_dataset(name, (1,), "S10", [value.encode("ascii")])
        elif value is not None:
            group.create_dataset(name, data=value)
