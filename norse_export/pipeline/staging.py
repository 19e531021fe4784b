"""A model as the graph of the stage that a target takes, and how what the target wrote is compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, cast

from norse_export.compare import Comparison, compare
from norse_export.errors import Finding
from norse_export.files.limits import Limits
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.passes.discretise import discretise
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model
from norse_export.pipeline.provenance import with_provenance, without_file
from norse_export.pipeline.rasters import Chosen
from norse_export.target import Stage, Target

if TYPE_CHECKING:
    from norse_export.passes.prices import LayerPrice

MAX_RECORDED_BYTES = 2**30  # of states that a proof records; beyond it the states after the last step are compared
_BYTES_OF_STATES = 32  # of a cell: two states of 8 bytes, in both runs


@dataclass(frozen=True, slots=True)
class Staged:
    """What a target is given.

    prices, skew: of a fixed graph, what it cost each layer, and by how many steps it is late. own_law: the target made
    the fixed graph itself, and runs artefacts by an emulation of its own; else they run on the engine.
    """

    model: Model
    stage: Stage
    graph: Graph[Any]
    findings: tuple[Finding, ...] = ()
    prices: tuple[LayerPrice, ...] = ()
    skew: Mapping[str, int] = field(default_factory=dict)
    own_law: bool = False

    def compared(self, actual: Run, chosen: Chosen) -> tuple[Comparison, ...]:
        """What the artefact did, compared: the first has to be equal, others tell a price."""
        if self.stage is Stage.FIXED:
            from norse_export.pipeline.integers import compared

            return compared(self.graph, actual, chosen, self.skew, by_engine=self.own_law)
        bounds = self.model.bounds(chosen.rasters)
        return (compare(chosen.truth.run, actual, rung=1, bounds=bounds, labels=chosen.labels),)


def observing(target: Target, graph: Graph[Any], chosen: Chosen) -> Target:
    """The target, told to record every state after every step, where it can be told so and memory allows it."""
    if target.stage is not Stage.FIXED:
        return target
    cells = sum(prod(node.output_shape) for node in graph.nodes.values() if isinstance(node, Population))
    recorded = cells * chosen.summary.steps * chosen.summary.samples * _BYTES_OF_STATES
    return with_states(target, recorded=recorded <= MAX_RECORDED_BYTES)


def with_states(target: Target, *, recorded: bool) -> Target:
    """The target, told whether to record states, where it has a field `states` that says so; else as it is."""
    given: object = target  # of which the protocol does not say that it is a dataclass
    if not is_dataclass(given) or isinstance(given, type) or all(one.name != "states" for one in fields(given)):
        return target
    return cast(Target, replace(given, states=recorded))


def stage(model: Model, target: Target, integers: IntegerChoice, chosen: Chosen | None, limits: Limits) -> Staged:
    """The model's graph at the stage of the target, with its provenance.

    Raises:
        ExportError: the model has no such form, or the choice of integers does not fit it.
    """
    graph = with_provenance(model, target.name, chosen, integers if target.stage is Stage.FIXED else None)
    match target.stage:
        case Stage.CONTINUOUS:
            return Staged(model, target.stage, graph)
        case Stage.DISCRETE:
            return Staged(
                model, target.stage, discretise(Graph(graph.nodes, graph.edges, without_file(graph.metadata)))
            )
        case Stage.FIXED:
            from norse_export.pipeline.integers import integers_of

            made = integers_of(model, target, integers, without_file(graph.metadata), chosen, limits)
            return Staged(
                model, target.stage, made.graph, made.findings, made.prices, made.skew, hasattr(target, "lower")
            )
