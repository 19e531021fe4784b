"""Our container of tensors: canonical, readable by others, and no byte of it can change unseen."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from norse_export.errors import ExportError, InputFileError, LimitError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import hashing, safetensors_file
from norse_export.formats.safetensors_file import parse_header, read_tensors, write

ARRAYS = {
    "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.double": np.array([0.1, np.nan, -0.0, np.inf]),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 5), np.float32),
    "mask": np.array([True, False, True]),
    "small": np.array([-1, 2, 3], np.int16),
    "ü": np.array([1, 2], np.uint8),
}
METADATA = {"graph": '{"nodes": []}', "ä": "ö"}


def written(arrays: dict[str, Any] = ARRAYS, metadata: dict[str, str] = METADATA) -> bytes:
    file = io.BytesIO()
    write(file, arrays, metadata)
    return file.getvalue()


def read(content: bytes, limits: Limits | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    file = io.BytesIO(content)
    header, nothing = parse_header(file, limits or Limits())
    assert nothing == {}
    return read_tensors(file, header), header["metadata"]


def header_of(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    parsed: dict[str, Any] = json.loads(content[8 : 8 + length])
    return parsed


def signed(entries: dict[str, Any], metadata: dict[str, Any], data: bytes) -> bytes:
    """A file with any entries and a right checksum of the header, as only a forger would write it."""
    digests = {name: hashlib.sha256(data[slice(*entry["data_offsets"])]).hexdigest() for name, entry in entries.items()}
    return safetensors_file._header_bytes(entries, metadata, digests) + data


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refused(
    content: bytes, *words: str, error: type[ExportError] = InputFileError, limits: Limits | None = None
) -> None:
    with pytest.raises(ExportError) as caught:
        read(content, limits)
    assert type(caught.value) is error
    for word in words:
        assert word in caught.value.what
    assert caught.value.where.startswith("the input file")
    assert caught.value.fix
    assert caught.value.exit_code == 2


def test_what_is_written_is_read_back_bit_for_bit() -> None:
    arrays, metadata = read(written())
    assert metadata == METADATA
    assert set(arrays) == set(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert array.shape == ARRAYS[name].shape
        assert array.tobytes() == ARRAYS[name].tobytes()
        assert not array.flags.writeable


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda name: name[0] != "_"),
        st.sampled_from(list(safetensors_file.DTYPES.values())).flatmap(
            lambda dtype: arrays_of.arrays(
                dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
            )
        ),
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=5).filter(lambda key: key != "sha256"), st.text(max_size=20), max_size=3),
)
def test_a_round_trip_changes_nothing(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    found, found_metadata = read(written(arrays, metadata))
    assert found_metadata == metadata
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in found.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()
    }


def test_the_library_safetensors_reads_the_same() -> None:
    found = safetensors.numpy.load(written())
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in ARRAYS.items()
    }
    assert {name: array.shape for name, array in found.items()} == {name: a.shape for name, a in ARRAYS.items()}


def test_the_bytes_do_not_depend_on_order_or_memory_layout() -> None:
    expected = written()
    for order in itertools.islice(itertools.permutations(ARRAYS), 0, None, 997):
        assert written({name: ARRAYS[name] for name in order}) == expected
    assert written(ARRAYS, dict(reversed(METADATA.items()))) == expected
    strange = {name: np.array(array, order="F") for name, array in ARRAYS.items()}
    strange["a.double"] = ARRAYS["a.double"].astype(">f8")
    strange["small"] = np.repeat(ARRAYS["small"], 2)[::2]
    assert written(strange) == expected


def test_the_bytes_are_the_same_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from norse_export.formats.safetensors_file import write;"
        "write(sys.stdout.buffer, {n: np.arange(3.0) for n in sys.argv[1:]}, {k: k for k in sys.argv[1:]})"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-P", "-c", script, *names],
            capture_output=True,
            check=True,
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "LANG": "C"},
        ).stdout
        for names, seed, zone in ((["a", "b", "ü"], "1", "UTC"), (["ü", "b", "a"], "2", "Asia/Tokyo"))
    }
    assert len(outputs) == 1


def test_tensors_and_data_are_aligned() -> None:
    content = written()
    header = header_of(content)
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 64 == 0
    assert list(header) == sorted(header)
    for name, described in header.items():
        if name != "__metadata__":
            assert described["data_offsets"][0] % ARRAYS[name].itemsize == 0


def test_every_tensor_has_its_checksum() -> None:
    digests = json.loads(header_of(written())["__metadata__"]["sha256"])
    for name, array in ARRAYS.items():
        assert digests[name] == hashlib.sha256(array.tobytes()).hexdigest()
    assert set(digests) == {"", *ARRAYS}


def test_no_copy_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the file is the array's own memory."""
    array = np.arange(100_000, dtype=np.float32)
    places: list[int] = []

    class Spy(io.BytesIO):
        def write(self, data: Any, /) -> int:
            places.append(np.frombuffer(data, np.uint8).ctypes.data)
            return super().write(data)

    write(Spy(), {"w": array}, {})
    assert places[1:] == [array.ctypes.data]


