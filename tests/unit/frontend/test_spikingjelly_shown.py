"""SpikingJelly's models as its examples have them: one image, repeated to a raster or shown in a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from counted_nets import weighted
from torch import nn
from traced_models import equal

from norse_export.ir.doubts import IMAGES, READOUTS

neuron = pytest.importorskip("spikingjelly.activation_based.neuron", reason="SpikingJelly is not installed")
layer = pytest.importorskip("spikingjelly.activation_based.layer", reason="SpikingJelly is not installed")
functional = pytest.importorskip("spikingjelly.activation_based.functional", reason="SpikingJelly is not installed")

T = 16
IMAGE = torch.rand((3, 1, 6, 6), generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A convolution and a classifier; `show` gives the raster, None: each step takes the image."""

    def __init__(self, show: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
        super().__init__()
        self.show = show
        self.net = nn.Sequential(
            layer.Conv2d(1, 3, 3), layer.BatchNorm2d(3), neuron.IFNode(), layer.MaxPool2d(2, 2), layer.Flatten(),
            layer.Linear(12, 4), neuron.LIFNode(tau=2.0),
        )  # fmt: skip
        if show is not None:
            functional.set_step_mode(self, "m")

    def forward(self, x: torch.Tensor) -> Any:
        if self.show is not None:
            return self.net(self.show(x)).mean(0)
        return torch.stack([self.net(x) for _ in range(T)]).mean(0)


SHOWN: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "repeat": lambda x: x.unsqueeze(0).repeat(T, 1, 1, 1, 1),
    "expand": lambda x: x.unsqueeze(0).expand(T, -1, -1, -1, -1),
    "stack": lambda x: torch.stack([x] * T),
    "a loop": None,
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_image_is_the_input_at_each_step(name: str) -> None:
    traced = equal(weighted(Net(SHOWN[name])), IMAGE * 4)
    assert traced.graph.metadata[IMAGES] == '["input"]'
    assert traced.graph.metadata[READOUTS] == '{"output": "mean"}'
    assert traced.inputs["input"].shape == (T, *IMAGE.shape)
    assert list(traced.reference.spikes) == ["net.2", "net.6"]
