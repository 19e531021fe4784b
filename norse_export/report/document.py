"""Results as one JSON object for programs; `norse-export schema` prints what it looks like."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from norse_export.report.outcome import error_of, findings_of
from norse_export.report.prices import price_document

if TYPE_CHECKING:
    from norse_export.compare import Comparison, LayerParity
    from norse_export.errors import Finding
    from norse_export.report.results import (
        Artefact,
        CheckResult,
        ExportResult,
        InspectResult,
        ParityResult,
        RunResult,
        TargetExport,
        TargetSummary,
        VendorCheck,
    )

SCHEMA_VERSION = 1
Document = dict[str, Any]


def document_of(command: str, result: Any) -> Document:
    """The whole object for a command that gave a result, be it of a failure."""
    error = error_of(command, result)
    code = 0 if error is None else error.exit_code
    return envelope(command, code, _RESULTS[command](result), findings_of(command, result))


def envelope(command: str, exit_code: int, result: Document, findings: Iterable[Finding]) -> Document:
    """The outer object; `result` is empty where a command failed before it had any."""
    return {
        "schema": SCHEMA_VERSION,
        "command": command,
        "status": "failed" if exit_code else "ok",
        "exit_code": exit_code,
        "result": result,
        "findings": _findings(findings),
    }


def encoded(document: Mapping[str, Any]) -> str:
    """The object as text in ASCII: finite numbers only (others become null), valid Unicode only, keys in our order."""
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Only what JSON has: dictionaries, lists, text, numbers, booleans, null."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")  # file names may be no Unicode
        case Mapping():
            return {_plain(str(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a scalar of numpy
        return _plain(value.item())
    raise TypeError(f"not a value for JSON: {type(value).__name__}")


def _findings(findings: Iterable[Finding]) -> list[Document]:
    return [_fields(finding) for finding in findings]


def _export(result: ExportResult) -> Document:
    comparisons = [comparison for target in result.targets for comparison in target.parity]
    starts = [sum(len(before.parity) for before in result.targets[:number]) for number in range(len(result.targets))]
    return {
        "model": result.model,
        "inputs": _inputs(result.inputs),
        "targets": [_target_export(target, start) for target, start in zip(result.targets, starts, strict=True)],
        "parity": [_comparison(comparison) for comparison in comparisons],
        "vendor": [_vendor(check) for target in result.targets for check in target.vendor],
        "artefacts": [_artefact(target.artefact) for target in result.targets if target.artefact is not None],
    }


def _target_export(target: TargetExport, start: int) -> Document:
    """`parity` are positions in the list of the whole result."""
    findings = (*(() if target.error is None else target.error.findings), *target.findings)
    return {
        "target": target.target,
        "exit_code": 0 if target.error is None else target.error.exit_code,
        "verified": target.verified,
        "artefact": None if target.artefact is None else _artefact(target.artefact),
        "parity": list(range(start, start + len(target.parity))),
        "prices": [price_document(cost) for cost in target.prices],
        "findings": _findings(dict.fromkeys(findings)),
    }


def _check(result: CheckResult) -> Document:
    return {
        "model": result.model,
        "targets": [
            {
                "target": target.target,
                "fits": target.fits,
                "findings": _findings((*(() if target.error is None else target.error.findings), *target.findings)),
                "limits": [
                    {"name": limit.name, "used": limit.used, "max": limit.maximum, "source": limit.source}
                    for limit in target.limits
                ],
            }
            for target in result.targets
        ],
        "takers": result.takers,
    }


def _inspect(result: InspectResult) -> Document:
    return {
        "file": result.file,
        "kind": result.kind,
        "sha256": result.sha256,
        "bytes": result.bytes,
        "nodes": [_fields(node) for node in result.nodes],
        "edges": [_fields(edge) for edge in result.edges],
        "dt": result.dt,
        "provenance": result.provenance,
    }


def _run(result: RunResult) -> Document:
    return {
        "file": result.file,
        "ran_by": result.ran_by,
        "law": result.law,
        "inputs": _inputs(result.inputs),
        "layers": [_fields(layer) for layer in result.layers],
        "accuracy": result.accuracy,
        "activity": None if result.activity is None else _fields(result.activity),
        "vendor": [_vendor(check) for check in result.vendor],
        "artefacts": [] if result.trace is None else [_artefact(result.trace)],
    }


def _parity(result: ParityResult) -> Document:
    return {
        "a": result.a,
        "b": result.b,
        "inputs": _inputs(result.inputs),
        "parity": [_comparison(comparison) for comparison in result.parity],
        "artefacts": [],
    }


def _targets(result: tuple[TargetSummary, ...]) -> Document:
    return {"targets": [_fields(target) for target in result]}


def _schema(result: Mapping[str, Any]) -> Document:
    return {"json_schema": result}


def _fields(record: Any) -> Document:
    """The fields of a dataclass in their order; not copied, for some of them are read-only mappings."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _inputs(inputs: Any) -> Document | None:
    return None if inputs is None else _fields(inputs)


def _artefact(artefact: Artefact) -> Document:
    return {"path": artefact.path, "sha256": artefact.sha256, "bytes": artefact.bytes}


def _vendor(check: VendorCheck) -> Document:
    return {
        "target": check.target,
        "vendor": check.vendor,
        "version": check.version,
        "equal": check.equal,
        "compared": {kind: _fields(counts) for kind, counts in check.compared.items()},
        "figures": check.figures,
        "parity": None if check.parity is None else _comparison(check.parity),
        "findings": _findings(check.findings),
    }


def _comparison(comparison: Comparison) -> Document:
    first = comparison.first_divergence
    return {
        "reference": comparison.reference,
        "actual": comparison.actual,
        "rung": comparison.rung,
        "steps": comparison.steps,
        "samples": comparison.samples,
        "equal": comparison.equal,
        "vacuous": comparison.vacuous,
        "first_divergence": None if first is None else _fields(first),
        "layers": [_layer(layer) for layer in comparison.layers],
        "skew_steps": comparison.skew_steps,
        "explained_flips": comparison.explained_flips,
        "allowed_flips": comparison.allowed_flips,
        "decisions_equal": comparison.decisions_equal,
        "accuracy": comparison.accuracy,
    }


def _layer(layer: LayerParity) -> Document:
    return {
        "node": layer.node,
        "spikes_expected": layer.spikes_expected,
        "spikes_actual": layer.spikes_actual,
        "differing": layer.differing,
        "explained": layer.explained,
        "consequences": layer.consequences,
        "jaccard": layer.jaccard,
        "van_rossum": layer.van_rossum,
        "victor_purpura": layer.victor_purpura,
        "states_equal": layer.states_equal,
        "states_max_abs": layer.states_max_abs,
        "values_max_abs": layer.values_max_abs,
        "values_mean_abs": layer.values_mean_abs,
    }


_RESULTS: Mapping[str, Callable[[Any], Document]] = {
    "export": _export,
    "check": _check,
    "inspect": _inspect,
    "run": _run,
    "parity": _parity,
    "targets": _targets,
    "schema": _schema,
}
