"""Containers, Lift, user modules, residuals and branches: the graph has their form and does what they do."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from graph_parts import differences as graph_differences
from torch import nn
from traced_models import equal, interpreted, judged, on_grid, refusal, seeded, spikes

from norse_export.frontend.trace import trace
from norse_export.ir.graph import Edge
from norse_export.ir.layers import Flatten, Input, Linear, Output, Scale, Sum

QUICK = snn.LIFParameters(v_th=torch.tensor(0.2), tau_mem_inv=torch.tensor(300.0))
X = spikes(40, 3, 6)


def lif() -> nn.Module:
    return snn.LIFCell(p=QUICK)


class Block(nn.Module):
    """A user's module with a state of two populations, and a residual connection around them."""

    def __init__(self, add: str = "+") -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.first, self.second, self.add = lif(), lif(), add

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        one, two = (None, None) if state is None else state
        h, one = self.first(self.a(x), one)
        g = self.b(h)
        match self.add:
            case "+":
                g = g + h
            case "torch.add":
                g = torch.add(g, other=h)
            case ".add":
                g = h.add(g)
            case "+=":
                g += h
            case ".add_":
                g.add_(h)
        y, two = self.second(g, two)
        return y, (one, two)


@pytest.mark.parametrize("add", ["+", "torch.add", ".add", "+=", ".add_"])
def test_a_residual_addition_is_a_sum_in_its_order(add: str) -> None:
    model = on_grid(seeded(Block(add), gain=3.0))
    graph = equal(model, X, exact=True).graph
    assert isinstance(graph.nodes["add"], Sum)
    sources = [edge.source for edge in graph.incoming("add")]
    assert sources == (["first", "b"] if add == ".add" else ["b", "first"])


def test_nested_containers_give_nodes_their_paths() -> None:
    inner = snn.SequentialState(nn.Linear(6, 6), snn.SequentialState(lif(), nn.Sequential(nn.Linear(6, 5))))
    model = seeded(snn.SequentialState(inner, Block5(), snn.LICell()), gain=4.0)
    graph = equal(model, X).graph
    assert list(graph.nodes) == [
        "input", "0.0", "0.1.0", "0.1.1.0", "1.block.a", "1.block.first", "1.block.b", "1.block.add",
        "1.block.second", "2", "output",
    ]  # fmt: skip


class Block5(nn.Module):
    """A user's module around another."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.block.a = nn.Linear(5, 6)

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        return self.block(x, state)


class Branches(nn.Module):
    """Two paths from one population, of which one has no neuron, joined before the last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.one, self.two, self.three = lif(), lif(), lif()

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        s = (None,) * 3 if state is None else state
        h, s1 = self.one(self.stem(x), s[0])
        left, s2 = self.two(self.left(h), s[1])
        y, s3 = self.three(left + self.right(h) + h, s[2])
        return y, (s1, s2, s3)


def test_branches_meet_again() -> None:
    graph = equal(on_grid(seeded(Branches(), gain=3.0)), X, exact=True).graph
    assert {edge.target for edge in graph.outgoing("one")} == {"left", "right", "add@2"}
    assert [edge.source for edge in graph.incoming("add@2")] == ["add", "one"]


def test_a_shared_layer_is_two_nodes_with_one_weight() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.one, self.two = nn.Linear(6, 6), lif(), lif()

        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            one, two = (None, None) if state is None else state
            h, one = self.one(self.layer(x), one)
            y, two = self.two(self.layer(h), two)
            return y, (one, two)

    graph = equal(on_grid(seeded(Shared(), gain=4.0)), X, exact=True).graph
    first, second = graph.nodes["layer"], graph.nodes["layer@2"]
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    assert first.weight.base is second.weight.base


def test_a_value_added_to_itself_is_doubled() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.drop, self.cell = nn.Linear(6, 6), nn.Dropout(), lif()

        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            h = self.layer(x)
            return self.cell(h + self.drop(h), state)

    traced = equal(on_grid(seeded(Doubled(), gain=2.0)), X, exact=True)
    assert isinstance(traced.graph.nodes["add"], Scale)


