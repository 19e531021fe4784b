"""The command line in this process, on a stub of the pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import stub_pipeline
from answering import Answering

import norse_export
from norse_export.cli import main


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering()
    module = stub_pipeline.pipeline_that(answering)
    monkeypatch.setitem(sys.modules, "norse_export.pipeline", module)
    monkeypatch.setattr(norse_export, "pipeline", module, raising=False)
    return answering


@pytest.fixture
def run(stub: Answering, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run
