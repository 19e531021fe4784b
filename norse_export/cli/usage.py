"""What click says of a wrong command line, in our three parts: what, where, fix."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from norse_export.cli.commands import DEFAULT, PROGRAM, program, with_command
from norse_export.errors import UsageError

_FIX_OF_TARGET = "add --target T; norse-export targets lists the targets"


def usage_error(error: click.ClickException, arguments: Sequence[str]) -> UsageError:
    """The same complaint, with what to do about it."""
    message = error.format_message().strip().rstrip(".")
    command = command_of(arguments)
    return UsageError(
        message[:1].lower() + message[1:], where=_where(error, command), fix=_fix(error, command, arguments)
    )


def command_of(arguments: Sequence[str]) -> str:
    """The command that a command line means, be it right or wrong."""
    first = with_command(arguments)[0]
    return first if first in program.commands else DEFAULT


def _where(error: click.ClickException, command: str) -> str:
    if isinstance(error, click.NoSuchOption):
        return error.option_name
    parameter = getattr(error, "param", None)
    if parameter is not None:
        return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name
    return f"{PROGRAM} {command}"


def _fix(error: click.ClickException, command: str, arguments: Sequence[str]) -> str:
    meant = difflib.get_close_matches(arguments[0], program.commands, n=1) if arguments else []
    hint = f"; if a command was meant: {PROGRAM} {meant[0]}" if meant and arguments[0] not in program.commands else ""
    if isinstance(error, click.MissingParameter) and getattr(error.param, "name", None) == "targets":
        return _FIX_OF_TARGET + hint
    return f"{_usage(command)}; {PROGRAM} {command} --help explains it{hint}"


def _usage(command: str) -> str:
    named = program.commands[command]
    arguments = [parameter.human_readable_name for parameter in named.params if isinstance(parameter, click.Argument)]
    target = ["--target T"] if command == DEFAULT else []
    return " ".join([PROGRAM, *([] if command == DEFAULT else [command]), *arguments, *target, "[OPTIONS]"])
