"""Every neuron family against Norse itself, step by step: the same spikes and states on the same currents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_nets import chain, graph

from norse_export.interpret import interpret
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
STEPS, SAMPLES, NEURONS = 200, 4, 64


@dataclass(frozen=True)
class Case:
    """A Norse cell, and the population that it is."""

    cell: Callable[[Any], torch.nn.Module]
    kind: Any
    inverse: dict[str, float]  # tau_..._inv
    levels: dict[str, float]


CASES = {
    "LIFCell": Case(
        lambda p: snn.LIFCell(snn.LIFParameters(**p)),
        CubaLIF,
        {"tau_mem_inv": 100.0, "tau_syn_inv": 200.0},
        {"v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0},
    ),
    "LIFCell of other parameters": Case(
        lambda p: snn.LIFCell(snn.LIFParameters(**p)),
        CubaLIF,
        {"tau_mem_inv": 1 / 7e-3, "tau_syn_inv": 1 / 3e-3},
        {"v_leak": 0.1, "v_th": 0.7, "v_reset": -0.3},
    ),
    "LIFBoxCell": Case(
        lambda p: snn.LIFBoxCell(snn.LIFBoxParameters(**p)),
        LIF,
        {"tau_mem_inv": 1 / 3e-3},
        {"v_leak": 0.1, "v_th": 0.7, "v_reset": -0.3},
    ),
    "LICell": Case(
        lambda p: snn.LICell(snn.LIParameters(**p)),
        CubaLI,
        {"tau_mem_inv": 1 / 7e-3, "tau_syn_inv": 1 / 3e-3},
        {"v_leak": 0.1},
    ),
    "LIBoxCell": Case(
        lambda p: snn.LIBoxCell(snn.LIBoxParameters(**p)), LI, {"tau_mem_inv": 1 / 7e-3}, {"v_leak": 0.1}
    ),
    "IAFCell": Case(lambda p: snn.IAFCell(snn.IAFParameters(**p)), IF, {}, {"v_th": 0.7, "v_reset": -0.3}),
}
COEFFICIENT = {"tau_mem_inv": ("tau_mem", "alpha"), "tau_syn_inv": ("tau_syn", "beta")}


def parameters(case: Case, dtype: torch.dtype, *, each: bool) -> dict[str, torch.Tensor]:
    """Norse's parameters, of each neuron its own where `each`."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, value in (case.inverse | case.levels).items():
        factor = 0.5 + torch.rand(NEURONS, generator=generator) if each else torch.ones(())
        found[name] = (value * factor).to(dtype)
    return found


def population(case: Case, given: dict[str, torch.Tensor], dt: float) -> Any:
    """The population with the coefficients that torch computes, and tau = dt / coefficient."""
    values: dict[str, Any] = {name: given[name].detach().numpy() for name in case.levels}
    dtype = next(iter(given.values())).numpy().dtype.name
    for name in case.inverse:
        tau, coefficient = COEFFICIENT[name]
        values[coefficient] = (dt * given[name]).numpy()
        values[tau] = dt / values[coefficient].astype(np.float64)
    return case.kind(shape=(NEURONS,), dt=dt, dtype=dtype, **values)


def run_norse(cell: Any, currents: torch.Tensor) -> tuple[Array, dict[str, Array]]:
    """What the cell sent, and every state variable, [T, B, N]."""
    sent, states, state = [], [], None
    with torch.no_grad():
        for x in currents:
            z, state = cell(x, state)
            sent.append(z.numpy())
            states.append(state)
    names = [name for name in states[0]._fields if name != "z"]
    return np.stack(sent), {name: np.stack([getattr(s, name).numpy() for s in states]) for name in names}


def drive(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, SAMPLES, NEURONS, generator=generator).to(dtype)


