"""Results as text: the checklist says what was compared, and names cannot break a line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sample_results as samples

from norse_export.compare import Comparison
from norse_export.errors import Finding, ParityError, UnsupportedError
from norse_export.report.checklist import checklist
from norse_export.report.columns import CELL_CHARACTERS, LINE_CHARACTERS, exact, one_line, table
from norse_export.report.messages import MOST_WARNINGS, bug_line, error_lines, warning_lines
from norse_export.report.prices import prices_table
from norse_export.report.results import CheckResult, TargetCheck
from norse_export.report.text import NOT_VERIFIED, of_findings, text_of
from norse_export.target import Limit

NASTY = "a\nb\r\t\x1b[31mred\u202egnirts\x00\x7f"


def row_of(node: str, lines: list[str]) -> list[str]:
    return next(line.split() for line in lines if line.split()[:1] == [node])


def test_checklist_has_one_line_a_layer_with_its_counts() -> None:
    lines = checklist(samples.DIVERGENT)
    assert lines[0].split() == ["node", "expected", "actual", "differing", "explained", "equal"]
    assert row_of("0.lif", lines) == ["0.lif", "20", "20", "0", "0", "yes"]
    assert row_of("2.lif", lines) == ["2.lif", "20", "18", "2", "0", "NO"]


def test_checklist_columns_are_aligned() -> None:
    header, *rows = checklist(samples.comparison())[:4]
    ends = [header.index(word) + len(word) for word in ("expected", "actual", "differing", "explained")]
    for row in rows[:2]:
        assert all(row[end - 1].isdigit() and row[end : end + 2] == "  " for end in ends)


def test_value_layers_say_values_instead_of_counts() -> None:
    assert row_of("3", checklist(samples.comparison())) == ["3", "values", "values", "0", "-", "yes"]


def test_consequences_have_a_column_only_where_there_are_any() -> None:
    lines = checklist(samples.EXPLAINED)
    assert lines[0].split() == ["node", "expected", "actual", "differing", "explained", "consequences", "equal"]
    assert row_of("0.lif", lines) == ["0.lif", "4000", "4001", "12", "1", "11", "yes"]
    assert row_of("3", lines) == ["3", "values", "values", "0", "-", "-", "yes"]
    assert not any("consequences" in line for line in checklist(samples.DIVERGENT))


def test_final_states_that_differ_are_said() -> None:
    assert row_of("0.lif", checklist(samples.STATES))[-3:] == ["NO", "(final", "states)"]


def test_verdict_names_what_ran_and_how_much_was_compared() -> None:
    text = "\n".join(checklist(samples.comparison(accuracy=(0.975, 0.5), skew_steps=2)))
    assert "equal: interpreter, float32, against norse 1.1.0, torch 2.13.0 (rung 1)" in text
    assert "100 steps, 8 samples, 4020 spikes compared, 0 explained flips of 1 allowed" in text
    assert "decisions: 8 of 8 equal" in text
    assert "accuracy: 0.9750 expected, 0.5000 actual" in text
    assert "2 steps later" in text


def test_a_recorded_trace_of_unknown_origin_is_said_to_be_one() -> None:
    text = "\n".join(checklist(samples.RECORDED))
    assert "equal: interpreter, float32, against trace.nir (recorded trace)" in text
    assert "rung" not in text


def test_verdict_of_a_difference_shows_the_first_divergence_in_full() -> None:
    text = "\n".join(checklist(samples.DIVERGENT))
    assert "DIFFERENT: " in text
    divergence = "node 2.lif, step 17, sample 3, index [1, 4]: spikes expected 1, actual 0"
    assert f"first divergence: {divergence}" in text


def test_too_many_explained_flips_are_said_to_be_the_reason() -> None:
    assert "more flips than are allowed" in "\n".join(checklist(samples.TOO_MANY))
    assert "more flips than are allowed" not in "\n".join(checklist(samples.EXPLAINED))


@pytest.mark.parametrize(
    ("comparison", "said"), [(samples.VACUOUS, "2.lif"), (samples.CONSTANT, "outputs never change")]
)
def test_vacuous_is_said_loudly_with_the_reason_and_never_called_equal(comparison: Comparison, said: str) -> None:
    lines = checklist(comparison)
    assert sum("VACUOUS: " in line for line in lines) == 2
    assert any("VACUOUS: " in line and said in line for line in lines)
    assert not any(line.startswith("equal: ") for line in lines)


def test_a_silent_layer_is_not_called_equal() -> None:
    lines = checklist(samples.VACUOUS)
    assert row_of("2.lif", lines)[-1] == "SILENT"
    assert row_of("0.lif", lines)[-1] == "yes"


def test_a_vacuous_comparison_that_differs_is_called_different() -> None:
    assert any(line.startswith("DIFFERENT: ") for line in checklist(replace(samples.VACUOUS, equal=False)))


def test_equal_comparisons_are_not_called_vacuous_or_different() -> None:
    text = "\n".join(checklist(samples.comparison()))
    assert "VACUOUS" not in text
    assert "DIFFERENT" not in text


def test_verbose_checklist_adds_the_distances() -> None:
    lines = checklist(samples.DIVERGENT, verbose=True)
    assert "Victor-Purpura" in lines[0]
    assert row_of("2.lif", lines)[6:] == ["0.9", "1", "2", "0"]


def test_export_shows_artefact_bytes_and_digest() -> None:
    text = "\n".join(text_of("export", samples.EXPORTED))
    assert "m.pt -> nir" in text
    assert "inputs: stored in the model; 100 steps, 8 samples" in text
    assert f"written: m.nir, 4321 bytes, sha256 {samples.SHA256}" in text
    assert NOT_VERIFIED not in text


def test_export_says_when_it_was_not_verified() -> None:
    assert any(NOT_VERIFIED in line for line in text_of("export", samples.UNVERIFIED))


def test_failed_export_says_that_nothing_was_written() -> None:
    text = "\n".join(text_of("export", samples.BROKEN))
    assert "FAILED: nothing was written" in text
    assert "first divergence" in text
    assert "written: " not in text


def test_every_target_of_an_export_is_shown() -> None:
    text = "\n".join(text_of("export", samples.SEVERAL))
    assert [name for name in ("nir", "loihi", "onnx", "sim") if f"m.pt -> {name}" in text] == [
        "nir",
        "loihi",
        "onnx",
        "sim",
    ]


def test_a_limit_is_shown_in_full() -> None:
    limits = (Limit("bits", 1_523_710, 120_000_000.0, "a book"), Limit("share", 1 / 3, None, "a book"))
    lines = text_of("check", CheckResult("m.pt", (TargetCheck("chip", True, (), limits),)))
    assert row_of("bits", lines)[:3] == ["bits", "1523710", "120000000"]
    assert row_of("share", lines)[:3] == ["share", "0.333333", "-"]


def test_of_several_targets_each_that_failed_says_why() -> None:
    lines = text_of("export", samples.SEVERAL)
    reasons = [lines[at + 1 :][:2] for at, line in enumerate(lines) if "FAILED: nothing was written" in line]
    assert reasons == [
        ["    2.lif: 5000 neurons exceed 4096", ""],
        ["    1.lif: reset by subtraction cannot be expressed", "    and 2 more"],
        ["    2.lif: the artefact differs"],
    ]
    assert not any("2.lif: " in line for line in text_of("export", samples.BROKEN))  # beside the result, in full


def test_check_shows_every_finding_and_every_limit() -> None:
    text = "\n".join(text_of("check", samples.FITS_NOT))
    assert "nir: does NOT fit" in text
    assert "sim: fits" in text
    for finding in (*samples.UNSUPPORTED.findings, *samples.CAPACITY.findings):
        assert f"error: {finding.message}" in text
        assert f"where: {finding.where}" in text
        assert f"fix:   {finding.fix}" in text
    assert "neurons  5000     4096  Loihi 2 manual, 3.1" in text


def test_inspect_shows_nodes_edges_dt_and_provenance() -> None:
    lines = text_of("inspect", samples.INSPECTED)
    text = "\n".join(lines)
    assert "dt: 0.001 s" in text
    assert row_of("0", lines) == ["0", "Linear", "2352", "10", "23530", "-"]
    assert row_of("input", lines) == ["input", "Input", "3x28x28", "3x28x28", "0", "-"]
    assert ["1.lif", "1.lif", "z", "1"] in [line.split() for line in lines]
    assert "scheme" in text
    assert "tau_mem" not in text
    assert "tau_mem 0.01 s, v_th 1" in "\n".join(text_of("inspect", samples.INSPECTED, verbose=True))


def test_inspect_says_when_a_file_has_no_dt() -> None:
    assert "dt: not given in the file" in text_of("inspect", samples.INSPECTS[1])


def test_run_shows_spikes_rates_states_law_and_what_ran() -> None:
    lines = text_of("run", samples.RAN)
    text = "\n".join(lines)
    assert lines[:2] == ["m.nir, run by interpreter, float32", "law: float: forward Euler"]
    assert row_of("1.lif", lines)[:4] == ["1.lif", "10", "1234", "0.154"]
    assert "v -0.5 to 1, i 0 to 2.25" in text
    assert row_of("3", lines)[2:4] == ["values", "-"]
    assert "accuracy: 0.9750" in text
    assert "trace: m.nir, 4321 bytes" in text


def test_parity_names_both_sides() -> None:
    assert text_of("parity", samples.DIFFER)[:2] == [
        "m.pt against m.nir",
        "inputs: stored in the model; 100 steps, 8 samples",
    ]


def test_targets_say_what_can_run_them_here() -> None:
    lines = text_of("targets", samples.TARGETS)
    assert len(lines) == 3
    assert "nothing" in lines[2]


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    ("command", "result"), [(command, result) for command, results in samples.OF_COMMAND.items() for result in results]
)
def test_every_result_has_a_text_of_printable_lines(command: str, result: object, verbose: bool) -> None:
    lines = text_of(command, result, verbose=verbose)
    assert lines
    assert all(line.isprintable() for line in lines)


def test_names_cannot_break_lines_or_move_the_cursor() -> None:
    layers = (samples.spiking(NASTY), samples.values("x" * 1000))
    divergence = replace(samples.DIVERGENCE, node=NASTY, quantity=NASTY)
    shown = samples.comparison(layers=layers, silent=(NASTY,), vacuous=True, first_divergence=divergence, actual=NASTY)
    target = samples.target_export(NASTY, (shown,), artefact=replace(samples.ARTEFACT, path=NASTY))
    lines = text_of("export", replace(samples.EXPORTED, model=NASTY, targets=(target,)))
    lines += of_findings([Finding(NASTY, "error", NASTY, NASTY, NASTY)])
    assert all(line.isprintable() for line in lines)
    assert sum("a b \\x1b[31mred" in line for line in lines) >= 8
    assert max(map(len, lines)) <= LINE_CHARACTERS + 10


def test_one_line_collapses_cuts_and_escapes() -> None:
    assert one_line(NASTY) == "a b \\x1b[31mred\\u202egnirts\\x00\\x7f"
    assert one_line("ä 日本 \ud800") == "ä 日本 \\ud800"
    assert one_line("x" * LINE_CHARACTERS) == "x" * LINE_CHARACTERS
    assert one_line("x" * (LINE_CHARACTERS + 1)) == "x" * (LINE_CHARACTERS - 3) + "..."
    assert len(one_line("\n" * 10**7 + "x" * 10**7)) <= LINE_CHARACTERS


def test_table_cuts_long_cells_and_ends_without_spaces() -> None:
    lines = table(("a", "b"), [("x" * 500, 1), ("y", "")], right=(1,))
    assert lines[1] == "x" * (CELL_CHARACTERS - 3) + "...  1"
    assert lines[2] == "y"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1.0, "1"), (0.1, "0.1"), (1 / 3, "0.3333333333333333"), (1e300, "1e+300"), (float("nan"), "nan")],
)
def test_exact_numbers_keep_every_digit(number: float, shown: str) -> None:
    assert exact(number) == shown


def test_error_lines_are_three_and_one_for_the_rest() -> None:
    assert error_lines(samples.UNSUPPORTED, more=2, see="norse-export check m.pt") == [
        "norse-export: error: reset by subtraction cannot be expressed",
        "  where: 1.lif",
        "  fix:   use reset to a value",
        "and 2 more: norse-export check m.pt",
    ]


def test_error_lines_without_more_findings_do_not_speak_of_more() -> None:
    assert len(error_lines(samples.CAPACITY, more=0, see="x")) == 3


def test_verbose_error_lines_show_every_finding_of_the_error_and_count_the_others() -> None:
    lines = error_lines(samples.UNSUPPORTED, more=4, see="check", verbose=True)
    assert sum("error:" in line for line in lines) == 3
    assert lines[-1] == "and 2 more: check"


def test_error_lines_stay_lines_whatever_the_names_hold() -> None:
    error = ParityError(NASTY * 100, where=NASTY * 100, fix=NASTY * 100)
    lines = error_lines(error, more=1, see=NASTY)
    assert len(lines) == 4
    assert all(line.isprintable() and len(line) <= LINE_CHARACTERS + 10 for line in lines)


def test_warning_lines_are_one_each_and_not_more_than_ten() -> None:
    warnings = [replace(samples.WARNING, where=f"{number}.lif") for number in range(12)]
    lines = warning_lines([samples.NOTE, *warnings], see="norse-export check m.pt")
    assert len(lines) == MOST_WARNINGS + 1
    assert lines[0].startswith("norse-export: warning: 0.lif: ")
    assert lines[-1] == "norse-export: and 2 warnings more: norse-export check m.pt"
    assert len(warning_lines([samples.NOTE, *warnings], see="", verbose=True)) == 13


def test_bug_line_asks_for_a_rerun_or_a_report() -> None:
    assert bug_line(KeyError("x")).startswith(
        "norse-export: this is a bug in norse-export: KeyError: 'x' (rerun with -v"
    )
    assert "above" in bug_line(KeyError("x"), verbose=True)
    assert "\n" not in bug_line(UnsupportedError("a", where="b", fix="c"))


def test_prices_of_whole_numbers_are_shown_before_the_comparisons_and_are_no_failure() -> None:
    lines = text_of("export", samples.PRICED)
    text = "\n".join(lines)
    rows = [line.split() for line in lines]
    assert ["0", "1", "8", "0.01..0.02", "0.004", "0.47", "1", "2", "72"] in rows
    assert any(row[:8] == ["1", "8", "24/24", "impossible", "120", "118", "12", "0.9"] for row in rows)
    assert any(row[:4] == ["3", "6", "?/24", "counted"] and "rms error 0.028" in " ".join(row) for row in rows)
    assert any(row[:4] == ["5", "0", "30/24", "counted"] and "not measured" in " ".join(row) for row in rows)
    assert "the price of integers: " in text
    assert "DIFFERENT" not in text
    assert ["node", "model", "integers", "differing", "jaccard"] in rows
    assert text.index("overflow") < text.index("equal:") < text.index("the price of integers")


def test_what_vendors_say_is_shown_with_what_differs() -> None:
    text = "\n".join(text_of("export", samples.CHECKED))
    rows = [line.split() for line in text.splitlines()]
    assert ["vendor", "vendor", "1.2:", "as", "foretold"] in rows
    assert ["weights", "640", "0"] in rows
    assert ["cores", "3"] in rows
    assert text.index("vendor lava") < text.index("(rung 4)") < text.index("written")
    rows = [line.split() for line in text_of("run", samples.RAN_BY_VENDOR)]
    assert ["vendor", "lava", "0.9:", "DIFFERENT"] in rows
    assert any("first divergence: node 2.lif" in " ".join(row) for row in rows)


def test_a_run_of_whole_numbers_shows_what_it_did_with_counts_in_full() -> None:
    rows = [line.split() for line in text_of("run", samples.RAN_WHOLE)]
    for row in (
        ["synaptic", "operations", "56789"],
        ["overflows", "3"],
        ["footprint", "bytes", "4096"],
        ["activation", "sparsity", "0.846"],
        ["cycles", "1200"],
        ["cycles", "per", "step", "mean", "12.5"],
        ["critical", "core", "-"],
    ):
        assert row in rows


@pytest.mark.parametrize(("counted", "shown"), [(56789, ["56789"]), (56788, ["56789", "56788"])])
def test_what_the_machine_counts_too_is_shown_once_where_it_is_the_same(counted: int, shown: list[str]) -> None:
    activity = replace(samples.ACTIVITY, cycles={"synaptic_operations": counted})
    rows = [line.split() for line in text_of("run", replace(samples.RAN_WHOLE, activity=activity))]
    assert [row[2] for row in rows if row[:2] == ["synaptic", "operations"]] == shown


def test_the_table_of_prices_says_on_what_it_was_measured_and_what_was_composed() -> None:
    composed = replace(samples.WEIGHTS, name="0+1", layers=("0", "1"))
    cost = replace(
        samples.SPIKING, measured_on="the rasters of c.npz", projections=(composed,), proven=False, overflows=7
    )
    value = replace(samples.VALUES, value_mean_abs=0.25, value_max_abs=1.5)
    lines = prices_table([cost, value])
    assert "layers, measured on the rasters of c.npz" in lines
    assert any("0+1 (composed of 0, 1)" in line for line in lines)
    assert row_of("1", lines)[:4] == ["1", "8", "24/24", "7"]
    assert any("off by 0.25, at most 1.5; rms error 0.028 of their rms" in line for line in lines)
    assert any("not measured" in line for line in prices_table([samples.UNMEASURED]))


def test_a_priced_readout_says_how_far_its_values_are_off() -> None:
    layer = samples.values("output", 5, values_max_abs=1.5, values_mean_abs=0.25)
    lines = checklist(samples.comparison(rung=2, equal=False, layers=(layer,)))
    assert any("off by 0.25, at most 1.5" in line for line in lines)
