"""Files of torch.save on the command line: families are taken, what is forged or does not fit ends in plain words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import pytest
import torch
from norse_battery import model
from torch import nn

from norse_export.frontend.torch_save import enable_torch_save

enable_torch_save()


class Command:
    """Loading it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def changed(name: str, **attributes: Any) -> nn.Module:
    """A model of the battery with attributes of its neurons replaced."""
    made = model(name, each=False)
    made[1].__dict__.update(attributes)
    return made


def with_field(name: str, **fields: Any) -> nn.Module:
    """A model of the battery with fields of its neurons' parameters replaced."""
    return changed(name, p=model(name, each=False)[1].p._replace(**fields))


REFUSED: dict[str, tuple[int, str, Callable[[Path], nn.Module]]] = {
    "a command as a step": (
        2,
        "posix.system is not allowed",
        lambda canary: changed("LSNNRecurrent", activation=Command(f"touch {canary}")),
    ),
    "a command among the parameters": (
        2,
        "posix.system is not allowed",
        lambda canary: with_field("LIFRefracRecurrentCell", lif=Command(f"touch {canary}")),
    ),
    "another threshold for each of seven neurons, of six": (
        2,
        "must match",
        lambda _: with_field("LSNNCell", v_th=torch.ones(7)),
    ),
    "a surrogate gradient that norse has not": (3, "method='none'", lambda _: with_field("LSNNCell", method="none")),
    "more steps than memory holds": (
        2,
        "seq_length is 1000000000",
        lambda _: snn.SequentialState(snn.PoissonEncoder(10**9), snn.LIF()),
    ),
    "a class that is not known": (2, "LSTM is not allowed", lambda _: nn.Sequential(nn.LSTM(9, 3))),
}


@pytest.fixture
def parsed_here() -> None:
    """Here it is the child that parses."""


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_ends_in_plain_words_and_nothing_of_it_runs(
    case: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    code, words, make = REFUSED[case]
    canary = tmp_path / "canary"
    torch.save(make(canary), tmp_path / "model.pt")
    ended = here(tmp_path / "model.pt", "--target", "sim", "-o", tmp_path / "out.sim", "--input-shape", "9")
    assert ended.code == code, ended.err
    assert words in ended.err
    assert "where:" in ended.err
    assert "fix:" in ended.err
    assert "Traceback" not in ended.err
    assert not canary.exists()
    assert not (tmp_path / "out.sim").exists()


@pytest.mark.parametrize("name", ["LSNNRecurrent", "LIFRefracCell", "LIFAdExRecurrentCell", "LIFMCRecurrentCell"])
def test_a_file_of_torch_save_is_run(name: str, here: Callable[..., Any], tmp_path: Path) -> None:
    torch.save(model(name, each=True), tmp_path / "model.pt")
    ended = here("run", tmp_path / "model.pt", "--random", 60, "--rate", 0.4, "--json")
    assert ended.code == 0, ended.err
    (layer,) = [one for one in json.loads(ended.out)["result"]["layers"] if one["spikes"] is not None]
    assert 0 < layer["rate"] < 1
