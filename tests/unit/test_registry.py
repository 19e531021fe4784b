"""The table of targets, and targets that other packages add."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import norse_export
from norse_export import registry
from norse_export.errors import MissingDependencyError, UnknownTargetError, UnsupportedError, UsageError

PLUG_IN = """
class Theirs:
    name, stage, suffix, folder, description = "theirs", "continuous", ".theirs", False, "a chip"
    check = emit = run = runners = lambda self, *given: ()
    def __init__(self): self.made = True
class Renamed(Theirs):
    name = "other"
class Staged(Theirs):
    stage = "liquid"
class Partial:
    name, stage = "theirs", "continuous"
class Broken:
    def __init__(self): raise OSError("no such chip")
class Leaving:
    def __init__(self): raise SystemExit("no licence")
"""


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[EntryPoint]:
    """Entry points that the registry finds; a module `plug_in_for_tests` can be imported."""
    found: list[EntryPoint] = []
    (tmp_path / "plug_in_for_tests.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [e for e in found if e.group == group])
    return found


def entry(name: str, value: str = "plug_in_for_tests:Theirs", group: str = registry.GROUP) -> EntryPoint:
    return EntryPoint(name, value, group)


def test_every_target_of_ours_loads_under_its_name() -> None:
    for name in registry.names():
        assert registry.load(name).name == name
    assert "nir" in registry.names()
    assert registry.origin("nir") == "norse-export"


def test_an_unknown_target_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(UnknownTargetError) as caught:
        registry.load("nope")
    assert caught.value.exit_code == 2
    assert "'nope'" in caught.value.what
    assert caught.value.where == "--target"
    assert "nir" in caught.value.fix
    with pytest.raises(UnknownTargetError):
        registry.origin("nope")


def test_other_packages_add_targets(plug_ins: list[EntryPoint]) -> None:
    plug_ins += [entry("theirs"), entry("a"), entry("other", group="another.group")]
    assert registry.names()[-2:] == ("a", "theirs")
    assert registry.load("theirs").made  # type: ignore[attr-defined]
    assert registry.origin("theirs") == "plug_in_for_tests"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("missing_for_tests:Target", "ModuleNotFoundError"),
        ("plug_in_for_tests:Nothing", "AttributeError"),
        ("plug_in_for_tests:Broken", "OSError: no such chip"),
        ("plug_in_for_tests:Leaving", "SystemExit: no licence"),
        ("plug_in_for_tests:Renamed", "ValueError: it calls itself 'other'"),
        ("plug_in_for_tests:Staged", "ValueError: 'liquid' is not a valid Stage"),
        ("plug_in_for_tests:Partial", "it is no target: it has no suffix, folder, description, check, emit, run"),
    ],
)
def test_a_plug_in_that_fails_is_named(value: str, reason: str, plug_ins: list[EntryPoint]) -> None:
    plug_ins.append(entry("theirs", value))
    assert "theirs" in registry.names()  # not imported yet
    with pytest.raises(MissingDependencyError) as caught:
        registry.load("theirs")
    assert caught.value.exit_code == 5
    assert "'theirs'" in caught.value.what
    assert reason in caught.value.what
    assert caught.value.where == value
    assert value.partition(":")[0] in caught.value.fix


def test_blame_falls_on_targets_of_others_only(plug_ins: list[EntryPoint]) -> None:
    plug_ins.append(entry("theirs"))
    blamed = "target 'theirs' of package plug_in_for_tests stumbled: KeyError: 1"
    with pytest.raises(MissingDependencyError, match=blamed), registry.blaming("theirs", "stumbled"):
        raise KeyError(1)
    for error, name in (
        (KeyError(1), "nir"),
        (MemoryError(), "theirs"),
        (UnsupportedError("w", where="w", fix="f"), "theirs"),
    ):
        with pytest.raises(type(error)) as caught, registry.blaming(name):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(("added", "owner"), [(["nir"], "norse-export"), (["x", "x"], "plug_in_for_tests")])
def test_a_clash_of_names_is_an_error(added: list[str], owner: str, plug_ins: list[EntryPoint]) -> None:
    plug_ins += [entry(name) for name in added]
    for call in (registry.names, lambda: registry.load("nir")):
        with pytest.raises(UsageError, match=f"two targets named {added[0]!r}: of {owner}") as caught:
            call()
        assert caught.value.where == "plug_in_for_tests:Theirs"
        assert "uninstall" in caught.value.fix


def test_nothing_imports_targets_by_statement() -> None:
    package = Path(norse_export.__file__).parent
    texts = {path: path.read_text() for path in package.rglob("*.py")}
    found = [
        str(p)
        for p, text in texts.items()
        if "import norse_export.targets" in text or "from norse_export.targets" in text
    ]
    assert texts
    assert found == []
