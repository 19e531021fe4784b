"""Order, summation and delays of a graph that says nothing of them: a .nir file of another framework.

NIR's nodes and edges have no order: `nir.read` gives them alphabetically. The order taken here: topological, ties by
name in natural order ("2" before "10"); edges into one node are summed in that order. A loop takes one step: the delay
stands on the edge out of the last neuron before the loop closes, as found depth-first from the inputs; where a layer
behind that neuron also leads out of the loop, on the edge out of that layer. A loop through a Delay takes as long as
that, and at least one step.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from norse_export.errors import Finding
from norse_export.ir.graph import Edge

from .notes import LOOP_DELAY_STEPS

Link = tuple[str, str]
_Successors = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Structure:
    """Node names in their order, and edges with their delays, in the order of summation.

    lasting: nodes of type Delay whose cells last at least a step, since a loop closes through them.
    """

    names: tuple[str, ...]
    edges: tuple[Edge, ...]
    findings: tuple[Finding, ...] = ()
    lasting: frozenset[str] = frozenset()


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key with numbers in the order of their values: "2" before "10", "conv2" before "conv10"."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    keys = [(0, len(p.lstrip("0")), p.lstrip("0")) if "0" <= p[0] <= "9" else (1, 0, p) for p in parts]
    return (*keys, (-1, 0, name))  # names that differ in leading zeros only stay apart


def structure_of(
    names: Iterable[str],
    links: Iterable[Link],
    inputs: Collection[str],
    neurons: Collection[str],
    delays: Mapping[str, bool] | None = None,
) -> Structure:
    """Find order and delays; a loop without a neuron and without a delay is a finding.

    delays: nodes of type Delay, and whether all of their cells take a step or more.
    """
    ranked = {name: rank for rank, name in enumerate(sorted(names, key=natural_key))}
    successors: dict[str, list[str]] = {name: [] for name in ranked}
    for source, target in sorted(links, key=lambda link: (ranked[link[0]], ranked[link[1]])):
        successors[source].append(target)
    roots = sorted(ranked, key=lambda name: (name not in inputs, ranked[name]))
    waiting = {name for name, waits in (delays or {}).items() if waits}
    instant = _cut(roots, successors, waiting)
    findings = tuple(_stateless_loops(instant, neurons))
    lasting = _looped(roots, instant, set(delays or ()) - waiting)
    instant = _cut(roots, instant, lasting)
    finished, closing = _depth_first(roots, instant)
    order = _topological(instant, closing, ranked)
    delayed = set() if findings else _delayed(order, instant, finished, closing, neurons)
    position = {name: number for number, name in enumerate(order)}
    links = [(source, target) for source in order for target in successors[source]]
    links.sort(key=lambda link: (position[link[1]], position[link[0]]))
    edges = tuple(Edge(*link, delay_steps=LOOP_DELAY_STEPS if link in delayed else 0) for link in links)
    return Structure(order, edges, findings, frozenset(lasting))


def _cut(roots: Sequence[str], successors: _Successors, delays: Collection[str]) -> _Successors:
    """The edges without those that close a loop through one of the delays."""
    if not delays:
        return successors
    component = _components(successors, _depth_first(roots, successors)[0])
    return {
        name: [target for target in targets if target not in delays or component[name] != component[target]]
        for name, targets in successors.items()
    }


def _looped(roots: Sequence[str], successors: _Successors, delays: Collection[str]) -> set[str]:
    """Those of the delays that a loop goes through."""
    if not delays:
        return set()
    component = _components(successors, _depth_first(roots, successors)[0])
    inner = {(name, target) for name, targets in successors.items() for target in targets if target in delays}
    return {target for name, target in inner if component[name] == component[target]}


def _depth_first(roots: Iterable[str], successors: _Successors) -> tuple[list[str], set[Link]]:
    """Names in the order in which they are left, and the edges that close a loop: those to a node still open."""
    finished: list[str] = []
    state: dict[str, bool] = {}  # True: open, False: left
    closing: set[Link] = set()
    for root in roots:
        if root in state:
            continue
        state[root] = True
        work = [(root, iter(successors[root]))]
        while work:
            name, rest = work[-1]
            for target in rest:
                if target not in state:
                    state[target] = True
                    work.append((target, iter(successors[target])))
                    break
                if state[target]:
                    closing.add((name, target))
            else:
                state[name] = False
                finished.append(name)
                work.pop()
    return finished, closing


def _topological(successors: _Successors, closing: set[Link], ranked: Mapping[str, int]) -> tuple[str, ...]:
    waiting = dict.fromkeys(ranked, 0)
    for source, targets in successors.items():
        for target in targets:
            waiting[target] += (source, target) not in closing
    ready = [(rank, name) for name, rank in ranked.items() if not waiting[name]]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, name = heapq.heappop(ready)
        order.append(name)
        for target in successors[name]:
            if (name, target) not in closing:
                waiting[target] -= 1
                if not waiting[target]:
                    heapq.heappush(ready, (ranked[target], target))
    return tuple(order)


def _delayed(
    order: Sequence[str],
    successors: _Successors,
    finished: Sequence[str],
    closing: set[Link],
    neurons: Collection[str],
) -> set[Link]:
    """Edges out of a neuron from which, through nodes without a state, a loop closes.

    Where such a node also leads elsewhere, those of its edges from which a loop closes: the others take no time.
    """
    component = _components(successors, finished)
    closes: dict[Link, bool] = {}
    reaches: dict[str, bool] = {}  # node without a state: whether all of its edges lead to a closing one
    for name in reversed(order):
        for target in successors[name]:
            onward = target not in neurons and reaches.get(target, False)
            inside = component[name] == component[target]
            closes[name, target] = inside and ((name, target) in closing or onward)
        reaches[name] = bool(successors[name]) and all(closes[name, target] for target in successors[name])
    return {link for link, value in closes.items() if value and (link[0] in neurons or not reaches[link[0]])}


def looped_links(links: Collection[Link]) -> set[Link]:
    """Those of the edges from which a way leads back."""
    successors: dict[str, list[str]] = {name: [] for link in links for name in link}
    for source, target in links:
        successors[source].append(target)
    component = _components(successors, _depth_first(successors, successors)[0])
    return {(source, target) for source, target in links if component[source] == component[target]}


def _components(successors: _Successors, finished: Sequence[str]) -> dict[str, int]:
    """Strongly connected component of each node, by number.

    Source: M. Sharir, A strong-connectivity algorithm, Computers & Mathematics with Applications 7(1), 1981.
    """
    sources: dict[str, list[str]] = {name: [] for name in successors}
    for source, targets in successors.items():
        for target in targets:
            sources[target].append(source)
    found: dict[str, int] = {}
    for number, root in enumerate(reversed(finished)):
        work = [] if root in found else [root]
        while work:
            name = work.pop()
            if name not in found:
                found[name] = number
                work.extend(source for source in sources[name] if source not in found)
    return found


def _stateless_loops(successors: _Successors, neurons: Collection[str]) -> Iterable[Finding]:
    inner = {
        name: [target for target in targets if target not in neurons]
        for name, targets in successors.items()
        if name not in neurons
    }
    finished, closing = _depth_first(inner, inner)
    if not closing:
        return
    component = _components(inner, finished)
    looped: dict[int, list[str]] = {component[source]: [] for source, _ in closing}
    for name in inner:
        if component[name] in looped:
            looped[component[name]].append(name)
    for members in looped.values():
        message = f"a cycle without a neuron: the loop through {', '.join(map(repr, members))} has no defined value"
        yield Finding("loop", "error", members[0], message, "put a neuron into the loop, or a Delay of a step or more")
