"""What lava-dl's netx makes of a `.net` file: the layers that it hands to Lava, defects included.

Facts of netx.hdf5.Network on loading (lava-dl, netx/hdf5.py, netx/utils.py, netx/blocks/process.py), for neurons of
type CUBA or LOIHI: du = iDecay - 1, dv = vDecay, vth = vThMant, bias exponent BIAS_EXP. Weights and biases are cut to
whole numbers towards zero, fractions without a word. Weights of dense layers go through `optimised`; kernels are used
as they are. A dense layer without neurons gets an integrator with a threshold of 2^17: `1 << 18 - 1` binds so, and
2^18 - 1 was meant. Delays are cut down to whole ones and clipped to MAX_DELAY; one for each neuron of the layer is
taken as that, even where there are as many inputs; the delay of a convolution is not read. iDecay = 0 gives du = -1,
which no register holds. What follows `flatten` takes images as (C, H, W).

What netx itself fails on is refused here by name: all-zero weights (division by zero), neuron/messageBits (a
TypeError), neurons in an input layer (connecting fails), and the layers of UNREADABLE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError, InputFileError, UnsupportedError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.ir.graph import Shape

from . import law
from .additions import with_additions
from .law import IntArray
from .layers import LavaLayer, Neurons, Projection, Window, as_channels_first, neurons

BIAS_EXP = 6
MAX_DELAY = 62
STATE_BYTES = 16  # of a neuron while it is emulated: a convolution may say that it has far more than the file is long
MIXED_RANGE = (-256, 254)
INTEGRATOR = {"iDecay": 0, "vDecay": 4096, "vThMant": 1 << 17}
NEURON_TYPES = ("CUBA", "LOIHI")
UNREADABLE = ("pool", "convT", "unpool", "average", "concat", "dense_comp")
_PARSER = "norse_export.targets.loihi.net_file:parse"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedNet:
    """The layers with neurons, in order, and the shape [C, H, W] that the file gives its input, if it does."""

    layers: tuple[LavaLayer, ...]
    input_shape: Shape | None


def load_net(path: Path, limits: Limits, *, additions: bool = True) -> LoadedNet:
    """Read a .net file in the limited child process, and load it as netx does.

    additions: with what the file adds to it (additions.py), if it does.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UnsupportedError: netx cannot load it, or holds no neurons of integers.
        GraphError: shapes within a layer that do not belong together.
    """
    with open_input(path) as file:
        parsed = parse_in_child(_PARSER, file, name=str(path), limits=limits)
    net = loaded(parsed.document["layers"], parsed.arrays, limits)
    if not additions:
        return net
    return replace(net, layers=with_additions(net.layers, parsed.document["additions"], parsed.arrays))


def loaded(described: list[dict[str, Any]], arrays: Mapping[str, NDArray[Any]], limits: Limits) -> LoadedNet:
    """Give the net that the layers of a file describe; see `net_file.parse`.

    Raises:
        ExportError: see `load_net`.
    """
    layers: list[LavaLayer] = []
    shape: Shape | None = None
    flattened = False
    for number, description in enumerate(described):
        read = _Described(number, description, arrays, limits)
        spatial = bool(layers) and layers[-1].forward.sort == "conv"
        match description["type"]:
            case "input":
                shape = _input_shape(read, first=not number)
            case "flatten":
                if not spatial:
                    raise read.refused("flatten behind a layer without images", "write flatten behind a convolution")
                flattened = True
            case "conv":
                if layers and not spatial:
                    raise read.refused("a convolution behind a dense layer", "netx connects images only")
                layers.append(_conv(read, str(len(layers))))
            case "dense" | "dense_rec" as sort:
                if spatial and not flattened:
                    raise read.refused("a dense layer behind images, without flatten", "write a flatten layer between")
                layers.append(_dense(read, str(len(layers)), recurrent=sort == "dense_rec"))
                flattened = False
            case other:
                fix = "netx does not load it" if other in UNREADABLE else "use input, flatten, conv, dense or dense_rec"
                raise read.refused(f"a layer of type {other[:40]!r}", fix)
    if not layers:
        raise InputFileError("no layer of the file has neurons", where="/layer", fix="export a network with neurons")
    return LoadedNet(tuple(layers), shape)


def optimised(weight: IntArray) -> tuple[IntArray, int, int]:
    """The weights of a dense layer, num_weight_bits and weight_exp (netx.utils.optimize_weight_bits).

    In the ordinary case effective weights are those of the file. Known defects, which follow from the numbers: where
    all are negative and the least is -2^k, the synapse drops them all; where the greatest is 0 and the least -2^k, -2^k
    is halved; excitatory weights above 255 become 0.

    Raises:
        UnsupportedError: all weights are 0.
    """
    high, low = int(weight.max()), int(weight.min())
    if low < 0 < high:
        weight = np.clip(weight, *MIXED_RANGE)
        high, low = int(weight.max()), int(weight.min())
    if high == low == 0:
        raise UnsupportedError(
            "all weights are 0: netx divides by the largest", where="weight", fix="leave the layer out, or set a weight"
        )
    signed = low < 0 <= high
    least, greatest = (-128, 127) if signed else (-256, 255)
    scale = min(bound / end for bound, end in ((least, low), (greatest, high)) if bound * end > 0)
    scale_bits = int(np.floor(np.log2(scale))) + signed
    common = next((n for n in range(8, 0, -1) if not np.any(weight & ((1 << n) - 1))), 0) - signed
    return law.shifted(weight, scale_bits), 8 - scale_bits - common, -scale_bits


@dataclass(frozen=True, slots=True)
class _Described:
    """One layer of the file."""

    number: int
    description: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    limits: Limits

    @property
    def where(self) -> str:
        return f"/layer/{self.number}"

    def refused(self, message: str, fix: str) -> UnsupportedError:
        return UnsupportedError(message, where=self.where, fix=fix)

    def has(self, key: str) -> bool:
        return f"{self.number}/{key}" in self.arrays

    def whole(self, key: str, default: Any = None) -> IntArray:
        """Numbers cut towards zero.

        Raises:
            InputFileError: missing, empty, or beyond 32 bits.
        """
        if not self.has(key):
            if default is None:
                raise InputFileError(f"{key} is missing", where=self.where, fix="write the file again with lava-dl")
            return np.asarray(default, np.int64)
        array = self.arrays[f"{self.number}/{key}"]
        finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
        if not array.size or not finite or not -(2**31) <= array.min() <= array.max() < 2**31:
            message = f"{key} has shape {array.shape}, or numbers beyond 32 bits"
            raise InputFileError(message, where=self.where, fix="write numbers that the chip has")
        cut: IntArray = np.trunc(array).astype(np.int64)
        return cut

    def number_of(self, key: str, default: Any = None) -> int:
        array = self.whole(key, default)
        if array.size != 1:
            raise InputFileError(f"{key} has shape {array.shape}", where=self.where, fix="write one number")
        return int(array.reshape(-1)[0])

    def shape(self) -> Shape:
        """The layer's shape: [N], or [C, H, W]."""
        sizes = tuple(int(size) for size in self.whole("shape").reshape(-1))
        if min(sizes) < 1:
            raise InputFileError(f"a shape {sizes}", where=self.where, fix="write sizes of 1 or more")
        self.limits.check("max_bytes", STATE_BYTES * math.prod(sizes), where=self.where)
        return sizes

    def pair(self, key: str) -> tuple[int, int]:
        array = self.whole(key).reshape(-1)
        if array.size > 2:
            raise InputFileError(f"{key} has {array.size} numbers", where=self.where, fix="write one, or H and W")
        return int(array[0]), int(array[-1])


