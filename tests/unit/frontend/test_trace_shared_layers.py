"""A layer that a step calls several times on the same: one node, but for what a normalisation is folded into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import equal, kinds, on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError
from norse_export.ir.layers import Linear

T = 12
RASTER = spikes(T, 3, 8)
IMAGE = torch.round(torch.rand((3, 8), generator=torch.Generator().manual_seed(0)) * 64) / 64
Current = Callable[[Any, torch.Tensor], torch.Tensor]


class Shared(nn.Module):
    """A layer, and a normalisation that is exact in floats; `current` says what the neurons are given."""

    def __init__(self, current: Current, first: Current | None = None) -> None:
        super().__init__()
        self.c, self.bn, self.other = nn.Linear(8, 6), nn.BatchNorm1d(6, eps=0.0), nn.BatchNorm1d(6, eps=0.0)
        self.side, self.cell, self.current, self.first = nn.Linear(6, 6), snn.LIFCell(), current, first

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        if state is None and self.first is not None:
            state = self.cell.initial_state(self.first(self, x))
        z, state = self.cell(self.current(self, x), state)
        return z, state


class Stepped(Shared):
    """One step a call."""

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.step(x, state)


class Looped(Shared):
    """A loop over a raster."""

    def forward(self, raster: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for x in raster:
            z, state = self.step(x, state)
            outputs.append(z)
        return torch.stack(outputs)


class Showing(Shared):
    """A loop that shows one image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for _ in range(T):
            z, state = self.step(x, state)
            outputs.append(z)
        return torch.stack(outputs)


def made(kind: type[Shared], current: Current, first: Current | None = None) -> nn.Module:
    """Weights of few bits, and normalisations that halve or double: the same in every bit, folded or not."""
    model = on_grid(seeded(kind(current, first), gain=5.0))
    with torch.no_grad():
        for norm, variance, mean in ((model.bn, 4.0, 0.25), (model.other, 0.25, -0.5)):
            norm.weight.fill_(1.0)
            norm.bias.fill_(0.125)
            norm.running_var.fill_(variance)
            norm.running_mean.fill_(mean)
    return model


def _given(kind: type[Shared]) -> torch.Tensor:
    return IMAGE if kind is Showing else RASTER


def _kept(m: Any, x: torch.Tensor) -> torch.Tensor:
    """The value of the first call is used behind the normalisation of the second."""
    plain, again = m.c(x), m.c(x)
    normed = m.bn(again)
    return normed + torch.relu(plain)


def _taken(m: Any, x: torch.Tensor) -> torch.Tensor:
    side = m.side(m.c(x))
    return side + m.bn(m.c(x))


BESIDE: dict[str, Current] = {
    "normalised last": lambda m, x: m.c(x) + m.bn(m.c(x)),
    "normalised first": lambda m, x: m.bn(m.c(x)) + m.c(x),
    "kept for later": _kept,
    "taken before": _taken,
    "normalised between": lambda m, x: m.c(x) + m.bn(m.c(x)) + m.c(x),
    "plain between": lambda m, x: m.bn(m.c(x)) + m.c(x) + m.bn(m.c(x)),
}


@pytest.mark.parametrize("kind", [Stepped, Looped, Showing])
@pytest.mark.parametrize("name", BESIDE)
def test_a_layer_with_and_without_a_normalisation_behind_it_is_two(name: str, kind: type[Shared]) -> None:
    graph = same(made(kind, BESIDE[name]), _given(kind), exact=True).graph
    layers = {name: node for name, node in graph.nodes.items() if name.startswith("c@") or name == "c"}
    assert sorted(layers) == ["c", "c@2"]
    folded = [node.folded is not None for node in layers.values() if isinstance(node, Linear)]
    assert sorted(folded) == [False, True]


