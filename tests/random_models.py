"""Random models as Norse lets a user build them: one to six layers of neurons of any class, and what stands between.

Weights, parameters and time steps are ordinary numbers, one number for a layer or one for each neuron or channel. A
model is a chain in containers of Norse's, a module that takes a step and connects some layers past others, or one that
loops over time by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import norse.torch as snn
import numpy as np
import torch
from norse.torch.functional.izhikevich import IzhikevichSpikingBehavior, IzhikevichState
from norse.torch.functional.reset import reset_subtract
from norse_battery import BATTERY, CLASSES, class_of, has_weights, is_sequence
from torch import nn

Shape = tuple[int, ...]
CELLS = tuple(name for name in CLASSES if not is_sequence(name))
SEQUENCES = tuple(name for name in CLASSES if is_sequence(name))
FORMS = ("chain", "nested", "sequences", "steps", "loop")
STEPS, SAMPLES = 20, 2


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A model, a raster for it, and the classes of neurons in it, in order."""

    module: nn.Module
    raster: torch.Tensor
    form: str
    classes: tuple[str, ...]

    @property
    def time(self) -> str:
        """Whether it takes a step a call."""
        return "inside" if self.form in ("sequences", "loop") else "outside"


def random_model(seed: int, depth: int) -> RandomModel:
    """A model with `depth` populations; the same one in every call."""
    maker = _Maker(np.random.default_rng((seed, depth)))
    form = maker.pick(*FORMS)
    shape: Shape = (
        (maker.number(1, 2), maker.number(5, 7), maker.number(5, 7)) if maker.chance(0.35) else (maker.number(2, 6),)
    )
    raster = torch.from_numpy(maker.raster(shape)).to(maker.dtype)
    layers, classes = maker.layers(shape, depth, form)
    module = _assembled(maker, layers, form).to(maker.dtype).eval()
    return RandomModel(module, raster, form, tuple(classes))


class Skips(nn.Module):
    """Layers one after the other, some of which are given what went into an earlier one, too."""

    def __init__(self, layers: Sequence[nn.Module], past: Sequence[bool]) -> None:
        super().__init__()
        self.layers, self.past = nn.ModuleList(layers), tuple(past)
        self.keeps = tuple(type(layer).__name__ in CLASSES for layer in layers)

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        """A step: what the last layer gives, and the state."""
        states = [None] * len(self.layers) if state is None else list(state)
        for number, layer in enumerate(self.layers):
            before = x
            if self.keeps[number]:
                x, states[number] = layer(x, states[number])
            else:
                x = layer(x)
            if self.past[number] and x.shape == before.shape:
                x = x + before
        return x, states


