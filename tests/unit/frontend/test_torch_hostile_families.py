"""Every attribute of every class of Norse's, forged: it is refused by name, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import norse.torch as snn
import pytest
import torch
from bulk import some
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse_battery import CLASSES, N, parameters, population
from torch import nn
from torch_programs import archive, messages, module, name, read, refused, saved, value

from norse_export.errors import ExportError, InputFileError, LimitError, UnsafeFileError
from norse_export.frontend.saved import known_classes as known
from norse_export.frontend.saved.torch_modules import rebuild
from norse_export.frontend.torch_save import enable_torch_save

enable_torch_save()

OTHERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "PoissonEncoder": (lambda: snn.PoissonEncoder(5), 3),
    "SignedPoissonEncoder": (lambda: snn.SignedPoissonEncoder(5), 3),
    "ConstantCurrentLIFEncoder": (lambda: snn.ConstantCurrentLIFEncoder(5), 3),
    "SpikeLatencyLIFEncoder": (lambda: snn.SpikeLatencyLIFEncoder(5), 3),
    "RecurrentSequential": (lambda: snn.RecurrentSequential(nn.Linear(2, 2), snn.LIFCell()), 1),
    "SequentialState": (lambda: snn.SequentialState(nn.Linear(2, 2), snn.LIFCell()), 2),
    "Lift": (lambda: snn.Lift(snn.LIFCell()), 1),
    "ReLU": (lambda: nn.ReLU(), 1),
}


class Command:
    """Loading it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def made(of: str) -> nn.Module:
    """A module of the class, as its users make it."""
    return OTHERS[of][0]() if of in OTHERS else population(of, parameters(of, each=True))


def slots(of: str) -> Iterator[str]:
    """What a file says of the module: attributes, and fields of its parameters, of those within them, too."""
    model = made(of)
    spec = known.MODULES[f"{type(model).__module__}.{type(model).__qualname__}"]
    yield from (*spec.arguments, *spec.derived)
    for attribute in spec.arguments:
        yield from _fields(attribute, getattr(model, attribute))


def _fields(path: str, p: Any) -> Iterator[str]:
    for field, held in p._asdict().items() if hasattr(p, "_asdict") else ():
        yield f"{path}.{field}"
        yield from _fields(f"{path}.{field}", held)


def forged(of: str, slot: str, evil: Any) -> nn.Module:
    """The module with one thing in it replaced."""
    model = made(of)
    attribute, *fields = slot.split(".")
    model.__dict__[attribute] = _replaced(getattr(model, attribute), fields, evil)
    return model


def _replaced(held: Any, fields: list[str], evil: Any) -> Any:
    if not fields:
        return evil
    return held._replace(**{fields[0]: _replaced(getattr(held, fields[0]), fields[1:], evil)})


EVERY = (*CLASSES, *OTHERS)


@pytest.mark.parametrize("of", EVERY)
def test_code_in_any_place_is_refused_by_name_and_does_not_run(of: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for slot in slots(of):
        for evil in (Command(f"echo ran > {canary}"), os.system, eval, [Command(f"echo ran > {canary}")]):
            error = refused(saved(forged(of, slot, evil)), UnsafeFileError)
            assert ("builtins.eval" if evil is eval else "posix.system") in messages(error)
            assert "not allowed" in error.what
            assert not canary.exists()


def test_the_command_of_these_tests_works(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Command(f"echo ran > {canary}")))  # noqa: S301 - our own, to show that the canary can sing
    assert canary.exists()


WRONG: dict[str, Any] = {
    "a dictionary": {"a": 1},
    "bytes": b"abc",
    "a number beyond all bounds": 2**70,
    "an infinity": float("inf"),
    "not a number": float("nan"),
    "a list of lists": [[1], [2]],
    "a list of texts": ["a", "b"],
    "parameters of another neuron": snn.LIBoxParameters(),
    "a function of another neuron": snn.reset_value,
    "a type": torch.float32,
}


def _right(of: str, slot: str, evil: Any) -> bool:
    """Whether the strange value happens to be what the place takes."""
    if isinstance(evil, tuple):
        return of == "LIBoxCell" and slot == "p"
    return evil is snn.reset_value and slot.endswith("reset_method")


