"""Turns the records of tensors in a pickle of torch.save into arrays, with every bound checked first.

A tensor is `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])` on a
storage ("storage", type, key, location, elements), whose bytes are the record `data/<key>`; a parameter is
`torch._utils._rebuild_parameter(tensor, requires_grad, hooks)` (torch 2.13.0, `torch/_utils.py`, `torch/_tensor.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from norse_export.errors import Finding, InputFileError
from norse_export.files.limits import Limits
from norse_export.frontend.saved.records import Call, Global, PersistentId
from norse_export.frontend.saved.torch_archive import SAVE, Archive

REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils._rebuild_parameter"

#: Name of the dtype and, as it stands in the file, of the elements. bfloat16 has no numpy dtype; see `_widen`.
STORAGES: Mapping[str, tuple[str, np.dtype[Any]]] = {
    "torch.FloatStorage": ("float32", np.dtype("<f4")),
    "torch.DoubleStorage": ("float64", np.dtype("<f8")),
    "torch.HalfStorage": ("float16", np.dtype("<f2")),
    "torch.BFloat16Storage": ("bfloat16", np.dtype("<u2")),
    "torch.LongStorage": ("int64", np.dtype("<i8")),
    "torch.IntStorage": ("int32", np.dtype("<i4")),
    "torch.ShortStorage": ("int16", np.dtype("<i2")),
    "torch.CharStorage": ("int8", np.dtype("|i1")),
    "torch.ByteStorage": ("uint8", np.dtype("|u1")),
    "torch.BoolStorage": ("bool", np.dtype("|b1")),
}

#: Storages of dtypes that no model here has: harmless, but not supported.
UNSUPPORTED_STORAGES: Mapping[str, str] = {
    "torch.ComplexFloatStorage": "complex64",
    "torch.ComplexDoubleStorage": "complex128",
    "torch.QInt8Storage": "quantised int8",
    "torch.QUInt8Storage": "quantised uint8",
    "torch.QInt32Storage": "quantised int32",
    "torch.QUInt4x2Storage": "quantised uint4",
    "torch.QUInt2x4Storage": "quantised uint2",
}

_MAX_DIMENSIONS = 64  # numpy 2: NPY_MAXDIMS; also torch's own limit


class TensorReader:
    """Reads tensors out of one archive; each record once, under a key of its own.

    arrays: by key, read-only and in C order. stored: by key {"dtype", "requires_grad", "parameter"}; bfloat16 is
    widened to float32, exactly, and named in "dtype". findings: what was refused. accounted: the calls understood.
    """

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._keys: dict[int, str] = {}
        self._storages: dict[str, NDArray[Any]] = {}
        self._bytes = 0
        self.arrays: dict[str, NDArray[Any]] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self.findings: list[Finding] = []
        self.accounted: set[int] = set()

    @property
    def unread(self) -> list[str]:
        """Records of which no tensor has read the bytes."""
        return [name for name in self._archive.records if name not in self._storages]

    def key(self, record: Call, where: str) -> str | None:
        """The key of a tensor or parameter; None when it was refused (see `findings`).

        Raises:
            InputFileError: the storage's record has a wrong checksum.
            LimitError: the tensors are too large together.
        """
        if id(record) in self._keys:
            return self._keys[id(record)]
        try:
            array, stored = self._read(record)
        except _RefusedError as refused:
            self.findings.append(Finding(refused.kind, "error", where, str(refused), SAVE))
            return None
        key = self._keys[id(record)] = str(len(self.arrays))
        array.setflags(write=False)
        self.arrays[key], self.stored[key] = array, stored
        return key

    def _read(self, record: Call) -> tuple[NDArray[Any], dict[str, Any]]:
        tensor, requires_grad, parameter = record, None, False
        if record.callable.path == REBUILD_PARAMETER:
            tensor, requires_grad = self._parameter(record)
            parameter = True
        match tensor.args:
            case (PersistentId() as storage, offset, tuple() as size, tuple() as stride, bool() as own, hooks, *more):
                self._account(tensor, hooks)
                if more not in ([], [None], [{}]):
                    raise _RefusedError("a tensor is stored conjugated, negated or with attributes of its own")
                dtype, array = self._view(storage, offset, size, stride)
            case _:
                raise _RefusedError("corrupt: a tensor has arguments that torch.save never writes")
        requires_grad = own if requires_grad is None else requires_grad
        if requires_grad and array.dtype.kind != "f":
            raise _RefusedError(f"corrupt: a tensor of {dtype} requires a gradient")
        return array, {"dtype": dtype, "requires_grad": requires_grad, "parameter": parameter}

    def _parameter(self, record: Call) -> tuple[Call, bool]:
        match record.args:
            case (Call() as tensor, bool() as requires_grad, hooks) if is_tensor(tensor, REBUILD_TENSOR):
                self._account(record, hooks)
                return tensor, requires_grad
        raise _RefusedError("corrupt: a parameter has arguments that torch.save never writes")

    def _account(self, record: Call, hooks: Any) -> None:
        """Note a call as understood. torch.save drops hooks: it writes an empty OrderedDict (torch/_utils.py)."""
        if not is_empty_mapping(hooks):
            raise _RefusedError("hooks of a tensor are not allowed, unsafe", kind="unsafe")
        if record.states or record.items or record.appended or record.kwargs:
            raise _RefusedError("attributes of a tensor of its own are not allowed, unsafe", kind="unsafe")
        self.accounted |= {id(record), id(hooks)}

    def _view(self, storage: PersistentId, offset: Any, size: Any, stride: Any) -> tuple[str, NDArray[Any]]:
        """The elements that a tensor sees of its storage."""
        dtype, elements = self._storage(storage.value)
        if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
            raise _RefusedError(f"corrupt: a tensor has {len(size)} sizes and {len(stride)} strides")
        if not all(type(number) is int and number >= 0 for number in (offset, *size, *stride)):
            raise _RefusedError("corrupt: a tensor has a negative size, stride or offset")
        count = prod(size)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if count else 0
        if count > elements.size:
            raise _RefusedError(
                f"too large: a tensor of {_shown(count)} elements on a storage of {elements.size} (a stride of 0?)"
            )
        if count and last >= elements.size:
            raise _RefusedError(
                f"corrupt: a tensor's size and stride reach element {_shown(last)} of a storage of {elements.size}"
            )
        itemsize = 4 if dtype == "bfloat16" else elements.itemsize
        self._bytes += count * itemsize
        self._limits.check("max_bytes", self._bytes, where=self._archive.name)
        steps = [step * elements.itemsize for step in stride]
        view = as_strided(elements[offset:], size, steps, writeable=False) if count else elements[:0].reshape(size)
        return dtype, _widen(view) if dtype == "bfloat16" else _contiguous(view)

    def _storage(self, value: Any) -> tuple[str, NDArray[Any]]:
        """dtype and elements of a storage: as many as are declared, no more and no less."""
        match value:
            case ("storage", Global() as kind, str() as key, str(), int() as count) if kind.path in STORAGES:
                dtype, element = STORAGES[kind.path]
            case ("storage", Global() as kind, *_) if kind.path in UNSUPPORTED_STORAGES:
                raise _RefusedError(f"tensors of {UNSUPPORTED_STORAGES[kind.path]} are not supported", kind="dtype")
            case _:
                raise _RefusedError("corrupt: a storage is described as torch.save never does")
        record = f"data/{key}"
        if record not in self._archive.records:
            raise _RefusedError(f"corrupt: the storage {record!a} is missing")
        if self._archive.records[record].file_size != count * element.itemsize:
            raise _RefusedError(f"corrupt: the storage {record!a} does not have the size of {count} {dtype}")
        if record not in self._storages:
            self._storages[record] = self._archive.read(record)
        content = self._storages[record]
        if dtype == "bool" and content.max(initial=0) > 1:
            raise _RefusedError(f"corrupt: the storage {record!a} holds truth values other than 0 and 1")
        return dtype, content.view(element)


class _RefusedError(Exception):
    """One tensor cannot be read; the others are still looked at."""

    def __init__(self, what: str, *, kind: str = InputFileError.kind) -> None:
        super().__init__(what)
        self.kind = kind


def is_tensor(record: Any, *names: str) -> bool:
    """Whether a record is a tensor or parameter as torch.save writes them."""
    return (
        isinstance(record, Call)
        and record.how == "reduce"
        and isinstance(record.callable, Global)
        and record.callable.path in (names or (REBUILD_TENSOR, REBUILD_PARAMETER))
    )


def is_empty_mapping(value: Any) -> bool:
    """Whether a value is `{}` or `OrderedDict()`, and nothing more."""
    if isinstance(value, Call):
        return (
            value.callable == Global("collections", "OrderedDict")
            and value.how == "reduce"
            and not (value.args or value.kwargs or value.states or value.items or value.appended)
        )
    return isinstance(value, dict) and not value


def _contiguous(view: NDArray[Any]) -> NDArray[Any]:
    return view if view.flags.c_contiguous else view.copy(order="C")


def _widen(view: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 as float32: the same value, as bfloat16 is its upper half."""
    bits: NDArray[Any] = view.astype("<u4") << np.uint32(16)
    return bits.view("<f4")


def _shown(number: int) -> str:
    """A number for a message; Python refuses to print more than 4300 digits."""
    return str(number) if number.bit_length() <= 128 else "more than 2**128"
