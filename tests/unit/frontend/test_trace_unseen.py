"""Models as users write them: their own loops and states, profilers, neurons at several places."""

from __future__ import annotations

import cProfile
import pstats
import sys
from typing import Any

import norse.torch as norse
import pytest
import torch
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
from torch import nn

import norse_export
from norse_export.frontend.time_axis import find_time
from norse_export.ir.doubts import doubts


def raster(steps: int = 12, samples: int = 3, cells: int = 6) -> torch.Tensor:
    """A raster of ones and zeros [T, B, cells]."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(steps, samples, cells, generator=generator) < 0.5).float()


def busy(*layers: nn.Module) -> norse.SequentialState:
    """The layers, with weights on a power-of-two grid, under which neurons fire."""
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            with torch.no_grad():
                layer.weight.copy_(torch.randint(-8, 25, layer.weight.shape) / 16)
                layer.bias.zero_()
    return norse.SequentialState(*layers)


class OwnLoop(nn.Module):
    """Takes a whole raster, and a state to go on from."""

    def __init__(self) -> None:
        super().__init__()
        self.net = busy(nn.Linear(6, 8), norse.LIFCell(), nn.Linear(8, 4), norse.LIFCell())

    def forward(self, x: Any, state: Any = None) -> Any:
        """Loop over time."""
        outputs = []
        for step in x:
            output, state = self.net(step, state)
            outputs.append(output)
        return torch.stack(outputs), state


class MustHaveState(nn.Module):
    """Takes one step, and has no default for its state."""

    def __init__(self) -> None:
        super().__init__()
        self.net = busy(nn.Linear(6, 8), norse.LIFCell())

    def forward(self, x: Any, state: Any) -> Any:
        """One step."""
        return self.net(x, state)


class Twice(nn.Module):
    """Takes one step, and calls what it holds at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.cell = norse.LIFCell()

    def forward(self, x: Any, state: Any = None) -> Any:
        """One step."""
        first, second = (None, None) if state is None else state
        x, first = self.cell(self.fc(x), first)
        x, second = self.cell(self.fc(x), second)
        return x, (first, second)


def test_a_loop_that_goes_on_from_a_state_is_told_from_a_step() -> None:
    model = OwnLoop()
    traced = norse_export.trace(model, raster())
    assert traced.time == "inside"
    expected, _ = model(raster())
    assert expected.any()
    (output,) = traced.reference.outputs.values()
    assert (output == expected.detach().numpy()).all()


@pytest.mark.parametrize("model", [busy(nn.Linear(6, 6), norse.LIFCell()), MustHaveState(), Twice()])
@pytest.mark.parametrize("steps", [1, 2, 12])
def test_steps_stay_steps(model: nn.Module, steps: int) -> None:
    assert find_time(model, (raster(steps),)) == "outside"


def test_a_state_without_a_default_is_none_at_first() -> None:
    model = MustHaveState()
    traced = norse_export.trace(model, raster())
    state, sent = None, []
    for step in raster():
        output, state = model(step, state)
        sent.append(output)
    (output,) = traced.reference.outputs.values()
    assert torch.stack(sent).any()
    assert (output == torch.stack(sent).detach().numpy()).all()


