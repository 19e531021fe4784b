"""Our container of tensors: a safetensors file in one canonical form, with a checksum for every byte.

    8 bytes      length n of the header, little endian
    n bytes      JSON, keys sorted, no blanks, ASCII; blanks at its end until 8 + n is a multiple of 64
    the tensors  without gaps, the widest dtype first, then by name: each is aligned to its own width

`__metadata__` holds strings, one of them under `sha256`: a JSON object with the SHA-256 of each tensor's bytes (of more
than 32 MiB, that of the SHA-256s of its blocks of 32 MiB), and under "" that of the header itself without this entry.
Any library that reads safetensors reads it.

Reading is in two parts. `parse_header` runs in the limited child, since the JSON is from outside; `read_tensors` only
copies bytes to where the checked header says, and hashes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.limits import Limits
from norse_export.formats.hashing import Hashing

# Names of dtypes in safetensors 0.5 and later (safetensors/src/tensor.rs, enum Dtype), of those that we keep.
DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}
CHECKSUMS = "sha256"
MAX_DIMENSIONS = 64  # numpy 2: NPY_MAXDIMS

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_METADATA = "__metadata__"
_OF_HEADER = ""  # a tensor cannot have this name
_LENGTH_BYTES = 8
_TOO_LARGE = 2**63  # numpy's sizes are of 64 bits, with a sign
_DATA_ALIGNMENT = 64
_HEX_DIGITS = 64
# Small enough to share the work evenly, large enough that handing over costs nothing.
_CHUNK_BYTES = 4 * 2**20
_FIX = "get the file again from its source, or make it again: norse_export.save writes models, norse-export artefacts"

Entry = dict[str, Any]  # {"dtype", "shape", "data_offsets"}, as in the file


def write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata; the same content gives the same bytes. No array is copied, unless not contiguous.

    Raises:
        TypeError: an array of a dtype that is not in `DTYPES`.
        ValueError: the name "" or "__metadata__", or metadata of our own name.
        OSError: the file cannot be written.
    """
    for name in (_OF_HEADER, _METADATA):
        if name in arrays:
            raise ValueError(f"{name!r} cannot name a tensor")
    if CHECKSUMS in metadata:
        raise ValueError(f"{CHECKSUMS!r} is written by this module")
    ordered = _in_order({name: _contiguous(name, array) for name, array in arrays.items()})
    with Hashing() as hashing:
        pending = {name: hashing.hash(_chunks(array), array.nbytes) for name, array in ordered.items()}
        digests = {name: digest() for name, digest in pending.items()}
    file.write(_header_bytes(_entries_of(ordered), metadata, digests))
    for array in ordered.values():
        file.write(_bytes_of(array))


def parse_header(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read and check the header of a file of ours; a parser for `parse_in_child`.

    Gives `{"tensors": {name: {"dtype", "shape", "start", "sha256"}}, "metadata": {key: text}, "sha256": text}`, with
    `start` in bytes from the start of the file, and no arrays. The last is the header's own checksum: since the header
    holds those of all tensors, it stands for the whole content.

    Raises:
        InputFileError: truncated, corrupt, not in the canonical form, or a safetensors file that is not ours.
        LimitError: header, names, number of tensors or declared bytes beyond the limits.
    """
    where = name_of(file)
    raw, data_bytes = _raw_header(file, limits, where)
    header = strict_json.loads(raw, where=where, limits=None)
    metadata, digests = _checked_metadata(header, where)
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    limits.check("max_objects", len(entries), where=where)
    for name, entry in entries.items():
        _check_entry(name, entry, where, limits)
    _check_cover(entries, data_bytes, where)
    limits.check("max_bytes", data_bytes, where=where)
    if set(digests) != {_OF_HEADER, *entries}:
        raise _corrupt("its checksums are not those of its tensors", where)
    if raw != _header_bytes(entries, metadata, {name: digests[name] for name in entries})[_LENGTH_BYTES:]:
        raise _corrupt("the header does not match its checksum", where)
    return {
        "tensors": {name: _described(entry, len(raw), digests[name]) for name, entry in entries.items()},
        "metadata": metadata,
        CHECKSUMS: digests[_OF_HEADER],
    }, {}


def read_tensors(file: BinaryIO, header: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Read the tensors that `parse_header` described, each into a read-only array of its own, and verify them.

    One thread reads while two hash (hashlib gives up the GIL); nothing is held besides the arrays.

    Raises:
        InputFileError: the file was truncated meanwhile, or bytes do not match their checksum.
    """
    where, tensors = name_of(file), header["tensors"]
    _check_room(file, tensors, where)
    arrays: dict[str, NDArray[Any]] = {}
    with Hashing() as hashing:
        digests = {}
        for name, entry in tensors.items():
            array = arrays[name] = np.empty(entry["shape"], DTYPES[entry["dtype"]])
            file.seek(entry["start"])
            digests[name] = hashing.hash(_filled(file, array, name, where), array.nbytes)
        for name, digest in digests.items():
            if digest() != tensors[name][CHECKSUMS]:
                raise _corrupt(f"the bytes of tensor {name!r} do not match their checksum", where)
    for name, array in arrays.items():
        if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
            raise _corrupt(f"tensor {name!r} holds a truth value that is neither 0 nor 1", where)
        array.setflags(write=False)
    return arrays


def _in_order(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))


