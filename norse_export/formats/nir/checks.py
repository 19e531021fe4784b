"""What can be judged of a NIR graph before its arrays are read: types, fields, shapes, edges, sizes of neighbours.

Every problem is found at once. Cycles, reachability and sizes along whole paths are judged where the graph is built.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from .declared import MAX_INTEGERS, Declared, DeclaredGraph, DeclaredNode, NodePath, Problem, place, problem
from .primitives import GRAPH, PRIMITIVES, Field, Kind, Primitive, Rule
from .sizes import described, fits, ports
from .subgraphs import Ends

_REWRITE = "write the file again with nir 1.0.8 or later"
_SHOWN = 80  # characters of a text from the file that a message repeats
_PORTS = 4  # of a sub-graph, that a message lists


def problems_of(graph: DeclaredGraph, path: NodePath = ()) -> list[Problem]:
    """Give every problem of a graph and of its sub-graphs."""
    found = list(_missing_ends(graph, path))
    for name, node in graph.nodes.items():
        if isinstance(node, DeclaredGraph):
            found += problems_of(node, (*path, name))
        else:
            found += _node_problems(node, (*path, name))
    broken = {node for problem in found for node in problem.nodes}
    return found + list(_edge_problems(graph, path, broken))


def _missing_ends(graph: DeclaredGraph, path: NodePath) -> Iterator[Problem]:
    types = {node.type for node in graph.nodes.values() if isinstance(node, DeclaredNode)}
    for end in ("Input", "Output"):
        if end not in types:
            fix = f"add a node of type {end}, so that the graph's {end.lower()} is known"
            yield problem(f"no_{end.lower()}", place(path), f"the graph has no {end} node", fix)


def _edge_problems(graph: DeclaredGraph, path: NodePath, broken: set[NodePath]) -> Iterator[Problem]:
    ends, times = Ends(graph), Counter(graph.edges)
    seen: Counter[tuple[NodePath, NodePath]] = Counter()
    for edge in graph.edges:
        where = f"edge {edge[0]!r} -> {edge[1]!r}" + (f" in {place(path)}" if path else "")
        source, target = ends.at(edge[0], "Output"), ends.at(edge[1], "Input")
        if source is None or target is None:
            missing = {edge[0]: "Output"} if source is None else {}
            missing |= {edge[1]: "Input"} if target is None else {}
            yield from (_no_end(ends, end, kind, where) for end, kind in missing.items())
            continue
        seen[source, target] += 1
        if seen[source, target] == 2:
            message = f"duplicate edge: it stands {max(times[edge], 2)} times in the file"
            yield problem("edge_duplicate", where, message, "keep it once, or double the weight where a sum was meant")
        if seen[source, target] > 1 or not broken.isdisjoint(((*path, *source), (*path, *target))):
            continue
        given, taken = ports(_node_at(graph, source))[1], ports(_node_at(graph, target))[0]
        if not fits(given, taken):
            yield problem(
                "shape_mismatch",
                where,
                f"shape mismatch: {edge[0]!r} gives {described(given)}, {edge[1]!r} takes {described(taken)}",
                "make both the same size, without a batch axis",
                (*path, *source),
                (*path, *target),
            )


def _node_at(graph: DeclaredGraph, path: NodePath) -> DeclaredNode:
    """The node at the end of an edge, as `end_of` gives it."""
    node = graph.nodes[path[0]]
    for name in path[1:]:
        node = node.nodes[name] if isinstance(node, DeclaredGraph) else node
    if isinstance(node, DeclaredGraph):
        raise TypeError(f"{path} is a graph")
    return node


def _no_end(ends: Ends, end: str, kind: str, where: str) -> Problem:
    found = ends.ports(end, kind)
    if found is None:
        message = f"the edge names a node that does not exist: {end[:_SHOWN]!r}"
        return problem("edge_missing_node", where, message, "add the node, or remove the edge")
    message = f"the sub-graph {end!r} has {len(found)} nodes of type {kind}: the edge does not say which is meant"
    names = ", ".join(repr(f"{end}.{name}") for name in found[:_PORTS])
    return problem("edge_ambiguous", where, message, f"name one: {names}" if found else f"add an {kind} to it")


def _node_problems(node: DeclaredNode, path: NodePath) -> list[Problem]:
    primitive = PRIMITIVES.get(node.type)
    if not node.type:
        return [problem("missing_field", place(path), "the node has no type", _REWRITE, path)]
    if primitive is None:
        known = ", ".join((*PRIMITIVES, GRAPH))
        message = f"unknown node type {node.type[:_SHOWN]!r}"
        return [problem("unknown_type", place(path), message, f"use a primitive of NIR 1.0.8: {known}", path)]
    found = [
        problem("missing_field", place(path), f"{node.type} has no {name}", f"{_REWRITE}, with {name}", path)
        for name, field in primitive.fields.items()
        if field.required and name not in node.fields
    ]
    for name, declared in node.fields.items():
        where = f"{place(path)}, field {name[:_SHOWN]!r}"
        if name not in primitive.fields:
            fix = f"fields of {node.type}: {', '.join(primitive.fields)}; put anything else into metadata"
            found.append(problem("unknown_field", where, f"{node.type} has no field {name[:_SHOWN]!r}", fix, path))
        else:
            found += _field_problems(primitive.fields[name], declared, primitive.axes, where, path)
    return found or list(_shape_problems(node, primitive, path))


def _field_problems(field: Field, declared: Declared, axes: int, where: str, path: NodePath) -> Iterator[Problem]:
    if not _is_of_kind(field.kind, declared, axes):
        message = f"{field.name} holds {_holding(declared)}, not {field.kind.value}: wrong type"
        yield problem("field_type", where, message, _REWRITE, path)
    elif math.prod(declared.shape) == 0:
        message = f"{field.name} is empty: shape {list(declared.shape)}"
        yield problem("shape", where, message, "remove the node", path)
    elif field.least is not None:
        for index, value in enumerate(declared.integers()):
            if value < field.least:
                at = f"[{index}]" if declared.shape else ""
                fix = f"use a {field.name} of {field.least} or more"
                yield problem(field.name, where, f"{field.name}{at} is {value}", fix, path)


def _is_of_kind(kind: Kind, declared: Declared, axes: int) -> bool:
    match kind:
        case Kind.NUMBERS:
            return declared.sort in ("numbers", "integers")
        case Kind.SIZES:
            return declared.sort == "integers" and len(declared.shape) == 1 and declared.shape[0] <= MAX_INTEGERS
        case Kind.INTEGER:
            return declared.sort == "integers" and declared.shape == ()
        case Kind.INTEGERS:
            return declared.sort == "integers" and declared.shape in ((), (axes,))
        case Kind.PADDING:
            return declared.text in ("same", "valid") or _is_of_kind(Kind.INTEGERS, declared, axes)


def _holding(declared: Declared) -> str:
    if declared.sort == "text":
        return f"the text {(declared.text or '')[:_SHOWN]!r}" if declared.text is not None else "text"
    return declared.sort + (f" of shape {list(declared.shape)}" if declared.shape else "")


def _shape_problems(node: DeclaredNode, primitive: Primitive, path: NodePath) -> Iterator[Problem]:
    """Shapes inside one node, all of whose fields are of the right kind."""
    match primitive.rule:
        case Rule.ELEMENTWISE:
            shapes = {n: f.shape for n, f in node.fields.items() if f.shape or not primitive.fields[n].scalar}
            ((expected, _),) = Counter(shapes.values()).most_common(1)
            for name, shape in shapes.items():
                if shape != expected:
                    yield _shape_problem(name, shape, f"{list(expected)}, as most parameters of the node have", path)
        case Rule.LINEAR:
            weight, bias = node.fields["weight"].shape, node.fields.get("bias")
            if len(weight) < 2:
                yield _shape_problem("weight", weight, "two axes [out, in]", path)
            elif bias is not None and bias.shape != weight[:-1]:
                yield _shape_problem("bias", bias.shape, f"{list(weight[:-1])}, as weight has {list(weight)}", path)
        case Rule.CONV:
            yield from _conv_shape_problems(node, primitive.axes, path)
        case Rule.PORT | Rule.POOL | Rule.FLATTEN:
            pass


def _conv_shape_problems(node: DeclaredNode, axes: int, path: NodePath) -> Iterator[Problem]:
    weight, bias, groups = node.fields["weight"].shape, node.fields["bias"].shape, node.integers("groups")[0]
    if len(weight) != axes + 2:
        yield _shape_problem("weight", weight, f"{axes + 2} axes [C_out, C_in / groups, kernel]", path)
        return
    if bias != weight[:1]:
        yield _shape_problem("bias", bias, f"{list(weight[:1])}", path)
    if weight[0] % groups:
        yield _shape_problem("weight", weight, f"a number of outputs that {groups} groups divide", path)


def _shape_problem(name: str, shape: tuple[int, ...], needed: str, path: NodePath) -> Problem:
    where = f"{place(path)}, field {name!r}"
    message = f"shape mismatch: {name} has shape {list(shape)}, needed is {needed}"
    return problem("shape_mismatch", where, message, "give all parameters of the node shapes that fit together", path)
