"""Every class of Norse's neurons, with every kind of parameters: the traced graph does what the module does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from norse_battery import BATTERY, class_of
from traced_models import (
    assert_states_agree,
    currents,
    equal,
    interpreted,
    judged,
    on_grid,
    refusal,
    seeded,
    spikes,
    states_of,
)

from norse_export.frontend.frameworks.norse import rules
from norse_export.frontend.trace import trace
from norse_export.ir.neurons import CubaLIF

N, STEPS, BATCH = 6, 40, 3
CELLS = (snn.LIFCell, snn.LIFBoxCell, snn.LICell, snn.LIBoxCell, snn.IAFCell, snn.LIFRecurrentCell)
SEQUENCES = (snn.LIF, snn.LI, snn.IAF, snn.LIFRecurrent)
RECURRENT = (snn.LIFRecurrentCell, snn.LIFRecurrent)
SCALAR_LEAK = (snn.LIF, snn.LI, *RECURRENT)  # their initial state is filled with one v_leak
PARAMETERS = {
    snn.LIFCell: snn.LIFParameters,
    snn.LIF: snn.LIFParameters,
    snn.LIFRecurrentCell: snn.LIFParameters,
    snn.LIFRecurrent: snn.LIFParameters,
    snn.LIFBoxCell: snn.LIFBoxParameters,
    snn.LICell: snn.LIParameters,
    snn.LI: snn.LIParameters,
    snn.LIBoxCell: snn.LIBoxParameters,
    snn.IAFCell: snn.IAFParameters,
    snn.IAF: snn.IAFParameters,
}
OTHER = {"tau_syn_inv": 133.0, "tau_mem_inv": 371.0, "v_leak": 0.03, "v_th": 0.37, "v_reset": -0.04}


def test_the_classes_of_the_kinds_that_nir_has_are_all_here() -> None:
    """Those of all others stand in the battery of tests/norse_battery.py."""
    nir = ("LIF", "LIFBox", "LI", "LIBox", "IAF")
    classes = {class_of(name) for family in nir for name in BATTERY[family].classes} - {snn.LILinearCell}
    assert {*CELLS, *SEQUENCES} == classes <= set(rules())


def _varied(value: float, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers around `value`, none of them a short fraction."""
    count = int(np.prod(shape))
    return (value * torch.linspace(0.71, 1.29, count)).reshape(shape)


def _parameters(kind: type, values: Callable[[str, float], Any]) -> Any:
    make = PARAMETERS[kind]
    return make(**{name: values(name, OTHER[name]) for name in make._fields if name in OTHER})


VARIANTS: dict[str, Callable[[type], Any]] = {
    "default": lambda kind: PARAMETERS[kind](),
    "scalar": lambda kind: _parameters(kind, lambda name, value: torch.tensor(value)),
    "double scalar": lambda kind: _parameters(
        kind, lambda name, value: torch.tensor(value, dtype=torch.float64 if name != "v_leak" else torch.float32)
    ),
    "per neuron": lambda kind: _parameters(
        kind,
        lambda name, value: torch.tensor(value) if name == "v_leak" and kind in SCALAR_LEAK else _varied(value, (N,)),
    ),
    "one and a batch axis of one": lambda kind: _parameters(
        kind,
        lambda name, value: torch.tensor(value) if name == "v_leak" and kind in SCALAR_LEAK else _varied(value, (1, N)),
    ),
    "no decay": lambda kind: _parameters(
        kind, lambda name, value: torch.tensor(0.0 if name == "tau_syn_inv" else value)
    ),
}


def population(kind: type, variant: str, dt: float = 0.001) -> torch.nn.Module:
    parameters = VARIANTS[variant](kind)
    if kind not in RECURRENT:
        return kind(p=parameters, dt=dt)
    return on_grid(seeded(kind(N, N, p=parameters, dt=dt), gain=2.0), bits=4)


def driven(kind: type, dtype: torch.dtype) -> torch.Tensor:
    """Inputs on which the population fires now and then: currents, or binary ones through recurrent weights."""
    if kind in RECURRENT:
        return spikes(STEPS, BATCH, N).to(dtype)
    scale = {snn.IAFCell: 0.2, snn.IAF: 0.2, snn.LIFBoxCell: 4.0, snn.LIBoxCell: 4.0}.get(kind, 1.5)
    return currents(STEPS, BATCH, N, scale=scale).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", [*CELLS, *SEQUENCES], ids=lambda kind: kind.__name__)
def test_a_population_alone_is_equal_in_every_bit_of_every_state(kind: type, variant: str, dtype: torch.dtype) -> None:
    model = population(kind, variant, dt=0.0013).to(dtype)
    traced = equal(model, driven(kind, dtype), exact=True)
    run = interpreted(traced, states=True)
    assert_states_agree(states_of(model, driven(kind, dtype), traced.time), run.observables, within=0.0)
    node = traced.graph.nodes[kind.__name__]
    assert (node.dt, node.dtype) == (0.0013, str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*CELLS, *SEQUENCES], ids=lambda kind: kind.__name__)
def test_a_population_between_layers_stays_within_the_margin(kind: type, dtype: torch.dtype) -> None:
    model = seeded(
        snn.SequentialState(torch.nn.Linear(9, N), population(kind, "per neuron"), torch.nn.Linear(N, 4)), gain=3.0
    ).to(dtype)
    x = spikes(STEPS, BATCH, 9).to(dtype)
    traced = equal(model, x)
    if dtype is torch.float64:
        run = interpreted(traced, states=True)
        assert_states_agree(states_of(model, x, traced.time), run.observables, within=1e-12)


