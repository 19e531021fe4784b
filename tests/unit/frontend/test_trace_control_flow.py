"""A model that does different things for different inputs, or at different steps, is found out and refused."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import kinds, on_grid, refusal, same, seeded, spikes

import norse_export
from norse_export.errors import ParityError, UnsupportedError
from norse_export.frontend.trace import trace

X = spikes(8, 3, 6)


class Deciding(nn.Module):
    """Looks at the input, or at its own past, and decides between two layers."""

    def __init__(self, decide: Callable[[Any, torch.Tensor], bool]) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.cell, self.decide, self.calls = snn.LIFCell(), decide, 0

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        self.calls += 1
        layer = self.a if self.decide(self, x) else self.b
        return self.cell(layer(x), state)


READS: dict[str, Callable[[Any, torch.Tensor], bool]] = {
    "sum": lambda m, x: bool(x.sum() > 3),
    "not": lambda m, x: not x.any(),
    "item": lambda m, x: x[0, 0].item() > 0,
    "float": lambda m, x: float(x.mean()) > 0.5,
    "int": lambda m, x: int(x.max()) == 1,
    "tolist": lambda m, x: x.tolist()[0][0] > 0,
    "numpy": lambda m, x: x.numpy()[0, 0] > 0,
    "numpy array": lambda m, x: np.asarray(x)[0, 0] > 0,
    "detached numpy": lambda m, x: x.detach().numpy()[0, 0] > 0,
    "equal": lambda m, x: torch.equal(x, torch.ones(3, 6)),
    "allclose": lambda m, x: torch.allclose(x, torch.ones(3, 6)),
    "contains": lambda m, x: 1.0 in x,
    "index": lambda m, x: [False, True][x[0, 0].long()],
    "max": lambda m, x: x.max() > 0,
    "argmax": lambda m, x: x.argmax().item() > 2,
    "text": lambda m, x: "1" in str(x),
    "iteration": lambda m, x: any(value > 0 for value in x[0]),
    "nonzero": lambda m, x: len(x.nonzero()) > 4,
    "is_nonzero": lambda m, x: torch.is_nonzero(x.flatten(0)[0]),
}


@pytest.mark.parametrize("name", READS)
def test_what_depends_on_values_is_refused(name: str) -> None:
    findings = refusal(Deciding(READS[name]).eval(), X, error=UnsupportedError)
    read = name != "nonzero"  # len() of it is a shape: the operation is what is refused
    assert ("control_flow" in kinds(findings)) == read
    assert all(f.where.startswith("Deciding, ") and __file__ in f.where for f in findings if f.kind == "control_flow")


def test_a_condition_in_one_line_is_one_finding() -> None:
    (finding,) = refusal(Deciding(READS["sum"]).eval(), X)
    assert finding.kind == "control_flow"
    assert "__bool__" in finding.message


PAST: dict[str, Callable[[Any, torch.Tensor], bool]] = {
    "every other call": lambda m, x: m.calls % 2 == 0,
    "the third step": lambda m, x: m.calls % 8 != 3,
    "the first call ever": lambda m, x: m.calls > 1,
    "after the first run": lambda m, x: m.calls > 3,
}


@pytest.mark.parametrize("name", PAST)
def test_what_depends_on_the_models_own_past_is_refused(name: str) -> None:
    (finding,) = refusal(Deciding(PAST[name]).eval(), X, error=UnsupportedError)
    assert finding.kind == "control_flow"
    assert "'a'" in finding.message
    assert "'b'" in finding.message


def pointed(x: torch.Tensor) -> Any:
    """The values of a tensor, read where torch does not see it."""
    with torch._C.DisableTorchFunction():
        pointer = ctypes.cast(x.data_ptr(), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, x.shape)


def test_what_depends_on_values_behind_the_recorders_back_is_found_by_the_second_input() -> None:
    first = torch.zeros(1, 1, 6)
    first[0, 0, 0] = 1.0
    for x in (first, torch.ones(1, 1, 6)):
        model = Deciding(lambda m, x: bool(pointed(x)[0, 0] == 1.0)).eval()
        (finding,) = refusal(model, x, error=UnsupportedError)
        assert finding.kind == "control_flow"
        assert "other input values" in finding.message


class Whole(nn.Module):
    """Takes the raster at once, and differs from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.cell, self.calls = nn.Linear(6, 6), nn.Linear(6, 6), snn.LIF(), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.cell(self.a(x) if self.calls == 1 else self.b(x))[0]


def test_a_model_of_whole_rasters_that_differs_from_call_to_call_is_refused() -> None:
    (finding,) = refusal(Whole().eval(), X, error=UnsupportedError)
    assert finding.kind == "control_flow"


