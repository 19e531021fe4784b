"""What the caller chooses: the rasters, and what an input file does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from norse_export.files.limits import Limits
from norse_export.ir.step_choice import StepChoice

Progress = Callable[[str, float], None]
SAVE = "save the model with norse_export.save(model, 'model.pt', example_input) in the script that trained it"


@dataclass(frozen=True, slots=True)
class InputChoice:
    """Rasters from a file, or random ones; neither: those stored in the model file, else random.

    random_steps: length T of random rasters. rate: chance of a spike in a cell. samples: batch size. seed: theirs.
    """

    file: Path | None = None
    random_steps: int | None = None
    rate: float = 0.1
    samples: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LoadChoice:
    """What the input file does not say.

    dt: step in seconds, for files that hold none; order, scheme, threshold, reset: how its physics becomes steps, in
    the words of `CHOICES` (ir/step_words.py); framework: the one whose reading of a .nir file is meant ("snntorch");
    override: let them contradict the file. factory: "module:function" that builds the model of a state_dict.
    input_shape: features of one sample of one step, and time, for models that are traced on loading (pickled modules
    and factories). limits: what the file may ask for.
    """

    dt: float | None = None
    order: str | None = None
    scheme: str | None = None
    threshold: str | None = None
    reset: str | None = None
    framework: str | None = None
    override: bool = False
    factory: str | None = None
    input_shape: tuple[int, ...] | None = None
    time: str = "auto"
    limits: Limits = field(default_factory=Limits)

    @property
    def steps(self) -> StepChoice:
        """What of it is about steps."""
        return StepChoice(**{name.name: getattr(self, name.name) for name in fields(StepChoice)})


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerChoice:
    """What a target of integers is asked for; None: the target's own choice.

    weight_bits: 2 to 16, or 1 for weights of -1 and +1. layer_bits: weight bits of single layers, by node name.
    state_bits, decay_bits: widths of the states and of the decays. per_channel: a scale for each output channel.
    calibration: a file of rasters on which the scales are chosen; None: the rasters stored in the model. search: look
    for the scale with the best spike parity, else take the largest weight for the largest number. precision, chip: a
    mode and a chip of a target that offers several.
    """

    weight_bits: int | None = None
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    state_bits: int | None = None
    decay_bits: int | None = None
    per_channel: bool = False
    calibration: Path | None = None
    search: bool = True
    precision: str | None = None
    chip: str | None = None


@dataclass(frozen=True, slots=True)
class FormChoice:
    """What a target that offers several forms is asked for.

    opset: version of ONNX's standard operators; None: the target's own choice. fixed: whole numbers, as sim computes.
    """

    opset: int | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class VendorChoice:
    """The vendor's own software that is to check an artefact; python: the interpreter that it is installed in."""

    name: str
    python: Path | None = None


def chosen_inputs(inputs: InputChoice | str | Path | None) -> InputChoice:
    """A choice from what a caller may pass: a choice, the path of a file of rasters, or nothing."""
    if inputs is None or isinstance(inputs, InputChoice):
        return inputs or InputChoice()
    return InputChoice(file=Path(inputs))


def silent(stage: str, fraction: float) -> None:
    """A progress callback that shows nothing."""
