"""Structures as users write them: each is traced and does what the model does, or is refused for the reason it has."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from bulk import some
from norse_structures import STRUCTURES
from traced_models import assert_replayed, judged

from norse_export.errors import ExportError
from norse_export.frontend.recorded_model import READOUTS
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

EXPORTED = [name for name, structure in STRUCTURES.items() if not structure.refused]
REFUSED = [name for name, structure in STRUCTURES.items() if structure.refused]
LARGE = "model: "  # of weights that are on no grid


@pytest.mark.parametrize("name", some(EXPORTED, EXPORTED[::4]))
def test_a_structure_does_what_the_model_does(name: str) -> None:
    structure = STRUCTURES[name]
    traced = trace(structure.build(), structure.example(), time=structure.time)
    comparison = judged(traced)
    assert comparison.equal, comparison.first_divergence
    assert comparison.explained_flips == 0
    for layer, raster in traced.reference.spikes.items():
        assert 0 < raster.mean() < 1, f"layer {layer} proves nothing"
    if not name.startswith(LARGE):  # weights on a grid: no float sum rounds
        if name.endswith("normalisation"):  # folded into the weights, which are on no grid then
            return
        assert judged(traced, exact=True).equal
        assert_replayed(traced.reference, replay(discretise(traced.graph), traced.inputs))


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why(name: str) -> None:
    structure = STRUCTURES[name]
    kind, words = structure.refused
    with pytest.raises(ExportError) as caught:
        trace(structure.build(), structure.example(), time=structure.time)
    findings = caught.value.findings
    assert all(finding.message and finding.where and finding.fix for finding in findings)
    assert words, "a refusal without words proves nothing"
    assert any(finding.kind == kind and words in finding.message for finding in findings), findings
    assert len({finding.kind for finding in findings}) <= 2  # no flood of consequences


READ = {
    "loop: the last step as output": "the last step",
    "loop: the largest of all steps": "max",
    "loop: the largest, then softmax": "max, log_softmax",
    "loop: the mean of all steps": "mean",
    "loop: the sum of spikes and their rates": "sum, truediv",
    "coded: tutorial: last potential": "the last step",
    "coded: sum over time of sequences": "sum",
    "loop: batch first at the end": "the batch first",
}


@pytest.mark.parametrize("name", some(READ, list(READ)[::4]))
def test_what_a_model_reads_out_is_told_and_its_raster_is_the_output(name: str) -> None:
    structure = STRUCTURES[name]
    model = structure.build()
    traced = trace(model, structure.example(), time=structure.time)
    told = json.loads(traced.graph.metadata[READOUTS])
    assert told["output"].replace("div", "truediv").replace("truetruediv", "truediv") == READ[name]
    output = traced.reference.outputs["output"]
    assert output.shape[:2] == next(iter(traced.inputs.values())).shape[:2]


def test_a_readout_over_the_output_of_the_graph_is_what_the_model_gives() -> None:
    structure = STRUCTURES["loop: the largest of all steps"]
    model, x = structure.build(), structure.example()
    output = trace(model, x).reference.outputs["output"]
    with torch.no_grad():
        assert np.array_equal(output.max(0), model(x).numpy())


@pytest.mark.parametrize("name", ["loop: the mean of all steps", "loop: spikes counted in place"])
def test_a_readout_of_another_raster_is_run_again(name: str) -> None:
    structure = STRUCTURES[name]
    model = structure.build()
    traced = trace(model, structure.example())
    others = {key: np.flip(raster, 2)[: len(raster) // 2].copy() for key, raster in traced.inputs.items()}
    run = rerun(model, traced, others)
    actual = interpret(discretise(traced.graph), others)
    for output, values in run.outputs.items():
        assert np.array_equal(values, actual.outputs[output])
