"""trace: a torch model -> its graph, held to what the model did over the whole example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from norse_export.compare import compare
from norse_export.errors import ParityError
from norse_export.interpret import interpret
from norse_export.pipeline.model import Model, graph_truth

if TYPE_CHECKING:
    from norse_export.frontend.trace import Traced


def trace(model: Any, example_input: Any, *, time: str = "auto", encoders: str = "inside") -> Traced:
    """Trace a model on an example raster [T, B, ...], and compare its graph with what the model did there.

    Arguments and errors are those of `norse_export.frontend.trace.trace`, which records some steps only.

    Raises:
        ParityError: the traced graph does not do what the model does on the example input.
    """
    from norse_export.frontend.trace import trace as recorded

    traced = recorded(model, example_input, time=time, encoders=encoders)  # type: ignore[arg-type]  # checked there
    check_trace(traced, type(model).__name__)
    return traced


def check_trace(traced: Traced, where: str) -> None:
    """Run the traced graph on the whole example and compare it with what the model did there.

    What a recording of some steps could not see is seen here, such as a model that acts differently at step 40.

    Raises:
        ParityError: they differ by more than the margin rule allows.
    """
    truth = graph_truth(traced.graph)
    model = Model(name=where, kind="traced", digest="", graph=traced.graph, truth=truth, exact=False)
    actual = interpret(model.discrete, traced.inputs)
    bounds = model.bounds(traced.inputs)
    result = compare(traced.reference, actual, rung=1, bounds=bounds)
    if result.equal:
        return
    found = result.first_divergence
    if found is None:
        raise ParityError(
            f"{result.explained_flips} spikes differ by rounding, {result.allowed_flips} may: the model computes too "
            "near to its thresholds to be compared",
            where=where,
            fix="give another example input, or save the model in float64: model.double()",
        )
    raise ParityError(
        f"the traced graph differs from the model at step {found.step}, sample {found.sample}, "
        f"{found.quantity}{list(found.index)}: expected {found.expected:g}, got {found.actual:g}",
        where=found.node,
        fix="the model does something that a trace cannot see, such as acting differently at some step",
    )
