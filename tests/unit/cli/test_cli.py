"""The command line with a stub in place of the pipeline: what is handed on, printed and returned."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering import ARGUMENTS, ERRORS, VALIDATOR, Answering, Run, samples

from norse_export.cli import main
from norse_export.cli.commands import with_command
from norse_export.errors import (
    ExportError,
    Finding,
)
from norse_export.files.limits import Limits
from norse_export.report.schema import schema

# -- which command, with which choices


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["m.pt", "--target", "nir"], ["export", "m.pt", "--target", "nir"]),
        (["--target", "nir", "m.pt"], ["export", "--target", "nir", "m.pt"]),
        (["--target", "check", "m.pt"], ["export", "--target", "check", "m.pt"]),
        (["check", "m.pt"], ["check", "m.pt"]),
        (["--json", "-q", "check", "m.pt"], ["check", "--json", "-q", "m.pt"]),
        (["-qv", "check", "m.pt"], ["check", "-qv", "m.pt"]),
        (["-v", "m.pt"], ["export", "-v", "m.pt"]),
        (["export", "check"], ["export", "check"]),
        (["./check"], ["export", "./check"]),
        (["--", "check"], ["export", "--", "check"]),
        ([], ["export"]),
        (["--json", "--help"], ["--help"]),
    ],
)
def test_export_is_meant_where_no_command_is_named(arguments: list[str], expected: list[str]) -> None:
    assert with_command(arguments) == expected


def test_export_hands_its_choices_on(run: Run, stub: Answering) -> None:
    line = "m.pt --target nir --target sim --target nir -o out --no-verify --force"
    line += " --random 5 --rate 0.5 --samples 3 --seed 9"
    assert run(*line.split())[0] == 0
    ((command, positional, named),) = stub.calls
    assert command == "export"
    assert positional == (Path("m.pt"), ("nir", "sim"))
    assert named["out"] == Path("out")
    assert (named["verify"], named["force"]) == (False, True)
    assert vars(named["inputs"]) == {"random_steps": 5, "rate": 0.5, "samples": 3, "seed": 9}
    assert vars(named["loading"]) == {"override": False, "limits": Limits()}


def test_loading_choices_are_handed_on_by_every_command_that_loads(run: Run, stub: Answering) -> None:
    options = "--dt 1e-3 --order membrane-first --scheme exponential --threshold ge --reset subtract --as sinabs"
    options += " --override --factory a.b:c --input-shape 3,28,28 --time inside --max-bytes 500M"
    options += " --max-objects 1 --max-depth 2 --max-edges 3 --max-name-bytes 4"
    for command in ("export", "check", "inspect", "run", "parity"):
        assert run(command, *ARGUMENTS[command], *options.split())[0] == 0
    for _, _, named in stub.calls:
        assert vars(named["loading"]) == {
            "dt": 1e-3,
            "order": "membrane-first",
            "scheme": "exponential",
            "threshold": "ge",
            "reset": "subtract",
            "framework": "sinabs",
            "override": True,
            "factory": "a.b:c",
            "input_shape": (3, 28, 28),
            "time": "inside",
            "limits": Limits(max_bytes=500 * 2**20, max_objects=1, max_depth=2, max_edges=3, max_name_bytes=4),
        }


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("1K", 2**10), ("500M", 500 * 2**20), ("4g", 2**32), ("2GiB", 2**31), ("1TB", 2**40)]
)
def test_sizes_have_units(run: Run, stub: Answering, text: str, size: int) -> None:
    run("inspect", "m.pt", "--max-bytes", text)
    assert stub.calls[0][2]["loading"].limits.max_bytes == size


def test_run_hands_its_choices_on(run: Run, stub: Answering) -> None:
    assert run("run", "m.nir", "--inputs", "x.npz", "-o", "t.nir", "--force")[0] == 0
    ((_, positional, named),) = stub.calls
    assert positional == (Path("m.nir"),)
    assert vars(named["inputs"]) == {"file": Path("x.npz")}
    assert (named["trace"], named["force"]) == (Path("t.nir"), True)


def test_a_file_named_like_a_command_can_be_exported(run: Run, stub: Answering) -> None:
    run("export", "check", "--target", "nir")
    assert stub.calls[0][:2] == ("export", (Path("check"), ("nir",)))


@pytest.mark.parametrize("command", ARGUMENTS)
def test_calls_fit_the_real_pipeline(run: Run, stub: Answering, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(command, *ARGUMENTS[command])
    ((_, positional, named),) = stub.calls
    monkeypatch.undo()
    from norse_export import pipeline

    inspect.signature(getattr(pipeline, command)).bind(*positional, **named)


def test_choices_fit_the_real_pipeline() -> None:
    from norse_export.cli import options

    given = dict.fromkeys(("inputs", "random", "rate", "samples", "seed"), 1)
    loading = dict.fromkeys(("override", *options._LOADED, *options._LIMITS), 1)
    assert options.input_choice(given).random_steps == 1
    assert options.load_choice(loading).limits.max_edges == 1


# -- exit codes, on standard output and standard error


def failed_export(error: ExportError) -> Any:
    return samples.ExportResult("m.pt", samples.INPUTS, (samples.failing("nir", error),))


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_an_error_gives_its_code_and_three_lines(run: Run, stub: Answering, error: ExportError, code: int) -> None:
    stub.answer = error
    for command, arguments in ARGUMENTS.items():
        assert run(command, *arguments) == (code, "", "norse-export: error: w\n  where: h\n  fix:   f\n")


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_an_error_of_a_target_gives_its_code(run: Run, stub: Answering, error: ExportError, code: int) -> None:
    stub.answer = failed_export(error)
    got, out, err = run("m.pt", "--target", "nir")
    assert got == code
    assert "FAILED" in out
    assert err == "norse-export: error: w\n  where: h\n  fix:   f\n"


def test_several_targets_end_with_the_first_code_in_order_and_count_the_other_errors(run: Run, stub: Answering) -> None:
    stub.answer = samples.SEVERAL
    code, out, err = run("m.pt", "--target", "all", "--dt", "1e-3")
    assert code == 3
    assert "m.pt -> sim" in out
    assert err.splitlines() == [
        "norse-export: error: reset by subtraction cannot be expressed",
        "  where: 1.lif",
        "  fix:   use reset to a value",
        "and 4 more: norse-export check m.pt --target all --dt 0.001",
    ]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_success_is_0_with_the_result_on_standard_output(run: Run, command: str) -> None:
    code, out, err = run(command, *ARGUMENTS[command])
    assert code == 0
    assert out
    assert err == ""


def test_parity_that_is_broken_is_1(run: Run, stub: Answering) -> None:
    stub.answer = samples.DIFFER
    code, out, err = run("parity", "a", "b")
    assert code == 1
    assert "first divergence" in out
    assert len(err.splitlines()) == 3


def test_check_lists_everything_and_ends_with_its_worst_finding(run: Run, stub: Answering) -> None:
    stub.answer = samples.FITS_NOT
    code, out, err = run("check", "m.pt")
    assert code == 3
    assert out.count("error: ") == 4
    assert err.splitlines()[-1] == "and 3 more: listed on standard output"


def test_check_lists_the_findings_of_a_model_that_has_no_result(run: Run, stub: Answering) -> None:
    stub.answer = samples.UNSUPPORTED
    code, out, err = run("check", "m.pt")
    assert code == 3
    assert out.count("error: ") == 3
    assert len(err.splitlines()) == 4


def test_quiet_check_points_to_the_check_that_is_not_quiet(run: Run, stub: Answering) -> None:
    stub.answer = samples.FITS_NOT
    code, out, err = run("check", "-q", "my model.pt", "--input-shape", "3,4", "--override")
    assert (code, out) == (3, "")
    assert err.splitlines()[-1] == "and 3 more: norse-export check 'my model.pt' --input-shape 3,4 --override"


def test_the_check_that_is_pointed_to_makes_the_same_choices_of_integers(run: Run, stub: Answering) -> None:
    stub.answer = samples.SEVERAL
    words = "--weight-bits 6 --precision split --chip loihi1 --calib x.npz --bits 0=4 --per-channel --no-search"
    _, _, err = run("m.pt", "--target", "loihi", *words.split())
    assert err.splitlines()[-1] == f"and 4 more: norse-export check m.pt --target loihi {words}"


def test_a_vendor_is_handed_on(run: Run, stub: Answering) -> None:
    for command in ("export", "run"):
        run(command, "m", *(["--target", "loihi"] if command == "export" else []), "--vendor", "lava")
        run(command, "m", *(["--target", "loihi"] if command == "export" else []))
    lava, none, *_ = [named["vendor"] for _, _, named in stub.calls]
    assert (lava.name, lava.python, none) == ("lava", None, None)
    code, _, err = run("run", "m", "--vendor-python", "py")
    assert code == 2
    assert "add --vendor NAME" in err


def test_a_bug_is_70_in_one_line_and_with_v_a_traceback(run: Run, stub: Answering) -> None:
    stub.answer = KeyError("x\ny")
    code, out, err = run("inspect", "m.pt")
    assert (code, out) == (70, "")
    assert err.count("\n") == 1
    assert "this is a bug in norse-export: KeyError: 'x\\ny' (rerun with -v" in err
    code, _, err = run("inspect", "m.pt", "-v")
    assert code == 70
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("norse-export: this is a bug")


@pytest.mark.parametrize("wrong", [object(), samples.ExportResult("m", None, ("not a target",))])
def test_a_result_that_cannot_be_shown_is_a_bug(run: Run, stub: Answering, wrong: object) -> None:
    stub.answer = wrong
    assert run("m.pt", "--target", "nir")[0] == 70
    assert run("m.pt", "--target", "nir", "--json")[0] == 70


def test_too_little_memory_is_2(run: Run, stub: Answering) -> None:
    stub.answer = MemoryError()
    code, _, err = run("run", "m.pt")
    assert code == 2
    assert "not enough memory" in err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130)])
def test_an_interrupt_without_a_signal_is_130(stub: Answering, error: BaseException, code: int) -> None:
    stub.answer = error
    assert main(["targets"]) == code


# -- warnings, quiet, verbose


def test_warnings_are_one_line_each_and_notes_are_verbose(run: Run, stub: Answering) -> None:
    stub.answer = samples.UNVERIFIED
    warning = f"norse-export: warning: 2.lif: {samples.WARNING.message}; {samples.WARNING.fix}"
    assert run("m.pt", "--target", "nir")[2].splitlines() == [warning]
    assert "norse-export: note: m.pt" in run("m.pt", "--target", "nir", "-v")[2]


def test_an_error_is_not_followed_by_warnings(run: Run, stub: Answering) -> None:
    stub.answer = samples.BROKEN
    assert "warning" not in run("m.pt", "--target", "nir")[2]


RUNG_1 = Finding("reference", "warning", "m.pt", "rung 1 only: Norse is not installed", "install norse")
STEPS = Finding(
    "reference", "note", "m.pt", "the reference was Norse's steps on the traced graph", "export in training"
)


@pytest.mark.parametrize("command", ["export", "run", "parity"])
@pytest.mark.parametrize("as_json", [False, True])
def test_what_the_reference_was_reaches_the_user(run: Run, stub: Answering, command: str, as_json: bool) -> None:
    stub.answer = replace(samples.OF_COMMAND[command][0], findings=(STEPS, RUNG_1))
    line = (command, *ARGUMENTS[command], *(["--json"] if as_json else []))
    warning, note = (f"norse-export: {found.severity}: m.pt: {found.message}; {found.fix}" for found in (RUNG_1, STEPS))
    code, out, err = run(*line)
    assert (code, err.splitlines()) == (0, [warning])
    assert run(*line, "-v")[2].splitlines() == [note, warning]
    if as_json:
        found = json.loads(out)["findings"]
        assert [(finding["severity"], finding["message"]) for finding in found] == [
            ("note", STEPS.message),
            ("warning", RUNG_1.message),
        ]
    else:
        assert STEPS.message not in out


def test_what_the_reference_of_a_target_was_reaches_the_user(run: Run, stub: Answering) -> None:
    target = samples.target_export("nir", (samples.comparison(),), findings=(STEPS, RUNG_1))
    stub.answer = replace(samples.EXPORTED, targets=(target,))
    assert RUNG_1.message in run("m.pt", "--target", "nir")[2]
    assert STEPS.message in run("m.pt", "--target", "nir", "-v")[2]
    _, out, err = run("m.pt", "--target", "nir", "--json")
    assert [finding["severity"] for finding in json.loads(out)["findings"]] == ["note", "warning"]
    assert STEPS.message not in err


def test_verbose_tells_warnings_and_notes_after_an_error_and_the_error_once(run: Run, stub: Answering) -> None:
    stub.answer = replace(samples.BROKEN, findings=(STEPS, RUNG_1))
    code, _, err = run("m.pt", "--target", "nir", "-v")
    assert code == 1
    assert [line.split(": ")[1] for line in err.splitlines() if line.startswith("norse-export: ")] == [
        "error",
        "note",
        "warning",
    ]


def test_check_shows_warnings_once(run: Run) -> None:
    _, out, err = run("check", "m.pt")
    assert out.count("warning: dt is above") == 1
    assert err == ""


def test_check_shows_notes_with_v_only(run: Run) -> None:
    assert "note: " not in run("check", "m.pt")[1]
    _, out, err = run("check", "m.pt", "-v")
    assert out.count(f"note: {samples.NOTE.message}") == 1
    assert err == ""
    assert "note" in [finding["severity"] for finding in json.loads(run("check", "m.pt", "--json")[1])["findings"]]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_quiet_prints_nothing_of_a_success(run: Run, stub: Answering, command: str) -> None:
    stub.answer = samples.UNVERIFIED if command == "export" else None
    assert run(command, *ARGUMENTS[command], "-q") == (0, "", "")


def test_quiet_still_prints_errors_and_json(run: Run, stub: Answering) -> None:
    stub.answer = samples.BROKEN
    code, out, err = run("m.pt", "--target", "nir", "-q", "--json")
    assert code == 1
    assert json.loads(out)["exit_code"] == 1
    assert len(err.splitlines()) == 3
    assert run("schema", "-q")[1]


def test_verbose_shows_every_finding_and_detail(run: Run, stub: Answering) -> None:
    stub.answer = samples.UNSUPPORTED
    assert run("inspect", "m.pt", "-v")[2].count("error: ") == 3
    stub.answer = samples.INSPECTED
    assert "tau_mem 0.01 s" in run("inspect", "m.pt", "--verbose")[1]


# -- JSON


@pytest.mark.parametrize(
    ("command", "result"), [(command, result) for command, results in samples.OF_COMMAND.items() for result in results]
)
def test_json_of_every_command_is_valid_and_agrees_with_the_exit_code(
    run: Run, stub: Answering, command: str, result: object
) -> None:
    stub.answer = result
    code, out, _ = run(command, *ARGUMENTS[command], "--json")
    document = json.loads(out)
    VALIDATOR.validate(document)
    assert (document["command"], document["exit_code"]) == (command, code)


@pytest.mark.parametrize(("error", "code"), [*ERRORS, (KeyError("x"), 70), (MemoryError(), 2)])
def test_json_of_every_failure_is_valid(run: Run, stub: Answering, error: Exception, code: int) -> None:
    stub.answer = error
    for command, arguments in ARGUMENTS.items():
        got, out, err = run(command, *arguments, "--json")
        document = json.loads(out)
        VALIDATOR.validate(document)
        assert got == document["exit_code"] == code
        assert document["findings"][0]["severity"] == "error"
        assert err


def test_json_holds_every_finding(run: Run, stub: Answering) -> None:
    stub.answer = samples.UNSUPPORTED
    assert len(json.loads(run("inspect", "m.pt", "--json")[1])["findings"]) == 3


def test_json_with_warnings_prints_them_in_both_places(run: Run, stub: Answering) -> None:
    stub.answer = samples.UNVERIFIED
    _, out, err = run("m.pt", "--target", "nir", "--json")
    assert [finding["severity"] for finding in json.loads(out)["findings"]] == ["warning", "note"]
    assert len(err.splitlines()) == 1


def test_schema_prints_the_schema(run: Run) -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out) == schema()
    document = json.loads(run("schema", "--json")[1])
    VALIDATOR.validate(document)
    assert document["result"]["json_schema"] == schema()


def test_finding_kinds_reach_json(run: Run, stub: Answering) -> None:
    stub.answer = ExportError.of([Finding("nan", "error", "2.lif", "v_th is not finite", "retrain")])
    assert json.loads(run("inspect", "m.pt", "--json")[1])["findings"] == [
        {"kind": "nan", "severity": "error", "where": "2.lif", "message": "v_th is not finite", "fix": "retrain"}
    ]
