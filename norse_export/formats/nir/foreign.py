"""Metadata that other tools put into a .nir file: kept as one text in the graph's metadata, and written out again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from norse_export.errors import GraphError

from .document import Metadata, NIRDocument, NIRNode
from .notes import PREFIX
from .packed import pack, unpack

FOREIGN_KEY = "nir_metadata"
_DTYPES = frozenset("biuf")


@dataclass(frozen=True, slots=True)
class Foreign:
    """Metadata of others: of the graph, and of nodes by name."""

    graph: Metadata = field(default_factory=dict)
    nodes: Mapping[str, Metadata] = field(default_factory=dict)

    @classmethod
    def of(cls, document: NIRDocument) -> Foreign:
        """Take from a document all metadata that is not ours."""
        nodes = {name: theirs for name, node in document.nodes.items() if (theirs := _theirs(node.metadata))}
        return cls(_theirs(document.metadata), nodes)

    def packed(self) -> str | None:
        """Give it as a text, from which `unpacked` gives it back bit for bit; None where there is none."""
        if not self.graph and not self.nodes:
            return None
        nodes = {name: NIRNode("", {}, metadata) for name, metadata in self.nodes.items()}
        packed, arrays = pack(NIRDocument("", nodes, (), self.graph))
        bits = {key: [a.dtype.str, list(a.shape), a.tobytes().hex()] for key, a in arrays.items()}
        return json.dumps([packed, bits], sort_keys=True)

    @classmethod
    def unpacked(cls, text: str | None) -> Foreign:
        """Give what `packed` gave as a text.

        Raises:
            GraphError: the text is nothing that `packed` gives.
        """
        if text is None:
            return cls()
        try:
            packed, bits = json.loads(text)
            arrays = {key: _array(*parts) for key, parts in bits.items()}
            document = unpack(packed, arrays)
            return cls(document.metadata, {name: node.metadata for name, node in document.nodes.items()})
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise GraphError(
                f"the metadata {FOREIGN_KEY!r} is damaged: {error}",
                where="the graph",
                fix="load the original .nir file again",
                kind="metadata",
            ) from error


def _array(dtype: str, shape: list[int], digits: str) -> np.ndarray:
    if np.dtype(dtype).kind not in _DTYPES:
        raise ValueError(f"an array of {dtype}")
    return np.frombuffer(bytes.fromhex(digits), dtype).reshape(shape)


def _theirs(metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
