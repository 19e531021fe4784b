"""Options, fixtures and rules that hold for every test."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"
SHARED = "NORSE_EXPORT_SHARED"
REQUIRE_SHARED = "NORSE_EXPORT_REQUIRE_SHARED"

# A suite started in the background ignores Ctrl-C, and so would every process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; a slow machine is no failure.
settings.register_profile("suite", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("suite")

_missing: list[str] = []  # tests and files that were skipped for lack of shared data


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the files under tests/golden")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data: goldens, recordings, the hostile corpus."""
    folder = os.environ.get(SHARED)
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = f"{SHARED} is {f'{folder}, which is no folder' if folder else 'not set'}: no shared data to read"
    if _required():
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file under tests/golden; with --update-golden, writes the file."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no golden file {name}: run pytest with --update-golden, and read the diff"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are parsed in this process, and not in a child, of which each takes longer than most tests.

    For tests of what is in files. That parsers work in the child, too, is seen by the tests of the command line; what
    the child is for, by those of `files`.
    """
    from norse_export import registry
    from norse_export.files import child

    def parse(parser: str, file: Any, *, name: str, limits: Any, options: Any = None) -> child.Parsed:
        module, _, function = parser.partition(":")
        position = file.tell()
        file.seek(0)
        try:
            with _Named(file, name) as named:
                document, arrays = getattr(import_module(module), function)(named, limits, **(options or {}))
        finally:
            file.seek(position)
        for array in arrays.values():
            array.setflags(write=False)
        return child.Parsed(json.loads(json.dumps(document)), arrays)

    for name in ("loihi", "spinnaker", "sim", "onnx"):
        registry.load(name)
    for name in _PARSING:
        import_module(name)
    spawning = child.parse_in_child
    for name, module in list(sys.modules.items()):
        if name.startswith("norse_export.") and getattr(module, "parse_in_child", None) is spawning:
            monkeypatch.setattr(module, "parse_in_child", parse)


_PARSING = ("norse_export.formats.graph_file", "norse_export.formats.inputs", "norse_export.formats.nir.load")


class _Named(io.BufferedReader):
    """An open file under the name that messages give it."""

    def __init__(self, file: Any, name: str) -> None:
        super().__init__(io.FileIO(os.dup(file.fileno())))
        self._told = name
        self.seek(0)

    @property
    def name(self) -> str:
        return self._told


def _required() -> bool:
    return os.environ.get(REQUIRE_SHARED) == "1"


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if report.skipped and SHARED in reason:
        _missing.append(report.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where shared data is demanded, a test that was skipped for lack of it fails the session."""
    if _missing and _required() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing and _required():
        terminalreporter.section("skipped for lack of shared data", red=True)
        for name in _missing:
            terminalreporter.line(f"FAILED {name}: {REQUIRE_SHARED}=1 demands it")
