"""Layers of a Lava network as Lava takes them, and their reading from plain dicts.

Lava holds images as (W, H, C), and its convolutions are true ones with kernels (C_out, kx, ky, C_in). Here, as in the
rest of this package, they are [C, H, W], cross-correlations with kernels [C_out, C_in, kH, kW].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError, UsageError
from norse_export.ir.graph import Shape
from norse_export.program.operations import wrap

from . import law
from .law import IntArray, SignMode

Sort = Literal["dense", "sparse", "conv"]
Kind = Literal["LIF", "LIFReset", "TernaryLIF"]

# A null mode is not mixed, and so has no sign: Lava treats it as excitatory.
SIGN_MODES = {"auto": None, "null": SignMode.EXCITATORY} | {
    name: mode for mode in SignMode for name in (str(mode), str(mode)[:3])
}
_SORTS: Mapping[str, Sort] = {"dense": "dense", "delay": "dense", "sparse": "sparse", "conv": "conv"}
# Parameters of neurons that are refused by their name.
_REFUSED = ("delta_i", "delta_v", "delta_theta", "delta_r", "theta_0", "theta_step", "refractory_period")
_SYNAPSES = ("shape", "syn", "W", "R", "delays", "weight_exp", "num_weight_bits", "sign_mode", "num_message_bits")
_WINDOW = ("stride", "padding", "dilation", "groups")
_NEURONS = ("neuron", "du", "dv", "vth", "vth_hi", "vth_lo", "bias_mant", "bias_exp", "u0", "v0")
_RESET = ("reset_interval", "reset_offset")
# What a recording holds beside the network: nothing is computed from it.
_RECORDED = ("recurrent", "n_spikes", "W_torch", "a", "u", "v", "s", "theta", "r")
KNOWN = frozenset((*_SYNAPSES, *_WINDOW, *_NEURONS, *_RESET, *_RECORDED, *_REFUSED))


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel moves; pairs are (along H, along W)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Projection:
    """One array of synapses, before the weight rule.

    weight: [N_out, N_in], or a kernel [C_out, C_in / groups, kH, kW]. sign_mode: None is told from the weights. graded:
    what arrives is multiplied; otherwise all that is not 0 counts as 1. delays: of each synapse, beyond the one step
    that every synapse takes. listed: a kernel whose synapses are listed one by one, under the law of dense weights.
    """

    sort: Sort
    weight: IntArray
    weight_exp: int = 0
    num_weight_bits: int = law.WEIGHT_BITS
    sign_mode: SignMode | None = None
    graded: bool = False
    delays: IntArray | None = None
    window: Window = Window()
    listed: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Neurons:
    """Parameters and initial state of a population under `lava`: a number, or arrays that broadcast to its shape."""

    kind: Kind
    parameters: Mapping[str, IntArray]
    initial: Mapping[str, IntArray]


@dataclass(frozen=True, slots=True, eq=False)
class LavaLayer:
    """Synapses, the neurons that they lead to, and synapses from these neurons to themselves.

    shape: what the layer says of its neurons, [N] or [C, H, W], if it does. more, more_recurrent: further synapses of
    the same ends.
    """

    name: str
    forward: Projection
    neurons: Neurons
    recurrent: Projection | None = None
    shape: Shape | None = None
    more: tuple[Projection, ...] = ()
    more_recurrent: tuple[Projection, ...] = ()


def read_layer(name: str, given: Mapping[str, Any]) -> LavaLayer:
    """Give the layer that a dict describes; the keys are those of `emulate`.

    Raises:
        UsageError: a key is missing or unknown, or a value is of the wrong kind.
        UnsupportedError: neurons or numbers that the fixed-point law does not have.
    """
    where = f"layer {name}"
    if unknown := sorted(map(str, given.keys() - KNOWN)):
        raise UsageError(f"unknown key {unknown[0]!r}", where=where, fix=f"use {', '.join(sorted(KNOWN))}")
    fields = _Fields(where, given)
    sort = _SORTS.get(str(given.get("syn", "dense")))
    if sort is None:
        raise UnsupportedError(f"synapses {given['syn']!r}", where=where, fix=f"use {', '.join(_SORTS)}")
    kind = fields.kind()
    spatial = sort == "conv"
    forward = _forward(fields, sort)
    recurrent = None
    if fields.has("R"):
        if spatial:
            raise UnsupportedError("a recurrent convolution layer", where=where, fix="make the layer dense")
        recurrent = _projection(fields, "dense", fields.whole("R", ndim=2))
    elif fields.number("recurrent", 0):
        raise UsageError("the layer is recurrent, and has no weights R", where=where, fix="give R [N, N]")
    shape = tuple(int(size) for size in fields.whole("shape").reshape(-1))[::-1] if fields.has("shape") else None
    return LavaLayer(name, forward, _neurons(fields, kind, spatial=spatial), recurrent, shape)


def as_channels_first(value: IntArray, *, spatial: bool) -> IntArray:
    """A value for each neuron in Lava's layout (W, H, C), or what broadcasts to that, as one of [C, H, W]."""
    if not spatial or value.ndim == 0:
        return value
    return value.reshape((1,) * (3 - value.ndim) + value.shape).T


