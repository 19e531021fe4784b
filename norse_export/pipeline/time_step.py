"""A model whose file says how it is stepped, run in another way: only with --override, and never silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from norse_export.errors import Finding, GraphError, UsageError, locating
from norse_export.ir.delay import Delay
from norse_export.ir.doubts import COUNTED
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import SAME_DT, NeuronModel
from norse_export.ir.stages import ContinuousNode
from norse_export.ir.step_choice import StepChoice, fields_of, words_of
from norse_export.ir.step_words import CHOICES
from norse_export.pipeline.choices import LoadChoice

_SECONDS_OF_A_STEP = ("step",)  # levels that are dt as a number: LIFMC's
_HARDLY_SECONDS = 0.05  # a dt of so much, in the place of which one in milliseconds may have been given
_CHANGED = "this is no longer the network that was trained"


def with_steps(graph: Graph[ContinuousNode], choice: StepChoice) -> tuple[Graph[ContinuousNode], tuple[Finding, ...]]:
    """Give the graph with the chosen dt and rules, and a warning for each choice that changed it.

    The time constants and delays in seconds stay, and the coefficients follow; an input is still added as it is, as in
    Norse when its dt is changed.

    Raises:
        UsageError: the model says something else, and the choice does not say to override it; or a word is none.
        GraphError: a time constant is too short for the new dt, or a delay no whole number of such steps.
    """
    populations = {name: node for name, node in graph.nodes.items() if isinstance(node, NeuronModel)}
    changes: dict[str, Any] = {}
    assumed = COUNTED in graph.metadata and not any(node.kind.rates for node in populations.values())
    if choice.dt is not None and assumed:
        graph = graph.map(lambda _, node: node.changed(dt=choice.dt) if isinstance(node, NeuronModel) else node)
    elif choice.dt is not None:
        own = {name: node.dt for name, node in populations.items()}
        apart = [name for name, dt in own.items() if abs(dt - choice.dt) > SAME_DT * dt]
        if apart:
            changes["dt"] = (choice.dt, apart, _listed(map(repr, own.values())), f"{own[apart[0]]:g} s")
    for choice_name, word in choice.words.items():
        if word not in CHOICES[choice_name]:
            fix = f"use one of: {', '.join(CHOICES[choice_name])}"
            raise UsageError(f"--{choice_name} {word}: unknown", where=f"--{choice_name}", fix=fix, kind="choice")
        said = {name: words_of(node).get(choice_name, word) for name, node in populations.items()}
        if apart := [name for name in said if not _agree(said[name], word, populations[name])]:
            changes[choice_name] = (word, apart, _listed(said[name] for name in apart), said[apart[0]])
    if not changes:
        return graph, ()
    if not choice.override:
        raise UsageError.of([_refusal(name, *change) for name, change in changes.items()])
    nodes = {name: _stepping(name, node, changes) for name, node in graph.nodes.items()}
    told = {name: f"{was} -> {_text(to)}" for name, (to, _, was, _) in changes.items()}
    overridden = {f"{name}_override": change for name, change in told.items()}
    warnings = tuple(_warning(name, change, changes[name][1]) for name, change in told.items())
    return Graph(nodes, graph.edges, {**graph.metadata, **overridden}), warnings


def _agree(own: str, word: str, node: NeuronModel) -> bool:
    """Whether two words mean the same for a population: a reset to zero and one to a v_reset of 0 do."""
    return own == word or ({own, word} == {"value", "zero"} and not node["v_reset"].any())


def _text(to: float | str) -> str:
    return to if isinstance(to, str) else repr(to)


def _refusal(name: str, to: float | str, apart: list[str], _was: str, first: str) -> Finding:
    given = to if isinstance(to, str) else f"{to:g}"
    steps = f"step by {first}" if name == "dt" else f"have the {name} {first!r}"
    message = f"--{name} {given} contradicts the model, whose neurons {steps}"
    fix = f"leave --{name} out, or pass --override to change the model"
    return Finding("dt" if name == "dt" else f"{name}_conflict", "error", apart[0], message, fix)


def _warning(name: str, change: str, apart: list[str]) -> Finding:
    what, unit = ("the time step", " s") if name == "dt" else (f"the {name}", "")
    message = f"--override changed {what} ({change}{unit}): {_CHANGED}"
    fix = f"leave --{name} and --override out to export what was trained"
    return Finding(f"{name}_override", "warning", ", ".join(apart), message, fix)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _stepping(name: str, node: ContinuousNode, changes: Mapping[str, Any]) -> ContinuousNode:
    if isinstance(node, Delay) and "dt" in changes:
        with locating(name):
            return replace(node, dt=changes["dt"][0])
    if not isinstance(node, NeuronModel):
        return node
    words = words_of(node)
    words |= {key: to for key, (to, apart, *_) in changes.items() if key in words and name in apart}
    derived: dict[str, Any] = fields_of(words)
    if "dt" in changes or derived.get("scheme", node.scheme) != node.scheme:
        derived |= dict.fromkeys(node.kind.rates)
    if "dt" in changes:
        derived["dt"] = dt = changes["dt"][0]
        derived |= {key: np.asarray(dt, node[key].dtype) for key in _SECONDS_OF_A_STEP if key in node.kind.levels}
    with locating(name):
        return node.changed(**derived)


@contextmanager
def in_seconds(choice: LoadChoice) -> Iterator[None]:
    """Where inside a time constant is too short for a large dt that was chosen, say that --dt is in seconds."""
    try:
        yield
    except GraphError as error:
        error.findings = tuple(_hinted(finding, choice.dt) for finding in error.findings)
        error.fix = error.findings[0].fix
        raise


def _hinted(finding: Finding, dt: float | None) -> Finding:
    if dt is None or dt < _HARDLY_SECONDS or finding.kind != "tau" or f"dt = {dt:g} s" not in finding.message:
        return finding
    return replace(finding, fix=f"--dt is in seconds: for {dt:g} ms give --dt {dt / 1000:g}; else {finding.fix}")
