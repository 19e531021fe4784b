"""Warnings about what is possible, but hardly meant; and none about ordinary networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import DT, chain, cuba_li, cuba_lif, dense

from norse_export.ir.doubts import ENCODERS, IMAGES, READOUTS, STATES, doubts
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Linear, Scale
from norse_export.ir.neurons import IF, LIF

F = np.float32
W = dense(np.random.default_rng(0), 3, 3)


@pytest.mark.parametrize(
    ("node", "kind", "what"),
    [
        (Linear(np.zeros((3, 3), F), np.ones(3, F)), "zero_layer", "every weight of the layer is 0"),
        (Scale(np.zeros(3, F)), "zero_layer", "every weight of the layer is 0"),
        (cuba_lif((3,), tau_mem=np.array([1, 1, 0.8e-3])), "tau", "dt/tau_mem[2] = 1.25 is above 1"),
        (cuba_li((3,), tau_syn=np.float64(0.8e-3)), "tau", "dt/tau_syn[0] = 1.25 is above 1"),
        (cuba_lif((3,), v_th=0.0), "threshold", "v_th[0] = 0 is not above v_leak = 0"),
        (cuba_lif((3,), v_th=np.array([1, -1, 1], F)), "threshold", "v_th[1] = -1 is not above v_leak = 0"),
        (cuba_lif((3,), v_reset=2.0), "threshold", "v_th[0] = 1 is not above v_reset = 2"),
        (IF(shape=(3,), dt=DT, v_th=F(0), v_reset=F(0)), "threshold", "v_th[0] = 0 is not above v_reset = 0"),
    ],
)
def test_what_is_hardly_meant_gives_one_warning(node: Any, kind: str, what: str) -> None:
    (finding,) = doubts(chain((3,), node))
    assert (finding.kind, finding.severity, finding.where) == (kind, "warning", "0")
    assert finding.message.startswith(what)
    assert finding.fix


def test_a_convolution_of_zeros_is_named_too() -> None:
    (finding,) = doubts(chain((1, 3, 3), Conv(np.zeros((1, 1, 2, 2), F), (3, 3))))
    assert finding.kind == "zero_layer"


def test_ordinary_networks_give_no_warning() -> None:
    biological = {"v_leak": F(-65), "v_th": F(-50), "v_reset": F(-65)}
    nodes = [
        W,
        cuba_lif((3,)),
        cuba_lif((3,), v_leak=-65.0, v_th=-50.0, v_reset=-65.0),
        LIF(shape=(3,), dt=DT, tau_mem=np.float64(DT), **biological),
        IF(shape=(3,), dt=DT, v_th=F(0.1), v_reset=F(-5)),
        cuba_li((3,)),
    ]
    assert doubts(chain((3,), *nodes)) == ()


@pytest.mark.parametrize(
    ("key", "said", "where", "severity", "what"),
    [
        (ENCODERS, '{"input": "net.0"}', "input", "warning", "the encoder 'net.0' is no part of what is exported"),
        (IMAGES, '["input"]', "input", "note", "the model takes one image"),
        (READOUTS, '{"output": "max, softmax"}', "output", "warning", "the model makes of all steps: max, softmax;"),
        (STATES, '["output"]', "output", "warning", "the model returns a record of its states beside the output"),
    ],
)
def test_what_stands_outside_of_the_graph_is_told(key: str, said: str, where: str, severity: str, what: str) -> None:
    graph = chain((3,), W, cuba_lif((3,)))
    (finding,) = doubts(Graph(graph.nodes, graph.edges, {key: said}))
    assert (finding.kind, finding.severity, finding.where) == ("boundary", severity, where)
    assert finding.message.startswith(what)
    assert finding.fix


@pytest.mark.parametrize("said", ["no JSON", "[" * 100_000, "3", '{"elsewhere": "0"}', '[["input"], {"a": 1}, null]'])
def test_metadata_that_were_changed_by_hand_say_nothing(said: str) -> None:
    graph = chain((3,), W, cuba_lif((3,)))
    assert doubts(Graph(graph.nodes, graph.edges, dict.fromkeys((ENCODERS, IMAGES, READOUTS), said))) == ()


def test_every_doubt_is_given() -> None:
    zeros = Linear(np.zeros((3, 3), F))
    found = doubts(chain((3,), zeros, cuba_lif((3,), v_th=0.0, tau_mem=np.float64(0.9e-3)), zeros))
    assert [(finding.kind, finding.where) for finding in found] == [
        ("zero_layer", "0"),
        ("tau", "1"),
        ("threshold", "1"),
        ("zero_layer", "2"),
    ]
