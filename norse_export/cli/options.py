"""The options that several commands share, and what the pipeline is handed of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from norse_export.cli import values
from norse_export.errors import UsageError
from norse_export.files.limits import Limits
from norse_export.ir.step_words import CHOICES, FRAMEWORKS

if TYPE_CHECKING:
    from norse_export.pipeline import FormChoice, InputChoice, IntegerChoice, LoadChoice, VendorChoice

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]
Given = Mapping[str, Any]  # options as click gives them; None: not on the command line

_TIMES = ("auto", "outside", "inside")
_STEP_CHOICES = {
    "order": "Whether the membrane sees what arrives in its own step, or the current of the step before",
    "scheme": "How coefficients follow from time constants: dt/tau, or 1 - exp(-dt/tau)",
    "threshold": "Whether a neuron spikes above its threshold, or also at it",
    "reset": "What a spike leaves of the membrane: v_reset, 0, or v less the threshold",
}
_LOADED = ("dt", *_STEP_CHOICES, "framework", "factory", "input_shape", "time")
_LIMITS = ("max_bytes", "max_objects", "max_depth", "max_edges", "max_name_bytes")
_INTEGERS = ("weight_bits", "state_bits", "decay_bits", "precision", "chip", "calib")
_COUNTED_LIMITS = {
    "--max-objects": "objects in an input file",
    "--max-depth": "levels of nesting in an input file",
    "--max-edges": "edges in a graph",
    "--max-name-bytes": "bytes in a name",
}


def _option(name: str, convert: Callable[[str], Any], metavar: str, text: str) -> Decorator[Any]:
    return click.option(name, type=convert, metavar=metavar, help=text)


def _all(decorators: Sequence[Decorator[Any]]) -> Decorator[Any]:
    """One decorator that applies all; the options stand in the help in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _count_limit(name: str, counted: str) -> Decorator[Any]:
    default = getattr(Limits(), name[2:].replace("-", "_"))
    return _option(name, values.whole(name, default, minimum=1), "N", f"Refuse more {counted} (default {default}).")


def _step_choice(name: str, text: str) -> Decorator[Any]:
    words = CHOICES[name]
    return _option(f"--{name}", values.one_of(f"--{name}", words), "|".join(words), f"{text} (else {words[0]}).")


inputs = _all(
    [
        _option(
            "--inputs",
            values.file_name("--inputs"),
            "FILE",
            "Rasters [T, B, ...]: .npz (keys are the input nodes' names; optional labels), .npy, CSV, or those of a "
            "model file. Without it, and without --random: those stored in the model or artefact, else random ones.",
        ),
        _option("--random", values.whole("--random", 100, minimum=1), "T", "Random rasters of T steps."),
        _option(
            "--rate",
            values.positive("--rate", "0.1", at_most=1.0),
            "P",
            "With --random: the share of ones, in (0, 1] (default 0.1).",
        ),
        _option("--samples", values.whole("--samples", 8, minimum=1), "N", "Samples of random rasters (default 8)."),
        _option("--seed", values.whole("--seed", 0, minimum=0), "N", "Seed of random rasters (default 0)."),
    ]
)

