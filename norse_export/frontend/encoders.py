"""Norse's encoders: populations of the graph where they are deterministic, and a boundary of it where they are not.

ConstantCurrentLIFEncoder shows one image at every step to a LIF without a synapse: dv = dt/tau_mem ((v_leak - v) + x).
That is the step of `cuba_lif` whose current decays within the step: beta = 1, so that i is what arrives, exactly. It
resets by v - (v - v_reset), which is v_reset in every float type only where that is 0; one that resets elsewhere is a
boundary. SpikeLatencyLIFEncoder is the same neuron, at rest for ever after its first spike. SpikeLatencyEncoder, which
passes on the first value of a raster, is a population where that raster is the spikes of one; values of any other size
it passes on as they are, which no population does.

Of an encoder of images the input of the graph is the image, shown at every step. All others are random, or take values
of any size: the raster behind such an encoder is the graph's input, and the encoder stays with the user.

Source: norse 1.1.0, norse/torch/functional/encode.py, and lif_current_encoder in norse/torch/functional/lif.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks.norse_checks import method_problem, numbers_of, parameter
from norse_export.frontend.recording import Recording
from norse_export.ir.layers import Input
from norse_export.ir.neurons import CubaLIF, LIFRefrac, NeuronModel

_MODULE = "norse.torch.module.encode"
_OF_IMAGES = ("ConstantCurrentLIFEncoder", "SpikeLatencyLIFEncoder")
_NAMES = (*_OF_IMAGES, "PoissonEncoder", "SignedPoissonEncoder", "SpikeLatencyEncoder")
_FOR_EVER = 2.0**24  # steps of rest: the most that float32 counts one by one


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder at a path gave: the raster [T, B, ...]."""

    path: str
    raster: torch.Tensor


def is_encoder(module: Any) -> bool:
    """Whether a module is an encoder of Norse's that gives a raster."""
    return type(module).__module__ == _MODULE and type(module).__name__ in _NAMES


def encode(recording: Recording, original: Callable[..., Any], module: Any, path: str, args: tuple[Any, ...]) -> Any:
    """Call an encoder: a population, or what it gives is the input of the graph."""
    x = next((argument for argument in args if isinstance(argument, torch.Tensor)), None)
    with recording.pause():
        raster = original(module, *args)
        value = None if x is None else recording.value(x)
        made = None if x is None or value is None else _inside(recording, module, path, x, value, raster)
    if made is not None:
        recording.track(raster, made)
        return raster
    builder = recording.builder
    name = None if value is None else value.node
    if name is None or not isinstance(node := builder.nodes.get(name), Input) or name in builder.consumed:
        message = f"{type(module).__name__} encodes something else than the model's own input"
        builder.refuse("encoder", path, message, "put the encoder first, or encode the input before the model")
        recording.track(raster, Value(None, 0))
        return raster
    builder.nodes[name] = Input(tuple(raster.shape[2:]), node.dtype)
    recording.encoded[name] = Encoded(path, raster.detach().clone())
    for past in [key for key, known in recording.values.items() if known.node == name]:
        del recording.values[past]  # what was encoded is no part of the graph
    recording.track(raster, Value(name, 2))
    return raster


def _inside(
    recording: Recording, module: Any, path: str, x: torch.Tensor, value: Value, raster: torch.Tensor
) -> Value | None:
    """The encoder as a population; None where it is none."""
    builder = recording.builder
    if builder.now is not None or value.state_of:
        return None
    dtype = str(x.dtype).removeprefix("torch.")
    if type(module).__name__ in _OF_IMAGES:
        if not recording.encoders or not _exact(module, x):
            return None
        if value.lead != 1:  # the model takes an image: it is recorded again as one
            recording.images.update(dict.fromkeys(_inputs_of(builder, value), len(raster)))
            return Value(None, 2)
        made = builder.add(builder.unique(path, module=True), lambda: _population(module, x, dtype), 2, (value, "x"))
        recording.showing.update(() if made.node is None else (made.node,))
        return made
    sender = builder.nodes.get(value.node or "")
    if type(module).__name__ != "SpikeLatencyEncoder" or not isinstance(sender, NeuronModel) or not sender.spikes:
        return None
    first = _first_spikes(sender, dtype)
    return builder.add(builder.unique(path, module=True), lambda: first, value.lead, (value, "x"))


def _inputs_of(builder: Builder, value: Value) -> list[str]:
    """The inputs of the graph that a value is made of; all of them where that is not known."""
    work, seen = [value.node], set[str | None]()
    while work:
        name = work.pop()
        seen.add(name)
        work += [edge.source for edge in builder.edges if edge.target == name and edge.source not in seen]
    inputs = [name for name, node in builder.nodes.items() if isinstance(node, Input)]
    return inputs if value.node is None else [name for name in inputs if name in seen]


