"""Each defect of netx that NET.md lists is met before a file is written: one case for every line of its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from loihi_nets import TARGET, image_net
from net_checklist import TEXT, checklist
from net_files import NEURON, dense, write_net
from small_nets import cuba_lif, discrete_chain

from norse_export.errors import ExportError, InputFileError, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Flatten, Linear, Output, Pool
from norse_export.passes.plans import QuantiseChoice
from norse_export.targets.loihi import law
from norse_export.targets.loihi.weights import arrive_together, arriving, settled, settled_together, whole

Case = Callable[[Path], None]


def population(*shape: int, **given: int) -> Population:
    parameters = {"u_keep": 3000, "v_keep": 3500, "bias": 0, "v_th": 64 * 80} | given
    return Population(
        program=law.LAVA_LIF.trace(),
        shape=shape,
        parameters={name: np.broadcast_to(np.asarray(value), shape) for name, value in parameters.items()},
        initial_state={name: np.zeros(shape, np.int64) for name in ("u", "v")},
        dt=1e-3,
    )


def net(weight: Any, recurrent: Any = None, **given: int) -> Graph[Any]:
    """One dense layer in whole numbers, perhaps with a loop."""
    made = np.asarray(weight, np.int16)
    n_out, n_in = made.shape
    nodes: dict[str, Any] = {"input": FixedInput((n_in,)), "w": DenseSynapses(made, (n_in,), (n_out,))}
    nodes["lif"] = population(n_out, **given)
    edges = [Edge("input", "w", "x", 1), Edge("w", "lif", "a")]
    if recurrent is not None:
        nodes["r"] = DenseSynapses(np.asarray(recurrent, np.int16), (n_out,), (n_out,))
        edges += [Edge("lif", "r", "x", 1), Edge("r", "lif", "a")]
    nodes["output"] = Output((n_out,))
    return Graph(nodes, (*edges, Edge("lif", "output")))


def refused(graph: Graph[Any], kind: str, path: Path) -> None:
    """It is an error with that name, and nothing is written."""
    found = {finding.kind for finding in TARGET.check(graph) if finding.severity == "error"}
    assert found == {kind}
    with pytest.raises(UnsupportedError):
        TARGET.emit(graph, path)
    assert not list(path.iterdir())


def written(graph: Graph[Any], path: Path) -> dict[str, Any]:
    """What stands in the layer of the file."""
    assert not [finding for finding in TARGET.check(graph) if finding.severity == "error"]
    TARGET.emit(graph, path)
    with h5py.File(path / "model.net") as file:
        (layer,) = file["layer"].values()
        found: dict[str, Any] = {}
        layer.visititems(lambda name, one: found.update({name: one[()]}) if isinstance(one, h5py.Dataset) else None)
    return found


def arrives(weight: Any) -> bool:
    return np.array_equal(arriving(np.asarray(weight)), weight)


def negative_powers_of_two(path: Path) -> None:
    for least in (-1, -4, -256):
        refused(net(np.full((2, 3), least)), "netx_weights", path)
    mended = settled(np.array([[-64, -7], [-64, -3]]))
    assert mended.tolist() == [[-63, -7], [-63, -3]]
    assert arrives(mended)
    assert written(net(mended), path)["weight"].tolist() == mended.tolist()


def negative_with_zero(path: Path) -> None:
    refused(net([[-128, 0, -6]]), "netx_weights", path)
    mended = settled(np.array([[-128, 0, -6]]))
    assert mended.tolist() == [[-126, 0, -6]]
    assert arrives(mended)


def odd_mixed(path: Path) -> None:
    made = whole(np.array([[201.0, -3.0], [127.0, 5.0]]), 1.0)
    assert not np.any(made & 1)
    assert np.abs(made - [[201, -3], [127, 5]]).max() == 1
    assert arrives(made)
    within = whole(np.array([[127.0, -3.0]]), 1.0)
    assert within.tolist() == [[127, -3]]
    kernel = ConvSynapses(np.array([[[[201, -3]]]], np.int16), (1, 1, 4), (1, 1, 3), delivery=law.conv_delivery())
    nodes: dict[str, Any] = {"input": FixedInput((1, 1, 4)), "w": kernel, "lif": population(1, 1, 3)}
    nodes["output"] = Output((1, 1, 3))
    edges = (Edge("input", "w", "x", 1), Edge("w", "lif", "a"), Edge("lif", "output"))
    refused(Graph(nodes, edges), "weights", path)


def beyond_the_range(path: Path) -> None:
    for weight in ([[300, -2]], [[2, -300]], [[256, 4]]):
        refused(net(weight), "netx_weights", path)
    for values in ([[900.0, -2.0]], [[2.0, -900.0]], [[900.0, 4.0]]):
        made = whole(np.array(values), 1.0)
        assert -256 <= made.min() <= made.max() <= 255
        assert arrives(settled(made))


def one_sign_beside_mixed(path: Path) -> None:
    forward, recurrent = np.array([[201, 3], [55, 8]]), np.array([[-256, 254], [4, -8]])
    assert not arrive_together(forward, recurrent)
    refused(net(forward, recurrent), "netx_weights", path)
    pair = settled_together(forward, recurrent)
    assert arrive_together(*pair)
    assert max(np.abs(pair[0] - forward).max(), np.abs(pair[1] - recurrent).max()) == 1
    assert written(net(*pair), path)["weight_rec"].tolist() == pair[1].tolist()


def zeros(path: Path) -> None:
    refused(net(np.zeros((2, 3))), "zero_weights", path)
    layer = written(net([[2, 4], [6, 8]], np.zeros((2, 2))), path)
    assert layer["type"][0] == b"dense"
    assert "weight_rec" not in layer


def fractions(path: Path) -> None:
    layer = written(net([[2, -4], [6, 8]], bias=64 * 7), path)
    assert all(np.array_equal(layer[name], np.rint(layer[name])) for name in ("weight", "bias"))
    (path / "other").mkdir()
    refused(net([[2, -4]], bias=64 * 7 + 1), "register", path / "other")


def message_bits(path: Path) -> None:
    assert not any("messageBits" in name for name in written(net([[2, -4]]), path))
    assert "neuron/messageBits" not in checklist()
    with pytest.raises(UnsupportedError, match="messageBits"):
        TARGET.read(write_net(path / "a.net", [dense([[2]], neuron=dict(NEURON, messageBits=8))]), Limits())


def no_decay(path: Path) -> None:
    refused(net([[2, -4]], u_keep=4096), "register", path)
    assert written(net([[2, -4]], u_keep=4095), path)["neuron/iDecay"] == 1


def no_neurons(path: Path) -> None:
    assert {"neuron/type", "neuron/iDecay", "neuron/vDecay", "neuron/vThMant"} <= written(net([[2, -4]]), path).keys()


def neurons_of_the_input(path: Path) -> None:
    TARGET.emit(image_net(), path)
    with h5py.File(path / "model.net") as file:
        assert file["layer/0/type"][0] == b"input"
        assert set(file["layer/0"]) == {"type", "shape"}


def delays_before_a_convolution(path: Path) -> None:
    graph = image_net()
    late = [Edge(e.source, e.target, e.port, 3) if e.source == "input" else e for e in graph.edges]
    refused(Graph(graph.nodes, tuple(late)), "delay", path)


def delays_with_a_bias(path: Path) -> None:
    graph = net([[2, -4], [6, 8]], bias=64 * 5)
    late = Graph(graph.nodes, tuple(Edge(e.source, e.target, e.port, e.delay_steps and 4) for e in graph.edges))
    assert written(late, path)["delay"].shape == ()
    nodes = {**graph.nodes, "w2": graph.nodes["w"]}
    both = (*graph.edges, Edge("input", "w2", "x", 4), Edge("w2", "lif", "a"))
    (path / "other").mkdir()
    found = {finding.kind for finding in TARGET.check(Graph(nodes, both)) if finding.severity == "error"}
    assert "delay" in found


def pooling(path: Path) -> None:
    pool = Pool("avg", (1, 4, 4), (2, 2), (2, 2))
    last = Linear(np.full((3, 4), 2.0, np.float32))
    model = discrete_chain((1, 4, 4), pool, Flatten((1, 2, 2)), last, cuba_lif((3,)))
    layer = written(TARGET.lower(model, QuantiseChoice(search=False), None, ranges=None).graph, path)
    assert layer["type"][0] == b"dense"
    assert layer["weight"].shape == (3, 16)


def pointers(path: Path) -> None:
    (path / "a.net").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
    assert not TARGET.holds(path / "a.net")
    with pytest.raises(InputFileError):
        TARGET.read(path / "a.net", Limits())


CASES: dict[str, Case] = {
    "all weights negative, the least -2^k": negative_powers_of_two,
    "weights from -2^k to 0": negative_with_zero,
    "mixed weights beyond 127, some odd": odd_mixed,
    "mixed weights beyond 254 or -256, positive ones beyond 255": beyond_the_range,
    "a recurrent layer with weights of one sign": one_sign_beside_mixed,
    "all weights 0": zeros,
    "fractions of weights and biases": fractions,
    "`neuron/messageBits`": message_bits,
    "`neuron/iDecay` 0": no_decay,
    "no group `neuron`": no_neurons,
    "neurons in the input layer": neurons_of_the_input,
    "a delay before a convolution": delays_before_a_convolution,
    "delays for each neuron of a layer that has a bias": delays_with_a_bias,
    "pool, convT, unpool, average, concat": pooling,
    "a file of Git LFS pointers": pointers,
}


@pytest.mark.parametrize("name", CASES)
def test_a_defect_is_met_before_a_file_is_written(name: str, tmp_path: Path) -> None:
    CASES[name](tmp_path)


def test_every_line_of_the_table_has_its_case() -> None:
    lines = TEXT.read_text(encoding="utf-8").partition("| what stands in the file |")[2].splitlines()[2:]
    listed = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    assert len(listed) == len(CASES)
    assert all(one.startswith(name) for one, name in zip(listed, CASES, strict=True))


@pytest.mark.bulk
@pytest.mark.parametrize("sort", ["pool", "convT", "unpool", "average", "concat", "dense_comp"])
def test_layers_that_netx_does_not_load_are_refused_on_reading(sort: str, tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense([[2]]), {"type": sort, "shape": np.array([1])}])
    with pytest.raises(ExportError, match=f"a layer of type '{sort}'"):
        TARGET.read(path, Limits())