loading = _all(
    [
        _option(
            "--dt",
            values.positive("--dt", "1e-3", unit=" (in seconds)"),
            "SECONDS",
            "Length of a step, where the file does not say it.",
        ),
        *(_step_choice(name, text) for name, text in _STEP_CHOICES.items()),
        click.option(
            "--as",
            "framework",
            type=values.one_of("--as", FRAMEWORKS),
            metavar="|".join(FRAMEWORKS),
            help="For a .nir file: read it as this framework does. It sets --dt and the four above, where the file and "
            "the command line do not, and takes the neurons' fields as its own importer takes them.",
        ),
        click.option(
            "--override",
            is_flag=True,
            help="Let --dt, and the choices above, replace what the file says; the provenance says so.",
        ),
        _option(
            "--factory",
            str,
            "MODULE:FUNCTION",
            "For a state_dict: a function of yours that makes the model. This runs your code.",
        ),
        _option(
            "--input-shape",
            values.shape("--input-shape", "3,28,28"),
            "3,28,28",
            "For a pickled model or a state_dict: the shape of one sample of one step.",
        ),
        _option(
            "--time",
            values.one_of("--time", _TIMES),
            "|".join(_TIMES),
            "Whether the model takes one step a call (outside) or a whole raster (inside) (default auto).",
        ),
        _option(
            "--max-bytes",
            values.size("--max-bytes", "4G"),
            "SIZE",
            "Refuse more bytes of tensors in a file (default 1G).",
        ),
        *(_count_limit(name, counted) for name, counted in _COUNTED_LIMITS.items()),
    ]
)

integers = _all(
    [
        _option(
            "--weight-bits",
            values.whole("--weight-bits", 8, minimum=1, maximum=16),
            "N",
            "For targets of integers: bits of a weight (default 8); 1 means -1 and +1.",
        ),
        click.option(
            "--bits",
            "layer_bits",
            type=values.layer_bits("--bits"),
            metavar="LAYER=N",
            multiple=True,
            help="Bits of the weights of one layer; repeat it for several.",
        ),
        _option(
            "--state-bits",
            values.whole("--state-bits", 24, minimum=4, maximum=32),
            "N",
            "Bits of a membrane or current (default 24).",
        ),
        _option(
            "--decay-bits",
            values.whole("--decay-bits", 12, minimum=1, maximum=16),
            "N",
            "Bits of a decay (default 12).",
        ),
        _option(
            "--precision",
            values.word("--precision"),
            "MODE",
            "How a target of several modes holds weights (loihi: even8, split, stacked).",
        ),
        _option(
            "--chip",
            values.word("--chip"),
            "NAME",
            "Which chip of a target that knows several (loihi: loihi2, loihi1; spinnaker: spinnaker1, spinnaker2).",
        ),
        click.option("--per-channel", is_flag=True, help="A scale for each output channel instead of each layer."),
        _option(
            "--calib",
            values.file_name("--calib"),
            "FILE",
            "Rasters on which the scales are chosen, as --inputs. Without it: those stored in the model.",
        ),
        click.option(
            "--search/--no-search",
            default=True,
            help="Choose the scales with the best spike parity (default), or let the largest weight decide.",
        ),
    ]
)

form = _all(
    [
        _option("--opset", values.whole("--opset", 18, minimum=1), "N", "Version of ONNX's operators (default 18)."),
        click.option("--fixed", is_flag=True, help="ONNX of whole numbers, bit for bit what sim computes."),
    ]
)

vendor = _all(
    [
        _option(
            "--vendor",
            values.word("--vendor"),
            "NAME",
            "Have the vendor's own software check the artefact, too (norse-export targets lists them).",
        ),
        _option(
            "--vendor-python",
            values.file_name("--vendor-python"),
            "FILE",
            "With --vendor: the Python that it is installed in.",
        ),
    ]
)

presentation = _all(
    [
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object (see norse-export schema)."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors (and what --json asks for)."),
        click.option("-v", "--verbose", is_flag=True, help="Print more: details, all findings, tracebacks of bugs."),
    ]
)

force = click.option(
    "--force", is_flag=True, help="Replace a file, or a folder of an earlier export, under the output's name."
)


def targets(*, required: bool, text: str) -> Decorator[Any]:
    """The repeatable option --target."""
    return click.option("--target", "targets", multiple=True, required=required, metavar="T", help=text)


def file_argument(name: str) -> Decorator[Any]:
    """A positional file, shown as the capitalised name."""
    return click.argument(name, type=values.file_name(name.upper()), metavar=name.upper())


