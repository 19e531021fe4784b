"""Opens the zip archive that torch.save writes, and checks everything about it before a record is read.

torch.save writes one folder of records, stored and not compressed: `data.pkl` (the pickle), `data/0`, `data/1`, ...
(the storages), `version`, `byteorder`, and some that torch keeps for itself (torch 2.13.0, `torch/serialization.py`,
`_save`). An archive that is anything else is refused: two records of one name, for example, would let a scanner and
a loader read different ones.
"""

from __future__ import annotations

import codecs
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError, Finding, InputFileError, UnsafeFileError
from norse_export.files.limits import Limits

codecs.lookup("cp437")  # names without the UTF-8 flag; looked up here so that reading a file imports nothing

PICKLE = "data.pkl"
SAVE = "call norse_export.save(model, path, example_input) in the training script, and export that file"
_SAVE_AGAIN = f"torch.save the model again with the present format, or better: {SAVE}"
_GET_AGAIN = "copy the file again, or save the model again"

_ZIP_START = b"PK\x03\x04"
_EMPTY_ZIP_START = b"PK\x05\x06"
_LOCAL_HEADER_BYTES = 30  # APPNOTE 4.3.7, without name and extra field
_ENCRYPTED = 0x1  # APPNOTE 4.4.4
_CHUNK_BYTES = 2**20
# torch 2.13.0, caffe2/serialize/versions.h: kMinSupportedFileFormatVersion, kMaxSupportedFileFormatVersion.
_VERSIONS = range(1, 11)

# Raised by zipfile on archives that are not sound, or of a kind it does not know.
_ZIP_ERRORS = (BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, EOFError, struct.error)


def pickle_of(file: str) -> str:
    """The pickle inside a file, for messages."""
    return f"{file} [{PICKLE}]"


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Errors raised inside name the user's file, where they only know of the pickle in it."""
    try:
        yield
    except ExportError as error:
        error.where = pickle_of(file) if error.where == PICKLE else error.where
        error.findings = tuple(
            replace(found, where=pickle_of(file)) if found.where == PICKLE else found for found in error.findings
        )
        raise


