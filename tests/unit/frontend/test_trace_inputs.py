"""What tracing is given: the example raster, the model itself, and what a call of it takes."""

from __future__ import annotations

import sys
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import equal, kinds, on_grid, refusal, seeded, spikes

from norse_export.errors import MissingDependencyError, UnsupportedError, UsageError
from norse_export.frontend.frameworks import norse
from norse_export.frontend.reference import describe, takes_state
from norse_export.frontend.trace import find_time, trace

X = spikes(6, 3, 6)


def cells() -> nn.Module:
    return seeded(snn.SequentialState(nn.Linear(6, 6), snn.LIFCell()), gain=5.0)


def sequences() -> nn.Module:
    return seeded(snn.SequentialState(nn.Linear(6, 6), snn.LIF()), gain=5.0)


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (None, "NoneType"),
    "text": ("x.npz", "str"),
    "a number": (3.0, "shape ()"),
    "one axis": (torch.zeros(6), "shape (6,)"),
    "no step": (torch.zeros(0, 3, 6), "shape (0, 3, 6)"),
    "no sample": (torch.zeros(4, 0, 6), "shape (4, 0, 6)"),
    "no feature": (torch.zeros(4, 3, 0), "shape (4, 3, 0)"),
    "NaN": (torch.tensor([[[0.0, float("nan")]]]), "first at [0, 0, 1]"),
    "infinity": (np.full((2, 1, 6), np.inf), "first at [0, 0, 0]"),
    "complex": (torch.zeros(4, 3, 6, dtype=torch.complex64), "complex64"),
    "complex array": (np.zeros((4, 3, 6), complex), "ndarray"),
    "objects": (np.array([[[None] * 6]]), "ndarray"),
    "lists of several lengths": ([[1, 0], [1]], "list"),
    "rasters of other lengths": ((X, X[:3]), "different numbers of steps or samples: (6, 3, 6), (3, 3, 6)"),
    "rasters of other batches": ((X, X[:, :2]), "different numbers of steps or samples: (6, 3, 6), (6, 2, 6)"),
    "a model": (nn.Linear(2, 2), "Linear"),
    "without values": (torch.zeros(4, 3, 6, device="meta"), "meta"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_example_is_refused_with_what_is_wrong(name: str) -> None:
    example, words = WRONG[name]
    (finding,) = refusal(cells(), example, error=UsageError)
    assert finding.where == "example_input"
    assert words in finding.message
    assert "raster" in finding.fix or "finite" in finding.fix or "real" in finding.fix


def test_more_rasters_than_the_model_takes_are_refused() -> None:
    (finding,) = refusal(seeded(nn.Linear(6, 2)), (X, X), error=UsageError)
    assert finding.kind == "model_raised"
    assert "input of shape (3, 6), (3, 6)" in finding.where


def test_a_second_raster_is_not_taken_for_the_state() -> None:
    (finding,) = refusal(cells(), (X, X), error=UsageError)
    assert (finding.kind, finding.where) == ("inputs", "example_input")
    assert "SequentialState takes one raster" in finding.message
    assert "'state'" in finding.message
    assert "whose forward takes both" in finding.fix


def test_a_value_beyond_float32_is_not_finite_for_a_float32_model() -> None:
    example = np.zeros((2, 3, 6))
    example[1, 2, 3] = 1e39
    (finding,) = refusal(cells(), example, error=UsageError)
    assert "[1, 2, 3]" in finding.message
    assert trace(cells().double(), example).inputs["input"].max() == 1e39


RASTERS: dict[str, Any] = {
    "float64 array": X.double().numpy(),
    "bool array": X.bool().numpy(),
    "uint8 tensor": X.to(torch.uint8),
    "uint64 array": X.numpy().astype(np.uint64),
    "half": X.half(),
    "long double": X.numpy().astype(np.longdouble),
    "big endian": X.numpy().astype(">f4"),
    "lists": X.tolist(),
    "sparse": X.to_sparse(),
    "requires grad": X.clone().requires_grad_(),
    "in a tuple": (X,),
    "not contiguous": X.transpose(0, 2).contiguous().transpose(0, 2),
    "read only": np.broadcast_to(X.numpy(), X.shape),
}


@pytest.mark.parametrize("name", RASTERS)
def test_a_raster_of_any_real_type_is_taken_in_the_models_float_type(name: str) -> None:
    for model, dtype in ((cells(), np.float32), (cells().double(), np.float64)):
        raster = trace(model, RASTERS[name]).inputs["input"]
        assert raster.dtype == dtype
        assert np.array_equal(raster, X.numpy())


def test_a_model_without_parameters_takes_the_rasters_own_float_type() -> None:
    assert trace(snn.LIFCell(), X.double()).inputs["input"].dtype == np.float64
    assert trace(snn.LIFCell(), X.numpy()).inputs["input"].dtype == np.float32
    assert trace(snn.LIFCell(), X.bool()).inputs["input"].dtype == np.float32


def test_an_example_that_does_not_fit_the_model_names_the_layer_and_the_shape() -> None:
    (finding,) = refusal(cells(), spikes(5, 3, 7), error=UsageError)
    assert finding.kind == "model_raised"
    assert finding.where.startswith("0, in SequentialState")
    assert "(3, 7)" in finding.where
    assert "RuntimeError" in finding.message
    assert "\n" not in finding.message


SHORT: dict[str, tuple[Any, torch.Tensor, str]] = {
    "cells": (cells, X[:, 0], "0: Linear is given no features: in one step, the only axis of (6,) is the batch"),
    "sequences": (sequences, X[:, 0], "0: Linear is given no features: the two axes of (6, 6) are time and batch"),
    "recurrent": (
        lambda: snn.SequentialState(nn.Identity(), snn.LIFRecurrentCell(6, 6)),
        X[:, 0],
        "1: LIFRecurrentCell is given no features: in one step, the only axis of (6,) is the batch",
    ),
    "maps": (
        lambda: nn.Sequential(nn.Identity(), nn.Conv2d(1, 2, 3)),
        torch.ones(5, 1, 6, 6),
        "1: Conv2d on features of shape (6, 6), 3 axes are needed",
    ),
}


@pytest.mark.parametrize("name", SHORT)
def test_an_example_without_a_batch_axis_is_told_how_to_get_one(name: str) -> None:
    make, raster, said = SHORT[name]
    (finding,) = refusal(make(), raster, error=UnsupportedError)
    assert f"{finding.where}: {finding.message}" == said
    assert "example_input.unsqueeze(1)" in finding.fix
    assert trace(make(), raster.unsqueeze(1)).inputs["input"].shape == raster.unsqueeze(1).shape


def test_an_example_on_which_the_model_raises_may_lack_its_batch_axis() -> None:
    model = nn.Sequential(nn.Flatten(1), nn.Linear(25, 3))
    (finding,) = refusal(model, torch.ones(4, 5, 5), error=UsageError)
    assert "example_input.unsqueeze(1)" in finding.fix
    assert "time='outside'" in finding.fix


class Holding(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any, state: Any = None) -> Any:
        return self.net(x), state


@pytest.mark.parametrize("cell", [snn.LIFCell, snn.LIF, snn.LICell])
@pytest.mark.parametrize("outer", [lambda net: net, Holding])
def test_a_population_in_a_plain_sequential_is_told_which_one_to_use(cell: Any, outer: Any) -> None:
    model = outer(nn.Sequential(nn.Linear(6, 6), cell(), nn.Linear(6, 2)))
    (finding,) = refusal(model, X, error=UsageError)
    assert finding.where.split(",")[0] == ("2" if outer is not Holding else "net.2")
    assert f"the state that {cell.__name__} gives as one tuple" in finding.message
    assert "norse.torch.SequentialState" in finding.fix


def test_a_plain_sequential_is_not_blamed_for_a_wrong_shape() -> None:
    (finding,) = refusal(nn.Sequential(nn.Linear(7, 2), snn.LIFCell()), X, error=UsageError)
    assert "Sequential" not in finding.message + finding.fix


def test_findings_from_before_the_model_raised_are_told_first() -> None:
    model = nn.Sequential(nn.Softmax(-1), nn.Linear(7, 2))
    assert kinds(refusal(model, X, error=UnsupportedError)) == ["module", "model_raised"]


NOT_MODELS: dict[str, Any] = {"a class": nn.Linear, "a function": lambda x: x, "a state_dict": {}, "none": None}


@pytest.mark.parametrize("name", NOT_MODELS)
def test_what_is_no_module_is_refused(name: str) -> None:
    (finding,) = refusal(NOT_MODELS[name], X, error=UsageError)
    assert finding.where == "model"
    assert finding.fix == "pass the module itself, as the first argument"


HALVES: dict[str, Any] = {
    "half": (lambda: cells().half(), ["0.weight", "0.bias"], "dtype"),
    "bfloat16": (lambda: cells().bfloat16(), ["0.weight", "0.bias"], "dtype"),
    "complex": (lambda: nn.Linear(6, 2, dtype=torch.complex64), ["weight", "bias"], "dtype"),
    "meta": (lambda: nn.Linear(6, 2, device="meta"), ["weight", "bias"], "device"),
    "lazy": (lambda: nn.LazyLinear(2), ["weight", "bias"], "lazy"),
    "a threshold of half": (
        lambda: snn.LIFCell(p=snn.LIFParameters(v_th=torch.tensor(1.0).half())), ["p.v_th"], "dtype",
    ),
    "sparse": (lambda: _sparse(), ["weight"], "layout"),
}  # fmt: skip


def _sparse() -> nn.Module:
    model = nn.Linear(6, 6, bias=False)
    model.weight = nn.Parameter(torch.eye(6).to_sparse(), requires_grad=False)
    return model


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("name", HALVES)
def test_tensors_that_cannot_be_exported_are_all_named_before_the_model_runs(name: str) -> None:
    make, where, kind = HALVES[name]
    findings = refusal(make(), X, error=UnsupportedError)
    assert [finding.where for finding in findings] == where
    assert set(kinds(findings)) == {kind}


def test_a_model_of_two_float_types_is_refused() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2).double())
    (finding,) = refusal(model, X, error=UnsupportedError)
    assert finding.kind == "dtype"
    assert finding.where in ("0.weight, 1.weight", "1.weight, 0.weight")


