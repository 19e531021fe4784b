"""Files of many small objects are read in the time that they are given."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import nir_documents as documents
import numpy as np
import pytest
from h5py import h5d

from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import hdf5_input as datasets
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.hdf5 import document_of
from norse_export.formats.nir.write import write


def chain(length: int, width: int) -> NIRDocument:
    """Input, a row of scales, output."""
    shape = np.array([width])
    nodes = {f"s{k:05}": NIRNode("Scale", {"scale": np.ones(width, np.float32)}, {}) for k in range(length)}
    names = ["input", *nodes, "output"]
    ends = {"input": NIRNode("Input", {"shape": shape}, {}), "output": NIRNode("Output", {"shape": shape}, {})}
    return NIRDocument("1.0.8", {**ends, **nodes}, tuple(pairwise(names)), {}, ())


def opened_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the datasets that were opened once the file had been looked over."""
    names: list[str] = []

    def open_(where: Any, name: bytes) -> h5d.DatasetID:
        names.append(name.decode().rpartition("/")[2])
        return h5d.open(where, name)

    monkeypatch.setattr(datasets, "h5d", SimpleNamespace(open=open_))
    documents.read(path)
    return names


@pytest.mark.parametrize(("width", "again"), [(64, 0), (65, 20)])
def test_small_arrays_are_opened_once(width: int, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening takes most of the time. At most 256 bytes are small: 64 float32."""
    write(tmp_path / "a.nir", chain(20, width))
    names = opened_again(tmp_path / "a.nir", monkeypatch)
    assert names.count("scale") == again
    assert names.count("shape") == 0
    assert names.count("type") == 23


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<f2"])
@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}], ids=str)
def test_small_arrays_keep_every_bit_however_they_are_stored(dtype: str, options: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.nir", chain(1, 3))
    values = np.array([1.5, -0.0, 3.25], dtype)
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/s00000/scale"]
        file.create_dataset("node/nodes/s00000/scale", data=values, **options)
    node = documents.read(tmp_path / "a.nir").nodes["s00000"]
    assert isinstance(node, NIRNode)
    found = np.asarray(node.fields["scale"])
    assert found.dtype == values.dtype.newbyteorder("=")
    assert found.tobytes() == values.astype(found.dtype).tobytes()


def test_texts_of_a_fixed_length_are_read_too(tmp_path: Path) -> None:
    write(tmp_path / "a.nir", chain(1, 3))
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        del file["node/nodes/s00000/type"]
        file["node/nodes/s00000/type"] = np.bytes_("Scale")
    node = documents.read(tmp_path / "a.nir").nodes["s00000"]
    assert isinstance(node, NIRNode)
    assert node.type == "Scale"


@pytest.mark.slow
def test_as_many_objects_as_the_limit_lets_through_are_read_in_time(tmp_path: Path) -> None:
    objects = Limits().max_objects
    document = chain(objects // 3 - 5, 1)
    write(tmp_path / "a.nir", document)
    with (tmp_path / "a.nir").open("rb") as file:
        parsed = parse_in_child("norse_export.formats.nir.hdf5:parse", file, name="a.nir", limits=Limits())
    assert documents.identical(document_of(parsed.document, parsed.arrays), document)
