"""A document in which convolutions stand as they were before `conv_form` rewrote them for `nir.read`."""

from __future__ import annotations

from collections import Counter

import numpy as np

from norse_export.errors import ExportError, Finding
from norse_export.ir.layers import Conv

from .conv_form import original_form
from .document import NIRDocument, NIRNode
from .fields import conv_fields
from .notes import PREFIX, Notes

_ORIGINAL, _ROLE = f"{PREFIX}original", f"{PREFIX}role"


def with_originals(document: NIRDocument) -> tuple[NIRDocument, tuple[Finding, ...]]:
    """Put the original in the place of each convolution that was rewritten, and take out its crop.

    A node that was changed after it was written stays as it is; a warning says so.

    Raises:
        GraphError: metadata of a wrong type.
    """
    nodes, warnings = dict(document.nodes), list[Finding]()
    crops, removed = _crops(document), dict[str, str]()  # removed: crop -> its convolution
    for name, node in document.nodes.items():
        if not isinstance(node, NIRNode) or _ORIGINAL not in node.metadata:
            continue
        crop = crops.get(name)
        original = _original(node, None if crop is None else document.nodes[crop], name)
        if original is None:
            message = "the convolution was changed after norse-export wrote it; it is taken as it stands"
            warnings.append(Finding("metadata", "warning", name, message, "export the model again"))
            continue
        metadata = {key: value for key, value in node.metadata.items() if key != _ORIGINAL}
        nodes[name] = NIRNode(*conv_fields(original), metadata)
        if crop is not None:
            del nodes[crop]
            removed[crop] = name
    edges = tuple((removed.get(a, a), b) for a, b in document.edges if b not in removed)
    return NIRDocument(document.version, nodes, edges, document.metadata, document.warnings), tuple(warnings)


def _crops(document: NIRDocument) -> dict[str, str]:
    """Convolution -> the crop that is all it feeds, and that nothing else feeds."""
    sources = Counter(a for a, _ in document.edges)
    targets = Counter(b for _, b in document.edges)
    roles = {name: node.metadata.get(_ROLE) for name, node in document.nodes.items()}
    cropping = {name for name, role in roles.items() if isinstance(role, str) and role == "crop"}
    return {a: b for a, b in document.edges if b in cropping and sources[a] == 1 and targets[b] == 1}


def _original(node: NIRNode, crop: object, where: str) -> Conv | None:
    original = Notes.of(node.metadata, where).json("original")
    written, following = _as_written(node), _as_written(crop) if isinstance(crop, NIRNode) else None
    return None if written is None else original_form(written, following, original)


def _as_written(node: NIRNode) -> Conv | None:
    """The convolution of a node, if it has the fields that `conv_fields` writes."""
    try:
        window = {name: np.atleast_1d(node.fields[name]).tolist() for name in _WINDOW}
        if not all(type(k) is int for values in window.values() for k in values):
            return None
        return Conv(
            weight=np.asarray(node.fields["weight"]),
            size=tuple(window["input_shape"]),
            bias=np.asarray(node.fields["bias"]),
            stride=tuple(window["stride"]),
            padding=tuple(window["padding"]),
            dilation=tuple(window["dilation"]),
            groups=int(np.asarray(node.fields["groups"]).item()),
        )
    except (ExportError, KeyError, ValueError, TypeError):
        return None


_WINDOW = ("input_shape", "stride", "padding", "dilation")
