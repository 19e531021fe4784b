"""Traced models under test: run on the interpreter and compared with torch, spike for spike and state for state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from norse_export.compare import Comparison, compare
from norse_export.errors import ExportError, Finding
from norse_export.frontend.frameworks.norse import rules, sequence_classes
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import Time, Traced, trace
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.rasters import model_dtype
from norse_export.ir.run import Bounds, Run
from norse_export.passes.discretise import discretise

Array = NDArray[Any]


class Stepped(torch.nn.Module):
    """A cell, a readout and a leaky integrator, one step of them, and `run`: what a forward of the user does."""

    run: Any
    cell: Any
    readout: Any
    leaky: Any

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)

    def step(self, current: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        """One step from the current on."""
        z, s = self.cell(current, states[0])
        v, o = self.leaky(self.readout(z), states[1])
        return v, (s, o)


def spikes(*shape: int, rate: float = 0.4, seed: int = 0) -> torch.Tensor:
    """Zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < rate).float()


def currents(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Numbers of both signs, more of them positive."""
    generator = torch.Generator().manual_seed(seed)
    return scale * (torch.randn(shape, generator=generator) + 0.5)


def seeded(model: torch.nn.Module, gain: float = 1.0, seed: int = 0) -> torch.nn.Module:
    """The model in evaluation mode, its weights drawn anew and multiplied by `gain`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            bound = gain / max(1, parameter[0].numel()) ** 0.5
            parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 0.8) * bound)
    return model.eval()


def on_grid(model: torch.nn.Module, bits: int = 6) -> torch.nn.Module:
    """The same model with weights that are multiples of 2^-bits: float sums of them are exact in any order."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.round(parameter * 2**bits) / 2**bits)
    return model


def interpreted(traced: Traced, **options: Any) -> Run:
    """The traced graph on the raster it was traced with."""
    return interpret(discretise(traced.graph), traced.inputs, **options)


def judged(traced: Traced, *, exact: bool = False) -> Comparison:
    """The comparison of the interpreted graph with the model: by the margin rule, or in every bit."""
    graph = discretise(traced.graph)

    def bounds(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
        taken = {name: raster[:, samples] for name, raster in traced.inputs.items()}
        return interpret_bounded(graph, taken, spikes, dtype=model_dtype(graph))

    return compare(traced.reference, interpreted(traced), rung=1, bounds=None if exact else bounds)


def equal(model: torch.nn.Module, x: Any, *, time: Time = "auto", exact: bool = False) -> Traced:
    """Trace a model; its graph must do what the model does, every layer firing and no layer always."""
    traced = trace(model, x, time=time)
    comparison = judged(traced, exact=exact)
    assert comparison.equal, comparison.first_divergence
    assert comparison.explained_flips == 0
    for name, raster in traced.reference.spikes.items():
        assert 0 < raster.mean() < 1, f"layer {name} proves nothing"
    assert not comparison.vacuous
    return traced


def same(model: torch.nn.Module, x: Any, *, time: Time = "auto", exact: bool = False) -> Traced:
    """As `equal`; and the graph, run step by step on torch and Norse, gives what the model gave in every bit."""
    traced = equal(model, x, time=time, exact=exact)
    assert_replayed(traced.reference, replay(discretise(traced.graph), traced.inputs))
    return traced


def assert_replayed(expected: Run, actual: Run) -> None:
    """The same spikes, outputs and final states, in every bit."""
    for one, other in ((expected.spikes, actual.spikes), (expected.outputs, actual.outputs)):
        assert list(one) == list(other)
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])
    for name, states in expected.final_state.items():
        for variable, values in states.items():
            np.testing.assert_array_equal(values, np.broadcast_to(actual.final_state[name][variable], values.shape))


def states_of(model: torch.nn.Module, x: torch.Tensor, time: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Each state variable of each population after every step [T, B, ...], as the model itself gives it."""
    seen: dict[str, dict[str, list[torch.Tensor]]] = {}

    def record(path: str, sequence: bool) -> Any:
        def hook(module: Any, args: Any, result: Any) -> None:
            for name, value in result[1]._asdict().items():
                steps = list(value) if sequence else [value]
                seen.setdefault(path, {}).setdefault(name, []).extend(step.detach().clone() for step in steps)

        return hook

    hooks = []
    for name, module in model.named_modules():
        if type(module) in rules():
            sequence = type(module) in sequence_classes()
            if sequence:
                module.record_states = True  # type: ignore[assignment]  # Norse's own attribute
            hooks.append(module.register_forward_hook(record(name or type(module).__name__, sequence)))
    with torch.no_grad():
        if time == "inside":
            model(x)
        else:
            state = None
            for step in x:
                _, state = model(step, state) if state is not None else model(step)
    for handle in hooks:
        handle.remove()
    return {
        path: {name: torch.stack(steps).numpy() for name, steps in variables.items() if name != "z"}
        for path, variables in seen.items()
    }


def assert_states_agree(
    expected: Mapping[str, Mapping[str, NDArray[Any]]], actual: Mapping[str, Mapping[str, NDArray[Any]]], within: float
) -> None:
    """Every variable of every population at every step; `within` 0 demands the same value."""
    assert set(actual) == set(expected)
    for path, variables in expected.items():
        assert set(actual[path]) == set(variables)
        for name, values in variables.items():
            assert np.abs(actual[path][name] - values).max() <= within, (path, name)


def refusal(model: Any, x: Any, *, time: Time = "auto", error: type[ExportError] = ExportError) -> tuple[Finding, ...]:
    """All findings of a refused trace; each says what, where and how to mend it."""
    with pytest.raises(error) as caught:
        trace(model, x, time=time)
    assert type(caught.value) is error or error is ExportError
    findings = caught.value.findings
    assert all(finding.message and finding.where and finding.fix for finding in findings)
    assert len(set(findings)) == len(findings)
    return findings


def kinds(findings: tuple[Finding, ...]) -> list[str]:
    """What was found, in order."""
    return [finding.kind for finding in findings]
