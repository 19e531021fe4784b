"""What an input file is, by its content and never by its suffix.

This runs in our own process, before the child that parses, so it reads a few bytes and follows nothing: the first
`HEAD_BYTES`, the last byte of something that looks like a pickle, and 8 bytes at each place where an HDF5 signature
may stand. The directory of a zip archive is not read. Its first local header names the first member: `*.npy` makes
it NPZ, and everything else is TORCH_ZIP. Whether that is a pickled module, a state_dict, TorchScript or a
torch.export archive (or a zip of something else) is for the parser in the child to say, which reads the directory.
"""

from __future__ import annotations

import io
import re
from enum import Enum, unique
from typing import BinaryIO

HEAD_BYTES = 4096

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a local header; the end record of an empty archive
_NPY_MAGIC = b"\x93NUMPY"
# HDF5 File Format Specification 3.0, II.A: the signature stands at 0, 512, 1024, 2048, ...
_HDF5_FIRST_OFFSET = 512
# A safetensors header longer than this is not a header: the three top bytes of its length are zero.
_SAVED_LENGTH_ZEROS = slice(5, 8)
# The header of our artefacts is canonical JSON (formats/safetensors_file.py), and "_" stands before every letter, so
# that metadata come first; their own first key is this (formats/fixed_file.py).
_FIXED_HEADER = b'{"__metadata__":{"norse_export_fixed":'
# Pickle protocols 2 to 5 begin with PROTO; 0 and 1 have no magic: GLOBAL or INST near the start, or an empty
# container, and STOP at the end.
_PICKLE_PROTOCOLS = range(2, 6)
_OLD_PICKLE = re.compile(rb"[(\]})0-9dlt.IKMLVSFNpq\n]{0,64}[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
_OLD_PICKLE_STARTS = (b"(d", b"(l", b"(t", b"]q", b"}q", b"](", b"}(")
_PICKLE_STOP = b"."
# onnx.proto, message ModelProto: tags of the fields that may follow ir_version (number << 3 | wire type).
_ONNX_IR_VERSION_TAG = 0x08
_ONNX_NEXT_TAGS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})


@unique
class Kind(Enum):
    """The kinds of input that are told apart; the value is the name for messages."""

    SAVED = "a safetensors file"
    FIXED = "an artefact of target sim"
    TORCH_ZIP = "a zip archive, as torch.save writes"
    TORCH_LEGACY = "a pickle"
    HDF5 = "an HDF5 file, as NIR is"
    ONNX = "an ONNX model"
    NPZ = "a numpy archive (.npz)"
    NPY = "a numpy array (.npy)"
    CSV = "a table of numbers (CSV)"
    EMPTY = "an empty file"
    UNKNOWN = "a file of unknown kind"


def kind_of(file: BinaryIO) -> Kind:
    """The kind of an open file; its position is the same afterwards. Never raises for any content."""
    position = file.tell()
    try:
        file.seek(0)
        return _kind(file, file.read(HEAD_BYTES))
    finally:
        file.seek(position)


def _kind(file: BinaryIO, head: bytes) -> Kind:
    if not head:
        return Kind.EMPTY
    if head.startswith(_HDF5_SIGNATURE):
        return Kind.HDF5
    if head.startswith(_NPY_MAGIC):
        return Kind.NPY
    if head.startswith(_ZIP_STARTS):
        return Kind.NPZ if _first_member(head).endswith(b".npy") else Kind.TORCH_ZIP
    if head[8:9] == b"{" and not any(head[_SAVED_LENGTH_ZEROS]):
        return Kind.FIXED if head.startswith(_FIXED_HEADER, 8) else Kind.SAVED
    if _is_onnx(head):
        return Kind.ONNX
    if _is_csv(head):
        return Kind.CSV
    if _is_pickle(file, head):
        return Kind.TORCH_LEGACY
    return Kind.HDF5 if _has_hdf5_user_block(file) else Kind.UNKNOWN


def _first_member(head: bytes) -> bytes:
    """The name in a zip's first local header (APPNOTE 4.3.7: its length at 26, the name at 30)."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")]


def _is_pickle(file: BinaryIO, head: bytes) -> bool:
    if head[0] == 0x80 and len(head) > 1:
        return head[1] in _PICKLE_PROTOCOLS
    if not (_OLD_PICKLE.match(head) or head.startswith(_OLD_PICKLE_STARTS)):
        return False
    file.seek(-1, io.SEEK_END)
    return file.read(1) == _PICKLE_STOP


def _is_onnx(head: bytes) -> bool:
    """ModelProto begins with ir_version, a small number (13 in 2025); then one of its other fields, or the end."""
    return (
        len(head) >= 2
        and head[0] == _ONNX_IR_VERSION_TAG
        and 0 < head[1] < 0x80
        and (len(head) == 2 or head[2] in _ONNX_NEXT_TAGS)
    )


def _is_csv(head: bytes) -> bool:
    """Lines of numbers between commas; what the end of the head may have cut in two is not looked at."""
    if len(head) == HEAD_BYTES:
        head = head[: max(head.rfind(b"\n"), head.rfind(b","), 0)]
    try:
        lines = [line for line in head.decode("ascii").splitlines() if line.strip()]
        for line in lines:
            for cell in line.split(","):
                float(cell)
    except ValueError:  # UnicodeDecodeError is one
        return False
    return bool(lines)


def _has_hdf5_user_block(file: BinaryIO) -> bool:
    size, offset = file.seek(0, io.SEEK_END), _HDF5_FIRST_OFFSET
    while offset + len(_HDF5_SIGNATURE) <= size:
        file.seek(offset)
        if file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE:
            return True
        offset *= 2
    return False
