"""The table of what becomes of every model: one line each, in tests/golden/battery.txt. Not tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from norse_export.errors import Finding

TABLE = Path(__file__).parents[1] / "golden" / "battery.txt"


def reasons(findings: Iterable[Finding]) -> str:
    """Findings in words: where they stand, and what they say; without the lines of our own test files."""
    told = dict.fromkeys(re.sub(r", \S+?[^/\s]+\.py:\d+", "", f"{one.where}: {one.message}") for one in findings)
    return "; ".join(told)


def read() -> dict[str, str]:
    """The table: name -> outcomes."""
    if not TABLE.exists():
        return {}
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" | ", 1) for line in lines)


def write(name: str, outcome: str, order: Iterable[str]) -> None:
    """Put a line into the table; lines of models that are no more are left out."""
    lines = {**read(), name: outcome}
    text = "".join(f"{known} | {lines[known]}\n" for known in order if known in lines)
    TABLE.write_text(text, encoding="utf-8")
