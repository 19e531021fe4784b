"""Runs what was written: the Scan model whole and with probes, the model of one step once a step. All must agree.

onnxruntime runs both; where it is not installed, onnx's own reference evaluator runs small models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import MissingDependencyError, ParityError, TargetUnavailableError
from norse_export.formats.onnx.evaluator import Session, reference_session, version
from norse_export.formats.onnx.files import SCAN, STEP
from norse_export.formats.onnx.probes import probed
from norse_export.formats.onnx.step import StepGraph
from norse_export.ir.run import Run

Array = NDArray[Any]
MAX_REFERENCE_OPERATIONS = 2e8  # multiplications of a run that the reference evaluator is still asked for: a minute
_INSTALL = "pip install 'norse-export[onnx]'"


@dataclass(frozen=True, slots=True)
class Runner:
    """What executes models here: `open(model, folder)` gives a session; a model is a path, or the bytes of one."""

    name: str
    open: Callable[[Path | bytes, Path], Session]


def installed() -> bool:
    """Whether onnxruntime is there."""
    return find_spec("onnxruntime") is not None


def runner_for(operations: float) -> Runner:
    """onnxruntime, or for a run of so many multiplications the reference evaluator.

    Raises:
        MissingDependencyError: onnxruntime is not installed, and the run is too long for the evaluator.
    """
    if installed():
        import onnxruntime

        return Runner(f"onnxruntime {onnxruntime.__version__}", _onnxruntime)
    if operations > MAX_REFERENCE_OPERATIONS:
        message = f"onnxruntime is not installed, and onnx's own evaluator would take long: {operations:.1g} products"
        raise MissingDependencyError(message, where="--target onnx", fix=_INSTALL)
    return Runner(f"onnx {version()} reference evaluator", reference_session)


def run_models(path: Path, step: StepGraph, inputs: Mapping[str, Array], runner: Runner, *, states: bool) -> Run:
    """Run a folder of both models, or a Scan model alone, on rasters [T, B, *shape] in the model's float type.

    Raises:
        ParityError: the models do not give the same bits. TargetUnavailableError: the runtime lacks an operator.
    """
    scan = path / SCAN if path.is_dir() else path
    instrumented = probed(scan, step, states=states)
    names = [*step.outputs, *(state.before for state in step.states)]
    outputs = [*names, *instrumented.outputs.values()]
    given = dict(zip(outputs, runner.open(instrumented.model, scan.parent)(outputs, inputs), strict=True))
    plain = dict(zip(names, runner.open(scan, scan.parent)(names, inputs), strict=True))
    _require_same(given, plain, names, scan.name)
    if path.is_dir():
        stepped = _stepped(runner.open(path / STEP, path), step, inputs)
        _require_same(given, stepped, names, STEP)
    probes = {value: given[name] for value, name in instrumented.outputs.items()}
    finals: dict[str, dict[str, Array]] = {name: {} for name in step.populations}
    observed: dict[str, dict[str, Array]] = {}
    for state in step.states:
        if state.of is not None:
            population, variable = state.of
            finals[population][variable] = given[state.before]
            if states:
                observed.setdefault(population, {})[variable] = probes[state.after]
    for (population, name), value in step.observed.items() if states else ():
        observed.setdefault(population, {})[name] = probes[value]
    return Run(
        spikes={
            name: probes[value].astype(np.int32) if name in step.graded else probes[value] != 0
            for name, value in step.spiking.items()
        },
        outputs={name: given[name] for name in step.outputs},
        ran_by=f"{runner.name} ({step.dtype})",
        observables=observed,
        final_state=finals,
    )


def _stepped(session: Session, step: StepGraph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The model of one step, called once a step: outputs [T, B, *shape], and the states after the last step."""
    steps, samples = next(iter(inputs.values())).shape[:2]
    carried = {
        state.before: np.ascontiguousarray(np.broadcast_to(state.initial, (samples, *state.shape)))
        for state in step.states
    }
    names = [*step.outputs, *(state.after for state in step.states)]
    sent: dict[str, list[Array]] = {name: [] for name in step.outputs}
    for t in range(steps):
        given = session(names, {**{name: raster[t] for name, raster in inputs.items()}, **carried})
        for name, value in zip(step.outputs, given, strict=False):
            sent[name].append(value)
        carried = dict(zip(carried, given[len(sent) :], strict=True))
    return {**{name: np.stack(values) for name, values in sent.items()}, **carried}


def _require_same(a: Mapping[str, Array], b: Mapping[str, Array], names: Sequence[str], where: str) -> None:
    for name in names:
        if not np.array_equal(a[name], b[name], equal_nan=True):
            differing = int(np.sum(~((a[name] == b[name]) | (np.isnan(a[name]) & np.isnan(b[name])))))
            message = f"{name!r}: {differing} values are not those of {SCAN} with probes, bit for bit"
            raise ParityError(message, where=where, fix="report it, with the model: the two forms are one step")


def _onnxruntime(model: Path | bytes, folder: Path) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums in one order, however many cores there are
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the operators as written
    options.log_severity_level = 3
    given: Any = model if isinstance(model, bytes) else str(model)
    if isinstance(model, bytes):
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of pybind, of a class of its own for each status
        text = " ".join(str(error).split())
        message = f"onnxruntime {onnxruntime.__version__} cannot load the model: {text[:300]}"
        fix = "try another --opset, or another version of onnxruntime"
        raise TargetUnavailableError(message, where="--target onnx", fix=fix) from None
    return lambda names, feeds: [np.asarray(value) for value in session.run(list(names), dict(feeds))]
