"""Wrong command lines are refused with what, where and fix; right ones are explained."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from answering import VALIDATOR, Answering, Run

from norse_export.cli.commands import program

USAGE = [
    ([], "MODEL"),
    (["m.pt"], "--target"),
    (["m.pt", "--target"], "norse-export export"),
    (["check"], "MODEL"),
    (["parity", "a"], "B"),
    (["inspect", "a", "b"], "norse-export inspect"),
    (["inspect", "a", "--bogus"], "--bogus"),
    (["inspect", "a", "--override=3"], "norse-export inspect"),
    (["inspect", ""], "FILE"),
    (["m.pt", "--target", "nir", "-o", ""], "-o"),
    *((["inspect", "a", "--dt", dt], "--dt") for dt in ("0", "-1", "nan", "inf", "1e-400", "1 ms", "", "1e999")),
    *((["run", "a", "--random", t], "--random") for t in ("0", "-1", "1.5", "ten", "9" * 5000, "1_0", "٣")),
    *((["run", "a", "--random", "5", "--rate", p], "--rate") for p in ("0", "1.01", "-0.1", "nan", "all")),
    (["run", "a", "--samples", "0"], "--samples"),
    (["run", "a", "--seed", "-1"], "--seed"),
    (["run", "a", "--seed", str(2**63)], "--seed"),
    *((["inspect", "a", "--max-bytes", b], "--max-bytes") for b in ("0", "-1", "4X", "1.5G", "", "G", "9" * 30)),
    (["inspect", "a", "--max-objects", "0"], "--max-objects"),
    (["inspect", "a", "--max-depth", "0"], "--max-depth"),
    (["inspect", "a", "--max-edges", "0"], "--max-edges"),
    (["inspect", "a", "--max-name-bytes", "0"], "--max-name-bytes"),
    *((["inspect", "a", "--input-shape", s], "--input-shape") for s in ("", "3,", "3,0", "3x28", "-1")),
    (["inspect", "a", "--time", "sideways"], "--time"),
    *((["inspect", "a", flag, "GT"], flag) for flag in ("--order", "--scheme", "--threshold", "--reset", "--as")),
    (["inspect", "a", "--order", "synapse_first"], "--order"),
    (["run", "a", "--inputs", "x.npz", "--random", "5"], "--random"),
    (["run", "a", "--inputs", "x.npz", "--samples", "5"], "--samples"),
    (["run", "a", "--rate", "0.5"], "--rate"),
    (["parity", "a", "b", "--inputs", "x", "--random", "5"], "--random"),
]


@pytest.mark.parametrize(("arguments", "where"), USAGE)
def test_wrong_usage_is_2_with_what_where_and_fix(
    run: Run, stub: Answering, arguments: Sequence[str], where: str
) -> None:
    code, out, err = run(*arguments)
    lines = err.splitlines()
    assert (code, out, stub.calls) == (2, "", [])
    assert len(lines) == 3
    assert lines[0].startswith("norse-export: error: ")
    assert lines[1] == f"  where: {where}"
    assert lines[2].startswith("  fix:   ")
    assert len(lines[2]) > len("  fix:   ")


@pytest.mark.parametrize(("arguments", "where"), USAGE)
def test_wrong_usage_with_json_prints_the_object_too(run: Run, arguments: Sequence[str], where: str) -> None:
    code, out, err = run("--json", *arguments)
    document = json.loads(out)
    VALIDATOR.validate(document)
    assert code == document["exit_code"] == 2
    assert document["result"] == {}
    assert document["findings"][0]["where"] == where
    assert document["command"] == (arguments[0] if arguments and arguments[0] in program.commands else "export")
    assert len(err.splitlines()) == 3


def test_json_after_two_dashes_is_the_name_of_a_file(run: Run) -> None:
    assert run("inspect", "--", "--json", "x")[1] == ""


def test_limits_of_numbers_are_accepted(run: Run) -> None:
    assert run("run", "a", "--random", "1", "--rate", "1", "--seed", str(2**63 - 1), "--samples", "1")[0] == 0


def test_a_mistyped_command_is_guessed(run: Run) -> None:
    assert "norse-export inspect" in run("inspct", "m.pt")[2]
    assert "norse-export check" in run("chek", "m.pt", "--json")[2]


def test_usage_error_shows_the_arguments_of_the_command(run: Run) -> None:
    assert "norse-export parity A B" in run("parity")[2]
    assert "norse-export MODEL --target T" in run()[2]


# -- help


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(run: Run, flag: str) -> None:
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    assert all(command in out for command in program.commands)


def test_help_of_a_command_names_its_options(run: Run) -> None:
    out = run("export", "--help")[1]
    options = "--out --inputs --random --rate --samples --seed --dt --override --factory --input-shape --time --verify"
    options += " --order --scheme --threshold --reset --as"
    options += " --no-verify --force --max-bytes --max-objects --max-depth --max-edges --max-name-bytes --json -q -v"
    assert [option for option in options.split() if option not in out] == []


def test_help_names_the_modes_and_chips_that_the_targets_have(run: Run) -> None:
    from norse_export.targets.loihi.limits import NAMES
    from norse_export.targets.loihi.precision import Precision
    from norse_export.targets.spinnaker.target import CHIPS

    out = " ".join(run("export", "--help")[1].split())
    assert f"(loihi: {', '.join(Precision)})" in out
    assert f"(loihi: {', '.join(NAMES)}; spinnaker: {', '.join(CHIPS)})" in out


def test_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version") == (0, f"norse-export {version('norse-export')}\n", "")


def test_bits_given_twice_for_one_layer_are_refused(run: Run) -> None:
    code, _, err = run("m.pt", "--target", "sim", "--bits", "conv1=4", "--bits", "a=4", "--bits", "conv1=6")
    assert code == 2
    assert "given twice for the layer 'conv1': 4 and 6" in err
    assert "where: --bits" in err
