"""Several inputs and outputs, hidden layers as outputs, feedback in a state of the model's own, RecurrentSequential."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from graph_parts import differences
from torch import nn
from traced_models import assert_replayed, interpreted, kinds, on_grid, refusal, same, seeded, spikes

import norse_export
from norse_export.errors import UnsupportedError, UsageError
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

X, Y = spikes(14, 3, 8), spikes(14, 3, 5, seed=1)


class Both(nn.Module):
    """Two inputs, two outputs, one step."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.hear, self.cell = nn.Linear(8, 6), nn.Linear(5, 6), snn.LIFCell()
        self.left, self.right = nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, image: torch.Tensor, sound: torch.Tensor, state: Any = None) -> Any:
        z, state = self.cell(self.see(image) + self.hear(sound), state)
        return (self.left(z), self.right(z)), state


def both() -> nn.Module:
    return on_grid(seeded(Both(), gain=4.0))


def test_two_inputs_and_two_outputs_are_equal() -> None:
    traced = same(both(), (X, Y), exact=True)
    assert traced.time == "outside"
    assert list(traced.inputs) == ["image", "sound"]
    assert list(traced.reference.outputs) == ["output.0", "output.1"]
    assert [output.shape for output in traced.reference.outputs.values()] == [(14, 3, 3), (14, 3, 2)]


def test_each_input_is_its_own() -> None:
    traced = trace(both(), (X, Y))
    assert np.array_equal(traced.inputs["image"], X.numpy())
    for name in traced.inputs:
        silent = {**traced.inputs, name: np.zeros_like(traced.inputs[name])}
        run, truth = interpret(discretise(traced.graph), silent), rerun(both(), traced, silent)
        assert not np.array_equal(run.spikes["cell"], traced.reference.spikes["cell"])
        assert np.array_equal(run.spikes["cell"], truth.spikes["cell"])
        for output, values in truth.outputs.items():
            assert np.array_equal(run.outputs[output], values)


def test_a_model_of_two_inputs_and_outputs_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "both.pt"
    norse_export.save(both(), path, (X, Y))
    loaded, traced = norse_export.load(path), trace(both(), (X, Y))
    assert differences(traced.graph, loaded.graph) == []
    assert loaded.stored is not None
    inputs, truth = loaded.stored
    assert list(inputs) == ["image", "sound"]
    assert np.array_equal(inputs["sound"], Y.numpy())
    assert_replayed(traced.reference, truth.run)
    assert_replayed(traced.reference, loaded.truth(inputs).run)
    assert_replayed(interpreted(traced), interpret(loaded.discrete, inputs))


