"""The JSON schema of what every command prints with --json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from norse_export.report.document import SCHEMA_VERSION

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXIT_CODES = (0, 1, 2, 3, 4, 5, 70, 130, 143)


def schema() -> Schema:
    """One schema for all commands: the outer object is the same, and `command` says what `result` holds.

    `result` is complete when the status is ok; a failed command gives what it had, or an empty object.
    """
    return {
        "$schema": DIALECT,
        "title": "What norse-export prints with --json",
        **_record(
            {
                "schema": {"const": SCHEMA_VERSION},
                "command": {"enum": list(_RESULTS)},
                "status": {"enum": ["ok", "failed"]},
                "exit_code": {"enum": list(EXIT_CODES)},
                "result": {"type": "object"},
                "findings": _list(_reference("finding")),
            }
        ),
        "allOf": [
            _when({"status": {"const": "ok"}}, {"exit_code": {"const": 0}}, {"exit_code": {"not": {"const": 0}}}),
            *(_result_of(command) for command in _RESULTS),
        ],
        "$defs": {**_PARTS, **_RESULTS},
    }


def _when(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    rule: Schema = {"if": {"properties": condition}, "then": {"properties": then}}
    return rule if otherwise is None else {**rule, "else": {"properties": otherwise}}


def _result_of(command: str) -> Schema:
    whole = {"result": _reference(command)}
    partial = {"result": {"anyOf": [_reference(command), {"type": "object", "maxProperties": 0}]}}
    by_status = _when({"status": {"const": "ok"}}, whole, partial)
    return {"if": {"properties": {"command": {"const": command}}}, "then": by_status}


def _record(properties: Mapping[str, Schema]) -> Schema:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _tuple(items: Schema, length: int) -> Schema:
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


_TEXT: Schema = {"type": "string"}
_WORDS: Schema = {"type": "string", "minLength": 1}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_SHAPE: Schema = _list(_COUNT)

_PARTS: dict[str, Schema] = {
    "finding": _record(
        {
            "kind": _WORDS,
            "severity": {"enum": ["error", "warning", "note"]},
            "where": _WORDS,
            "message": _WORDS,
            "fix": _WORDS,
        }
    ),
    "artefact": _record({"path": _WORDS, "sha256": _SHA256, "bytes": _COUNT}),
    "inputs": _record({"origin": _WORDS, "steps": _COUNT, "samples": _COUNT}),
    "divergence": _record(
        {
            "node": _TEXT,
            "step": _COUNT,
            "sample": _COUNT,
            "index": _list(_COUNT),
            "quantity": _WORDS,
            "expected": _or_null(_NUMBER),
            "actual": _or_null(_NUMBER),
        }
    ),
    "layer_parity": _record(
        {
            "node": _TEXT,
            "spikes_expected": _COUNT,
            "spikes_actual": _COUNT,
            "differing": _COUNT,  # cells; equal is: all of them are explained or consequences
            "explained": _COUNT,
            "consequences": _COUNT,
            "jaccard": _or_null(_SHARE),
            "van_rossum": _or_null(_NUMBER),
            "victor_purpura": _or_null(_NUMBER),
            "states_equal": _or_null(_FLAG),
            "states_max_abs": _or_null(_NUMBER),
        }
    ),
    "comparison": _record(
        {
            "reference": _WORDS,
            "actual": _WORDS,
            "rung": _or_null(_COUNT),  # null: a recorded trace whose origin is not known
            "steps": _COUNT,
            "samples": _COUNT,
            "equal": _FLAG,
            "vacuous": _FLAG,
            "first_divergence": _or_null(_reference("divergence")),
            "layers": _list(_reference("layer_parity")),
            "skew_steps": {"type": "integer"},
            "explained_flips": _COUNT,
            "allowed_flips": _COUNT,
            "decisions_equal": _or_null(_tuple(_COUNT, 2)),
            "accuracy": _or_null(_tuple(_SHARE, 2)),
        }
    ),
}

_PARTS |= {
    "weight_price": _record(
        {
            "name": _WORDS,
            "bits": _COUNT,
            "exponent": {"type": "integer"},
            "scale": _tuple(_NUMBER, 2),  # least and greatest over the channels
            "weights": _COUNT,
            "nonzero": _COUNT,
            "error_max": _NUMBER,  # in scales
            "error_rms": _NUMBER,  # relative to the rms of the weights
            "clipped": _COUNT,
            "zeroed": _COUNT,
        }
    ),
    "price": _record(
        {
            "node": _TEXT,
            "family": _WORDS,
            "neurons": _COUNT,
            "projections": _list(_reference("weight_price")),
            "shift": {"type": "integer"},
            "bits_needed": _or_null(_COUNT),  # null: nothing bounds the states
            "bits_available": _COUNT,
            "proven": _FLAG,
            "cells": _or_null(_COUNT),  # null, and all below: not measured
            "spikes_before": _or_null(_COUNT),
            "spikes_after": _or_null(_COUNT),
            "differing": _or_null(_COUNT),
            "jaccard": _or_null(_SHARE),
            "first_divergence": _or_null(_record({"step": _COUNT, "sample": _COUNT, "index": _list(_COUNT)})),
            "value_error": _or_null(_NUMBER),
        }
    ),
    "activity": _record(
        {
            "spikes": _COUNT,
            "synaptic_operations": _COUNT,
            "neuron_updates": _COUNT,
            "overflows": _COUNT,  # values that a state's width changed
            "saturated": _COUNT,  # sums that a port's width changed
            "footprint_bytes": _COUNT,
            "activation_sparsity": _or_null(_SHARE),
            "cycles": _or_null({"type": "object"}),  # null: not asked for
        }
    ),
}

_PARTS |= {
    "vendor_check": _record(
        {
            "target": _WORDS,
            "vendor": _WORDS,
            "version": _TEXT,
            "equal": _FLAG,
            "compared": _map(_record({"total": _COUNT, "differing": _COUNT})),
            "figures": _map({"type": ["number", "string", "null"]}),
            "parity": _or_null(_reference("comparison")),  # null: the vendor has no simulator
            "findings": _list(_reference("finding")),
        }
    ),
}

_RESULTS: dict[str, Schema] = {
    "export": _record(
        {
            "model": _WORDS,
            "inputs": _or_null(_reference("inputs")),
            "targets": _list(
                _record(
                    {
                        "target": _WORDS,
                        "exit_code": {"enum": list(EXIT_CODES)},
                        "verified": _FLAG,
                        "artefact": _or_null(_reference("artefact")),
                        "parity": _list(_COUNT),  # positions in result.parity
                        "prices": _list(_reference("price")),  # of whole numbers
                        "findings": _list(_reference("finding")),
                    }
                )
            ),
            "parity": _list(_reference("comparison")),
            "vendor": _list(_reference("vendor_check")),
            "artefacts": _list(_reference("artefact")),
        }
    ),
    "check": _record(
        {
            "model": _WORDS,
            "targets": _list(
                _record(
                    {
                        "target": _WORDS,
                        "fits": _FLAG,
                        "findings": _list(_reference("finding")),
                        "limits": _list(
                            _record(
                                {"name": _WORDS, "used": _or_null(_NUMBER), "max": _or_null(_NUMBER), "source": _WORDS}
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "inspect": _record(
        {
            "file": _WORDS,
            "kind": _WORDS,
            "sha256": _SHA256,
            "bytes": _COUNT,
            "nodes": _list(
                _record(
                    {
                        "name": _TEXT,
                        "type": _WORDS,
                        "input_shape": _or_null(_SHAPE),  # null: the file does not say it
                        "output_shape": _or_null(_SHAPE),
                        "parameters": _COUNT,
                        "dt": _or_null(_NUMBER),
                        "details": _map(_TEXT),
                    }
                )
            ),
            "edges": _list(_record({"source": _TEXT, "target": _TEXT, "port": _TEXT, "delay_steps": _COUNT})),
            "dt": _list(_NUMBER),
            "provenance": _map(_TEXT),
        }
    ),
    "run": _record(
        {
            "file": _WORDS,
            "ran_by": _WORDS,
            "law": _WORDS,
            "inputs": _reference("inputs"),
            "layers": _list(
                _record(
                    {
                        "node": _TEXT,
                        "neurons": _COUNT,
                        "spikes": _or_null(_COUNT),
                        "rate": _or_null(_NUMBER),
                        "states": _map(_tuple(_or_null(_NUMBER), 2)),
                    }
                )
            ),
            "accuracy": _or_null(_SHARE),
            "activity": _or_null(_reference("activity")),  # null: a run of floats, or by a chip's emulation
            "vendor": _list(_reference("vendor_check")),
            "artefacts": _list(_reference("artefact")),
        }
    ),
    "parity": _record(
        {
            "a": _WORDS,
            "b": _WORDS,
            "inputs": _or_null(_reference("inputs")),
            "parity": _list(_reference("comparison")),
            "artefacts": _list(_reference("artefact")),
        }
    ),
    "targets": _record(
        {
            "targets": _list(
                _record(
                    {
                        "name": _WORDS,
                        "stage": _WORDS,
                        "description": _WORDS,
                        "runners": _list(_WORDS),
                        "origin": _WORDS,
                        "vendors": _list(_WORDS),
                    }
                )
            )
        }
    ),
    "schema": _record({"json_schema": {"type": "object"}}),
}
