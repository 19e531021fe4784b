"""Input rasters out of .npz, .npy and CSV: read as they are, and refused in words when they are none."""

from __future__ import annotations

import io
import os
import random
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from permissions import permissions_count

from norse_export.errors import ExportError, InputFileError, LimitError
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.formats import inputs
from norse_export.formats.inputs import InputFile, parse, read_inputs

R = np.random.default_rng(0)
RASTER = (R.random((5, 3, 2, 4)) < 0.4).astype(np.float32)
LABELS = np.array([2, 0, 1])


class Named(io.BytesIO):
    name = "x.npz"


def in_process(data: bytes, limits: Limits | None = None) -> dict[str, Any]:
    """What the parser gives, without the child process around it."""
    return parse(Named(data), limits or Limits())[1]


def parsed_here(_: str, file: Any, *, name: str, limits: Limits) -> Parsed:
    """The parser in this process, which is faster; other tests go through the child."""
    return Parsed(*parse(file, limits))


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def read(data: bytes, tmp_path: Path, limits: Limits | None = None) -> InputFile:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    return read_inputs(path, limits or Limits())


@pytest.mark.parametrize("compressed", [False, True])
def test_an_npz_gives_its_rasters_and_labels(compressed: bool, tmp_path: Path) -> None:
    found = read(npz(compressed, input=RASTER, second=RASTER[:, :, 0], labels=LABELS), tmp_path)
    assert set(found.rasters) == {"input", "second"}
    assert np.array_equal(found.rasters["input"], RASTER)
    assert found.rasters["input"].dtype == np.float32
    assert found.labels is not None
    assert np.array_equal(found.labels, LABELS)
    assert not found.recorded
    assert not found.rasters["input"].flags.writeable


def test_an_npy_is_the_one_raster(tmp_path: Path) -> None:
    found = read(npy(RASTER), tmp_path)
    assert set(found.rasters) == {"input"}
    assert np.array_equal(found.rasters["input"], RASTER)
    assert found.labels is None


def test_a_csv_is_a_recording_of_one_neuron(tmp_path: Path) -> None:
    found = read(b"1,0.25,0\n0,0.5,1\n1,-1e-3,0\n", tmp_path)
    assert found.rasters["input"].shape == (3, 1, 1)
    assert found.rasters["input"].ravel().tolist() == [1, 0, 1]
    assert found.recorded["v"].tolist() == [0.25, 0.5, -1e-3]
    assert found.recorded["spike"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "columns"),
    [(b"1\n0\n", 1), (b"1,2\r\n0,3\r\n", 2), (b"1,2,3", 3), (b" 1 , 2 \n", 2), (b"1e-3\n-2.5\n", 1)],
    ids=range(5),
)
def test_a_csv_may_have_fewer_columns(text: bytes, columns: int) -> None:
    assert list(in_process(text)) == ["input", "v", "spike"][:columns]


DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
          "float64", ">f4", ">i8", ">f8")  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_numbers_of_any_type_are_read(dtype: str) -> None:
    array = (RASTER * 3).astype(dtype)
    found = in_process(npz(input=array))["input"]
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


def test_every_type_passes_out_of_the_child_process(tmp_path: Path) -> None:
    arrays = {f"a{number}": (RASTER * 3).astype(dtype) for number, dtype in enumerate(DTYPES)}
    found = read(npz(**arrays), tmp_path).rasters
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (2, 0, 3), (1,) * 12])
def test_any_shape_is_read(shape: tuple[int, ...]) -> None:
    array = R.random(shape)
    found = in_process(npy(array))["input"]
    assert found.shape == shape
    assert np.array_equal(found, array)


def test_columns_first_comes_back_in_its_order() -> None:
    assert np.array_equal(in_process(npy(np.asfortranarray(RASTER)))["input"], RASTER)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, RASTER, version)
    assert np.array_equal(in_process(buffer.getvalue())["input"], RASTER)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of two members of one name
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    """An array whose header says `text`."""
    padded = text.encode("latin1").ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + data


class Payload:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["NE_TEST_CANARY"],)