class Whole(nn.Module):
    """Sequences, whose outputs are given in a form of the user's."""

    def __init__(self, give: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.layer, self.cell, self.give = nn.Linear(8, 6), snn.LIF(), give
        self.left, self.right, self.leaky = nn.Linear(6, 3), nn.Linear(6, 2), snn.LI()

    def forward(self, x: torch.Tensor) -> Any:
        z, _ = self.cell(self.layer(x))
        v, _ = self.leaky(self.left(z))
        return self.give(v, self.right(z))


GIVEN: dict[str, tuple[Any, list[str]]] = {
    "a tuple": (lambda a, b: (a, b), ["output.0", "output.1"]),
    "a list": (lambda a, b: [a, b], ["output.0", "output.1"]),
    "a dict": (lambda a, b: {"potential": a, "spikes": b}, ["output.potential", "output.spikes"]),
    "three": (lambda a, b: (b, a, b * 2), ["output.0", "output.1", "output.2"]),
    "a list of one": (lambda a, b: [b], ["output"]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_several_outputs_of_whole_rasters_are_equal(name: str) -> None:
    give, names = GIVEN[name]
    traced = same(on_grid(seeded(Whole(give), gain=4.0)), X)
    assert list(traced.reference.outputs) == names


class Steps(nn.Module):
    """One step, whose outputs are given in a form of the user's."""

    def __init__(self, give: Callable[[Any, Any, Any], Any]) -> None:
        super().__init__()
        self.layer, self.cell, self.right, self.give = nn.Linear(8, 6), snn.LIFCell(), nn.Linear(6, 2), give

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        z, state = self.cell(self.layer(x), state)
        return self.give(z, self.right(z), state)


STEPS: dict[str, tuple[Any, list[str]]] = {
    "a tuple": (lambda z, v, s: ((z, v), s), ["output.0", "output.1"]),
    "a list": (lambda z, v, s: ([v, z], s), ["output.0", "output.1"]),
    "a dict": (lambda z, v, s: ({"z": z, "v": v}, s), ["output.z", "output.v"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_several_outputs_beside_the_state_are_equal(name: str) -> None:
    give, names = STEPS[name]
    traced = same(on_grid(seeded(Steps(give), gain=4.0)), X, exact=True)
    assert list(traced.reference.outputs) == names
    spiking = {"a tuple": "output.0", "a list": "output.1", "a dict": "output.z"}[name]
    assert np.array_equal(traced.reference.outputs[spiking] != 0, traced.reference.spikes["cell"])


class SpikesAndReadout(nn.Module):
    """One step: spikes, and the potential of a readout, which is a state of it, too; they are given in two orders."""

    def __init__(self, give: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.layer, self.cell, self.readout, self.leaky = nn.Linear(8, 6), snn.LIFCell(), nn.Linear(6, 3), snn.LICell()
        self.give = give

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        before, leaking = (None, None) if state is None else state
        z, before = self.cell(self.layer(x), before)
        v, leaking = self.leaky(self.readout(z), leaking)
        return self.give(z, v), (before, leaking)


@pytest.mark.parametrize(
    ("give", "shapes"),
    [
        (lambda z, v: (z, v), [6, 3]),
        (lambda z, v: (v, z), [3, 6]),
        (lambda z, v: (z, v, v), [6, 3, 3]),
        (lambda z, v: (v, v), [3, 3]),
    ],
)
def test_a_readout_beside_the_spikes_is_an_output_though_it_is_a_state(give: Any, shapes: list[int]) -> None:
    traced = same(on_grid(seeded(SpikesAndReadout(give), gain=4.0)), X, exact=True)
    assert [values.shape[2] for values in traced.reference.outputs.values()] == shapes
    assert all(values.any() for values in traced.reference.outputs.values())


def test_hidden_layers_are_outputs() -> None:
    layers = nn.Linear(8, 6), snn.LIFCell(), nn.Linear(6, 3), snn.LICell()
    model = on_grid(seeded(snn.SequentialState(*layers, return_hidden=True), gain=4.0))
    traced = same(model, X, exact=True)
    assert list(traced.reference.outputs) == [f"output.{number}" for number in range(4)]
    plain = same(snn.SequentialState(*layers).eval(), X, exact=True)
    assert np.array_equal(plain.reference.outputs["output"], traced.reference.outputs["output.3"])


class Own(nn.Module):
    """Feedback of spikes over a step, in a state of the model's own."""

    def __init__(self, first: Callable[..., torch.Tensor] = torch.zeros) -> None:
        super().__init__()
        self.layer, self.back, self.readout = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.cell, self.leaky, self.first = snn.LIFCell(), snn.LICell(), first

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        s, o, z = state or (None, None, self.first(x.shape[0], 6))
        z, s = self.cell(self.layer(x) + self.back(z), s)
        v, o = self.leaky(self.readout(z), o)
        return v, (s, o, z)


def test_feedback_in_a_state_of_the_models_own_is_an_edge_that_takes_a_step() -> None:
    graph = same(on_grid(seeded(Own(), gain=4.0)), X, exact=True).graph
    (late,) = [edge for edge in graph.edges if edge.delay_steps]
    assert (late.source, late.target, late.delay_steps) == ("cell", "back", 1)


def test_feedback_that_does_not_start_from_zeros_is_refused() -> None:
    findings = refusal(seeded(Own(torch.ones), gain=4.0), X, error=UnsupportedError)
    assert ("constant_input", "back") in [(finding.kind, finding.where) for finding in findings]


class Residual(nn.Module):
    """One population beside another: a sum, and both joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(12, 3)
        self.first, self.second = snn.LIFCell(), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = (None, None)) -> Any:
        z, one = self.first(self.a(x), state[0])
        y, two = self.second(self.b(z) + z, state[1])
        return self.c(torch.cat([z, y], -1)), (one, two)


class Shared(nn.Module):
    """One layer of weights in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.first, self.second = nn.Linear(8, 8), snn.LIFCell(), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = (None, None)) -> Any:
        z, one = self.first(self.layer(x), state[0])
        y, two = self.second(self.layer(z), state[1])
        return y, (one, two)


def _lifted() -> nn.Module:
    inner = snn.SequentialState(nn.Linear(6, 4), snn.LIFCell())
    return snn.SequentialState(snn.Lift(nn.Linear(8, 6)), snn.LIF(), snn.Lift(inner))


MODELS: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "residual": (Residual, {"first", "second"}),
    "shared weights": (Shared, {"first", "second"}),
    "recurrent": (lambda: snn.RecurrentSequential(nn.Linear(8, 8), snn.LIFCell()), {"module.1"}),
    "recurrent inside": (
        lambda: snn.SequentialState(nn.Linear(8, 8), snn.RecurrentSequential(snn.LIFCell(), nn.Linear(8, 8))),
        {"1.module.0"},
    ),
    "nested": (
        lambda: snn.SequentialState(
            nn.Linear(8, 6), snn.SequentialState(snn.LIFCell(), nn.Linear(6, 6)), snn.LIFCell()
        ),
        {"1.0", "2"},
    ),
    "lifted": (_lifted, {"1", "2.lifted_module.1"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_several_parts_are_equal(name: str) -> None:
    make, populations = MODELS[name]
    traced = same(on_grid(seeded(make(), gain=5.0)), spikes(30, 3, 8))
    assert set(traced.reference.spikes) == populations
    late = [edge for edge in traced.graph.edges if edge.delay_steps]
    assert len(late) == ("recurrent" in name)


def test_rasters_of_different_lengths_are_refused() -> None:
    (finding,) = refusal(both(), (X, Y[:7]), error=UsageError)
    assert (finding.kind, finding.where) == ("inputs", "example_input")
    assert "(14, 3, 8), (7, 3, 5)" in finding.message


def test_one_raster_for_a_model_of_two_is_refused() -> None:
    (finding,) = refusal(both(), X, error=UsageError)
    assert finding.kind == "model_raised"


def test_inputs_in_the_other_order_are_refused() -> None:
    (finding,) = refusal(both(), (Y, X), error=UsageError)
    assert "input of shape (3, 5), (3, 8)" in finding.where


def test_an_output_that_depends_on_no_input_is_refused_beside_one_that_does() -> None:
    findings = refusal(seeded(Steps(lambda z, v, s: ((z, torch.ones(3, 2)), s))), X, error=UnsupportedError)
    assert kinds(findings) == ["output"]


def test_another_number_of_outputs_at_a_later_step_is_not_exported() -> None:
    class Changing(Steps):
        calls = 0

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            self.calls = 0 if state is None else self.calls + 1
            (z, v), state = super().forward(x, state)
            return ((z, v) if self.calls < 6 else (z, v, v)), state

    findings = refusal(seeded(Changing(lambda z, v, s: ((z, v), s)), gain=4.0), X, error=UnsupportedError)
    assert findings[0].kind == "control_flow"
