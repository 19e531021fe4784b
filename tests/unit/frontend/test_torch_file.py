"""Files of torch.save: what is accepted, that nothing is imported, and that every limit holds."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_programs import archive, call, module, read, refused, saved, storage, tensor, value

from norse_export.errors import ExportError, InputFileError, LimitError, UnsafeFileError
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.frontend.saved.torch_file import parse
from norse_export.frontend.saved.torch_modules import rebuild

# What is accepted


def test_a_state_dict_is_read() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    document, arrays = read(saved(model.state_dict()))
    assert document["kind"] == "state_dict"
    assert set(document["tensors"]) == set(model.state_dict())
    for key, expected in model.state_dict().items():
        array = arrays[document["tensors"][key]["tensor"]]
        assert array.dtype == expected.numpy().dtype
        assert array.tobytes() == expected.numpy().tobytes()
        assert not array.flags.writeable
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"],
)
def test_each_dtype_keeps_its_bits(dtype: str) -> None:
    expected = torch.tensor([0.0, 1.0, 3.25, 100.0]).to(getattr(torch, dtype))
    document, arrays = read(saved({"x": expected}))
    assert document["stored"]["0"]["dtype"] == dtype
    if dtype == "bfloat16":
        assert arrays["0"].dtype == np.float32
        expected = expected.to(torch.float32)
    assert arrays["0"].dtype == expected.numpy().dtype
    assert arrays["0"].tobytes() == expected.numpy().tobytes()


def test_views_of_one_storage_are_read_as_they_are_seen() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    views = {"whole": whole, "transposed": whole.T, "part": whole[1:3, ::2], "one": whole[2, 3], "none": whole[:0]}
    document, arrays = read(saved(views))
    for key, expected in views.items():
        found = arrays[document["tensors"][key]["tensor"]]
        assert found.shape == tuple(expected.shape)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected.numpy())


def test_a_parameter_that_stands_twice_is_read_once() -> None:
    shared = torch.nn.Parameter(torch.ones(3))
    document, arrays = read(saved({"a": shared, "b": shared}))
    assert document["tensors"]["a"] == document["tensors"]["b"]
    assert list(arrays) == ["0"]
    assert document["stored"]["0"] == {"dtype": "float32", "requires_grad": True, "parameter": True}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_torch_save_is_read(protocol: int) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Flatten())
    reference, _ = read(saved(model))
    document, _ = read(saved(model, pickle_protocol=protocol))
    assert document == reference
    assert [child["class"] for child in document["root"]["children"].values()] == [
        "torch.nn.modules.linear.Linear",
        "torch.nn.modules.flatten.Flatten",
    ]


def test_a_shared_module_is_named_where_it_stands_again() -> None:
    layer = torch.nn.Linear(2, 2)
    document, _ = read(saved(torch.nn.Sequential(layer, torch.nn.Sequential(layer))))
    assert document["root"]["children"]["1"]["children"]["0"]["same"] == "0"


def test_shared_modules_do_not_multiply() -> None:
    """30 levels, each twice in the next: 2^30 modules for whoever walks them naively."""
    model: torch.nn.Module = torch.nn.Flatten()
    for _ in range(30):
        model = torch.nn.Sequential(model, model)
    document, _ = read(saved(model))
    assert json.dumps(document).count('"training"') == 31


def test_the_child_process_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))).getvalue())
    with path.open("rb") as file:
        document, arrays = parse(file, Limits())
        document["file"] = "model.pt"  # opened by its path here
        parsed = parse_in_child("norse_export.frontend.saved.torch_file:parse", file, name="model.pt", limits=Limits())
    assert parsed.document == document
    assert {key: array.tobytes() for key, array in parsed.arrays.items()} == {
        key: array.tobytes() for key, array in arrays.items()
    }


def test_the_child_process_gives_all_findings(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(archive(value({"a": call("os system", "true"), "b": call("os abort")})).getvalue())
    with path.open("rb") as file, pytest.raises(UnsafeFileError) as caught:
        parse_in_child("norse_export.frontend.saved.torch_file:parse", file, name="model.pt", limits=Limits())
    assert {"os.system", "os.abort"} <= {finding.message.split(" ")[0] for finding in caught.value.findings}
    assert {finding.where for finding in caught.value.findings} == {"model.pt [data.pkl]"}


def test_an_error_in_the_pickle_names_the_users_file() -> None:
    strange, contradicting = archive(b"N"), saved(torch.nn.Linear(3, 2))
    strange.name = contradicting.name = "mine.pt"  # type: ignore[attr-defined]
    document, arrays = parse(contradicting, Limits())
    document["root"]["attributes"]["in_features"] = 4
    for call_it in (lambda: parse(strange, Limits()), lambda: rebuild(document, arrays)):
        with pytest.raises(InputFileError) as caught:
            call_it()
        assert (caught.value.where, caught.value.findings[0].where) == ("mine.pt [data.pkl]",) * 2


# Nothing is imported

PROBE = """
import sys
from norse_export.files.limits import Limits
from norse_export.frontend.saved import torch_file
before = set(sys.modules)
refused = 0
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        try:
            torch_file.parse(file, Limits())
        except Exception as error:
            refused += type(error).__module__ == "norse_export.errors"
