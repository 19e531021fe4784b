"""Operators and functions on signals, and steps of norse.torch.functional: each is in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from norse.torch.functional.leaky_integrator import LIParameters, LIState, li_feed_forward_step
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState, lif_feed_forward_step, lif_step
from norse.torch.functional.lsnn import LSNNFeedForwardState, LSNNParameters, lsnn_feed_forward_step
from torch import nn
from traced_models import assert_replayed, kinds, on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError
from norse_export.frontend.replay import replay
from norse_export.frontend.trace import rerun, trace
from norse_export.interpret import interpret
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import Neuron
from norse_export.passes.discretise import discretise

X = spikes(14, 3, 8)
Use = Callable[[Any, torch.Tensor], torch.Tensor]
WEIGHTS = torch.arange(6.0) / 4 - 0.5


class Between(nn.Module):
    """A population between two layers, and a function of the user's on the current that it is given."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.layer, self.other, self.readout = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 3)
        self.cell, self.use = snn.LIFCell(), use

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        z, state = self.cell(self.use(self, x), state)
        return self.readout(z), state


USES: dict[str, tuple[Use, str]] = {
    "times a number": (lambda m, x: m.layer(x) * 2.5, "mul"),
    "a number times": (lambda m, x: 2 * m.layer(x), "mul"),
    "times a tensor": (lambda m, x: m.layer(x) * (WEIGHTS + 2), "mul"),
    "torch.mul": (lambda m, x: torch.mul(m.layer(x), 1.5), "mul"),
    "negative": (lambda m, x: (-m.layer(x)).neg(), "neg"),
    "divided by a number": (lambda m, x: m.layer(x) / 0.75, "div"),
    "divided by a tensor": (lambda m, x: m.layer(x) / torch.full((6,), 0.5), "div"),
    "plus a number": (lambda m, x: m.layer(x) + 1.0, "add"),
    "plus a tensor": (lambda m, x: m.layer(x) + WEIGHTS, "add"),
    "a tensor plus": (lambda m, x: WEIGHTS + m.layer(x), "add"),
    "a number minus": (lambda m, x: 3 - m.layer(x), "rsub"),
    "minus a number": (lambda m, x: m.layer(x) - 0.25, "sub"),
    "plus a signal": (lambda m, x: m.layer(x) + m.other(x), "add"),
    "minus a signal": (lambda m, x: m.layer(x) - m.other(x) / 4, "sub"),
    "times a signal": (lambda m, x: m.layer(x) * m.other(x), "mul"),
    "times itself": (lambda m, x: (h := m.layer(x)) * h, "mul"),
    "plus itself": (lambda m, x: (h := m.layer(x)) + h, "add"),
    "rectified": (lambda m, x: F.relu(m.layer(x)), "relu"),
    "torch.relu": (lambda m, x: torch.relu(m.layer(x)), "relu"),
    "rectified by its method": (lambda m, x: m.layer(x).relu(), "relu"),
    "linear": (lambda m, x: F.linear(x, m.layer.weight, m.layer.bias), "linear"),
    "linear without a bias": (lambda m, x: F.linear(x, m.layer.weight) + 1, "linear"),
    "dropout": (lambda m, x: F.dropout(m.layer(x), 0.3, m.training), "layer"),
    "dropout of nothing": (lambda m, x: F.dropout(m.layer(x), 0.0), "layer"),
    "a part": (lambda m, x: torch.cat([m.layer(x)[:, :4], m.other(x)[:, 4:]], 1), "getitem"),
    "every other": (lambda m, x: torch.cat((m.layer(x)[..., ::2], m.other(x)[..., 1::2]), dim=-1), "getitem"),
    "narrow": (lambda m, x: torch.cat([m.layer(x).narrow(1, 3, 3), m.layer(x).narrow(1, 0, 3)], 1), "narrow"),
    "split": (lambda m, x: torch.cat(m.layer(x).split(4, 1)[::-1], 1), "split"),
    "chunk": (lambda m, x: torch.cat(m.layer(x).chunk(2, dim=1)[::-1], 1), "chunk"),
    "stack and sum": (lambda m, x: torch.stack((m.layer(x), m.other(x))).sum(0), "sum"),
    "view of all features": (lambda m, x: m.layer(x).view(len(x), -1), "layer"),
}


