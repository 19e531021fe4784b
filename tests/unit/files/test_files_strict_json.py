"""JSON from a file is parsed strictly, and within limits."""

from __future__ import annotations

import pytest

from norse_export.errors import InputFileError, LimitError
from norse_export.files.limits import Limits
from norse_export.files.strict_json import loads

LIMITS = Limits(max_depth=3, max_objects=9)


def test_json_is_parsed() -> None:
    assert loads(b'{"a": [1, 2.5, null, "\xc3\xbc"]}', where="x", limits=LIMITS) == {"a": [1, 2.5, None, "ü"]}
    assert loads("[[[]]]", where="x", limits=LIMITS) == [[[]]]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Expecting value"),
        ("{", "corrupt JSON"),
        ("[1] 2", "Extra data"),
        (b"\xff", "codec can't decode"),
        ('{"a": 1, "b": 2, "a": 1}', "duplicate key 'a'"),
        ('[{"b": {"c": 1, "c": 2}}]', "duplicate key 'c'"),
        ("[NaN]", "NaN is not a JSON number"),
        ("-Infinity", "-Infinity is not a JSON number"),
        ("9" * 5000, "corrupt JSON"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_json_leaves_open_is_refused(text: str | bytes, what: str) -> None:
    with pytest.raises(InputFileError) as caught:
        loads(text, where="model.pt", limits=LIMITS)
    assert what in caught.value.what
    assert caught.value.where == "model.pt"
    assert "get the file again" in caught.value.fix


def test_depth_passes_at_the_limit_and_is_refused_above() -> None:
    loads('{"a": [{"b": 1}]}', where="x", limits=LIMITS)
    with pytest.raises(LimitError, match="4 levels of nesting exceed the limit of 3") as caught:
        loads('{"a": [{"b": []}]}', where="model.pt", limits=LIMITS)
    assert caught.value.where == "model.pt"
    assert "--max-depth" in caught.value.fix
    loads('{"a": [{"b": []}]}', where="x", limits=None)


def test_objects_pass_at_the_limit_and_are_refused_above() -> None:
    loads('[1, 2, 3, 4, {"a": 1}, 6]', where="x", limits=LIMITS)  # the list, its 6 values, a key and its value
    with pytest.raises(LimitError, match="10 objects exceed the limit of 9") as caught:
        loads('[1, 2, 3, 4, {"a": 1}, 6, 7]', where="model.pt", limits=LIMITS)
    assert caught.value.where == "model.pt"
    assert "--max-objects" in caught.value.fix
