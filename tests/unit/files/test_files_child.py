"""The child process hands over what a parser returns, and the parent survives whatever becomes of it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from norse_export.errors import ExportError, GraphError, InputFileError, LimitError, UnsafeFileError
from norse_export.files import budget, exchange
from norse_export.files.checked import open_input
from norse_export.files.child import Parsed, parse_in_child
from norse_export.files.limits import Limits

HERE = Path(__file__).parent
NAME = "model ü.pt"
CONTENT = bytes(range(256)) * 4


@pytest.fixture(autouse=True)
def _parsers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    with open_input(path) as opened:
        yield opened


@pytest.fixture
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "BASE_WALL_SECONDS", 0.5)


def parse(file: BinaryIO, parser: str, *, limits: Limits | None = None, **options: Any) -> Parsed:
    return parse_in_child(f"hostile_parsers:{parser}", file, name=NAME, limits=limits or Limits(), options=options)


def refused(file: BinaryIO, parser: str, error: type[ExportError], *words: str, **options: Any) -> ExportError:
    with pytest.raises(ExportError) as caught:
        parse(file, parser, **options)
    assert type(caught.value) is error
    for word in words:
        assert word in caught.value.what
    assert caught.value.where == NAME
    assert caught.value.fix
    assert caught.value.exit_code == 2
    return caught.value


def test_document_arrays_and_options_pass_through(file: BinaryIO) -> None:
    parsed = parse(file, "echo", limits=Limits(max_bytes=12345), word="ü", number=7)
    assert parsed.document == {"name": NAME, "options": {"word": "ü", "number": 7}, "max_bytes": 12345}
    assert parsed.arrays["content"].tobytes() == CONTENT


def test_arrays_of_every_form_pass_through_read_only(file: BinaryIO) -> None:
    parsed = parse(file, "many_arrays")
    assert parsed.document == {"nested": [1, None, {"a": "ü \ud800"}], "float": 0.1, "big": 2**70}
    expected = {
        "scalar": np.array(2.5),
        "empty": np.zeros((2, 0, 3), np.float32),
        "transposed": np.arange(12, dtype=np.int16).reshape(3, 4).T,
        "big_endian": np.arange(3.0),
        "bool": np.array([True, False]),
        "half": np.array([1.5], np.float16),
        "strided": np.array([0, 3, 6, 9], np.uint8),
        "ü \ud800 \x00": np.array([1]),
    }
    assert list(parsed.arrays) == list(expected)
    for name, array in parsed.arrays.items():
        assert array.dtype == expected[name].dtype
        assert array.shape == expected[name].shape
        assert array.tobytes() == expected[name].tobytes()
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)


def test_arrays_outlive_the_call_and_are_aligned(file: BinaryIO) -> None:
    array = parse(file, "many_arrays").arrays["big_endian"]
    gc.collect()
    assert array.tolist() == [0.0, 1.0, 2.0]
    assert array.ctypes.data % exchange.ALIGNMENT == 0


def test_the_position_of_the_file_stays(file: BinaryIO) -> None:
    assert file.read(10) == CONTENT[:10]
    assert parse(file, "echo").arrays["content"].size == len(CONTENT)
    assert file.tell() == 10
    assert file.read() == CONTENT[10:]


def test_the_parser_is_not_imported_in_the_parent(file: BinaryIO) -> None:
    before = set(sys.modules)
    parse(file, "echo")
    assert "hostile_parsers" not in set(sys.modules) - before


def test_the_surroundings_of_the_child(file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDF5_PLUGIN_PATH", "/plugins")
    monkeypatch.setenv("COVERAGE_PROCESS_START_OF_TEST", "kept")
    found = parse(file, "surroundings", limits=Limits(max_bytes=10**9)).document
    environment = found["environment"]
    assert environment["HDF5_PLUGIN_PATH"] == ""
    assert environment["HDF5_PLUGIN_PRELOAD"] == "::"
    assert environment["HDF5_USE_FILE_LOCKING"] == "FALSE"
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["COVERAGE_PROCESS_START_OF_TEST"] == "kept"
    assert found["h5py_plugin_folders"] == 0
    assert len(found["descriptors"]) <= 6  # three standard ones, input, result, and the listing itself
    assert found["session"]
    assert found["safe_path"]
    assert not found["torch"]


def test_the_limits_of_the_child(file: BinaryIO) -> None:
    found = parse(file, "surroundings", limits=Limits(max_bytes=10**9)).document
    limits, held = found["limits"], found["address_space"]
    assert abs(held + 512 * 10**6 - limits["RLIMIT_AS"][0]) < 10**7  # what it holds may change a little meanwhile
    assert limits["RLIMIT_AS"][1] - limits["RLIMIT_AS"][0] == pytest.approx(2 * 10**9 + 64 * 10**6, abs=10**4)
    assert 8 <= limits["RLIMIT_CPU"][0] <= 10
    assert limits["RLIMIT_CORE"] == [0, 0]
    assert limits["RLIMIT_NOFILE"] == [64, 64]
    assert limits["RLIMIT_FSIZE"] == [10**9 + 64 * 10**6] * 2


@pytest.mark.parametrize(
    ("size", "cpu", "wall"), [(0, 8, 12), (50 * 10**6 - 1, 28, 33), (50 * 10**6, 29, 33), (10**9, 48, 52)]
)
def test_a_large_file_is_given_more_time_and_memory(size: int, cpu: int, wall: float) -> None:
    given = budget.Budget.of(size, Limits(max_bytes=10**8))
    assert given.cpu_seconds == cpu
    assert given.wall_seconds == pytest.approx(wall, abs=1e-6)
    assert given.memory_bytes == 2 * size + 512 * 10**6
    assert given.result_bytes == max(size, 10**8) + 64 * 10**6


def test_an_optimised_parent_has_an_optimised_child(file: BinaryIO) -> None:
    assert parse(file, "surroundings").document["optimize"] == sys.flags.optimize
    script = f"""
