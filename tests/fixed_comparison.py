"""What two executions of a fixed graph give, compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from fixed_oracle import OracleRun
from numpy.typing import NDArray

from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run

Array = NDArray[Any]


def as_run(graph: Graph[Any], oracle: OracleRun) -> Run:
    """The oracle's lists as arrays [T, B, *shape]."""

    def stacked(lists: list[Any], name: str) -> Array:
        shape = graph.nodes[name].output_shape
        return np.moveaxis(np.array(lists), 0, 1).reshape(-1, len(lists), *shape)

    samples = oracle.samples
    populations = {name: node for name, node in graph.nodes.items() if isinstance(node, Population)}
    return Run(
        spikes={name: stacked([s.spikes[name] for s in samples], name) for name in samples[0].spikes},
        outputs={
            name: stacked([s.sent[name] for s in samples], name)
            for name, node in graph.nodes.items()
            if isinstance(node, Output)
        },
        ran_by="oracle",
        observables={
            name: {key: stacked([s.observed[name][key] for s in samples], name) for key in samples[0].observed[name]}
            for name in populations
            if name in samples[0].observed
        },
        final_state={
            name: {
                key: np.array([[cell[key] for cell in s.state[name]] for s in samples]).reshape(-1, *node.shape)
                for key in node.program.variables
            }
            for name, node in populations.items()
        },
    )


def first_difference(expected: Run, actual: Run) -> str | None:
    """The earliest difference in time, in words; None where all of it is the same, names included."""
    found = list(_differences(expected, actual))
    return min(found)[1] if found else None


def _differences(expected: Run, actual: Run) -> Iterator[tuple[float, str]]:
    for kind in ("spikes", "outputs"):
        yield from _of(kind, getattr(expected, kind), getattr(actual, kind))
    for kind in ("observables", "final_state"):
        a, b = getattr(expected, kind), getattr(actual, kind)
        if set(a) != set(b):
            yield 0, f"{kind} of {sorted(a)} and of {sorted(b)}"
        for name in set(a) & set(b):
            yield from _of(f"{kind} of {name}", a[name], b[name])


def _of(kind: str, expected: Mapping[str, Array], actual: Mapping[str, Array]) -> Iterator[tuple[float, str]]:
    if set(expected) != set(actual):
        yield 0, f"{kind}: {sorted(expected)} and {sorted(actual)}"
    for name in set(expected) & set(actual):
        a, b = expected[name], actual[name]
        if a.shape != b.shape:
            yield 0, f"{kind} {name}: shapes {a.shape} and {b.shape}"
        elif not np.array_equal(a, b):
            where = tuple(int(index) for index in np.argwhere(a != b)[0])
            time = np.inf if kind.startswith("final") else where[0]
            yield time, f"{kind} {name}{list(where)}: {a[where]} expected, {b[where]}"


def part(run: Run, sample: int) -> Run:
    """One sample of a run."""
    at = slice(sample, sample + 1)
    return Run(
        spikes={name: values[:, at] for name, values in run.spikes.items()},
        outputs={name: values[:, at] for name, values in run.outputs.items()},
        ran_by=run.ran_by,
        observables={name: {k: v[:, at] for k, v in seen.items()} for name, seen in run.observables.items()},
        final_state={name: {k: v[at] for k, v in state.items()} for name, state in run.final_state.items()},
    )
