"""A model's own loop over time is one step: traced, and equal in every step; what is no such loop is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from norse.torch.models.conv import ConvNet
from torch import nn
from traced_models import Stepped, on_grid, refusal, same, seeded, spikes

import norse_export
from norse_export.errors import ParityError, UnsupportedError
from norse_export.frontend.trace import trace

T = 16
X = spikes(T, 3, 8)
Run = Callable[[Any, torch.Tensor], Any]


class Loop(Stepped):
    """Two layers, a population and an integrator, and what a forward of the user's does with them."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.layer, self.back, self.readout = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.cell, self.leaky, self.run = snn.LIFCell(), snn.LICell(), run


def model_of(run: Run) -> nn.Module:
    return on_grid(seeded(Loop(run), gain=5.0))


def _over(m: Any, parts: Any) -> torch.Tensor:
    states, outputs = (None, None), []
    for part in parts:
        v, states = m.step(m.layer(part), states)
        outputs.append(v)
    return torch.stack(outputs)


def _filled(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, out = (None, None), torch.zeros(x.shape[0], x.shape[1], 3)
    for t, part in enumerate(x):
        out[t], states = m.step(m.layer(part), states)
    return out


def _added_to(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for part in x:
        v, states = m.step(m.layer(part), states)
        outputs += [v]
    return torch.stack(outputs, dim=0)


def _around(m: Any, x: torch.Tensor) -> torch.Tensor:
    """Layers before and after the loop take the whole raster."""
    states, outputs, currents = None, [], m.layer(x)
    for t in range(len(x)):
        z, states = m.cell(currents[t], states)
        outputs.append(z)
    return m.readout(torch.stack(outputs))


LOOPS: dict[str, Run] = {
    "index": lambda m, x: _over(m, (x[t] for t in range(x.shape[0]))),
    "index and all others": lambda m, x: _over(m, (x[t, :, :] for t in range(len(x)))),
    "index and an ellipsis": lambda m, x: _over(m, (x[t, ...] for t in range(x.size(0)))),
    "iteration": lambda m, x: _over(m, x),
    "unbind": lambda m, x: _over(m, x.unbind()),
    "torch.unbind": lambda m, x: _over(m, torch.unbind(x, dim=0)),
    "select": lambda m, x: _over(m, (x.select(0, t) for t in range(len(x)))),
    "filled": _filled,
    "a list that grows": _added_to,
    "layers around it": _around,
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_over_time_is_one_step(name: str) -> None:
    traced = same(model_of(LOOPS[name]), X, exact=True)
    assert traced.time == "inside"
    expected = {"input", "layer", "cell", "readout", "output"} | (
        {"leaky"} - ({"leaky"} if "around" in name else set())
    )
    assert set(traced.graph.nodes) == expected
    assert all(edge.delay_steps == 0 for edge in traced.graph.edges)


def test_a_loop_does_what_the_same_model_does_step_by_step() -> None:
    class Step(Loop):
        def forward(self, x: torch.Tensor, states: Any = (None, None)) -> Any:
            return self.step(self.layer(x), states)

    whole = same(model_of(LOOPS["index"]), X, exact=True)
    stepped = same(on_grid(seeded(Step(LOOPS["index"]), gain=5.0)), X, exact=True)
    assert stepped.time == "outside"
    assert list(whole.graph.nodes) == list(stepped.graph.nodes)
    assert np.array_equal(whole.reference.outputs["output"], stepped.reference.outputs["output"])


def _fed_back(m: Any, x: torch.Tensor, first: Any = torch.zeros) -> torch.Tensor:
    state, outputs, z = None, [], first(x.shape[1], 6)
    for part in x:
        z, state = m.cell(m.layer(part) + m.back(z), state)
        outputs.append(m.readout(z))
    return torch.stack(outputs)


def _fed_back_alone(m: Any, x: torch.Tensor, first: Any = torch.zeros) -> torch.Tensor:
    state, outputs, z = None, [], first(x.shape[1], 6)
    for part in x:
        z, state = m.cell(m.layer(part) + z, state)
        outputs.append(m.readout(z))
    return torch.stack(outputs)


@pytest.mark.parametrize(("run", "target"), [(_fed_back, "back"), (_fed_back_alone, "add")])
def test_feedback_is_an_edge_that_takes_a_step(run: Run, target: str) -> None:
    graph = same(model_of(run), X, exact=True).graph
    assert [(edge.source, edge.target, edge.delay_steps) for edge in graph.edges if edge.delay_steps] == [
        ("cell", target, 1)
    ]


def test_feedback_without_its_bias_is_equal_too() -> None:
    model = model_of(_fed_back)
    model.back.bias = None
    same(model, X, exact=True)


def test_the_convolutional_net_of_norse_is_equal() -> None:
    net = ConvNet(1, 28)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, gain in (("conv1", 8.0), ("conv2", 2.0), ("fc1", 6.0), ("out", 1.0)):
            for parameter in getattr(net, name).parameters():
                bound = gain / max(1, parameter[0].numel()) ** 0.5
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)
    traced = same(net.eval(), spikes(8, 1, 1, 28, 28))
    assert {"lif0", "lif1", "lif2"} <= set(traced.reference.spikes)


def _hidden(m: Any, x: torch.Tensor) -> list[torch.Tensor]:
    state, spikes = None, []
    for part in x:
        z, state = m.cell(m.layer(part), state)
        spikes.append(z)
    return spikes


def _two_before(m: Any, x: torch.Tensor) -> torch.Tensor:
    spikes = _hidden(m, x)
    return torch.stack([z if t < 2 else z + spikes[t - 2] for t, z in enumerate(spikes)])


def _growing(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for t in range(len(x)):
        v, states = m.step(m.layer(x[t]) * (t + 1), states)
        outputs.append(v)
    return torch.stack(outputs)


def _offset(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for t in range(len(x)):
        v, states = m.step(m.layer(x[t]) + 0.1 * t, states)
        outputs.append(v)
    return torch.stack(outputs)


def _later(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for t in range(len(x)):
        current = m.layer(x[t])
        v, states = m.step(torch.relu(current) if t == 9 else current, states)
        outputs.append(v)
    return torch.stack(outputs)


def _forgetting(m: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([m.step(m.layer(part), (None, None))[0] for part in x])


def _forgetting_once(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for t in range(len(x)):
        v, states = m.step(m.layer(x[t]), (None, None) if t == 7 else states)
        outputs.append(v)
    return torch.stack(outputs)


def _each_a_step_before(m: Any, x: torch.Tensor) -> torch.Tensor:
    """At step 0, x[-1] is the last step."""
    return _over(m, (x[t - 1] for t in range(len(x))))


def _not_the_last(m: Any, x: torch.Tensor) -> torch.Tensor:
    return _over(m, (x[t] for t in range(len(x) - 1)))


def _reversed(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for part in x:
        v, states = m.step(m.layer(part), states)
        outputs.append(v)
    return torch.stack(outputs[::-1])


def _every_other(m: Any, x: torch.Tensor) -> torch.Tensor:
    return _over(m, x[::2])


def _half_filled(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, out = (None, None), torch.zeros(x.shape[0], x.shape[1], 3)
    for t, part in enumerate(x):
        v, states = m.step(m.layer(part), states)
        if t % 2:
            out[t] = v
    return out


def _silent_once(m: Any, x: torch.Tensor) -> torch.Tensor:
    states, outputs = (None, None), []
    for t, part in enumerate(x):
        v, states = m.step(m.layer(part), states)
        outputs.append(torch.zeros_like(v) if t == 5 else v)
    return torch.stack(outputs)


def _changed_after(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = _filled(m, x)
    out[3] = 0.0
    return out


REFUSED: dict[str, tuple[Run, str, str]] = {
    "a layer behind the last step": (
        lambda m, x: m.readout(_hidden(m, x)[-1]),
        "readout",
        "what the last step of the loop gave",
    ),
    "a layer behind the average": (
        lambda m, x: m.readout(torch.stack(_hidden(m, x)).mean(0)),
        "readout",
        "made of all steps of 'cell' (mean)",
    ),
    "a step that is not the last": (
        lambda m, x: _over(m, x)[3],
        "output",
        "the output is what step 3 of the loop gave",
    ),
    "a factor that changes": (_growing, "control_flow", "something else at step 1 than at step 0: node 'mul'"),
    "an offset that changes": (_offset, "control_flow", "something else at step 1 than at step 0: node 'add'"),
    "another function at step 9": (_later, "control_flow", "something else at step 9 than at step 0"),
    "a state that is not carried": (_forgetting, "state", "LIFCell is not carried"),
    "a state that is left out once": (_forgetting_once, "state", "LIFCell is not carried"),
    "the step before": (_each_a_step_before, "time_loop", f"step {T - 1}, with no step before it"),
    "not the last step": (_not_the_last, "time_loop", f"the output holds steps 0 to {T - 2} of {T}"),
    "backwards": (lambda m, x: _over(m, (x[t] for t in reversed(range(len(x))))), "time_loop", "in their order"),
    "results backwards": (_reversed, "time_loop", f"the output holds the steps in another order: {T - 1} to 0"),
    "every other step": (_every_other, "time_loop", "step 2, with step 0 before it"),
    "a raster filled by half": (_half_filled, "time_loop", f"the output holds {T // 2} of {T} steps"),
    "zeros in the place of a step": (_silent_once, "time_loop", "what step 0 gave meets"),
    "a result changed in place": (_changed_after, "operation", "the operation __setitem__ is not understood"),
    "samples in the place of steps": (
        lambda m, x: torch.stack(_over(m, (x[:, t] for t in range(x.shape[1])))),
        "time_loop",
        "its second axis",
    ),
    "two steps before": (_two_before, "time_loop", f"what step {T - 3} gave meets what step {T - 1} gave"),
    "a raster with its axes swapped": (
        lambda m, x: torch.relu(x.transpose(0, 1)),
        "time_loop",
        "the batch before time",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_loop_of_alike_steps_is_refused(name: str) -> None:
    run, kind, words = REFUSED[name]
    findings = refusal(model_of(run), X, error=UnsupportedError)
    assert any(words in finding.message for finding in findings if finding.kind == kind)


def test_feedback_that_does_not_start_from_zeros_is_refused() -> None:
    findings = refusal(model_of(lambda m, x: _fed_back(m, x, torch.ones)), X, error=UnsupportedError)
    assert [(finding.kind, finding.where) for finding in findings] == [("constant_input", "back")]
    (finding,) = refusal(model_of(lambda m, x: _fed_back_alone(m, x, torch.ones)), X, error=UnsupportedError)
    assert "the operation add is not understood" in finding.message


def test_feedback_from_one_vector_for_all_samples_is_found_by_the_comparison() -> None:
    with pytest.raises(ParityError, match="the traced graph differs from the model") as caught:
        norse_export.trace(model_of(lambda m, x: _fed_back_alone(m, x, lambda batch, n: torch.ones(1, n))), X)
    assert caught.value.where == "cell"


def test_a_raster_of_another_length_is_traced_alike() -> None:
    model = model_of(LOOPS["index"])
    assert trace(model, X).graph.edges == trace(model, X[:5]).graph.edges