import sys
from pathlib import Path
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
with open_input(Path(sys.argv[1])) as file:
    print(parse_in_child("hostile_parsers:surroundings", file, name={NAME!r}, limits=Limits()).document["optimize"])
"""
    command = [sys.executable, "-OO", "-P", "-c", script, str(file.name)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2\n"


def test_the_errors_of_a_parser_arrive_with_all_findings(file: BinaryIO) -> None:
    with pytest.raises(GraphError) as caught:
        parse(file, "refuses")
    assert [(found.kind, found.severity, found.where) for found in caught.value.findings] == [
        ("nan", "error", "layer 1"),
        ("tau", "warning", "layer 2"),
    ]
    assert str(caught.value).startswith("NaN in a weight\n  where: layer 1\n  fix:   train again\n")
    with pytest.raises(LimitError, match="too many"):
        parse(file, "refuses_by_limit")


def test_an_error_of_an_unknown_class_arrives_as_its_base(file: BinaryIO) -> None:
    with pytest.raises(UnsafeFileError, match="would run code") as caught:
        parse(file, "refuses_with_its_own_class")
    assert type(caught.value) is UnsafeFileError


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        ("has_a_bug", "KeyError: 'a bug of ours'"),
        ("returns_an_object", "not JSON serializable"),
        ("returns_objects_in_an_array", "a parser returned 'objects' as |O"),
        ("no_such_parser", "AttributeError"),
    ],
)
def test_another_exception_is_our_bug_with_its_traceback(file: BinaryIO, parser: str, text: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        parse(file, parser)
    assert f"hostile_parsers:{parser} failed on {NAME}" in str(caught.value)
    assert "Traceback (most recent call last)" in str(caught.value)
    assert text in str(caught.value)


def test_a_child_that_cannot_start_is_our_bug(file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("norse_export.files.child.CHILD_MODULE", "norse_export.no_such_module")
    with pytest.raises(RuntimeError, match=r"did not start \(exit code 1\)") as caught:
        parse(file, "echo")
    assert "No module named" in str(caught.value)


def test_a_parser_that_crashes_means_a_corrupt_file(file: BinaryIO) -> None:
    error = refused(file, "segfaults", InputFileError, "corrupt", "SIGSEGV")
    assert "get the file again" in error.fix


def test_a_parser_that_is_killed_means_the_limit_of_the_machine(file: BinaryIO) -> None:
    error = refused(file, "kills_itself", LimitError, "SIGKILL", "limit")
    assert "free some memory" in error.fix


def test_a_signal_without_a_name_is_reported_by_number(file: BinaryIO) -> None:
    number = signal.SIGRTMIN + 3
    refused(file, "kills_itself", InputFileError, "corrupt", f"signal {number}", number=number)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_parser_that_leaves_without_an_answer_means_a_corrupt_file(file: BinaryIO, code: int) -> None:
    refused(file, "leaves_without_a_word", InputFileError, "corrupt", f"exit code {code}", code=code)


@pytest.mark.parametrize(
    ("size", "max_objects", "extra"),
    [(128 * 5000, 10**5, 1), (128 * 5000, 2500, 0.5), (10**6 * 128, 10**5, 20 + 2.56), (0, 3 * 10**5, 40)],
)
def test_there_is_time_for_every_object_that_may_be_in_the_file(size: int, max_objects: int, extra: float) -> None:
    given = budget.Budget.of(size, Limits(max_objects=max_objects))
    assert given.wall_seconds == pytest.approx(12 + extra, abs=0.02)
    assert given.cpu_seconds == 8 + int(extra)


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize("parser", ["spins", "sleeps", "floods"])
def test_a_parser_that_hangs_is_ended(file: BinaryIO, parser: str) -> None:
    started = time.monotonic()
    error = refused(file, parser, LimitError, "time", "damaged")
    assert "corrupt" not in error.what
    assert "get the file again" in error.fix
    assert "--max-objects" in error.fix
    assert error.findings[0].kind == "time"
    assert 0.5 <= time.monotonic() - started < 4


def test_a_parser_that_uses_too_much_cpu_is_ended_by_the_kernel(
    file: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "BASE_CPU_SECONDS", 0)
    started = time.monotonic()
    refused(file, "spins", LimitError, "time", "more than 0 s of CPU")
    assert time.monotonic() - started < 8


def test_memory_passes_below_the_limit_and_is_refused_above(file: BinaryIO) -> None:
    assert parse(file, "allocates", megabytes=480).document == "enough"
    error = refused(file, "allocates", LimitError, "memory", "limit of 512 MB", megabytes=520)
    assert "--max-bytes" in error.fix


def test_declared_bytes_raise_the_limit_up_to_max_bytes(file: BinaryIO) -> None:
    limits = Limits(max_bytes=200 * 10**6)
    assert parse(file, "allocates", limits=limits, megabytes=880, declared=200 * 10**6).document == "enough"
    refused(file, "allocates", LimitError, "memory", "limit", limits=limits, megabytes=920, declared=10**12)


def test_declaring_outside_the_child_changes_nothing() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    budget.declare_bytes(10**12)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_where_the_system_does_not_say_how_much_is_in_use_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(os, "open", refuse)
    assert budget._address_space() is None


def test_a_parser_that_recurses_means_a_limit(file: BinaryIO) -> None:
    refused(file, "recurses", LimitError, "nested too deep", "limit")


def test_a_result_passes_up_to_max_bytes_and_is_refused_beyond_its_file(file: BinaryIO) -> None:
    limits = Limits(max_bytes=1000)
    assert parse(file, "returns_bytes", limits=limits, size=63 * 10**6).arrays["a"].nbytes == 63 * 10**6
    error = refused(file, "returns_bytes", LimitError, "too large", "limit", limits=limits, size=65 * 10**6)
    assert "--max-bytes" in error.fix
    refused(file, "exceeds_the_size_of_a_file", LimitError, "too large", "limit")


def test_a_limit_of_the_shell_on_the_size_of_files_is_reported(file: BinaryIO) -> None:
    script = f"""
