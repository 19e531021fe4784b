"""How the neurons of a .nir file are stepped: what the file says, what is asked for, what a framework means by it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from norse_export.errors import GraphError, UnsupportedError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument
from norse_export.formats.nir.hdf5 import document_of, parse
from norse_export.formats.nir.notes import RULES
from norse_export.formats.nir.presets import PRESETS
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import LoadedGraph, graph_of_document
from norse_export.formats.nir.write import write
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import IF, LI, LIF, CubaLIF, NeuronModel
from norse_export.ir.step_choice import fields_of, words_of
from norse_export.ir.step_words import CHOICES, FRAMEWORKS
from norse_export.program.families import Rule

F32 = np.float32
DT = 1e-3
EVERY = [dict(zip(CHOICES, words, strict=True)) for words in product(*CHOICES.values())]
OTHER = {"scheme": "exponential", "order": "membrane-first", "threshold": "ge", "reset": "subtract"}


def chain(*nodes: NeuronModel) -> Graph[Any]:
    made = {"input": Input(nodes[0].shape), **{f"n{k}": node for k, node in enumerate(nodes)}}
    made["output"] = Output(nodes[-1].shape)
    names = list(made)
    return Graph(made, tuple(Edge(a, b) for a, b in pairwise(names)))


def cuba(**more: Any) -> NeuronModel:
    values: dict[str, Any] = {"tau_mem": np.float64(0.01), "tau_syn": np.float64(0.005), "v_leak": F32(0)}
    return CubaLIF(shape=(2,), dt=DT, **{**values, "v_th": F32(1), "v_reset": F32(0), **more})


def lif(**more: Any) -> NeuronModel:
    values: dict[str, Any] = {"tau_mem": np.float64(0.01), "v_leak": F32(0), "v_th": F32(1), "v_reset": F32(0)}
    return LIF(shape=(2,), dt=DT, **{**values, **more})


def foreign(folder: Path, *nodes: nir.NIRNode) -> NIRDocument:
    """A file of another tool, as it is read: it says nothing of steps."""
    one = np.ones(2)
    given = nodes or (
        nir.CubaLIF(
            tau_syn=one * 5e-3, tau_mem=one * 1e-2, r=one, v_leak=one * 0, v_threshold=one, w_in=one, v_reset=one * 0.5
        ),
    )
    made = {"input": nir.Input(np.array([2])), **{f"n{k}": node for k, node in enumerate(given)}}
    made["output"] = nir.Output(np.array([2]))
    names = list(made)
    nir.write(folder / "f.nir", nir.NIRGraph(made, list(pairwise(names))))
    with (folder / "f.nir").open("rb") as file:
        return document_of(*parse(file, Limits()))


def through_a_file(graph: Graph[Any], path: Path, **said: Any) -> LoadedGraph:
    write(path, document_of_graph(graph))
    with path.open("rb") as file:
        return graph_of_document(document_of(*parse(file, Limits())), **said)


def neuron(loaded: LoadedGraph, name: str = "n0") -> Any:
    return loaded.graph.nodes[name]


# -- files that say nothing


def test_what_nobody_says_is_what_norse_computes_and_told(tmp_path: Path) -> None:
    loaded = graph_of_document(foreign(tmp_path), dt=DT)
    assert (neuron(loaded).rule, neuron(loaded).scheme) == (Rule(), "euler")
    assert loaded.assumptions == {"dt": "0.001", **RULES, "loop_delay_steps": "1"}
    assert RULES == {"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "value"}
    (finding,) = loaded.findings
    assert finding.message.endswith("scheme euler, order synapse-first, threshold gt, reset value, loop_delay_steps 1")


@pytest.mark.parametrize("words", EVERY, ids=lambda words: "-".join(words.values()))
def test_what_is_asked_for_is_taken_and_told(words: dict[str, str], tmp_path: Path) -> None:
    loaded = graph_of_document(foreign(tmp_path), dt=DT, **words)
    assert words_of(neuron(loaded)) == words
    assert loaded.assumptions == {"dt": "0.001", **words, "loop_delay_steps": "1"}
    assert {f"assumed_{name}": word for name, word in words.items()}.items() <= loaded.graph.metadata.items()
    assert np.all(neuron(loaded)["v_reset"] == (0 if words["reset"] == "zero" else 0.5))
    expected = 0.1 if words["scheme"] == "euler" else -np.expm1(-0.1)
    assert neuron(loaded)["alpha"].tolist() == [pytest.approx(expected, rel=1e-15)] * 2
    gain = 0.2 if words["scheme"] == "euler" else -np.expm1(-0.2)
    assert neuron(loaded).gain.tolist() == [pytest.approx(gain, rel=1e-15)] * 2


@pytest.mark.parametrize(
    "said", [{"order": "first"}, {"scheme": "exact"}, {"threshold": ">"}, {"reset": "half"}, {"framework": "nest"}]
)
def test_words_that_are_none_are_refused(said: dict[str, str], tmp_path: Path) -> None:
    (name,) = said
    with pytest.raises(UsageError) as caught:
        graph_of_document(foreign(tmp_path), dt=DT, **said)
    option = "--as" if name == "framework" else f"--{name}"
    assert (caught.value.where, caught.value.fix.startswith("use one of: ")) == (option, True)


# -- files that say something


@pytest.mark.parametrize("words", EVERY, ids=lambda words: "-".join(words.values()))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_population_comes_back_with_its_rule_and_bit_for_bit(
    words: dict[str, str], dtype: str, tmp_path: Path
) -> None:
    node = cuba(dtype=dtype, tau_mem=np.float64(0.0123), **fields_of(words))
    if words["reset"] == "subtract":
        with pytest.raises(UnsupportedError, match="subtracts the threshold"):
            document_of_graph(chain(node))
        return
    loaded = through_a_file(chain(node), tmp_path / "m.nir")
    again = through_a_file(loaded.graph, tmp_path / "again.nir").graph
    assert (tmp_path / "again.nir").read_bytes() == (tmp_path / "m.nir").read_bytes()
    for found in (neuron(loaded), again.nodes["n0"]):
        assert (found.rule, found.scheme, found.get("w_in")) == (node.rule, node.scheme, None)
        assert all(np.array_equal(found[name], node[name]) for name in node.values)
        assert np.all(found.gain == 1)
    assert loaded.findings == ()


def test_populations_that_differ_say_so_each_for_itself(tmp_path: Path) -> None:
    rules = [fields_of({"threshold": "ge"}), fields_of({"reset": "zero"}), {}]
    nodes = [
        lif(**rules[0]),
        cuba(scheme="exponential", **rules[1]),
        LI(shape=(2,), dt=DT, tau_mem=F32(1), v_leak=F32(0)),
    ]
    document = document_of_graph(chain(*nodes))
    assert {name: document.metadata[f"norse_export_{name}"] for name in CHOICES} == {
        "scheme": "by-node", "order": "synapse-first", "threshold": "by-node", "reset": "by-node",
    }  # fmt: skip
    assert "norse_export_order" not in document.nodes["n1"].metadata
    loaded = through_a_file(chain(*nodes), tmp_path / "m.nir")
    for name, node in zip(("n0", "n1", "n2"), nodes, strict=True):
        assert words_of(neuron(loaded, name)) == words_of(node)


@pytest.mark.parametrize("name", CHOICES)
def test_a_file_that_says_something_else_is_a_contradiction_unless_overridden(name: str, tmp_path: Path) -> None:
    graph, said = chain(cuba(v_reset=F32(0.25))), {name: OTHER[name]}
    with pytest.raises(UsageError) as caught:
        through_a_file(graph, tmp_path / "m.nir", **said)
    assert caught.value.what == f"the file says {name} {RULES[name]}, --{name} says {OTHER[name]}"
    assert caught.value.findings[0].kind == f"{name}_conflict"
    assert (caught.value.where, caught.value.fix) == ("n0", f"leave --{name} out, or add --override")
    loaded = through_a_file(graph, tmp_path / "m.nir", **said, override=True)
    assert words_of(neuron(loaded)) == {**RULES, name: OTHER[name]}
    assert loaded.graph.metadata[f"{name}_override"] == f"{RULES[name]} -> {OTHER[name]}"
    (warning,) = loaded.findings
    assert (warning.kind, warning.severity, warning.where) == (f"{name}_override", "warning", "n0")
    if name == "scheme":  # coefficients of the file's own scheme are not those of another
        assert neuron(loaded)["alpha"].tolist() == [F32(-np.expm1(-0.1))] * 2


def test_saying_what_the_file_says_is_no_contradiction(tmp_path: Path) -> None:
    node = cuba(**fields_of({**OTHER, "reset": "value"}))
    loaded = through_a_file(chain(node), tmp_path / "m.nir", **{**OTHER, "reset": "value"})
    assert loaded.findings == ()
    assert words_of(neuron(loaded)) == words_of(node)


def test_resets_to_zero_and_to_a_v_reset_of_zero_are_the_same(tmp_path: Path) -> None:
    loaded = through_a_file(chain(lif()), tmp_path / "m.nir", reset="zero")
    assert (neuron(loaded).rule.reset, loaded.findings) == ("value", ())


def test_a_choice_that_a_population_does_not_have_changes_nothing(tmp_path: Path) -> None:
    fire = IF(shape=(2,), dt=DT, v_th=F32(1), v_reset=F32(0))
    loaded = through_a_file(chain(fire), tmp_path / "m.nir", order="membrane-first", scheme="exponential")
    assert (neuron(loaded).rule, neuron(loaded).scheme, loaded.findings) == (Rule(), "euler", ())


@pytest.mark.parametrize("where", ["graph", "n0"])
def test_words_in_metadata_that_are_none_are_refused_by_name(where: str) -> None:
    document = document_of_graph(chain(cuba()))
    named = {"norse_export_reset": "half"}
    if where == "graph":
        document = replace(document, metadata={**document.metadata, **named})
        expected = pytest.raises(
            UnsupportedError, match="reset 'half' is not supported: known are value, zero, subtract"
        )
    else:
        node: Any = document.nodes[where]
        nodes = {**document.nodes, where: replace(node, metadata={**node.metadata, **named})}
        document = replace(document, nodes=nodes)
        expected = pytest.raises(GraphError, match="norse_export_reset is not value or zero or subtract")
    with expected:
        graph_of_document(document)


# -- frameworks

LIFS = {"tau": 8e-4, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
CUBAS = {**{k: v for k, v in LIFS.items() if k != "tau"}, "tau_mem": 8e-4, "tau_syn": 4e-4, "w_in": 4.0}
IFS = {"r": 1.0, "v_threshold": 1.0, "v_reset": 0.0}
LIS = {"tau": 8e-4, "r": 1.0, "v_leak": 0.0}
NODES: dict[str, tuple[type, dict[str, float]]] = {
    "LIF": (nir.LIF, LIFS), "CubaLIF": (nir.CubaLIF, CUBAS), "IF": (nir.IF, IFS), "LI": (nir.LI, LIS),
    "CubaLI": (nir.CubaLI, {k: v for k, v in CUBAS.items() if k not in ("v_threshold", "v_reset")}),
}  # fmt: skip


def of_kind(kind: str, **changes: Any) -> nir.NIRNode:
    made, fields = NODES[kind]
    return made(**{name: np.resize(np.asarray(value, float), 2) for name, value in {**fields, **changes}.items()})


def as_framework(name: str, folder: Path, kind: str, said: dict[str, Any] | None = None, **changes: Any) -> LoadedGraph:
    return graph_of_document(foreign(folder, of_kind(kind, **changes)), framework=name, **(said or {}))


def test_every_framework_of_the_command_line_has_a_preset() -> None:
    assert tuple(PRESETS) == FRAMEWORKS
    for preset in PRESETS.values():
        assert set(preset.words) == set(CHOICES)
        assert all(word in CHOICES[name] for name, word in preset.words.items())


ASSUMED = {
    "norse": ("0.001", "euler", "gt", "zero"),
    "snntorch": ("0.0001", "euler", "gt", "zero"),
    "spikingjelly": ("0.0001", "euler", "ge", "value"),
    "sinabs": ("1.0", "exponential", "ge", "subtract"),
    "lava": ("0.0001", "euler", "gt", "zero"),
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_a_framework_means_is_taken_and_told(name: str, tmp_path: Path) -> None:
    loaded = as_framework(name, tmp_path, "LIF")
    dt, scheme, threshold, reset = ASSUMED[name]
    assert neuron(loaded).dt == float(dt)
    assert words_of(neuron(loaded)) == {"scheme": scheme, "threshold": threshold, "reset": reset}
    told = {"dt": dt, "as": name, "scheme": scheme, "threshold": threshold, "reset": reset}
    assert told.items() <= loaded.assumptions.items()
    assert loaded.graph.metadata["assumed_as"] == name
    (note,) = [finding for finding in loaded.findings if finding.kind == "assumed"]
    assert f"as {name}" in note.message


READS = {
    "norse": ["CubaLIF", "IF", "LIF"],
    "snntorch": ["CubaLIF", "LIF"],
    "spikingjelly": ["CubaLIF", "IF", "LIF"],
    "sinabs": ["IF", "LI", "LIF"],
    "lava": ["CubaLIF", "IF", "LIF"],
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_a_framework_does_not_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    changes: Any = {("spikingjelly", "IF"): {"r": 1e4}, ("norse", "CubaLIF"): {"tau_syn": 1.0}}
    for kind in NODES:
        if kind in READS[name]:
            assert neuron(as_framework(name, tmp_path, kind, **changes.get((name, kind), {}))).kind.name == kind
            continue
        with pytest.raises(UnsupportedError) as caught:
            as_framework(name, tmp_path, kind)
        assert (caught.value.what, caught.value.where) == (f"{PRESETS[name].title} does not read NIR's {kind}", "n0")
        assert "leave --as out" in caught.value.fix


def test_the_input_counts_as_the_framework_counts_it(tmp_path: Path) -> None:
    gains = {
        ("norse", "LIF"): 1, ("norse", "IF"): 1, ("norse", "CubaLIF"): 8 * 4 * 1e-3 / 4e-3,
        ("snntorch", "LIF"): 8, ("snntorch", "CubaLIF"): 8, ("spikingjelly", "LIF"): 8, ("sinabs", "IF"): 1,
        ("sinabs", "LI"): 1 / -np.expm1(-1 / 8), ("lava", "LIF"): 1, ("lava", "IF"): 1,
    }  # fmt: skip
    for (name, kind), gain in gains.items():
        taus = {"norse": {"tau": 8e-3, "tau_mem": 8e-3, "tau_syn": 4e-3}, "sinabs": {"tau": 8.0}}.get(name, {})
        changes = {field: tau for field, tau in taus.items() if field in NODES[kind][1]}
        assert neuron(as_framework(name, tmp_path, kind, **changes)).gain.tolist() == [pytest.approx(gain)] * 2


REFUSED = [
    ("norse", "CubaLIF", {"v_leak": 0.5, "tau_mem": 1.0, "tau_syn": 1.0}, "v_leak has to be 0"),
    ("norse", "LIF", {"tau": 1e-5}, "to_nir of norse 1.1.0 writes time constants that are dt times too short"),
    ("snntorch", "LIF", {"v_leak": 0.5}, "v_leak has to be 0"),
    ("snntorch", "LIF", {"v_threshold": [1, 2]}, "v_threshold must be the same for all neurons"),
    ("snntorch", "LIF", {"r": [1, 2]}, "r dt/tau must be the same"),
    ("snntorch", "LIF", {"tau": 5e-5}, "tau below dt = 0.0001 s"),
    ("snntorch", "CubaLIF", {"r": 1.0}, "r has to be tau_mem/dt, 8 at dt = 0.0001 s"),
    ("snntorch", "CubaLIF", {"w_in": [1, 2]}, "w_in dt/tau_syn must be the same"),
    ("spikingjelly", "IF", {}, "r has to be 1/dt, 10000 at dt = 0.0001 s"),
    ("spikingjelly", "LIF", {"r": 2.0}, "r has to be 1, or tau/dt, 8"),
    ("spikingjelly", "LIF", {"tau": 1e-4}, "tau below dt"),
    ("spikingjelly", "LIF", {"v_leak": 0.5}, "v_leak has to be v_reset"),
    ("spikingjelly", "LIF", {"tau": [8e-4, 4e-4]}, "tau must be the same"),
    ("spikingjelly", "CubaLIF", {"w_in": 1.0}, "w_in has to be tau_syn/dt, 4"),
    ("spikingjelly", "CubaLIF", {"r": 1.0}, "r has to be tau_mem/dt"),
    ("sinabs", "LIF", {"v_leak": 0.5}, "v_leak has to be 0"),
    ("sinabs", "LI", {"r": 2.0}, "r has to be 1"),
    ("lava", "CubaLIF", {"r": 1.0}, "r has to be tau_mem/dt"),
    ("lava", "CubaLIF", {"tau_mem": [8e-4, 4e-4], "r": [8, 4]}, "tau_mem must be the same"),
    ("lava", "IF", {"r": 2.0}, "r has to be 1"),
]


@pytest.mark.parametrize(("name", "kind", "changes", "reason"), REFUSED)
def test_what_a_framework_does_not_take_is_refused_with_its_reason(
    name: str, kind: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        as_framework(name, tmp_path, kind, **changes)
    assert caught.value.exit_code == 3
    assert any(reason in finding.message for finding in caught.value.findings)
    assert {finding.where for finding in caught.value.findings} == {"n0"}


@pytest.mark.parametrize(
    ("name", "kind", "changes", "field"),
    [
        ("norse", "LIF", {"r": 5.0, "tau": 1.0}, "r (5)"),
        ("norse", "LIF", {"r": 1.0, "v_reset": 0.5, "tau": 1.0}, "v_reset (0.5)"),
        ("snntorch", "LIF", {"v_reset": 0.5}, "v_reset (0.5)"),
        ("lava", "LIF", {"v_leak": 0.5, "r": 1.0}, "v_leak (0.5)"),
    ],
)
def test_what_a_framework_does_not_look_at_is_told(
    name: str, kind: str, changes: dict[str, Any], field: str, tmp_path: Path
) -> None:
    loaded = as_framework(name, tmp_path, kind, **changes)
    assert any(finding.kind == "as" and f"does not look at {field}" in finding.message for finding in loaded.findings)
    assert np.all(neuron(loaded)[field.split()[0]] == (1 if field.startswith("r ") else 0))


@pytest.mark.parametrize(
    ("name", "kind", "limit"),
    [
        ("sinabs", "LIF", "several spikes in a step"),
        ("sinabs", "IF", "keeps v above -v_threshold"),
        ("snntorch", "LIF", "reset by subtraction"),
        ("lava", "CubaLIF", "rounds decays to 1/4096"),
        ("lava", "LIF", "synapses takes a step"),
    ],
)
def test_what_a_framework_does_beyond_one_step_is_told_once(name: str, kind: str, limit: str, tmp_path: Path) -> None:
    loaded = graph_of_document(foreign(tmp_path, of_kind(kind), of_kind(kind)), framework=name)
    (warning,) = [finding for finding in loaded.findings if limit in finding.message]
    assert (warning.kind, warning.severity, warning.where) == ("as", "warning", "n0, n1")


def test_a_flag_beside_a_framework_counts(tmp_path: Path) -> None:
    said = {"dt": 2e-4, "reset": "subtract", "threshold": "ge"}
    loaded = as_framework("snntorch", tmp_path, "LIF", said, r=4.0)
    assert neuron(loaded).dt == 2e-4
    assert words_of(neuron(loaded)) == {"scheme": "euler", "threshold": "ge", "reset": "subtract"}
    assert loaded.assumptions["reset"] == "subtract"


def test_a_file_that_says_something_else_than_a_framework_means_is_a_contradiction(tmp_path: Path) -> None:
    graph = chain(lif(v_reset=F32(0.25)))
    with pytest.raises(UsageError, match=r"the file says dt = 0\.001 s, --as snntorch says 0\.0001 s"):
        through_a_file(graph, tmp_path / "m.nir", framework="snntorch")
    with pytest.raises(UsageError, match="the file says reset value, --as norse means reset zero") as caught:
        through_a_file(graph, tmp_path / "m.nir", framework="norse")
    assert caught.value.fix == "leave --as out, or add --override"
    loaded = through_a_file(graph, tmp_path / "m.nir", framework="norse", override=True)
    assert (neuron(loaded).rule.reset, neuron(loaded)["v_reset"].tolist()) == ("zero", [0, 0])


def test_a_start_at_v_reset_is_spikingjellys(tmp_path: Path) -> None:
    loaded = as_framework("spikingjelly", tmp_path, "CubaLIF", v_reset=0.5)
    assert neuron(loaded)["v0"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_was_read_as_a_framework_is_written_and_read_again_alike(name: str, tmp_path: Path) -> None:
    loaded = as_framework(name, tmp_path, "LIF", **({"tau": 8.0} if name == "sinabs" else {}))
    if name == "sinabs":
        with pytest.raises(UnsupportedError, match="subtracts the threshold"):
            document_of_graph(loaded.graph)
        return
    again = neuron(through_a_file(loaded.graph, tmp_path / "m.nir"))
    first = neuron(loaded)
    assert (words_of(again), again.dt) == (words_of(first), first.dt)
    assert all(np.array_equal(again[value], first[value]) for value in first.values)
