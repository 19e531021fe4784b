"""The commands. Each turns its options into a `Request`; nothing runs, and nothing heavy is imported, before `call`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from norse_export.cli import options, values
from norse_export.cli.progress import Progress
from norse_export.errors import UsageError

PROGRAM = "norse-export"
DEFAULT = "export"
_ABOUT = ("-h", "--help", "--version")
_EARLY_FLAG = re.compile(r"--json|--quiet|--verbose|-[qv]+")


@dataclass(frozen=True, slots=True)
class Request:
    """A command line that was understood: what to call, and how to show what it gives.

    see: where the user finds all findings, when only the first is shown.
    """

    command: str
    call: Callable[[Progress | None], Any]
    as_json: bool
    quiet: bool
    verbose: bool
    see: str


def parse(arguments: Sequence[str]) -> Request | None:
    """Understand a command line; None when it asked for help or the version, which then is printed.

    Raises:
        UsageError: a value is wrong, or options contradict each other.
        click.ClickException: anything else that is wrong with it.
    """
    try:
        with program.make_context(PROGRAM, with_command(arguments)) as context:
            request: Request = program.invoke(context)
            return request
    except click.exceptions.Exit:
        return None


def with_command(arguments: Sequence[str]) -> list[str]:
    """The arguments with their command first: export is meant where none is named."""
    early = 0
    while early < len(arguments) and _EARLY_FLAG.fullmatch(arguments[early]):
        early += 1
    flags, rest = arguments[:early], arguments[early:]
    if rest and rest[0] in _ABOUT:
        return [rest[0]]
    if rest and rest[0] in program.commands:
        return [rest[0], *flags, *rest[1:]]
    return [DEFAULT, *arguments]


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, subcommand_metavar="COMMAND ...")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def program() -> None:
    """Take a trained spiking network to a neuromorphic format or chip, and prove it spike for spike.

    \b
    norse-export MODEL --target T [-o OUT]     the main job: export, run the artefact back, compare
    norse-export export --help                 its options

    Exit codes: 0 done and equal; 1 not equal, or nothing proved; 2 wrong usage or input, or an output that cannot be
    written; 3 the target cannot express the model; 4 it does not fit the chip; 5 an optional runtime is missing;
    70 a bug of ours; 130 interrupted; 143 terminated.
    """


@program.command("export")
@options.file_argument("model")
@options.targets(required=True, text="The target, or all; repeat it for several (norse-export targets lists them).")
@click.option(
    "-o",
    "--out",
    type=values.file_name("-o"),
    metavar="OUT",
    help="The artefact; with several targets a folder for all. Default: the model's name in the current folder.",
)
@options.inputs
@options.integers
@options.form
@options.loading
@options.vendor
@click.option("--verify/--no-verify", default=True, help="Run the artefact and compare it (default), or only write it.")
@options.force
@options.presentation
def export(model: Path, out: Path | None, verify: bool, force: bool, **given: Any) -> Request:
    """Export MODEL, run it back, compare (the default)."""
    options.check_inputs(given)
    targets, vendor = tuple(dict.fromkeys(given["targets"])), options.vendor_choice(given)

    def call(progress: Progress | None) -> Any:
        from norse_export import pipeline

        return pipeline.export(
            model,
            targets,
            out=out,
            inputs=options.input_choice(given),
            loading=options.load_choice(given),
            integers=options.integer_choice(given),
            form=options.form_choice(given),
            vendor=vendor,
            verify=verify,
            force=force,
            progress=progress,
        )

    return _request("export", call, given, options.check_line(model, given))


@program.command("check")
@options.file_argument("model")
@options.targets(required=False, text="A target, or all (default); repeat it for several.")
@options.integers
@options.form
@options.loading
@options.presentation
def check(model: Path, **given: Any) -> Request:
    """Say what of MODEL fits a target, and what blocks.

    All findings at once; nothing is written.
    """

    def call(_progress: Progress | None) -> Any:
        from norse_export import pipeline

        targets = tuple(dict.fromkeys(given["targets"]))
        loading, integers = options.load_choice(given), options.integer_choice(given)
        form = options.form_choice(given)
        return pipeline.check(model, targets, loading=loading, integers=integers, form=form)

    see = options.check_line(model, given) if given["quiet"] else "listed on standard output"
    return _request("check", call, given, see)


@program.command("inspect")
@options.file_argument("file")
@options.loading
@options.presentation
def inspect(file: Path, **given: Any) -> Request:
    """Show what is in FILE.

    Graph, dt, shapes, parameters and provenance of any file that is read or written here.
    """

    def call(_progress: Progress | None) -> Any:
        from norse_export import pipeline

        return pipeline.inspect(file, loading=options.load_choice(given))

    return _request("inspect", call, given, options.check_line(file, given))


@program.command("run")
@options.file_argument("file")
@click.option(
    "-o", "--out", type=values.file_name("-o"), metavar="TRACE", help="Write spikes and states as NIR graph data."
)
@click.option("--cycles", is_flag=True, help="Of an artefact of sim: count the cycles of the reference machine.")
@click.option(
    "--machine",
    type=values.file_name("--machine"),
    metavar="TOML",
    help="With --cycles: other parameters of the machine (docs/reference_machine.md).",
)
@options.inputs
@options.loading
@options.vendor
@options.force
@options.presentation
def run(file: Path, out: Path | None, cycles: bool, machine: Path | None, force: bool, **given: Any) -> Request:
    """Run FILE, and show what every layer did."""
    options.check_inputs(given)
    if machine is not None and not cycles:
        raise UsageError("--machine is of cycles, and none are counted", where="--machine", fix="add --cycles")
    vendor = options.vendor_choice(given)

    def call(progress: Progress | None) -> Any:
        from norse_export import pipeline

        inputs, loading = options.input_choice(given), options.load_choice(given)
        return pipeline.run(
            file,
            inputs=inputs,
            loading=loading,
            trace=out,
            count_cycles=cycles,
            machine=machine,
            vendor=vendor,
            force=force,
            progress=progress,
        )

    return _request("run", call, given, options.check_line(file, given))


@program.command("parity")
@options.file_argument("a")
@options.file_argument("b")
@options.inputs
@options.loading
@options.presentation
def parity(a: Path, b: Path, **given: Any) -> Request:
    """Compare A and B: models, artefacts or traces."""
    options.check_inputs(given)

    def call(progress: Progress | None) -> Any:
        from norse_export import pipeline

        inputs, loading = options.input_choice(given), options.load_choice(given)
        return pipeline.parity(a, b, inputs=inputs, loading=loading, progress=progress)

    return _request("parity", call, given, "run it again with -v")


@program.command("targets")
@options.presentation
def targets(**given: Any) -> Request:
    """List the targets, and what can run them here."""

    def call(_progress: Progress | None) -> Any:
        from norse_export import pipeline

        return pipeline.targets()

    return _request("targets", call, given, "run it again with -v")


@program.command("schema")
@options.presentation
def schema(**given: Any) -> Request:
    """Print the JSON schema of all --json output."""

    def call(_progress: Progress | None) -> Any:
        from norse_export.report.schema import schema as schema_of_all

        return schema_of_all()

    return _request("schema", call, given, "run it again with -v")


def _request(command: str, call: Callable[[Progress | None], Any], given: options.Given, see: str) -> Request:
    return Request(command, call, given["as_json"], given["quiet"], given["verbose"], see)
