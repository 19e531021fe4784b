"""Options, fixtures and rules that hold for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from parsing import parse_here, replace_parsing

GOLDEN = Path(__file__).parent / "golden"
SHARED = "NORSE_EXPORT_SHARED"
REQUIRE_SHARED = "NORSE_EXPORT_REQUIRE_SHARED"

# A suite started in the background ignores Ctrl-C, and so would every process that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where bytecode is not kept, each of the many processes that tests start compiles the whole package first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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

    For tests of what is in files. That every parser gives the same in the child is seen by test_parsers_in_child; what
    the child is for, by the tests of `files`.
    """
    replace_parsing(monkeypatch, parse_here)


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
