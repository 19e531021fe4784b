"""The laws of Loihi once more: plain Python integers, one neuron and one synapse at a time.

Written from the formulas of Lava and of nengo-loihi, and not from our programs: no arrays, no operations of ours.
Images are in Lava's layout (W, H, C) throughout, and convolutions are true ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

Cell = tuple[int, ...]
Sent = dict[Cell, int]
Drive = Callable[[int, Cell], int]  # what arrives at a neuron in a step
M = 2**23


def int32(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def int16(x: int) -> int:
    return (x + 2**15) % 2**16 - 2**15


def toward_zero(x: int, bits: int) -> int:
    return abs(x) // 2**bits * (1 if x >= 0 else -1)


def shifted(x: int, bits: int) -> int:
    return x * 2**bits if bits > 0 else x // 2**-bits


def loaded_weight(w: int, mode: str, bits: int) -> int:
    sign = -1 if mode == "inhibitory" else 1
    low, high = (-256, 255) if mode == "mixed" else (0, 255)
    clipped = max(low, min(high, sign * w))
    dropped = 8 - bits + (1 if mode == "mixed" else 0)
    if not 0 <= dropped < 32:
        return 0
    return sign * (clipped // 2**dropped * 2**dropped)


def mode_of(weights: Sequence[Sequence[int]], given: str) -> str:
    if given != "auto":
        return given
    flat = [w for row in weights for w in row]
    if min(flat) >= 0:
        return "excitatory"
    return "inhibitory" if max(flat) <= 0 else "mixed"


def bias_of(layer: Mapping[str, Any], place: Callable[[str], int]) -> int:
    mantissa, exponent = int16(place("bias_mant")), int16(place("bias_exp"))
    if exponent < 0:
        return mantissa // 2**-exponent
    return 0 if exponent >= 32 else int32(mantissa * 2**exponent)


class Layer:
    """One layer of Lava: what it sends in each step, and its states."""

    def __init__(self, layer: Mapping[str, Any], source: list[Sent], shape_in: Cell) -> None:
        self.layer, self.source, self.shape_in = layer, source, shape_in
        self.graded = layer.get("num_message_bits", 0) > 0
        self.sent: list[Sent] = []
        self.rows: list[dict[str, Sent]] = []
        self.shape = self.conv_shape() if layer["syn"] == "conv" else (len(layer["W"]),)
        self.cells = list(product(*map(range, self.shape)))
        self.u = {cell: self.value("u0", cell) for cell in self.cells}
        self.v = {cell: self.value("v0", cell) for cell in self.cells}

    def value(self, key: str, cell: Cell, default: int = 0) -> int:
        found = np.asarray(self.layer.get(key, default))
        return int(np.broadcast_to(found, self.shape)[cell])

    def pair(self, key: str, default: int) -> tuple[int, int]:
        value = self.layer.get(key, default)
        return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))

    def conv_shape(self) -> Cell:
        out, kx, ky, _ = self.layer["W"].shape
        sizes = []
        for axis, k in enumerate((kx, ky)):
            s, p, d = (self.pair(key, n)[axis] for key, n in (("stride", 1), ("padding", 0), ("dilation", 1)))
            sizes.append((self.shape_in[axis] + 2 * p - d * (k - 1) - 1) // s + 1)
        return (*sizes, out)

    def counted(self, value: int) -> int:
        return value if self.graded else int(value != 0)

    def past(self, sent: list[Sent], t: int) -> Sent:
        return sent[t] if 0 <= t < len(sent) else {}

    def flat(self, sent: Sent) -> list[int]:
        """What was sent, in the order in which a dense layer takes it: of images, (C, H, W)."""
        if len(self.shape_in) == 1:
            return [sent.get((n,), 0) for n in range(self.shape_in[0])]
        w, h, c = self.shape_in
        return [sent.get((x, y, z), 0) for z in range(c) for y in range(h) for x in range(w)]

    def matrix(self, weights: Any, delays: Any, history: Callable[[int], list[int]], t: int, row: int) -> int:
        """What one neuron gets through a matrix: each delay has its own sum, and its own shift."""
        table = [[int(w) for w in line] for line in weights]
        mode = mode_of(table, self.layer.get("sign_mode", "auto"))
        bits, exponent = self.layer.get("num_weight_bits", 8), self.layer.get("weight_exp", 0)
        total = 0
        lags = [0] * len(table[row]) if delays is None else [int(d) for d in delays[row]]
        for lag in set(lags):
            arriving = history(t - 1 - lag)
            pairs = [(w, s) for w, s, d in zip(table[row], arriving, lags, strict=True) if d == lag]
            acc = sum(loaded_weight(w, mode, bits) * self.counted(s) for w, s in pairs)
            total += int32(shifted(int32(acc) if self.graded else acc, exponent))
        return int32(total)

    def convolved(self, t: int, cell: Cell) -> int:
        kernel, arriving = self.layer["W"], self.past(self.source, t - 1)
        out, kx, ky, inside = kernel.shape
        stride, padding, dilation = (self.pair(k, n) for k, n in (("stride", 1), ("padding", 0), ("dilation", 1)))
        group = cell[2] // (out // self.layer.get("groups", 1))
        acc = 0
        for i, j, c in product(range(kx), range(ky), range(inside)):
            x = cell[0] * stride[0] - padding[0] + (kx - 1 - i) * dilation[0]
            y = cell[1] * stride[1] - padding[1] + (ky - 1 - j) * dilation[1]
            acc += int(kernel[cell[2], i, j, c]) * self.counted(arriving.get((x, y, group * inside + c), 0))
        return (acc + M) % (2 * M) - M

    def arriving(self, t: int, cell: Cell) -> int:
        if self.layer["syn"] == "conv":
            return self.convolved(t, cell)
        total = self.matrix(
            self.layer["W"], self.layer.get("delays"), lambda s: self.flat(self.past(self.source, s)), t, cell[0]
        )
        if "R" in self.layer:

            def own(s: int) -> list[int]:
                return [self.past(self.sent, s).get(other, 0) for other in self.cells]

            total = int32(total + self.matrix(self.layer["R"], None, own, t, cell[0]))
        return total

    def step(self, t: int) -> None:
        drives = {cell: self.arriving(t, cell) for cell in self.cells}
        interval = self.layer.get("reset_interval")
        if interval and (t + 1) % interval == self.layer.get("reset_offset", 0) % interval:
            self.u, self.v = dict.fromkeys(self.cells, 0), dict.fromkeys(self.cells, 0)
        sent: Sent = {}
        for cell in self.cells:
            sent[cell] = self.neuron(cell, drives[cell])
        self.sent.append(sent)
        self.rows.append({"u": dict(self.u), "v": dict(self.v), "s": sent})

    def neuron(self, cell: Cell, drive: int) -> int:
        u = int32(toward_zero(self.u[cell] * (4096 - (self.value("du", cell) + 1)), 12) + int32(drive * 64))
        if u > M:
            u -= 2 * M
        elif u <= -M:
            u += 2 * M
        bias = bias_of(self.layer, lambda key: self.value(key, cell))
        v = int32(toward_zero(self.v[cell] * (4096 - self.value("dv", cell)), 12) + u + bias)
        v = max(-(M - 1), min(M - 1, v))
        if self.layer.get("neuron") == "TernaryLIF":
            s = (v > self.value("vth_hi", cell) * 64) - (v < self.value("vth_lo", cell) * 64)
        else:
            s = int(v > self.value("vth", cell) * 64)
        self.u[cell], self.v[cell] = u, 0 if s else v
        return s


def lava(layers: Sequence[Mapping[str, Any]], raster: Any) -> list[dict[str, Any]]:
    """u, v and s of each layer, as `emulate` gives them."""
    shape = tuple(raster.shape[1:])
    source = [{cell: int(row[cell]) for cell in product(*map(range, shape))} for row in raster]
    found = []
    for given in layers:
        layer = Layer(given, source, shape)
        for t in range(len(raster)):
            layer.step(t)
        found.append({key: as_array(layer, key) for key in "uvs"})
        source, shape = layer.sent, layer.shape
    return found


def as_array(layer: Layer, key: str) -> Any:
    array = np.zeros((len(layer.rows), *layer.shape), np.int64)
    for t, row in enumerate(layer.rows):
        for cell, value in row[key].items():
            array[(t, *cell)] = value
    return array


def wrapped(x: int, bits: int) -> int:
    """As nengo-loihi counts them: bits without the sign."""
    return (x + 2**bits) % 2 ** (bits + 1) - 2**bits


def loihi1(given: Mapping[str, Any], raster: Any) -> dict[str, Any]:
    """u, v and s of one population of nengo-loihi."""
    count, steps = len(given["W"]), len(raster)
    found = {key: np.zeros((steps, count), np.int64) for key in "uvs"}
    u, v, rest = [0] * count, [0] * count, [0] * count
    before: list[int] = [0] * count
    for t in range(steps):
        now = []
        for n in range(count):
            q = sum(int(w) * int(x) for w, x in zip(given["W"][n], raster[t - 1], strict=True)) if t else 0
            if "R" in given:
                q += sum(int(w) * s for w, s in zip(given["R"][n], before, strict=True))
            decay_u, decay_v = int(given["decay_u"][n]), int(given["decay_v"][n])
            u[n] = wrapped(toward_zero(u[n] * (4096 - 1 - decay_u), 12) + wrapped(q, 21), 23)
            drive = wrapped(u[n] + int(given["bias"][n]), 23)
            v[n] = toward_zero(v[n] * (4096 - decay_v), 12) + drive
            v[n] = max(int(given["vmin"]), min(int(given["vmax"]), v[n]))
            v[n] = 0 if rest[n] > 0 else v[n]
            spike = v[n] > int(given["vth"][n])
            if spike:
                v[n], rest[n] = 0, int(given["refract_delay"][n])
            rest[n] = max(rest[n] - 1, 0)
            now.append(int(spike))
            found["u"][t, n], found["v"][t, n], found["s"][t, n] = u[n], v[n], int(spike)
        before = now
    return found