@dataclass(frozen=True, slots=True)
class Archive:
    """A checked archive: its records by name, without the folder they all stand in."""

    name: str
    zip: ZipFile
    records: Mapping[str, ZipInfo]

    def read(self, record: str) -> NDArray[np.uint8]:
        """The bytes of a record, read-only.

        Raises:
            InputFileError: its checksum (CRC) is wrong, or it is shorter than declared.
        """
        info = self.records[record]
        content = np.empty(info.file_size, dtype=np.uint8)
        start = 0
        for chunk in self._chunks(record):
            content[start : start + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
            start += len(chunk)
        content.setflags(write=False)
        return content

    def check(self, records: Iterable[str]) -> None:
        """Read records to their end for their checksums alone.

        Raises:
            InputFileError: as `read`.
        """
        for record in records:
            for _ in self._chunks(record):
                pass

    def _chunks(self, record: str) -> Iterator[bytes]:
        info = self.records[record]
        left = info.file_size
        try:
            with self.zip.open(info) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    left -= len(chunk)
                    yield chunk
        except _ZIP_ERRORS as error:
            raise self._corrupt(f"record {record!a}: {error}") from error
        if left:
            raise self._corrupt(f"record {record!a} is {left} bytes short")

    def _corrupt(self, what: str) -> InputFileError:
        return InputFileError(f"truncated or corrupt zip: {what}", where=self.name, fix=_GET_AGAIN, kind="corrupt")


def open_archive(file: BinaryIO, limits: Limits) -> Archive:
    """Open an archive of torch.save, and check its structure. The pickle inside is not looked at.

    Raises:
        InputFileError: empty, no zip, truncated, corrupt, compressed; TorchScript; big-endian; no torch.save archive.
        UnsafeFileError: a bare pickle, a torch.export or torch.package archive, two records of one name, a record
            that would leave its folder.
        LimitError: more records, longer names or more bytes than the limits allow.
    """
    name = str(getattr(file, "name", "the file"))
    _check_start(file, name)
    try:
        archive = ZipFile(file)
    except (*_ZIP_ERRORS, OSError) as error:
        raise InputFileError(
            f"truncated or corrupt zip: {error}", where=name, fix=_GET_AGAIN, kind="corrupt"
        ) from error
    infos = archive.infolist()
    limits.check("max_objects", len(infos), where=name)
    _refuse_other_kinds([info.filename for info in infos], name)
    findings = [*_bad_names(infos, name), *_bad_layout(infos, name)]
    if findings:
        unsafe = any(finding.kind == UnsafeFileError.kind for finding in findings)
        raise (UnsafeFileError if unsafe else InputFileError).of(findings)
    limits.check("max_name_bytes", max((len(info.filename.encode()) for info in infos), default=0), where=name)
    limits.check("max_bytes", sum(info.file_size for info in infos), where=name)
    checked = Archive(name, archive, _without_folder(infos, name))
    _check_format(checked, limits)
    return checked


def _check_start(file: BinaryIO, name: str) -> None:
    """Refuse what is not even the beginning of a zip."""
    file.seek(0)
    start = file.read(4)
    file.seek(0)
    if not start:
        raise InputFileError("the file is empty", where=name, fix=_GET_AGAIN, kind="empty")
    if start in (_ZIP_START, _EMPTY_ZIP_START):
        return
    if start[0] == 0x80:  # PROTO, with which pickles of protocol 2 and later begin
        raise bare_pickle(name)
    raise InputFileError("not a file of torch.save: not a zip archive", where=name, fix=_SAVE_AGAIN, kind="format")


def bare_pickle(name: str) -> UnsafeFileError:
    """The error for a pickle without an archive around it, as torch.save wrote before torch 1.6."""
    return UnsafeFileError(
        "a bare pickle (or a legacy torch.save file) is not allowed: loading one is unsafe, as it can run any code",
        where=name,
        fix=_SAVE_AGAIN,
    )


def _refuse_other_kinds(names: list[str], name: str) -> None:
    """Refuse the other archives of torch by their name."""
    inner = {record.partition("/")[2] for record in names}
    if "constants.pkl" in inner or any(record.startswith("code/") for record in inner):
        raise InputFileError(
            "TorchScript archives are not supported: they hold code, not modules", where=name, fix=SAVE, kind="format"
        )
    marks = {"archive_format", "models/model.json", "serialized_exported_program.json"}
    if marks & (inner | set(names)):
        raise UnsafeFileError(
            "torch.export archives are not supported: loading one is unsafe, as it can run code from the file",
            where=name,
            fix=SAVE,
        )
    if ".data/extern_modules" in inner:
        raise UnsafeFileError(
            "torch.package archives are not supported: they hold code, which is unsafe to run", where=name, fix=SAVE
        )


def _bad_names(infos: list[ZipInfo], name: str) -> Iterator[Finding]:
    """Names that occur twice, or that lead out of the folder."""

    def unsafe(what: str) -> Finding:
        return Finding(UnsafeFileError.kind, "error", name, f"{what}: not allowed, unsafe", _SAVE_AGAIN)

    for record, count in Counter(info.filename for info in infos).items():
        if count > 1:
            yield unsafe(f"duplicate record {record!a}, {count} times")
    for info in infos:
        record, parts = info.filename, info.filename.split("/")
        strange = record != info.orig_filename or "\\" in record or ":" in parts[0] or not record.isprintable()
        if strange:
            yield unsafe(f"record {info.orig_filename!a} has a name that no torch.save writes")
        elif any(part in ("", ".", "..") for part in parts):
            yield unsafe(f"record {info.filename!a} leads out of its folder")


def _bad_layout(infos: list[ZipInfo], name: str) -> Iterator[Finding]:
    """Records that are compressed or encrypted, overlap, or do not begin where the file does."""

    def bad(kind: str, what: str) -> Finding:
        return Finding(kind, "error", name, what, _SAVE_AGAIN)

    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        record = ascii(info.filename)
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
            yield bad("compressed", f"record {record} is compressed; torch.save only stores")
        if info.flag_bits & _ENCRYPTED:
            yield bad("encrypted", f"record {record} is encrypted")
        if info.header_offset < end or (end == 0 and info.header_offset != 0):
            yield bad("corrupt", f"corrupt zip: record {record} does not begin where it should")
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size


def _without_folder(infos: list[ZipInfo], name: str) -> dict[str, ZipInfo]:
    """The records by name without the one folder that they all stand in."""
    pickles = [info.filename for info in infos if info.filename.endswith("/" + PICKLE)]
    folders = {info.filename.partition("/")[0] for info in infos}
    if len(folders) != 1 or pickles != [f"{folder}/{PICKLE}" for folder in folders]:
        raise InputFileError(
            f"not a file of torch.save: {len(pickles)} records named {PICKLE} in {len(folders)} folders instead of one",
            where=name,
            fix=_SAVE_AGAIN,
            kind="format",
        )
    return {info.filename.partition("/")[2]: info for info in infos}


def _check_format(archive: Archive, limits: Limits) -> None:
    """Version and byte order. Archives of torch before 2.1 have no `byteorder`, and are little-endian."""
    limits.check("max_header_bytes", archive.records[PICKLE].file_size, where=archive.name)
    found = {}
    for record in ("version", "byteorder"):
        if record in archive.records:
            limits.check("max_name_bytes", archive.records[record].file_size, where=archive.name)
            found[record] = archive.read(record).tobytes().decode("ascii", "replace").strip()
    version, order = found.get("version", ""), found.get("byteorder", "little")
    if version not in map(str, _VERSIONS):
        raise InputFileError(
            f"its format version {version!a} is unknown", where=archive.name, fix=_SAVE_AGAIN, kind="format"
        )
    if order != "little":
        raise InputFileError(
            f"byte order {order!a} is not supported, only little",
            where=archive.name,
            fix="save the model on a little-endian machine",
            kind="format",
        )
