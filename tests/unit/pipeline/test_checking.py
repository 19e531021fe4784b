"""check, export and targets, when a target of another package fails: named, and nobody else's problem."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from norse_export import cli, registry
from norse_export.errors import MissingDependencyError, UnknownTargetError, UsageError
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.write import write
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import LIF
from norse_export.pipeline import IntegerChoice, check, export, targets

BROKEN = EntryPoint("broken", "missing_for_tests:Target", registry.GROUP)
FAILING = """
from norse_export.errors import CapacityError, GraphError, UnsupportedError
class Target:
    name, stage, suffix, folder, description = "failing", "continuous", ".f", False, "a chip"
    def fail(self, *given): raise ZeroDivisionError("their mistake")
    check = emit = run = runners = fail
class Odd(Target):
    def check(self, graph): return ["no finding"]
    def runners(self): return None
class Leaving(Target):
    def check(self, graph): raise SystemExit(0)
class Small(Target):
    def check(self, graph): raise CapacityError("too many neurons", where="n", fix="fewer")
class Unable(Target):
    def check(self, graph): raise UnsupportedError("no IF", where="n", fix="LIF")
class Refusing(Target):
    def check(self, graph): raise GraphError("impossible", where="n", fix="mend it")
class Emits(Target):
    def check(self, graph): return ()
class Runs(Emits):
    def emit(self, graph, path): path.write_text("artefact")
