"""A neutral picture of a .nir file: what stands in it, before anything is made of it.

Reading and writing a document changes no parameter, no edge and no metadata, in value or in dtype. A scalar of NIR's
own dtypes (int64, float64, bool) is a plain Python value; a scalar of another dtype is a 0-d array. Text is str; a list
of texts is an object array of str.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding

# What a graph's metadata hold for the sake of .nir files alone: metadata of other tools, and how their file was made.
FOREIGN_KEY, KEPT_KEY = "nir_metadata", "nir_file"
BESIDE = "norse_export"  # name of the text beside the graph, in the file
Value = NDArray[Any] | int | float | bool | str
# Names of `Metadata` are text without '/'; groups nest.
Metadata = Mapping[str, "Value | Metadata"]


@dataclass(frozen=True, slots=True, eq=False)
class NIRNode:
    """One primitive: its NIR type, its fields as `primitives` lists them, and its metadata. Arrays are read-only."""

    type: str
    fields: Mapping[str, Value]
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", MappingProxyType({name: _frozen(v) for name, v in self.fields.items()}))
        object.__setattr__(self, "metadata", _frozen_metadata(self.metadata))


@dataclass(frozen=True, slots=True, eq=False)
class NIRDocument:
    """A graph: nodes and edges in the order of the file, metadata, and sub-graphs as documents among the nodes.

    `version` is NIR's, of the file ("" where the file has none, and in sub-graphs). `warnings` holds what a reader
    should be told although the file was accepted. `beside` is what norse-export wrote into the file outside of the
    graph, where no tool that reads graphs meets it: see `entries`.
    """

    version: str
    nodes: Mapping[str, NIRNode | NIRDocument]
    edges: tuple[tuple[str, str], ...]
    metadata: Metadata = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()
    beside: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "edges", tuple((a, b) for a, b in self.edges))
        object.__setattr__(self, "metadata", _frozen_metadata(self.metadata))


def _frozen(value: Value) -> Value:
    """Give the value, an array as a view that cannot be written through."""
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def _frozen_metadata(metadata: Metadata) -> Metadata:
    return MappingProxyType(
        {key: _frozen_metadata(v) if isinstance(v, Mapping) else _frozen(v) for key, v in metadata.items()}
    )