@pytest.mark.parametrize("name", ["", "__metadata__"])
def test_names_that_mean_something_else_cannot_be_written(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a tensor"):
        written({name: np.zeros(1)})


def test_our_own_metadata_cannot_be_given() -> None:
    with pytest.raises(ValueError, match="written by this module"):
        written({}, {"sha256": "{}"})


@pytest.mark.parametrize("dtype", [np.complex64, np.float16, np.uint16, object, "U3"])
def test_other_dtypes_cannot_be_written(dtype: Any) -> None:
    with pytest.raises(TypeError, match="'w' has dtype"):
        written({"w": np.zeros(1, dtype)})


def test_one_flipped_bit_anywhere_is_found() -> None:
    content = written()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << (position * 7 % 8)
        with pytest.raises(InputFileError) as caught:
            read(bytes(changed))
        assert any(word in caught.value.what for word in ("corrupt", "truncated")), caught.value.what
        assert caught.value.exit_code == 2


def test_truncated_and_extended_files_are_found() -> None:
    content = written()
    for length in range(len(content)):
        with pytest.raises(InputFileError) as caught:
            read(content[:length])
        assert "truncated" in caught.value.what
    refused(content[:-1], "truncated", "1 bytes are missing")
    refused(content + b"\0", "corrupt", "1 bytes after the last tensor")
    refused(b"", "truncated")


def test_a_file_truncated_after_its_header_was_read_is_found() -> None:
    content = written({"w": np.arange(100_000.0), "b": np.arange(3)})
    header, _ = parse_header(io.BytesIO(content), Limits())
    for length in (100, len(content) - 1):
        with pytest.raises(InputFileError, match="truncated") as caught:
            read_tensors(io.BytesIO(content[:length]), header)
        assert caught.value.fix


def test_a_changed_byte_in_a_large_tensor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_file, "_CHUNK_BYTES", 10_000)
    arrays = {str(number): np.arange(20_000.0) + number for number in range(3)}
    assert min(array.nbytes for array in arrays.values()) > hashing._HASHED_AT_ONCE_BYTES
    content = bytearray(written(arrays))
    assert {name: a.tobytes() for name, a in read(bytes(content))[0].items()} == {
        name: a.tobytes() for name, a in arrays.items()
    }
    content[-170_000] ^= 1
    refused(bytes(content), "corrupt", "tensor '1' do not match their checksum")


FOUR = b"\0" * 4
GOOD = {"a": entry("F32", [1], 0, 4)}


@pytest.mark.parametrize(
    ("entries", "data", "words"),
    [
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, b"\0" * 6, ["overlap", "'b'"]),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)}, FOUR, ["overlap"]),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 6, 10)}, b"\0" * 10, ["gap", "'b'"]),
        ({"a": entry("F32", [1], 4, 8)}, b"\0" * 8, ["gap"]),
        ({"a": entry("F32", [2], 0, 4)}, FOUR, ["do not agree"]),
        ({"a": entry("F32", [-1], 0, -4)}, b"", ["impossible"]),
        ({"a": entry("F32", [True], 0, 4)}, FOUR, ["impossible"]),
        ({"a": entry("F32", [1.0], 0, 4)}, FOUR, ["impossible"]),
        ({"a": entry("F32", [1] * 65, 0, 4)}, FOUR, ["impossible"]),
        ({"a": entry("F32", [2**63, 0], 0, 0)}, b"", ["impossible"]),
        ({"a": entry("U8", [0, 2**62, 2**62], 0, 0)}, b"", ["impossible"]),
        ({"a": entry("U8", [2**62, 0, 2], 0, 0)}, b"", ["impossible"]),
        ({"a": entry("F32", [0, 2**61], 0, 0)}, b"", ["impossible"]),
        ({"a": entry("BF16", [2], 0, 4)}, FOUR, ["'BF16'", "unknown"]),
        ({"": entry("F32", [1], 0, 4)}, FOUR, ["unknown"]),
        ({"a": {**entry("F32", [1], 0, 4), "more": 1}}, FOUR, ["more or less"]),
        ({"a": entry("F32", [1], 0, 4), "\ud800": entry("F32", [0], 4, 4)}, FOUR, ["no text"]),
        ({"a": entry("F64", [2**60], 0, 2**63)}, FOUR, ["impossible"]),
        ({"a": entry("F64", [2**40], 0, 2**43)}, FOUR, ["truncated", "8796093022204 bytes are missing"]),
        ({"a": entry("BOOL", [2], 0, 2)}, b"\1\2", ["neither 0 nor 1"]),
    ],
)
def test_an_impossible_header_is_refused(entries: dict[str, Any], data: bytes, words: list[str]) -> None:
    refused(signed(entries, {}, data), "corrupt", *words)