def test_functions_that_flatten_are_flatten_layers() -> None:
    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(end_dim=2, start_dim=2).flatten(-2)
            return torch.flatten(torch.flatten(x, 1, 2), end_dim=1, start_dim=1)

    traced = trace(Flat(), spikes(2, 3, 2, 4, 5))
    flats = [node for node in traced.graph.nodes.values() if isinstance(node, Flatten)]
    assert [node.axes for node in flats] == [(1, 1), (1, 2), (0, 1), (0, 0)]
    assert judged(traced, exact=True).equal


@pytest.mark.parametrize("time", ["outside", "inside"])
def test_views_that_join_the_features_are_flatten_layers(time: Any) -> None:
    class Viewed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            lead = x.shape[:-3]
            return x.view(*lead, -1).reshape(*lead, 24)

    traced = trace(Viewed(), spikes(2, 3, 2, 3, 4), time=time)
    assert [type(node) for node in traced.graph.nodes.values()] == [Input, Flatten, Output]
    assert judged(traced, exact=True).equal


def test_what_changes_nothing_leaves_no_node() -> None:
    class Same(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype.is_floating_point
            assert x.shape[1] == x.size(1) == 6
            assert len(x) == x.numel() // 6 == 3
            x = x.detach().clone().contiguous().to("cpu").to(torch.float32).float().type_as(x)
            return self.layer(x).cpu()

    assert list(trace(seeded(Same()), X).graph.nodes) == ["input", "layer", "output"]


@pytest.mark.parametrize("name", ["input", "output", "add", "flatten", "input_"])
def test_a_module_keeps_its_name_whatever_it_is(name: str) -> None:
    """Input, output and the nodes of functions take another name."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = nn.Linear(6, 6) if name == "input_" else nn.Identity()
            setattr(self, name, lif())

        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            x = self.input(x) if name == "input_" else x
            h = x.flatten(1) + x
            y, state = getattr(self, name)(h, state)
            return y.flatten(1) + h, state

    traced = equal(on_grid(seeded(Named(), gain=2.0)), X, exact=True)
    graph = traced.graph
    assert set(traced.reference.spikes) == {name}
    assert [node for node in graph.nodes.values() if isinstance(node, Input)] == [
        graph.nodes[next(iter(traced.inputs))]
    ]
    assert [type(node) for node in graph.nodes.values()].count(Output) == 1
    assert interpreted(traced).spikes[name].any()


def test_cells_in_a_plain_sequential_that_ends_without_state_need_sequential_state() -> None:
    """Norse's cells give (spikes, state): a plain Sequential passes both on, and fails."""
    (finding,) = refusal(nn.Sequential(nn.Linear(6, 6), lif(), nn.Linear(6, 2)).eval(), X)
    assert (finding.kind, finding.where.split(",")[0]) == ("model_raised", "2")
    (finding,) = refusal(nn.Sequential(nn.Linear(6, 6), lif()).eval(), X)
    assert finding.kind == "state"
    assert "SequentialState" in finding.fix


LIFTED: dict[str, Any] = {
    "stateless": lambda: snn.SequentialState(snn.Lift(nn.Conv2d(2, 3, 3)), snn.LIF(p=QUICK), nn.Flatten(2), snn.LI()),
    "pooling": lambda: snn.SequentialState(
        snn.Lift(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.AvgPool2d(2))), snn.LIF(p=QUICK)
    ),
    "one cell": lambda: snn.Lift(snn.LIFCell(p=QUICK)),
    "a SequentialState": lambda: snn.Lift(
        snn.SequentialState(nn.Conv2d(2, 3, 3), lif(), nn.Flatten(), nn.Linear(48, 6), Block())
    ),
    "cells, then layers": lambda: snn.SequentialState(
        snn.Lift(nn.Conv2d(2, 3, 3)), snn.Lift(lif()), snn.Lift(nn.Flatten()), nn.Linear(48, 6), snn.LIF(p=QUICK)
    ),
    "a cell at the end": lambda: snn.SequentialState(snn.Lift(nn.Conv2d(2, 3, 3)), snn.Lift(lif())),
    "a Sequential": lambda: snn.SequentialState(snn.Lift(nn.Sequential(nn.Flatten(), nn.Linear(72, 6)))),
}


