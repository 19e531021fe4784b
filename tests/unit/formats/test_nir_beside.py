"""What norse-export writes beside the graph of another tool's file: lost, changed and forged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from nir_graphs import read

from norse_export.errors import GraphError
from norse_export.formats.nir.document import BESIDE, NIRDocument
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.formats.nir.write import write

DT = 1e-3
EDGES = "norse_export_edges"


@pytest.fixture
def document(tmp_path: Path) -> NIRDocument:
    """A recurrent file of the nir library, as norse-export writes it again."""
    size = np.array([2])
    neuron = nir.LIF(tau=np.full(2, 5e-3), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.full(2, 0.5))
    nodes = {
        "in": nir.Input({"input": size}),
        "lif": neuron,
        "w": nir.Linear(np.eye(2)),
        "z": nir.Output({"output": size}),
    }
    links = [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "z")]
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, links))
    written = document_of_graph(graph_of_document(read(tmp_path / "a.nir"), dt=DT).graph)
    assert written.beside
    return written


def forged(document: NIRDocument, change: Callable[[Any], Any]) -> NIRDocument:
    notes = json.loads(document.beside)
    change(notes)
    return replace(document, beside=json.dumps(notes))


@pytest.mark.parametrize(
    "change",
    [
        lambda notes: notes[0].append([1, "x"]),
        lambda notes: notes[1]["lif"].append([None, "x"]),
        lambda notes: notes[1]["lif"].append(["norse_export_r", [1, 2]]),
        lambda notes: notes[1]["lif"].append(["norse_export_r", None]),
        lambda notes: notes[0].append(["colour", "red"]),
        lambda notes: notes[1]["w"].append(["gain", {"float": "0x1p3"}]),
    ],
)
def test_notes_that_are_none_of_ours_are_refused(change: Callable[[Any], Any], document: NIRDocument) -> None:
    with pytest.raises(GraphError, match="beside the graph is damaged"):
        graph_of_document(forged(document, change))


def with_edge_delay(target: str, delay: int) -> Callable[[Any], None]:
    def change(notes: Any) -> None:
        held = dict(map(tuple, notes[0]))
        edges = [[a, b, p, delay if b == target else d] for a, b, p, d in json.loads(held[EDGES])]
        notes[0] = [[key, json.dumps(edges) if key == EDGES else value] for key, value in held.items()]

    return change


@pytest.mark.parametrize(("target", "delay"), [("z", 1), ("z", 5), ("w", 2), ("w", 10**9)])
def test_a_delay_that_the_file_has_no_node_for_is_not_taken(target: str, delay: int, document: NIRDocument) -> None:
    honest = graph_of_document(document).graph
    loaded = graph_of_document(forged(document, with_edge_delay(target, delay)))
    assert sorted(map(str, loaded.graph.edges)) == sorted(map(str, honest.edges))
    assert any("were changed after norse-export wrote the file" in f.message for f in loaded.findings)


def test_the_step_of_a_loop_may_stand_on_another_of_its_edges(document: NIRDocument) -> None:
    def change(notes: Any) -> None:
        held = dict(map(tuple, notes[0]))
        edges = [[a, b, p, int((a, b) == ("w", "lif"))] for a, b, p, _ in json.loads(held[EDGES])]
        notes[0] = [[key, json.dumps(edges) if key == EDGES else value] for key, value in held.items()]
        order = {"in": 0, "lif": 1, "w": 2, "z": 3}
        for name, place in order.items():
            notes[1][name] = [[k, place if k == "norse_export_index" else v] for k, v in notes[1][name]]

    loaded = graph_of_document(forged(document, change))
    assert {(e.source, e.target) for e in loaded.graph.edges if e.delay_steps} == {("w", "lif")}


@pytest.mark.parametrize("value", [3, np.zeros(2), b"\0", None])
def test_notes_that_are_no_text_are_told_and_not_left_out(value: Any, document: NIRDocument, tmp_path: Path) -> None:
    write(tmp_path / "b.nir", document)
    with h5py.File(tmp_path / "b.nir", "a") as file:
        del file[BESIDE]
        if value is None:
            file.create_group(BESIDE)
        else:
            file[BESIDE] = np.void(value) if isinstance(value, bytes) else value
    with pytest.raises(Exception, match=BESIDE) as raised:
        read(tmp_path / "b.nir")
    assert raised.value.exit_code == 2  # type: ignore[attr-defined]
