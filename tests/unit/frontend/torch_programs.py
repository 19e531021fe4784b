"""Files of torch.save built by hand, good and hostile, for the tests of their reader."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch

from norse_export.errors import ExportError, UnsafeFileError
from norse_export.files.limits import Limits
from norse_export.frontend.saved.torch_file import parse

LINEAR = "torch.nn.modules.linear Linear"
TENSOR = "torch._utils _rebuild_tensor_v2"


# Building pickles by hand: each function gives the instructions that leave one value on the stack.


def name(path: str) -> bytes:
    return b"c" + path.replace(" ", "\n").encode() + b"\n"


def value(content: Any) -> bytes:
    """Instructions for a plain value; bytes are taken as instructions already."""
    match content:
        case bytes():
            return content
        case tuple():
            return b"(" + b"".join(map(value, content)) + b"t"
        case dict():
            return b"}(" + b"".join(value(key) + value(inner) for key, inner in content.items()) + b"u"
    return pickle.dumps(content, 2)[2:-1]


def call(path: str, *args: Any) -> bytes:
    return name(path) + value(args) + b"R"


def module(path: str = LINEAR, **attributes: Any) -> bytes:
    state = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}, **attributes}
    return name(path) + b")\x81" + value(state) + b"b"


def storage(key: str = "0", count: int = 4, kind: str = "torch FloatStorage") -> bytes:
    return value(("storage", name(kind), key, "cpu", count)) + b"Q"


def tensor(
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    source: bytes | None = None,
    requires_grad: Any = False,
    hooks: bytes | None = None,
    *more: Any,
) -> bytes:
    hooks = hooks or call("collections OrderedDict")
    return call(TENSOR, source or storage(), offset, size, stride, requires_grad, hooks, *more)


Records = dict[str, bytes]


def archive(program: bytes = b"", *, records: Records | None = None, drop: tuple[str, ...] = ()) -> io.BytesIO:
    """An archive as torch.save writes it, around the instructions of a pickle."""
    content: Records = {"data.pkl": b"\x80\x02" + program + b".", "byteorder": b"little", "version": b"3\n"}
    content |= {"data/0": np.arange(4, dtype="<f4").tobytes()} | (records or {})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for record, data in content.items():
            if record not in drop:
                zipped.writestr(f"archive/{record}", data)
    return file


def saved(model: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(model, file, **options)
    return file


def read(file: io.BytesIO, **limits: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return parse(file, Limits(**limits))


def refused(file: io.BytesIO, error: type[ExportError] = UnsafeFileError, **limits: int) -> ExportError:
    with pytest.raises(error) as caught:
        read(file, **limits)
    assert type(caught.value) is error
    for finding in caught.value.findings:
        assert finding.where
        assert finding.fix
    return caught.value


def messages(error: ExportError) -> str:
    return "\n".join(finding.message for finding in error.findings)