def _input_shape(read: _Described, *, first: bool) -> Shape:
    if not first:
        raise read.refused("an input layer behind others", "write it first")
    if read.description["neuron"] is not None:
        fix = "netx does not connect its input: begin with a dense or conv layer"
        raise read.refused("neurons in the input layer", fix)
    return read.shape()


def _dense(read: _Described, name: str, *, recurrent: bool) -> LavaLayer:
    if "weight" in read.description["keys"] and not read.has("weight"):
        raise read.refused("complex weights", "write a dense layer of real weights")
    size = math.prod(read.shape())
    weight = _matrix(read, "weight", size)
    delays = _delays(read, weight.shape)
    recurrence = None
    if recurrent:
        if delays is not None:
            raise read.refused("delays in a recurrent layer", "write it without delays")
        loaded, recurrence = together(weight, _matrix(read, "weight_rec", size))
        return LavaLayer(name, loaded, _neurons(read, spatial=False), recurrence)
    return LavaLayer(name, _projection(*optimised(weight), delays), _neurons(read, spatial=False))


def together(forward: IntArray, recurrent: IntArray) -> tuple[Projection, Projection]:
    """The two synapses of a recurrent layer: netx derives bits and exponent from both matrices side by side.

    The sign mode Lava takes from each matrix by itself. So one whose weights have one sign may have more bits than its
    mode: next to mixed weights of which some are odd and beyond 127, all of it becomes 0.

    Raises:
        UnsupportedError: all weights are 0.
    """
    used, bits, exponent = optimised(np.hstack((forward, recurrent)))
    sources = forward.shape[1]
    return _projection(used[:, :sources], bits, exponent), _projection(used[:, sources:], bits, exponent)


