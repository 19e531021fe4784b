"""Tests of shared data: skipped with a reason where there is none, and failing where it is demanded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OURS = [Path(__file__).parents[1] / name for name in ("conftest.py", "parsing.py")]
SKIP = "import pytest\n\ndef test_reads():\n    pytest.skip('{}')\n"
FIXTURE = "def test_reads(shared):\n    assert shared.is_dir()\n"
MISSING = {
    "test_fixture.py": FIXTURE,
    "test_by_itself.py": SKIP.format("NORSE_EXPORT_SHARED is not set"),
    "test_whole_file.py": "import pytest\n\npytest.skip('NORSE_EXPORT_SHARED is not set', allow_module_level=True)\n",
    "test_always.py": "def test_passes():\n    pass\n",
}


def run(
    folder: Path, tests: dict[str, str], *options: str, shared: str | None = None, required: bool = False
) -> tuple[int, str]:
    """Run tests, given by file name, with our conftest; exit code and output."""
    for path in OURS:
        shutil.copy(path, folder)
    for name, source in tests.items():
        (folder / name).write_text(source)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NORSE_EXPORT_", "PYTEST_"))}
    given = {"NORSE_EXPORT_SHARED": shared, "NORSE_EXPORT_REQUIRE_SHARED": "1" if required else None}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *options],
        cwd=folder,
        env=clean | {key: value for key, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_without_shared_data_tests_are_skipped_with_a_reason(tmp_path: Path) -> None:
    code, out = run(tmp_path, MISSING)
    assert code == 0
    assert "1 passed, 3 skipped" in out
    assert out.count("NORSE_EXPORT_SHARED is not set") >= 2


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "distributed"])
def test_where_shared_data_is_demanded_a_skipped_test_fails_the_run(options: tuple[str, ...], tmp_path: Path) -> None:
    without_fixture = {name: source for name, source in MISSING.items() if "fixture" not in name}
    code, out = run(tmp_path, without_fixture, *options, required=True)
    assert code == 1
    assert "1 passed, 2 skipped" in out
    for name in ("test_by_itself.py::test_reads", "test_whole_file.py"):
        assert f"FAILED {name}: NORSE_EXPORT_REQUIRE_SHARED=1 demands it" in out


def test_where_it_is_demanded_the_fixture_fails_without_a_folder(tmp_path: Path) -> None:
    code, out = run(tmp_path, {"test_it.py": FIXTURE}, shared=str(tmp_path / "nowhere"), required=True)
    assert code == 1
    assert "which is no folder: no shared data to read" in out


def test_with_shared_data_the_tests_run_and_other_skips_are_none_of_this(tmp_path: Path) -> None:
    tests = {"test_fixture.py": FIXTURE, "test_chip.py": SKIP.format("no chip answers")}
    code, out = run(tmp_path, tests, shared=str(tmp_path), required=True)
    assert code == 0
    assert "1 passed, 1 skipped" in out


def test_golden_files_are_compared_and_rewritten_on_demand(tmp_path: Path) -> None:
    tests = {"test_text.py": "def test_text(golden):\n    golden('a/b.txt', 'new\\n')\n"}
    code, out = run(tmp_path, tests)
    assert code == 1
    assert "no golden file a/b.txt: run pytest with --update-golden" in out
    assert run(tmp_path, tests, "--update-golden")[0] == 0
    path = tmp_path / "golden" / "a" / "b.txt"
    assert path.read_text() == "new\n"
    path.write_text("old\n")
    assert run(tmp_path, tests)[0] == 1
    assert path.read_text() == "old\n"
