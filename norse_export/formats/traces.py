"""Recorded traces as NIR graph data: TimeGriddedData [B, T, N] for each node, features flattened in C order.

`nir.read_data` reads what is written here. What NIR graph data has no place for stands in attributes beside each raster
(its shape [T, B, ...] and dtype) and in the group /metadata (texts). Never EventData: its conversion back to a grid
shifts spikes (80 of 10,000 steps at dt 1 ms).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5t
from numpy.typing import NDArray

from norse_export.errors import Finding, GraphError, InputFileError
from norse_export.files.limits import Limits
from norse_export.formats.hdf5_input import (
    Dataset,
    Group,
    at,
    decoded,
    name_of,
    opened,
    read_array,
    read_raw,
    reading_hdf5,
)
from norse_export.formats.hdf5_names import name_fault
from norse_export.formats.hdf5_output import writing_hdf5
from norse_export.formats.hdf5_prescan import prescan

Raster = NDArray[Any]

SPIKES = "spikes"
_SPIKE_DTYPES = ("bool", "int32")
_DTYPES = (*_SPIKE_DTYPES, "int64", "float32", "float64")
_SHAPE, _DTYPE = "norse_export.shape", "norse_export.dtype"
_BLOCK_BYTES = 1 << 24
_MAX_ATTRIBUTE_NUMBERS = 64
_TEXT = h5py.string_dtype()
_REWRITE = "record the trace as nir.TimeGriddedData and write it with nir.write_data"


@dataclass(frozen=True, slots=True, eq=False)
class TraceNode:
    """What was recorded of one node: observables by name, rasters [T, B, ...]; the length of a step, dt, in seconds.

    `spikes` are bool (at most one a step) or int32 (counts).
    """

    observables: Mapping[str, Raster]
    dt: float


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """A file of traces. Files of others have no metadata, and rasters [T, B, N]."""

    nodes: Mapping[str, TraceNode]
    metadata: Mapping[str, str] = field(default_factory=dict)


def write(path: Path, nodes: Mapping[str, TraceNode], metadata: Mapping[str, str] | None = None) -> None:
    """Write traces to `path`, which is made or emptied first: the same traces, the same bytes.

    Raises:
        GraphError: a name that cannot be read back, a dtype or shape that cannot be stored, a dt that is no time.
    """
    texts = metadata or {}
    if faults := [*_faults(nodes), *_name_faults(texts, "metadata")]:
        raise GraphError.of(faults)
    with writing_hdf5(path) as hdf5:
        hdf5.attrs["__type__"] = "NIRGraphData"
        if texts:
            group = hdf5.create_group("metadata")
            for key, text in sorted(texts.items()):
                group.create_dataset(key, data=text, dtype=_TEXT, track_times=False)
        members = hdf5.create_group("nodes")
        for name, node in sorted(nodes.items()):
            member = members.create_group(name)
            member.attrs["__type__"] = "NIRNodeData"
            observables = member.create_group("observables")
            for observable, raster in sorted(node.observables.items()):
                _write_raster(observables.create_group(observable), raster, node.dt)


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, Raster]]:
    """Read a file of traces, in the limited child process; give it in packed form, for `traces_of`.

    Raises:
        InputFileError: truncated or corrupt HDF5, not NIR graph data, EventData.
        UnsafeFileError, LimitError: as `formats.hdf5_prescan`.
    """
    with opened(file) as hdf5:
        tree = prescan(hdf5, limits)
        reader = _Reader(hdf5, limits)
        nodes = tree.members.get("nodes")
        if reader.attribute(tree, "__type__") != "NIRGraphData" or not isinstance(nodes, Group):
            raise InputFileError("an HDF5 file, but not NIR graph data", where=name_of(file), fix=_REWRITE)
        packed = {
            "nodes": [[name, reader.node(name, member)] for name, member in nodes.members.items()],
            "metadata": reader.metadata(tree.members.get("metadata")),
        }
    return packed, reader.arrays


def sniff(file: BinaryIO, limits: Limits) -> tuple[dict[str, bool], dict[str, Raster]]:
    """Tell, in the limited child process, whether an HDF5 file holds traces rather than a network."""
    with opened(file) as hdf5:
        tree = prescan(hdf5, limits)
        found = _Reader(hdf5, limits).attribute(tree, "__type__")
    return {"traces": found == "NIRGraphData"}, {}


def traces_of(parsed: Mapping[str, Any], arrays: Mapping[str, Raster]) -> Traces:
    """Give the traces that `parse` read: rasters [T, B, ...] in their shape and dtype, else [T, B, N]."""
    nodes: dict[str, TraceNode] = {}
    for name, node in parsed["nodes"]:
        observables: dict[str, Raster] = {}
        for observable, key, shape in node["observables"]:
            raster = np.moveaxis(arrays[key], 1, 0)
            observables[observable] = raster if shape is None else raster.reshape(shape)
            observables[observable].flags.writeable = False
        nodes[name] = TraceNode(MappingProxyType(observables), float.fromhex(node["dt"]))
    return Traces(MappingProxyType(nodes), MappingProxyType(dict(parsed["metadata"])))


def _write_raster(group: h5py.Group, raster: Raster, dt: float) -> None:
    group.attrs["__type__"] = "TimeGriddedData"
    group.attrs["dt"] = float(dt)
    group.attrs[_SHAPE] = np.array(raster.shape, dtype=np.int64)
    group.attrs[_DTYPE] = raster.dtype.name
    steps, batch, *features = raster.shape
    count = math.prod(features)
    flat = raster.reshape(steps, batch, count)
    data = group.create_dataset("data", shape=(batch, steps, count), dtype=raster.dtype, track_times=False)
    samples = max(1, _BLOCK_BYTES // max(1, steps * count * raster.itemsize))
    for start in range(0, batch if data.size else 0, samples):
        data[start : start + samples] = np.ascontiguousarray(np.moveaxis(flat[:, start : start + samples], 0, 1))


def _faults(nodes: Mapping[str, TraceNode]) -> Iterator[Finding]:
    yield from _name_faults(nodes, "node")
    for name, node in nodes.items():
        where = f"node {name!r}"
        yield from _name_faults(node.observables, f"{where}, observable")
        if not (math.isfinite(node.dt) and node.dt > 0):
            yield Finding("dt", "error", where, f"dt is {node.dt}", "give the length of a step in seconds")
        for observable, raster in node.observables.items():
            allowed = _SPIKE_DTYPES if observable == SPIKES else _DTYPES
            if raster.dtype.name not in allowed or raster.ndim < 2:
                message = f"{observable} is a raster of dtype {raster.dtype} and shape {list(raster.shape)}"
                fix = f"give [T, B, ...] of dtype {' or '.join(allowed)}"
                yield Finding("trace", "error", f"{where}, observable {observable!r}", message, fix)


def _name_faults(named: Mapping[str, Any], what: str) -> Iterator[Finding]:
    for name in named:
        if fault := name_fault(name):
            yield Finding("name", "error", f"{what} {name!r}", fault, "rename it")


class _Reader:
    """Reads nodes of a file that was looked over, and collects their arrays [B, T, N]."""

    def __init__(self, hdf5: h5py.File, limits: Limits) -> None:
        self.hdf5, self.limits = hdf5, limits
        self.arrays: dict[str, Raster] = {}
        self.text_bytes = 0

    def node(self, name: str, member: Group | Dataset) -> dict[str, Any]:
        """Give one node: dt, and for each observable its name, the key of its array and its shape or None."""
        observables = member.members.get("observables") if isinstance(member, Group) else None
        if not isinstance(member, Group) or not isinstance(observables, Group):
            raise _refused(f"node {name!r}", "no NIRNodeData: it has no observables")
        if (found := self.attribute(member, "__type__")) != "NIRNodeData":
            raise _refused(f"node {name!r}", f"{found!r:.80} where NIRNodeData is read; nested graphs are not")
        read, dts = [], {}
        for observable, group in observables.members.items():
            where = f"node {name!r}, observable {observable!r}"
            if not isinstance(group, Group):
                raise _refused(where, "a dataset where TimeGriddedData should be")
            key, shape, dts[observable] = self._raster(group, where)
            read.append([observable, key, shape])
        if len(set(dts.values())) > 1:
            raise _refused(f"node {name!r}", f"its observables have different dt: {sorted(set(dts.values()))}")
        if not dts:
            raise _refused(f"node {name!r}", "nothing was recorded of it")
        return {"dt": next(iter(dts.values())).hex(), "observables": read}

    def metadata(self, group: Group | Dataset | None) -> dict[str, str]:
        """Give the texts of /metadata; what others may keep there is not ours."""
        found: dict[str, str] = {}
        for key, member in group.members.items() if isinstance(group, Group) else ():
            if isinstance(member, Dataset) and member.sort == "text" and member.shape == ():
                self.limits.check("max_header_bytes", member.nbytes, where=at(member.path))
                raw = read_raw(self.hdf5, member)
                self.text_bytes += len(raw)
                self.limits.check("max_header_bytes", self.text_bytes, where=at(member.path))
                found[key] = decoded(raw, at(member.path))
        return found

    def attribute(self, group: Group, name: str) -> Any:
        """Give an attribute that is a text, a number or a few numbers; None where there is no such one."""
        with reading_hdf5(at(group.path)):
            opened_group = self.hdf5[group.path]
            if not h5a.exists(opened_group.id, name.encode()):
                return None
            attribute = h5a.open(opened_group.id, name.encode())
            known = attribute.get_type().get_class() in (h5t.STRING, h5t.FLOAT, h5t.INTEGER)
            if not known or math.prod(attribute.shape) > _MAX_ATTRIBUTE_NUMBERS:
                return None
            value = opened_group.attrs[name]
        return decoded(value, at(group.path)) if isinstance(value, bytes) else value

    def _raster(self, group: Group, where: str) -> tuple[str, list[int] | None, float]:
        kind, data = self.attribute(group, "__type__"), group.members.get("data")
        if kind in ("EventData", "ValuedEventData"):
            message = f"{kind}: converting its times to steps shifts spikes (80 of 10,000 at dt 1 ms)"
            raise InputFileError(message, where=where, fix=_REWRITE, kind="event_data")
        if kind != "TimeGriddedData" or not isinstance(data, Dataset):
            raise _refused(where, "no TimeGriddedData")
        if data.dtype is None or len(data.shape) != 3:
            raise _refused(where, f"shape {list(data.shape)}, {data.sort}: not numbers [B, T, N]")
        dt = self.attribute(group, "dt")
        if not isinstance(dt, np.floating | np.integer) or not (math.isfinite(dt) and dt > 0):
            raise _refused(where, f"dt is {dt!r:.80}, not a time in seconds")
        shape = self._shape(group, data, where)
        key = str(len(self.arrays))
        self.arrays[key] = read_array(self.hdf5, data)
        return key, shape, float(dt)

    def _shape(self, group: Group, data: Dataset, where: str) -> list[int] | None:
        """Give the shape [T, B, ...] that our metadata names, checked against the data; None where there is none."""
        stored = self.attribute(group, _SHAPE)
        if stored is None:
            return None
        batch, steps, count = data.shape
        shape = [int(n) for n in np.atleast_1d(stored)] if np.issubdtype(np.asarray(stored).dtype, np.integer) else []
        if shape[:2] != [steps, batch] or min(shape) < 0 or math.prod(shape[2:]) != count:
            raise _refused(where, f"shape mismatch: metadata says {shape}, the data are {list(data.shape)} [B, T, N]")
        if (dtype := self.attribute(group, _DTYPE)) != str(data.dtype):
            raise _refused(where, f"dtype mismatch: metadata says {dtype!r:.80}, the data are {data.dtype}")
        return shape


def _refused(where: str, message: str) -> InputFileError:
    return InputFileError(message, where=where, fix=_REWRITE, kind="trace")
