"""The inert pickle machine: plain structures come back, everything else is only named, and nothing hangs or crashes."""

from __future__ import annotations

import os
import pickle
import pickletools
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norse_export.errors import ExportError, InputFileError, LimitError
from norse_export.frontend.saved.records import Call, Global, PersistentId, Pickle
from norse_export.frontend.saved.unpickle import unpickle

ROOMY = {"max_objects": 100_000, "max_depth": 100, "max_text_bytes": 10_000}

numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
scalars = numbers | st.text()
OLD_PLAIN = st.recursive(  # what protocols 2 and 3 write without a call
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner, inner, inner) | st.dictionaries(scalars, inner),
)
NEW_PLAIN = st.recursive(
    scalars | st.binary() | st.sets(scalars) | st.frozensets(scalars),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(scalars, inner),
)


def read(data: bytes, **limits: int) -> Pickle:
    return unpickle(data, **{**ROOMY, **limits})


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


@settings(deadline=None)
@given(OLD_PLAIN, st.integers(2, 5))
def test_plain_structures_come_back(value: Any, protocol: int) -> None:
    found = read(pickle.dumps(value, protocol))
    assert (found.root, repr(found.root)) == (value, repr(value))  # repr tells 1 from True and 1.0
    assert not found.globals


@settings(deadline=None)
@given(NEW_PLAIN, st.integers(4, 5))
def test_sets_and_bytes_come_back_from_newer_protocols(value: Any, protocol: int) -> None:
    found = read(pickle.dumps(value, protocol))
    assert found.root == value
    assert type(found.root) is type(value)


@settings(deadline=None, max_examples=30)
@given(OLD_PLAIN)
def test_the_oldest_protocols_are_read_too(value: Any) -> None:
    for protocol in (0, 1):
        assert read(pickle.dumps(value, protocol)).root == value


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_an_error_of_ours(data: bytes) -> None:
    with suppress(ExportError):  # any other exception fails the test
        read(data)


