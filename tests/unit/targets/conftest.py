"""Tests of targets parse files in their own process, and use the models of the tests of formats."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "formats"))


@pytest.fixture(autouse=True)
def _parsed_here(parsed_here: None) -> None:
    """For all of them, but for hostile files."""
