"""The command line as a process: signals, pipes, locales, what is imported."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

STUB = str(Path(__file__).parent / "stub_pipeline.py")
HEAVY = ("torch", "onnx", "numba", "numpy", "h5py", "nir", "norse", "safetensors", "rich", "scipy")


def command(behaviour: str, *arguments: str, python: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *python, STUB, behaviour, *arguments]


def completed(
    behaviour: str, *arguments: str, env: Mapping[str, str] | None = None, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        command(behaviour, *arguments, python=python), capture_output=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"], ["--version"], ["m.pt"]])
def test_help_version_and_usage_errors_import_click_and_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from norse_export.cli import main; main({arguments!r}); print('modules', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(result.stdout.rpartition("modules ")[2].split())
    assert "click" in modules
    assert modules.isdisjoint(HEAVY)
    assert not {name for name in modules if name.startswith(("norse_export.pipeline", "norse_export.targets"))}


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("behaviour", ["sleep", "swallow"])
@pytest.mark.parametrize("as_json", [False, True])
def test_signals_clean_up_and_end_with_their_code(
    tmp_path: Path, behaviour: str, number: int, code: int, word: str, as_json: bool
) -> None:
    arguments = ["m.pt", "--target", "nir", *(["--json"] if as_json else [])]
    with subprocess.Popen(
        command(behaviour, *arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _wait_for(tmp_path / "temporary")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err.decode() == f"norse-export: {word}\n"
    assert list(tmp_path.iterdir()) == []
    if as_json:
        document = json.loads(out)
        assert (document["exit_code"], document["findings"][0]["kind"]) == (code, word)
    else:
        assert out == b""


def test_signals_at_any_time_leave_no_traceback(tmp_path: Path) -> None:
    for delay in (0.03, 0.05, 0.07, 0.09, 0.12, 0.2):
        line = command("sleep", "m.pt", "--target", "nir")
        with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
        assert process.returncode in (143, -signal.SIGTERM)  # the latter: before Python had started
        assert b"Traceback" not in err
        assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    line = command("sleep", "m.pt", "--target", "nir")
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=ignore) as process:
        _wait_for(tmp_path / "temporary")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        running = process.poll() is None
        process.terminate()
        assert process.wait(timeout=30) == 143
    assert running


# Cleans up for longer than it takes until a stop that waits for an import looks again.
NEVER_READY = """
import time
from pathlib import Path

Path("importing").touch()
try:
    while True:
        time.sleep(0.01)
finally:
    time.sleep(0.1)
    Path("importing").unlink()
"""


def stopped_while_importing(folder: Path, behaviour: str, *numbers: int) -> tuple[int, bytes]:
    """Exit code and messages of an export that gets signals while it imports a module that is never ready."""
    (folder / "slow_module.py").write_text(NEVER_READY)
    line = command(behaviour, "m.pt", "--target", "nir")
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _wait_for(folder / "importing")
            for number in numbers:
                process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, err


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stop_does_not_wait_for_ever_for_an_import(tmp_path: Path, number: int, code: int, word: str) -> None:
    result = stopped_while_importing(tmp_path, "import", number)
    assert result == (code, f"norse-export: {word}\n".encode())
    assert not (tmp_path / "importing").exists()


def test_a_second_stop_does_not_wait_for_an_import_at_all(tmp_path: Path) -> None:
    result = stopped_while_importing(tmp_path, "import_patiently", signal.SIGINT, signal.SIGTERM)
    assert result == (143, b"norse-export: terminated\n")
    assert not (tmp_path / "importing").exists()


def test_a_first_stop_lets_an_import_end(tmp_path: Path) -> None:
    lines = ("import os, signal", "os.kill(os.getpid(), signal.SIGTERM)", "open('imported', 'w').close()")
    (tmp_path / "slow_module.py").write_text("\n".join(lines))
    line = command("import_patiently", "m.pt", "--target", "nir")
    result = subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (143, b"norse-export: terminated\n")
    assert (tmp_path / "imported").exists()
    assert not (tmp_path / "temporary").exists()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} did not appear"
        time.sleep(0.01)


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        command("long", "parity", "a", "b"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        code = process.wait(timeout=30)
    assert (first, err, code) == (b"a against b\n", b"", 0)


@pytest.mark.parametrize("behaviour", ["nasty_error", "bug"])
def test_errors_nobody_reads_keep_their_code(behaviour: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        command(behaviour, "inspect", "a", "--json"), stdout=writing, stderr=writing, timeout=60, check=False
    )
    os.close(writing)
    assert result.returncode == {"nasty_error": 2, "bug": 70}[behaviour]


@pytest.mark.parametrize("arguments", [["parity", "a", "b"], ["parity", "a", "b", "--json"], ["schema"]])
def test_a_result_that_cannot_be_written_is_2(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            command("long", *arguments), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert result.returncode == 2
    assert b"No space left on device" in result.stderr
    assert b"where: standard output" in result.stderr
    assert len(result.stderr.splitlines()) == 3


def test_closed_streams_are_no_error() -> None:
    line = " ".join(command("answer", "inspect", "a"))
    assert subprocess.run(["sh", "-c", f"{line} >&- 2>&-"], timeout=60, check=False).returncode == 0


LOCALES: list[dict[str, str]] = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "C.UTF-8"},
]


@pytest.mark.parametrize("env", LOCALES)
def test_any_name_can_be_printed_in_any_locale(env: dict[str, str]) -> None:
    for arguments in (["m.pt", "--target", "nir"], ["m.pt", "--target", "nir", "--json"]):
        result = completed("nasty", *arguments, env=env)
        assert (result.returncode, result.stderr) == (0, b"")
        assert b"\x1b" not in result.stdout
    result = completed("nasty_error", "inspect", "\udcff\N{SNOWMAN}", env=env)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 3
    assert b"\\udcff \\x1b[31m" in result.stderr


def test_warnings_of_libraries_are_for_v_only() -> None:
    assert completed("warn", "inspect", "a").stderr == b""
    assert b"meant for programmers" in completed("warn", "inspect", "a", "-v").stderr


@pytest.mark.parametrize("python", [(), ("-O",)])
def test_exit_codes_are_the_same_without_assertions(python: tuple[str, ...]) -> None:
    assert completed("answer", "inspect", "a", python=python).returncode == 0
    assert completed("answer", "inspect", "a", "--dt", "0", python=python).returncode == 2
    assert completed("nasty_error", "inspect", "a", python=python).returncode == 2
    assert completed("bug", "inspect", "a", python=python).returncode == 70


def _on_a_terminal(*arguments: str) -> bytes:
    """What a command writes to standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:  # EIO: the other side is closed
        pass
    os.close(ours)
    process.wait(timeout=30)
    return written


def test_progress_is_shown_on_a_terminal_only() -> None:
    line = ("progress", "m.pt", "--target", "nir")
    shown = _on_a_terminal(*line)
    assert b"reading [m.pt]" in shown
    assert b"50%" in shown
    assert _on_a_terminal(*line, "-q") == b""
    assert completed(*line).stderr == b""