PROGRAMS = {  # instruction: a program with it, and what it leaves
    "INT": (b"I42\n.", 42),
    "INT as bool": (b"I01\n.", True),
    "BININT": (b"J\xff\xff\xff\xff.", -1),
    "BININT1": (b"K\x07.", 7),
    "BININT2": (b"M\x00\x01.", 256),
    "LONG": (b"L99L\n.", 99),
    "LONG1": (b"\x8a\x01\xff.", -1),
    "LONG4": (b"\x8b\x01\x00\x00\x00\x05.", 5),
    "FLOAT": (b"F1.5\n.", 1.5),
    "BINFLOAT": (b"G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5),
    "NONE": (b"N.", None),
    "NEWTRUE": (b"\x88.", True),
    "NEWFALSE": (b"\x89.", False),
    "UNICODE": (b"V\\u00e9\n.", "é"),
    "BINUNICODE": (text("é") + b".", "é"),
    "SHORT_BINUNICODE": (b"\x8c\x01a.", "a"),
    "BINUNICODE8": (b"\x8d" + (1).to_bytes(8, "little") + b"a.", "a"),
    "BINBYTES": (b"B\x01\x00\x00\x00a.", b"a"),
    "SHORT_BINBYTES": (b"C\x01a.", b"a"),
    "BINBYTES8": (b"\x8e" + (1).to_bytes(8, "little") + b"a.", b"a"),
    "BYTEARRAY8": (b"\x96" + (1).to_bytes(8, "little") + b"a.", bytearray(b"a")),
    "EMPTY_TUPLE": (b").", ()),
    "TUPLE1": (b"K\x01\x85.", (1,)),
    "TUPLE2": (b"K\x01K\x02\x86.", (1, 2)),
    "TUPLE3": (b"K\x01K\x02K\x03\x87.", (1, 2, 3)),
    "TUPLE": (b"(K\x01K\x02K\x03K\x04t.", (1, 2, 3, 4)),
    "LIST": (b"(K\x01l.", [1]),
    "APPEND": (b"]K\x01a.", [1]),
    "APPENDS": (b"](K\x01K\x02e.", [1, 2]),
    "DICT": (b"(K\x01K\x02d.", {1: 2}),
    "SETITEM": (b"}K\x01K\x02s.", {1: 2}),
    "SETITEMS": (b"}(K\x01K\x02K\x03K\x04u.", {1: 2, 3: 4}),
    "EMPTY_SET": (b"\x8f.", set()),
    "ADDITEMS": (b"\x8f(K\x01\x90.", {1}),
    "FROZENSET": (b"(K\x01\x91.", frozenset({1})),
    "POP": (b"K\x01K\x02" + b"0.", 1),
    "POP of a mark": (b"K\x01(0.", 1),
    "POP_MARK": (b"K\x01(K\x02K\x031.", 1),
    "DUP": (b"K\x01" + b"2\x86.", (1, 1)),
    "PUT": (b"K\x01p5\n" + b"0g5\n.", 1),
    "BINPUT": (b"K\x01q\x05" + b"0h\x05.", 1),
    "LONG_BINPUT": (b"K\x01r\x05\x00\x00\x00" + b"0j\x05\x00\x00\x00.", 1),
    "MEMOIZE": (b"K\x01\x94" + b"0h\x00.", 1),
    "FRAME": (b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.", 1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_instruction_does_what_pickle_does(name: str) -> None:
    program, expected = PROGRAMS[name]
    found = read(program).root
    assert found == expected
    assert type(found) is type(expected)
    assert found == pickle.loads(program)  # noqa: S301 - a program of our own, as the second opinion


def test_names_and_calls_become_records() -> None:
    found = read(b"cos\nsystem\n" + text("true") + b"\x85R.").root
    assert isinstance(found, Call)
    assert (found.how, found.callable, found.args) == ("reduce", Global("os", "system"), ("true",))


@pytest.mark.parametrize(
    ("program", "how"),
    [
        (b"c__main__\nA\nK\x01\x85\x81.", "new"),
        (b"c__main__\nA\nK\x01\x85}\x92.", "new"),
        (b"(K\x01i__main__\nA\n.", "inst"),
        (b"(c__main__\nA\nK\x01o.", "inst"),
        (b"\x8c\x08__main__\x8c\x01A\x93K\x01\x85R.", "reduce"),
    ],
)
def test_every_way_to_make_an_object_becomes_a_call(program: bytes, how: str) -> None:
    found = read(program)
    assert isinstance(found.root, Call)
    assert (found.root.how, found.root.callable, found.root.args) == (how, Global("__main__", "A"), (1,))
    assert found.calls == (found.root,)


def test_state_items_and_appended_values_are_noted() -> None:
    found = read(b"c__main__\nA\n)\x81}K\x01K\x02sbK\x03K\x04sK\x05aK\x06(K\x07K\x08e0(K\x09\x90.").root
    assert isinstance(found, Call)
    assert (found.states, found.items, found.appended) == ([{1: 2}], [(3, 4)], [5, 9])


def test_keyword_arguments_are_noted() -> None:
    found = read(b"c__main__\nA\n)}" + text("x") + b"K\x01s\x92.").root
    assert isinstance(found, Call)
    assert found.kwargs == {"x": 1}


def test_a_persistent_id_becomes_a_record() -> None:
    found = read(text("storage") + b"Q.").root
    assert isinstance(found, PersistentId)
    assert found.value == "storage"


def test_names_of_python_2_are_given_their_present_names() -> None:
    assert read(b"c__builtin__\ngetattr\n.").root == Global("builtins", "getattr")


def test_what_is_thrown_away_is_still_reported() -> None:
    found = read(b"cos\nsystem\n)R0N.")
    assert found.root is None
    assert found.globals == (Global("os", "system"),)
    assert len(found.calls) == 1


def test_writes_into_a_global_are_reported() -> None:
    for program in (b"cos\nenviron\nK\x01K\x02s.", b"cos\npath\n}b.", b"cos\npath\nK\x01a.", b"cos\npath\n(K\x01\x90."):
        assert [type(target) for target in read(program).writes] == [Global]


def test_a_cycle_through_the_memo_is_read() -> None:
    """A bound method of an object, in the object's own state: as Norse's state_fallback is."""
    program = b"c__main__\nA\n)\x81q\x00}" + text("f") + b"cbuiltins\ngetattr\nh\x00" + text("run") + b"\x86Rsb."
    found = read(program).root
    assert isinstance(found, Call)
    method = found.states[0]["f"]
    assert method.args[0] is found


def test_a_list_that_holds_itself_is_read() -> None:
    found = read(b"]q\x00h\x00a.").root
    assert found[0] is found


def test_real_classes_are_named_and_not_made(tmp_path: Path) -> None:
    found = read(pickle.dumps({"a": tmp_path, "b": OrderedDict(x=1)}))
    assert {name.path for name in found.globals} >= {"pathlib.PosixPath", "collections.OrderedDict"}


def test_a_payload_that_pickle_would_run_does_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(canary),)

    data = pickle.dumps(Payload())
    assert isinstance(read(data).root, Call)
    assert not canary.exists()
    pickle.loads(data)  # noqa: S301 - shows that the payload works
    assert canary.exists()


KNOWN_REFUSED = {
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "NEXT_BUFFER",
    "READONLY_BUFFER",
    "EXT1",
    "EXT2",
    "EXT4",
    "PERSID",
}


@pytest.mark.parametrize("name", sorted(KNOWN_REFUSED))
def test_an_instruction_that_torch_never_writes_is_refused_by_name(name: str) -> None:
    code = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}[name]
    argument = {"STRING": b"'a'\n", "PERSID": b"a\n", "BINSTRING": b"\x01\x00\x00\x00a"}.get(name, b"\x01\x01\x01\x01")
    with pytest.raises(InputFileError, match=rf"\b{name} is not allowed"):
        read(b"]" + code + argument + b".")


def test_the_instructions_are_either_done_or_refused() -> None:
    """A new instruction of a later Python is refused until somebody reads what it does."""
    done = {name.split(" ")[0] for name in PROGRAMS}
    records = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "BUILD", "BINPERSID"}
    parts = {"MARK", "STOP", "PROTO", "EMPTY_LIST", "EMPTY_DICT", "GET", "BINGET", "LONG_BINGET"}
    assert {opcode.name for opcode in pickletools.opcodes} == done | records | parts | KNOWN_REFUSED


