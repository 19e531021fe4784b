"""The battery as ONNX: every model that is traced, checked in full, run on onnxruntime for one and for 50 steps.

The models of one step and under a Scan have to give the same bits; `run_models` compares them in every run. What `sim`
takes of the battery is run in whole numbers, too.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from battery import table
from battery.checks import assert_same_runs, judged
from battery.models import MODELS
from bulk import some

import norse_export
from norse_export import registry
from norse_export.errors import ExportError
from norse_export.files.limits import Limits
from norse_export.frontend.trace import Traced
from norse_export.interpret import interpret, interpret_bounded
from norse_export.interpret.fixed import emulate
from norse_export.ir.run import Run
from norse_export.passes.discretise import discretise
from norse_export.pipeline import IntegerChoice
from norse_export.pipeline.model import Model, Truth, graph_truth
from norse_export.pipeline.staging import stage
from norse_export.targets.onnx.target import OnnxTarget

pytestmark = pytest.mark.usefixtures("parsed_here")

EXPORTED = [name for name, outcome in table.read().items() if not outcome.startswith("refused")]
SHOWN = {name for number, name in enumerate(EXPORTED) if number % 24 == 0}
FIXED = {"wiring_Lateral", "convnet", *(name for number, name in enumerate(EXPORTED) if number % 48 == 24)}
STEPS, SAMPLES = 50, 8


def traced(name: str, *, grid: bool = False) -> Traced:
    """A model's trace on 50 steps of 8 samples; of a model that comes with rasters of its own, on these."""
    case = MODELS[name]
    if {"steps", "samples"} <= {field.name for field in fields(case)}:
        case = replace(case, steps=STEPS, samples=SAMPLES)
    model = case.model(torch.float32, grid=grid)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return norse_export.trace(model, case.rasters(torch.float32), time=case.time)


def part(found: Traced, steps: int, samples: int) -> Traced:
    """The trace of the first steps of the first samples: what comes later cannot be known then."""

    def cut(rasters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        return {name: raster[:steps, :samples] for name, raster in rasters.items()}

    run = found.reference
    return replace(
        found, inputs=cut(dict(found.inputs)), reference=Run(cut(dict(run.spikes)), cut(dict(run.outputs)), run.ran_by)
    )


@pytest.mark.parametrize("name", some(EXPORTED, SHOWN, mark=pytest.mark.battery))
def test_a_model_runs_on_onnxruntime_equal_to_norse(name: str, tmp_path: Path) -> None:
    found, target = traced(name), registry.load("onnx")
    graph = discretise(found.graph)
    assert target.check(graph) == ()
    target.emit(graph, tmp_path)
    for file in ("model.onnx", "model.step.onnx"):
        onnx.checker.check_model(str(tmp_path / file), full_check=True)
    for steps, samples in ((1, 1), (1, SAMPLES), (STEPS, 1), (STEPS, SAMPLES)):
        one = part(found, steps, samples)
        done = target.run(tmp_path, one.inputs)
        assert done.ran_by.startswith("onnxruntime")
        comparison = judged(one, done)
        assert comparison.equal, comparison.first_divergence


@pytest.mark.parametrize("name", some(EXPORTED, SHOWN, mark=pytest.mark.battery))
def test_on_a_grid_of_powers_of_two_every_value_is_norses_on_onnxruntime(name: str, tmp_path: Path) -> None:
    """Of populations whose inputs no order of the sums can change: a batch normalisation leaves the grid."""
    found, target = traced(name, grid=True), registry.load("onnx")
    graph = discretise(found.graph)
    target.emit(graph, tmp_path)
    done = target.run(tmp_path, found.inputs)
    assert judged(found, done).equal
    exact = interpret_bounded(graph, found.inputs, found.reference.spikes, dtype="float32").exact
    for population in exact & set(found.reference.spikes):
        np.testing.assert_array_equal(found.reference.spikes[population], done.spikes[population], err_msg=population)
    for population in exact & set(found.reference.final_state):
        for variable, values in found.reference.final_state[population].items():
            found_values = done.final_state[population][variable]
            np.testing.assert_array_equal(values, found_values, err_msg=f"{population}.{variable}")
    for output, values in found.reference.outputs.items():
        if exact.issuperset(edge.source for edge in graph.incoming(output)):
            np.testing.assert_array_equal(values, done.outputs[output], err_msg=output)


@pytest.mark.parametrize("name", some(EXPORTED, FIXED, mark=pytest.mark.battery))
def test_whole_numbers_are_those_of_sim_bit_for_bit_or_refused_as_there(name: str, tmp_path: Path) -> None:
    found = traced(name)
    stored = (found.inputs, Truth(found.reference, 0))
    model = Model(name, "traced", "", found.graph, graph_truth(found.graph), exact=False, stored=stored)
    target = OnnxTarget(fixed=True, states=True)
    try:
        graph = stage(model, registry.load("sim"), IntegerChoice(), None, Limits()).graph
    except ExportError as error:
        with pytest.raises(type(error), match=re.escape(error.what)):
            stage(model, target, IntegerChoice(), None, Limits())
        return
    assert target.check(graph) == ()
    target.emit(graph, tmp_path)
    expected, done = emulate(graph, found.inputs, states=True), target.run(tmp_path, found.inputs)
    assert set(done.final_state) == set(expected.final_state)
    assert_same_runs(expected, done)
    for population, values in expected.observables.items():
        for variable, value in values.items():
            np.testing.assert_array_equal(value, done.observables[population][variable], err_msg=population)


@pytest.mark.parametrize("name", some(EXPORTED[7::10], EXPORTED[7::90], mark=pytest.mark.battery))
def test_a_graph_comes_back_out_of_an_onnx_file_and_runs_as_before(name: str, tmp_path: Path) -> None:
    found = traced(name)
    graph = discretise(found.graph)
    registry.load("onnx").emit(graph, tmp_path)
    back = registry.load("onnx").read(tmp_path, Limits())  # type: ignore[attr-defined]  # a readable target
    assert_same_runs(interpret(graph, found.inputs), interpret(back, found.inputs))
