"""Hostile pickles in files of torch.save are refused by name, and nothing of them runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_programs import LINEAR, TENSOR, archive, call, messages, module, name, refused, saved, tensor, value

Hostile = Callable[[str], bytes]
RUN = "posix system"

HOSTILE: dict[str, tuple[str, Hostile]] = {  # what is refused by name, and the pickle around a shell command
    "a command": ("posix.system", lambda command: call(RUN, command)),
    "a command whose result is thrown away": ("posix.system", lambda command: call(RUN, command) + b"0}"),
    "a command in a list": ("posix.system", lambda command: b"](" + call(RUN, command) + b"e"),
    "a command as a key": ("posix.system", lambda command: b"}" + call(RUN, command) + b"Ns"),
    "a command as a tensor's hook": (
        "posix.system",
        lambda command: value({"x": tensor(hooks=value({0: call(RUN, command)}))}),
    ),
    "a command as a storage's key": (
        "posix.system",
        lambda command: value({"x": tensor(source=value(("storage", call(RUN, command), "0", "cpu", 4)) + b"Q")}),
    ),
    "a command in a forward hook": ("posix.system", lambda command: module(_forward_hooks={0: call(RUN, command)})),
    "a command among the children": ("posix.system", lambda command: module(_modules={"0": call(RUN, command)})),
    "a command as a state": ("posix.system", lambda command: name(LINEAR) + b")\x81" + call(RUN, command) + b"b"),
    "a command by INST": ("posix.system", lambda command: b"(" + value(command) + b"iposix\nsystem\n"),
    "a command by OBJ": ("posix.system", lambda command: b"(" + name(RUN) + value(command) + b"o"),
    "a command by NEWOBJ_EX": ("posix.system", lambda command: name(RUN) + value((command,)) + b"}\x92"),
    "a command by STACK_GLOBAL": (
        "posix.system",
        lambda command: value("posix") + value("system") + b"\x93" + value((command,)) + b"R",
    ),
    "a command by a dotted name": (
        "torch.nn.os.system",
        lambda command: value("torch") + value("nn.os.system") + b"\x93" + value((command,)) + b"R",
    ),
    "a known class by a dotted name": (
        "torch.nn.modules.linear.Linear",
        lambda command: value("torch.nn") + value("modules.linear.Linear") + b"\x93" + b")\x81",
    ),
    "a hook of a tensor": ("hooks of a tensor", lambda command: value({"x": tensor(hooks=value({0: 1}))})),
    "a command in an unused memo": ("posix.system", lambda command: call(RUN, command) + b"q\x07" + b"0}"),
    "a command inside a known call": (
        "posix.system",
        lambda command: module(_forward_hooks=call("collections OrderedDict", call(RUN, command))),
    ),
    "eval": ("builtins.eval", lambda command: call("__builtin__ eval", f"__import__('os').system({command!r})")),
    "exec": ("builtins.exec", lambda command: call("builtins exec", f"__import__('os').system({command!r})")),
    "import": ("builtins.__import__", lambda command: call("builtins __import__", "antigravity")),
    "apply": ("builtins.map", lambda command: call("builtins map", name(RUN), (command,))),
    "getattr of globals": ("builtins.getattr", lambda command: call("builtins getattr", name(TENSOR), "__globals__")),
    "getattr and a write": (
        "builtins.getattr",
        lambda command: call("builtins getattr", name(TENSOR), "__globals__") + value("x") + value(command) + b"s",
    ),
    "getattr of another name": (
        "builtins.getattr",
        lambda command: module(state_fallback=call("builtins getattr", module(), "forward")),
    ),
    "getattr with a default": (
        "builtins.getattr",
        lambda command: module(state_fallback=call("builtins getattr", module(), "initial_state", None)),
    ),
    "a write into a global": ("os.environ", lambda command: name("os environ") + b"K\x01K\x02s"),
    "a write into a known function": (
        "torch._utils._rebuild_tensor_v2",
        lambda command: name(TENSOR) + value({"__defaults__": 1}) + b"b0}",
    ),
    "an append to a known class": ("torch.nn.modules.linear.Linear", lambda command: name(LINEAR) + b"K\x01a0}"),
    "the call of a call": ("not allowed", lambda command: call("collections OrderedDict") + b")R0}"),
    "the result of a call as an attribute": (
        "the result of a call",
        lambda command: module(in_features=call("collections OrderedDict") + b")R"),
    ),
    "neuron parameters of another length": (
        "has 1 values instead of 3",
        lambda command: module(
            "norse.torch.module.leaky_integrator LICell",
            p=name("norse.torch.functional.leaky_integrator LIParameters") + b"K\x01\x85\x81",
            state_fallback=call("builtins getattr", 1, "initial_state"),
        ),
    ),
    "a known call that nothing uses": (
        "collections.OrderedDict",
        lambda command: call("collections OrderedDict") + b"0}",
    ),
    "a tensor that nothing uses": ("torch._utils._rebuild_tensor_v2", lambda command: tensor() + b"0}"),
    "a parameter with attributes of its own": (
        "torch._utils._rebuild_parameter_with_state",
        lambda command: call("torch._utils _rebuild_parameter_with_state", tensor(), True, {}, {"a": 1}),
    ),
    "torch.load inside": ("torch.serialization.load", lambda command: call("torch.serialization load", "x.pt")),
    "a numpy array": ("numpy.core.multiarray._reconstruct", lambda command: call("numpy.core.multiarray _reconstruct")),
    "a class of __main__": ("__main__.MyNet", lambda command: module("__main__ MyNet")),
    "a class of __main__ as a child": (
        "__main__.MyNet",
        lambda command: module(_modules={"0": module("__main__ MyNet")}),
    ),
    "an unknown class of torch": ("torch.nn.modules.rnn.LSTM", lambda command: module("torch.nn.modules.rnn LSTM")),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles_are_refused_by_name_and_do_not_run(case: str, tmp_path: Path) -> None:
    named, program = HOSTILE[case]
    canary = tmp_path / "canary"
    error = refused(archive(program(f"echo ran > {canary}")))
    assert named in messages(error)
    assert "not allowed" in error.what
    assert "unsafe" in error.what
    assert "norse_export.save(model, path, example_input)" in error.fix
    assert not canary.exists()


def test_the_payload_of_these_tests_works(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(call(RUN, f"echo ran > {canary}") + b".")  # noqa: S301 - our own, to show that the canary can sing
    assert canary.exists()


def test_all_findings_are_listed() -> None:
    layers = {"0": module("__main__ First"), "1": module("__main__ Second"), "2": call(RUN, "true")}
    error = refused(archive(module("torch.nn.modules.container Sequential", _modules=layers)))
    for word in ("__main__.First", "__main__.Second", "posix.system"):
        assert word in messages(error)
    assert [finding.where for finding in error.findings][:2] == ["0", "1"]


def test_a_class_of_the_users_is_refused_with_both_ways_out() -> None:
    users, torchs = refused(archive(module("mine.models Net"))), refused(archive(module("torch.nn.modules.rnn LSTM")))
    command = refused(archive(call(RUN, "true")))
    assert "mine.models.Net is not allowed" in users.what
    assert "--factory module:function" in users.fix
    for error in (users, torchs, command):
        assert "norse_export.save(model, path, example_input)" in error.fix
    assert "--factory" not in torchs.fix + command.fix


def test_messages_stay_on_one_line_and_printable() -> None:
    error = refused(archive(value("__main__") + value("Net\n\x1b[2J" + "x" * 200) + b"\x93)R"))
    assert error.what.isprintable()
    assert len(error.what) < 300


@pytest.mark.parametrize(
    "hooks",
    [
        "_backward_hooks",
        "_backward_pre_hooks",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    ],
)
def test_no_hook_is_allowed(hooks: str) -> None:
    model = torch.nn.Linear(1, 1)
    getattr(model, hooks)[0] = torch.relu
    error = refused(saved(model))
    assert hooks in messages(error)
    assert "not allowed" in messages(error)


def test_a_real_hook_of_torch_is_refused() -> None:
    model = torch.nn.Linear(1, 1)
    model.register_forward_hook(print)
    assert "_forward_hooks" in messages(refused(saved(model)))
