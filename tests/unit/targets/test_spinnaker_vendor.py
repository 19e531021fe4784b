"""The vendor's check of target spinnaker without it: a recorded memory image, and programs in sPyNNaker's place."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spinnaker_board import RECORDED, stored
from spinnaker_nets import TARGET, small_net

from norse_export.errors import CapacityError, ExportError, MissingDependencyError, ParityError, UsageError
from norse_export.files.limits import Limits
from norse_export.targets.spinnaker import vendor
from norse_export.targets.spinnaker.compared import KINDS, compare
from norse_export.targets.spinnaker.derive import Model
from norse_export.targets.spinnaker.fit import limits_of
from norse_export.targets.spinnaker.limits import DECIDES, Use, findings, fullest, totals, usage
from norse_export.targets.spinnaker.memory import Rows, of_neurons, of_rows, of_sources, slots
from norse_export.targets.spinnaker.placing import CHIPS, cores_of, entries, place
from norse_export.targets.spinnaker.predicted import Predicted, predict

VERSION = "1!7.4.1"


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Predicted, dict[str, Any]]:
    return stored(RECORDED, tmp_path)


def differing(network: Predicted, board: Any) -> dict[str, int]:
    compared, _, _ = compare(network, board)
    return {kind: counts.differing for kind, counts in compared.items() if counts.differing}


def test_a_recorded_image_is_as_foretold(recorded: tuple[Predicted, Any]) -> None:
    network, board = recorded
    compared, figures, findings = compare(network, board)
    assert {kind: counts.total for kind, counts in compared.items()} == {
        "cores": 3,
        "sdram": 3,
        "shifts": 4,
        "slots": 2,
        "parameters": 15 * 8,
        "rows": 2 * 6 + 2 * 5 + 2 * 5,
        "weights": 6 * 5 + 5 * 5 + 5 * 3,
        "delays": 6 * 5 + 5 * 5 + 5 * 3,
    }
    assert (differing(network, board), findings) == ({}, [])
    assert {name: totals(network.use)[name] for name in figures} == figures


def changed(network: Predicted, label: str, **changes: Any) -> Predicted:
    return replace(network, neurons={**network.neurons, label: replace(network.neurons[label], **changes)})


def onto(network: Predicted, label: str, **changes: Any) -> Predicted:
    first, *others = network.neurons[label].onto
    return changed(network, label, onto=(replace(first, **changes), *others))


def used(network: Predicted, label: str, **changes: Any) -> Predicted:
    return replace(network, use={**network.use, label: replace(network.use[label], **changes)})


def one_more(array: Any, *place: int) -> Any:
    array = array.copy()
    array[place] += 1
    return array


FAULTS: dict[str, tuple[Callable[[Predicted], Predicted], dict[str, int]]] = {
    "weight": (
        lambda one: onto(one, "own", weights=one_more(one.neurons["own"].onto[0].weights, 3)),
        {"rows": 1, "weights": 1},
    ),
    "delay": (
        lambda one: onto(one, "same", delay_steps=2),
        {"rows": 5, "delays": 6},
    ),
    "word of its own": (
        lambda one: changed(one, "own", words=one_more(one.neurons["own"].words, 4, 9)),
        {"parameters": 1},
    ),
    "word of all": (
        lambda one: changed(one, "same", words=one_more(one.neurons["same"].words, 0, 9)),
        {"parameters": 1},
    ),
    "shift": (lambda one: changed(one, "same", shifts=(31, one.neurons["same"].shifts[1])), {"shifts": 1}),
    "slots": (partial(used, label="own", longest_delay=3), {"slots": 1}),
    "memory": (partial(used, label="input", sdram_bytes=1), {"sdram": 1}),
    "cores": (partial(used, label="same", cores=2), {"cores": 1, "sdram": 1}),
    "projections": (lambda one: changed(one, "same", onto=()), {"rows": 2}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_differs_is_counted(fault: str, recorded: tuple[Predicted, Any]) -> None:
    make, expected = FAULTS[fault]
    network, board = recorded
    found = differing(make(network), board)
    assert set(found) == set(expected)
    if fault != "delay":  # the synapses of a receptor type are as many as the weights' signs say
        assert found == expected


def damaged(board: Any, number: int, words: list[int] | None) -> None:
    """Replace a region of every core, or take it away."""
    database = sqlite3.connect(board["database"])
    with database:
        if words is None:
            database.execute("DELETE FROM region WHERE region_num = ?", (number,))
        else:
            content = np.array(words, "<u4").tobytes()
            database.execute("UPDATE region SET content = ? WHERE region_num = ?", (content, number))
    database.close()


@pytest.mark.parametrize(
    ("number", "words", "kinds"),
    [
        (6, [0, 0, 0], {"rows", "weights", "delays"}),  # shorter than its rows
        (6, None, {"rows", "weights", "delays"}),
        (5, [0, 0], {"rows", "weights", "delays"}),  # a table without an entry
        (13, None, {"parameters"}),
        (2, [1, 2, 3], {"parameters"}),
    ],
)
def test_a_damaged_image_differs(
    number: int, words: list[int] | None, kinds: set[str], recorded: tuple[Predicted, Any]
) -> None:
    network, board = recorded
    damaged(board, number, words)
    assert set(differing(network, board)) == kinds


def test_rows_whose_header_is_none_differ(recorded: tuple[Predicted, Any]) -> None:
    network, board = recorded
    damaged(board, 6, [1] * 4096)  # as if they held plastic synapses
    compared, _, _ = compare(network, board)
    assert compared["rows"].differing == compared["rows"].total


def test_figures_that_are_decided_otherwise_are_told(recorded: tuple[Predicted, Any]) -> None:
    network, board = recorded
    _, figures, findings = compare(network, {**board, "routers": [[0, 0, 7]]})
    assert figures["routing_entries"] == 7
    assert [(one.kind, one.severity) for one in findings] == [("placement", "warning")]


# What sPyNNaker planned for cores of real networks, and where it put them.


@pytest.mark.parametrize(
    ("model", "neurons", "membranes", "rows", "planned"),
    [
        (Model.IF_CURR_EXP, 3, False, [("own", 5, 5, 2), ("own", 5, 5, 3)], (3124, 8)),
        (Model.IF_CURR_EXP, 256, False, [("image", 81, 81, 15), ("image", 81, 81, 18)], (148100, 36)),
        (Model.IF_CURR_DELTA, 40, False, [("loop", 280, 256, 32), ("loop", 280, 256, 28)], (154888, 12)),
        (Model.IF_CURR_EXP, 10, True, [("box", 40, 40, 8), ("box", 40, 40, 9)], (10228, 44)),
        (
            Model.IF_CURR_EXP,
            256,
            False,
            [
                *(("first", 324, 256, 147), ("beside", 300, 300, 156), ("loop", 280, 256, 149)),
                *(("first", 324, 256, 146), ("beside", 300, 300, 151), ("loop", 280, 256, 148)),
            ],
            (1744188, 36),
        ),
    ],
)
def test_memory_of_a_core_is_what_spynnaker_planned(
    model: Model, neurons: int, membranes: bool, rows: list[Any], planned: tuple[int, int]
) -> None:
    found = of_neurons(model, neurons, [Rows(*one) for one in rows], membranes=membranes)
    assert (found.fixed, found.step) == planned
    assert found.planned == planned[0] + 1000 * planned[1]


def test_memory_of_sources_is_that_of_the_fullest_step() -> None:
    assert [(of_sources(spikes).fixed, of_sources(spikes).step) for spikes in (0, 1, 21, 61, 97)] == [
        (512, 0),
        (522, 10),
        (602, 90),
        (762, 250),
        (912, 400),
    ]
    raster = np.zeros((4, 2, 3), bool)
    raster[2] = True
    assert (fullest(raster), fullest(raster[:2])) == (6, 0)


def test_rows_begin_at_multiples_of_sixteen() -> None:
    assert of_rows([]) == 8
    assert of_rows([Rows("a", 1, 1, 2)]) == 16 + 20
    assert of_rows([Rows("a", 1, 1, 2), Rows("b", 1, 1, 1)]) == 48 + 16
    assert of_rows([Rows("a", 300, 256, 1)]) == 16 + 2 * 256 * 16  # as if each core were full


def test_delay_slots_are_a_power_of_two() -> None:
    assert [slots(256, delay) for delay in (1, 2, 3, 32, 33)] == [2, 2, 4, 32, 32]
    assert slots(1, 1000) == 1024


def test_a_board_has_48_chips_and_759_cores() -> None:
    assert (len(CHIPS), sum(map(cores_of, CHIPS))) == (48, 759)


def test_populations_are_placed_on_linked_chips() -> None:
    small = 1000
    assert place([[small], [small] * 14]) == [[(0, 0)], [(0, 0)] * 14]
    assert place([[small], [small] * 15]) == [[(0, 0)], [(0, 0)] * 14 + [(1, 0)]]
    first = [[small], [small] * 18, [small]]  # measured: three chips
    placed = place(first)
    assert placed is not None
    assert len({chip for chips in placed for chip in chips}) == 3
    assert place([[100_000_000], [100_000_000]]) == [[(0, 0)], [(0, 1)]]
    assert place([[small] * 760]) is None
    assert place([[10**9]]) is None


def test_routing_entries_are_merged_in_aligned_blocks() -> None:
    a, b, none = frozenset({1}), frozenset({2}), frozenset[int]()
    assert [entries(one) for one in ([], [none], [a], [a] * 6, [a, b], [a, a, b], [a, b, b])] == [0, 0, 1, 1, 2, 2, 3]
    assert entries([a, b, b, b, a]) == 4
    assert entries([none, a]) == 1


# Programs in the place of the interpreter that has sPyNNaker.


def program(path: Path, body: str, version: str = VERSION) -> Path:
    script = f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{version}'; exit 0; fi\n{body}\n"
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("small")
    return path, small_net(path)


def check(artefact: tuple[Path, Any], python: Path | None) -> Any:
    return TARGET.vendor_check("spynnaker", *artefact, python=python)


def failing(artefact: tuple[Path, Any], python: Path | None) -> ExportError:
    with pytest.raises(ExportError) as caught:
        check(artefact, python)
    return caught.value


def test_what_is_not_installed_is_named(
    artefact: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "PACKAGE", "no-such-package-of-anyone")
    none = tmp_path / "none"
    none.write_text("#!/bin/sh\nexit 1\n")
    none.chmod(0o755)
    for python in (None, Path(sys.executable), none):
        error = failing(artefact, python)
        assert (type(error), error.exit_code) == (MissingDependencyError, 5)
        assert "norse-export[spinnaker]" in error.fix
        assert "--vendor-python" in error.fix


def test_an_interpreter_that_is_none_is_refused(artefact: tuple[Path, Any], tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("no program")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF no program")
    broken.chmod(0o755)
    for python in (tmp_path / "missing", data, tmp_path, broken):
        error = failing(artefact, python)
        assert (type(error), error.where) == (UsageError, "--vendor-python")


def test_a_failure_shows_the_end_of_the_log(artefact: tuple[Path, Any], tmp_path: Path) -> None:
    lines = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do echo line $n; done; exit 3"
    error = failing(artefact, program(tmp_path / "fails", lines))
    assert (type(error), error.exit_code) == (ParityError, 1)
    assert "exit code 3" in error.what
    assert error.what.splitlines()[-1].strip() == "line 14"
    assert "line 2\n" not in error.what
    room = program(tmp_path / "room", "echo pacman.exceptions.PacmanPlaceException: no more chips >&2; exit 1")
    assert failing(artefact, room).exit_code == CapacityError.exit_code


def test_a_failure_without_a_word_is_one(artefact: tuple[Path, Any], tmp_path: Path) -> None:
    assert "exit code 9" in failing(artefact, program(tmp_path / "silent", "exit 9")).what


def test_what_takes_too_long_is_ended(
    artefact: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "_SECONDS", 0.2)
    assert "was not done" in failing(artefact, program(tmp_path / "slow", "exec sleep 60")).what


def test_a_process_of_its_own_sees_nothing_of_the_user_s(
    artefact: tuple[Path, Any],
    recorded: tuple[Predicted, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, board = recorded
    monkeypatch.setattr(vendor, "predict", lambda *_: network)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    (tmp_path / "board.json").write_text(json.dumps(board))
    body = f"env > {tmp_path}/env; cat $HOME/.spynnaker.cfg > {tmp_path}/cfg; cp deploy.py {tmp_path}/ran.py\n"
    body += f"cp {tmp_path}/board.json board.json"
    report = check(artefact, program(tmp_path / "works", body))
    assert (report.vendor, report.version, report.findings, report.run) == ("spynnaker", VERSION, (), None)
    assert {kind: counts.differing for kind, counts in report.compared.items()} == dict.fromkeys(KINDS, 0)
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert told["HOME"] != str(Path.home())
    assert not Path(told["HOME"]).exists()  # it is gone with the check
    assert "PYTHONPATH" not in told
    assert "virtual_board = True" in (tmp_path / "cfg").read_text()
    assert (tmp_path / "ran.py").read_bytes() == (artefact[0] / "deploy.py").read_bytes()


def test_other_versions_and_scripts_are_told(
    artefact: tuple[Path, Any], recorded: tuple[Predicted, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, board = recorded
    monkeypatch.setattr(vendor, "predict", lambda *_: network)
    (tmp_path / "board.json").write_text(json.dumps(board))
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.safetensors").write_bytes((artefact[0] / "network.safetensors").read_bytes())
    (other / "deploy.py").write_text("raise SystemExit('a script of others ran')\n")
    python = program(tmp_path / "works", f"cp {tmp_path}/board.json board.json", version="1!7.3.0")
    report = check((other, artefact[1]), python)
    assert [one.kind for one in report.findings] == ["version", "script"]


def test_an_image_of_another_form_is_told(
    artefact: tuple[Path, Any], recorded: tuple[Predicted, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, board = recorded
    damaged(board, 4, None)
    monkeypatch.setattr(vendor, "predict", lambda *_: network)
    (tmp_path / "board.json").write_text(json.dumps(board))
    error = failing(artefact, program(tmp_path / "works", f"cp {tmp_path}/board.json board.json"))
    assert (type(error), error.exit_code) == (ParityError, 1)
    assert VERSION in error.fix


def test_rasters_are_those_of_the_network(artefact: tuple[Path, Any]) -> None:
    path, rasters = artefact
    network = predict(path, rasters)
    assert np.array_equal(network.rasters["input"], rasters["input"][:, 0] != 0)
    wrong: list[Any] = [{}, {"input": rasters["input"][..., :3]}, {"input": rasters["input"][:0]}]
    for inputs in wrong:
        with pytest.raises(UsageError, match="input"):
            predict(path, inputs)


def test_another_vendor_is_refused(artefact: tuple[Path, Any]) -> None:
    with pytest.raises(UsageError, match="no vendor 'lava'"):
        TARGET.vendor_check("lava", *artefact, python=None)


# What a user is told of it.


def test_the_report_counts_what_is_played_first(artefact: tuple[Path, Any], tmp_path: Path) -> None:
    path, rasters = artefact
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    before = json.loads((copy / "report.json").read_text())
    few = {"input": rasters["input"] * (np.arange(6) < 2)}
    TARGET.record(copy, few, TARGET.run(copy, few))
    after = json.loads((copy / "report.json").read_text())
    assert after["totals"] == totals(predict(copy, few).use)
    assert before["totals"]["sdram_bytes"] - after["totals"]["sdram_bytes"] == 1001 * 4 * (6 - 2)
    assert before["memory_of_sources"] != after["memory_of_sources"]
    assert {key: value for key, value in before.items() if key not in ("totals", "use", "memory_of_sources")} == {
        key: value for key, value in after.items() if key not in ("totals", "use", "memory_of_sources")
    }
    assert before["use"] | {"input": after["use"]["input"]} == after["use"]


def test_limits_are_told_with_their_sources(artefact: tuple[Path, Any]) -> None:
    graph = TARGET.read(artefact[0], Limits())
    told = {limit.name: limit for limit in TARGET.limits(graph)}
    used = {name: (limit.used, limit.maximum) for name, limit in told.items()}
    assert used["neurons of a core"] == (5, 256)
    assert used["delay slots of a core"] == (1, 1024)
    assert used["cores of a board"] == (3, 759)
    assert used["chips of a board"] == (1, 48)
    assert used["routing entries of a chip"] == (2, 1023)
    assert used["synapses"] == (70, None)
    memory = used["bytes of SDRAM of a chip"]
    assert memory == (488_476 + 477_250 + totals(usage(graph))["sdram_bytes"], 123_469_792)
    assert all(limit.source for limit in told.values())
    assert all(limit.maximum is None or limit.used <= limit.maximum for limit in told.values())


def test_what_is_not_foretold_is_spynnaker_s_to_decide() -> None:
    one = Use(256 * 300, 256, 300, 10, 32, 1, 2**20, 2**15, sdram_bytes=1000)
    assert totals({"1": one})["chips"] == 20
    assert totals({"1": one})["routing_entries"] == DECIDES
    assert "routing entries of a chip" not in {limit.name for limit in limits_of({"1": one})}
    many = replace(one, cores=900)
    assert (totals({"1": many})["chips"], totals({"1": many})["boards"]) == (DECIDES, 2)
    assert "chips of a board" not in {limit.name for limit in limits_of({"1": many})}


def test_a_core_s_own_memory_is_limited() -> None:
    one = Use(256, 256, 1, 10, 32, 1, 2**20, 2**15, dtcm_bytes=65537)
    assert [(found.kind, found.severity) for found in findings({"1": one})] == [("capacity", "error")]
    sources = Use(65536, 65536, 1, 0, 0, 0, 0, 0)
    assert [(found.kind, found.severity) for found in findings({"1": sources})] == [("capacity", "error")]
    assert not findings({"1": replace(sources, neurons=65535)})