def _exact(module: Any, x: torch.Tensor) -> bool:
    """Whether a population does what the encoder does, to the bit."""
    p, latency = module.p, type(module).__name__ == "SpikeLatencyLIFEncoder"
    held = {name: parameter(value, x.ndim - 1) for name, value in numbers_of(p).items()}
    known = all(value.ndim < x.ndim and np.isfinite(value).all() for value in held.values())
    if not known or method_problem(module, "") is not None or not (latency or np.all(held["v_reset"] == 0)):
        return False
    first = held["v_leak"]  # ConstantCurrentLIFEncoder begins in torch's own float type
    typed = np.array_equal(first.astype(np.float32), first) or x.dtype == torch.float32
    return typed and _step(module, x, torch.zeros_like(x))[1].dtype == x.dtype


def _step(module: Any, x: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from norse.torch.functional.lif import lif_current_encoder

    z, after = lif_current_encoder(input_current=x, voltage=v, p=module.p, dt=module.dt)
    return z, after


def _population(module: Any, x: torch.Tensor, dtype: str) -> NeuronModel:
    p, dt, shape = module.p, float(module.dt), tuple(x.shape[1:])
    alpha = parameter(module.dt * p.tau_mem_inv, len(shape)).astype(dtype)
    with np.errstate(divide="ignore"):  # a coefficient of exactly 0 is legal: nothing leaks
        tau = np.float64(dt) / alpha.astype(np.float64)
    v_leak, v_th = (parameter(value, len(shape)).astype(dtype) for value in (p.v_leak, p.v_th))
    values = {"alpha": alpha, "tau_mem": tau, "v_leak": v_leak, "v_th": v_th, **_direct(dt, dtype)}
    if type(module).__name__ == "ConstantCurrentLIFEncoder":
        return CubaLIF(shape=shape, dt=dt, dtype=dtype, **values)
    return LIFRefrac(shape=shape, dt=dt, dtype=dtype, rho_reset=np.asarray(_FOR_EVER, dtype), **values)


def _direct(dt: float, dtype: str) -> dict[str, Any]:
    """A current that is what arrives, and a membrane that starts from 0 and is reset to it."""
    zero, one = np.zeros((), dtype), np.ones((), dtype)
    return {"beta": one, "tau_syn": np.float64(dt), "v_reset": zero, "v0": zero, "i0": zero}


def _first_spikes(sender: NeuronModel, dtype: str) -> NeuronModel:
    """A population that passes on the first spike of each neuron: v is what arrives, and then it rests for ever."""
    one, dt = np.ones((), dtype), sender.dt
    values = {"alpha": one, "tau_mem": np.float64(dt), "v_leak": 0 * one, "v_th": one / 2, **_direct(dt, dtype)}
    return LIFRefrac(shape=sender.shape, dt=dt, dtype=dtype, rho_reset=np.asarray(_FOR_EVER, dtype), **values)


@contextmanager
def replaced(model: torch.nn.Module, encoded: Mapping[str, Encoded]) -> Iterator[None]:
    """Inside, each of these encoders gives its raster, whatever it is called with."""
    modules = dict(model.named_modules())
    hooks = [
        modules[one.path if one.path in modules else ""].register_forward_hook(
            lambda *_, raster=one.raster: raster.clone()
        )
        for one in encoded.values()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def showing(model: torch.nn.Module, steps: int, *, frames: bool) -> Iterator[None]:
    """Inside, encoders of images give so many steps. frames: they take as many images for each sample, [T B, ...]."""

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any) -> torch.Tensor:
        x = next(value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        return _shown(module, x.reshape(steps, -1, *x.shape[1:]) if frames else x.expand(steps, *x.shape))[0]

    encoders = [m for m in model.modules() if is_encoder(m) and type(m).__name__ in _OF_IMAGES]
    hooks = [module.register_forward_hook(hook, with_kwargs=True) for module in encoders]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def final_state(module: Any, args: tuple[Any, ...], spikes: torch.Tensor) -> dict[str, torch.Tensor]:
    """The state in which an encoder leaves the population that it is, which it does not tell itself."""
    x = next(value for value in args if isinstance(value, torch.Tensor))
    steps, zero = len(spikes), torch.zeros_like(spikes[0]).to(x.dtype)
    if type(module).__name__ == "ConstantCurrentLIFEncoder":
        return {"v": _membrane(module, x, spikes.shape), "i": zero}
    fired = spikes.any(0)
    v = zero if type(module).__name__ == "SpikeLatencyEncoder" else _membrane(module, x, spikes.shape)
    since = steps - 1 - spikes.argmax(0)
    return {"v": torch.where(fired, 0, v), "i": zero, "rho": torch.where(fired, _FOR_EVER - since, zero)}


def _membrane(module: Any, x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The membrane after the last step. shape: that of the spikes; x: an image for all steps, or one for each."""
    return _shown(module, x.expand(shape) if x.shape == shape[1:] else x.reshape(shape))[1]


def _shown(module: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What an encoder of images gives where it is shown another one at each step, [T, B, ...]; its last membrane."""
    latency = type(module).__name__ == "SpikeLatencyLIFEncoder"
    v = torch.zeros_like(images[0]) if latency else torch.zeros(images.shape[1:])
    fired, spikes = torch.zeros_like(v), []
    for image in images:
        z, v = _step(module, image, v)
        spikes.append(torch.where(fired > 0, 0, z) if latency else z.to(fired.dtype))
        fired = fired + z
    return torch.stack(spikes), v
