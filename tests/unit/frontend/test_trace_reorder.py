"""Features in another order, or along other axes: a layer of the graph, in every execution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn
from traced_models import kinds, refusal, same, seeded, spikes

from norse_export import registry
from norse_export.errors import UnsupportedError
from norse_export.ir.shaping import Reorder
from norse_export.passes.linear import DenseWeights, composed

RASTER = spikes(20, 2, 1, 5, 4)
MAPS = (3, 4, 3)  # channels, height, width of what the functions take

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], list[tuple[tuple[int, ...], tuple[int, ...]]]]] = {
    "permute": (lambda h: h.permute(0, 2, 3, 1), [((1, 2, 0), (4, 3, 3))]),
    "permute of a list": (lambda h: h.permute([0, 3, 1, 2]), [((2, 0, 1), (3, 3, 4))]),
    "torch.permute": (lambda h: torch.permute(h, (0, 2, 1, 3)), [((1, 0, 2), (4, 3, 3))]),
    "dims by name": (lambda h: torch.permute(h, dims=(0, 2, 1, 3)), [((1, 0, 2), (4, 3, 3))]),
    "transpose": (lambda h: h.transpose(2, 3), [((0, 2, 1), (3, 3, 4))]),
    "axes counted from behind": (lambda h: h.swapaxes(-1, -3), [((2, 1, 0), (3, 4, 3))]),
    "movedim": (lambda h: torch.movedim(h, 1, -1), [((1, 2, 0), (4, 3, 3))]),
    "moveaxis of several": (lambda h: h.moveaxis((3, 2), (1, 3)), [((2, 0, 1), (3, 3, 4))]),
    "unflatten": (lambda h: h.flatten(1).unflatten(1, (4, 9)).transpose(1, 2), [((0,), (4, 9)), ((1, 0), (9, 4))]),
    "unsqueeze": (lambda h: h.unsqueeze(-1).unsqueeze(1), [((0, 1, 2), (3, 4, 3, 1)), ((0, 1, 2, 3), (1, 3, 4, 3, 1))]),
    "view": (lambda h: h.view(-1, 4, 9).permute(0, 2, 1), [((0, 1, 2), (4, 9)), ((1, 0), (9, 4))]),
    "reshape": (lambda h: h.transpose(1, 2).reshape(len(h), 6, 6), [((1, 0, 2), (4, 3, 3)), ((0, 1, 2), (6, 6))]),
}


class Between(nn.Module):
    """A function of maps of spikes, between two populations; a step at a time."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.conv, self.lif, self.layer, self.cell = nn.Conv2d(1, 3, 2), snn.LIFCell(), nn.Linear(36, 5), snn.LIFCell()

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        first, second = state or (None, None)
        h, first = self.lif(self.conv(x), first)
        y, second = self.cell(self.layer(self.function(h).flatten(1)), second)
        return y, (first, second)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_features_in_another_order_are_a_layer(name: str) -> None:
    function, expected = FUNCTIONS[name]
    traced = same(seeded(Between(function), gain=25.0), RASTER)
    found = [node for node in traced.graph.nodes.values() if isinstance(node, Reorder)]
    assert [(node.order, node.into) for node in found] == expected


def test_it_is_composed_into_weights() -> None:
    """What chips take: the columns of the layer behind it, in another order."""
    traced = same(seeded(Between(FUNCTIONS["permute"][0]), gain=25.0), RASTER)
    chain: list[Any] = [traced.graph.nodes[name] for name in ("permute", "flatten", "layer")]
    weights = composed(chain, MAPS)
    assert isinstance(weights, DenseWeights)
    moved = np.transpose(chain[-1].weight.reshape(5, 4, 3, 3), (0, 3, 1, 2)).reshape(5, -1)
    assert np.array_equal(weights.weight, moved)


def test_nir_refuses_it_by_name() -> None:
    traced = same(seeded(Between(FUNCTIONS["permute"][0]), gain=25.0), RASTER)
    (finding,) = registry.load("nir").check(traced.graph)
    assert finding.where == "permute"
    assert finding.message == "a reordering of the features between layers: NIR has no primitive for it"


def test_onnx_carries_it(tmp_path: Path) -> None:
    target = registry.load("onnx")
    traced = same(seeded(Between(FUNCTIONS["moveaxis of several"][0]), gain=25.0), RASTER)
    assert [finding for finding in target.check(traced.graph) if finding.severity == "error"] == []


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "time and batch": (lambda h: h.permute(1, 0, 2, 3), "axes of features may be put in another order, and here those"),
    "an axis before the batch": (lambda h: h.unsqueeze(0), "a view may change the axes of features, and nothing else"),
    "a batch of one cell": (lambda h: h.reshape(-1, 1), "a view may change the axes of features, and nothing else"),
    "the batch taken apart": (lambda h: h.unflatten(0, (1, -1)), "a view may change the axes of features"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_batch_stays_where_it_is(name: str) -> None:
    function, what = WRONG[name]
    findings = refusal(seeded(Between(function)), RASTER, error=UnsupportedError)
    assert kinds(findings)[0] == "operation"
    assert what in findings[0].message
