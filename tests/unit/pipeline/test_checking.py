"""check and targets, when a target of another package cannot be loaded: named, and nobody else's problem."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from norse_export import cli, registry
from norse_export.errors import MissingDependencyError
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.write import write
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import IF
from norse_export.pipeline import check, targets

BROKEN = EntryPoint("broken", "missing_for_tests:Target", registry.GROUP)


@pytest.fixture(autouse=True)
def plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry point, whose module is not there."""
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [BROKEN] if group == registry.GROUP else [])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    neuron = IF(shape=(1,), dt=1e-3, v_th=np.float32(1), v_reset=np.float32(0))
    nodes = {"input": Input((1,)), "n": neuron, "output": Output((1,))}
    path = tmp_path / "m.nir"
    write(path, document_of_graph(Graph(nodes, (Edge("input", "n"), Edge("n", "output")))))
    return path


def test_a_target_that_cannot_be_loaded_is_listed_with_the_reason() -> None:
    summaries = {summary.name: summary for summary in targets()}
    broken = summaries["broken"]
    assert "cannot be loaded: ModuleNotFoundError: No module named 'missing_for_tests'" in broken.description
    assert (broken.runners, broken.stage, broken.origin) == ((), "unknown", "missing_for_tests")
    assert (summaries["nir"].runners, summaries["nir"].origin) == (("interpreter",), "norse-export")


@pytest.mark.parametrize("chosen", [(), ("all",), ("nir", "all")])
def test_check_of_all_goes_on_without_it(chosen: tuple[str, ...], model: Path) -> None:
    checked = {target.target: target for target in check(model, chosen).targets}
    assert checked["nir"].fits
    assert not checked["broken"].fits
    (finding,) = checked["broken"].findings
    assert (finding.kind, finding.where) == ("missing_dependency", "missing_for_tests:Target")
    assert "'missing_for_tests'" in finding.message
    assert "missing_for_tests" in finding.fix


def test_asked_for_by_name_it_is_an_error(model: Path) -> None:
    with pytest.raises(MissingDependencyError, match="cannot be loaded") as caught:
        check(model, ("nir", "broken"))
    assert caught.value.exit_code == 5


def test_the_commands_name_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["targets"]) == 0
    assert "missing_for_tests" in capsys.readouterr().out
    assert cli.main(["check", str(model), "--target", "nir"]) == 0
    capsys.readouterr()
    cli.main(["check", str(model), "--json"])
    result = json.loads(capsys.readouterr().out)
    fits = {target["target"]: target["fits"] for target in result["result"]["targets"]}
    assert fits == {"nir": True, "broken": False}
