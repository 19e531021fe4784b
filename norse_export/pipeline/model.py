"""A loaded model: its graph, and what is true about it: the run that everything else is compared with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from norse_export.compare.judge import BoundsOf
from norse_export.errors import Finding
from norse_export.interpret import interpret, interpret_bounded, model_dtype
from norse_export.ir.graph import Graph
from norse_export.ir.run import Bounds, Run
from norse_export.ir.stages import ContinuousNode, DiscreteNode, Neuron
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
Rasters = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Truth:
    """The reference run on some rasters, and the rung of the ladder that it stands on: 0 the framework itself.

    note: what a user should know about it.
    """

    run: Run
    rung: int
    note: Finding | None = None


@dataclass(frozen=True)
class Model:
    """A model as it was read from a file.

    truth: runs the reference on rasters. exact: the truth is a float64 replay, which is compared bit for bit; else the
    margin rule holds. stored: the rasters in the file, and their truth. digest: a SHA-256 that stands for the file's
    content (of a model file of ours that of its header, which holds those of all tensors).
    """

    name: str
    kind: str
    digest: str
    graph: Graph[ContinuousNode]
    truth: Callable[[Rasters], Truth]
    exact: bool
    stored: tuple[Rasters, Truth] | None = None
    provenance: Mapping[str, str] | None = None
    findings: tuple[Finding, ...] = ()

    @cached_property
    def discrete(self) -> Graph[DiscreteNode]:
        """The graph with the framework's own steps."""
        return discretise(self.graph)

    @property
    def spiking(self) -> set[str]:
        """Names of the populations that spike."""
        return {name for name, node in self.discrete.nodes.items() if isinstance(node, Neuron) and node.spikes}

    def bounds(self, inputs: Rasters) -> BoundsOf | None:
        """Error bounds of some samples, run along given spikes; None where equality is demanded."""
        return None if self.exact else self.bounds_in(model_dtype(self.discrete), inputs)

    def bounds_in(self, dtype: str, inputs: Rasters, *, states: bool = False) -> BoundsOf:
        """Error bounds of runs in a float type, with those of every state at every step if asked for."""
        graph = self.discrete

        def of(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
            rasters = {name: raster[:, samples] for name, raster in inputs.items()}
            return interpret_bounded(graph, rasters, spikes, dtype=dtype, states=states)

        return of


def graph_truth(graph: Graph[ContinuousNode], note: Finding | None = None) -> Callable[[Rasters], Truth]:
    """The interpreter in float64 as the truth: of a graph that no framework on this machine can run."""
    discrete = discretise(graph)
    return lambda inputs: Truth(interpret(discrete, inputs, dtype="float64"), 1, note)


def framework_truth(graph: Graph[ContinuousNode]) -> Callable[[Rasters], Truth]:
    """The framework's own steps on the traced graph, where it is installed: for rasters that are not in the file."""
    if importlib.util.find_spec("torch") is None:
        return graph_truth(graph, _missing("torch"))
    discrete = discretise(graph)

    def truth(inputs: Rasters) -> Truth:
        from norse_export.frontend.replay import replay, stepping_in

        frameworks = stepping_in(discrete)
        if None in frameworks:
            return graph_truth(graph, _NO_STEP)(inputs)
        missing = [one.package for one in frameworks if one and importlib.util.find_spec(one.package) is None]
        if missing:
            return graph_truth(graph, _missing(*sorted(missing)))(inputs)
        return Truth(replay(discrete, inputs), 0, _replayed(*sorted(one.title for one in frameworks if one)))

    return truth


def _missing(*packages: str) -> Finding:
    named = " and ".join(packages)
    return Finding(
        "rung_1_only",
        "warning",
        "reference",
        f"rung 1 only: {named} is not installed, so the reference is the interpreter on the traced graph",
        f"install {named}, or leave the inputs out: what the model did on the stored ones is in the file",
    )


_NO_STEP = Finding(
    "rung_1_only",
    "warning",
    "reference",
    "rung 1 only: no framework has the step of a layer, so the reference is the interpreter on the traced graph",
    "leave the inputs out: what the model did on the stored ones is in the file",
)


def _replayed(*titles: str) -> Finding:
    steps = " and ".join(f"{title}'s" for title in titles) or "torch's"
    return Finding(
        "replayed",
        "note",
        "reference",
        f"on these inputs the reference is {steps} own steps on the traced graph: the module itself is not in the file",
        "save the model with such inputs as its example to compare with the module itself",
    )
