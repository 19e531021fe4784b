"""Tracing leaves the model, torch and the random states as they were, whatever the model does and however it ends."""

from __future__ import annotations

import contextlib
import copy
import random
import threading
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import kinds, refusal, seeded, spikes

import norse_export
from norse_export.errors import ExportError, UnsupportedError
from norse_export.frontend.trace import trace
from norse_export.frontend.undisturbed import tensors_of, undisturbed

X = spikes(6, 3, 6)
CALL = nn.Module.__call__


def described(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that tracing might change."""
    tensors = {name: (id(t), t.detach().clone(), t.requires_grad, t.grad) for name, t in tensors_of(model).items()}
    attributes = {
        (path, name): (id(value), dict(value) if isinstance(value, dict) else value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if not isinstance(value, torch.Tensor)
    }
    return {"tensors": tensors, "attributes": attributes}


def assert_same(model: nn.Module, before: dict[str, Any]) -> None:
    after = described(model)
    assert after["tensors"].keys() == before["tensors"].keys()
    for name, (identity, values, *flags) in before["tensors"].items():
        assert after["tensors"][name][0] == identity
        assert torch.equal(after["tensors"][name][1].nan_to_num(), values.nan_to_num()), name
        assert after["tensors"][name][2:] == (*flags,), name
    assert after["attributes"].keys() == before["attributes"].keys()
    for key, (identity, value) in before["attributes"].items():
        assert after["attributes"][key][0] == identity, key
        if isinstance(value, dict | int | float | str | bool):
            assert after["attributes"][key][1] == value, key


class Restless(nn.Module):
    """Changes whatever it holds while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.cell, self.norm = nn.Linear(6, 6), snn.IAFCell(), nn.BatchNorm1d(6)
        self.register_buffer("steps", torch.zeros(()))
        self.calls, self.history, self.seen, self.last = 0, [0], {"calls": 0}, None

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        self.calls += 1
        self.history.append(self.calls)
        self.seen["calls"] = self.calls
        self.last, self.new = x, x
        random.random()  # noqa: S311
        np.random.random()
        torch.rand(3)
        return self.cell(self.layer(x), state)


MODELS: dict[str, Any] = {
    "cells": lambda: snn.SequentialState(nn.Linear(6, 6), snn.LIFCell(), snn.LIFRecurrentCell(6, 4), snn.LICell()),
    "sequences": lambda: snn.SequentialState(snn.LIF(), snn.LIFRecurrent(6, 6), snn.Lift(nn.Linear(6, 6)), snn.IAF()),
    "default parameters that are shared": lambda: snn.SequentialState(snn.IAFCell(), snn.IAFCell()),
    "batch normalisation": lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)).eval(),
    "restless": Restless,
    "in training": lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout()),
    "not supported": lambda: nn.Sequential(nn.Linear(6, 6), nn.Softmax(-1)),
    "raises": lambda: nn.Sequential(nn.Linear(6, 6), nn.Linear(5, 5)),
    "hooks": lambda: _hooked(),
    "NaN": lambda: _broken(),
}


def _hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6))
    model[0].register_forward_hook(lambda *args: None)
    return model


def _broken() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6))
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    return model


def _traced(model: nn.Module) -> None:
    with contextlib.suppress(ExportError):
        trace(model, X)


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_as_it_was(name: str) -> None:
    model = MODELS[name]()
    before = described(model)
    _traced(model)
    assert_same(model, before)


@pytest.mark.parametrize("name", MODELS)
def test_torch_and_the_random_states_are_as_they_were(name: str) -> None:
    model = MODELS[name]()
    torch.manual_seed(7)
    states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
    _traced(model)
    assert nn.Module.__call__ is CALL
    assert torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode() is None
    assert states[0] == random.getstate()
    assert states[1] == repr(np.random.get_state())
    assert torch.equal(states[2], torch.get_rng_state())


def test_the_default_parameters_of_norse_are_as_they_were() -> None:
    """IAFCell sets requires_grad on the one v_reset that all cells with default parameters share."""
    default = snn.IAFParameters().v_reset.requires_grad_(False)
    trace(snn.IAFCell(), X)
    assert not default.requires_grad


def test_a_model_still_trains_after_it_was_traced() -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), snn.LIFCell(), nn.Linear(6, 2)), gain=5.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trace(model, X)
    out, _ = model(X[0])
    out.sum().backward()
    before = model[0].weight.detach().clone()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)
    assert model[0].weight.grad is not None


