"""Reads a file written by torch.save without running anything from it; needs neither torch nor Norse.

`parse` is called in the limited child process (`norse_export.files.child`). It gives a document, JSON, that says what
the file holds, and the tensors as arrays under the keys that the document names:

    {"kind": "state_dict", "file": name, "tensors": {name: {"tensor": key}}, "stored": {key: ...}}
    {"kind": "module", "file": name, "root": node, "stored": {key: {"dtype", "requires_grad", "parameter"}}}

A node is {"class", "attributes", "children"}. The attributes are those of the module's `__dict__` that matter, with
`_parameters` and `_buffers` by name; their values are described in `attribute_fields`, the classes in `known_classes`.
Where a module stands once more, its node has no attributes and no children, but "same": the path where it stands first.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from numpy.typing import NDArray

from norse_export.errors import InputFileError, UnsafeFileError
from norse_export.files.limits import Limits
from norse_export.frontend.saved.torch_archive import PICKLE, Archive, naming, open_archive
from norse_export.frontend.saved.torch_records import RecordReader
from norse_export.frontend.saved.torch_tensors import TensorReader
from norse_export.frontend.saved.unpickle import unpickle

# In a pickle a module stands three levels below its parent (its state, `_modules`, the module), and a parameter nine
# below its module; the rest is slack.
_LEVELS_PER_MODULE = 3
_LEVELS_INSIDE_MODULE = 16


def parse(file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The document and the arrays of a file of torch.save. Nothing in the file is imported, called or run.

    Arrays are read-only and in C order; bfloat16 is widened to float32, exactly, and named in the document.

    Raises:
        UnsafeFileError: classes, functions or calls outside the table of known ones, hooks, other kinds of archives
            that hold code; with every finding.
        InputFileError: truncated, corrupt, or stored in a way that torch.save does not; with every finding.
        LimitError: larger, deeper or with more objects than the limits allow.
    """
    archive = open_archive(file, limits)
    with naming(archive.name):
        document, tensors = _read(archive, limits)
    archive.check(tensors.unread)
    return {**document, "file": archive.name}, tensors.arrays


def _read(archive: Archive, limits: Limits) -> tuple[dict[str, Any], TensorReader]:
    """The document, and the reader of the tensors that it names."""
    pickle = unpickle(
        archive.read(PICKLE).tobytes(),
        max_objects=limits.max_objects,
        max_depth=_LEVELS_PER_MODULE * limits.max_depth + _LEVELS_INSIDE_MODULE,
        max_text_bytes=limits.max_name_bytes,
    )
    tensors = TensorReader(archive, limits)
    records = RecordReader(pickle, tensors, limits)
    document = records.document()
    findings = records.findings
    if findings:
        raise (UnsafeFileError if findings[0].kind == UnsafeFileError.kind else InputFileError).of(findings)
    return document, tensors
