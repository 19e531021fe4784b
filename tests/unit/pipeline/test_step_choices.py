"""Choices of discretisation on the command line: of .nir files and of model files, in every command that loads one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import nn

import norse_export
from norse_export.cli import main
from norse_export.errors import UsageError
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import LIF, CubaLIF
from norse_export.ir.step_choice import StepChoice, words_of
from norse_export.ir.step_words import CHOICES
from norse_export.pipeline import InputChoice, LoadChoice, load, run
from norse_export.pipeline.time_step import with_steps
from norse_export.program.families import Rule

F32 = np.float32
OTHER = {"scheme": "exponential", "order": "membrane-first", "threshold": "ge", "reset": "subtract"}
DEFAULT = {name: words[0] for name, words in CHOICES.items()}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Input -> Affine -> CubaLIF -> Output of another tool; what arrives reaches the threshold exactly."""
    one = np.ones(3)
    neuron = nir.CubaLIF(
        tau_syn=2e-3 * one, tau_mem=4e-3 * one, r=4 * one, v_leak=0 * one, v_threshold=one, w_in=2 * one,
        v_reset=0.5 * one,
    )  # fmt: skip
    nodes = {
        "input": nir.Input(np.array([3])), "fc": nir.Affine(np.eye(3), np.zeros(3)), "lif": neuron,
        "output": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    nir.write(tmp_path / "f.nir", nir.NIRGraph(nodes, edges))
    return tmp_path / "f.nir"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model of Norse's, saved."""
    torch.manual_seed(0)
    model = snn.SequentialState(nn.Linear(4, 5), snn.LIFCell(snn.LIFParameters(v_th=torch.as_tensor(0.2))))
    norse_export.save(model, tmp_path / "m.pt", (torch.rand(40, 2, 4) < 0.6).float())
    return tmp_path / "m.pt"


def spikes(path: Path, **said: Any) -> Any:
    raster = InputChoice(random_steps=60, rate=0.5, samples=3, seed=1)
    result = run(path, inputs=raster, loading=LoadChoice(dt=1e-3, **said))
    return tuple(layer.spikes for layer in result.layers)


def test_every_choice_changes_what_a_file_does(foreign: Path) -> None:
    """Were a choice lost on its way, what it does would be what nobody asked for does."""
    plain = spikes(foreign)
    assert plain == spikes(foreign, **DEFAULT)
    for name, word in OTHER.items():
        assert spikes(foreign, **{name: word}) != plain, name
    assert spikes(foreign, reset="zero") not in (plain, spikes(foreign, reset="subtract"))


def test_every_choice_is_followed_through_an_export(foreign: Path, tmp_path: Path) -> None:
    """Written and read back: the artefact does what the file was taken for, and says so."""
    inputs = InputChoice(random_steps=60, rate=0.5, samples=3, seed=1)
    for name, word in {**OTHER, "reset": "zero"}.items():
        out = tmp_path / f"{name}.nir"
        choice = LoadChoice(dt=1e-3, **{name: word})  # type: ignore[arg-type]
        (result,) = norse_export.export(foreign, ["nir"], out=out, inputs=inputs, loading=choice).targets
        assert (result.error, result.parity[0].equal) == (None, True)
        written = load(out)
        assert words_of(written.graph.nodes["lif"])[name] == word  # type: ignore[arg-type]
        assert (written.provenance or {})[f"assumed_{name}"] == word
        layers = run(out, inputs=inputs).layers
        assert tuple(layer.spikes for layer in layers) == spikes(foreign, **{name: word})


# -- the command line


FLAGS = ["--dt", "1e-3", "--order", "membrane-first", "--scheme", "exponential", "--threshold", "ge", "--reset", "zero"]


@pytest.mark.parametrize("command", ["run", "check", "inspect", "export", "parity"])
def test_the_flags_stand_in_every_command_that_loads(
    command: str, foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "run": ["run", str(foreign), "--random", "20"],
        "check": ["check", str(foreign), "--target", "nir"],
        "inspect": ["inspect", str(foreign)],
        "export": [str(foreign), "--target", "nir", "-o", str(tmp_path / "o.nir"), "--random", "60", "--rate", "0.5"],
        "parity": ["parity", str(foreign), str(foreign), "--random", "60", "--rate", "0.5"],
    }[command]
    assert main([*given, *FLAGS, "--json"]) == 0, capsys.readouterr()
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "ok"
    told = json.dumps(answer["findings"])
    assert "scheme exponential, order membrane-first, threshold ge, reset zero" in told
    if command == "inspect":
        (node,) = [node for node in answer["result"]["nodes"] if node["name"] == "lif"]
        assert node["details"]["step"] == "exponential, membrane-first, ge, zero"


def test_a_framework_is_told_with_what_it_means(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(foreign), "--as", "lava", "--dt", "1e-3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    told = [finding["message"] for finding in answer["findings"]]
    assert any("as lava" in message and "reset zero" in message for message in told)
    assert any("does not look at v_reset (0.5)" in message for message in told)
    assert any("rounds decays" in message for message in told)
    assert main(["inspect", str(foreign), "--as", "sinabs"]) == 3
    assert "sinabs does not read NIR's CubaLIF" in capsys.readouterr().err


def test_the_line_that_lists_all_findings_has_the_same_choices(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is refused twice is shown once, and the rest by the line that is told."""
    one = np.ones(2)
    nodes = {"input": nir.Input(np.array([2])), "a": nir.LI(one, one, one), "b": nir.LI(one, one, one)}
    nodes["output"] = nir.Output(np.array([2]))
    path = foreign.parent / "two.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "a"), ("a", "b"), ("b", "output")]))
    assert main([str(path), "--target", "nir", "--as", "norse", "--reset", "zero", "--order", "membrane-first"]) == 3
    line = capsys.readouterr().err.splitlines()[-1]
    assert "--as norse" in line
    assert "--order membrane-first --reset zero" in line


# -- model files


@pytest.mark.parametrize("name", OTHER)
def test_a_model_that_says_something_else_is_changed_only_by_override(name: str, saved: Path) -> None:
    choice: Any = {name: OTHER[name]}
    with pytest.raises(UsageError) as caught:
        load(saved, loading=LoadChoice(**choice))
    expected = f"--{name} {OTHER[name]} contradicts the model, whose neurons have the {name} {DEFAULT[name]!r}"
    assert (caught.value.what, caught.value.findings[0].kind) == (expected, f"{name}_conflict")
    changed = load(saved, loading=LoadChoice(**choice, override=True))
    (node,) = [node for node in changed.graph.nodes.values() if hasattr(node, "rule")]
    assert words_of(node) == {**DEFAULT, name: OTHER[name]}  # type: ignore[arg-type]
    assert changed.graph.metadata[f"{name}_override"] == f"{DEFAULT[name]} -> {OTHER[name]}"
    (warning,) = [finding for finding in changed.findings if finding.kind == f"{name}_override"]
    assert warning.severity == "warning"
    assert changed.stored is not None
    plain = load(saved)
    assert plain.stored is not None
    rungs = (plain.stored[1].rung, changed.stored[1].rung)
    before, after = (next(iter(model.stored[1].run.spikes.values())) for model in (plain, changed))  # type: ignore[index]
    if name in ("order", "reset"):  # what it is compared with is what it does now, which Norse has no step for
        assert (before != after).any()
    assert rungs == ((0, 0) if name == "scheme" else (0, 1))  # the scheme is coefficients, and those Norse can have
    assert node["alpha"].flat[0] == F32(-np.expm1(-0.1) if name == "scheme" else 0.1)  # type: ignore[index]


def test_saying_what_the_model_does_is_no_contradiction(saved: Path) -> None:
    model = load(saved, loading=LoadChoice(dt=1e-3, **DEFAULT))  # type: ignore[arg-type]
    assert [finding for finding in model.findings if finding.kind.endswith("_override")] == []
    assert load(saved, loading=LoadChoice(reset="zero")).graph.metadata == load(saved).graph.metadata  # v_reset is 0


def test_every_contradiction_is_told_at_once(saved: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(saved, loading=LoadChoice(dt=2e-3, **OTHER))  # type: ignore[arg-type]
    kinds = {finding.kind for finding in caught.value.findings}
    assert kinds == {"dt", *(f"{name}_conflict" for name in OTHER)}


def test_a_framework_is_for_nir_files(saved: Path) -> None:
    with pytest.raises(UsageError, match=r"--as is for \.nir files") as caught:
        load(saved, loading=LoadChoice(framework="snntorch"))
    assert (caught.value.where, caught.value.fix) == ("--as", "leave --as out")


def test_words_that_are_none_are_refused() -> None:
    nodes: Any = {"input": Input((1,)), "output": Output((1,))}
    graph = Graph(nodes, (Edge("input", "output"),))
    with pytest.raises(UsageError, match="--reset half: unknown"):
        with_steps(graph, StepChoice(reset="half"))


def test_only_what_differs_is_changed() -> None:
    level: dict[str, Any] = {"v_leak": F32(0), "v_th": F32(1), "v_reset": F32(0.5), "tau_mem": F32(0.01)}
    nodes: Any = {
        "input": Input((1,)),
        "a": LIF(shape=(1,), dt=1e-3, rule=Rule(threshold="ge"), **level),
        "b": CubaLIF(shape=(1,), dt=1e-3, tau_syn=F32(0.02), alpha=np.nextafter(F32(0.1), F32(1)), **level),
        "output": Output((1,)),
    }
    graph = Graph(nodes, (Edge("input", "a"), Edge("a", "b"), Edge("b", "output")))
    changed, (warning,) = with_steps(graph, StepChoice(threshold="ge", override=True))
    a, b = (changed.nodes[name] for name in "ab")
    assert (warning.where, changed.metadata) == ("b", {"threshold_override": "gt -> ge"})
    assert (a.rule, b.rule) == (Rule(threshold="ge"), Rule(threshold="ge"))  # type: ignore[union-attr]
    assert b["alpha"] == np.nextafter(F32(0.1), F32(1))  # type: ignore[index]  # the framework's own stays
