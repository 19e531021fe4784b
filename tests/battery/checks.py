"""What is asked of every model of the battery: its graph does what the model does, also out of a file. Not tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from graph_parts import differences
from numpy.typing import NDArray

from norse_export import registry
from norse_export.compare import Comparison, compare
from norse_export.files.limits import Limits
from norse_export.formats.nir.load import load_nir
from norse_export.formats.saved import SavedModel, read_saved, write_saved
from norse_export.frontend.trace import Traced, rerun
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.rasters import model_dtype
from norse_export.ir.run import Bounds, Run
from norse_export.passes.discretise import discretise

Array = NDArray[Any]


def assert_fires(reference: Run) -> None:
    """Every population fires, and none of them always."""
    for name, spikes in reference.spikes.items():
        assert 0 < spikes.mean() < 1, f"{name} proves nothing: {spikes.mean():.0%} of its cells are spikes"
    if not reference.spikes:
        assert all(np.ptp(output) > 0 for output in reference.outputs.values()), "the outputs are constant"


def judged(traced: Traced, run: Run) -> Comparison:
    """The comparison of a run with the model, by the margin rule."""
    graph = discretise(traced.graph)

    def bounds(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
        taken = {name: values[:, samples] for name, values in traced.inputs.items()}
        return interpret_bounded(graph, taken, spikes, dtype=model_dtype(graph))

    return compare(traced.reference, run, rung=1, bounds=bounds)


def assert_equal(traced: Traced, run: Run) -> int:
    """Equal to the model in every spike, by the margin rule in the rest; the number of flips that it explains."""
    comparison = judged(traced, run)
    assert comparison.equal, comparison.first_divergence
    assert not comparison.vacuous
    return comparison.explained_flips


def assert_states_agree(model: torch.nn.Module, traced: Traced, within: float, moments: int = 12) -> int:
    """Every variable of every population, as the model leaves it after so many of the steps; the number of values.

    The model is run again on the first t steps, from the third on, so that it need not tell its states on the way.
    """
    run = interpret(discretise(traced.graph), traced.inputs, states=True)
    (steps,) = {len(one) for one in traced.inputs.values()}
    compared = 0
    for taken in sorted({round(moment) for moment in np.linspace(steps, min(3, steps), moments)}):
        first = {name: raster[:taken] for name, raster in traced.inputs.items()}
        for name, variables in rerun(model, traced, first).final_state.items():
            for variable, expected in variables.items():
                actual = run.observables[name][variable][taken - 1]
                size = max(1.0, np.abs(expected).max())
                assert np.abs(actual - expected).max() <= within * size, (name, variable, taken)
                compared += expected.size
    return compared


def assert_same_runs(expected: Run, actual: Run) -> None:
    """The same spikes, outputs and final states, in every bit."""
    pairs = [(expected.spikes, actual.spikes), (expected.outputs, actual.outputs)]
    assert list(expected.final_state) == list(actual.final_state)
    pairs += [(states, actual.final_state[name]) for name, states in expected.final_state.items()]
    for one, other in pairs:
        assert set(one) == set(other)
        for name, values in one.items():
            assert values.dtype == other[name].dtype
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def assert_saved(traced: Traced, path: Path) -> None:
    """The graph, the rasters and what the model did on them come back out of a model file, to the bit."""
    with path.open("wb") as file:
        write_saved(file, SavedModel(traced.graph, traced.inputs, traced.reference, {"time": traced.time}))
    with path.open("rb") as file:
        loaded = read_saved(file, name=path.name, limits=Limits())
    assert differences(traced.graph, loaded.graph) == []
    assert_same_runs(traced.reference, loaded.reference)
    for name, raster in traced.inputs.items():
        np.testing.assert_array_equal(raster, loaded.inputs[name])


def assert_survives_nir(traced: Traced, run: Run, path: Path) -> None:
    """The graph comes back out of a .nir file, to the bit, and runs as before."""
    registry.load("nir").emit(traced.graph, path)
    with path.open("rb") as file:
        loaded, findings = load_nir(file, name=path.name, limits=Limits())
    assert findings == ()
    assert differences(traced.graph, loaded) == []
    assert_same_runs(run, interpret(discretise(loaded), traced.inputs))
