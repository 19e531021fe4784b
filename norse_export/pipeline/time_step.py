"""A model whose file says its own time step, run with another one: only with --override, and never silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from norse_export.errors import Finding, GraphError, UsageError, locating
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import SAME_DT, NeuronModel
from norse_export.ir.stages import ContinuousNode
from norse_export.pipeline.choices import LoadChoice


def with_dt(graph: Graph[ContinuousNode], choice: LoadChoice) -> tuple[Graph[ContinuousNode], tuple[Finding, ...]]:
    """Give the graph with the chosen dt, and a warning if that changed it.

    The time constants stay and the coefficients follow; an input is still added as it is, as in Norse when its dt is
    changed.

    Raises:
        UsageError: the model has another dt, and the choice does not say to override it.
    """
    own = {name: node.dt for name, node in graph.nodes.items() if isinstance(node, NeuronModel)}
    contradicting = {
        name: dt for name, dt in own.items() if choice.dt is not None and abs(dt - choice.dt) > SAME_DT * dt
    }
    if not contradicting or choice.dt is None:
        return graph, ()
    name, first = next(iter(contradicting.items()))
    if not choice.override:
        raise UsageError(
            f"--dt {choice.dt:g} contradicts the model, whose neurons step by {first:g} s",
            where=name,
            fix="leave --dt out, or pass --override to change the model",
            kind="dt",
        )
    nodes: dict[str, ContinuousNode] = {
        name: _stepping(name, node, choice.dt) if isinstance(node, NeuronModel) else node
        for name, node in graph.nodes.items()
    }
    change = f"{_listed(own.values())} -> {choice.dt!r}"
    warning = Finding(
        "dt_override",
        "warning",
        ", ".join(contradicting),
        f"--override changed the time step ({change} s): this is no longer the network that was trained",
        "leave --dt and --override out to export what was trained",
    )
    return Graph(nodes, graph.edges, {**graph.metadata, "dt_override": change}), (warning,)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(map(repr, dict.fromkeys(values)))


def _stepping(name: str, node: NeuronModel, dt: float) -> NeuronModel:
    derived: dict[str, Any] = dict.fromkeys(node.kind.rates)
    with locating(name):
        return node.changed(dt=dt, **derived)


@contextmanager
def in_seconds(choice: LoadChoice) -> Iterator[None]:
    """Where inside a time constant is too short for the dt that was chosen, say that --dt is in seconds."""
    try:
        yield
    except GraphError as error:
        error.findings = tuple(_hinted(finding, choice.dt) for finding in error.findings)
        error.fix = error.findings[0].fix
        raise


def _hinted(finding: Finding, dt: float | None) -> Finding:
    if dt is None or finding.kind != "tau" or f"dt = {dt:g} s" not in finding.message:
        return finding
    return replace(finding, fix=f"--dt is in seconds: for {dt:g} ms give --dt {dt / 1000:g}; else {finding.fix}")
