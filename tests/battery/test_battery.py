"""Every model of the battery: exported equal to Norse in every spike and state, or refused for the reason in the table.

The table is tests/golden/battery.txt: one line for each model, with the reasons of those that are refused, by tracing,
by the target nir, or in float64. `pytest --update-golden` rewrites it; the difference is read. The default suite does
some of this, and `make test-battery` all of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from battery import table
from battery.checks import (
    assert_equal,
    assert_fires,
    assert_saved,
    assert_states_agree,
    assert_survives_nir,
)
from battery.families import CASES as FAMILIES
from battery.models import MODELS, OWN
from battery.table import reasons
from bulk import some
from norse_battery import CLASSES

import norse_export
from norse_export import registry
from norse_export.errors import ExportError
from norse_export.frontend.trace import Traced
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

pytestmark = pytest.mark.usefixtures("parsed_here")

TABLE = table.read()
REFUSED = tuple(name for name, outcome in TABLE.items() if outcome.startswith("refused"))
SINGLE_ONLY = tuple(name for name, outcome in TABLE.items() if "float64: refused" in outcome)
CLASS_NAMES = {case.name for case in FAMILIES}
STRUCTURES = [name for name in MODELS if name not in CLASS_NAMES]
EXPORTED = [name for name in MODELS if name not in REFUSED]
# The default suite has the classes of neurons as they come, and the structures of this folder.
SHOWN = {case.name for case in OWN if not case.name.endswith(("of all", "of each neuron"))}
OF_ONE_LENGTH = (  # these count the steps, and cannot take fewer
    "loop: x[t:t+1].squeeze(0)",
    "loop: zip of range and raster",
    "loop: an image at every step",
    *(name for name in MODELS if name.startswith("shown: ")),
)
A_FEW = {name for number, name in enumerate(STRUCTURES) if number % 20 == 0}


def traced(name: str, dtype: torch.dtype = torch.float32, *, grid: bool = False) -> tuple[torch.nn.Module, Traced]:
    """A model, and its trace."""
    case = MODELS[name]
    model = case.model(dtype, grid=grid)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return model, norse_export.trace(model, case.rasters(dtype), time=case.time)


def outcome_in_float64(name: str) -> str:
    """Nothing where a model is exported in float64, else the reasons why it is not."""
    try:
        traced(name, torch.float64)
    except ExportError as error:
        return f" | float64: refused: {reasons(error.findings)}"
    return ""


def test_the_battery_has_every_class_and_hundreds_of_models() -> None:
    assert len(MODELS) == len(OWN) + len(STRUCTURES) - sum(case.name not in CLASS_NAMES for case in OWN)
    assert len({case.name for case in OWN}) == len(OWN)
    for kind in CLASSES:
        assert {f"{kind} of all", f"{kind} of each neuron", f"{kind} as it comes"} <= set(MODELS)
    assert len(EXPORTED) >= 120
    assert len(STRUCTURES) >= 120


def test_the_table_has_a_line_for_every_model() -> None:
    assert list(TABLE) == list(MODELS)


@pytest.mark.parametrize("name", some(MODELS, SHOWN, mark=pytest.mark.battery))
def test_a_model_is_equal_to_norse_in_every_spike_or_refused_for_the_reason_in_the_table(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    try:
        _, found = traced(name)
    except ExportError as error:
        outcome = f"refused: {reasons(error.findings)}"
    else:
        assert_fires(found.reference)
        run = interpret(discretise(found.graph), found.inputs)
        flips = assert_equal(found, run)
        assert_saved(found, tmp_path / "m.pt")
        refusals = registry.load("nir").check(found.graph)
        if not refusals:
            assert_survives_nir(found, run, tmp_path / "m.nir")
        outcome = f"nir refuses: {reasons(refusals)}" if refusals else "equal"
        outcome = f"{outcome}{f', {flips} flips explained' if flips else ''}"
        if name in SINGLE_ONLY or request.config.getoption("--update-golden"):
            outcome += outcome_in_float64(name)
    if request.config.getoption("--update-golden"):
        table.write(name, outcome, MODELS)
    else:
        assert outcome == TABLE[name]


@pytest.mark.parametrize(
    "name", some([name for name in EXPORTED if name not in SINGLE_ONLY], A_FEW, mark=pytest.mark.battery)
)
def test_in_float64_every_spike_and_every_state_is_norses(name: str) -> None:
    """States after twelve of the steps; those of every class of neurons after each step are seen in test_families."""
    model, found = traced(name, torch.float64)
    run = interpret(discretise(found.graph), found.inputs)
    for population, spikes in found.reference.spikes.items():
        np.testing.assert_array_equal(spikes, run.spikes[population], err_msg=population)
    assert_equal(found, run)
    compared = assert_states_agree(model, found, 1e-12, moments=1 if name in OF_ONE_LENGTH else 12)
    assert compared > 0 or not found.reference.final_state


@pytest.mark.parametrize("name", some(EXPORTED, A_FEW, mark=pytest.mark.battery))
def test_on_a_grid_of_powers_of_two_no_spike_differs(name: str) -> None:
    _, found = traced(name, grid=True)
    assert_fires(found.reference)
    run = interpret(discretise(found.graph), found.inputs)
    flips = assert_equal(found, run)
    if any(getattr(node, "folded", None) is not None for node in found.graph.nodes.values()):
        return  # a normalisation takes the weights off the grid: the margin rule explains a flip
    assert flips == 0
    for population, spikes in found.reference.spikes.items():
        np.testing.assert_array_equal(spikes, run.spikes[population], err_msg=population)