class InLift(nn.Module):
    """Differs from step to step inside of Lift."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.calls = nn.Linear(6, 6), nn.Linear(6, 6), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.a(x) if self.calls % 2 else self.b(x)


def test_a_step_in_lift_that_differs_is_refused() -> None:
    findings = refusal(snn.SequentialState(snn.Lift(InLift()), snn.LIF()).eval(), X, error=UnsupportedError)
    assert kinds(findings)[0] == "control_flow"


class Forgetful(nn.Module):
    """Leaves out its state from some step on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.layer, self.cell, self.step, self.calls = nn.Linear(6, 6), snn.LIFCell(), step, 0

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        self.calls = 0 if state is None else self.calls + 1
        return self.cell(self.layer(x), None if self.calls == self.step else state)


class Amplifying(Forgetful):
    """Uses another layer at one step."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.other = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        self.calls = 0 if state is None else self.calls + 1
        return self.cell((self.other if self.calls == self.step else self.layer)(x), state)


@pytest.mark.parametrize("kind", [Forgetful, Amplifying])
@pytest.mark.parametrize("step", [1, 2])
def test_a_model_that_acts_differently_at_an_early_step_is_refused_by_tracing(kind: Any, step: int) -> None:
    findings = refusal(seeded(kind(step), gain=5.0), X, error=UnsupportedError)
    assert kinds(findings) == (["state"] if kind is Forgetful else ["control_flow"])


@pytest.mark.parametrize("kind", [Forgetful, Amplifying])
@pytest.mark.parametrize("step", [3, 40])
def test_a_model_that_acts_differently_at_a_late_step_is_refused_by_save(kind: Any, step: int, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with pytest.raises(ParityError) as caught:
        norse_export.save(seeded(kind(step), gain=5.0), path, spikes(50, 3, 6))
    assert f"step {step}" in caught.value.what or f"step {step + 1}" in caught.value.what
    assert caught.value.where in ("cell", "output")
    assert not path.exists()


def test_a_population_that_is_left_out_at_a_late_step_is_refused() -> None:
    class Skipping(Forgetful):
        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            self.calls = 0 if state is None else self.calls + 1
            return (self.layer(x), state) if self.calls == self.step else self.cell(self.layer(x), state)

    (finding,) = refusal(Skipping(5).eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("control_flow", "cell")
    assert "7 times in 8 steps" in finding.message


def test_an_output_that_changes_its_shape_at_a_late_step_is_refused() -> None:
    class Narrowing(Forgetful):
        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            self.calls = 0 if state is None else self.calls + 1
            z, state = self.cell(self.layer(x), state)
            return (z[:, :2] if self.calls == self.step else z), state

    (finding,) = refusal(Narrowing(6).eval(), X, error=UnsupportedError)
    assert finding.kind == "control_flow"
    assert "step 6" in finding.message


def test_an_output_that_is_no_tensor_at_a_late_step_is_refused() -> None:
    class Vanishing(Forgetful):
        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            self.calls = 0 if state is None else self.calls + 1
            z, state = self.cell(self.layer(x), state)
            return (None if self.calls == self.step else z), state

    (finding,) = refusal(Vanishing(6).eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("control_flow", "output")


def test_a_population_that_changes_its_shape_at_a_late_step_is_refused() -> None:
    class Cut(Forgetful):
        def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
            self.calls = 0 if state is None else self.calls + 1
            if self.calls != self.step:
                return self.cell(self.layer(x), state)
            self.cell(self.layer(x)[:, :2])
            return self.layer(x), state

    (finding,) = refusal(Cut(7).eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("control_flow", "cell")
    assert "(3, 2)" in finding.message


class Looping(nn.Module):
    """The user's own loop over time."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.cell, self.readout, self.how = nn.Linear(6, 6), snn.LIFCell(), nn.Linear(6, 2), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        steps: Any = {
            "index": lambda: (x[t] for t in range(x.shape[0])),
            "for": lambda: x,
            "unbind": lambda: x.unbind(0),
        }
        for step in steps[self.how]():
            z, state = self.cell(self.layer(step), state)
            outputs.append(self.readout(z))
        return torch.stack(outputs)


@pytest.mark.parametrize("how", ["index", "for", "unbind"])
def test_a_time_loop_of_the_models_own_is_one_step(how: str) -> None:
    traced = same(on_grid(seeded(Looping(how), gain=5.0)), X, exact=True)
    assert traced.time == "inside"
    assert list(traced.graph.nodes) == ["input", "layer", "cell", "readout", "output"]


def test_what_is_not_understood_in_a_time_loop_is_found_once() -> None:
    model = Looping("index")
    model.readout = nn.Sequential(nn.Linear(6, 2), nn.Softmax(1))
    (finding,) = refusal(model.eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("module", "readout.1")


def test_a_model_may_use_its_past_where_it_does_not_matter() -> None:
    assert trace(Deciding(lambda m, x: m.calls > 0).eval(), X).graph.nodes["a"]