@pytest.mark.parametrize("kind", [Stepped, Looped, Showing])
@pytest.mark.parametrize("turned", [False, True])
def test_two_normalisations_of_one_layer_are_two_layers(turned: bool, kind: type[Shared]) -> None:
    def current(m: Any, x: torch.Tensor) -> torch.Tensor:
        a, b = m.c(x), m.c(x)
        one, two = (m.other(b), m.bn(a)) if turned else (m.bn(a), m.other(b))
        return one + two

    graph = same(made(kind, current), _given(kind), exact=True).graph
    one, two = (graph.nodes[name] for name in ("c", "c@2"))
    assert isinstance(one, Linear)
    assert isinstance(two, Linear)
    assert one.folded is not None
    assert two.folded is not None
    assert not np.array_equal(one.weight, two.weight)


@pytest.mark.parametrize("kind", [Stepped, Looped, Showing])
@pytest.mark.parametrize("name", ["normalised last", "normalised first", "taken before"])
def test_a_call_for_the_shape_alone_changes_nothing(name: str, kind: type[Shared]) -> None:
    model = made(kind, BESIDE[name], lambda m, x: m.c(x))
    plain = same(made(kind, BESIDE[name]), _given(kind), exact=True).graph
    graph = same(model, _given(kind), exact=True).graph
    assert sorted(graph.nodes) == sorted(plain.nodes)


@pytest.mark.parametrize("kind", [Stepped, Looped, Showing])
def test_a_layer_that_is_only_normalised_keeps_its_name(kind: type[Shared]) -> None:
    graph = equal(made(kind, lambda m, x: m.bn(m.c(x)), lambda m, x: m.c(x)), _given(kind), exact=True).graph
    assert list(graph.nodes) == ["input", "c", "cell", "output"]


@pytest.mark.parametrize("kind", [Stepped, Looped])
@pytest.mark.parametrize("again", [False, True])
def test_one_value_before_and_after_its_normalisation_is_refused(again: bool, kind: type[Shared]) -> None:
    def current(m: Any, x: torch.Tensor) -> torch.Tensor:
        other = m.c(x) if again else None
        h = m.c(x)
        found = m.side(h) + m.bn(h)
        return found if other is None else found + other

    findings = refusal(made(kind, current), RASTER, error=UnsupportedError)
    assert kinds(findings)[0] == "batch_norm"


def test_a_raster_of_what_the_layer_gives_beside_its_normalisation() -> None:
    class Collecting(Shared):
        def forward(self, raster: torch.Tensor) -> torch.Tensor:
            state, outputs, plain = None, [], []
            for x in raster:
                plain.append(self.c(x))
                z, state = self.cell(self.bn(self.c(x)), state)
                outputs.append(z)
            return [torch.stack(outputs), torch.stack(plain)]

    graph = same(made(Collecting, lambda m, x: x), RASTER, exact=True).graph
    assert [(edge.source, edge.target) for edge in graph.edges if edge.target.startswith("output")] == [
        ("cell", "output.0"),
        ("c@2", "output.1"),
    ]


def test_the_layer_may_be_applied_again_to_what_it_gave() -> None:
    class Square(Shared):
        def __init__(self) -> None:
            super().__init__(lambda m, x: m.bn(m.c(x)) + m.c(m.c(x)))
            self.c = nn.Linear(6, 6)

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            return self.step(x, state)

    def kind(*_: Any) -> nn.Module:
        return Square()

    graph = same(made(kind, lambda m, x: x), spikes(T, 3, 6), exact=True).graph  # type: ignore[arg-type]
    assert sorted(name for name in graph.nodes if name.startswith("c@") or name == "c") == ["c", "c@2", "c@3"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_layer_of_the_image_and_of_its_raster_is_one_node(turned: bool) -> None:
    class Both(nn.Module):
        """The layer is called once on the image, for the shape, and once on the image at every step."""

        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(8, 6), snn.LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if turned:
                current = self.fc(x.unsqueeze(0).repeat(T, 1, 1))
                width = self.fc(x).shape[1]
            else:
                width = self.fc(x).shape[1]
                current = self.fc(x.unsqueeze(0).repeat(T, 1, 1))
            spikes, _ = self.lif(current)
            return spikes if width == 6 else current

    traced = same(on_grid(seeded(Both(), gain=5.0)), IMAGE, exact=True)
    assert list(traced.graph.nodes) == ["input", "fc", "lif", "output"]
    assert traced.images == ("input",)