@pytest.mark.parametrize("time", ["auto", "outside"])
def test_cells_take_a_step_a_call(time: Any) -> None:
    assert equal(on_grid(cells()), spikes(40, 3, 6), time=time, exact=True).time == "outside"


@pytest.mark.parametrize("time", ["auto", "inside"])
def test_sequences_take_the_whole_raster(time: Any) -> None:
    assert equal(on_grid(sequences()), spikes(40, 3, 6), time=time, exact=True).time == "inside"


class OwnLoop(nn.Module):
    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


TIMES: dict[str, tuple[nn.Module, str]] = {
    "cells": (snn.SequentialState(snn.LIFCell(), snn.LICell()), "outside"),
    "a cell": (snn.IAFCell(), "outside"),
    "a plain sequential of cells": (nn.Sequential(nn.Linear(2, 2), snn.LIFCell()), "outside"),
    "a sequence": (snn.LIFRecurrent(2, 2), "inside"),
    "lift of cells": (snn.SequentialState(snn.Lift(snn.LIFCell())), "inside"),
    "lift beside sequences": (snn.SequentialState(snn.Lift(nn.Linear(2, 2)), snn.LI()), "inside"),
    "no state at all": (nn.Sequential(nn.Linear(2, 2), nn.Flatten()), "outside"),
    "cells and no place for a state": (OwnLoop(snn.LIFCell()), "inside"),
    "layers only, in a module of one's own": (OwnLoop(nn.Linear(2, 2)), "outside"),
}


