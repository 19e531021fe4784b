"""Every class of Norse's neurons: traced, saved, interpreted and replayed, it does what the module does.

The default suite holds every class to Norse once, and does the rest with one class of each family; `make test-bulk`
does all of it with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bulk import some
from graph_parts import differences
from norse.torch.functional import izhikevich
from norse_battery import (
    BATTERY,
    CLASSES,
    FIRST_STEP,
    class_of,
    has_weights,
    is_sequence,
    model,
    parameters,
    population,
    raster,
    states_of,
    varied,
)
from numpy.typing import NDArray

import norse_export
from norse_export.compare import Comparison, compare
from norse_export.errors import UnsupportedError
from norse_export.frontend.frameworks.norse import rules
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import Traced, trace
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.rasters import model_dtype
from norse_export.ir.run import Bounds, Run
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
LAST = [battery.classes[-1] for battery in BATTERY.values()]  # one class of each family
DTYPES = [torch.float32, torch.float64]
NAME = pytest.mark.parametrize("name", CLASSES)
SOME_NAMES = pytest.mark.parametrize("name", some(CLASSES, LAST))
DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
SINGLE = pytest.mark.parametrize("dtype", some(DTYPES, [torch.float32], ["float32", "float64"]))
SCALAR = pytest.mark.parametrize("each", some([False, True], [False], ["scalar", "per neuron"]))
PER_NEURON = pytest.mark.parametrize("each", some([False, True], [True], ["scalar", "per neuron"]))


def time_of(name: str) -> Any:
    return "inside" if is_sequence(name) else "outside"


def traced_model(name: str, **options: Any) -> Traced:
    dtype = options.get("dtype", torch.float32)
    return trace(model(name, **options), raster(dtype=dtype), time=time_of(name))


def judged(traced: Traced, run: Run, *, exact: bool = False) -> Comparison:
    """The comparison of a run with the model: by the margin rule, or in every bit."""
    graph = discretise(traced.graph)

    def bounds(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
        taken = {name: values[:, samples] for name, values in traced.inputs.items()}
        return interpret_bounded(graph, taken, spikes, dtype=model_dtype(graph))

    return compare(traced.reference, run, rung=1, bounds=None if exact else bounds)


def assert_fires(reference: Run) -> None:
    for spikes in reference.spikes.values():
        assert 0.01 < spikes.mean() < 0.9
        assert spikes.any(axis=(0, 1)).all(), "a neuron that never fires proves nothing"


def assert_bits_equal(expected: Run, actual: Run) -> None:
    for one, other in (
        (expected.spikes, actual.spikes),
        (expected.outputs, actual.outputs),
        *((states, actual.final_state[name]) for name, states in expected.final_state.items()),
    ):
        assert set(one) == set(other)
        for name, values in one.items():
            assert values.dtype == other[name].dtype
            np.testing.assert_array_equal(np.broadcast_to(values, other[name].shape), other[name])


def test_the_battery_is_every_class_that_has_a_rule() -> None:
    assert {class_of(name) for name in CLASSES} == set(rules())
    assert len(CLASSES) == 36


@SINGLE
@PER_NEURON
@NAME
def test_a_class_is_equal_to_norse_in_every_spike_and_state(name: str, each: bool, dtype: torch.dtype) -> None:
    module, x = model(name, each=each, dtype=dtype), raster(dtype=dtype)
    traced = trace(module, x, time=time_of(name))
    assert_fires(traced.reference)
    run = interpret(discretise(traced.graph), traced.inputs, states=True)
    comparison = judged(traced, run)
    assert comparison.equal, comparison.first_divergence
    assert comparison.explained_flips == 0
    assert not comparison.vacuous
    for variable, values in states_of(module, x).items():
        found, sizes = run.observables["1"][variable], np.abs(values).max()
        within = 1e-12 if dtype is torch.float64 else 1e-5
        assert np.abs(found - values).max() <= within * max(1, sizes), variable
    assert_bits_equal(traced.reference, replay(discretise(traced.graph), traced.inputs))


@SCALAR
@SOME_NAMES
def test_where_sums_are_exact_nothing_differs_and_no_bound_is_needed(name: str, each: bool) -> None:
    """Weights on a power-of-two grid; the steps themselves are those of Norse, operation by operation."""
    traced = traced_model(name, each=each, grid=True)
    assert_fires(traced.reference)
    run = interpret(discretise(traced.graph), traced.inputs)
    for layer, spikes in traced.reference.spikes.items():
        np.testing.assert_array_equal(spikes, run.spikes[layer])
    if not BATTERY[CLASSES[name]].exponential:  # exp differs in its last bit
        assert judged(traced, run, exact=True).equal
        assert_bits_equal(traced.reference, run)


@PER_NEURON
@SOME_NAMES
def test_a_class_is_saved_and_loaded(name: str, each: bool, tmp_path: Path) -> None:
    module, x = model(name, each=each), raster(20, 2)
    norse_export.save(module, tmp_path / "m.pt", x, time=time_of(name))
    loaded = norse_export.load(tmp_path / "m.pt")
    traced = trace(module, x, time=time_of(name))
    assert differences(traced.graph, loaded.graph) == []
    assert loaded.stored is not None
    inputs, truth = loaded.stored
    assert_bits_equal(traced.reference, truth.run)
    assert_bits_equal(traced.reference, loaded.truth(inputs).run)
    assert_bits_equal(interpret(discretise(traced.graph), inputs), interpret(loaded.discrete, inputs))


def changes(node: Neuron, name: str) -> list[Neuron]:
    """The population with another value of one parameter or initial state: near, and farther off."""
    values = {**node.parameters, **node.initial_state}[name]
    others = [values + 1, values + 3] if name.startswith("rho") else [values * 1.03 + 0.003, values * 1.4, values - 50]
    field = "parameters" if name in node.parameters else "initial_state"
    return [replace(node, **{field: {**getattr(node, field), name: other.astype(values.dtype)}}) for other in others]


@pytest.mark.parametrize("name", LAST)
def test_every_parameter_and_initial_state_counts(name: str) -> None:
    """A value that has no effect on these models would be one that they do not test."""
    traced = traced_model(name, each=False)
    graph = discretise(traced.graph)
    node = graph.nodes["1"]
    assert isinstance(node, Neuron)
    expected = interpret(graph, traced.inputs, states=True)
    for value in (*node.parameters, *node.initial_state):
        assert any(
            np.abs(run.observables["1"][key] - states).max() > 1e-6
            for run in (
                interpret(replace(graph, nodes={**graph.nodes, "1": other}), traced.inputs, states=True)
                for other in changes(node, value)
            )
            for key, states in expected.observables["1"].items()
        ), value


@NAME
def test_one_number_for_each_neuron_is_given_wherever_norse_takes_it(name: str) -> None:
    """The table of the battery is exact: where it gives one number alone, Norse itself refuses one for each neuron."""
    family = BATTERY[CLASSES[name]]
    for field in ("v_leak", "v_th"):
        single = name in (family.full if field == "v_leak" else family.full_threshold)
        if field not in family.numbers or CLASSES[name] == "Izhikevich":
            continue
        p = parameters(name, each=False)
        inner = getattr(p, family.within) if family.within else p
        inner = inner._replace(**{field: varied(family.numbers[field])})
        module = population(name, p._replace(**{family.within: inner}) if family.within else inner)
        x = torch.zeros(3, 2, 6) if is_sequence(name) else torch.zeros(2, 6)
        if single:
            with pytest.raises((TypeError, RuntimeError)):
                module(x)
        else:
            module(x)


@pytest.mark.parametrize("name", FIRST_STEP)
def test_a_first_step_in_another_float_type_is_refused_by_name(name: str) -> None:
    module = population(name, parameters(name, each=False), dtype=torch.float64)
    with pytest.raises(
        UnsupportedError, match=f"{name} computes its first step partly in another float type"
    ) as caught:
        trace(module, torch.ones(8, 2, 6, dtype=torch.float64), time=time_of(name))
    (finding,) = caught.value.findings
    assert (finding.kind, finding.where) == ("dtype", name)
    assert "float64" in finding.fix


@DTYPE
@SOME_NAMES
def test_parameters_of_single_precision_are_taken_in_any_model_or_refused(name: str, dtype: torch.dtype) -> None:
    module = population(name, parameters(name, each=False), dtype=dtype)
    x = 4 * raster(dtype=dtype)[..., :6]
    if name in FIRST_STEP and dtype is torch.float64:
        return
    traced = trace(module, x, time=time_of(name))
    run = interpret(discretise(traced.graph), traced.inputs)
    comparison = judged(traced, run)
    assert comparison.equal, comparison.first_divergence
    assert comparison.explained_flips == 0


# These start from v_leak in float32, and a sum with one number of float64 stays in float32 there.
FLOAT32_START = ("LIF", "LIFRecurrentCell", "LIFRecurrent", "LI", "LIFRefracRecurrent")


@SOME_NAMES
def test_a_leak_that_is_no_float32_number_is_equal_in_float64_or_refused(name: str) -> None:
    family = BATTERY[CLASSES[name]]
    if "v_leak" not in family.numbers:
        return
    p = parameters(name, each=False, dtype=torch.float64)
    inner = getattr(p, family.within) if family.within else p
    inner = inner._replace(v_leak=torch.tensor(0.03, dtype=torch.float64))
    p = p._replace(**{family.within: inner}) if family.within else inner
    module, x = population(name, p, dtype=torch.float64), raster(dtype=torch.float64)[..., :6]
    if name in FLOAT32_START:
        with pytest.raises(UnsupportedError, match=f"{name} computes its first step") as caught:
            trace(module, x, time=time_of(name))
        assert "a v_leak that is a float32 number" in caught.value.fix
        return
    traced = trace(module, x, time=time_of(name))
    run = interpret(discretise(traced.graph), traced.inputs)
    assert judged(traced, run).equal
    for variable, values in traced.reference.final_state[name].items():
        assert np.abs(run.final_state[name][variable] - values).max() <= 1e-12


BEHAVIOURS = sorted(
    name for name, value in vars(izhikevich).items() if isinstance(value, izhikevich.IzhikevichSpikingBehavior)
)


@pytest.mark.parametrize("form", ["Cell", "", "RecurrentCell", "Recurrent"])
@pytest.mark.parametrize("name", some(BEHAVIOURS, ["tonic_bursting"]))
def test_every_named_behaviour_of_izhikevich_is_equal(name: str, form: str) -> None:
    cls, behaviour = class_of(f"Izhikevich{form}"), getattr(izhikevich, name)
    torch.manual_seed(0)
    module = cls(6, 6, behaviour) if "Recurrent" in form else cls(behaviour)
    generator = torch.Generator().manual_seed(2)
    x = torch.round(torch.randn(200, 2, 6, generator=generator) * 60 + 8)
    if "Recurrent" in form:
        with torch.no_grad():
            module.input_weights.copy_(torch.eye(6))
            module.recurrent_weights.copy_(torch.round(module.recurrent_weights * 64) / 16)
    traced = trace(module, x, time="outside" if form.endswith("Cell") else "inside")
    (spikes,) = traced.reference.spikes.values()
    assert spikes.any()
    run = interpret(discretise(traced.graph), traced.inputs)
    assert judged(traced, run, exact=True).equal
    assert_bits_equal(traced.reference, run)
    assert_bits_equal(traced.reference, replay(discretise(traced.graph), traced.inputs))


def test_the_input_of_a_conductance_based_cell_is_left_aside_as_norse_does() -> None:
    module = population("CobaLIFCell", parameters("CobaLIFCell", each=False))
    one, other = (trace(module, raster(seed=seed)[..., :6], time="outside") for seed in (1, 2))
    (spikes,), (same,) = one.reference.spikes.values(), other.reference.spikes.values()
    np.testing.assert_array_equal(spikes, same)
    assert spikes.any()
    assert not has_weights("LIFCell")
    assert [edge.source for edge in one.graph.incoming("CobaLIFCell")] == [
        "CobaLIFCell.recurrent_weights.excitatory",
        "CobaLIFCell.recurrent_weights.inhibitory",
    ]
