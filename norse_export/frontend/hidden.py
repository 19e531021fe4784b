"""States that modules keep themselves from call to call: every run starts from those that the model came with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from norse_export.frontend.frameworks.table import tables


@contextmanager
def hidden_states(model: torch.nn.Module) -> Iterator[None]:
    """Inside, populations may go on in their states; afterwards they are in those in which they were before."""
    kept = [(where, {name: where[name] for name in names}) for where, names in _places(model)]
    values = [(tensor, tensor.clone()) for _, held in kept for tensor in held.values() if _is_tensor(tensor)]
    try:
        yield
    finally:
        for where, held in kept:
            where.update(held)
        with torch.no_grad():
            for tensor, value in values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)


def hidden_in(model: torch.nn.Module) -> list[Any]:
    """What populations, and containers with a memory, keep at the moment."""
    return [where[name] for where, names in _places(model) for name in names]


def keeps_its_states(model: torch.nn.Module) -> bool:
    """Whether every population in the model keeps its state itself; False where there is none."""
    table = tables()
    populations = [module for module in model.modules() if table.is_population(module)]
    return bool(populations) and all(table.homes[type(one)].hidden(one) is not None for one in populations)


def _places(model: torch.nn.Module) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    frameworks = tables().frameworks
    found = (framework.hidden(module) for module in model.modules() for framework in frameworks)
    return [place for place in found if place is not None]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
