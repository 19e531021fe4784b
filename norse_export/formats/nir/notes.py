"""Our metadata in a .nir file: what NIR has no field for, as plain floats, integers and texts under prefixed names.

An array stands only where the neurons of one population differ. Flat names survive `nir.read` and `nir.write` of every
version of nir; a list of texts or a 0-d array would not. The keys are listed in the README of target `nir`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError, InputFileError
from norse_export.files import strict_json
from norse_export.ir.arrays import FloatArray
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.step_choice import words_of
from norse_export.ir.step_words import CHOICES

from .document import Metadata, Value

PREFIX = "norse_export_"
FORMAT = 1  # of the metadata; a reader refuses a higher one
# What the discrete graph means by a step, where no population has another choice. Written into each file.
RULES: Mapping[str, str] = MappingProxyType({name: words[0] for name, words in CHOICES.items()})
BY_NODE = "by-node"  # in the place of a word: populations differ, and each has its own
LOOP_DELAY_STEPS = 1

_FIX = "remove the metadata that begins with norse_export_, and pass --dt"


def prefixed(notes: Mapping[str, Any]) -> dict[str, Value]:
    """Give notes as metadata; those that are None are left out."""
    return {PREFIX + name: value for name, value in notes.items() if value is not None}


def graph_rules(populations: Iterable[NeuronModel]) -> dict[str, str]:
    """The words of a whole graph: what all populations have that know the choice, else `BY_NODE`.

    A reader that does not know a word refuses it by name.
    """
    found: dict[str, set[str]] = {name: set() for name in CHOICES}
    for node in populations:
        for name, word in words_of(node).items():
            found[name].add(word)
    return {
        name: RULES[name] if not words else min(words) if len(words) == 1 else BY_NODE for name, words in found.items()
    }


def node_rules(node: NeuronModel, graph: Mapping[str, str]) -> dict[str, str]:
    """The words of a population, where those of the graph (of `graph_rules`) do not tell them."""
    return {name: word for name, word in words_of(node).items() if graph[name] == BY_NODE}


def uniform(array: FloatArray) -> bool:
    """Whether all values are the same, bit for bit."""
    if array.size <= 1 or not any(stride for stride, n in zip(array.strides, array.shape, strict=True) if n > 1):
        return True
    bits = np.ascontiguousarray(array).view(np.uint32 if array.itemsize == 4 else np.uint64)
    return bool(np.all(bits == bits.flat[0]))


def packed_array(name: str, array: FloatArray, dtype: str) -> dict[str, Value]:
    """Give per-neuron values as one float where they are all the same, with their dtype where it is not `dtype`."""
    if not uniform(array):
        return {name: array}
    value: dict[str, Value] = {name: float(array.flat[0])}
    return value if array.dtype == dtype else {**value, f"{name}_dtype": str(array.dtype)}


@dataclass(frozen=True, slots=True)
class Notes:
    """Our metadata of one node, or of the graph, by name without the prefix; `where` is for messages."""

    values: Mapping[str, Value]
    where: str

    @classmethod
    def of(cls, metadata: Metadata, where: str) -> Notes:
        """Take ours out of all metadata."""
        ours = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
        groups = [key for key, value in ours.items() if isinstance(value, Mapping)]
        if groups:
            raise _wrong(groups[0], "a value", where)
        return cls({key: value for key, value in ours.items() if not isinstance(value, Mapping)}, where)

    def text(self, name: str) -> str | None:
        """Give a text.

        Raises:
            GraphError: it is something else; so do the other methods.
        """
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise _wrong(name, "a text", self.where)

    def integer(self, name: str) -> int | None:
        """Give an integer."""
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise _wrong(name, "an integer", self.where)

    def number(self, name: str, *, positive: bool = False) -> float | None:
        """Give a float that is finite, and above 0 where it has to be."""
        value = self.values.get(name)
        if value is None or (isinstance(value, float) and np.isfinite(value) and not (positive and value <= 0)):
            return value
        raise _wrong(name, "a finite number" + (" above 0" if positive else ""), self.where)

    def choice(self, name: str, *allowed: str) -> str | None:
        """Give a text that is one of those allowed."""
        value = self.text(name)
        if value is None or value in allowed:
            return value
        raise _wrong(name, " or ".join(allowed), self.where)

    def array(self, name: str, dtype: str | None = None) -> NDArray[Any] | None:
        """Give values that `packed_array` wrote; one float takes the dtype noted beside it, else `dtype`."""
        value = self.values.get(name)
        if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64):
            return value
        if (number := self.number(name)) is None:
            return None
        with np.errstate(over="ignore"):  # nodes refuse what is not finite
            return np.asarray(number, self.choice(f"{name}_dtype", *_FLOATS) or dtype)

    def json(self, name: str) -> Any:
        """Give what a text holds as JSON."""
        text = self.text(name)
        try:
            return None if text is None else strict_json.loads(text, where=self.where, limits=None)
        except InputFileError as error:
            raise _wrong(name, f"JSON ({error.what})", self.where) from error


_FLOATS = ("float32", "float64")


def _wrong(name: str, needed: str, where: str) -> GraphError:
    return GraphError(f"the metadata {PREFIX}{name} is not {needed}", where=where, fix=_FIX, kind="metadata")