@pytest.mark.parametrize("each", [False, True], ids=["one for all", "each its own"])
@pytest.mark.parametrize("dt", [1e-3, 1.3e-3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_spike_and_state_is_bit_equal_in_float32(case: Case, dt: float, each: bool) -> None:
    given, currents = parameters(case, torch.float32, each=each), drive(torch.float32)
    cell = case.cell(given)
    cell.dt = dt  # type: ignore[assignment]
    sent, states = run_norse(cell, currents)
    net = discretise(chain((NEURONS,), population(case, given, dt)))
    run = interpret(net, {"input": currents.numpy()}, states=True)
    assert run.outputs["output"].dtype == sent.dtype == np.float32
    np.testing.assert_array_equal(run.outputs["output"], sent)
    assert run.observables["0"].keys() == states.keys()
    for name, expected in states.items():
        assert run.observables["0"][name].dtype == np.float32
        np.testing.assert_array_equal(run.observables["0"][name], expected)
        np.testing.assert_array_equal(run.final_state["0"][name], expected[-1])
    if "0" in run.spikes:
        assert 100 < run.spikes["0"].sum() < run.spikes["0"].size / 2


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_spike_is_equal_and_every_state_within_1e_12_in_float64(case: Case) -> None:
    given, currents = parameters(case, torch.float64, each=True), drive(torch.float64)
    sent, states = run_norse(case.cell(given), currents)
    net = discretise(chain((NEURONS,), population(case, given, 1e-3), dtype="float64"))
    run = interpret(net, {"input": currents.numpy()}, states=True)
    if "0" in run.spikes:
        np.testing.assert_array_equal(run.spikes["0"], sent != 0)
    for name, expected in states.items():
        assert expected.dtype == run.observables["0"][name].dtype == np.float64
        np.testing.assert_allclose(run.observables["0"][name], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_recurrent_cell_is_bit_equal(dtype: torch.dtype) -> None:
    """(i + W_in x) + W_rec z, with the spikes of the step before; weights on a grid, so that products are exact."""
    torch.manual_seed(0)
    p = parameters(CASES["LIFCell"], dtype, each=True) | {"v_leak": torch.zeros((), dtype=dtype)}
    cell = snn.LIFRecurrentCell(20, NEURONS, p=snn.LIFParameters(**p)).to(dtype)
    with torch.no_grad():
        for weights in (cell.input_weights, cell.recurrent_weights):
            weights.copy_((weights * 16).round() / 16)
    generator = torch.Generator().manual_seed(2)
    currents = (torch.rand(STEPS, SAMPLES, 20, generator=generator) < 0.2).to(dtype)
    sent, states = run_norse(cell, currents)
    name = str(dtype).removeprefix("torch.")
    values: dict[str, Any] = {
        "0": Linear(cell.input_weights.detach().numpy()),
        "lif": population(CASES["LIFCell"], p, 1e-3),
        "back": Linear(cell.recurrent_weights.detach().numpy()),
    }
    values["lif"] = values["lif"].changed(recurrent=True)
    nodes = {"input": Input((20,), name), **values, "output": Output((NEURONS,))}  # type: ignore[arg-type]
    edges = [("input", "0"), ("0", "lif"), ("lif", "back", "x", 1), ("back", "lif", "r"), ("lif", "output")]
    run = interpret(discretise(graph(nodes, edges)), {"input": currents.numpy()}, states=True)
    np.testing.assert_array_equal(run.spikes["lif"], sent != 0)
    for variable, expected in states.items():
        np.testing.assert_array_equal(run.observables["lif"][variable], expected)
    assert 1000 < sent.sum() < sent.size / 2
    without = [edge for edge in edges if "back" not in edge] + [("input", "0r"), ("0r", "lif", "r")]
    nodes["0r"] = Linear(np.zeros((NEURONS, 20), currents.numpy().dtype))
    del nodes["back"]
    alone = interpret(discretise(graph(nodes, without)), {"input": currents.numpy()})
    assert (alone.spikes["lif"] != run.spikes["lif"]).any(), "the recurrent weights do nothing here"


def test_norses_initial_state_is_the_leak_or_the_reset_potential() -> None:
    """Before the first step v is v_leak; of an integrate-and-fire cell, v_reset."""
    for name in ("LIFCell of other parameters", "IAFCell"):
        given = parameters(CASES[name], torch.float32, each=True)
        silent = torch.zeros(1, 1, NEURONS)
        _, states = run_norse(CASES[name].cell(given), silent)
        net = discretise(chain((NEURONS,), population(CASES[name], given, 1e-3)))
        run = interpret(net, {"input": silent.numpy()})
        np.testing.assert_array_equal(run.final_state["0"]["v"], states["v"][-1])
        assert np.abs(states["v"]).min() > 0
