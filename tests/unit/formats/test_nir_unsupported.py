"""What NIR cannot express is found in one look over the graph, however dense, and without making what is too large."""

from __future__ import annotations

import sys
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_graphs import lif

from norse_export.errors import UnsupportedError
from norse_export.formats.nir import edge_delays as module
from norse_export.formats.nir.conv_form import (
    MAX_GROWTH,
    MAX_WRITTEN_NUMBERS,
    original_form,
    written_form,
    written_numbers,
)
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.unsupported import unsupported
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Input, Output
from norse_export.ir.neurons import KINDS, Kind, NeuronModel
from norse_export.ir.shaping import Elementwise
from norse_export.program.elementwise import FUNCTIONS
from norse_export.program.families import Rule
from norse_export.registry import load


def graph(neurons: int, *edges: Edge) -> Graph[Any]:
    """An input, an output, and neurons of one value called "0", "1", ..., the first and last of which they join."""
    names = [str(k) for k in range(neurons)]
    nodes = {"input": Input((1,)), **{name: lif(1) for name in names}, "output": Output((1,))}
    fed = [Edge("input", name) for name in names]
    return Graph(nodes, (*fed, *edges, Edge(names[-1], "output")))


def all_to_all(neurons: int) -> Graph[Any]:
    """Every neuron feeds every one, itself too: those behind it at once, the others one step later."""
    pairs = product(range(neurons), repeat=2)
    return graph(neurons, *(Edge(str(a), str(b), delay_steps=int(a >= b)) for a, b in pairs))


def calls(function: Any, *arguments: Any) -> int:
    """How many Python functions were entered during a call."""
    entered = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(count)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return entered


def test_delays_of_a_dense_graph_are_judged_without_a_search_for_each() -> None:
    dense = all_to_all(120)
    assert sum(edge.delay_steps for edge in dense.edges) == 120 * 121 / 2
    assert unsupported(dense) == ()
    assert calls(unsupported, dense) < 6 * len(dense.edges)  # a search for each delay: 21


@pytest.mark.parametrize("at_once", [1, 2, 4096])
def test_only_a_delay_that_closes_an_instant_way_back_is_understood(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TARGETS_IN_A_SWEEP", at_once)
    edges = [
        Edge("0", "1"), Edge("1", "2"), Edge("2", "0", delay_steps=1), Edge("2", "1", delay_steps=1),
        Edge("2", "2", delay_steps=1), Edge("0", "2", delay_steps=1), Edge("2", "3", delay_steps=1),
        Edge("3", "0", delay_steps=1), Edge("3", "3", delay_steps=2),
    ]  # fmt: skip
    found = module.written_as_nodes(graph(4, *edges))
    # "2 -> 3 -> 0 -> ..." is one component with the rest, but each loop through 3 takes two steps
    expected = ["0 -> 2", "2 -> 3", "3 -> 0", "3 -> 3"]
    assert {f"{edge.source} -> {edge.target}": dt for edge, dt in found.items()} == dict.fromkeys(expected, 1e-3)


def test_a_delay_without_a_population_has_no_length_in_seconds() -> None:
    nodes = {"input": Input((1,)), "output": Output((1,))}
    (finding,) = unsupported(Graph(nodes, (Edge("input", "output", delay_steps=2),)))
    assert (finding.kind, finding.where) == ("delay", "input -> output")
    assert "no population of the graph says how long a step is" in finding.message


def finding_of(conv: Conv) -> list[tuple[str, str]]:
    edges = (Edge("input", "conv"), Edge("conv", "output"))
    nodes = {"input": Input(conv.input_shape), "conv": conv, "output": Output(conv.output_shape)}
    return [(finding.kind, finding.where) for finding in unsupported(Graph(nodes, edges))]


def conv(*weight: int, size: tuple[int, ...], groups: int = 1) -> Conv:
    one, none = (1,) * len(size), (0,) * len(size)
    return Conv(np.ones(weight, np.float32), size, None, one, none, one, groups)


REFUSED = [("conv_size", "conv")]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (conv(1, 1, 1, 8191, size=(1, 8191)), []),
        (conv(1, 1, 1, 8193, size=(1, 8193)), REFUSED),
        (conv(1, 1, 2, 30_000, size=(2, 30_000)), REFUSED),
        (conv(8192, 1, 1, size=(1,), groups=8192), []),  # 2**26 numbers
        (conv(8193, 1, 1, size=(1,), groups=8193), REFUSED),
        (conv(2048, 2100, 1, size=(1,), groups=16), []),  # more than 2**26 numbers, but 16 times the original's
        (conv(2040, 2100, 1, size=(1,), groups=17), REFUSED),
        (conv(4200, 1, 1, 2, size=(2, 3)), REFUSED),  # for the crop alone: 4200 * 4200 * 4
    ],
    ids=lambda value: "x".join(map(str, value.weight.shape)) if isinstance(value, Conv) else "",
)
def test_a_convolution_that_would_be_written_far_larger_is_refused(node: Conv, expected: list[Any]) -> None:
    tracemalloc.start()
    try:
        assert finding_of(node) == expected
        assert tracemalloc.get_traced_memory()[1] < 2**22  # nothing of that size was made
    finally:
        tracemalloc.stop()


