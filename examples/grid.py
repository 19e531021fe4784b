"""Rounds a network to a power-of-two grid, on which float32 sums are exact in every order."""

from __future__ import annotations

import copy
from math import ceil, log2

import torch
from norse.torch import LICell, LIFCell, SequentialState
from torch import Tensor, nn

SUM_LIMIT = 2**24  # float32 holds every whole number up to here


def to_grid(model: SequentialState, bits: int) -> SequentialState:
    """A copy of the model whose weights and biases are n * 2^-k, with k chosen for each layer.

    k is the largest for which every n fits into `bits` bits with its sign, and for which no partial sum of a layer,
    on spikes or on spikes averaged over 2^m neurons, can reach 2^24 units of its grid. Such sums are exact in
    float32, so that their order does not matter. The parameters of the neurons are not touched.

    Raises:
        ValueError: `bits` is below 2, or a layer's sums cannot be shown to be exact.
    """
    if bits < 2:
        raise ValueError(f"a weight needs at least 2 bits, one of them its sign, not {bits}")
    rounded = copy.deepcopy(model)
    unit, peak = 1.0, 1.0  # values are whole multiples of `unit`, at most `peak` in size; spikes are 0 or 1
    for name, layer in rounded.named_children():
        match layer:
            case nn.Conv2d() | nn.Linear() if unit > 0:
                unit, peak = _round_weights(layer, bits, unit=unit, peak=peak)
            case nn.AvgPool2d() if unit > 0:
                unit /= _power_of_two_area(layer, name)
            case nn.Flatten():
                pass
            case LIFCell():
                unit, peak = 1.0, 1.0
            case LICell():
                unit, peak = 0.0, float("inf")  # a membrane potential lies on no grid; nothing may sum it
            case _:
                raise ValueError(f"layer {name}: cannot show that the sums of a {type(layer).__name__} here are exact")
    return rounded


@torch.no_grad()
def _round_weights(layer: nn.Conv2d | nn.Linear, bits: int, *, unit: float, peak: float) -> tuple[float, float]:
    """Round one layer in place; the unit and the largest size of its sums."""
    bias = torch.zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias
    weight, bias = layer.weight.double(), bias.double()
    n_max = 2 ** (bits - 1) - 1
    largest = max(weight.abs().max().item(), bias.abs().max().item())
    step = 2.0 ** ceil(log2(largest / n_max)) if largest > 0 else 1.0
    while _largest_sum(weight, bias, step, unit=unit, peak=peak) >= SUM_LIMIT:
        step *= 2
    layer.weight.copy_(torch.round(weight / step) * step)
    if layer.bias is not None:
        layer.bias.copy_(torch.round(bias / step) * step)
    return unit * step, _largest_sum(weight, bias, step, unit=unit, peak=peak) * unit * step


def _largest_sum(weight: Tensor, bias: Tensor, step: float, *, unit: float, peak: float) -> float:
    """A bound of every partial sum of a layer rounded to `step`, in units of step * unit."""
    weights = torch.round(weight / step).abs().flatten(1).sum(1) * (peak / unit)
    return float((weights + torch.round(bias / step).abs() / unit).max())


def _power_of_two_area(pool: nn.AvgPool2d, name: str) -> int:
    """How many values the pooling averages, if dividing by it is exact and the same at every place."""
    sides = pool.kernel_size if isinstance(pool.kernel_size, tuple) else (pool.kernel_size,) * 2
    area = sides[0] * sides[1]
    if area & (area - 1) or pool.padding not in (0, (0, 0)) or pool.ceil_mode or pool.divisor_override:
        raise ValueError(f"layer {name}: only an unpadded average of 2^m values is exact, not {pool}")
    return area