def test_an_interruption_restores_everything() -> None:
    class Interrupted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = snn.IAFCell()

        def forward(self, x: torch.Tensor) -> Any:
            self.cell(x)
            raise KeyboardInterrupt

    model = Interrupted()
    before = described(model)
    with pytest.raises(KeyboardInterrupt):
        trace(model, X, time="outside")
    assert_same(model, before)
    assert nn.Module.__call__ is CALL


def test_models_that_run_in_other_threads_are_not_recorded() -> None:
    other, stop, ran = nn.Sequential(nn.Linear(6, 6), nn.Softmax(-1)), threading.Event(), threading.Event()

    def run() -> None:
        while not stop.is_set():
            other(X[0])
            ran.set()

    class Waiting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.clear()
            assert ran.wait(10)
            return x

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert list(trace(Waiting(), X).graph.nodes) == ["input", "output"]
    finally:
        stop.set()
        thread.join()


def test_models_that_are_traced_at_once_in_two_threads_do_not_meet() -> None:
    models = [snn.SequentialState(nn.Linear(6, size), snn.LIFCell()) for size in range(1, 7)]
    found: dict[int, Any] = {}

    def run(number: int) -> None:
        found[number] = trace(models[number], X).graph

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nn.Module.__call__ is CALL
    assert [found[number].nodes["1"].shape for number in range(6)] == [(size,) for size in range(1, 7)]
    assert all(list(graph.nodes) == ["input", "0", "1", "output"] for graph in found.values())


class Changing(nn.Module):
    """Changes its own tensors in forward."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.layer, self.what = nn.Linear(6, 6), what
        self.cell = snn.LIFCell(p=snn.LIFParameters(v_th=torch.full((6,), 0.5)))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        match self.what:
            case "layer.weight":
                self.layer.weight.data.mul_(0.9)
            case "layer.bias":
                with torch.no_grad():
                    self.layer.bias.add_(0.5)
            case "count":
                self.count += 1
            case "cell.p.v_th":
                self.cell.p.v_th.add_(0.1)
        return self.cell(self.layer(x), state)


@pytest.mark.parametrize("what", ["layer.weight", "layer.bias", "count", "cell.p.v_th"])
def test_a_model_that_changes_its_own_tensors_is_refused_and_restored(what: str) -> None:
    model = Changing(what)
    before = described(model)
    findings = refusal(model, X, error=UnsupportedError)
    assert (findings[0].kind, findings[0].where) == ("changes_itself", what)
    assert_same(model, before)


def test_a_batch_norm_in_training_keeps_its_statistics() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))
    assert kinds(refusal(model, X)) == ["training"]
    assert not model[1].running_mean.any()
    assert model[1].num_batches_tracked == 0


def test_what_a_model_makes_while_it_runs_is_gone() -> None:
    model = Restless()
    trace(model, X)
    assert (model.calls, model.history, model.seen, model.last) == (0, [0], {"calls": 0}, None)
    assert not hasattr(model, "new")


def test_a_tensor_that_was_replaced_comes_back() -> None:
    model = nn.Linear(2, 2)
    weight = model.weight
    with undisturbed(model) as before:
        model.weight = nn.Parameter(torch.ones(2, 2))
        weight.data = torch.ones(3, 3)
        assert before.changed() == ("weight",)
    assert model.weight is weight
    assert weight.shape == (2, 2)


def test_tensors_are_found_where_norse_keeps_them() -> None:
    model = snn.SequentialState(nn.Linear(2, 2), snn.LIFRecurrentCell(2, 2, input_weights=torch.eye(2)))
    assert {"0.weight", "0.bias", "1.input_weights", "1.recurrent_weights", "1.p.v_th", "1.hidden_size"} <= set(
        tensors_of(model)
    )


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), snn.IAFCell()), gain=5.0)
    before = described(model)
    norse_export.save(model, tmp_path / "m.pt", X)
    assert_same(model, before)


def test_a_copy_of_a_model_is_traced_alike() -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), snn.LIFCell(), snn.LIFRecurrentCell(6, 3)), gain=5.0)
    one, other = trace(model, X), trace(copy.deepcopy(model), X)
    assert one.graph.edges == other.graph.edges
    assert np.array_equal(one.reference.outputs["output"], other.reference.outputs["output"])


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_tracing_works_in_any_mode_of_gradients(context: Any) -> None:
    model = seeded(snn.SequentialState(nn.Linear(6, 6), snn.LIFCell(), snn.IAFCell()), gain=5.0)
    with context():
        assert trace(model, X).graph.nodes["2"]
