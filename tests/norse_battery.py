"""Every class of Norse's neurons, with parameters that are no short fractions, driven so that it fires. Not tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import norse.torch as snn
import numpy as np
import torch
from norse.torch.functional.coba_lif import CobaLIFParameters
from norse.torch.functional.izhikevich import IzhikevichParameters, IzhikevichSpikingBehavior, IzhikevichState
from norse.torch.functional.lif_adex import LIFAdExParameters
from norse.torch.functional.lif_adex_refrac import LIFAdExRefracParameters
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse.torch.functional.lsnn import LSNNParameters
from torch import nn

N = 6  # neurons
DT = 0.0013
Values = Callable[[str, float], Any]

V_LEAK = float(np.float32(0.03))  # that of a float64 model is a float32 number, too: some states start in float32
LEVELS = {"v_leak": V_LEAK, "v_th": 0.37, "v_reset": -0.04}
CUBA = {"tau_syn_inv": 133.0, "tau_mem_inv": 371.0, **LEVELS}
EX = {"delta_T": 0.43, **CUBA}
ADEX = {"adaptation_current": 0.3, "adaptation_spike": 0.11, "tau_ada_inv": 87.0, **EX}
IZHIKEVICH = {
    "a": 0.021, "b": 0.23, "c": -63.0, "d": 5.7, "sq": 0.041, "mn": 5.1, "bias": 139.0, "v_th": 29.0, "tau_inv": 170.0,
}  # fmt: skip
COBA = {
    "tau_syn_exc_inv": 133.0, "tau_syn_inh_inv": 171.0, "c_m_inv": 310.0, "g_l": 0.27, "e_rev_I": -90.0,
    "e_rev_E": 55.0, "v_rest": -3.0, "v_reset": -66.0, "v_thresh": -11.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Battery:
    """A family: its tuple of parameters with numbers for them, and the classes that take it.

    within: the field that holds the tuple of the neuron proper. full: classes whose initial state is filled with one
    v_leak (or v_th), so that it cannot be one for each neuron. drive: how strong the weights in front have to be.
    exponential: its last bit differs between numpy and torch.
    """

    parameters: Any
    numbers: Mapping[str, float]
    classes: tuple[str, ...]
    full: tuple[str, ...] = ()
    full_threshold: tuple[str, ...] = ()
    inner: Any = None
    within: str = ""
    drive: float = 2.0
    exponential: bool = False

    def make(self, values: Values) -> Any:
        """The tuple, each number of it as `values(name, number)` gives it."""
        made = {name: values(name, number) for name, number in self.numbers.items() if name != "rho_reset"}
        if not self.within:
            return self.parameters(**made)
        rest = values("rho_reset", self.numbers["rho_reset"])
        return self.parameters(**{self.within: self.inner(**made)}, rho_reset=rest)


def _named(base: str, *forms: str) -> tuple[str, ...]:
    return tuple(f"{base}{form}" for form in forms)


_ALL = ("Cell", "", "RecurrentCell", "Recurrent")
BATTERY: dict[str, Battery] = {
    "LIF": Battery(
        snn.LIFParameters, CUBA, _named("LIF", *_ALL), full=("LIF", "LIFRecurrentCell", "LIFRecurrent"), drive=0.8
    ),
    "LIFBox": Battery(
        snn.LIFBoxParameters,
        {name: value for name, value in CUBA.items() if name != "tau_syn_inv"},
        ("LIFBoxCell",),
        drive=3.5,
    ),
    "LI": Battery(
        snn.LIParameters,
        {name: CUBA[name] for name in ("tau_syn_inv", "tau_mem_inv", "v_leak")},
        ("LICell", "LI", "LILinearCell"),
        full=("LI",),
    ),
    "LIBox": Battery(snn.LIBoxParameters, {name: CUBA[name] for name in ("tau_mem_inv", "v_leak")}, ("LIBoxCell",)),
    "IAF": Battery(
        snn.IAFParameters, {name: LEVELS[name] for name in ("v_th", "v_reset")}, ("IAFCell", "IAF"), drive=0.5
    ),
    "LSNN": Battery(
        LSNNParameters,
        {**CUBA, "tau_adapt_inv": 61.0, "beta": 0.4},
        _named("LSNN", *_ALL),
        drive=2.0,
        full=_named("LSNN", *_ALL),
        full_threshold=("LSNN", "LSNNRecurrent"),
    ),
    "LIFRefrac": Battery(
        LIFRefracParameters,
        {**CUBA, "rho_reset": 3.0},
        _named("LIFRefrac", "Cell", "RecurrentCell", "Recurrent"),
        full=("LIFRefracCell", "LIFRefracRecurrent"),
        inner=snn.LIFParameters,
        within="lif",
    ),
    "LIFEx": Battery(
        LIFExParameters, EX, _named("LIFEx", *_ALL), full=_named("LIFEx", *_ALL), drive=0.8, exponential=True
    ),
    "LIFAdEx": Battery(
        LIFAdExParameters,
        ADEX,
        _named("LIFAdEx", *_ALL),
        full=_named("LIFAdEx", "", "RecurrentCell", "Recurrent"),
        drive=0.8,
        exponential=True,
    ),
    "LIFAdExRefrac": Battery(
        LIFAdExRefracParameters,
        {**ADEX, "rho_reset": 3.0},
        _named("LIFAdExRefrac", "Cell", "RecurrentCell", "Recurrent"),
        full=_named("LIFAdExRefrac", "RecurrentCell", "Recurrent"),
        inner=LIFAdExParameters,
        within="lif_adex",
        exponential=True,
    ),
    "LIFMC": Battery(snn.LIFParameters, CUBA, ("LIFMCRecurrentCell",), drive=0.8),
    "LIFMCRefrac": Battery(
        LIFRefracParameters,
        {**CUBA, "rho_reset": 3.0},
        ("LIFMCRefracRecurrentCell",),
        inner=snn.LIFParameters,
        within="lif",
    ),
    "Izhikevich": Battery(IzhikevichParameters, IZHIKEVICH, _named("Izhikevich", *_ALL), drive=90.0),
    "CobaLIF": Battery(CobaLIFParameters, COBA, ("CobaLIFCell",)),
}
CLASSES: dict[str, str] = {name: family for family, battery in BATTERY.items() for name in battery.classes}
# These compute their first step in float32, where their parameters are of float32, and the model is in float64.
FIRST_STEP = ("LIFAdExCell", "LIFAdExRefracCell", "IzhikevichCell", "Izhikevich")


def class_of(name: str) -> Any:
    """The class by its name; some are not handed on by norse.torch."""
    from importlib import import_module

    return getattr(snn, name, None) or getattr(import_module("norse.torch.module.izhikevich"), name)


def has_weights(name: str) -> bool:
    """Whether the class has input weights of its own."""
    return "Recurrent" in name or name in ("LILinearCell", "CobaLIFCell")


def is_sequence(name: str) -> bool:
    """Whether the class takes whole rasters, time first."""
    return not name.endswith("Cell")


def varied(number: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers around `number`, one for each neuron, none of them a short fraction."""
    return number * torch.linspace(0.71, 1.29, N, dtype=torch.float64).to(dtype)