def _contiguous(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """C order and little endian: the array itself where it is so already."""
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in _NAMES:
        raise TypeError(f"tensor {name!r} has dtype {array.dtype}, which a model file does not hold")
    return np.asarray(array, dtype=dtype, order="C")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _chunks(array: NDArray[Any]) -> Iterator[memoryview]:
    data = _bytes_of(array)
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _filled(file: BinaryIO, array: NDArray[Any], name: str, where: str) -> Iterator[memoryview]:
    """The bytes of `array`, read from the file chunk by chunk."""
    reader = cast(io.BufferedReader, file)  # typing.BinaryIO does not know readinto
    for chunk in _chunks(array):
        if reader.readinto(chunk) != len(chunk):
            raise _corrupt(f"truncated in tensor {name!r}", where)
        yield chunk


def _entries_of(ordered: Mapping[str, NDArray[Any]]) -> dict[str, Entry]:
    entries, start = {}, 0
    for name, array in ordered.items():
        end = start + array.nbytes
        entries[name] = {"dtype": _NAMES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    return entries


def _header_bytes(entries: Mapping[str, Entry], metadata: Mapping[str, str], digests: Mapping[str, str]) -> bytes:
    """The length and the header, with all checksums in it, blanks included."""

    def encoded(checksums: Mapping[str, str]) -> bytes:
        return _canonical({**entries, _METADATA: {**metadata, CHECKSUMS: _canonical(checksums).decode("ascii")}})

    of_header = hashlib.sha256(encoded(digests)).hexdigest()
    header = encoded({**digests, _OF_HEADER: of_header})
    header += b" " * (-(_LENGTH_BYTES + len(header)) % _DATA_ALIGNMENT)
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _raw_header(file: BinaryIO, limits: Limits, where: str) -> tuple[bytes, int]:
    """The header's JSON with its blanks, and the number of bytes that follow it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
        raise _corrupt("truncated in its header", where)
    limits.check("max_header_bytes", length, where=where)
    return file.read(length), size - _LENGTH_BYTES - length


def _checked_metadata(header: Any, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """The metadata without the checksums, and these."""
    metadata = header.get(_METADATA) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or CHECKSUMS not in metadata:
        raise InputFileError(
            "corrupt, or not saved by norse_export: a safetensors file without our checksums",
            where=where,
            fix="save the model with norse_export.save(model, path, example_input); tensors alone have no architecture",
            kind="not_saved",
        )
    if not all(isinstance(text, str) for text in metadata.values()):
        raise _corrupt("metadata that are not text", where)
    digests = strict_json.loads(metadata[CHECKSUMS], where=where, limits=None)
    if not isinstance(digests, dict) or not all(
        isinstance(digest, str) and len(digest) == _HEX_DIGITS for digest in digests.values()
    ):
        raise _corrupt("checksums that are none", where)
    return {key: text for key, text in metadata.items() if key != CHECKSUMS}, digests


def _check_entry(name: str, entry: Any, where: str, limits: Limits) -> None:
    """Name, dtype, shape and length of one tensor."""
    try:
        limits.check("max_name_bytes", len(name.encode("utf-8")), where=f"{where}: tensor {name[:40]!r}")
    except UnicodeEncodeError as error:
        raise _corrupt(f"a tensor's name that is no text: {name!r}", where) from error
    match entry:
        case {"dtype": str() as dtype, "shape": [*shape], "data_offsets": [begin, end], **others} if not others:
            numbers = [*shape, begin, end]
        case _:
            raise _corrupt(f"tensor {name!r} is described by more or less than dtype, shape and data_offsets", where)
    if not name or dtype not in DTYPES:
        raise _corrupt(f"tensor {name!r} has dtype {dtype!r}, which is unknown", where)
    if len(shape) > MAX_DIMENSIONS or not all(type(number) is int and 0 <= number < _TOO_LARGE for number in numbers):
        raise _corrupt(f"tensor {name!r} has an impossible shape or place", where)
    width = np.dtype(DTYPES[dtype]).itemsize
    if prod(size for size in shape if size) * width >= _TOO_LARGE:  # numpy counts so: a size of 0 excuses no other
        raise _corrupt(f"tensor {name!r} has an impossible shape", where)
    if end - begin != prod(shape) * width:
        raise _corrupt(f"tensor {name!r}: its shape and its length do not agree", where)


def _check_cover(entries: Mapping[str, Entry], data_bytes: int, where: str) -> None:
    """The tensors cover what follows the header, each byte once."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        begin, next_end = entry["data_offsets"]
        if begin != end:
            raise _corrupt(f"{'an overlap' if begin < end else 'a gap'} before tensor {name!r}", where)
        end = next_end
    if end > data_bytes:
        raise _corrupt(f"truncated: {end - data_bytes} bytes are missing", where)
    if end < data_bytes:
        raise _corrupt(f"{data_bytes - end} bytes after the last tensor", where)


def _described(entry: Entry, header_bytes: int, digest: str) -> dict[str, Any]:
    start = _LENGTH_BYTES + header_bytes + entry["data_offsets"][0]
    return {"dtype": entry["dtype"], "shape": entry["shape"], "start": start, CHECKSUMS: digest}


def _check_room(file: BinaryIO, tensors: Mapping[str, Any], where: str) -> None:
    """Nothing is allocated that the file cannot fill: it may have changed since its header was read."""
    declared = sum(prod(entry["shape"]) * np.dtype(DTYPES[entry["dtype"]]).itemsize for entry in tensors.values())
    if declared > file.seek(0, os.SEEK_END):
        raise _corrupt("truncated: the file is shorter than when its header was read", where)


def _corrupt(what: str, where: str) -> InputFileError:
    return InputFileError(f"corrupt: {what}", where=where, fix=_FIX, kind="corrupt")