PAIRS = [(of, wrong) for of in EVERY for wrong in WRONG]
# By default every class meets three or four of the values, and every value a third of the classes.
A_THIRD = [(of, wrong) for a, of in enumerate(EVERY) for b, wrong in enumerate(WRONG) if (a + b) % 3 == 0]


@pytest.mark.parametrize("pair", some(PAIRS, A_THIRD, map("-".join, PAIRS)))
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_place(pair: tuple[str, str]) -> None:
    of, wrong = pair
    evil, count = WRONG[wrong], 0
    for slot in slots(of):
        if _right(of, slot, evil):
            continue
        with pytest.raises(ExportError) as caught:
            rebuild(*read(saved(forged(of, slot, evil))))
        assert caught.value.exit_code == 2
        assert any(slot.rpartition(".")[2] in finding.message for finding in caught.value.findings), slot
        count += 1
    assert count >= (OTHERS[of][1] if of in OTHERS else 5) - 1


# What contradicts itself


def changed(of: str, **attributes: Any) -> nn.Module:
    model = made(of)
    model.__dict__.update(attributes)
    return model


def with_weight(of: str, weight: str, tensor: torch.Tensor) -> nn.Module:
    model = made(of)
    if weight in model._parameters:
        delattr(model, weight)
    setattr(model, weight, nn.Parameter(tensor) if tensor.is_floating_point() else tensor)
    return model


def without(of: str, weight: str) -> nn.Module:
    model = made(of)
    delattr(model, weight)
    return model


huge = torch.tensor(2**60)
CONTRADICTIONS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "sizes beyond any memory": ("input_weights of shape", lambda: changed("LSNNRecurrent", input_size=huge)),
    "a hidden size beyond any memory": ("of shape", lambda: changed("LIFMCRecurrentCell", hidden_size=huge)),
    "whole sizes beyond any memory": ("input_weights of shape", lambda: changed("CobaLIFCell", input_size=2**60)),
    "both sizes beyond any memory": (
        "input_weights of shape",
        lambda: changed("LILinearCell", input_size=2**60, hidden_size=2**60),
    ),
    "a size of 0": ("hidden_size is 0", lambda: changed("LILinearCell", hidden_size=0)),
    "a size that is a fraction": ("input_size", lambda: changed("LIFExRecurrent", input_size=torch.tensor(6.0))),
    "a size for each neuron": ("input_size", lambda: changed("LIFExRecurrent", input_size=torch.tensor([6, 6]))),
    "weights of another shape": (
        "input_weights of shape",
        lambda: with_weight("CobaLIFCell", "input_weights", torch.ones(N, 2)),
    ),
    "a coupling that is not square": (
        "g_coupling of shape",
        lambda: with_weight("LIFMCRefracRecurrentCell", "g_coupling", torch.ones(N, 2)),
    ),
    "a coupling of whole numbers": (
        "g_coupling of shape",
        lambda: with_weight("LIFMCRefracRecurrentCell", "g_coupling", torch.ones(N, N, dtype=torch.int64)),
    ),
    "no coupling": ("no 'g_coupling' among its _parameters", lambda: without("LIFMCRecurrentCell", "g_coupling")),
    "no weights": ("no 'recurrent_weights'", lambda: without("LSNNRecurrentCell", "recurrent_weights")),
    "a coupling where there is none": (
        "an unknown 'g_coupling'",
        lambda: with_weight("LSNNRecurrentCell", "g_coupling", torch.ones(N, N)),
    ),
    "the step of another family": (
        "LSNNCell.activation is norse.torch.functional.lif_ex.lif_ex_feed_forward_step and not",
        lambda: changed("LSNNCell", activation=made("LIFExCell").activation),
    ),
    "the step of another form": (
        "LSNNCell.activation is norse.torch.functional.lsnn.lsnn_step and not",
        lambda: changed("LSNNCell", activation=made("LSNNRecurrent").activation),
    ),
    "a step where forward calls it by name": (
        "LIFMCRecurrentCell.activation is",
        lambda: changed("LIFMCRecurrentCell", activation=made("LIFRecurrent").activation),
    ),
    "a step with an adjoint, which norse computes otherwise": (
        "activation is norse.torch.functional.adjoint.lsnn_adjoint.lsnn_feed_forward_adjoint_step, and should be",
        lambda: snn.LSNNCell(adjoint=True),
    ),
    "the state of another module": (
        "state_fallback",
        lambda: changed("LSNN", state_fallback=made("LSNN").initial_state),
    ),
    "more steps than memory holds": ("seq_length is 1000000000", lambda: changed("PoissonEncoder", seq_length=10**9)),
    "an output that is none": ("output_modules is 2", lambda: changed("RecurrentSequential", output_modules=2)),
    "outputs that are none": (
        "output_modules is [0, -3]",
        lambda: changed("RecurrentSequential", output_modules=[0, -3]),
    ),
    "another inner module": ("SequentialState", lambda: _with_inner(snn.LIFCell())),
    "an inner module that hides": ("SequentialState", lambda: _with_inner(snn.SequentialState(snn.LIFCell()))),
}