def as_correlation(kernel: IntArray) -> IntArray:
    """A kernel of Lava, (C_out, kx, ky, C_in), as [C_out, C_in, kH, kW] of a cross-correlation."""
    return kernel.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]


def whole_numbers(value: Any, *, name: str, where: str) -> IntArray:
    """Numbers as int64.

    Raises:
        UnsupportedError: some are not whole, or leave 32 bits.
        UsageError: no numbers.
    """
    array = as_array(value, name=name, where=where)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{name} holds {array.dtype}", where=where, fix="give whole numbers")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and bool(np.all(array == np.rint(array)))):
        raise UnsupportedError(
            f"{name} is not whole: Lava's floating-point models have no counterpart on the chip",
            where=where,
            fix="give the parameters of the fixed-point model",
        )
    if array.size and not -(2**31) <= min(array.min(), 0) <= max(array.max(), 0) < 2**31:
        raise UnsupportedError(f"{name} leaves 32 bits", where=where, fix="use numbers that the chip has")
    return array.astype(np.int64)


def as_array(value: Any, *, name: str, where: str) -> NDArray[Any]:
    """An array of what was given.

    Raises:
        UsageError: lists of different lengths.
    """
    try:
        return np.asarray(value)
    except ValueError as error:
        message = f"{name} holds lists of different lengths"
        raise UsageError(message, where=where, fix="give an array") from error


@dataclass(frozen=True, slots=True)
class _Fields:
    """Access to the values of one dict, checked."""

    where: str
    given: Mapping[str, Any]

    def has(self, key: str) -> bool:
        return self.given.get(key) is not None

    def whole(self, key: str, default: int | None = None, *, ndim: int | None = None) -> IntArray:
        if not self.has(key):
            if default is None:
                raise UsageError(f"{key!r} is missing", where=self.where, fix=f"give {key}")
            return np.asarray(default, np.int64)
        array = whole_numbers(self.given[key], name=key, where=self.where)
        if ndim is not None and (array.ndim != ndim or not array.size):
            raise UsageError(f"{key} has shape {array.shape}", where=self.where, fix=f"give {ndim} axes")
        return array

    def number(self, key: str, default: int | None = None) -> int:
        array = self.whole(key, default)
        if array.size != 1:
            raise UsageError(f"{key} has shape {array.shape}", where=self.where, fix="give one number")
        return int(array.reshape(-1)[0])

    def pair(self, key: str, default: int) -> tuple[int, int]:
        """One number or (x, y), as (y, x)."""
        array = self.whole(key, default).reshape(-1)
        if array.size not in (1, 2):
            raise UsageError(f"{key} has {array.size} numbers", where=self.where, fix="give one number, or x and y")
        return int(array[-1]), int(array[0])

    def kind(self) -> Kind:
        match str(self.given.get("neuron", "LIF")):
            case "LIF" | "LIFReset" | "TernaryLIF" as kind:
                return kind
            case other:
                raise UnsupportedError(
                    f"neurons {other}: their states are not integers of the chip in Lava",
                    where=self.where,
                    fix="use LIF, LIFReset or TernaryLIF",
                )


