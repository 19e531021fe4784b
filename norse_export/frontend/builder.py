"""The graph that a recording grows: nodes and edges so far, the findings, and which tensor comes from which node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from norse_export.errors import ExportError, Finding, UnsupportedError, locating
from norse_export.frontend.likeness import alike, leading_to
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.stages import ContinuousNode

MEMBRANE = ".membrane"  # behind the name of a population, that of the one that sends its membrane
_numbers = count()
_BN_FIX = "let the batch normalisation be the only one that takes the layer's output"


@dataclass(frozen=True, slots=True)
class Readout:
    """What a model makes of all steps of what a node sends: `how`, one function after the other. It has no node."""

    node: str
    how: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What a traced tensor stands for: what `node` sends. `node` is None where an operation was not understood.

    lead: number of leading axes that are not features: 1 for batch, 2 for time and batch, 0 where that is not known.
    state_of: path of the population whose state the tensor is; such a tensor is passed on, and nothing else.
    time: the step that the tensor is of, in a loop of the model's own; else None. silent: zeros, and what layers make
    of them, in the place of what a step before step 0 would have sent; `node` is then what made it, if any
    did, and for the steps behind step 0 it is what that node sent.
    rows: of a tensor that holds single steps along an axis, what each of them stands for. swapped: that axis is the
    second, and the batch the first. readout: what was made of all steps of a node. number: of what one call of a layer
    made; what only tells its axes or its time in another way keeps it.
    """

    node: str | None
    lead: int
    state_of: str = ""
    time: int | None = None
    silent: bool = False
    rows: tuple[Value, ...] = ()
    swapped: bool = False
    readout: Readout | None = None
    number: int = field(default_factory=_numbers.__next__)


_Layer = tuple[ContinuousNode, tuple[Edge, ...]]  # and the edges into it


def is_place_of(name: str, path: str) -> bool:
    """Whether a node's name is that of a module, or of a further call of it in a step (see `Builder.unique`)."""
    return name == path or (name.startswith(f"{path}@") and name.removeprefix(f"{path}@").isdecimal())


