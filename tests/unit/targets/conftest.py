"""Tests of targets use the models of the tests of formats."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "formats"))