def test_an_input_that_is_missing_is_no_state() -> None:
    class TwoInputs(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x + y

    with pytest.raises(norse_export.ExportError, match="missing 1 required positional argument: 'y'"):
        norse_export.trace(TwoInputs(), raster())


def test_a_profiler_goes_on_profiling() -> None:
    def later() -> None:
        pass

    profiler = cProfile.Profile()
    profiler.enable()
    try:
        norse_export.trace(busy(nn.Linear(6, 6), norse.LIFCell()), raster())
        later()
    finally:
        profiler.disable()
    assert "later" in {name for _, _, name in pstats.Stats(profiler).stats}  # type: ignore[attr-defined]


def test_a_profile_function_is_put_back() -> None:
    def own(*_: Any) -> None:
        pass

    sys.setprofile(own)
    try:
        norse_export.trace(busy(nn.Linear(6, 6), norse.LIFCell()), raster())
        assert sys.getprofile() is own
    finally:
        sys.setprofile(None)


class TwiceInALoop(Twice):
    """The same, with its own loop over time; `apart`: one loop after the other."""

    def __init__(self, *, apart: bool) -> None:
        super().__init__()
        self.apart = apart

    def forward(self, x: Any) -> Any:  # type: ignore[override]
        """Loop over time."""
        first = second = None
        between, outputs = [], []
        for step in x:
            sent, first = self.cell(self.fc(step), first)
            between.append(sent)
            if not self.apart:
                sent, second = self.cell(self.fc(sent), second)
                outputs.append(sent)
        for sent in between if self.apart else ():
            sent, second = self.cell(self.fc(sent), second)
            outputs.append(sent)
        return torch.stack(outputs)


class TwiceWithOneState(Twice):
    """Two steps of the same neurons in one."""

    def forward(self, x: Any, state: Any = None) -> Any:
        """One step."""
        x, state = self.cell(self.fc(x), state)
        x, state = self.cell(self.fc(x), state)
        return x, state


def _filled(model: Twice) -> Twice:
    busy(model.fc)
    return model


def _spikes_of_two_places(layer: nn.Linear) -> list[torch.Tensor]:
    """What two populations of the same parameters do, one behind the other, each behind the same layer."""
    first, second, found = norse.LIFCell(), norse.LIFCell(), list[tuple[torch.Tensor, torch.Tensor]]()
    one = two = None
    for step in raster():
        a, one = first(layer(step), one)
        b, two = second(layer(a), two)
        found.append((a, b))
    return [torch.stack(spikes) != 0 for spikes in zip(*found, strict=True)]


def _shared_in_a_sequence(cell: Any) -> Any:
    neurons, layer = cell(), nn.Linear(6, 6)
    return busy(layer, neurons, layer, neurons)


@pytest.mark.parametrize(
    ("model", "places", "layer"),
    [
        (_filled(Twice()), ("cell", "cell@2"), "fc"),
        (_filled(TwiceInALoop(apart=False)), ("cell", "cell@2"), "fc"),
        (_filled(TwiceInALoop(apart=True)), ("cell", "cell@2"), "fc"),
        (_shared_in_a_sequence(norse.LIFCell), ("1", "1@2"), "0"),
        (_shared_in_a_sequence(norse.LIF), ("1", "1@2"), "0"),
        (norse.Lift(_shared_in_a_sequence(norse.LIFCell)), ("lifted_module.1", "lifted_module.1@2"), "lifted_module.0"),
    ],
    ids=["step", "loop", "loops", "cells", "sequences", "lifted"],
)
def test_one_neuron_module_at_two_places_is_two_populations(
    model: nn.Module, places: tuple[str, str], layer: str
) -> None:
    traced = norse_export.trace(model, raster())
    assert tuple(traced.reference.spikes) == places
    for name, expected in zip(places, _spikes_of_two_places(model.get_submodule(layer)), strict=True):  # type: ignore[arg-type]
        assert expected.any()
        assert (traced.reference.spikes[name] == expected.numpy()).all()


def test_two_steps_of_the_same_neurons_in_one_are_refused() -> None:
    with pytest.raises(norse_export.ExportError, match="called twice in a step, with the state of the same neurons"):
        norse_export.trace(_filled(TwiceWithOneState()), raster())


class Named(Twice):
    """Gives its only output by name."""

    def forward(self, x: Any) -> Any:  # type: ignore[override]
        """Loop over time."""
        state, outputs = None, []
        for step in x:
            sent, state = self.cell(self.fc(step), state)
            outputs.append(sent)
        return {"spikes": torch.stack(outputs)}


def test_an_only_output_may_have_a_name() -> None:
    model = _filled(Named())
    traced = norse_export.trace(model, raster())
    expected = model(raster())["spikes"]
    assert expected.any()
    (output,) = traced.reference.outputs.values()
    assert (output == expected.detach().numpy()).all()


class LikeAFunction(nn.Module):
    """Neurons that are called as a function is, and steps of that function beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.lif = norse.LIFCell()
        self.fc = busy(nn.Linear(6, 6))[0]

    def forward(self, x: Any, state: Any = None) -> Any:
        """One step."""
        one, two = (None, LIFFeedForwardState(torch.zeros(3, 6), torch.zeros(3, 6))) if state is None else state
        x, one = self.lif(self.fc(x), one)
        x, two = lif_feed_forward_step(self.fc(x), two, LIFParameters())
        return x, (one, two)


def test_a_function_is_no_further_place_of_a_module_of_its_name() -> None:
    model = LikeAFunction()
    traced = norse_export.trace(model, raster())
    first, second = _spikes_of_two_places(model.fc)
    assert (traced.reference.spikes["lif"] == first.numpy()).all()
    (other,) = (spikes for name, spikes in traced.reference.spikes.items() if name != "lif")
    assert second.any()
    assert (other == second.numpy()).all()


def test_a_record_of_states_beside_the_output_is_told() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 5), norse.LIFCell()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            state, spikes, membranes = None, [], []
            for step in x:
                z, state = self.lif(self.fc(step) * 5, state)
                spikes.append(z)
                membranes.append(state.v)
            return torch.stack(spikes), torch.stack(membranes)

    torch.manual_seed(0)
    traced = norse_export.trace(Both().eval(), (torch.rand(12, 2, 6) < 0.5).float())
    (finding,) = [one for one in doubts(traced.graph) if one.kind == "boundary"]
    assert (finding.where, finding.severity) == ("lif", "warning")
    assert "a record of its states" in finding.message
