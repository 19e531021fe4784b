"""Reads what lava-dl's netx reads of a `.net` file: HDF5, a group `layer` with children 0, 1, and so on.

`parse` runs in the limited child process. Everything netx uses is a dataset; attributes, and datasets under other
names, are not read.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import h5py
from numpy.typing import NDArray

from norse_export.errors import InputFileError, LimitError
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
from norse_export.formats.hdf5_prescan import prescan

Arrays = dict[str, NDArray[Any]]

FIELDS = ("shape", "weight", "weight_rec", "bias", "delay", "stride", "padding", "dilation", "groups")
NEURON_FIELDS = ("iDecay", "vDecay", "vThMant")
ADDITIONS = "additions"  # additions.py says what stands there, and what its fields are
STATE_FIELDS, SYNAPSE_FIELDS = ("u", "v"), ("weight", "weight_exp", "recurrent")
MAX_TYPE_BYTES = 64
_REWRITE = "write the file again with lava-dl"


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
    """Read a .net file: for each layer its type, the keys that stand in it, the same of its neuron, and its arrays.

    An array's name is "layer/field" or "layer/neuron/field".

    Raises:
        InputFileError: truncated or corrupt HDF5, or no .net file.
        UnsafeFileError, LimitError: as `prescan`; a type of unlikely length.
    """
    with opened(file) as hdf5:
        tree = prescan(hdf5, limits)
        group = tree.members.get("layer")
        if not isinstance(group, Group) or not group.members:
            raise InputFileError(
                "an HDF5 file, but not a .net file: it has no layers under /layer",
                where=name_of(file),
                fix="give the file that net.export_hdf5 of lava-dl wrote",
            )
        arrays: Arrays = {}
        layers = [_layer(hdf5, group, number, arrays) for number in range(len(group.members))]
        additions = _additions(hdf5, tree, arrays)
    return {"layers": layers, "additions": additions}, arrays


def _additions(hdf5: h5py.File, tree: Group, arrays: Arrays) -> dict[str, list[str]]:
    """Read what additions.py describes: of each block the types of its further arrays of synapses."""
    root, found = _group(tree, ADDITIONS), {}
    for block, group in (root.members if root is not None else {}).items():
        if not isinstance(group, Group):
            raise InputFileError("numbers, where a group should stand", where=at(group.path), fix=_REWRITE)
        _read(hdf5, group, STATE_FIELDS, f"{ADDITIONS}/{block}", arrays)
        synapses = _group(group, "synapses")
        types = []
        for number in range(len(synapses.members) if synapses is not None else 0):
            one = synapses.members.get(str(number)) if synapses is not None else None
            if not isinstance(one, Group):
                message = f"arrays of synapses, and none is named {number}"
                raise InputFileError(message, where=at(group.path), fix=_REWRITE)
            _read(hdf5, one, SYNAPSE_FIELDS, f"{ADDITIONS}/{block}/{number}", arrays)
            types.append(_type(hdf5, one))
        found[block] = types
    return found


def sniff(file: BinaryIO, limits: Limits) -> tuple[dict[str, bool], Arrays]:
    """Tell whether an HDF5 file has what marks a .net file, /layer; nothing else of it is looked at.

    Run it in the limited child process.

    Raises:
        InputFileError: truncated or corrupt HDF5.
    """
    del limits  # nothing is read
    with opened(file) as hdf5, reading_hdf5(name_of(file)):
        found = hdf5.get("layer", getclass=True, getlink=True) is h5py.HardLink and "node" not in hdf5
    return {"net": found}, {}


def _layer(hdf5: h5py.File, group: Group, number: int, arrays: Arrays) -> dict[str, Any]:
    layer = group.members.get(str(number))
    if not isinstance(layer, Group):
        message = f"there are {len(group.members)} layers, and none is named {number}"
        raise InputFileError(message, where=at(group.path), fix=_REWRITE)
    neuron = _group(layer, "neuron")
    return {
        "type": _type(hdf5, layer),
        "keys": _read(hdf5, layer, FIELDS, f"{number}", arrays),
        "neuron": None
        if neuron is None
        else {
            "type": _type(hdf5, neuron),
            "keys": _read(hdf5, neuron, NEURON_FIELDS, f"{number}/neuron", arrays),
        },
    }


def _group(group: Group, name: str) -> Group | None:
    """A group within another, if there is one."""
    member = group.members.get(name)
    if isinstance(member, Dataset):
        message = f"{name} holds numbers or a text, where a group should stand"
        raise InputFileError(message, where=at(member.path), fix=_REWRITE)
    return member


def _read(hdf5: h5py.File, group: Group, fields: tuple[str, ...], place: str, arrays: Arrays) -> list[str]:
    """Read the numbers of some fields; give the names of all that stands in the group."""
    for name in fields:
        member = group.members.get(name)
        if isinstance(member, Dataset):
            if member.dtype is None:
                raise InputFileError("a text, where numbers should stand", where=at(member.path), fix=_REWRITE)
            arrays[f"{place}/{name}"] = read_array(hdf5, member)
    return sorted(group.members)


def _type(hdf5: h5py.File, group: Group) -> str:
    """The type of a layer or a neuron: a text, or an array of texts of which the first counts."""
    member = group.members.get("type")
    if not isinstance(member, Dataset) or member.sort != "text" or (member.shape and 0 in member.shape):
        raise InputFileError("it has no type", where=at(group.path), fix=_REWRITE)
    if member.nbytes > MAX_TYPE_BYTES:
        message = f"too large: a type of {member.nbytes} bytes exceeds {MAX_TYPE_BYTES}"
        raise LimitError(message, where=at(member.path), fix=_REWRITE)
    raw = read_raw(hdf5, member)
    text = bytes(raw.reshape(-1)[0] if member.shape else raw)
    return decoded(text[:MAX_TYPE_BYTES], at(member.path))
