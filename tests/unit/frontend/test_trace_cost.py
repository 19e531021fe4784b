"""What tracing costs: one copy of the weights, whatever the number of steps that are recorded."""

from __future__ import annotations

import tracemalloc

import norse.torch as snn
import pytest
import torch
from torch import nn
from traced_models import spikes

from norse_export.frontend import undisturbed
from norse_export.frontend.trace import trace

N = 2000
WEIGHT_BYTES = 4 * N * N
SHARE = 4 * 2**20 / WEIGHT_BYTES  # temporaries of a check for NaN, which goes in blocks of 4 M elements


def wide(*behind: nn.Module) -> nn.Module:
    layer = nn.Linear(N, N)
    with torch.no_grad():
        layer.weight.normal_(0, N**-0.5, generator=torch.Generator().manual_seed(0))
    return snn.SequentialState(layer, *behind, snn.LIFCell()).eval()


@pytest.mark.parametrize(("behind", "copies"), [((), 1), ((nn.BatchNorm1d(N),), 2)], ids=["linear", "folded"])
def test_tracing_holds_the_weights_once_more(behind: tuple[nn.Module, ...], copies: int) -> None:
    """Twice where a normalisation is folded: the weights as they were, and folded. The model's own are not counted."""
    model, x = wide(*behind), spikes(6, 2, N)
    trace(wide(), x)  # what is loaded and cached once
    tracemalloc.start()
    try:
        traced = trace(model, x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced.graph.nodes["0"]
    assert copies <= peak / WEIGHT_BYTES < copies + SHARE + 0.2


def test_every_tensor_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    original = undisturbed.copied

    def counting(tensor: torch.Tensor) -> object:
        copied.append(id(tensor))
        return original(tensor)

    monkeypatch.setattr(undisturbed, "copied", counting)
    model = wide(nn.BatchNorm1d(N))
    trace(model, spikes(9, 2, N))
    assert all(copied.count(id(parameter)) == 1 for parameter in model.parameters())