@dataclass(slots=True)
class Builder:
    """A graph under construction. reserved: names that only the module of that path may take.

    now: the step that is being recorded, in a loop of the model's own: what an earlier step sent arrives later.
    shown: the inputs are images: what layers make of them is the same at every step, and of none.
    """

    nodes: dict[str, ContinuousNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)  # numbers of values that a folded normalisation took the place of
    consumed: set[str] = field(default_factory=set)
    reserved: frozenset[str] = frozenset()
    now: int | None = None
    shown: bool = False
    feedback: bool = False  # something that an earlier step sent was taken
    silenced: set[str] = field(default_factory=set)  # nodes that only heard what comes before step 0
    readouts: dict[str, str] = field(default_factory=dict)  # output -> what the model makes of its steps afterwards
    membranes: dict[str, str] = field(default_factory=dict)  # population -> the one that sends its membrane
    classes: dict[Finding, type[ExportError]] = field(default_factory=dict)  # of findings that were raised as errors
    _made: dict[Any, list[Value]] = field(default_factory=dict)  # in this step: name and sources -> what was made
    _used: set[int] = field(default_factory=set)  # numbers of values that a node was fed with
    _moved: dict[int, _Layer] = field(default_factory=dict)  # number of a value -> the layer whose node was folded

    def unique(self, name: str, *, module: bool = False) -> str:
        """A node name that is not taken: the name itself, or with the number of the call behind it.

        module: whether `name` is the path of the module that is called.
        """
        number, candidate = 1, name
        while candidate in self.nodes or (candidate in self.reserved and not (module and number == 1)):
            number += 1
            candidate = f"{name}@{number}"
        return candidate

    def add(self, name: str, make: Callable[[], ContinuousNode], lead: int, *sources: tuple[Value, str]) -> Value:
        """Add a node fed by `sources` (value, port), in this order; a node that is impossible becomes a finding.

        What a layer of a step makes twice of the same is one node: a state is often made of what a layer gives, for its
        shape alone, before the layer is called again.
        """
        heard = tuple(source for source in sources if not source[0].silent)
        if sources and not heard:
            self.silenced.add(name)
            return Value(name, lead, time=self.now, silent=True)
        sources = heard
        try:
            with locating(name):
                node = make()
        except ExportError as error:
            self.note(error)
            return Value(None, lead)
        if any(value.number in self.replaced for value, _ in sources):
            self.refuse("batch_norm", name, "a value is used both before and after its batch normalisation", _BN_FIX)
        if any(value.node is None for value, _ in sources):
            return Value(None, lead)
        self._used.update(value.number for value, _ in sources)
        sources = tuple((self.settled(value), port) for value, port in sources)
        into = [Edge(value.node, name, port, self._late(value)) for value, port in sources if value.node is not None]
        still = self.shown and not isinstance(node, NeuronModel) and all(value.time is None for value, _ in sources)
        return self._put(name, node, into, lead, None if still else self.now)

    def _put(self, name: str, node: ContinuousNode, into: Sequence[Edge], lead: int, time: int | None) -> Value:
        """Add a node with the edges into it; or none, where there is one that is the same."""
        key = self._key(name, into)
        twin = self._twin(key, node)
        if twin is None:
            name = self.unique(key[0]) if name in self.nodes else name
            self.nodes[name] = node
            self.edges += [replace(edge, target=name) for edge in into]
            self.feedback = self.feedback or any(edge.delay_steps for edge in into)
            self.consumed.update(edge.source for edge in into)
        made = Value(name if twin is None else twin, lead, time=time)
        self._made.setdefault(key, []).append(made)
        return made

    def settled(self, value: Value) -> Value:
        """The value itself; of one whose node was folded for another call of its layer, that of a node of its own."""
        if value.number not in self._moved or value.node is None:
            return value
        node, into = self._moved[value.number]
        made = self._put(self.unique(self._key(value.node, into)[0]), node, into, value.lead, value.time)
        return replace(value, node=made.node, number=made.number)

    def add_membrane(self, path: str, make: Callable[[], ContinuousNode], source: tuple[Value, str]) -> None:
        """Add the population that sends the membrane of the one at a path; `finish` leaves it out where it is not read.

        Where the spikes are not heard, it takes the place of that one.
        """
        made = self.add(self.unique(f"{path}{MEMBRANE}"), make, 1, source)
        if made.node is not None and not made.silent:
            self.membranes[path] = made.node

    def _late(self, value: Value) -> int:
        return 0 if value.time is None or self.now is None else self.now - value.time

    def _key(self, name: str, into: Sequence[Edge]) -> Any:
        path, _, number = name.rpartition("@")
        own = path if path and number.isdecimal() else name
        return own, tuple((edge.source, edge.port, edge.delay_steps) for edge in into)

    def _twin(self, key: Any, node: ContinuousNode) -> str | None:
        """The node that this step made of the same by the same layer; of a population none: each has its own state."""
        if (self.now is None and not self.shown) or isinstance(node, NeuronModel | Output):
            return None
        names = (value.node for value in self._made.get(key, ()) if self._stands(value))
        return next((name for name in names if name in self.nodes and alike(self.nodes[name], node)), None)

    def _stands(self, value: Value) -> bool:
        """Whether a value still stands for what its node sends."""
        return value.number not in self.replaced and value.number not in self._moved

    def _others(self, key: Any, value: Value) -> list[Value]:
        """What else stands for the node of a value: further calls of its layer."""
        made = (other for other in self._made.get(key, ()) if other.number != value.number and self._stands(other))
        return [other for other in made if other.node == value.node]

    def taken(self, value: Value) -> bool:
        """Whether something takes what a layer gave; what takes that of a further call of the layer does not count."""
        if value.node not in self.consumed:
            return False
        key = self._key(value.node, [edge for edge in self.edges if edge.target == value.node])
        return value.number in self._used or not self._others(key, value)

    def connect(self, source: str, target: str, port: str, delay_steps: int) -> None:
        """Add an edge between two nodes."""
        self.edges.append(Edge(source, target, port, delay_steps))

    def replace(self, value: Value, node: ContinuousNode) -> Value:
        """Put another node in the place of the one that sends `value`; the old value may not be used any more.

        Where the layer was called several times, the other calls keep the old node: one that is taken stays, and one
        that is not, as of a call for its shape alone, is added again once it is (see `settled`).
        """
        self.replaced.add(value.number)
        if value.node is None:
            return Value(None, value.lead, time=value.time)
        into = tuple(edge for edge in self.edges if edge.target == value.node)
        key = self._key(value.node, into)
        twin = self._twin(key, node)
        if value.node in self.consumed:
            return self._put(value.node, node, into, value.lead, value.time)
        self._moved.update((other.number, (self.nodes[value.node], into)) for other in self._others(key, value))
        if twin is None:
            self.nodes[value.node] = node
        else:
            self._drop(value.node)
        made = Value(value.node if twin is None else twin, value.lead, time=value.time)
        self._made.setdefault(key, []).append(made)
        return made

    def refuse(self, kind: str, where: str, message: str, fix: str) -> None:
        """Note that something cannot be traced; the recording goes on, to find all that cannot."""
        self._note(Finding(kind, "error", where, message, fix))

    def note(self, error: ExportError) -> None:
        """Note an error that was raised, with all its findings."""
        for finding in error.findings:
            self._note(finding)
            self.classes[finding] = type(error)

    def copy(self) -> Builder:
        """A builder that starts from here, without the findings."""
        return Builder(
            nodes=dict(self.nodes),
            edges=list(self.edges),
            replaced=set(self.replaced),
            consumed=set(self.consumed),
            reserved=self.reserved,
            membranes=dict(self.membranes),
            shown=self.shown,
            _made={key: list(made) for key, made in self._made.items()} if self.shown and self.now is None else {},
            _used=set(self._used),
            _moved=dict(self._moved),
        )

    def take_over(self, steady: Builder) -> None:
        """Go on from what another recording made, that started from here."""
        self.nodes, self.edges, self.membranes = dict(steady.nodes), list(steady.edges), dict(steady.membranes)
        self.replaced, self.consumed = set(steady.replaced), set(steady.consumed)
        self._used, self._moved = set(steady._used), dict(steady._moved)

    def merge(self, other: Builder) -> None:
        """Take over the findings of another recording of the same model."""
        for finding in other.findings:
            self._note(finding)
        self.classes |= other.classes

    def _note(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def finish(self, metadata: dict[str, str]) -> Graph[ContinuousNode]:
        """Give the graph, without what leads to no output.

        Raises:
            UnsupportedError: something was not understood; all findings are listed, those of other kinds among them.
            GraphError: the graph is impossible, or nothing but impossible parameters was found; all are listed.
            UsageError: nothing was found but that the model raised.
        """
        if self.findings:
            found = {self.classes.get(finding, UnsupportedError) for finding in self.findings}
            raise (found.pop() if len(found) == 1 else UnsupportedError).of(self.findings)
        if lost := [edge for edge in self.edges if edge.source not in self.nodes]:
            self.refuse("control_flow", lost[0].target, *_lost(lost[0].source))
            return self.finish(metadata)
        self._read_membranes()
        kept = set(leading_to(self.edges, self.ends()))
        nodes = {name: node for name, node in self.nodes.items() if name in kept}
        return Graph(nodes, tuple(edge for edge in self.edges if {edge.source, edge.target} <= kept), metadata)

    def _read_membranes(self) -> None:
        """Leave out the membranes that are not read, and the spikes that are not heard where the membrane is."""
        for path, membrane in self.membranes.items():
            heard = {edge.source for edge in self.edges}
            if membrane not in heard:
                self._drop(membrane)
            elif path not in heard:
                self._drop(path)
                names = {membrane: path}
                self.nodes = {names.get(name, name): node for name, node in self.nodes.items()}
                self.edges = [
                    replace(
                        edge, source=names.get(edge.source, edge.source), target=names.get(edge.target, edge.target)
                    )
                    for edge in self.edges
                ]
        self.membranes = {}

    def _drop(self, name: str) -> None:
        del self.nodes[name]
        self.edges = [edge for edge in self.edges if edge.target != name]

    def ends(self) -> list[str]:
        """Nodes that are kept, whether or not an output depends on them: so that spikes are compared, and inputs."""
        return [name for name, node in self.nodes.items() if isinstance(node, NeuronModel | Input | Output)]


def _lost(source: str) -> tuple[str, str]:
    """Message and remedy where a step takes what a node of another step alone sends."""
    message = f"it takes what {source!r} gave in the step before, which is not there in every step"
    return message, "make every time step the same"