def check_inputs(given: Given) -> None:
    """Refuse options of inputs that contradict each other.

    Raises:
        UsageError: rasters from a file and random ones; a rate or a number of samples for rasters that are not random.
    """
    if given["inputs"] is not None:
        for name in ("random", "rate", "samples"):
            if given[name] is not None:
                message = f"--inputs and --{name} contradict each other"
                raise UsageError(message, where=f"--{name}", fix=f"give either --inputs or --{name}")
    if given["rate"] is not None and given["random"] is None:
        message = "--rate is of random rasters, and none are asked for"
        raise UsageError(
            message, where="--rate", fix=f"add --random T, for example --random 100 --rate {given['rate']:g}"
        )


def input_choice(given: Given) -> InputChoice:
    """What the options say about the rasters."""
    from norse_export.pipeline import InputChoice

    names = {"inputs": "file", "random": "random_steps", "rate": "rate", "samples": "samples", "seed": "seed"}
    return InputChoice(**{field: given[name] for name, field in names.items() if given[name] is not None})


def integer_choice(given: Given) -> IntegerChoice:
    """What the options say about integers."""
    from norse_export.pipeline import IntegerChoice

    return IntegerChoice(
        weight_bits=given["weight_bits"],
        layer_bits=_once(given["layer_bits"]),
        state_bits=given["state_bits"],
        decay_bits=given["decay_bits"],
        per_channel=given["per_channel"],
        calibration=given["calib"],
        search=given["search"],
        precision=given["precision"],
        chip=given["chip"],
    )


def form_choice(given: Given) -> FormChoice:
    """What the options say about the form of an artefact."""
    from norse_export.pipeline import FormChoice

    return FormChoice(opset=given["opset"], fixed=given["fixed"])


def vendor_choice(given: Given) -> VendorChoice | None:
    """Whose software is to check the artefact; None: nobody's.

    Raises:
        UsageError: an interpreter for nobody's software.
    """
    from norse_export.pipeline import VendorChoice

    name, python = given["vendor"], given["vendor_python"]
    if name is None and python is not None:
        message = "--vendor-python is of a vendor's software, and none is asked for"
        raise UsageError(message, where="--vendor-python", fix="add --vendor NAME")
    return None if name is None else VendorChoice(name, python)


def _once(layer_bits: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The bits of each layer.

    Raises:
        UsageError: a layer is named twice.
    """
    found: dict[str, int] = {}
    for name, bits in layer_bits:
        if name in found:
            message = f"--bits is given twice for the layer {name!r}: {found[name]} and {bits}"
            raise UsageError(message, where="--bits", fix="give it once for each layer")
        found[name] = bits
    return found


def load_choice(given: Given) -> LoadChoice:
    """What the options say about the loading of files."""
    from norse_export.pipeline import LoadChoice

    limits = Limits(**{name: given[name] for name in _LIMITS if given[name] is not None})
    choices = {name: given[name] for name in _LOADED if given[name] is not None}
    return LoadChoice(override=given["override"], limits=limits, **choices)


def check_line(file: Path, given: Given) -> str:
    """The command line that lists every finding about a file, with the same choices of all that changes them."""
    words = ["norse-export", "check", str(file)]
    for target in given.get("targets", ()):
        words += ["--target", target]
    if given["framework"] is not None:
        words += ["--as", given["framework"]]
    for name in ("dt", *_STEP_CHOICES, "factory", "time", *_LIMITS, *_INTEGERS, "opset"):
        if given.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(given[name])]
    for layer, bits in given.get("layer_bits", ()):
        words += ["--bits", f"{layer}={bits}"]
    if given["input_shape"] is not None:
        words += ["--input-shape", ",".join(map(str, given["input_shape"]))]
    flags = {"--override": given["override"], "--per-channel": given.get("per_channel", False)}
    flags |= {"--no-search": not given.get("search", True), "--fixed": bool(given.get("fixed"))}
    return shlex.join([*words, *(flag for flag, is_given in flags.items() if is_given)])