"""


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[EntryPoint]:
    """The entry points that are there, at first one whose module is not; `failing_for_tests` can be imported."""
    found = [BROKEN]
    (tmp_path / "failing_for_tests.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "entry_points", lambda *, group: found if group == registry.GROUP else [])
    return found


def failing(target: str = "Target") -> EntryPoint:
    return EntryPoint("failing", f"failing_for_tests:{target}", registry.GROUP)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    zero, one = np.float32(0), np.float32(1)
    neuron = LIF(shape=(1,), dt=1e-3, tau_mem=np.float32(0.01), v_leak=zero, v_th=one, v_reset=zero)
    nodes = {"input": Input((1,)), "n": neuron, "output": Output((1,))}
    path = tmp_path / "m.nir"
    write(path, document_of_graph(Graph(nodes, (Edge("input", "n"), Edge("n", "output")))))
    return path


@pytest.mark.usefixtures("plug_ins")
def test_a_target_that_cannot_be_loaded_is_listed_with_the_reason() -> None:
    summaries = {summary.name: summary for summary in targets()}
    broken = summaries["broken"]
    assert "cannot be loaded: ModuleNotFoundError: No module named 'missing_for_tests'" in broken.description
    assert (broken.runners, broken.stage, broken.origin) == ((), "unknown", "missing_for_tests")
    assert (summaries["nir"].runners, summaries["nir"].origin) == (("interpreter",), "norse-export")


@pytest.mark.parametrize(("target", "reason"), [("Target", "ZeroDivisionError: their mistake"), ("Odd", "TypeError")])
def test_a_target_that_cannot_say_what_runs_it_is_listed_with_the_reason(
    target: str, reason: str, plug_ins: list[EntryPoint]
) -> None:
    plug_ins[:] = [failing(target)]
    summaries = {summary.name: summary for summary in targets()}
    assert f"cannot say what can run it: {reason}" in summaries["failing"].description
    assert summaries["failing"].runners == ()
    assert summaries["nir"].runners == ("interpreter",)


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize("chosen", [(), ("all",), ("nir", "all")])
def test_check_of_all_goes_on_without_it(chosen: tuple[str, ...], model: Path) -> None:
    checked = {target.target: target for target in check(model, chosen).targets}
    assert checked["nir"].fits
    assert not checked["broken"].fits
    assert checked["broken"].error is not None
    (finding,) = checked["broken"].error.findings
    assert (finding.kind, finding.where) == ("missing_dependency", "missing_for_tests:Target")
    assert "'missing_for_tests'" in finding.message
    assert "missing_for_tests" in finding.fix


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("Target", "ZeroDivisionError: their mistake"),
        ("Odd", "TypeError: its check gives str instead of findings"),
        ("Leaving", "SystemExit: 0"),
    ],
)
def test_check_of_all_goes_on_where_one_raises(
    target: str, reason: str, plug_ins: list[EntryPoint], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_ins[:] = [failing(target)]
    assert cli.main(["check", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  nir: fits" in lines
    at = lines.index("  failing: FAILED, it could not be asked")
    assert lines[at + 1] == (f"    error: target 'failing' of package failing_for_tests cannot check a model: {reason}")
    assert cli.main(["check", str(model), "--target", "failing"]) == 5
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("target", "code"), [("Small", 4), ("Unable", 3), ("Refusing", 2)])
def test_what_a_target_says_of_the_model_counts(
    target: str, code: int, plug_ins: list[EntryPoint], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_ins.append(failing(target))
    for named in ([], ["--target", "failing"]):
        assert cli.main(["check", str(model), *named]) == code
        shown = capsys.readouterr()
        assert ("  nir: fits" in shown.out) == (not named)
        assert "missing_for_tests" not in shown.err


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize("others", [("nir",), ("all",)])
def test_asked_for_by_name_it_is_an_error(others: tuple[str, ...], model: Path) -> None:
    with pytest.raises(MissingDependencyError, match="cannot be loaded") as caught:
        check(model, (*others, "broken"))
    assert caught.value.exit_code == 5


def test_a_name_beside_all_must_be_that_of_a_target(model: Path) -> None:
    with pytest.raises(UnknownTargetError, match="'nope'"):
        check(model, ("all", "nope"))


@pytest.mark.parametrize("target", ["Target", "Emits", "Runs"])
def test_an_export_to_others_goes_on_where_one_raises(
    target: str, plug_ins: list[EntryPoint], model: Path, tmp_path: Path
) -> None:
    plug_ins[:] = [failing(target)]
    result = export(model, ("failing", "nir"), out=tmp_path / "out")
    failed, done = result.targets
    assert failed.error is not None
    assert "'failing' of package failing_for_tests failed: ZeroDivisionError" in failed.error.what
    assert result.error is failed.error
    assert failed.error.exit_code == 5
    assert done.error is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.nir"]


@pytest.mark.usefixtures("plug_ins")
def test_the_commands_name_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["targets"]) == 0
    assert "missing_for_tests" in capsys.readouterr().out
    assert cli.main(["check", str(model), "--target", "nir"]) == 0
    capsys.readouterr()
    assert cli.main(["check", str(model), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    errors = [finding["kind"] for finding in result["findings"] if finding["severity"] == "error"]
    assert (result["status"], errors) == ("ok", ["missing_dependency"])
    found = {target["target"]: target for target in result["result"]["targets"]}
    fits = {name: target["fits"] for name, target in found.items()}
    assert fits == dict.fromkeys(fits, True) | {"sim": True, "nir": True, "broken": False}
    assert [finding["kind"] for finding in found["broken"]["findings"]] == ["missing_dependency"]
    assert cli.main(["check", str(model), "--target", "broken"]) == 5
    assert "missing_for_tests" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("choice", "where"),
    [
        (IntegerChoice(state_bits=20, per_channel=True), "--state-bits, --per-channel"),
        (IntegerChoice(layer_bits={"0": 4}), "--bits"),
        (IntegerChoice(search=False, chip="a"), "--no-search, --chip"),
    ],
)
def test_only_the_choices_that_were_made_are_named(choice: IntegerChoice, where: str, model: Path) -> None:
    with pytest.raises(UsageError, match="targets of integers") as caught:
        check(model, ["nir"], integers=choice)
    assert caught.value.findings[0].where == where
    with pytest.raises(UsageError, match="with --fixed"):
        check(model, ["nir", "onnx"], integers=choice)


@pytest.mark.parametrize("target", ["loihi", "spinnaker"])
@pytest.mark.parametrize(
    ("choice", "where"),
    [
        (IntegerChoice(weight_bits=4), "--weight-bits"),
        (IntegerChoice(weight_bits=8), "--weight-bits"),  # as the generic law has them by itself
        (IntegerChoice(state_bits=24, decay_bits=12), "--state-bits, --decay-bits"),
        (IntegerChoice(decay_bits=5, layer_bits={"0": 4}), "--decay-bits, --bits"),
        (IntegerChoice(per_channel=True), "--per-channel"),
    ],
)
def test_a_chip_names_the_widths_that_were_asked_for_and_its_own(
    target: str, choice: IntegerChoice, where: str, model: Path
) -> None:
    with pytest.raises(UsageError, match="the chip has its own widths: ") as caught:
        check(model, [target], integers=choice)
    assert caught.value.findings[0].where == where
    assert caught.value.findings[0].fix == f"leave {where} out for this target"


def test_check_refuses_choices_that_no_target_takes_as_export_does(model: Path, tmp_path: Path) -> None:
    choice = IntegerChoice(weight_bits=4)
    found = []
    for step in (lambda: check(model, ["nir"], integers=choice), lambda: export(model, "nir", integers=choice)):
        with pytest.raises(UsageError, match="targets of integers") as caught:
            step()
        assert caught.value.findings[0].where == "--weight-bits"
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert check(model, ["nir", "sim"], integers=choice).targets
    assert cli.main(["check", str(model), "--target", "nir", "--weight-bits", "4"]) == 2