class Loop(Skips):
    """The same, over time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # no state is handed over
        """A whole raster."""
        state, found = None, []
        for step in x:
            y, state = super().forward(step, state)
            found.append(y)
        return torch.stack(found)


def _assembled(maker: _Maker, layers: list[nn.Module], form: str) -> nn.Module:
    if form in ("steps", "loop"):
        past = [maker.chance(0.3) for _ in layers]
        return Skips(layers, past) if form == "steps" else Loop(layers, past)
    if form == "nested" and len(layers) > 2:
        cut = maker.number(1, len(layers) - 1)
        inner = snn.SequentialState(*layers[cut:])
        stateful = any(type(layer).__name__ in CLASSES for layer in layers[cut:])
        return snn.SequentialState(*layers[:cut], *((inner,) if stateful else layers[cut:]))
    return snn.SequentialState(*layers)


class _Maker:
    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.dtype = torch.float64 if self.chance(0.1) else torch.float32

    def chance(self, p: float) -> bool:
        return bool(self.generator.random() < p)

    def number(self, low: int, high: int) -> int:
        """Both ends included."""
        return int(self.generator.integers(low, high + 1))

    def pick(self, *choices: Any) -> Any:
        return choices[self.generator.integers(len(choices))]

    def raster(self, shape: Shape) -> Any:
        spikes = self.generator.random((STEPS, SAMPLES, *shape)) < self.pick(0.2, 0.4, 0.6)
        return spikes * self.generator.uniform(0.5, 1.5, spikes.shape) if self.chance(0.3) else spikes

    def layers(self, shape: Shape, depth: int, form: str) -> tuple[list[nn.Module], list[str]]:
        """Layers for rasters of a shape, with so many populations; and their classes."""
        found: list[nn.Module] = []
        classes: list[str] = []

        def put(layer: nn.Module, after: Shape) -> None:
            nonlocal shape
            on_steps = form == "sequences" and not isinstance(layer, nn.Linear)
            found.append(snn.Lift(layer) if on_steps else layer)
            shape = after

        def flatten() -> None:
            if len(shape) > 1:
                put(nn.Flatten(), (prod(shape),))

        for _ in range(depth):
            name = str(self.pick(*(SEQUENCES if form == "sequences" else CELLS)))
            on_maps = len(shape) == 3 and not has_weights(name) and self.chance(0.7)
            if not on_maps:
                flatten()
            drive = BATTERY[CLASSES[name]].drive
            if on_maps:
                layer = self.conv(shape, drive)
                put(layer, _shape_behind(layer, shape))
            elif not has_weights(name) or self.chance(0.3):
                wide = self.number(2, 7)
                put(self.linear(shape[0], wide, 1.0 if has_weights(name) else drive), (wide,))
            cell, shape = self.population(name, shape)
            found.append(cell)
            classes.append(name)
            if len(shape) == 3 and min(shape[1:]) > 1 and self.chance(0.4):
                pool = self.pick(nn.AvgPool2d, nn.MaxPool2d)(2)
                put(pool, _shape_behind(pool, shape))
            if self.chance(0.15):
                put(self.pick(nn.Dropout(0.5), nn.Identity(), nn.ReLU()), shape)
        if self.chance(0.6):
            flatten()
            put(self.linear(shape[0], 3, 2.0), (3,))
        return found, classes

    def weights(self, module: nn.Module, scale: float) -> Any:
        """Draw them, more of them positive than negative."""
        with torch.no_grad():
            for weight in module.parameters():
                size = scale / np.sqrt(max(1, weight[0].numel()))
                weight.copy_(torch.from_numpy(self.generator.uniform(-0.8, 1.2, tuple(weight.shape)) * size))
        return module

    def linear(self, n_in: int, n_out: int, drive: float) -> nn.Linear:
        return self.weights(nn.Linear(n_in, n_out, bias=self.chance(0.6)), 1.3 * drive)

    def conv(self, shape: Shape, drive: float) -> nn.Conv2d:
        groups = self.pick(*(n for n in (1, 2) if shape[0] % n == 0))
        kernel = tuple(min(self.number(1, 3), size) for size in shape[1:])
        options = {"stride": self.number(1, 2), "padding": self.number(0, 1), "bias": self.chance(0.5)}
        return self.weights(nn.Conv2d(shape[0], 2 * self.number(1, 2), kernel, groups=groups, **options), 1.3 * drive)

    def population(self, name: str, shape: Shape) -> tuple[nn.Module, Shape]:
        """A module of the class for signals of a shape, and the shape of what it sends."""
        wide = self.number(2, 7)
        after = (wide,) if has_weights(name) else shape
        p = self.parameters(name, (after[0], *(1 for _ in after[1:])))
        dt = self.pick(0.001, 0.0013, 0.0005)
        if CLASSES[name] == "Izhikevich":
            state = IzhikevichState(v=torch.tensor(-65.0), u=torch.tensor(-13.0))
            p = IzhikevichSpikingBehavior(p=p, s=state)
        if not has_weights(name):
            return class_of(name)(p, dt=dt), after
        options = {"autapses": True} if "Recurrent" in name and "MC" not in name and self.chance(0.3) else {}
        module = class_of(name)(shape[0], wide, p, dt=dt, **options)
        drive = BATTERY[CLASSES[name]].drive
        with torch.no_grad():
            for key, weight in module.named_parameters():
                scale = 1.3 * drive if key == "input_weights" else 0.5
                drawn = self.generator.uniform(-0.8, 1.2, tuple(weight.shape)) * scale / np.sqrt(weight.shape[1])
                keep = 1.0 if options or key == "input_weights" else 1 - np.eye(*weight.shape)
                weight.copy_(torch.from_numpy(drawn * keep))
            if hasattr(module, "g_coupling"):
                coupling = self.generator.uniform(0, 0.1 if "Refrac" in name else 10, (wide, wide))
                module.g_coupling.copy_(torch.from_numpy(coupling))
        return module, after

    def parameters(self, name: str, shape: Shape) -> Any:
        """Numbers near those of the battery: one for all, or one for each neuron or channel, where Norse takes it."""
        family = BATTERY[CLASSES[name]]
        single = {"v_leak"} if name in family.full else set()
        single |= {"v_th"} if name in family.full_threshold else set()
        each = self.chance(0.4)

        def values(field: str, number: float) -> Any:
            size = shape if each and field not in single else ()
            if field == "rho_reset":
                return torch.from_numpy(np.asarray(self.generator.integers(1, 5, size), float)).to(self.dtype)
            drawn = number * self.generator.uniform(0.8, 1.2, size)
            if field == "v_leak":  # some states start in float32
                drawn = np.float64(np.float32(drawn)) if not size else drawn.astype(np.float32).astype(float)
            return torch.from_numpy(np.asarray(drawn, float)).to(self.dtype)

        made = family.make(values)
        return made._replace(reset_method=reset_subtract) if name == "LIFBoxCell" and self.chance(0.4) else made


def _shape_behind(layer: nn.Module, shape: Shape) -> Shape:
    with torch.no_grad():
        return tuple(layer(torch.zeros(1, *shape)).shape[1:])