@pytest.mark.parametrize("name", USES)
def test_a_function_is_a_node_that_does_the_same(name: str) -> None:
    use, node = USES[name]
    traced = same(on_grid(seeded(Between(use), gain=4.0)), X)
    assert node in traced.graph.nodes
    plain = trace(on_grid(seeded(Between(lambda m, x: m.layer(x)), gain=4.0)), X)
    alike = np.array_equal(plain.reference.spikes["cell"], traced.reference.spikes["cell"])
    assert alike == (name in SAME), "a function without effect proves nothing"


SAME = ("negative", "linear", "dropout", "dropout of nothing", "view of all features")


def test_a_constant_is_held_in_its_node() -> None:
    node = trace(seeded(Between(USES["plus a tensor"][0])), X).graph.nodes["add"]
    assert isinstance(node, Elementwise)
    assert np.array_equal(node.parameters["offset"], WEIGHTS.numpy())


class Maps(nn.Module):
    """Convolutions and pools as functions."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.conv, self.readout, self.use = nn.Conv2d(2, 3, 3), nn.LazyLinear(2), use
        self.cell = snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        z, state = self.cell(self.use(self, x), state)
        return self.readout(z.flatten(1)), state


MAPS: dict[str, tuple[Use, str]] = {
    "conv2d": (lambda m, x: F.conv2d(x, m.conv.weight, m.conv.bias), "conv2d"),
    "conv2d with all": (
        lambda m, x: F.conv2d(x, m.conv.weight, stride=2, padding=(1, 0), dilation=2), "conv2d",
    ),
    "max_pool2d": (lambda m, x: F.max_pool2d(m.conv(x), 2), "max_pool2d"),
    "max_pool2d with a stride": (lambda m, x: F.max_pool2d(m.conv(x), 3, stride=1, padding=1), "max_pool2d"),
    "avg_pool2d": (lambda m, x: F.avg_pool2d(m.conv(x), (2, 1)), "avg_pool2d"),
    "torch.max_pool2d": (lambda m, x: torch.max_pool2d(m.conv(x), 2, 2), "max_pool2d"),
    "a part of the channels": (lambda m, x: torch.cat([m.conv(x)[:, 1:], m.conv(x)[:, :1]], 1), "getitem"),
    "a constant for each channel": (lambda m, x: m.conv(x) * torch.arange(1.0, 4.0).reshape(3, 1, 1), "mul"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_function_on_maps_is_a_node_that_does_the_same(name: str) -> None:
    use, node = MAPS[name]
    model, x = Maps(use), spikes(10, 2, 2, 7, 7)
    model(x[0])
    assert node in same(on_grid(seeded(model, gain=5.0)), x).graph.nodes


def _functional(m: Any, x: torch.Tensor) -> torch.Tensor:
    zeros, out = torch.zeros(x.shape[1], 6), []
    state = LIFFeedForwardState(zeros, zeros.clone())
    leaky = LIState(torch.zeros(x.shape[1], 3), torch.zeros(x.shape[1], 3))
    for part in x:
        z, state = lif_feed_forward_step(m.layer(part), state, LIFParameters())
        v, leaky = li_feed_forward_step(m.readout(z), leaky, LIParameters())
        out.append(v)
    return torch.stack(out)


class Whole(Between):
    """Takes the whole raster."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.use(self, x)


def test_steps_of_norse_in_a_loop_are_populations() -> None:
    traced = same(seeded(Whole(_functional), gain=4.0), X)
    assert traced.time == "inside"
    assert traced.steps == (("lif", "li"),)
    assert list(traced.graph.nodes) == ["input", "layer", "lif", "readout", "li", "output"]
    assert list(traced.reference.spikes) == ["lif"]


def test_a_step_that_a_model_calls_in_later_runs_only_is_refused() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.cell, self.runs = nn.Linear(8, 6), snn.LIFCell(), []

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            self.runs.append(len(x))
            start = LIFFeedForwardState(torch.zeros(len(x), 6), torch.zeros(len(x), 6))
            if len(self.runs) > 3:
                return lif_feed_forward_step(self.layer(x), state or start, LIFParameters())
            return self.cell(self.layer(x), state)

    (finding, *_) = refusal(seeded(Late()), X, error=UnsupportedError)
    assert finding.kind in ("control_flow", "function", "operation")