def _forward(fields: _Fields, sort: Sort) -> Projection:
    if sort == "conv":
        kernel = as_correlation(fields.whole("W", ndim=4))
        window = Window(
            fields.pair("stride", 1), fields.pair("padding", 0), fields.pair("dilation", 1), fields.number("groups", 1)
        )
        return _projection(fields, sort, kernel, window=window)
    weight = fields.whole("W", ndim=2)
    if not fields.has("delays"):
        if str(fields.given.get("syn")) == "delay":
            raise UsageError("'delays' is missing", where=fields.where, fix="give delays [N_out, N_in]")
        return _projection(fields, sort, weight)
    delays = fields.whole("delays")
    if delays.ndim not in (0, 2) or (delays.ndim and delays.shape != weight.shape):
        raise UsageError(f"delays have shape {delays.shape}", where=fields.where, fix=f"give {weight.shape}")
    if not 0 <= delays.min() <= delays.max() <= law.MAX_DELAY:
        message = f"delays of {delays.min()} to {delays.max()} steps"
        raise UnsupportedError(message, where=fields.where, fix=f"use 0 to {law.MAX_DELAY}")
    return _projection(fields, sort, weight, delays=np.broadcast_to(delays, weight.shape))


def _projection(
    fields: _Fields, sort: Sort, weight: IntArray, *, delays: IntArray | None = None, window: Window | None = None
) -> Projection:
    mode = str(fields.given["sign_mode"]).lower() if fields.has("sign_mode") else "auto"
    if mode not in SIGN_MODES:
        raise UsageError(f"sign_mode {mode!r}", where=fields.where, fix=f"use {', '.join(SIGN_MODES)}")
    return Projection(
        sort=sort,
        weight=weight,
        weight_exp=fields.number("weight_exp", 0),
        num_weight_bits=fields.number("num_weight_bits", law.WEIGHT_BITS),
        sign_mode=SIGN_MODES[mode],
        graded=fields.number("num_message_bits", 0) > 0,
        delays=delays,
        window=window or Window(),
    )


def _neurons(fields: _Fields, kind: Kind, *, spatial: bool) -> Neurons:
    def each(key: str, default: int | None = None) -> IntArray:
        return as_channels_first(fields.whole(key, default), spatial=spatial)

    bias = law.lava_bias(fields.whole("bias_mant", 0), fields.whole("bias_exp", 0))
    if kind == "TernaryLIF":
        low, high = (law.aligned_threshold(each(key)) for key in ("vth_lo", "vth_hi"))
        thresholds = {"v_th": wrap(high, law.LAVA_BITS), "v_low": wrap(low, law.LAVA_BITS)}
    else:
        thresholds = {"v_th": law.aligned_threshold(each("vth"))}
    return neurons(
        kind,
        du=each("du", 0),
        dv=each("dv", 0),
        bias=as_channels_first(bias, spatial=spatial),
        thresholds=thresholds,
        initial={"u": each("u0", 0), "v": each("v0", 0)},
        reset=_reset(fields) if kind == "LIFReset" else None,
    )


def neurons(
    kind: Kind,
    *,
    du: IntArray,
    dv: IntArray,
    bias: IntArray,
    thresholds: Mapping[str, IntArray],
    initial: Mapping[str, IntArray] | None = None,
    reset: tuple[int, int] | None = None,
) -> Neurons:
    """Neurons with registers du and dv, a bias and thresholds in units of v; reset: interval and offset of LIFReset."""
    parameters = {"u_keep": law.current_keep(du), "v_keep": law.voltage_keep(dv), "bias": bias, **thresholds}
    state = dict(initial or dict.fromkeys(("u", "v"), np.asarray(0)))
    if reset is not None:
        interval, offset = reset
        parameters |= {"interval": np.asarray(interval), "offset": np.asarray(offset % interval)}
        state["phase"] = np.asarray(1 % interval)
    return Neurons(kind=kind, parameters=parameters, initial=state)


def _reset(fields: _Fields) -> tuple[int, int]:
    interval, offset = fields.number("reset_interval"), fields.number("reset_offset", 0)
    if interval < 1:
        raise UsageError(f"reset_interval = {interval}", where=fields.where, fix="give 1 or more")
    return interval, offset