def parameters(name: str, *, each: bool, dtype: torch.dtype = torch.float32) -> Any:
    """The tuple of parameters of a class. each: a number for each neuron, wherever Norse takes it."""
    battery = BATTERY[CLASSES[name]]
    single = set()
    if name in battery.full:
        single.add("v_leak")
    if name in battery.full_threshold:
        single.add("v_th")

    def values(field: str, number: float) -> Any:
        if field == "rho_reset":
            return torch.tensor([1.0, 2.0, 3.0] * (N // 3) if each else number, dtype=dtype)
        return varied(number, dtype) if each and field not in single else torch.tensor(number, dtype=dtype)

    return battery.make(values)


def population(name: str, p: Any, dt: float = DT, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A module of the class with N neurons; weights of its own are drawn on a grid, so that sums of them are exact."""
    cls = class_of(name)
    if CLASSES[name] == "Izhikevich":
        state = IzhikevichState(v=torch.tensor(-65.0), u=torch.tensor(-13.0))
        p = IzhikevichSpikingBehavior(p=p, s=state)
    if not has_weights(name):
        return cls(p, dt=dt).to(dtype)
    module = cls(N, N, p, dt=dt)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, weight in module.named_parameters():
            drawn = torch.rand(weight.shape, generator=generator) * 2 - 1
            if key == "input_weights":  # each neuron has an input of its own, and a little of the others
                drawn = (drawn / 8 + torch.eye(N, N)) * BATTERY[CLASSES[name]].drive
            elif key == "recurrent_weights":
                drawn = drawn / 2
            weight.copy_(torch.round(drawn * 16) / 16)
        if hasattr(module, "g_coupling"):  # one entry a row, a power of two: exact sums, and stable
            coupling = torch.zeros(N, N)
            for row in range(N):
                coupling[row, (row + 1) % N] = 0.25 if "Refrac" in name else 16.0
            module.g_coupling.copy_(coupling)
    return module.to(dtype)


def model(name: str, *, each: bool, dtype: torch.dtype = torch.float32, grid: bool = False) -> nn.Module:
    """Weights, the population, and weights behind it. grid: all weights are multiples of a power of two."""
    drive = BATTERY[CLASSES[name]].drive if not has_weights(name) else 1.0
    first, last = nn.Linear(9, N), nn.Linear(N, 4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer, scale in ((first, drive / 2), (last, 1.0)):
            for weight in layer.parameters():
                drawn = (torch.rand(weight.shape, generator=generator) * 2 - 0.85) * scale
                weight.copy_(torch.round(drawn * 64) / 64 if grid else drawn)
    made = population(name, parameters(name, each=each, dtype=dtype), dtype=dtype)
    return snn.SequentialState(first, made, last).to(dtype).eval()


def raster(steps: int = 60, samples: int = 3, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Zeros and ones [T, B, 9]."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((steps, samples, 9), generator=generator) < 0.4).to(dtype)


def flat(state: Any) -> dict[str, Any]:
    """The variables of a state of Norse's, of a state within it, too; without the spikes z."""
    found: dict[str, Any] = {}
    for name, value in state._asdict().items():
        found |= flat(value) if hasattr(value, "_asdict") else {} if name == "z" else {name: value}
    return found


def states_of(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Each state variable of the population after each step [T, B, N], as the model itself gives it.

    A sequence is called once a step, with the state that it gave.
    """
    population, seen, state = model[1], dict[str, list[torch.Tensor]](), None
    with torch.no_grad():
        for step in x:
            value = model[0](step)
            value = value[None] if is_sequence(type(population).__name__) else value
            _, state = population(value, state) if state is not None else population(value)
            for name, variable in flat(state).items():
                seen.setdefault(name, []).append(torch.as_tensor(variable).clone())
    return {name: torch.stack(steps).numpy() for name, steps in seen.items()}