@pytest.mark.parametrize("name", TIMES)
def test_auto_finds_what_a_call_takes_from_the_modules(name: str) -> None:
    model, time = TIMES[name]
    assert find_time(model) == time


@pytest.mark.parametrize(
    "model",
    [
        snn.SequentialState(snn.LIFCell(), snn.LIF()),
        snn.SequentialState(snn.LICell(), snn.Lift(nn.Linear(6, 6))),
    ],
)
def test_auto_asks_where_both_could_be_meant(model: nn.Module) -> None:
    (finding,) = refusal(model, X, error=UsageError)
    assert (finding.kind, finding.where) == ("time", "time")
    assert "outside" in finding.fix
    assert "inside" in finding.fix
    assert any(name in finding.message for name in ("LIFCell", "LICell"))


@pytest.mark.parametrize("time", ["", "Inside", None, 1])
def test_another_word_for_time_is_refused(time: Any) -> None:
    (finding,) = refusal(cells(), X, time=time, error=UsageError)
    assert finding.where == "time"


def test_one_step_is_enough_to_see_whether_the_state_is_carried() -> None:
    class Forgetting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = snn.LIFCell()

        def forward(self, x: torch.Tensor, state: Any = None) -> Any:
            return self.cell(x)

    assert kinds(refusal(Forgetting(), X[:1], error=UnsupportedError)) == ["state"]
    assert trace(cells(), X[:1]).reference.outputs["output"].shape == (1, 3, 6)


def test_a_batch_of_one_is_traced() -> None:
    equal(on_grid(cells()), spikes(60, 1, 6), exact=True)


def test_layers_are_traced_where_norse_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingDependencyError("Norse is not installed", where="import norse.torch", fix="pip install norse")

    monkeypatch.setattr(norse, "import_norse", missing)
    assert norse.rules() == {}
    assert norse.sequence_classes() == ()
    assert list(trace(seeded(nn.Linear(6, 2)), X).graph.nodes) == ["input", "Linear", "output"]
    assert kinds(refusal(snn.LIFCell(), X, time="outside")) == ["module"]


def test_the_run_says_what_ran_where_norse_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "norse", None)
    assert describe(X) == f"torch {torch.__version__}, float32, batch 3, {torch.get_num_threads()} threads"


def test_a_forward_that_does_not_tell_its_arguments_may_take_a_state() -> None:
    model = nn.Module()
    model.forward = torch.relu  # type: ignore[assignment]
    assert takes_state(model)
    assert find_time(model) == "outside"