def _projection(weight: IntArray, bits: int, exponent: int, delays: IntArray | None = None) -> Projection:
    return Projection(sort="dense", weight=weight, num_weight_bits=bits, weight_exp=exponent, delays=delays)


def _matrix(read: _Described, key: str, size: int) -> IntArray:
    """Weights [size, N_in]."""
    weight = read.whole(key)
    if weight.ndim == 1 and size and weight.size % size == 0:
        weight = weight.reshape(size, -1)
    if weight.ndim != 2 or weight.shape[0] != size:
        message = f"{key} has shape {weight.shape}, the layer has {size} neurons"
        raise GraphError(message, where=read.where, fix="write weights [N_out, N_in]", kind="shape")
    return weight


def _delays(read: _Described, shape: tuple[int, ...]) -> IntArray | None:
    """The delay of each synapse; a number for each destination, or, where there are none such, for each source."""
    if not read.has("delay"):
        return None
    read.whole("delay")
    given = np.floor(np.asarray(read.arrays[f"{read.number}/delay"], np.float64)).astype(np.int64)
    if given.min() < 0 or given.ndim > 1:
        raise read.refused(f"delays of shape {given.shape} from {given.min()}", "write 0 to 62 steps, one axis")
    clipped = np.minimum(given, MAX_DELAY)
    if clipped.size == 1:
        return np.broadcast_to(clipped.reshape(()), shape)
    if clipped.size == shape[0]:
        return np.broadcast_to(clipped[:, np.newaxis], shape)
    if clipped.size == shape[1]:
        return np.broadcast_to(clipped, shape)
    message = f"{clipped.size} delays for weights {shape}"
    raise GraphError(message, where=read.where, fix="write one for each neuron", kind="shape")


def _conv(read: _Described, name: str) -> LavaLayer:
    weight = read.whole("weight")
    if weight.ndim == 5 and weight.shape[4] == 1:
        weight = weight[..., 0]
    if weight.ndim != 4:
        message = f"a kernel of shape {weight.shape}"
        raise GraphError(message, where=read.where, fix="write [C_out, C_in, H, W]", kind="shape")
    window = Window(read.pair("stride"), read.pair("padding"), read.pair("dilation"), read.number_of("groups"))
    forward = Projection(sort="conv", weight=weight, window=window)
    return LavaLayer(name, forward, _neurons(read, spatial=True), shape=read.shape())


def _neurons(read: _Described, *, spatial: bool) -> Neurons:
    """The neurons of a layer; values for each stand in Lava's layout, (W, H, C)."""
    description = read.description["neuron"]
    if description is None and spatial:
        raise read.refused("a convolution without neurons", "write the group neuron")
    if description is not None and description["type"] not in NEURON_TYPES:
        message = f"neurons of type {description['type'][:40]!r}"
        raise read.refused(message, f"this law has {' and '.join(NEURON_TYPES)}")
    if description is not None and "messageBits" in description["keys"]:
        raise read.refused("neuron/messageBits: netx cannot read it", "write the file without messageBits")
    default = dict.fromkeys(INTEGRATOR) if description is not None else INTEGRATOR

    def register(key: str) -> IntArray:
        value = read.whole(f"neuron/{key}", default[key])
        if description is not None and np.any(value != read.arrays[f"{read.number}/neuron/{key}"]):
            raise read.refused(f"neuron/{key} is not whole", "write whole numbers")
        return value.reshape(()) if value.size == 1 else value

    i_decay, v_decay, threshold = (register(key) for key in INTEGRATOR)
    if i_decay.ndim or v_decay.ndim:
        raise read.refused("decays that differ between neurons", "write one iDecay and one vDecay for a layer")
    bias = law.lava_bias(read.whole("bias", 0), np.asarray(BIAS_EXP))
    return neurons(
        "LIF",
        du=i_decay - 1,
        dv=v_decay,
        bias=as_channels_first(bias, spatial=spatial),
        thresholds={"v_th": as_channels_first(law.aligned_threshold(threshold), spatial=spatial)},
    )
