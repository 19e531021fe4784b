"""What cannot be is refused before anything is converted, by node, field, index and value; what can be is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import impossible_graphs
import pytest
from impossible_graphs import POSSIBLE, ROWS, outcome


@pytest.mark.parametrize(("make", "kind", "named"), ROWS.values(), ids=ROWS)
def test_an_impossible_graph_is_refused(make: Callable[[], Any], kind: str, named: tuple[str, ...]) -> None:
    found, text = outcome(make)
    assert found == kind
    for word in named:
        assert word in text
    assert "\n  where: " in text
    assert "\n  fix:   " in text


@pytest.mark.parametrize("make", POSSIBLE.values(), ids=POSSIBLE)
def test_a_possible_graph_is_not(make: Callable[[], Any]) -> None:
    assert outcome(make) == ("", "")


def test_the_table_is_the_same_without_assertions() -> None:
    assert len(ROWS) >= 30
    script = Path(impossible_graphs.__file__)
    done = subprocess.run([sys.executable, "-O", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [kind for _, kind, _ in ROWS.values()]
