"""Layers for networks of frameworks that count time in steps, driven so that every population fires. Not tests."""

from __future__ import annotations

import torch
from torch import nn


def weighted(model: nn.Module, gain: float = 2.0, seed: int = 0) -> nn.Module:
    """The model in evaluation mode; weights of its layers drawn anew, parameters of its neurons as they are."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                scale = gain / module.weight[0].numel() ** 0.5
                module.weight.copy_(scale * drawn(module.weight, -0.7, 1.0))
                if module.bias is not None:
                    module.bias.copy_(drawn(module.bias, -0.1, 0.1))
            elif isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(drawn(module.running_mean, -0.2, 0.2))
                module.running_var.copy_(drawn(module.running_var, 0.5, 1.5))
    return model.eval()
