"""Tests of the pipeline parse files in their own process."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _parsed_here(parsed_here: None) -> None:
    """For all of them."""
