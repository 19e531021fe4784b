"""Tests of passes use the fixed graphs of the tests of formats."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "formats"))
