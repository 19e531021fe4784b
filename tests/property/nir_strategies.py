"""Random graphs of the nir library, over every primitive, for property tests. Not tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from hypothesis import strategies as st

DT, EXACT_DT = 1e-3, 2.0**-10  # seconds of a step
Shape = tuple[int, ...]
NAMES = st.text("abcdefgh.0123456789_ é'", min_size=1, max_size=8).filter(lambda name: name != ".")
FLOATS = [np.float16, np.float32, np.float64]


@dataclass
class Draw:
    """Draws of one graph.

    exact: numbers are multiples of 1/4, time constants 1 or 2 steps of a power of two, so that nothing rounds for some
    steps; and a graph has either loops, or ways around nodes and delays ahead, so that only one order is meant.
    """

    draw: Callable[[Any], Any]
    exact: bool = False

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.draw(st.integers(0, 2**32 - 1)))
        self.dt = EXACT_DT if self.exact else DT
        self.loops = not self.exact or self.draw(st.booleans())
        self.around = not self.exact or not self.loops

    def one_of(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def numbers(self, *shape: int) -> np.ndarray:
        """Of any dtype that a file may have."""
        dtype = self.one_of(*FLOATS, np.int32, np.int64)
        if np.issubdtype(dtype, np.integer):
            return self.random.integers(-2, 3, shape).astype(dtype)
        if self.exact:
            return (self.random.integers(-6, 7, shape) / 4).astype(dtype)
        return self.random.uniform(-1.5, 1.5, shape).astype(dtype)

    def times(self, *shape: int) -> np.ndarray:
        steps = self.random.integers(1, 3, shape) if self.exact else self.random.uniform(2, 20, shape)
        return (steps * self.dt).astype(self.one_of(*FLOATS))

    def delays(self, *shape: int) -> np.ndarray:
        steps = self.random.integers(0, self.draw(st.integers(1, 6)), shape)
        return (steps * self.dt).astype(self.one_of(*FLOATS))

    def metadata(self) -> dict[str, Any]:
        scalars = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60) | st.booleans() | st.text("abé", max_size=5)
        arrays = st.sampled_from([np.arange(3), np.ones((2, 1), np.float16), np.array([True, False])])
        flat = st.dictionaries(st.sampled_from(["dt", "note", "ü", "type", "shape"]), scalars | arrays, max_size=2)
        return self.draw(st.dictionaries(st.sampled_from(["a", "b.c"]), scalars | arrays | flat, max_size=2))


def neuron(d: Draw, shape: Shape) -> nir.NIRNode:
    kind = d.one_of("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
    levels = {
        "I": "r", "IF": "r v_threshold", "LI": "r v_leak", "LIF": "r v_leak v_threshold",
        "CubaLI": "r v_leak", "CubaLIF": "r v_leak v_threshold",
    }[kind].split()  # fmt: skip
    if d.one_of(True, *[False] * 7):
        shape = ()  # one number for all
    values = {name: d.numbers(*shape)[()] for name in levels}
    if "v_threshold" in values and (shape == () or d.draw(st.booleans())):
        values["v_reset"] = d.numbers(*shape)[()]
    if kind in ("LI", "LIF"):
        values["tau"] = d.times(*shape)[()]
    if kind in ("CubaLI", "CubaLIF"):
        values |= {"tau_mem": d.times(*shape)[()], "tau_syn": d.times(*shape)[()]}
        if d.draw(st.booleans()):
            values["w_in"] = d.numbers(*shape)[()]
    if kind in ("I", "IF"):  # in 1/s
        values["r"] = values["r"] * values["r"].dtype.type(256)
    return getattr(nir, kind)(**values, metadata=d.metadata())


def conv(d: Draw, shape: Shape) -> tuple[nir.NIRNode, Shape]:
    channels, *size = shape
    axes, groups = len(size), d.one_of(1, channels)
    kernel = [d.draw(st.integers(1, min(3, n))) for n in size]
    out = groups * d.draw(st.integers(1, 2))
    weight, bias = d.numbers(out, channels // groups, *kernel), d.numbers(out)
    stride, dilation = d.draw(st.integers(1, 2)), 1
    padding = d.one_of(0, 1, "valid") if stride != 1 else d.one_of(0, 1, "valid", "same")
    pad = {"valid": 0, "same": None}.get(padding, padding)
    made = [n if pad is None else (n + 2 * pad - k) // stride + 1 for n, k in zip(size, kernel, strict=True)]
    if axes == 1:
        return nir.Conv1d(size[0], weight, stride, padding, dilation, groups, bias, metadata=d.metadata()), (out, *made)
    both = d.draw(st.booleans())
    spread = np.array([stride] * 2) if both else stride
    told = d.one_of(tuple(size), tuple(n + 3 for n in size))  # a size that nir has wrongly inferred
    return nir.Conv2d(told, weight, spread, padding, dilation, groups, bias, metadata=d.metadata()), (out, *made)


def pool(d: Draw, shape: Shape) -> tuple[nir.NIRNode, Shape]:
    kind = d.one_of(nir.SumPool2d, nir.AvgPool2d)
    window = np.array([d.draw(st.integers(1, min(2, n))) for n in shape[1:]])
    stride, padding = d.draw(st.integers(1, 2)), d.one_of(0, 1) if min(window) > 1 else 0
    made = [(n + 2 * padding - k) // stride + 1 for n, k in zip(shape[1:], window, strict=True)]
    return kind(window, np.array([stride] * 2), np.array([padding] * 2)), (shape[0], *made)


def layer(d: Draw, shape: Shape) -> tuple[nir.NIRNode, Shape]:
    """A node without a state of its own that takes `shape`, and the shape that it sends."""
    kinds = ["Pool", "Conv"] if len(shape) == 3 else []
    kinds += ["Linear", "Affine"] if len(shape) == 1 else ["Conv", "Flatten"]
    kinds += ["Scale", "Threshold", *["Delay"] * d.around]
    match d.one_of(*kinds):
        case "Scale":
            return nir.Scale(d.numbers(*shape), metadata=d.metadata()), shape
        case "Threshold":
            return nir.Threshold(d.numbers(*shape), metadata=d.metadata()), shape
        case "Delay":
            return nir.Delay(d.delays(*shape), metadata=d.metadata()), shape
        case "Linear":
            out = d.draw(st.integers(1, 4))
            return nir.Linear(d.numbers(out, *shape), metadata=d.metadata()), (out,)
        case "Affine":
            out = d.draw(st.integers(1, 4))
            return nir.Affine(d.numbers(out, *shape), d.numbers(out), metadata=d.metadata()), (out,)
        case "Conv":
            return conv(d, shape)
        case "Pool":
            return pool(d, shape)
        case _:
            told = {"input": np.array(shape)}
            node = nir.Flatten(told, start_dim=0, end_dim=d.one_of(-1, len(shape) - 1), metadata=d.metadata())
            return node, (int(np.prod(shape)),)


def block(d: Draw, shape: Shape, depth: int) -> tuple[nir.NIRNode, Shape]:
    what = d.one_of("layer", "layer", "neuron", "neuron", *["graph"] * (depth > 0))
    if what == "neuron":
        return neuron(d, shape), shape
    return layer(d, shape) if what == "layer" else graph(d, shape, depth - 1)


def graph(d: Draw, shape: Shape, depth: int) -> tuple[nir.NIRGraph, Shape]:
    """A chain of blocks, with ways around them, loops, and sub-graphs; and the shape that it sends."""
    length = d.draw(st.integers(1, 4))
    names = d.draw(st.lists(NAMES, min_size=length + 2, max_size=length + 2, unique=True))
    nodes: dict[str, nir.NIRNode] = {names[0]: nir.Input(np.array(shape))}
    sent: dict[str, Shape] = {names[0]: shape}
    edges: list[tuple[str, str]] = []
    loops: list[str] = []  # nodes that may be fed from behind
    last = names[0]
    for name in names[1:-1]:
        taken = sent[last]
        nodes[name], sent[name] = block(d, taken, depth)
        earlier = [other for other, made in sent.items() if made == taken and other not in (last, name)]
        edges += [(last, name), *((other, name) for other in earlier[: d.draw(st.integers(0, 2)) * d.around])]
        if isinstance(nodes[name], nir.LIF | nir.CubaLIF | nir.IF | nir.LI | nir.CubaLI | nir.I):
            loops.append(name)
        last = name
    nodes[names[-1]] = nir.Output(np.array(sent[last]))
    edges.append((last, names[-1]))
    for name in loops:
        if d.loops and d.draw(st.booleans()):
            feed_back(d, nodes, sent, edges, name, list(sent)[list(sent).index(name) :])
    for name in [n for n in nodes if n not in {a for a, _ in edges} and not isinstance(nodes[n], nir.Output)]:
        edges.append((name, names[-1])) if sent[name] == sent[last] else None
    order = d.draw(st.permutations(list(dict.fromkeys(edges))))
    return nir.NIRGraph(nodes, list(order), metadata=d.metadata(), type_check=False), sent[last]


def feed_back(d: Draw, nodes: Any, sent: Any, edges: Any, target: str, behind: list[str]) -> None:
    """A loop from a node behind `target` to it: through weights, a delay, or with nothing between."""
    shape = sent[target]
    source = d.one_of(*behind)
    between = f"{target}.back"
    if between in nodes or (len(shape) == 1 and len(sent[source]) != 1):
        return
    if len(shape) == 1 and (sent[source] != shape or d.draw(st.booleans())):
        nodes[between] = nir.Linear(d.numbers(*shape, *sent[source]))
    elif sent[source] != shape:
        return
    elif d.draw(st.booleans()):
        nodes[between] = nir.Delay(d.delays(*shape))
    else:
        edges.append((source, target))
        return
    edges += [(source, between), (between, target)]


@st.composite
def graphs(draw: Any, *, exact: bool = False) -> tuple[nir.NIRGraph, Shape]:
    """A graph of depth 0 to 2, each of whose nodes is fed, and the shape that it takes."""
    d = Draw(draw, exact)
    shape = d.one_of((2, 5, 4), (2, 6), (3,), (2, 5, 4))
    return graph(d, shape, draw(st.integers(0, 2)))[0], shape
