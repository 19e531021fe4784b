"""Results as JSON: the object of the interface, finite, in a stable order, and valid under our own schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
import sample_results as samples

from norse_export.errors import Finding, MissingDependencyError
from norse_export.report.document import document_of, encoded, envelope
from norse_export.report.outcome import error_of, findings_of
from norse_export.report.schema import EXIT_CODES, schema
from norse_export.report.text import text_of

VALIDATOR = jsonschema.Draft202012Validator(schema())
CASES = [(command, result) for command, results in samples.OF_COMMAND.items() for result in results]


def decoded(command: str, result: object) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(encoded(document_of(command, result)), parse_constant=refuse)


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(("command", "result"), CASES)
def test_every_result_is_valid_under_the_schema(command: str, result: object) -> None:
    VALIDATOR.validate(decoded(command, result))


def test_the_schema_itself_is_a_valid_result() -> None:
    VALIDATOR.validate(decoded("schema", schema()))


@pytest.mark.parametrize("exit_code", [code for code in EXIT_CODES if code])
def test_failures_without_a_result_are_valid(exit_code: int) -> None:
    for command in (*samples.OF_COMMAND, "schema"):
        VALIDATOR.validate(json.loads(encoded(envelope(command, exit_code, {}, [samples.WARNING]))))


def test_the_outer_object_is_that_of_the_interface() -> None:
    document = decoded("export", samples.BROKEN)
    assert list(document) == ["schema", "command", "status", "exit_code", "result", "findings"]
    assert document | {"result": None, "findings": None} == {
        "schema": 1,
        "command": "export",
        "status": "failed",
        "exit_code": 1,
        "result": None,
        "findings": None,
    }
    assert list(document["findings"][0]) == ["kind", "severity", "where", "message", "fix"]


@pytest.mark.parametrize(("command", "result"), [("export", samples.BROKEN), ("parity", samples.DIFFER)])
def test_parity_entries_are_those_of_the_interface(command: str, result: object) -> None:
    document = decoded(command, result)["result"]
    (entry,) = document["parity"]
    assert {key: value for key, value in entry.items() if key != "layers"} == {
        "reference": "norse 1.1.0, torch 2.13.0",
        "actual": "interpreter, float32",
        "rung": 1,
        "steps": 100,
        "samples": 8,
        "equal": False,
        "vacuous": False,
        "first_divergence": {
            "node": "2.lif",
            "step": 17,
            "sample": 3,
            "index": [1, 4],
            "quantity": "spikes",
            "expected": 1.0,
            "actual": 0.0,
        },
        "skew_steps": 0,
        "explained_flips": 0,
        "allowed_flips": 1,
        "decisions_equal": [8, 8],
        "accuracy": [0.975, 0.5],
    }
    assert entry["layers"][1] == {
        "node": "2.lif",
        "spikes_expected": 20,
        "spikes_actual": 18,
        "differing": 2,
        "explained": 0,
        "consequences": 0,
        "jaccard": 0.9,
        "van_rossum": 1.0,
        "victor_purpura": 2.0,
        "states_equal": True,
        "states_max_abs": 0.0,
        "values_max_abs": None,
        "values_mean_abs": None,
    }
    assert document["artefacts"] == []


def test_an_equal_comparison_with_differing_cells_says_what_explains_them() -> None:
    (entry,) = decoded("parity", replace(samples.COMPARED, parity=(samples.EXPLAINED,)))["result"]["parity"]
    assert (entry["equal"], entry["explained_flips"], entry["allowed_flips"]) == (True, 1, 1)
    layer = entry["layers"][0]
    assert (layer["differing"], layer["explained"], layer["consequences"]) == (12, 1, 11)


def test_a_recorded_trace_of_unknown_origin_has_no_rung() -> None:
    (entry,) = decoded("parity", replace(samples.COMPARED, parity=(samples.RECORDED,)))["result"]["parity"]
    assert entry["rung"] is None


def test_artefacts_are_those_of_the_interface() -> None:
    artefact = {"path": "m.nir", "sha256": samples.SHA256, "bytes": 4321}
    assert decoded("export", samples.EXPORTED)["result"]["artefacts"] == [artefact]
    assert decoded("run", samples.RAN)["result"]["artefacts"] == [artefact]


def test_partial_results_of_several_targets_are_kept() -> None:
    document = decoded("export", samples.SEVERAL)
    assert document["exit_code"] == 3
    assert [target["exit_code"] for target in document["result"]["targets"]] == [0, 4, 3, 1]
    assert [target["parity"] for target in document["result"]["targets"]] == [[0], [], [1], [2]]
    assert len(document["result"]["artefacts"]) == 1


def test_what_vendors_say_stands_in_a_list_of_its_own() -> None:
    mapped, simulated = decoded("export", samples.CHECKED)["result"]["vendor"]
    assert (mapped["vendor"], mapped["equal"], mapped["parity"]) == ("vendor", True, None)
    assert mapped["compared"] == {"weights": {"total": 640, "differing": 0}, "rows": {"total": 64, "differing": 0}}
    assert mapped["figures"] == {"cores": 3, "board": "spin5"}
    assert (simulated["parity"]["rung"], simulated["figures"]) == (4, {"seconds": None})
    wrong = decoded("export", samples.CHECKED_WRONG)
    assert wrong["exit_code"] == 1
    assert [check["equal"] for check in wrong["result"]["vendor"]] == [False, False]
    assert decoded("run", samples.RAN_BY_VENDOR)["exit_code"] == 1


def test_findings_come_once_and_those_of_the_deciding_error_first() -> None:
    findings = findings_of("export", samples.SEVERAL)
    assert findings[:3] == samples.UNSUPPORTED.findings
    assert len(findings) == len(set(findings)) == 5


def test_numbers_that_are_not_finite_become_null() -> None:
    (entry,) = decoded("export", samples.EXPORTS[5])["result"]["parity"]
    assert entry["first_divergence"]["expected"] is None
    assert entry["first_divergence"]["actual"] is None
    assert entry["layers"][0]["states_max_abs"] is None
    assert entry["decisions_equal"] is None
    assert decoded("run", samples.RAN)["result"]["layers"][1]["states"] == {"v": [None, None]}


def test_numbers_of_numpy_become_numbers() -> None:
    layer = samples.spiking("0", np.int64(7), np.int32(7), np.int64(0), jaccard=np.float32(0.5), states_equal=np.True_)
    shown = samples.comparison(layers=(layer,), equal=np.True_, accuracy=(np.float64(0.5), np.float32("nan")))
    result = replace(samples.EXPORTED, targets=(samples.target_export("nir", (shown,)),))
    (entry,) = decoded("export", result)["result"]["parity"]
    assert (entry["layers"][0]["spikes_expected"], entry["layers"][0]["jaccard"], entry["equal"]) == (7, 0.5, True)
    assert entry["accuracy"] == [0.5, None]


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="not a value for JSON: complex"):
        encoded({"x": 1j})


def test_text_that_is_not_unicode_and_control_characters_survive_as_ascii() -> None:
    finding = Finding("kind", "error", "a\udcffb", "line\nbreak \x1b", "ä")
    text = encoded(envelope("export", 2, {}, [finding]))
    assert text.isascii()
    assert json.loads(text)["findings"][0]["where"] == "a\\udcffb"
    assert json.loads(text)["findings"][0]["message"] == "line\nbreak \x1b"


@pytest.mark.parametrize(("command", "result"), CASES)
def test_keys_come_in_the_order_of_the_schema(command: str, result: object) -> None:
    document = decoded(command, result)
    assert list(document) == schema()["required"]
    assert list(document["result"]) == schema()["$defs"][command]["required"]
    parts = schema()["$defs"]
    for entry in document["result"].get("parity", ()):
        assert list(entry) == parts["comparison"]["required"]
        assert all(list(layer) == parts["layer_parity"]["required"] for layer in entry["layers"])


@pytest.mark.parametrize(
    ("result", "exit_code"),
    [(samples.FITS, 0), (samples.FITS_NOT, 3), (samples.TOO_LARGE, 4), (samples.SAYS_NOT_WHY, 3)],
)
def test_check_ends_with_the_code_of_its_worst_finding(result: Any, exit_code: int) -> None:
    error = error_of("check", result)
    assert (0 if error is None else error.exit_code) == exit_code
    assert decoded("check", result)["exit_code"] == exit_code


def test_targets_that_could_not_be_asked_count_only_where_none_could() -> None:
    unasked = samples.TargetCheck("theirs", False, (), error=MissingDependencyError("gone", where="theirs", fix="mend"))
    alone = replace(samples.FITS, targets=(unasked,))
    beside = [replace(other, targets=(unasked, *other.targets)) for other in (samples.FITS, samples.TOO_LARGE)]
    assert [decoded("check", result)["exit_code"] for result in (alone, *beside)] == [5, 0, 4]
    assert all("theirs: FAILED" in "\n".join(text_of("check", result)) for result in (alone, *beside))


def test_check_counts_a_finding_of_the_whole_model() -> None:
    finding = Finding("loop", "error", "1", "a loop without delay", "add a delay")
    error = error_of("check", replace(samples.FITS, findings=(finding,)))
    assert error is not None
    assert (error.exit_code, error.findings) == (3, (finding,))


def _remove(path: str) -> Any:
    def change(document: Any) -> None:
        *way, last = path.split("/")
        for key in way:
            document = document[int(key) if key.isdigit() else key]
        del document[last]

    return change


def _set(path: str, value: object) -> Any:
    def change(document: Any) -> None:
        *way, last = path.split("/")
        for key in way:
            document = document[int(key) if key.isdigit() else key]
        document[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _remove("findings"),
        _remove("result/parity"),
        _remove("result/parity/0/vacuous"),
        _remove("result/parity/0/rung"),
        _set("result/parity/0/rung", "recorded trace"),
        _remove("result/parity/0/allowed_flips"),
        _remove("result/parity/0/layers/0/explained"),
        _remove("result/parity/0/layers/0/consequences"),
        _remove("result/parity/0/layers/0/jaccard"),
        _remove("result/artefacts/0/sha256"),
        _set("extra", 1),
        _set("result/extra", 1),
        _set("result/parity/0/match_percent", 99.0),
        _set("schema", 2),
        _set("command", "import"),
        _set("command", "parity"),
        _set("status", "failed"),
        _set("exit_code", 1),
        _set("exit_code", 6),
        _set("result", {}),
        _set("result/parity/0/layers/0/differing", -1),
        _set("result/parity/0/layers/0/differing", 0.5),
        _set("result/parity/0/layers/0/jaccard", 1.5),
        _set("result/parity/0/equal", None),
        _set("result/parity/0/decisions_equal", [1]),
        _set("result/parity/0/accuracy", [0.5, 2]),
        _set("result/artefacts/0/sha256", "ABC"),
        _set("findings", [{"kind": "x", "severity": "fatal", "where": "x", "message": "x", "fix": "x"}]),
        _set("findings", [{"kind": "x", "severity": "error", "where": "x", "message": "x", "fix": ""}]),
    ],
)
def test_what_violates_the_schema_is_found(change: Any) -> None:
    document = decoded("export", samples.EXPORTED)
    VALIDATOR.validate(document)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


@pytest.mark.parametrize(
    ("command", "result", "change"),
    [
        ("check", samples.FITS, _remove("result/targets/0/fits")),
        ("check", samples.FITS, _remove("result/targets/0/limits/0/max")),
        ("inspect", samples.INSPECTED, _remove("result/nodes/0/input_shape")),
        ("inspect", samples.INSPECTED, _set("result/edges/0/delay_steps", -1)),
        ("run", samples.RAN, _remove("result/layers/0/rate")),
        ("run", samples.RAN, _set("result/layers/0/states", {"v": [1]})),
        ("parity", samples.COMPARED, _remove("result/parity")),
        ("targets", samples.TARGETS, _remove("result/targets/0/runners")),
        ("schema", schema(), _remove("result/json_schema")),
    ],
)
def test_what_violates_the_schema_of_another_command_is_found(command: str, result: object, change: Any) -> None:
    document = decoded(command, result)
    VALIDATOR.validate(document)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)