import resource, signal, sys
from pathlib import Path
from norse_export.errors import LimitError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
parser = "hostile_parsers:echo"
for size, hard in ((0, resource.RLIM_INFINITY), (5000, 5000), (1000, 1000), (30, 30), (10, 10), (0, 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    with open_input(Path(sys.argv[1])) as file:
        try:
            print(size, parse_in_child(parser, file, name={NAME!r}, limits=Limits()).arrays["content"].size)
        except LimitError as error:
            print(size, "cannot write" in error.what, "ulimit -f" in error.fix)
"""
    run = subprocess.run(
        [sys.executable, "-P", "-c", script, str(file.name)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["0 1024", "5000 1024", *(f"{size} True True" for size in (1000, 30, 10, 0))]


def test_what_a_parser_prints_changes_nothing(file: BinaryIO, capfd: pytest.CaptureFixture[str]) -> None:
    assert parse(file, "prints_garbage").arrays["content"].tobytes() == CONTENT
    assert capfd.readouterr() == ("", "")


def answer(document: str, *, stage: int = 3, length: int | None = None, tail: bytes = b"") -> str:
    data = document.encode()
    header = exchange.HEADER.pack(exchange.MAGIC, stage, len(data) if length is None else length)
    return (header + data + tail).hex()


ARRAY = '{"status": "ok", "document": 1, "arrays": [%s]}'


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "00",
        "ff" * 100,
        answer("{}", stage=2),
        answer("{}", stage=77),
        answer("{}"),
        answer("[1]"),
        answer("{", length=1),
        answer("{}", length=2**63),
        answer("[" * 10_000),
        answer('{"status": "fine"}'),
        answer('{"status": "ok"}'),
        answer('{"status": "ok", "document": 1, "arrays": 5}'),
        answer('{"status": "error", "class": "ExportError", "findings": []}'),
        answer('{"status": "error", "class": "Sequence", "findings": [{}]}'),
        answer('{"status": "error", "class": "GraphError", "findings": [{"kind": "a"}]}'),
        answer('{"status": "error", "class": "os", "findings": [{"kind": "a"}]}'),
        answer(ARRAY % '["a", "<f4", [1]]'),
        answer(ARRAY % '["a", "<f4", [0]]', tail=b"one byte too many"),
        answer(ARRAY % '["a", "|O", [0]]'),
        answer(ARRAY % '["a", "<f4", [-1]]'),
        answer(ARRAY % '["a", "<f4", [true]]'),
        answer(ARRAY % '["a", "<f4", [0, 4611686018427387904, 4611686018427387904]]'),
        answer(ARRAY % '["a", "<f4", [9223372036854775808]]'),
        answer(ARRAY % ('["a", "<f4", [' + ",".join("0" * 65) + "]]")),
        answer(ARRAY % '["a", "<f4", [0]], ["a", "<f4", [0]]'),
        answer(ARRAY % '["a", "<f4"]'),
    ],
)
def test_an_answer_that_is_none_means_a_corrupt_file(file: BinaryIO, garbage: str) -> None:
    refused(file, "answers_garbage", InputFileError, "corrupt", garbage=garbage)


def test_a_truth_value_that_is_neither_is_refused(file: BinaryIO) -> None:
    refused(file, "lies_about_truth", InputFileError, "corrupt", "truth value")


def test_what_survives_the_child_cannot_change_the_result(file: BinaryIO, tmp_path: Path) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("no memfd_create here, and so no sealing")
    array = parse(file, "leaves_a_survivor", pid_file=str(tmp_path / "outcome")).arrays["a"]
    deadline = time.monotonic() + 5
    while not (tmp_path / "outcome").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "outcome").read_text() == "refused"
    assert array.tolist() == list(range(1000))


def test_a_result_that_something_could_still_change_is_refused(file: BinaryIO, tmp_path: Path) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("no memfd_create here, and so no sealing")
    pid_file = tmp_path / "pid"
    try:
        refused(file, "leaves_a_mapping", InputFileError, "corrupt", "left another one behind", pid_file=str(pid_file))
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_the_child_ends_like_any_program(file: BinaryIO, tmp_path: Path) -> None:
    """Coverage writes its counts at exit."""
    parse(file, "leaves_a_file_at_exit", path=str(tmp_path / "at_exit"))
    assert (tmp_path / "at_exit").read_text() == "done"


def test_nothing_is_left_behind_where_there_are_no_memory_files(
    file: BinaryIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert parse(file, "echo").arrays["content"].tobytes() == CONTENT
    refused(file, "kills_itself", LimitError, "SIGKILL")
    assert list(folder.iterdir()) == []


def test_nothing_is_left_open(file: BinaryIO) -> None:
    before = len(os.listdir("/proc/self/fd"))
    parse(file, "echo")
    refused(file, "segfaults", InputFileError, "corrupt")
    assert len(os.listdir("/proc/self/fd")) == before


def test_ctrl_c_in_the_parent_ends_the_child(file: BinaryIO, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
try:
    with open_input(Path(sys.argv[1])) as file:
        parse_in_child(
            "hostile_parsers:sleeps", file, name={NAME!r}, limits=Limits(), options={{"pid_file": sys.argv[2]}}
        )
except KeyboardInterrupt:
    sys.exit(130)
"""
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-P", "-c", script, str(file.name), str(pid_file)])
    try:
        deadline = time.monotonic() + 10
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        child = int(pid_file.read_text())
        os.kill(child, 0)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(5) == 130
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    finally:
        parent.kill()
        parent.wait()


def test_a_child_costs_little_time(file: BinaryIO) -> None:
    def once() -> float:
        started = time.perf_counter()
        parse(file, "echo")
        return time.perf_counter() - started

    assert min(once() for _ in range(3)) < 0.7  # 0.10 to 0.15 s on an idle machine
