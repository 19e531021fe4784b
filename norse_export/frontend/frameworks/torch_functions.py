"""Modules of torch.nn that are a function of each cell by itself -> elementwise nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import Call, Rule, refused
from norse_export.ir.shaping import Elementwise

Steps = Callable[[Any], tuple[tuple[str, dict[str, float]], ...]]  # functions of a module, each with its numbers


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    from torch import nn

    return {kind: partial(_rule, steps=steps) for kind, steps in _functions(nn).items()}


def _functions(nn: Any) -> dict[type, Steps]:
    return {
        nn.ReLU: lambda _: (("relu", {}),),
        nn.ReLU6: lambda m: (("at_least", {"bound": m.min_val}), ("at_most", {"bound": m.max_val})),
        nn.Hardtanh: lambda m: (("at_least", {"bound": m.min_val}), ("at_most", {"bound": m.max_val})),
        nn.LeakyReLU: lambda m: (("leaky_relu", {"slope": m.negative_slope}),),
    }


def _rule(call: Call, builder: Builder, *, steps: Steps) -> Value:
    name = type(call.module).__name__
    if call.shared:
        message = f"{name} with inplace=True changes a tensor that another layer or a state also uses"
        return refused(call, builder, "in_place", message, f"use nn.{name} without inplace")
    value, functions = call.x, steps(call.module)
    for number, (function, numbers) in enumerate(functions, 1):
        last = number == len(functions)
        path = call.path if last else builder.unique(f"{call.path}.{function}")
        constants = {key: np.full(call.features, held, call.x_dtype) for key, held in numbers.items()}
        make = partial(Elementwise, function, call.features, constants)
        value = builder.add(path, make, call.x.lead, (value, "x"))
    return value
