from __future__ import annotations

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from norse_export.engine.machine.config import MachineConfig, config_from, config_text, read_config
from norse_export.errors import ExportError, InputFileError, UsageError

PAGE = Path(__file__).parents[4] / "docs" / "reference_machine.md"


def refused(kind: type[ExportError], path: Path) -> ExportError:
    with pytest.raises(kind) as caught:
        read_config(path)
    assert caught.value.what
    assert str(path) in caught.value.where
    assert caught.value.fix
    return caught.value


def test_a_file_changes_the_parameters_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("lanes = 4\nlink_cycles = 3  # long wires\n")
    assert read_config(path) == replace(MachineConfig(), lanes=4, link_cycles=3)


def test_the_text_of_a_configuration_reads_back_as_itself(tmp_path: Path) -> None:
    config = MachineConfig(lanes=2, barrier_hop_cycles=0)
    path = tmp_path / "machine.toml"
    path.write_text(config_text(config))
    assert read_config(path) == config


def test_every_parameter_has_a_reason_and_stands_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert block
    assert block.group(1) == config_text(MachineConfig())
    for one in fields(MachineConfig):
        assert one.metadata["reason"]
        assert f"`{one.name}`" in page.replace(block.group(0), "")


@pytest.mark.parametrize("name", [one.name for one in fields(MachineConfig)])
def test_each_parameter_is_checked_at_its_limits(name: str) -> None:
    one = next(one for one in fields(MachineConfig) if one.name == name)
    wide = {"word_bits": 4096} if name != "word_bits" else {"lanes": 1, "weight_bits": 2, "index_bits": 1}
    for value in (one.metadata["low"], one.metadata["high"]):
        assert getattr(MachineConfig(**{**wide, name: value}), name) == value
    for value in (one.metadata["low"] - 1, one.metadata["high"] + 1, True, 2.0, "8"):
        with pytest.raises(UsageError) as caught:
            MachineConfig(**{**wide, name: value})
        assert (caught.value.where, caught.value.what) == (name, f"{name} = {value!r}")
        assert str(one.metadata["low"]) in caught.value.fix


def test_every_wrong_parameter_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("lanes = 0\nlink_cycles = 1.5\n")
    error = refused(UsageError, path)
    assert [finding.where for finding in error.findings] == [f"{path}: lanes", f"{path}: link_cycles"]


def test_a_name_that_is_no_parameter_is_refused_with_the_list(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("lane = 4\n")
    error = refused(UsageError, path)
    assert "'lane'" in error.what
    assert "lanes" in error.fix


def test_a_word_too_narrow_for_its_lanes_is_refused() -> None:
    exact = {"lanes": 4, "weight_bits": 8, "index_bits": 10, "delay_slots": 5}
    assert MachineConfig(**exact, word_bits=75).word_bits == 75
    with pytest.raises(UsageError, match="need 75") as caught:
        MachineConfig(**exact, word_bits=74)
    assert caught.value.where == "word_bits"
    assert "75" in caught.value.fix


@pytest.mark.parametrize("content", [b"lanes = ", b"\xff\xfe", b"a" * (2**20 + 1), b"x = " + b"[" * 5000])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "machine.toml"
    path.write_bytes(content)
    refused(InputFileError, path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(InputFileError, tmp_path / "none.toml")


def test_a_table_in_the_file_is_no_parameter() -> None:
    with pytest.raises(UsageError) as caught:
        config_from(tomllib.loads("[core]\nlanes = 4\n"), where="here")
    assert caught.value.where == "here: core"
