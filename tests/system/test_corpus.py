"""The hostile corpus, judged by its own checker; and nothing outside the case's folder is opened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KINDS = ("nir", "pt", "pt2", "onnx", "fs")
COMMAND = f"{sys.executable} -m norse_export {{input}} --target nir --dt 1e-3 -o {{output}}"
NEEDS_ANOTHER_USER = {"fs_unreadable", "fs_output_readonly_dir"}  # root reads and writes everything


def _ids(shared: Path) -> dict[str, list[str]]:
    entries = json.loads((shared / "corpus" / "manifest_visible.json").read_text())["entries"]
    return {kind: [entry["id"] for entry in entries if entry["kind"] == kind] for kind in KINDS}


@pytest.mark.parametrize("kinds", [KINDS[:1], KINDS[1:]], ids="-".join)  # every call runs the control once more
def test_every_entry_of_the_corpus_ends_as_its_manifest_says(
    kinds: tuple[str, ...], shared: Path, tmp_path: Path
) -> None:
    ids = [name for kind in kinds for name in _ids(shared)[kind]]
    report = tmp_path / "report.json"
    checker = shared / "corpus" / "check_corpus.py"
    arguments = [
        "--split",
        "visible",
        "--cmd",
        COMMAND,
        "--only",
        ",".join(["ok_feedforward", *ids]),
        "--json",
        str(report),
    ]
    done = subprocess.run(
        [sys.executable, checker, *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    verdicts = {entry["id"]: entry for entry in json.loads(report.read_text())}
    assert set(ids) <= set(verdicts), done.stdout
    failed = {name: entry["why"] for name, entry in verdicts.items() if entry["verdict"] == "FAIL"}
    skipped = {name for name, entry in verdicts.items() if entry["verdict"] == "SKIP"}
    assert not failed
    assert skipped <= NEEDS_ANOTHER_USER


def test_the_corpus_is_whole(shared: Path) -> None:
    counts = {kind: len(ids) for kind, ids in _ids(shared).items()}
    assert counts == {"nir": 21, "pt": 11, "pt2": 1, "onnx": 10, "fs": 6}


ALLOWED = ("/dev/null", "/dev/urandom", "/proc/", "/sys/", "/etc/ld.so", "/etc/localtime", "/usr/share/zoneinfo")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "entry", ["nir_external_link.nir", "nir_softlink_cycle.nir", "pt_module_hook_exec.pt", "ok_feedforward.nir"]
)
def test_no_file_outside_is_opened(entry: str, shared: Path, tmp_path: Path) -> None:
    for name in (entry, "secret.h5"):
        shutil.copy(shared / "corpus" / "visible" / name, tmp_path / name)
    log = tmp_path / "strace.log"
    command = ["strace", "-f", "-e", "trace=openat,open,creat", "-o", str(log), sys.executable, "-m", "norse_export"]
    arguments = [entry, "--target", "nir", "--dt", "1e-3", "-o", "out.nir"]
    subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    opened = [line for line in log.read_text().splitlines() if "openat(" in line and "= -1" not in line]
    assert any(entry in line for line in opened)
    assert not [line for line in opened if "secret.h5" in line or "/etc/passwd" in line]