def test_it_is_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    node = conv(1, 1, 1, 30_000, size=(1, 30_000))
    large = Graph({"input": Input(node.input_shape), "0.conv": node, "output": Output(node.output_shape)},
                  (Edge("input", "0.conv"), Edge("0.conv", "output")))  # fmt: skip
    with pytest.raises(UnsupportedError, match="900,000,000 numbers instead of 30,000") as caught:
        load("nir").emit(large, tmp_path / "m.nir")
    assert (caught.value.exit_code, caught.value.where) == (3, "0.conv")
    assert "67,108,864" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_the_constants_stand_in_the_readme() -> None:
    text = (Path(__file__).parents[3] / "targets" / "nir" / "README.md").read_text()
    assert f"2^{MAX_WRITTEN_NUMBERS.bit_length() - 1}\nnumbers" in text
    assert MAX_WRITTEN_NUMBERS == 2**26
    assert f"{MAX_GROWTH} times (`MAX_GROWTH`)" in text


def test_the_number_of_numbers_is_that_of_the_written_form() -> None:
    for node in (
        conv(2, 1, 1, 3, size=(5, 5)), conv(2, 1, 1, 2, size=(5, 5)), conv(4, 1, 3, size=(5,), groups=4),
        conv(4, 2, 3, 3, size=(5, 5)), conv(4, 2, 2, 5, size=(9, 9), groups=2),
    ):  # fmt: skip
        form = written_form(node)
        assert written_numbers(node) == form.conv.weight.size + (form.crop.weight.size if form.crop else 0)


def test_a_crop_that_is_not_in_the_file_is_not_made_on_reading() -> None:
    form = written_form(conv(3000, 1, 1, 2, size=(2, 3)))
    assert form.crop is not None
    tracemalloc.start()
    try:
        assert original_form(form.conv, None, dict(form.original or {})) is None
        assert tracemalloc.get_traced_memory()[1] < 2**22  # a crop has 144 MB
    finally:
        tracemalloc.stop()


def with_population(node: Any) -> Graph[Any]:
    nodes = {"input": Input(node.input_shape), "n": node, "output": Output(node.output_shape)}
    return Graph(nodes, (Edge("input", "n"), Edge("n", "output")))


def of_kind(kind: Kind, **changes: Any) -> NeuronModel:
    values: dict[str, Any] = dict.fromkeys(kind.levels, np.float32(0.5))
    values |= dict.fromkeys(kind.rates.values(), np.float64(1e-2))
    values |= {name: np.zeros((2, 2), np.float32) for name in kind.dynamics.matrices}
    values |= {name: np.float32(5) for name in kind.levels if name == "rho_reset"}
    return kind(**{"shape": (2,), "dt": 1e-3, **values, **changes})


NIR_HAS = ("CubaLIF", "CubaLI", "LIF", "LI", "IF", "I", "Threshold")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "CobaLIF"])
def test_a_kind_that_nir_has_no_primitive_for_is_refused_by_name(name: str) -> None:
    found = unsupported(with_population(of_kind(KINDS[name])))
    if name in NIR_HAS:
        assert found == ()
        return
    (finding,) = found
    assert (finding.kind, finding.severity, finding.where) == ("family", "error", "n")
    assert finding.message.startswith(f"{name}: NIR has no primitive")
    assert finding.fix
    with pytest.raises(UnsupportedError, match=f"{name}: NIR has no primitive"):
        document_of_graph(with_population(of_kind(KINDS[name])))


def test_the_class_of_the_user_s_framework_stands_for_the_kind_where_the_graph_says_it() -> None:
    plain = with_population(of_kind(KINDS["LSNN"]))
    told = Graph(plain.nodes, plain.edges, {"classes": '{"n": "Norse LSNNCell"}'})
    (finding,) = unsupported(told)
    assert finding.message == "Norse LSNNCell: NIR has no primitive that takes its step"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_between_layers_is_refused_in_words(name: str) -> None:
    values = {key: np.ones(2, np.float32) for key in FUNCTIONS[name].parameters}
    nodes = {"input": Input((2,)), "f": Elementwise(name, (2,), values), "output": Output((2,))}
    ports = FUNCTIONS[name].ports
    edges = (*(Edge("input", "f", port, number) for number, port in enumerate(ports)), Edge("f", "output"))
    finding = next(one for one in unsupported(Graph(nodes, edges)) if one.kind == "layer")
    assert finding.where == "f"
    assert "_" not in finding.message
    assert finding.message.startswith("a")


def test_a_conductance_based_population_is_refused_by_name() -> None:
    nodes = {"input": Input((2,)), "n": of_kind(KINDS["CobaLIF"]), "output": Output((2,))}
    edges = (Edge("input", "n", "e"), Edge("n", "n", "i", 1), Edge("n", "output"))
    (finding,) = unsupported(Graph(nodes, edges))
    assert finding.kind == "family"
    assert finding.message.startswith("CobaLIF: NIR has no primitive")


@pytest.mark.parametrize("rule", [Rule(reset="subtract"), Rule("ge", "subtract")])
def test_a_reset_that_nir_has_not_is_refused_by_name(rule: Rule) -> None:
    (finding,) = unsupported(with_population(of_kind(KINDS["LIF"], rule=rule)))
    assert (finding.kind, finding.where) == ("rule", "n")
    assert "reset subtracts the threshold" in finding.message
    assert "reset to v_reset" in finding.fix


@pytest.mark.parametrize("v_reset", [0.0, 0.25])
def test_a_reset_to_zero_is_nirs_where_its_v_reset_is_zero(v_reset: float) -> None:
    node = of_kind(KINDS["LIF"], rule=Rule(reset="zero"), v_reset=np.float32(v_reset))
    found = unsupported(with_population(node))
    assert [finding.kind for finding in found] == ["rule"] * (v_reset != 0)
    assert all("resets to zero" in finding.message for finding in found)


def test_what_nir_leaves_open_is_written() -> None:
    node = of_kind(KINDS["CubaLIF"], rule=Rule(threshold="ge", order="membrane_first"), scheme="exponential")
    assert unsupported(with_population(node)) == ()
