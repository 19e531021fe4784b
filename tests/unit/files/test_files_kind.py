"""The kind of a file follows from its content alone."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from norse_export.files.kind import HEAD_BYTES, Kind, kind_of
from norse_export.formats import fixed_file, safetensors_file

VALUE = {"weight": [1.0, 2.5], "name": ("a", None)}


def kind(content: bytes) -> Kind:
    return kind_of(io.BytesIO(content))


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


def hdf5(user_block: int = 0) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=user_block) as file:
        file["x"] = np.zeros(3)
    return buffer.getvalue()


def saved() -> bytes:
    buffer = io.BytesIO()
    safetensors_file.write(buffer, {"w": np.zeros(3)}, {"graph": "{}"})
    return buffer.getvalue()


def fixed() -> bytes:
    buffer = io.BytesIO()
    arrays = {name: np.zeros(3) for name in ("graph.0.weight", "placement.parts")}
    safetensors_file.write(buffer, arrays, {fixed_file.KEY: "{}"})
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


# ModelProto of ONNX: ir_version 8, producer_name "corpus", then the graph.
ONNX = bytes.fromhex("08081206636f727075733a0201")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", Kind.EMPTY),
        (saved(), Kind.SAVED),
        (saved()[:20], Kind.SAVED),
        (fixed(), Kind.FIXED),
        (fixed()[:60], Kind.FIXED),
        (hdf5(), Kind.HDF5),
        (hdf5(512), Kind.HDF5),
        (hdf5(4096), Kind.HDF5),
        (archive("archive/data.pkl", "archive/version"), Kind.TORCH_ZIP),
        (archive("m/code/__torch__.py", "m/constants.pkl"), Kind.TORCH_ZIP),
        (archive("data.npy/notes.txt"), Kind.TORCH_ZIP),
        (archive(), Kind.TORCH_ZIP),
        (archive("archive/data.pkl")[:40], Kind.TORCH_ZIP),
        (npz(), Kind.NPZ),
        (npy(), Kind.NPY),
        (ONNX, Kind.ONNX),
        (ONNX[:6], Kind.ONNX),
        (b"\x08\x08", Kind.ONNX),
        (b"\x08\x08\x99", Kind.UNKNOWN),
        (b"\x08", Kind.UNKNOWN),
        (b"0,0.0,1e-3\n1,-0.5,nan\n", Kind.CSV),
        (b"1\r\n2\r\n", Kind.CSV),
        (b"0.25," * 2000, Kind.CSV),
        (b"12.5,0\n" * 2000, Kind.CSV),
        (b"time,v,spike\n0,0,0\n", Kind.UNKNOWN),
        (b"\n \n", Kind.UNKNOWN),
        (b"1,2\n\xff", Kind.UNKNOWN),
        (b"a model, surely", Kind.UNKNOWN),
        (b"\x80\x63", Kind.UNKNOWN),
        (b"\x80", Kind.UNKNOWN),
        (b"cos\nsystem\n(S'true'\ntR.", Kind.TORCH_LEGACY),
        (b"(ios\nsystem\nS'true'\n.", Kind.TORCH_LEGACY),
        (b"(dp0\nS'a'\nI1\ns.", Kind.TORCH_LEGACY),
        (b"cos\nsystem\nand no end", Kind.UNKNOWN),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else "content",  # the bytes of a zip hold the time
)
def test_kind(content: bytes, expected: Kind) -> None:
    assert kind(content) is expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [VALUE, [1, "a"], io.BytesIO])
def test_pickles_of_every_protocol_are_known(protocol: int, value: object) -> None:
    assert kind(pickle.dumps(value, protocol)) is Kind.TORCH_LEGACY


def test_torch_files_are_known(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
        torch.save({"w": torch.zeros(3)}, tmp_path / f"{number}.nir", **options)
    assert kind((tmp_path / "0.nir").read_bytes()) is Kind.TORCH_ZIP
    assert kind((tmp_path / "1.nir").read_bytes()) is Kind.TORCH_LEGACY


@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: ONNX[:2] + tail))
def test_no_content_raises_or_moves_the_file(content: bytes) -> None:
    file = io.BytesIO(content)
    file.seek(len(content) // 2)
    assert isinstance(kind_of(file), Kind)
    assert file.tell() == len(content) // 2


def test_little_is_read_of_a_large_file(tmp_path: Path) -> None:
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.count += len(data)
            return data

    file = Counting(b"no model" * 2**18)
    assert kind_of(file) is Kind.UNKNOWN
    assert file.count < HEAD_BYTES + 8 * 32


def test_the_corpus_is_told_apart_whatever_the_suffix_says() -> None:
    shared = os.environ.get("NORSE_EXPORT_SHARED")
    if not shared:
        pytest.skip("NORSE_EXPORT_SHARED is not set: no corpus to look at")
    corpus = Path(shared, "corpus")
    manifest = json.loads((corpus / "manifest_visible.json").read_text())
    expected = {"nir": {Kind.HDF5}, "onnx": {Kind.ONNX, Kind.EMPTY}, "pt2": {Kind.TORCH_ZIP}}
    expected["pt"] = {Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.EMPTY}
    files = [entry for entry in manifest["entries"] if "file" in entry]
    assert len(files) > 30
    for entry in files:
        assert kind((corpus / entry["file"]).read_bytes()) in expected[entry["kind"]], entry["id"]
