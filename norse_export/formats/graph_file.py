"""What our files of graphs share: a safetensors file whose metadata hold a description in JSON, with arrays beside.

A `Form` says what one kind of file is called and how its nodes are written. The same content gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Generic, TypeVar

from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files import strict_json
from norse_export.files.checked import name_of
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.ir.graph import Edge, Graph, Node

_WIDEST_BYTES = 8  # of a value while a graph runs
Array = NDArray[Any]
Arrays = dict[str, Array]
N = TypeVar("N", bound=Node)


@dataclass(frozen=True, slots=True)
class Form(Generic[N]):
    """One kind of file.

    key: of its metadata. number: of its format. graph: what it holds ("fixed graph"). parser: its `parse`, as
    "module:function". fix: the remedy where it is damaged. encode, decode: of one node.
    """

    key: str
    number: int
    graph: str
    parser: str
    fix: str
    encode: Callable[[N, str, Arrays], dict[str, Any]]
    decode: Callable[[str, Any, Mapping[str, Array], str], N]

    def corrupt(self, what: str, where: str) -> InputFileError:
        """The error for a file whose content contradicts itself."""
        return InputFileError(f"corrupt: {what}", where=where, fix=self.fix, kind="corrupt")

    def write(self, file: BinaryIO, document: Mapping[str, Any], arrays: Arrays) -> None:
        """Write description and arrays."""
        described = {"format": self.number, **document}
        text = json.dumps(described, separators=(",", ":"), allow_nan=False)
        safetensors_file.write(file, arrays, {self.key: text})

    def parse(self, file: BinaryIO, limits: Limits) -> tuple[dict[str, Any], Arrays]:
        """Read all that is text, in the limited child process: header and description.

        Raises:
            InputFileError: truncated, corrupt, of another format. LimitError: larger than the limits.
        """
        where = name_of(file)
        with self.remedied():
            header, arrays = safetensors_file.parse_header(file, limits)
            if self.key not in header["metadata"]:
                raise self.corrupt(f"it holds tensors, but no {self.graph}", where)
            document = strict_json.loads(header["metadata"].pop(self.key), where=where, limits=limits)
        if not isinstance(document, dict) or document.get("format") != self.number:
            found = document.get("format") if isinstance(document, dict) else None
            raise self.corrupt(f"its format is {str(found)[:40]!r}, this version reads {self.number}", where)
        return {"header": header, "document": document}, arrays

    def read(self, file: BinaryIO, name: str, limits: Limits) -> tuple[Any, Arrays, str]:
        """The description, the arrays, each held to its checksum, and the digest of the header."""
        parsed = parse_in_child(self.parser, file, name=name, limits=limits).document
        with self.remedied():
            arrays = safetensors_file.read_tensors(file, parsed["header"])
        return parsed["document"], arrays, parsed["header"]["sha256"]

    @contextmanager
    def remedied(self) -> Iterator[None]:
        """Give what is damaged inside the remedy of this kind of file."""
        try:
            yield
        except InputFileError as error:
            error.fix = self.fix
            error.findings = tuple(replace(finding, fix=self.fix) for finding in error.findings)
            raise

    @contextmanager
    def decoding(self, where: str) -> Iterator[None]:
        """Within, a description is read: whatever is missing from it, or of another type, is damage.

        Raises:
            InputFileError: it is incomplete.
        """
        try:
            with self.remedied():
                yield
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
            what = f"the description of the graph is incomplete ({type(error).__name__}: {error})"
            raise self.corrupt(what, where) from error

    def encode_graph(self, graph: Graph[N], arrays: Arrays) -> dict[str, Any]:
        """Nodes in order, edges in order, metadata; the arrays of the nodes are added to `arrays`."""
        return {
            "nodes": [
                [name, self.encode(node, f"graph.{number}", arrays)]
                for number, (name, node) in enumerate(graph.nodes.items())
            ],
            "edges": [[edge.source, edge.target, edge.port, edge.delay_steps] for edge in graph.edges],
            "metadata": dict(graph.metadata),
        }

    def decode_graph(self, encoded: Any, arrays: Mapping[str, Array], where: str, limits: Limits) -> Graph[N]:
        """The graph that a description stands for.

        Raises:
            InputFileError: it is no graph. LimitError: names, shapes, edges beyond the limits. GraphError: impossible.
        """
        parts = self.mapping(encoded, {"nodes", "edges", "metadata"}, "the graph", where)
        nodes: dict[str, N] = {}
        for entry in self.sequence(parts["nodes"], None, "the nodes", where):
            name, node = self.sequence(entry, 2, "a node", where)
            if not isinstance(name, str) or not name or name in nodes:
                raise self.corrupt(f"a node without a name of its own: {str(name)[:40]!r}", where)
            at = f"{where}: node {name[:40]!r}"
            limits.check("max_name_bytes", len(name.encode("utf-8", "surrogatepass")), where=at)
            nodes[name] = made = self.decode(name, node, arrays, where)
            for shape in (made.input_shape, made.output_shape):
                limits.check("max_bytes", math.prod(shape) * _WIDEST_BYTES, where=at)
        encoded_edges = self.sequence(parts["edges"], None, "the edges", where)
        limits.check("max_edges", len(encoded_edges), where=where)
        edges = tuple(self._edge(entry, nodes, where, limits) for entry in encoded_edges)
        return Graph(nodes, edges, self.texts(parts["metadata"], "the metadata", where))

    def _edge(self, entry: Any, nodes: Mapping[str, N], where: str, limits: Limits) -> Edge:
        source, target, port, delay = self.sequence(entry, 4, "an edge", where)
        if not all(isinstance(text, str) for text in (source, target, port)) or type(delay) is not int:
            raise self.corrupt(f"an edge that is none: {str(entry)[:80]}", where)
        if source in nodes:  # what was sent is kept for as long as it is under way
            kept = math.prod(nodes[source].output_shape) * max(delay, 0) * _WIDEST_BYTES
            limits.check("max_bytes", kept, where=f"{where}: edge {source[:40]!r} -> {target[:40]!r}")
        return Edge(source, target, port, delay)

    def mapping(self, value: Any, keys: set[str] | None, what: str, where: str) -> Mapping[str, Any]:
        """The JSON object `value`, which must have exactly these keys; None: any."""
        if not isinstance(value, dict) or (keys is not None and set(value) != keys):
            raise self.corrupt(f"{what} is no object of {', '.join(sorted(keys)) if keys else 'names'}", where)
        return value

    def sequence(self, value: Any, length: int | None, what: str, where: str) -> list[Any]:
        """The JSON list `value`, of this length; None: any."""
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise self.corrupt(f"{what} is no list{'' if length is None else f' of {length}'}", where)
        return value

    def texts(self, value: Any, what: str, where: str) -> dict[str, str]:
        """The JSON object `value`, all of whose values must be texts."""
        found = self.mapping(value, None, what, where)
        for key, text in found.items():
            if not isinstance(text, str):
                raise self.corrupt(f"{what} holds {key[:40]!r}, which is no text", where)
        return dict(found)

    def tensors(self, encoded: Any) -> set[str]:
        """Names of the tensors that an encoded graph, or a part of one, refers to."""
        if isinstance(encoded, list):
            return set().union(*map(self.tensors, encoded))
        if not isinstance(encoded, dict):
            return set()
        if set(encoded) == {"tensor"} and isinstance(encoded["tensor"], str):
            return {encoded["tensor"]}
        return set().union(*map(self.tensors, encoded.values()))

    def check_used(self, used: set[str], arrays: Mapping[str, Array], where: str) -> None:
        """Refuse tensors that nothing refers to."""
        if unused := set(arrays) - used:
            raise self.corrupt(f"tensor {min(unused)[:40]!r} belongs to nothing", where)
