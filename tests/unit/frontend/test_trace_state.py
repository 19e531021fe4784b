"""Populations start from their own initial state, keep it from step to step, and nothing else touches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import pytest
import torch
from norse.torch.functional.lif import LIFFeedForwardState
from torch import nn
from traced_models import kinds, on_grid, refusal, same, seeded, spikes

from norse_export.errors import UnsupportedError

X = spikes(12, 3, 6)
Step = Callable[[Any, torch.Tensor, Any], Any]


class Stepping(nn.Module):
    """One population, and what a user's forward does with its state."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.layer, self.readout = nn.Linear(6, 6), nn.Linear(6, 2)
        self.cell, self.recurrent, self.leaky = snn.LIFCell(), snn.LIFRecurrentCell(6, 6), snn.LICell()
        self.step, self.kept = step, None

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.step(self, self.layer(x), state)


def _changed(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, s = m.cell(h, s)
    s.v.mul_(0.5)
    return z, s


def _rebuilt(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, s = m.cell(h, s)
    return z, LIFFeedForwardState(v=s.v * 1.0, i=s.i)


def _detached(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, s = m.cell(h, s)
    return z, LIFFeedForwardState(v=s.v.detach(), i=s.i)


def _early(m: Any, h: torch.Tensor, s: Any) -> Any:
    if s is not None:
        s.v.zero_()
    return m.cell(h, s)


def _kept(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, m.kept = m.cell(h, m.kept)
    return z


def _twice(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, s = m.cell(h, s)
    return m.cell(z, s)


def _in_place(m: Any, h: torch.Tensor, s: Any) -> Any:
    z, s = m.recurrent(h, s)
    z += h
    return z, s


def _in_place_integrator(m: Any, h: torch.Tensor, s: Any) -> Any:
    v, s = m.leaky(h, s)
    v.add_(h)
    return v, s


WRONG: dict[str, tuple[Step, list[str]]] = {
    "not carried": (lambda m, h, s: m.cell(h)[0], ["state"]),
    "dropped": (lambda m, h, s: m.cell(h, None), ["state"]),
    "changed in place": (_changed, ["state"]),
    "changed in place at the next step": (_early, ["state"]),
    "made anew": (_rebuilt, ["state", "state"]),
    "detached": (_detached, ["state"]),
    "read": (lambda m, h, s: (m.readout((r := m.cell(h, s))[1].v), r[1]), ["state"]),
    "used in an operation": (lambda m, h, s: ((r := m.cell(h, s))[0] + r[1].v, r[1]), ["state"]),
    "kept by the module": (_kept, ["initial_state"]),
    "called twice": (_twice, ["shared_neurons"]),
    "spikes that are state, in place": (_in_place, ["in_place"]),
    "potential that is state, in place": (_in_place_integrator, ["in_place"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_of_the_state_is_refused(name: str) -> None:
    step, expected = WRONG[name]
    findings = refusal(seeded(Stepping(step)), X, time="outside", error=UnsupportedError)
    assert kinds(findings) == expected
    cell = "leaky" if "potential" in name else "recurrent" if "spikes" in name else "cell"
    assert all(cell in finding.where + finding.message or "Stepping" in finding.where for finding in findings)


RIGHT: dict[str, Step] = {
    "as it is": lambda m, h, s: m.cell(h, s),
    "by its name": lambda m, h, s: m.cell(input_tensor=h, state=s),
    "in a list": lambda m, h, s: (lambda r: (r[0], [r[1], None]))(m.cell(h, s[0] if s else None)),
    "in a dict": lambda m, h, s: (lambda r: (r[0], {"cell": r[1]}))(m.cell(h, s["cell"] if s else None)),
    "made anew of the same tensors": lambda m, h, s: (lambda r: (r[0], LIFFeedForwardState(*r[1])))(m.cell(h, s)),
    "looked at": lambda m, h, s: (lambda r: r if r[1].v.shape[0] else (h, s))(m.cell(h, s)),
    "an integrator's potential": lambda m, h, s: m.leaky(h, s),
    "passed in at the start": (
        lambda m, h, s: m.cell(h, s or LIFFeedForwardState(torch.zeros(3, 6), torch.zeros(3, 6)))
    ),
    "passed in by its name": (
        lambda m, h, s: m.cell(h, state=s or LIFFeedForwardState(torch.full((3, 6), 0.75), torch.full((3, 6), 0.5)))
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_use_of_the_state_is_traced(name: str) -> None:
    same(on_grid(seeded(Stepping(RIGHT[name]), gain=5.0)), X, exact=True)


def test_a_state_that_lift_would_hand_on_is_refused() -> None:
    """Norse's Lift gives (raster, state), and the next stateful Lift would start from it."""
    model = snn.SequentialState(snn.Lift(snn.LIFCell()), snn.Lift(snn.LIFCell())).eval()
    findings = refusal(model, X, error=UnsupportedError)
    assert [(f.kind, f.where) for f in findings] == [("initial_state", "1")]


def test_a_module_in_lift_that_forgets_its_state_is_refused() -> None:
    class Forgetting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = snn.LIFCell()

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            return self.cell(x)

    (finding,) = refusal(snn.Lift(Forgetting()), X, error=UnsupportedError)
    assert (finding.kind, finding.where) == ("state", "lifted_module.cell")


def test_a_module_in_lift_without_a_place_for_its_state_is_refused() -> None:
    """Norse tells a stateful module by the argument `state`; a plain Sequential has none."""
    findings = refusal(snn.Lift(nn.Sequential(nn.Linear(6, 6), snn.LIFCell())).eval(), X)
    assert findings


def test_feedback_over_a_step_is_an_edge_that_takes_a_step() -> None:
    class Feedback(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.back, self.cell = nn.Linear(6, 6), nn.Linear(6, 6), snn.LIFCell()

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            z, s = state if state is not None else (torch.zeros_like(x), None)
            z, s = self.cell(self.layer(x) + self.back(z), s)
            return z, (z, s)

    traced = same(on_grid(seeded(Feedback(), gain=4.0)), X, exact=True)
    (late,) = [edge for edge in traced.graph.edges if edge.delay_steps]
    assert (late.source, late.target, late.delay_steps) == ("cell", "back", 1)


def test_in_place_additions_of_values_that_others_use_are_refused() -> None:
    class Alias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.layer(x)
            before = h.detach()
            h += self.other(x)
            return h + before

    (finding,) = refusal(Alias().eval(), X, error=UnsupportedError)
    assert (finding.kind, finding.where.split(",")[0]) == ("in_place", "Alias")


def test_a_sequence_in_a_model_of_steps_and_a_cell_in_a_model_of_rasters_are_refused() -> None:
    for model, time, name in (
        (snn.SequentialState(nn.Linear(6, 6), snn.LIF()), "outside", "LIF"),
        (snn.SequentialState(nn.Linear(6, 6), snn.LIFRecurrent(6, 6)), "outside", "LIFRecurrent"),
        (snn.SequentialState(nn.Linear(6, 6), snn.LIFCell()), "inside", "LIFCell"),
        (snn.SequentialState(nn.Linear(6, 6), snn.LIBoxCell()), "inside", "LIBoxCell"),
    ):
        (finding,) = refusal(model.eval(), X, time=time, error=UnsupportedError)  # type: ignore[arg-type]
        assert (finding.kind, finding.where) == ("time_axis", "1")
        assert name in finding.message


def test_lift_in_a_model_of_steps_is_refused() -> None:
    model = snn.SequentialState(snn.Lift(nn.Linear(6, 6)), nn.Linear(6, 6)).eval()
    (finding,) = refusal(model, X, time="outside", error=UnsupportedError)
    assert (finding.kind, finding.where) == ("time_axis", "0")
    assert "inside" in finding.fix