new = {name for name in set(sys.modules) - before if name.split(".")[0] != "coverage"}
assert not new, new
assert not {"torch", "norse"} & before
print(refused)
"""


def test_parsing_imports_nothing(tmp_path: Path) -> None:
    norse = "norse.torch.module.lif LIFCell"
    programs = {
        "good": saved(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))).getvalue(),
        "protocol0": archive(b"V\\u00e9\n").getvalue(),
        "foreign": archive(call("antigravity fly")).getvalue(),
        "norse": archive(module(norse)).getvalue(),
        "dotted": archive(b"\x8c\x06os.path\x8c\x06system\x93)R").getvalue(),
    }
    for key, content in programs.items():
        (tmp_path / key).write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *(str(tmp_path / key) for key in programs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout.strip(), result.returncode) == ("4", 0), result.stderr


# Limits


def nested_modules(levels: int) -> io.BytesIO:
    model: torch.nn.Module = torch.nn.Flatten()
    for _ in range(levels - 1):
        model = torch.nn.Sequential(model)
    return saved(model)


LIMITS: Mapping[str, tuple[int, Callable[[int], io.BytesIO]]] = {
    "max_depth": (32, nested_modules),
    "max_bytes": (1000, lambda total: archive(b"}", records={"x": b"a" * (total - record_bytes(b"}"))})),
    "max_name_bytes": (300, lambda size: archive(value({"x" * size: tensor()}))),
    "max_header_bytes": (100, lambda size: archive(b"N0" * ((size - 4) // 2) + b"}")),
    "max_objects": (20, lambda size: archive(b"N0" * (size - 1) + b"}")),
}


def record_bytes(program: bytes) -> int:
    with zipfile.ZipFile(archive(program)) as zipped:
        return sum(info.file_size for info in zipped.infolist())


@pytest.mark.parametrize("limit", LIMITS)
def test_each_limit_holds_at_the_limit_and_one_beyond(limit: str) -> None:
    number, make = LIMITS[limit]
    read(make(number), **{limit: number})
    step = 2 if limit == "max_header_bytes" else 1
    error = refused(make(number + step), LimitError, **{limit: number})
    assert str(number) in error.what


def test_tensors_count_as_often_as_they_are_seen() -> None:
    """Five views of one storage of 4000 bytes become five arrays."""
    views = {str(index): tensor((1000,), source=storage("1", 1000)) for index in range(5)}
    file = archive(value(views), records={"data/1": bytes(4000)})
    assert len(read(file, max_bytes=20_000)[1]) == 5
    assert "20000" in refused(file, LimitError, max_bytes=19_999).what


# The corpus


def corpus() -> list[Any]:
    shared = os.environ.get("NORSE_EXPORT_SHARED")
    if not shared:
        skip = pytest.mark.skip(reason="NORSE_EXPORT_SHARED is not set: no hostile corpus here")
        return [pytest.param({}, marks=skip, id="corpus")]
    folder = Path(shared) / "corpus"
    entries = json.loads((folder / "manifest_visible.json").read_text())["entries"]
    return [pytest.param(entry, id=entry["id"]) for entry in entries if entry["kind"] in ("pt", "pt2")]


@pytest.mark.parametrize("entry", corpus())
def test_every_entry_of_the_corpus_is_refused_with_its_words(
    entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    monkeypatch.setenv("NE_CANARY", str(canary))
    path = Path(os.environ["NORSE_EXPORT_SHARED"]) / "corpus" / entry["file"]
    with path.open("rb") as file, pytest.raises(ExportError) as caught:
        rebuild(*parse(file, Limits()))
    assert caught.value.exit_code in entry["expect"]["exit_code"]
    assert any(word.lower() in str(caught.value).lower() for word in entry["stderr_any_of"])
    assert len(str(caught.value.findings[0]).splitlines()) <= 5
    assert not canary.exists()
    assert not hasattr(torch._utils, "NE_PWNED")