def _with_inner(inner: nn.Module) -> nn.Module:
    model = made("RecurrentSequential")
    model.module = inner
    return model


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_module_that_contradicts_itself_is_refused_by_name(case: str) -> None:
    words, make = CONTRADICTIONS[case]
    with pytest.raises(UnsafeFileError if case == "the state of another module" else InputFileError) as caught:
        rebuild(*read(saved(nn.Sequential(make()))))
    found = [finding for finding in caught.value.findings if words in finding.message]
    assert found, messages(caught.value)
    assert found[0].where == "0"
    assert all(finding.fix for finding in caught.value.findings)


def test_the_modules_of_these_tests_are_read_as_they_are() -> None:
    for of in EVERY:
        assert type(rebuild(*read(saved(made(of))))) is type(made(of))


# Tuples in tuples


@pytest.mark.parametrize("field", ["lif", "rho_reset"])
def test_tuples_that_stand_in_one_another_are_not_followed(field: str) -> None:
    p: Any = snn.LIFParameters()
    for _ in range(40):
        p = LIFRefracParameters(**{"lif": snn.LIFParameters(), "rho_reset": 1.0, field: p})
    assert f"LIFRefracParameters.{field} is a norse" in messages(
        refused(saved(changed("LIFRefracCell", p=p)), InputFileError)
    )


def test_tuples_that_stand_twice_in_one_another_do_not_multiply() -> None:
    """2^40 of them for whoever walks them naively."""
    p: Any = snn.LIFParameters()
    for _ in range(40):
        p = LIFRefracParameters(lif=p, rho_reset=p)
    file = saved(changed("LIFRefracCell", p=p))
    start = time.perf_counter()
    refused(file, InputFileError)
    assert time.perf_counter() - start < 5


def test_tuples_nested_too_deep_are_refused() -> None:
    p: Any = snn.LIFParameters()
    for _ in range(100):
        p = LIFRefracParameters(lif=p, rho_reset=1.0)
    refused(saved(changed("LIFRefracCell", p=p)), LimitError)


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_parameters_of_another_length_are_refused(count: int) -> None:
    p = name("norse.torch.functional.lif_refrac LIFRefracParameters") + value((1.0,) * count) + b"\x81"
    error = refused(archive(module("norse.torch.module.lif_refrac LIFRefracCell", p=p, dt=0.001)), InputFileError)
    assert f"LIFRefracParameters has {count} values instead of 2" in messages(error)


def test_parameters_with_a_state_are_refused() -> None:
    p = name("norse.torch.functional.lsnn LSNNParameters") + value((1.0,) * 9) + b"\x81" + value({"a": 1}) + b"b"
    error = refused(archive(module("norse.torch.module.lsnn LSNNCell", p=p, dt=0.001)))
    assert "p is a norse.torch.functional.lsnn.LSNNParameters: not allowed" in messages(error)


def test_a_subclass_of_the_tuple_is_refused() -> None:
    class Mine(LIParameters):
        pass

    Mine.__qualname__, Mine.__module__ = "Mine", __name__
    globals()["Mine"] = Mine
    try:
        error = refused(saved(changed("LICell", p=Mine())))
    finally:
        del globals()["Mine"]
    assert f"{__name__}.Mine is not allowed" in messages(error)
