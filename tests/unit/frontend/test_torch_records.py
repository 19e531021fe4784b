"""Modules and tensors that are not as torch.save writes them are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_programs import LINEAR, archive, call, messages, module, name, read, refused, saved, storage, tensor, value

from norse_export.errors import ExportError, InputFileError, UnsafeFileError

GOOD = {"in_features": 4, "out_features": 1, "_parameters": {"weight": tensor((1, 4), (4, 1)), "bias": None}}

STRANGE: dict[str, tuple[str, bytes]] = {
    "an attribute of the user's": ("note", module(**GOOD, note=1)),
    "no training flag": ("training", name(LINEAR) + b")\x81" + value({"_parameters": {}}) + b"b"),
    "no sizes": ("in_features", module(_parameters=GOOD["_parameters"])),
    "a size of 0": ("in_features is 0", module(**{**GOOD, "in_features": 0})),
    "a size that is a truth value": ("in_features is True", module(**{**GOOD, "in_features": True})),
    "a size that is infinite": ("inf", module(**{**GOOD, "in_features": float("inf")})),
    "a size beyond all bounds": ("in_features", module(**{**GOOD, "in_features": 2**70})),
    "a size that is a tensor": ("in_features", module(**{**GOOD, "in_features": tensor()})),
    "a size that is a list of texts": ("in_features", module(**{**GOOD, "in_features": ("a",)})),
    "an unknown parameter": ("weight_orig", module(**{**GOOD, "_parameters": {"weight_orig": tensor(), "bias": None}})),
    "a missing parameter": ("'weight'", module(**{**GOOD, "_parameters": {"bias": None}})),
    "an unknown buffer": ("mask", module(**GOOD, _buffers={"mask": tensor()})),
    "a parameter that is a number": ("_parameters", module(**{**GOOD, "_parameters": {"weight": 1, "bias": None}})),
    "parameters that are a list": ("_parameters", module(**{**GOOD, "_parameters": b"]"})),
    "children that are a list": ("_modules", module(**GOOD, _modules=b"]")),
    "a child of a leaf": ("children", module(**GOOD, _modules={"0": module(**GOOD)})),
    "a child that is a number": ("a module should", module("torch.nn.modules.container Sequential", _modules={"0": 1})),
    "a child with a dot": (
        "children",
        module("torch.nn.modules.container Sequential", _modules={"a.b": module(**GOOD)}),
    ),
    "two states": ("as torch.save never does", module(**GOOD) + b"}b"),
    "a state that is a list": ("as torch.save never does", name(LINEAR) + b")\x81]b"),
    "constructor arguments": ("as torch.save never does", name(LINEAR) + b"K\x01\x85\x81" + value(GOOD) + b"b"),
    "a call instead of an object": ("as torch.save never does", call(LINEAR)),
    "a dictionary of other things": ("epoch", value({"epoch": 3, "model": tensor()})),
    "a dictionary with a module": ("the model's module is one entry of it, 'model'", value({"model": module(**GOOD)})),
    "a key that is a number": ("key 1", value({1: tensor()})),
    "a single tensor": ("single tensor", tensor()),
    "a number": ("neither a module nor a state_dict", value(7)),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_torch_save_never_writes_is_refused_by_name(case: str) -> None:
    word, program = STRANGE[case]
    assert word in messages(refused(archive(program), InputFileError))


def test_the_module_that_those_are_made_of_is_accepted() -> None:
    document, arrays = read(archive(module(**GOOD)))
    assert document["root"]["attributes"] == {
        "training": False,
        "in_features": 4,
        "out_features": 1,
        "_parameters": {"weight": {"tensor": "0"}, "bias": None},
        "_buffers": {},
    }
    assert arrays["0"].tolist() == [[0, 1, 2, 3]]


def test_names_of_the_file_reach_messages_only_in_printable_form() -> None:
    strange = {"\x1b[2J": module(**{**GOOD, "in_features": 0, "note\n": 1})}
    error = refused(archive(module("torch.nn.modules.container Sequential", _modules=strange)), InputFileError)
    assert {finding.where for finding in error.findings} == {"'\\x1b[2J'"}
    assert "note" in messages(error)
    assert all(finding.message.isprintable() for finding in error.findings)


@pytest.mark.parametrize("rest", [{}, {"epoch": 3, "loss": 0.5, "optimizer": {"state": {}, "param_groups": []}}])
def test_a_training_checkpoint_is_named_with_the_way_out(rest: dict[str, Any]) -> None:
    model = torch.nn.Linear(3, 2)
    (finding,) = refused(saved({**rest, "model_state_dict": model.state_dict()}), InputFileError).findings
    beside = "epoch, loss, optimizer" if rest else "nothing else"
    assert finding.kind == "checkpoint"
    assert finding.message == (
        "the file is a training checkpoint: the model's state_dict is one entry of it, 'model_state_dict', "
        f"beside {beside}"
    )
    assert "torch.load(file)['model_state_dict']" in finding.fix
    assert "norse_export.save(model, path, example_input)" in finding.fix
    assert "--factory" in finding.fix


def test_long_lists_of_names_are_cut() -> None:
    error = refused(archive(value({f"entry{index}": 1 for index in range(50)})), InputFileError)
    assert "entry7 and 42 more" in error.what


def test_a_module_that_contains_itself_is_refused() -> None:
    sequential = "torch.nn.modules.container Sequential"
    state = {"training": True, "_parameters": {}, "_buffers": {}, "_modules": {"0": b"h\x09"}}
    program = name(sequential) + b")\x81q\x09" + value(state) + b"b"
    assert "contains itself" in messages(refused(archive(program), InputFileError))


# Tensors whose description does not fit their storage

TENSORS: dict[str, tuple[type[ExportError], str, bytes]] = {
    "10^12 elements on 16 bytes": (InputFileError, "too large.*stride", tensor((10**6, 10**6), (0, 0))),
    "an expanded tensor": (InputFileError, "too large.*stride", tensor((5,), (0,))),
    "sizes whose product overflows": (InputFileError, "too large", tensor((2**32, 2**32), (0, 0))),
    "sizes with 10^4 digits": (InputFileError, "too large|longer", tensor((2**2000, 2**2000), (0, 0))),
    "an offset beyond the end": (InputFileError, "reach element 4", tensor((1,), (1,), 4)),
    "a stride beyond the end": (InputFileError, "reach element 6", tensor((3,), (3,))),
    "a negative offset": (InputFileError, "negative", tensor((1,), (1,), -1)),
    "a negative size": (InputFileError, "negative", tensor((-1,), (1,))),
    "a negative stride": (InputFileError, "negative", tensor((2,), (-1,), 1)),
    "a size that is a truth value": (InputFileError, "negative", tensor((True,), (1,))),
    "fewer strides than sizes": (InputFileError, "strides", tensor((2, 2), (1,))),
    "65 axes": (InputFileError, "65 sizes", tensor((1,) * 65, (1,) * 65)),
    "a storage that is missing": (InputFileError, "missing", tensor(source=storage("9"))),
    "a storage with another size": (InputFileError, "size of 5", tensor(source=storage(count=5))),
    "a storage with another type": (InputFileError, "size of 4", tensor(source=storage(kind="torch DoubleStorage"))),
    "a storage of complex numbers": (
        InputFileError,
        "complex64",
        tensor(source=storage(kind="torch ComplexFloatStorage")),
    ),
    "a storage of an unknown type": (
        UnsafeFileError,
        "torch.UntypedStorage",
        tensor(source=storage(kind="torch UntypedStorage")),
    ),
    "a storage that is no tuple": (InputFileError, "as torch.save never does", tensor(source=value("0") + b"Q")),
    "truth values other than 0 and 1": (
        InputFileError,
        "truth values",
        tensor(source=storage("1", 2, "torch BoolStorage"), size=(2,)),
    ),
    "a gradient of whole numbers": (
        InputFileError,
        "gradient",
        tensor(source=storage(count=2, kind="torch LongStorage"), size=(2,), requires_grad=True),
    ),
    "a gradient flag that is no flag": (InputFileError, "arguments", tensor(requires_grad=1)),
    "a conjugated tensor": (InputFileError, "conjugated", tensor((4,), (1,), 0, None, False, None, {"conj": True})),
    "a parameter of a parameter": (
        InputFileError,
        "a parameter has arguments",
        call("torch._utils _rebuild_parameter", call("torch._utils _rebuild_parameter", tensor(), True, {}), True, {}),
    ),
    "a tensor with a state": (UnsafeFileError, "not allowed", tensor() + b"}b"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(case: str) -> None:
    error, pattern, program = TENSORS[case]
    with pytest.raises(error, match=pattern):
        read(archive(value({"x": program}), records={"data/1": b"\x01\x02"}), max_name_bytes=1000)


def test_the_last_element_of_a_storage_can_be_reached() -> None:
    _, arrays = read(archive(value({"x": tensor((2,), (3,)), "y": tensor((1,), (9,), 3)})))
    assert (arrays["0"].tolist(), arrays["1"].tolist()) == ([0, 3], [3])
