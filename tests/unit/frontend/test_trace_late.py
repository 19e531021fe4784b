"""A layer that hears another a step late, and is called ahead of it in the loop: an edge that takes a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import pytest
import torch
from torch import nn
from traced_models import on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError

X = spikes(20, 3, 8, rate=0.5)
Parts = Callable[[torch.Tensor], Any]


class Pipeline(nn.Module):
    """Three layers, each ahead of the one that it hears."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 3)
        self.one, self.two, self.out, self.parts = snn.LIFCell(), snn.LIFRecurrentCell(5, 5), snn.LICell(), parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = t = o = None
        first, second = x.new_zeros(x.shape[1], 6), x.new_zeros(x.shape[1], 5)
        outputs = []
        for part in self.parts(x):
            v, o = self.out(self.c(second), o)
            second, t = self.two(self.b(first), t)
            first, s = self.one(self.a(part), s)
            outputs.append(v)
        return torch.stack(outputs)


PARTS: dict[str, Parts] = {
    "the raster": lambda x: x,
    "unbind": lambda x: x.unbind(0),
    "enumerate": lambda x: (part for _, part in enumerate(x)),
    "index": lambda x: (x[t] for t in range(len(x))),
    "zip": lambda x: (part for part, _ in zip(x, range(len(x)), strict=True)),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_that_runs_ahead_of_what_it_hears_hears_it_a_step_late(name: str, dtype: torch.dtype) -> None:
    model = on_grid(seeded(Pipeline(PARTS[name]), gain=4.0)).to(dtype)
    graph = same(model, X.to(dtype), exact=True).graph
    late = [(edge.source, edge.target) for edge in graph.edges if edge.delay_steps]
    assert sorted(late) == [("one", "b"), ("two", "c"), ("two", "two.recurrent_weights")]


class Indexed(Pipeline):
    """Takes the part of the raster last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = t = None
        first, outputs = x.new_zeros(x.shape[1], 6), []
        for step in range(len(x)):
            second, t = self.two(self.b(first), t)
            first, s = self.one(self.a(x[step]), s)
            outputs.append(second)
        return torch.stack(outputs)


class Readout(Indexed):
    """What is given is late."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = None
        first, outputs = x.new_zeros(x.shape[1], 6), []
        for step in range(len(x)):
            outputs.append(self.b(first))
            first, s = self.one(self.a(x[step]), s)
        return torch.stack(outputs)


class Begun(Indexed):
    """The first layer ran before the loop, so that no zeros are needed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t, outputs = None, []
        first, s = self.one(self.a(x[0]))
        for step in range(len(x)):
            second, t = self.two(self.b(first), t)
            first, s = self.one(self.a(x[step]), s)
            outputs.append(second)
        return torch.stack(outputs)


@pytest.mark.parametrize(
    ("kind", "found"), [(Indexed, "constant_input"), (Readout, "constant_input"), (Begun, "shared_neurons")]
)
def test_a_step_that_takes_its_part_of_the_raster_last_is_refused_with_what_to_do(kind: Any, found: str) -> None:
    findings = refusal(seeded(kind(PARTS["the raster"]), gain=4.0), X, error=UnsupportedError)
    assert findings[0].kind == found
    assert "x_t = x[t] at the top of the loop" in findings[0].fix


def test_a_state_of_zeros_that_is_set_in_the_middle_is_refused() -> None:
    class Forgetting(Pipeline):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            s = t = None
            first, outputs = x.new_zeros(x.shape[1], 6), []
            for step, part in enumerate(x):
                second, t = self.two(self.b(first), t)
                first, s = self.one(self.a(part), s)
                first = torch.zeros_like(first) if step == 9 else first
                outputs.append(second)
            return torch.stack(outputs)

    findings = refusal(seeded(Forgetting(PARTS["the raster"]), gain=4.0), X, error=UnsupportedError)
    assert findings
