"""Modules in files of torch.save that cannot be what their class makes: each is refused by name."""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from norse_export.errors import ExportError, InputFileError, MissingDependencyError
from norse_export.files.limits import Limits
from norse_export.frontend.saved.torch_file import parse
from norse_export.frontend.saved.torch_modules import rebuild
from norse_export.frontend.torch_save import enable_torch_save, import_norse

snn: Any = import_norse()
enable_torch_save()


def read(content: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    file = io.BytesIO()
    torch.save(content, file)
    return parse(file, Limits())


def again(model: nn.Module) -> nn.Module:
    return rebuild(*read(model))


def changed(model: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        model.__dict__[name] = value
    return model


def with_weights(shape: tuple[int, ...]) -> nn.Module:
    model = snn.LIFRecurrentCell(2, 3)
    model.recurrent_weights = nn.Parameter(torch.ones(shape))
    return model


def with_parameter(value: Any) -> nn.Module:
    model = nn.Linear(3, 2)
    model._parameters["weight"] = value
    return model


CONTRADICTIONS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "sizes that the weight has not": ("weight has shape", lambda: changed(nn.Linear(3, 2), in_features=4)),
    "sizes beyond any memory": (
        "cannot be built",
        lambda: changed(nn.Linear(3, 2), in_features=2**60, out_features=2**60),
    ),
    "groups that do not divide": ("groups", lambda: changed(nn.Conv2d(4, 2, 1), groups=3)),
    "a transposed convolution": ("transposed", lambda: changed(nn.Conv2d(4, 2, 1), transposed=True)),
    "another output padding": ("output_padding", lambda: changed(nn.Conv2d(4, 2, 1), output_padding=(1, 1))),
    "another reversed padding": (
        "_reversed_padding",
        lambda: changed(nn.Conv2d(4, 2, 1), _reversed_padding_repeated_twice=[1, 1, 1, 1]),
    ),
    "a dropout of 2": ("dropout probability", lambda: changed(nn.Dropout(), p=2.0)),
    "a weight that is no parameter": ("among the _parameters", lambda: with_parameter(torch.ones(2, 3))),
    "a weight that is None": ("weight is missing", lambda: with_parameter(None)),
    "a normalisation without a mean": (
        "running_mean is missing",
        lambda: changed(nn.BatchNorm1d(3, track_running_stats=False), track_running_stats=True),
    ),
    "an activation of another class": (
        "activation is norse.torch.functional.iaf.iaf_feed_forward_step",
        lambda: changed(snn.LIFCell(), activation=snn.IAFCell().activation),
    ),
    "an activation of another method": (
        "activation",
        lambda: changed(snn.LIFCell(), p=snn.LIFParameters(method="adjoint")),
    ),
    "an activation of the user's": ("not allowed", lambda: changed(snn.LIFCell(), activation=torch.relu)),
    "no sparse activation": ("activation_sparse", lambda: changed(snn.LIFCell(), activation_sparse=None)),
    "parameters of another class": ("LIFCell.p is", lambda: changed(snn.LIFCell(), p=snn.LIParameters())),
    "a state of another module": (
        "state_fallback",
        lambda: changed(snn.LIFCell(), state_fallback=snn.LICell().initial_state),
    ),
    "a state of the user's": ("not allowed", lambda: changed(snn.LIFCell(), state_fallback=torch.relu)),
    "a dt that is infinite": ("dt is inf", lambda: changed(snn.LIFCell(), dt=float("inf"))),
    "a dt that is text": ("dt is 1ms", lambda: changed(snn.LIFCell(), dt="1ms")),
    "a threshold that is None": ("v_leak is None", lambda: snn.LIBoxCell(snn.LIBoxParameters(v_leak=None))),
    "a reset of the user's": ("not allowed", lambda: snn.LIFBoxCell(snn.LIFBoxParameters(reset_method=torch.relu))),
    "recurrent weights that are not square": ("shape (3, 4)", lambda: with_weights((3, 4))),
    "recurrent weights of one axis": ("shape (9,)", lambda: with_weights((9,))),
    "a size that is a fraction": (
        "input_size",
        lambda: changed(snn.LIFRecurrentCell(2, 3), input_size=torch.tensor(2.0)),
    ),
    "flags for other layers": (
        "stateful_layers",
        lambda: changed(snn.SequentialState(nn.Identity()), stateful_layers=[False, True]),
    ),
    "a state hook": ("forward_state_hooks", lambda: changed(snn.SequentialState(), forward_state_hooks=[1])),
    "a child with a method's name": ("forward", lambda: nn.Sequential(OrderedDict(forward2=nn.Identity()))),
    "named children of a SequentialState": ("children are", lambda: _named()),
}


def _named() -> nn.Module:
    model: nn.Module = snn.SequentialState()
    model.add_module("named", nn.Identity())
    return model


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_module_that_contradicts_itself_is_refused_by_name(case: str) -> None:
    words, make = CONTRADICTIONS[case]
    model = make()
    if case == "a child with a method's name":
        model._modules["forward"] = model._modules.pop("forward2")
    with pytest.raises(ExportError) as caught:
        again(nn.Sequential(OrderedDict(layer=model)))
    findings = caught.value.findings
    assert any(words in finding.message for finding in findings)
    assert any(finding.where == "layer" or "not allowed" in finding.message for finding in findings)
    assert all("norse_export.save" in finding.fix for finding in findings)
    assert caught.value.exit_code == 2


def test_all_contradictions_are_listed() -> None:
    layers = [changed(nn.Linear(3, 2), in_features=4), nn.Identity(), changed(nn.Dropout(), p=-1.0)]
    with pytest.raises(InputFileError) as caught:
        again(nn.Sequential(*layers))
    assert [finding.where for finding in caught.value.findings] == ["0", "2"]


def test_a_module_of_norse_without_norse_asks_for_it() -> None:
    document, arrays = read(snn.LIFCell())
    hidden = {key: sys.modules.pop(key) for key in list(sys.modules) if key.split(".")[0] == "norse"}
    sys.modules["norse"] = None  # type: ignore[assignment]
    try:
        assert isinstance(again(nn.Linear(1, 1)), nn.Linear)
        for call in (lambda: rebuild(document, arrays), enable_torch_save):
            with pytest.raises(MissingDependencyError, match="Norse is not installed") as caught:
                call()
            assert caught.value.exit_code == 5
    finally:
        sys.modules.update(hidden)