CORRUPT = {
    "empty": b"",
    "no end": b"N",
    "nothing on the stack": b".",
    "two values left": b"NN.",
    "a mark left": b"N(.",
    "bytes after the end": b"N.N",
    "stack underflow": b"a.",
    "pop of nothing": b"0.",
    "no mark": b"t.",
    "value below a mark": b"N(\x85.",
    "memo without entry": b"h\x05.",
    "odd items": b"}(K\x01u.",
    "unknown instruction": b"\xff.",
    "unknown protocol": b"\x80\x09N.",
    "name that is no text": b"K\x01K\x02\x93.",
    "arguments that are no tuple": b"cos\nsystem\n]R.",
    "an object without a class": b"(o.",
    "keyword arguments that are no dictionary": b"cos\nsystem\n)]\x92.",
    "list as a key": b"}]Ns.",
    "tuple as a key": b"})Ns.",
    "list in a set": b"\x8f(]\x90.",
    "list in a frozenset": b"(]\x91.",
    "text that is not UTF-8": b"X\x01\x00\x00\x00\xff.",
    "length beyond the end": b"X\xff\xff\xff\x7fa.",
    "number of 5000 digits": b"L" + b"9" * 5000 + b"L\n.",
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_pickle_is_refused(case: str) -> None:
    with pytest.raises(InputFileError, match="truncated or corrupt") as caught:
        read(CORRUPT[case])
    assert (caught.value.where, caught.value.exit_code) == ("data.pkl", 2)
    assert "norse_export.save" in caught.value.fix


def test_every_truncation_is_refused() -> None:
    data = pickle.dumps({"a": [1, 2.5, ("x", None)], "b": OrderedDict(c=b"d")}, 4)
    for length in range(len(data)):
        with pytest.raises(InputFileError, match="truncated or corrupt"):
            read(data[:length])


def nested(levels: int) -> bytes:
    return b"]" * levels + b"a" * (levels - 1) + b"."


def test_limits_hold_at_the_limit_and_one_beyond() -> None:
    assert read(nested(7), max_depth=7)
    assert read(b"(" + b"N" * 8 + b"l.", max_objects=9)
    assert read(text("é" * 4) + b".", max_text_bytes=8)
    for program, limits in [
        (nested(8), {"max_depth": 7}),
        (b"(" + b"N" * 9 + b"l.", {"max_objects": 9}),
        (text("é" * 4 + "a") + b".", {"max_text_bytes": 8}),
        (b"C\x09123456789.", {"max_text_bytes": 8}),
        (b"\x8a\x0a" + b"\x01" * 10 + b".", {"max_text_bytes": 8}),
        (b"c" + b"a" * 16 + b"\nb\n.", {"max_text_bytes": 8}),
        (b"K\x01" + b"q\x00" * 91 + b".", {"max_objects": 9}),  # 10 instructions for each object
    ]:
        with pytest.raises(LimitError) as caught:
            read(program, **limits)
        assert "max_" in caught.value.fix


def test_a_hundred_thousand_levels_are_refused_and_crash_nothing() -> None:
    with pytest.raises(LimitError, match="deeper"):
        read(nested(99_000))


def test_a_memo_bomb_costs_nothing() -> None:
    """60 tuples, each twice in the next: 2^60 leaves for whoever walks them naively."""
    found = read(b")" + b"q\x00h\x00\x86" * 60 + b".")
    assert len(found.root) == 2
    with pytest.raises(LimitError):
        read(b")" + b"q\x00h\x00\x86" * 101 + b".")
    with pytest.raises(InputFileError, match="key"):  # hashing it would never end
        read(b"}" + b")" + b"q\x00h\x00\x86" * 60 + b"Ns.")
