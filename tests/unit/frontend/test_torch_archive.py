"""Zip archives that are not as torch.save writes them are refused, whatever is in them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch_programs import archive, messages, read, refused, saved, tensor, value

from norse_export.errors import ExportError, InputFileError, UnsafeFileError


def rewrite(file: io.BytesIO, **changes: Any) -> io.BytesIO:
    """The same archive with its records written another way."""
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(info.filename, content, **changes)
    return changed


def plain() -> io.BytesIO:
    return archive(value({"x": tensor()}))


def raw(*records: tuple[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for record, content in records:
            info = zipfile.ZipInfo(record)
            info.filename = record  # also what ZipInfo would normalise
            zipped.writestr(info, content)
    return file


@pytest.mark.filterwarnings("ignore:Duplicate name")
def archives() -> Iterator[tuple[str, type[ExportError], str, io.BytesIO]]:
    good = plain().getvalue()
    yield "empty", InputFileError, "empty", io.BytesIO()
    yield "no zip", InputFileError, "not a zip", io.BytesIO(b"hello world")
    yield "one byte", InputFileError, "not a zip", io.BytesIO(b"P")
    yield "bare pickle", UnsafeFileError, "legacy torch.save file.*not allowed", io.BytesIO(pickle.dumps({}))
    legacy = saved({"x": torch.ones(1)}, _use_new_zipfile_serialization=False)
    yield "legacy", UnsafeFileError, "legacy torch.save file.*not allowed", legacy
    yield "half", InputFileError, "truncated or corrupt zip", io.BytesIO(good[: len(good) // 2])
    yield "without its last byte", InputFileError, "truncated or corrupt zip", io.BytesIO(good[:-1])
    yield "no records", InputFileError, "0 records named data.pkl", raw()
    yield "something before it", InputFileError, "does not begin", io.BytesIO(b"PK\x03\x04" + good)
    compressed = rewrite(plain(), compress_type=zipfile.ZIP_DEFLATED)
    yield "compressed", InputFileError, "compressed", compressed
    yield "leaves its folder", UnsafeFileError, "leads out", archive(b"N", records={"../../x": b""})
    yield "absolute", UnsafeFileError, "leads out", raw(("/etc/data.pkl", b"N."))
    yield "backslash", UnsafeFileError, "name that no torch.save writes", archive(b"N", records={"..\\x": b""})
    yield "drive", UnsafeFileError, "name that no torch.save writes", raw(("C:/data.pkl", b"N."))
    yield "control characters", UnsafeFileError, r"\\x1b", archive(b"N", records={"\x1b[2J": b""})
    yield "two folders", InputFileError, "2 folders", raw(("a/data.pkl", b"N."), ("b/version", b"3"))
    yield "two pickles", InputFileError, "2 records", raw(("a/data.pkl", b"N."), ("a/b/data.pkl", b"N."))
    yield "pickle too deep", InputFileError, "1 records named data.pkl", raw(("a/b/data.pkl", b"N."))
    yield "no pickle", InputFileError, "0 records named data.pkl", archive(drop=("data.pkl",))
    yield "no version", InputFileError, "version ''", archive(b"N", drop=("version",))
    yield "later version", InputFileError, "version '11'", archive(b"N", records={"version": b"11\n"})
    yield "big-endian", InputFileError, "byte order 'big'", archive(b"N", records={"byteorder": b"big"})
    yield "TorchScript", InputFileError, "TorchScript", archive(records={"constants.pkl": b""})
    yield "TorchScript code", InputFileError, "TorchScript", archive(records={"code/__torch__.py": b""})
    yield (
        "torch.export",
        UnsafeFileError,
        "torch.export archives are not supported",
        archive(records={"archive_format": b"pt2"}),
    )
    old_export = raw(("serialized_exported_program.json", b"{}"), ("version", b"1"))
    yield "old torch.export", UnsafeFileError, "torch.export archives are not supported", old_export
    yield "torch.package", UnsafeFileError, "torch.package", archive(records={".data/extern_modules": b""})


@pytest.mark.parametrize(("error", "pattern", "file"), [pytest.param(*rest, id=key) for key, *rest in archives()])
def test_an_archive_that_is_not_of_torch_save_is_refused(
    error: type[ExportError], pattern: str, file: io.BytesIO
) -> None:
    with pytest.raises(error, match=pattern) as caught:
        read(file)
    assert caught.value.exit_code == 2
    assert "save" in caught.value.fix


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused() -> None:
    error = refused(raw(("a/data.pkl", b"N."), ("a/data.pkl", b"N."), ("a/version", b"3"), ("a/version", b"3")))
    assert "duplicate record 'a/data.pkl'" in messages(error)
    assert "duplicate record 'a/version'" in messages(error)


def test_an_archive_without_byte_order_is_of_an_older_torch() -> None:
    _, arrays = read(archive(value({"x": tensor()}), drop=("byteorder",)))
    assert arrays["0"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("record", ["data/0", "data/1", "data.pkl", "byteorder"])
def test_one_changed_byte_in_a_record_is_found(record: str) -> None:
    """Also in one that no tensor uses. torch.load never looks at the checksum."""
    file = archive(value({"x": tensor()}), records={"data/1": b"unused"})
    with zipfile.ZipFile(file) as zipped:
        info = zipped.getinfo(f"archive/{record}")
    content = bytearray(file.getvalue())
    start = info.header_offset + 30 + len(info.filename)
    content[start + info.file_size - 1] ^= 1
    with pytest.raises(InputFileError, match="CRC"):
        read(io.BytesIO(content))


def test_records_that_overlap_are_refused() -> None:
    """A second entry in the directory that points into the first record: much content for few bytes."""
    content = plain().getvalue()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x01\x02", start + 4)
    entry = bytearray(content[start:end])
    entry[46 : 46 + 8] = b"brchive/"[:8]  # another name, so that it is no duplicate
    tail = bytearray(content[content.index(b"PK\x05\x06") :])
    count = int.from_bytes(tail[8:10], "little") + 1
    size = int.from_bytes(tail[12:16], "little") + len(entry)
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = size.to_bytes(4, "little")
    file = content[: content.index(b"PK\x05\x06")] + bytes(entry) + bytes(tail)
    assert "does not begin where it should" in messages(refused(io.BytesIO(file), InputFileError))


def test_mutants_of_a_real_file_are_accepted_or_refused() -> None:
    content = saved(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Flatten())).getvalue()
    random = np.random.default_rng(0)
    outcomes = set()
    for position in random.integers(0, len(content), 300):
        mutant = bytearray(content)
        mutant[position] ^= int(random.integers(1, 256))
        with suppress(ExportError):
            read(io.BytesIO(mutant))
            outcomes.add("accepted")  # a byte of padding or of a date
            continue
        outcomes.add("refused")
    assert outcomes == {"accepted", "refused"}
