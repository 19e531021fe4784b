"""Small models in whole numbers of Loihi: one for each kind of layer that a .net file has."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_nets import cuba_li, cuba_lif, discrete_chain, graph

from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output
from norse_export.passes.discretise import discretise
from norse_export.passes.plans import QuantiseChoice
from norse_export.targets.loihi import LoihiTarget

TARGET = LoihiTarget()


def normal(*shape: int, scale: float = 1.0) -> Any:
    return (scale * np.random.default_rng(shape[0]).normal(size=shape)).astype(np.float32)


def fixed(model: Graph[Any], **choice: Any) -> Graph[Any]:
    return TARGET.lower(model, QuantiseChoice(search=False, **choice), None, ranges=None).graph


def dense_net(**choice: Any) -> Graph[Any]:
    first = Linear(normal(8, 6, scale=3.0), np.full(8, 0.1, np.float32))
    model = discrete_chain((6,), first, cuba_lif((8,)), Linear(normal(4, 8, scale=3.0)), cuba_lif((4,)))
    return fixed(model, **choice)


def image_net(**choice: Any) -> Graph[Any]:
    conv = Conv(normal(3, 2, 3, 3, scale=2.0), (6, 5), normal(3, scale=0.1), stride=(2, 1), padding=(1, 0))
    flat = 3 * 3 * 3
    last = (Flatten((3, 3, 3)), Linear(normal(4, flat, scale=2.0)), cuba_lif((4,)), Linear(normal(2, 4)), cuba_li((2,)))
    return fixed(discrete_chain((2, 6, 5), conv, cuba_lif((3, 3, 3)), *last), **choice)


def recurrent_net(**choice: Any) -> Graph[Any]:
    nodes: Any = {"input": Input((6,), "float32"), "in": Linear(normal(8, 6, scale=3.0))}
    nodes |= {"lif": cuba_lif((8,), recurrent=True), "rec": Linear(normal(8, 8)), "output": Output((8,))}
    edges = [("input", "in"), ("in", "lif", "x"), ("lif", "rec"), ("rec", "lif", "r", 1), ("lif", "output")]
    return fixed(discretise(graph(nodes, edges)), **choice)


NETS = {"dense": dense_net, "images": image_net, "recurrent": recurrent_net}
