"""What a model computes and does not use is no difference between steps: a first state of the shape of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import pytest
import torch
from torch import nn
from traced_models import equal, on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError

X = spikes(16, 3, 8)


class Started(nn.Module):
    """Its first state comes from what a layer gives."""

    def __init__(self, first: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.norm, self.cell = nn.Linear(8, 6), nn.BatchNorm1d(6), snn.LIFCell()
        self.other, self.readout, self.leaky, self.first = nn.Linear(8, 6), nn.Linear(6, 3), snn.LICell(), first

    def step(self, x: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
        """One step; None: the first."""
        if states is None:
            states = (self.first(self, x), None)
        z, s = self.cell(self.current(x), states[0])
        v, o = self.leaky(self.readout(z), states[1])
        return v, (s, o)

    def current(self, x: torch.Tensor) -> torch.Tensor:
        """What the population takes."""
        return self.layer(x)


class Looped(Started):
    """The whole raster."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, outputs = None, []
        for part in x:
            v, states = self.step(part, states)
            outputs.append(v)
        return torch.stack(outputs)


class Stepped(Started):
    """One step a call."""

    def forward(self, x: torch.Tensor, states: Any = None) -> Any:
        return self.step(x, states)


class Normalised(Looped):
    """The layer is normalised."""

    def current(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x))


FIRST: dict[str, Callable[[Any, torch.Tensor], Any]] = {
    "initial_state": lambda m, x: m.cell.initial_state(m.current(x)),
    "state_fallback": lambda m, x: m.cell.state_fallback(m.current(x)),
    "a chain": lambda m, x: m.cell.initial_state(torch.relu(m.current(x)) * 2.0),
    "another layer": lambda m, x: m.cell.initial_state(m.other(x)),
    "twice": lambda m, x: (m.current(x), m.cell.initial_state(m.current(x)))[1],
}


@pytest.mark.parametrize("kind", [Looped, Stepped, Normalised])
@pytest.mark.parametrize("name", FIRST)
def test_a_first_state_of_the_shape_of_what_a_layer_gives(name: str, kind: type[Started]) -> None:
    model = seeded(kind(FIRST[name]), gain=5.0)
    traced = equal(model, X) if kind is Normalised else same(on_grid(model), X, exact=True)
    assert list(traced.graph.nodes) == ["input", "layer", "cell", "readout", "leaky", "output"]
    assert all(edge.delay_steps == 0 for edge in traced.graph.edges)


def test_a_first_state_made_before_the_loop() -> None:
    class Before(Looped):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states, outputs = (self.first(self, x[0]), None), []
            for part in x:
                v, states = self.step(part, states)
                outputs.append(v)
            return torch.stack(outputs)

    traced = same(on_grid(seeded(Before(FIRST["initial_state"]), gain=5.0)), X, exact=True)
    assert list(traced.graph.nodes) == ["input", "layer", "cell", "readout", "leaky", "output"]


def test_what_one_step_uses_of_a_layer_that_others_leave_out_is_a_difference() -> None:
    class Later(Looped):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states, outputs, kept = None, [], None
            for t, part in enumerate(x):
                if t == 1:
                    kept = self.other(part)
                if t == 2:
                    part = part + nn.functional.pad(kept, (0, 2))
                v, states = self.step(part, states)
                outputs.append(v)
            return torch.stack(outputs)

    findings = refusal(seeded(Later(FIRST["initial_state"]), gain=5.0), X, error=UnsupportedError)
    assert findings[0].kind == "control_flow"


def test_what_one_step_collects_of_another_layer_is_a_difference() -> None:
    class Collecting(Looped):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states, outputs = None, []
            for t, part in enumerate(x):
                v, states = self.step(part, states)
                outputs.append(self.other(part)[:, :3] if t == 3 else v)
            return torch.stack(outputs)

    findings = refusal(seeded(Collecting(FIRST["initial_state"]), gain=5.0), X, error=UnsupportedError)
    assert [finding.kind for finding in findings] == ["time_loop"]
    assert "several layers" in findings[0].message


def test_each_of_two_calls_of_a_population_is_a_population_of_its_own() -> None:
    class Twice(Looped):
        def step(self, x: torch.Tensor, states: Any) -> tuple[torch.Tensor, Any]:
            first, second, out = states or (None, None, None)
            a, first = self.cell(self.layer(x), first)
            b, second = self.cell(self.layer(x), second)
            v, out = self.leaky(self.readout(a + b), out)
            return v, (first, second, out)

    traced = same(on_grid(seeded(Twice(FIRST["initial_state"]), gain=5.0)), X, exact=True)
    assert {"cell", "cell@2", "layer"} <= set(traced.graph.nodes)
    assert "layer@2" not in traced.graph.nodes