def test_steps_of_norse_run_again_on_another_raster() -> None:
    model, other = seeded(Whole(_functional), gain=4.0), {"input": spikes(9, 2, 8, seed=5).numpy()}
    traced = trace(model, X)
    run, graph = rerun(model, traced, other), discretise(traced.graph)
    assert run.spikes["lif"].any()
    assert np.array_equal(run.spikes["lif"], interpret(graph, other).spikes["lif"])
    assert_replayed(run, replay(graph, other))


class Recurrent(nn.Module):
    """Steps with weights of the model's own, from a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.r = nn.Parameter(torch.ones(6, 8)), nn.Parameter(torch.ones(6, 6))
        self.readout = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        if state is None:
            zeros, wide = torch.zeros(x.shape[0], 3), torch.zeros(x.shape[0], 6)
            state = LIFState(wide, wide + 0.25, wide.clone()), LSNNFeedForwardState(zeros, zeros.clone(), zeros + 1.25)
        z, lif = lif_step(x, state[0], self.w, self.r, LIFParameters(v_th=torch.tensor(0.75)), dt=0.002)
        y, lsnn = lsnn_feed_forward_step(self.readout(z), state[1], LSNNParameters())
        return y, (lif, lsnn)


def test_steps_with_weights_and_states_of_the_models_own_are_populations() -> None:
    traced = same(seeded(Recurrent(), gain=5.0), spikes(40, 3, 8))
    lif, lsnn = (discretise(traced.graph).nodes[name] for name in ("lif", "lsnn"))
    assert isinstance(lif, Neuron)
    assert isinstance(lsnn, Neuron)
    assert [traced.graph.nodes[name].dt for name in ("lif", "lsnn")] == [0.002, 0.001]
    assert {"lif.input_weights", "lif.recurrent_weights"} < set(traced.graph.nodes)
    assert np.all(lif.initial_state["v"] == 0.25)
    assert np.all(lsnn.initial_state["b"] == 1.25)


class Started(nn.Module):
    """Passes a state in at the first step."""

    def __init__(self, start: Callable[[int], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.cell, self.start = nn.Linear(8, 6), snn.LIFCell(), start

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        if state is None:
            state = LIFFeedForwardState(self.start(x.shape[0]), torch.zeros(x.shape[0], 6))
        return self.cell(self.layer(x), state)


def test_a_state_of_the_first_step_is_the_initial_state() -> None:
    model = seeded(Started(lambda batch: (torch.arange(6.0) / 8).expand(batch, 6)), gain=4.0)
    node = discretise(same(model, X).graph).nodes["cell"]
    assert isinstance(node, Neuron)
    assert np.array_equal(node.initial_state["v"], np.arange(6) / 8)


def test_it_has_an_effect_and_is_that_of_any_batch() -> None:
    model = seeded(Started(lambda batch: torch.full((batch, 6), 0.875)), gain=4.0)
    traced, other = trace(model, X), trace(seeded(Started(lambda batch: torch.zeros(batch, 6)), gain=4.0), X)
    assert not np.array_equal(traced.reference.spikes["cell"], other.reference.spikes["cell"])
    more = interpret(discretise(traced.graph), {"input": X.repeat(1, 2, 1).numpy()})
    assert np.array_equal(more.spikes["cell"][:, 3:], traced.reference.spikes["cell"])


def test_a_state_that_differs_between_samples_is_refused() -> None:
    (finding,) = refusal(
        seeded(Started(lambda batch: torch.arange(batch * 6.0).reshape(batch, 6))), X, error=UnsupportedError
    )
    assert (finding.kind, finding.where) == ("initial_state", "cell")
    assert "differs between samples" in finding.message


def test_a_state_that_depends_on_the_input_is_refused() -> None:
    class FromInput(Started):
        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            h = self.layer(x)
            return self.cell(h, LIFFeedForwardState(h, h) if state is None else state)

    findings = refusal(seeded(FromInput(lambda batch: torch.zeros(1))), X, error=UnsupportedError)
    assert "initial_state" in kinds(findings)
    assert any("depends on the input" in finding.message for finding in findings)
