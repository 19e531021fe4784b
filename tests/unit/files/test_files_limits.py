"""Each limit passes at the limit, and refuses one more."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from norse_export.errors import LimitError, UsageError
from norse_export.files.limits import Limits, option_of

NAMES = [field.name for field in fields(Limits)]


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_passes_at_its_value_and_refuses_one_more(name: Any) -> None:
    limits = Limits(**{name: 7})
    limits.check(name, 7, where="model.pt")
    with pytest.raises(LimitError) as caught:
        limits.check(name, 8, where="model.pt: layer 1")
    assert caught.value.exit_code == 2
    assert "8" in caught.value.what
    assert "exceed the limit of 7" in caught.value.what
    assert caught.value.where == "model.pt: layer 1"
    assert f"{option_of(name)} 8" in caught.value.fix


def test_the_defaults_are_those_of_the_documents() -> None:
    limits = Limits()
    assert limits.max_bytes == 1024**3
    assert limits.max_objects == 100_000
    assert limits.max_depth == 32
    assert limits.max_edges == 1_000_000
    assert limits.max_name_bytes == 256
    assert limits.max_header_bytes == 16 * 1024**2


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "7", None])
@pytest.mark.parametrize("name", NAMES)
def test_a_limit_must_be_a_whole_number_of_one_or_more(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Limits(**{name: value})
    assert repr(value) in caught.value.what
    assert caught.value.where == option_of(name)
    assert option_of(name) in caught.value.fix
    assert caught.value.exit_code == 2


def test_a_number_too_long_to_print_is_still_refused() -> None:
    with pytest.raises(LimitError, match=r"more than 2\*\*128 bytes of tensors") as caught:
        Limits().check("max_bytes", 10**5000, where="x")
    assert "--max-bytes" in caught.value.fix