def test_an_empty_tensor_as_large_as_numpy_can_name_it_is_read() -> None:
    content = signed({"a": entry("F32", [0, 2**61 - 1], 0, 0)}, METADATA, b"")
    assert read(content)[0]["a"].shape == (0, 2**61 - 1)


def unsigned(header: object, data: bytes = FOUR) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (safetensors.numpy.save({"w": np.zeros(3)}), ["not saved by norse_export"]),
        (safetensors.numpy.save({"w": np.zeros(3)}, {"format": "pt"}), ["not saved by norse_export"]),
        (unsigned([]), ["not saved by norse_export"]),
        (unsigned({"__metadata__": 1, **GOOD}), ["not saved by norse_export"]),
        (unsigned({"__metadata__": {"sha256": "{}", "a": 1}, **GOOD}), ["not text"]),
        (unsigned({"__metadata__": {"sha256": "[]"}, **GOOD}), ["checksums"]),
        (unsigned({"__metadata__": {"sha256": '{"a": 1}'}, **GOOD}), ["checksums"]),
        (unsigned({"__metadata__": {"sha256": "{"}, **GOOD}), ["JSON"]),
        (unsigned({"__metadata__": {"sha256": "{}"}, **GOOD}), ["not those of its tensors"]),
        (unsigned({"__metadata__": {"sha256": "{}"}, "a": 1}), ["described by"]),
        (unsigned(b"[" * 100_000), ["nested too deep"]),
        (unsigned(b'{"a": 1, "a": 2}'), ["duplicate key 'a'"]),
        (unsigned(b"\xff"), ["decode"]),
        ((2**63).to_bytes(8, "little") + b"{}", ["truncated"]),
    ],
)
def test_a_header_that_is_none_of_ours_is_refused(content: bytes, words: list[str]) -> None:
    refused(content, "corrupt", *words)


def test_another_form_of_the_same_header_is_refused() -> None:
    """Blanks, order and escapes are fixed: a byte that could differ could carry something."""
    content = written()
    pretty = json.dumps(header_of(content), sort_keys=True, separators=(", ", ":")).encode()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    refused(unsigned(pretty, data), "does not match its checksum")


@pytest.mark.parametrize(
    ("name", "at", "limits_of"),
    [
        ("header", "max_header_bytes", lambda content: int.from_bytes(content[:8], "little")),
        ("tensors", "max_objects", lambda _content: len(ARRAYS)),
        ("bytes", "max_bytes", lambda _content: sum(array.nbytes for array in ARRAYS.values())),
        ("names", "max_name_bytes", lambda _content: len("layer.weight")),
    ],
)
def test_limits_pass_at_the_limit_and_refuse_above(name: str, at: str, limits_of: Callable[[bytes], int]) -> None:
    content = written()
    limit = limits_of(content)
    read(content, Limits(**{at: limit}))
    refused(content, f"exceed the limit of {limit - 1}", error=LimitError, limits=Limits(**{at: limit - 1}))


def test_the_header_is_parsed_in_the_child_and_the_tensors_are_read_here(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(written())
    with open_input(path) as file:
        parser = "norse_export.formats.safetensors_file:parse_header"
        parsed = parse_in_child(parser, file, name=str(path), limits=Limits())
        arrays = read_tensors(file, parsed.document)
    assert parsed.document["metadata"] == METADATA
    assert {name: a.tobytes() for name, a in arrays.items()} == {name: a.tobytes() for name, a in ARRAYS.items()}
    path.write_bytes(written()[:-1])
    with open_input(path) as file, pytest.raises(InputFileError, match="truncated") as caught:
        parse_in_child(parser, file, name="model.pt", limits=Limits())
    assert caught.value.where == "model.pt"


def test_an_error_while_reading_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    content = written({"w": np.arange(100_000.0)})
    header, _ = parse_header(io.BytesIO(content), Limits())
    before = threading.active_count()

    class Broken(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            raise OSError(5, "device error")

    with pytest.raises(OSError, match="device error"):
        read_tensors(Broken(content), header)
    assert threading.active_count() == before
