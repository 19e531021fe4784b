"""Random networks for the laws of Loihi: ordinary ones, and ones whose numbers leave every width."""

from __future__ import annotations

from typing import Any

import numpy as np

Net = tuple[list[dict[str, Any]], Any]


def lava_net(seed: int) -> Net:
    """Layers as `emulate` takes them, and a raster; every key of the law occurs, and every width is left by some."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(4, 12))
    images = rng.random() < 0.3
    shape: tuple[int, ...] = (5, 4, 2) if images else (int(rng.integers(1, 6)),)
    graded = rng.random() < 0.4
    raster = rng.integers(-9, 10, (steps, *shape)) if graded else rng.random((steps, *shape)) < rng.uniform(0.1, 0.9)
    layers = []
    for number in range(int(rng.integers(1, 4))):
        spatial = len(shape) == 3 and (number == 0 or rng.random() < 0.5)
        layer = _conv(rng, shape) if spatial else _dense(rng, int(np.prod(shape)))
        shape = _conv_shape(layer, shape) if spatial else (len(layer["W"]),)
        layers.append(layer | _neurons(rng, shape))
    return layers, raster


def loihi1_net(seed: int) -> Net:
    """One population of nengo-loihi and its raster; the widths of input and current are left by some."""
    rng = np.random.default_rng(seed)
    n_in, n = (int(k) for k in rng.integers(1, 6, 2))
    top = 2 ** int(rng.integers(10, 23))
    given = {
        "W": _weights(rng, (n, n_in), top),
        "decay_u": _some(rng, n, (0, 4096)),
        "decay_v": _some(rng, n, (0, 4096)),
        "vth": _some(rng, n, (0, 64, 2**23)),
        "bias": _some(rng, n, (0, 2 ** int(rng.integers(1, 24)))),
        "refract_delay": rng.integers(1, 5, n),
        "vmin": np.int64(rng.choice([0, -(2**10) + 1, -(2**23) + 1])),
        "vmax": np.int64(rng.choice([2**9 - 1, 2**23 - 1])),
    }
    if rng.random() < 0.5:
        given["R"] = _weights(rng, (n, n), top)
    if rng.random() < 0.2:  # v meets the threshold exactly
        given["decay_u"], given["decay_v"], given["bias"] = (np.full(n, k) for k in (4095, 4096, 64))
        given["vth"], given["W"] = np.full(n, 64), given["W"] * 0
    return [given], rng.random((int(rng.integers(4, 16)), n_in)) < rng.uniform(0.1, 0.9)


def _dense(rng: np.random.Generator, n_in: int) -> dict[str, Any]:
    n = int(rng.integers(1, 6))
    sort = rng.choice(["dense", "sparse", "delay"])
    layer = {"syn": str(sort), "W": _weights(rng, (n, n_in), int(rng.choice([4, 100, 256, 400]))), **_messages(rng)}
    if sort == "delay":
        layer["delays"] = rng.integers(0, 4, (n, n_in))
    if rng.random() < 0.3:
        layer["R"] = _weights(rng, (n, n), 256)
    if rng.random() < 0.5:
        layer["weight_exp"] = int(rng.choice([-7, -3, -1, 1, 7, 12, 20]))
    if rng.random() < 0.5:
        layer["num_weight_bits"] = int(rng.choice([-3, 0, 1, 4, 8, 9, 10]))
    if rng.random() < 0.4:
        layer["sign_mode"] = str(rng.choice(["auto", "mixed", "excitatory", "inhibitory"]))
    return layer


def _conv(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, Any]:
    groups = int(rng.choice([1, 2])) if shape[2] == 2 else 1
    top = int(rng.choice([30, 300, 2**23]))
    layer = {"syn": "conv", "groups": groups, "padding": [int(rng.integers(1, 3)), 1], **_messages(rng)}
    layer["W"] = rng.integers(-top, top + 1, (2, *rng.integers(1, 3, 2), shape[2] // groups))
    layer["stride"] = int(rng.integers(1, 3))
    layer["dilation"] = (1, int(rng.integers(1, 3)))
    return layer


def _conv_shape(layer: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    out, *kernel, _ = layer["W"].shape
    pairs = zip(shape, kernel, layer["padding"], layer["dilation"], strict=False)
    return (*((n + 2 * p - d * (k - 1) - 1) // layer["stride"] + 1 for n, k, p, d in pairs), out)


def _messages(rng: np.random.Generator) -> dict[str, Any]:
    return {"num_message_bits": int(rng.choice([0, 8]))}


def _weights(rng: np.random.Generator, shape: tuple[int, ...], top: int) -> Any:
    low, high = [(-top, top), (0, top), (-top, 0), (0, 0)][int(rng.choice(4, p=[0.6, 0.17, 0.17, 0.06]))]
    return rng.integers(low, high + 1, shape)


def _neurons(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, Any]:
    kind = str(rng.choice(["LIF", "LIF", "LIFReset", "TernaryLIF"]))
    layer: dict[str, Any] = {"neuron": kind, "du": _decay(rng), "dv": _decay(rng)}
    if kind == "TernaryLIF":
        top = int(rng.choice([300, 300, 200_000]))
        layer |= {"vth_hi": int(rng.integers(top // 2, top)), "vth_lo": -int(rng.integers(top // 2, top))}
    else:
        layer["vth"] = int(rng.choice([0, 3, 100, 2000, 200_000]))
    if kind == "LIFReset":
        layer |= {"reset_interval": int(rng.integers(1, 7)), "reset_offset": int(rng.integers(0, 20))}
    match int(rng.integers(4)):
        case 1:
            layer["bias_mant"], layer["bias_exp"] = rng.integers(-100, 101, shape), rng.integers(-3, 4, shape)
        case 2:  # beyond 13 and 3 bits, and beyond int16
            layer["bias_mant"] = rng.integers(-50_000, 50_001, shape)
            layer["bias_exp"] = rng.choice([-40, -20, 0, 7, 16, 20, 31, 40], shape)
        case 3:  # v meets the threshold exactly
            layer |= {"dv": 4096, "bias_mant": 3, "bias_exp": 6} | ({"vth": 3} if "vth" in layer else {})
            layer |= {"vth_hi": 3, "vth_lo": -3, "bias_mant": int(rng.choice([-3, 3]))} if "vth_hi" in layer else {}
        case _:
            pass
    if rng.random() < 0.4:
        top = int(rng.choice([1000, 2**23, 2**31 - 1]))
        layer["u0"], layer["v0"] = rng.integers(-top, top + 1, shape), rng.integers(-top, top + 1, shape)
        if rng.random() < 0.4:  # u meets the ends of its range exactly
            layer["u0"], layer["du"] = rng.choice([-1, 1], shape) * (2**23 - rng.integers(-1, 2, shape)), -1
    return layer


def _decay(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 0, 1, 37, 1000, 4095, 4096, 5000, rng.integers(0, 4096)]))


def _some(rng: np.random.Generator, count: int, ends: tuple[int, ...]) -> Any:
    """Numbers between the least and the greatest end, or at one of them."""
    inside = rng.integers(min(ends), max(ends), count)
    return np.where(rng.random(count) < 0.3, rng.choice(ends, count), inside)
