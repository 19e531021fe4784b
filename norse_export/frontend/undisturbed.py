"""Runs a model without changing it: what a forward pass does to the model itself is undone, and told."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")
_DEEPEST = 4  # containers inside containers that are searched for tensors: parameters of neurons lie two deep


@dataclass(slots=True)
class Weights:
    """Arrays of a model's tensors, each copied once, however often the model is recorded."""

    _made: dict[Any, tuple[Any, Any]] = field(default_factory=dict)

    def array(self, tensor: torch.Tensor) -> Array:
        """The tensor's values as they were when it was first asked for, on the CPU, as an array of its own."""
        if id(tensor) not in self._made:
            self._made[id(tensor)] = (tensor, copied(tensor))
        found: Array = self._made[id(tensor)][1]
        return found

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives, made at the first call with this key."""
        if key not in self._made:
            self._made[key] = (None, make())
        found: T = self._made[key][1]
        return found


@dataclass(frozen=True, slots=True)
class _Kept:
    """A tensor of the model with what it held."""

    name: str
    tensor: torch.Tensor
    values: Array
    requires_grad: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a model held before it ran."""

    weights: Weights
    _kept: tuple[_Kept, ...]

    def changed(self) -> tuple[str, ...]:
        """Names of the tensors whose values are no longer what they were."""
        return tuple(kept.name for kept in self._kept if not _same(kept.tensor, kept.values))


def copied(tensor: torch.Tensor) -> Array:
    """The tensor's values, on the CPU, detached, as a numpy array of its own."""
    return np.array(tensor.detach().cpu().numpy())


@contextmanager
def undisturbed(model: torch.nn.Module) -> Iterator[Snapshot]:
    """Inside, the model may run; afterwards it is as it was before.

    Kept are: values and `requires_grad` of every tensor that a module holds (parameters, buffers, and those in tuples,
    lists and dicts, as Norse keeps the parameters of its neurons), the attributes of every module, its training flag
    and hooks among them, and the random states of torch, numpy and Python.
    """
    weights = Weights()
    kept = tuple(
        _Kept(name, tensor, weights.array(tensor), tensor.requires_grad) for name, tensor in tensors_of(model).items()
    )
    attributes = [(vars(module), dict(vars(module))) for module in model.modules()]
    containers = [(value, _contents(value)) for _, held in attributes for value in held.values() if _is_open(value)]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield Snapshot(weights, kept)
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for container, held in [*attributes, *containers]:
            _refill(container, held)
        for tensor in kept:
            _restore(tensor)


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor that a module of the model holds, once, by its path in the model."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            own = path if name in ("_parameters", "_buffers") else _joined(path, name)
            for inner, tensor in _tensors(own, value, _DEEPEST):
                found.setdefault(id(tensor), (inner, tensor))
    return dict(found.values())


def _tensors(name: str, value: Any, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if depth == 0 or not isinstance(value, Mapping | tuple | list):
        return
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif hasattr(value, "_fields"):
        items = zip(value._fields, value, strict=True)
    else:
        items = enumerate(value)
    for key, inner in items:
        yield from _tensors(_joined(name, str(key)), inner, depth - 1)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_open(value: Any) -> bool:
    return isinstance(value, dict | list | set)


def _contents(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def _refill(container: Any, held: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(held)
    else:
        container.update(held)


def _same(tensor: torch.Tensor, values: Array) -> bool:
    if tuple(tensor.shape) != values.shape:
        return False
    before = torch.from_numpy(values)
    if torch.equal(tensor.detach().cpu(), before):
        return True
    return np.array_equal(copied(tensor), values, equal_nan=values.dtype.kind == "f")


def _restore(kept: _Kept) -> None:
    if tuple(kept.tensor.shape) != kept.values.shape:
        kept.tensor.data = torch.from_numpy(kept.values.copy())
    elif not _same(kept.tensor, kept.values):
        kept.tensor.data.copy_(torch.from_numpy(kept.values))
    if kept.tensor.is_leaf and kept.tensor.requires_grad != kept.requires_grad:
        kept.tensor.requires_grad_(kept.requires_grad)
