"""trace: the graph that it gives does what the model does over the whole example, or it is refused."""

from __future__ import annotations

from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn

import norse_export
from norse_export.errors import ParityError

X = (torch.rand(80, 2, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()


class Late(nn.Module):
    """Sends every spike twice from some call on."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.layer, self.cell, self.calls, self.last = nn.Linear(5, 6), snn.LIFCell(), 0, last
        nn.init.constant_(self.layer.weight, 0.5)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        self.calls += 1
        z, state = self.cell(self.layer(x), state)
        return (z + z if self.calls > self.last else z), state


def test_a_model_that_acts_differently_at_a_late_step_is_refused() -> None:
    with pytest.raises(ParityError, match=r"differs from the model at step \d\d") as caught:
        norse_export.trace(Late(60), X)
    assert caught.value.where == "output"
    assert "acting differently at some step" in caught.value.fix


def test_a_model_that_always_acts_the_same_is_traced() -> None:
    traced = norse_export.trace(Late(1000), X, time="outside")
    assert list(traced.graph.nodes) == ["input", "layer", "cell", "output"]
    assert np.array_equal(traced.inputs["input"], X.numpy())
    assert traced.reference.spikes["cell"].any()
