"""Small models for target loihi: one for each kind of neuron and of structure that the chip has. Not tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_nets import cuba_li, cuba_lif, discrete_chain, graph, spikes

from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool
from norse_export.ir.neurons import IF, LI, LIF, NeuronModel
from norse_export.passes.discretise import discretise

STEPS, SAMPLES = 60, 2
Nodes = Any


def linear(n_out: int, n_in: int, seed: int = 0, *, scale: float = 1.0, bias: float | None = None) -> Linear:
    weight = scale * np.random.default_rng(seed).normal(size=(n_out, n_in))
    return Linear(weight.astype(np.float32), None if bias is None else np.full(n_out, bias, np.float32))


def kernel(c_out: int, c_in: int, size: int, image: tuple[int, int], **window: Any) -> Conv:
    weight = np.random.default_rng(c_out).normal(size=(c_out, c_in, size, size))
    return Conv((1.5 * weight).astype(np.float32), image, **window)


def number(value: float) -> Any:
    return np.float32(value)


def raster(*shape: int, rate: float = 0.4) -> dict[str, Any]:
    return {"input": spikes(np.random.default_rng(1), STEPS, SAMPLES, *shape, rate=rate)}


def box(**changes: Any) -> NeuronModel:
    values = {"tau_mem": number(1e-2), "v_leak": number(0), "v_th": number(1), "v_reset": number(0), **changes}
    return LIF(shape=(8,), dt=1e-3, **values)


def leaky_readout() -> NeuronModel:
    return LI(shape=(3,), dt=1e-3, tau_mem=number(1e-2), v_leak=number(0))


def summing() -> NeuronModel:
    return IF(shape=(8,), dt=1e-3, v_th=number(4), v_reset=number(0))


def recurrent_net() -> Graph[Any]:
    nodes: Nodes = {"input": Input((6,), "float32"), "in": linear(8, 6, scale=3.0)}
    nodes |= {"lif": cuba_lif((8,), recurrent=True), "rec": linear(8, 8, 5, scale=0.8), "output": Output((8,))}
    edges = [("input", "in"), ("in", "lif", "x"), ("lif", "rec"), ("rec", "lif", "r", 1), ("lif", "output")]
    return discretise(graph(nodes, edges))


def images() -> Graph[Any]:
    return discrete_chain(
        (1, 8, 8),
        kernel(4, 1, 3, (8, 8), padding=(1, 1)),
        cuba_lif((4, 8, 8), v_th=0.5),
        Pool("avg", (4, 8, 8), (2, 2), (2, 2)),
        kernel(6, 4, 3, (4, 4), bias=np.full(6, 0.05, np.float32)),
        cuba_lif((6, 2, 2), v_th=0.5),
        Flatten((6, 2, 2)),
        linear(5, 24),
        cuba_lif((5,), v_th=0.5),
        linear(3, 5),
        cuba_li((3,)),
    )


NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cuba_lif": (lambda: discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,))), (6,)),
    "biased": (lambda: discrete_chain((6,), linear(8, 6, scale=2.0, bias=0.1), cuba_lif((8,))), (6,)),
    "lif": (lambda: discrete_chain((6,), linear(8, 6, scale=9.0), box()), (6,)),
    "if": (lambda: discrete_chain((6,), linear(8, 6, scale=3.0), summing()), (6,)),
    "gain": (lambda: discrete_chain((6,), linear(8, 6), box(r=number(9))), (6,)),
    "shifted": (lambda: discrete_chain((6,), linear(8, 6, scale=9.0), box(v_reset=number(0.5), v0=number(0.5))), (6,)),
    "one_to_one": (lambda: discrete_chain((8,), cuba_lif((8,), v_th=0.2)), (8,)),
    "li": (lambda: discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,)), linear(3, 8), leaky_readout()), (6,)),
    "host": (lambda: discrete_chain((6,), linear(8, 6, scale=3.0), cuba_lif((8,)), linear(3, 8)), (6,)),
    "recurrent": (recurrent_net, (6,)),
    "images": (images, (1, 8, 8)),
    "flat_images": (
        lambda: discrete_chain((2, 3, 4), Flatten((2, 3, 4)), linear(8, 24, scale=2.0), cuba_lif((8,))),
        (2, 3, 4),
    ),
}