@pytest.mark.parametrize("name", LIFTED)
def test_lift_gives_the_nodes_of_one_step(name: str) -> None:
    model = on_grid(seeded(LIFTED[name](), gain=1.5 if name == "cells, then layers" else 4.0))
    traced = equal(model, 4 * spikes(30, 3, 2, 6, 6))
    assert traced.time == "inside"
    nodes = set(traced.graph.nodes) - {"input", "output", "0.lifted_module.1", "lifted_module.4.add"}
    assert nodes < {path for path, _ in model.named_modules()} | {"Lift.lifted_module"}


def test_lift_of_a_block_is_the_block_called_step_by_step() -> None:
    block = on_grid(seeded(Block(), gain=3.0))
    lifted, stepped = (equal(model, X, exact=True) for model in (snn.Lift(block), block))
    names = {f"lifted_module.{name}" if name not in ("input", "output") else name for name in stepped.graph.nodes}
    assert set(lifted.graph.nodes) == names
    assert np.array_equal(lifted.reference.outputs["output"], stepped.reference.outputs["output"])


def test_inside_and_outside_give_one_graph() -> None:
    cells = on_grid(seeded(snn.SequentialState(nn.Linear(6, 6), lif(), nn.Linear(6, 2), snn.LICell()), gain=4.0))
    whole = snn.SequentialState(cells[0], snn.LIF(p=QUICK), cells[2], snn.LI()).eval()
    one, other = equal(cells, X, exact=True), equal(whole, X, exact=True)
    assert (one.time, other.time) == ("outside", "inside")
    (difference,) = graph_differences(one.graph, other.graph)
    assert difference.startswith("metadata {")
    assert dict(one.graph.metadata) == {"classes": '{"1": "Norse LIFCell", "3": "Norse LICell"}'}
    over_time = {"linear_over_time": '["0", "2"]'}
    assert dict(other.graph.metadata) == {"classes": '{"1": "Norse LIF", "3": "Norse LI"}', **over_time}
    assert np.array_equal(one.reference.outputs["output"], other.reference.outputs["output"])


def test_a_population_that_leads_nowhere_is_kept_and_a_layer_is_not() -> None:
    class Dangling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused, self.watched, self.cell = nn.Linear(6, 2), nn.Linear(6, 3), nn.Linear(6, 4), lif()

        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            self.unused(x)
            _, state = self.cell(self.watched(x), state)
            return self.used(x), state

    graph = trace(seeded(Dangling()), X).graph
    assert list(graph.nodes) == ["input", "watched", "cell", "used", "output"]


def test_a_model_may_be_a_single_layer_or_nothing_at_all() -> None:
    assert trace(nn.Identity(), X).graph.edges == (Edge("input", "output"),)
    assert list(trace(seeded(nn.Linear(6, 2)), X).graph.nodes) == ["input", "Linear", "output"]
    assert list(trace(snn.LIFCell(), X).graph.nodes) == ["input", "LIFCell", "output"]


def test_tracing_is_repeatable_in_every_bit() -> None:
    model = seeded(Branches(), gain=3.0)
    one = trace(model, X)
    trace(seeded(Block(), gain=9.0), X)
    other = trace(model, X)
    assert graph_differences(one.graph, other.graph) == []
    assert np.array_equal(one.reference.outputs["output"], other.reference.outputs["output"])


def test_a_traced_graph_does_not_change_with_the_model() -> None:
    model, x = seeded(nn.Linear(6, 2)), X.clone()
    traced = trace(model, x)
    with torch.no_grad():
        model.weight.zero_()
        x.zero_()
    layer = traced.graph.nodes["Linear"]
    assert isinstance(layer, Linear)
    assert layer.weight.any()
    assert traced.inputs["input"].any()