def encrypted(data: bytes) -> bytes:
    """Set the flag of encryption in every header of the archive."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed.find(signature)
        while start >= 0:
            changed[start + offset] |= 1
            start = changed.find(signature, start + 4)
    return bytes(changed)


ARRAY = npy(RASTER)
WRONG: dict[str, tuple[bytes, str]] = {
    "an object": (npy(np.array([{}], dtype=object), allow_pickle=True), "dtype object"),
    "an object in an archive": (npz(input=np.array(["a", 1], dtype=object)), "dtype object"),
    "text": (npy(np.array(["spikes"])), "dtype <U6"),
    "bytes": (npy(np.array([b"spikes"])), "dtype |S6"),
    "complex numbers": (npy(np.zeros(3, complex)), "dtype complex128"),
    "times": (npy(np.zeros(3, "datetime64[s]")), "dtype datetime64"),
    "fields": (npy(np.zeros(3, [("a", "f4"), ("b", "f4")])), "dtype"),
    "long doubles": (npy(np.zeros(3, np.longdouble)), "dtype"),
    "a truth value of 7": (header("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", b"\7"), "truth value"),
    "an unknown version": (ARRAY[:6] + b"\x09\x00" + ARRAY[8:], "version (9, 0)"),
    "a negative shape": (
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(64)),
        "shape (-1,)",
    ),
    "a shape of text": (header("{'descr': '<f4', 'fortran_order': False, 'shape': ('3',), }", bytes(64)), "corrupt"),
    "code for a header": (header("__import__('os').mkdir('canary')"), "corrupt"),
    "keys of two types": (header("{b'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"), "corrupt"),
    "half a header": (ARRAY[:40], "corrupt"),
    "a header without end": (b"\x93NUMPY\x02\x00\xff\xff\x0f\x00{", "corrupt"),
    "half an array": (ARRAY[:-8], "truncated"),
    "something behind the array": (ARRAY + b"\0", "truncated"),
    "half an archive": (npz(input=RASTER)[:-40], "corrupt"),
    "an archive of nothing": (zipped(), "no raster"),
    "labels alone": (npz(labels=LABELS), "no raster"),
    "labels of two axes": (npz(input=RASTER, labels=LABELS[:, None]), "labels of shape (3, 1)"),
    "two arrays of one name": (zipped(("a.npy", ARRAY), ("a.npy", ARRAY)), "two arrays of one name"),
    "an archive of other things": (zipped(("readme.txt", b"hello")), "'readme.txt' is no array"),
    "an array without a name": (zipped((".npy", ARRAY)), "is no array"),
    "compression that numpy has not": (zipped(("a.npy", ARRAY), method=zipfile.ZIP_LZMA), "compressed"),
    "encryption": (encrypted(npz(input=RASTER)), "encrypted"),
    "a model": (b"PK\x03\x04" + bytes(60), "corrupt"),
    "no numbers": (b"input,v,spike\n1,2,3\n", "could not convert"),
    "four columns": (b"1,2,3,4\n", "1 rows and 4 columns"),
    "lines of different lengths": (b"1,2\n1\n", "columns"),
    "blanks": (b"\n\n", "0 rows"),
    "no text": (bytes(range(128, 256)), "decode"),
    "nothing": (b"", "0 rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_raster_is_refused_in_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "parse_in_child", parsed_here)
    data, words = WRONG[name]
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(InputFileError) as caught:
        read_inputs(path, Limits())
    assert words in str(caught.value)
    assert "x.npz" in caught.value.where
    assert caught.value.fix
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]


def test_nothing_in_a_file_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    monkeypatch.setenv("NE_TEST_CANARY", str(canary))
    for data in (npy(np.array([Payload()], dtype=object), allow_pickle=True), npz(a=np.array([Payload()], object))):
        with pytest.raises(InputFileError):
            read(data, tmp_path)
        assert not canary.exists()


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    """32 MB of zeros in 32 kB."""
    zeros = header("{'descr': '<f4', 'fortran_order': False, 'shape': (8388608,), }", bytes(2**25))
    bomb = zipped(("a.npy", zeros), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**16
    with pytest.raises(LimitError):
        read(bomb, tmp_path, Limits(max_bytes=2**25))


@pytest.mark.slow
def test_a_raster_that_was_compressed_well_is_read(tmp_path: Path) -> None:
    """The memory for it follows from what the archive declares, not from its size."""
    zeros = np.zeros((6000, 100, 1000), np.bool_)
    found = read(npz(True, input=zeros), tmp_path)
    assert found.rasters["input"].shape == zeros.shape


def test_an_array_that_declares_more_than_it_has_is_refused_without_reading_on() -> None:
    huge = header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", bytes(64))
    with pytest.raises(LimitError):
        in_process(huge)
    with pytest.raises(InputFileError, match="truncated"):
        in_process(header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,), }", bytes(64)))
    with pytest.raises(LimitError):
        in_process(zipped(("a.npy", huge)))


@pytest.mark.parametrize(
    ("limit", "data", "enough"),
    [
        ("max_bytes", npy(RASTER), RASTER.nbytes),
        ("max_bytes", npz(input=RASTER), len(npy(RASTER))),
        ("max_bytes", b"1,2,3\n", 6),
        ("max_objects", npz(a=RASTER, b=RASTER, c=RASTER), 3),
        ("max_header_bytes", npy(RASTER), 118),
        ("max_name_bytes", npz(**{"é" * 10: RASTER}), 20),
    ],
    ids=range(6),
)
def test_each_limit_holds_at_its_value_and_not_below(limit: str, data: bytes, enough: int) -> None:
    assert in_process(data, Limits(**{limit: enough}))
    with pytest.raises(LimitError):
        in_process(data, Limits(**{limit: enough - 1}))


def test_a_missing_file_a_folder_and_a_fifo_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, words in (("missing.npz", "no such file"), (".", "folder"), ("fifo", "fifo")):
        with pytest.raises(InputFileError) as caught:
            read_inputs(tmp_path / name, Limits())
        assert words in str(caught.value) or "director" in str(caught.value)


def test_a_file_that_must_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(ARRAY)
    path.chmod(stat.S_IWUSR)
    with permissions_count(), pytest.raises(InputFileError, match="permission"):
        read_inputs(path, Limits())


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0 | 1:
                changed[at] = chance.randrange(256)
            case 2:
                del changed[at : at + chance.randrange(1, 9)]
            case _:
                changed[at:at] = chance.choice([b"-1", b"9" * 12, b"(", b"'", b"None", b"\0\0"])
        changed = changed or bytearray(b"x")
    return bytes(changed)


def test_a_damaged_file_is_read_or_refused_and_nothing_else() -> None:
    chance = random.Random(0)  # noqa: S311
    whole = [npz(input=RASTER, labels=LABELS), npz(True, input=RASTER), ARRAY, b"0,0.5,1\n1,0.25,0\n"]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(3000):
        try:
            parse(Named(mutated(chance.choice(whole), chance)), Limits())
            outcomes["read"] += 1
        except ExportError as error:
            outcomes["refused"] += error.exit_code == 2
    assert sum(outcomes.values()) == 3000
    assert min(outcomes.values()) > 100


KINDS: dict[str, Callable[[], bytes]] = {"npz": lambda: npz(input=RASTER), "npy": lambda: ARRAY, "csv": lambda: b"1\n"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_suffix_decides_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(KINDS[kind]())
    assert read_inputs(path, Limits()).rasters["input"].size