@pytest.mark.parametrize("kind", [*CELLS, *SEQUENCES], ids=lambda kind: kind.__name__)
def test_on_a_power_of_two_grid_nothing_differs(kind: type) -> None:
    layers = torch.nn.Linear(40, N), population(kind, "per neuron"), torch.nn.Linear(N, 4)
    model = on_grid(seeded(snn.SequentialState(*layers), gain=4.0))
    traced = equal(model, spikes(STEPS, 7, 40), exact=True)
    comparison = judged(traced, exact=True)
    assert all(layer.states_max_abs in (0.0, None) for layer in comparison.layers)


@pytest.mark.parametrize("kind", [snn.LIFCell, snn.LIFBoxCell, snn.LICell, snn.LIBoxCell, snn.IAFCell, snn.IAF])
def test_parameters_for_each_channel_are_spread_over_the_map(kind: type) -> None:
    model = kind(p=_parameters(kind, lambda name, value: _varied(value, (2, 1, 1))))
    x = currents(40, 3, 2, 3, 4, scale=0.3 if "IAF" in kind.__name__ else 4.0)
    traced = equal(model, x, exact=True)
    assert_states_agree(states_of(model, x, traced.time), interpreted(traced, states=True).observables, within=0.0)
    node = traced.graph.nodes[kind.__name__]
    assert node.shape == (2, 3, 4)


def test_a_population_on_a_raster_without_feature_axes() -> None:
    traced = equal(snn.LIFCell(), currents(60, 5, scale=2.0), exact=True)
    assert traced.graph.nodes["LIFCell"].input_shape == ()


@pytest.mark.parametrize("method", ["heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc"])
def test_every_surrogate_gradient_steps_alike(method: str) -> None:
    model = snn.LIFCell(p=snn.LIFParameters(method=method, alpha=torch.tensor(3.0)))
    equal(model, currents(30, 2, 4, scale=3.0), exact=True)


def test_numbers_in_the_place_of_tensors_are_taken_as_norse_takes_them() -> None:
    box = snn.LIFBoxParameters(tau_mem_inv=371.3, v_leak=torch.tensor(0.1), v_th=0.7, v_reset=0.1)
    equal(snn.LIFBoxCell(p=box), currents(60, 2, 4, scale=4.0), exact=True)
    equal(snn.LIBoxCell(p=snn.LIBoxParameters(tau_mem_inv=371.3)), currents(60, 2, 4), exact=True)


def test_a_time_step_that_is_a_tensor_is_taken_as_norse_takes_it() -> None:
    traced = equal(snn.LIFCell(dt=torch.tensor(0.0017)), currents(60, 2, 4, scale=2.0), exact=True)
    assert traced.graph.nodes["LIFCell"].dt == float(torch.tensor(0.0017))


def test_coefficients_are_norses_own_and_tau_gives_them_back() -> None:
    parameters = snn.LIFParameters(tau_mem_inv=_varied(371.0, (N,)), tau_syn_inv=_varied(133.0, (N,)))
    node = trace(snn.LIFCell(p=parameters, dt=0.0013), currents(3, 2, N)).graph.nodes["LIFCell"]
    assert node.kind is CubaLIF
    for tau, coefficient, inverse in (
        (node["tau_mem"], node["alpha"], parameters.tau_mem_inv),
        (node["tau_syn"], node["beta"], parameters.tau_syn_inv),
    ):
        assert coefficient is not None
        assert np.array_equal(coefficient, (0.0013 * inverse).numpy())
        assert tau.dtype == np.float64
        assert np.array_equal((0.0013 / tau).astype(np.float32), coefficient)


def test_recorded_states_of_a_sequence_give_the_last_one() -> None:
    model = snn.LIF(record_states=True)
    traced = equal(model, currents(40, 2, 3, scale=2.0), exact=True)
    assert traced.reference.final_state["LIF"]["v"].shape == (2, 3)


def test_a_leak_that_is_no_float32_number_cannot_be_had_in_float64() -> None:
    """These classes start from v_leak rounded to float32, and compute in part with it: as no graph does."""
    for kind in SCALAR_LEAK:
        parameters = _parameters(kind, lambda name, value: torch.tensor(value, dtype=torch.float64))
        model = kind(N, N, p=parameters) if kind in RECURRENT else kind(p=parameters)
        (finding,) = refusal(model.double(), driven(kind, torch.float64))
        assert (finding.kind, finding.where) == ("dtype", kind.__name__)
        assert "first step" in finding.message
        assert "v_leak" in finding.fix


def test_a_double_array_in_a_float32_model_is_refused_by_name() -> None:
    """One number of float64 keeps the neuron in float32; an array of them makes torch compute in float64."""
    parameters = snn.LIFParameters(v_th=_varied(0.4, (N,)).double())
    (finding,) = refusal(snn.LIFCell(p=parameters), currents(4, 2, N))
    assert finding.kind == "dtype"
    assert "float64" in finding.message
    assert "float32" in finding.fix


def test_the_sum_of_currents_starts_with_the_input_and_ends_with_the_recurrence() -> None:
    """(i + Wx) + Rz: another order gives other bits in a third of the values, so this one is the graph's."""
    model = seeded(snn.LIFRecurrentCell(N, N, p=snn.LIFParameters(v_th=torch.tensor(0.3))), gain=2.0)
    traced = trace(model, spikes(STEPS, BATCH, N))
    ports = [edge.port for edge in traced.graph.incoming("LIFRecurrentCell")]
    assert ports == ["x", "r"]
    (back,) = traced.graph.incoming("LIFRecurrentCell.recurrent_weights")
    assert (back.source, back.delay_steps) == ("LIFRecurrentCell", 1)
    expected = states_of(model, spikes(STEPS, BATCH, N), "outside")
    assert_states_agree(expected, interpreted(traced, states=True).observables, within=1e-6)
