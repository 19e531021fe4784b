"""What tracing starts from, checked before the model runs: the model itself, and the example raster."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError, UsageError
from norse_export.frontend.undisturbed import tensors_of

_FLOATS = (torch.float32, torch.float64)
STATES = ("state", "states", "hidden", "hidden_state", "hx")
_RASTER = "give a raster [T, B, ...] with at least one step and one sample"
_WHERE = "example_input"


def check_model(model: Any) -> None:
    """Refuse what cannot be run and read as it is.

    Raises:
        UsageError: no module at all.
        UnsupportedError: tensors that are not on the CPU, not dense, not yet made, or of another float type than
            float32 and float64; modules that were compiled. All findings are listed.
    """
    if not isinstance(model, torch.nn.Module):
        given = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        message = f"the model is {given}, not a torch.nn.Module"
        raise UsageError(message, where="model", fix="pass the module itself, as the first argument")
    findings = [finding for name, tensor in tensors_of(model).items() for finding in _wrong_tensor(name, tensor)]
    if findings:
        raise UnsupportedError.of(findings)


def _wrong_tensor(name: str, tensor: torch.Tensor) -> Iterator[Finding]:
    def wrong(kind: str, what: str, fix: str) -> Finding:
        return Finding(kind, "error", name, what, fix)

    if torch.nn.parameter.is_lazy(tensor):
        yield wrong("lazy", "a lazy layer that has no weights yet", "run the model once before saving it")
    elif tensor.device.type != "cpu":
        fix = "call model.cpu() before saving: what the model does is recorded on the CPU"
        yield wrong("device", f"a tensor on the device {tensor.device}", fix)
    elif tensor.layout is not torch.strided or tensor.is_quantized:
        yield wrong("layout", "a sparse or quantised tensor", "use dense tensors")
    elif tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in _FLOATS):
        what = f"a tensor of type {_name(tensor.dtype)}: models are exported in float32 or float64"
        yield wrong("dtype", what, "call model.float() before saving")


def model_float(model: torch.nn.Module) -> torch.dtype | None:
    """The float type in which a model computes; None where no parameter or buffer says so.

    Raises:
        UnsupportedError: parameters of both types.
    """
    held = [*model.named_parameters(), *model.named_buffers()]
    first = {tensor.dtype: name for name, tensor in reversed(held) if tensor.is_floating_point()}
    if len(first) > 1:
        raise UnsupportedError(
            "the model mixes float32 and float64 parameters",
            where=", ".join(first.values()),
            fix="call model.float() or model.double()",
            kind="dtype",
        )
    return next(iter(first), None)


def as_rasters(example: Any, dtype: torch.dtype | None) -> tuple[torch.Tensor, ...]:
    """The example as dense float tensors [T, B, ...] of their own memory, in `dtype` (None: their own float type).

    example: a raster, or a tuple of them for a model of several inputs. A type that holds no fractions (bool, integers)
    becomes float32 where `dtype` does not say otherwise.

    Raises:
        UsageError: no rasters, empty, without a time or batch axis, not finite, or of different numbers of steps or
            samples.
    """
    rasters = tuple(_as_raster(one, dtype) for one in _several(example) or (example,))
    if len({raster.shape[:2] for raster in rasters}) > 1:
        given = ", ".join(str(tuple(raster.shape)) for raster in rasters)
        message = f"rasters of different numbers of steps or samples: {given}"
        raise UsageError(message, where=_WHERE, fix=f"{_RASTER}, the same for all inputs", kind="inputs")
    return rasters


def check_inputs(model: torch.nn.Module, count: int) -> None:
    """Refuse a second raster where the model takes its state.

    Raises:
        UsageError: forward's second argument, or a later one that a raster is for, is named as a state is.
    """
    try:
        names = list(inspect.signature(model.forward).parameters)[1:count]
    except ValueError:  # a forward that does not tell its arguments
        return
    if taken := [name for name in names if name in STATES]:
        raise UsageError(
            f"{type(model).__name__} takes one raster: a second one would be its argument {taken[0]!r}",
            where=_WHERE,
            fix="join the rasters along an axis of features, or write a module whose forward takes both",
            kind="inputs",
        )


def _several(example: Any) -> tuple[Any, ...] | None:
    """The rasters of a tuple or list of tensors or arrays; None for anything else."""
    if isinstance(example, tuple | list) and example and all(isinstance(x, torch.Tensor | np.ndarray) for x in example):
        return tuple(example)
    return None


def _as_raster(example: Any, dtype: torch.dtype | None) -> torch.Tensor:
    tensor = _as_tensor(example)
    if tensor.dtype not in _FLOATS:
        tensor = tensor.to(torch.float32)
    raster = tensor.detach().to("cpu", dtype or tensor.dtype, copy=True)
    if raster.ndim < 2 or 0 in raster.shape:
        raise UsageError(f"the example input has shape {tuple(raster.shape)}", where=_WHERE, fix=_RASTER)
    if not torch.isfinite(raster).all():
        index = tuple(int(k) for k in (~torch.isfinite(raster)).nonzero()[0])
        message = f"the example input holds NaN or infinity, first at {list(index)}"
        raise UsageError(message, where=_WHERE, fix="give finite numbers")
    return raster


def _as_tensor(example: Any) -> torch.Tensor:
    if not isinstance(example, torch.Tensor):
        return torch.from_numpy(_as_array(example))
    if example.is_complex() or example.is_quantized:
        raise UsageError(f"the example input is of type {_name(example.dtype)}", where=_WHERE, fix="give real numbers")
    if example.device.type == "meta":
        raise UsageError("the example input is on the device meta: it has no values", where=_WHERE, fix=_RASTER)
    return example.to_dense() if example.layout is not torch.strided else example


def _as_array(example: Any) -> NDArray[Any]:
    """A new array of float64, float32 or int8 to int64."""
    try:
        array = np.asarray(example)
    except (ValueError, TypeError, RuntimeError):  # lists of different lengths, objects that are no arrays
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        message = f"the example input is a {type(example).__name__}, not a raster of numbers"
        raise UsageError(message, where=_WHERE, fix=_RASTER)
    if array.dtype.kind in "bu":
        return array.astype(np.int64)
    return array.astype(array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.float64)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
