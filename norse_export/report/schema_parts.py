"""What the JSON schemas of several commands share: how they are put together, and what they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def record(properties: Mapping[str, Schema]) -> Schema:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def sequence(items: Schema) -> Schema:
    """A list of any length."""
    return {"type": "array", "items": items}


def row(items: Schema, length: int) -> Schema:
    """A list of this length."""
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}


def mapping(values: Schema) -> Schema:
    """An object of any keys."""
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def reference(name: str) -> Schema:
    """A definition of the schema, by name."""
    return {"$ref": f"#/$defs/{name}"}


TEXT: Schema = {"type": "string"}
WORDS: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SHAPE: Schema = sequence(COUNT)

PARTS: dict[str, Schema] = {
    "finding": record(
        {
            "kind": WORDS,
            "severity": {"enum": ["error", "warning", "note"]},
            "where": WORDS,
            "message": WORDS,
            "fix": WORDS,
        }
    ),
    "artefact": record({"path": WORDS, "sha256": SHA256, "bytes": COUNT}),
    "inputs": record({"origin": WORDS, "steps": COUNT, "samples": COUNT}),
    "divergence": record(
        {
            "node": TEXT,
            "step": COUNT,
            "sample": COUNT,
            "index": sequence(COUNT),
            "quantity": WORDS,
            "expected": or_null(NUMBER),
            "actual": or_null(NUMBER),
        }
    ),
    "layer_parity": record(
        {
            "node": TEXT,
            "spikes_expected": COUNT,
            "spikes_actual": COUNT,
            "differing": COUNT,  # cells; equal is: all of them are explained or consequences
            "explained": COUNT,
            "consequences": COUNT,
            "jaccard": or_null(SHARE),
            "van_rossum": or_null(NUMBER),
            "victor_purpura": or_null(NUMBER),
            "states_equal": or_null(FLAG),
            "states_max_abs": or_null(NUMBER),
            "values_max_abs": or_null(NUMBER),  # null: a layer that spikes; in the model's units
            "values_mean_abs": or_null(NUMBER),
        }
    ),
    "comparison": record(
        {
            "reference": WORDS,
            "actual": WORDS,
            "rung": or_null(COUNT),  # null: a recorded trace whose origin is not known
            "steps": COUNT,
            "samples": COUNT,
            "equal": FLAG,
            "vacuous": FLAG,
            "first_divergence": or_null(reference("divergence")),
            "layers": sequence(reference("layer_parity")),
            "skew_steps": {"type": "integer"},
            "explained_flips": COUNT,
            "allowed_flips": COUNT,
            "decisions_equal": or_null(row(COUNT, 2)),
            "accuracy": or_null(row(SHARE, 2)),
        }
    ),
}

PARTS |= {
    "weight_price": record(
        {
            "name": WORDS,
            "bits": COUNT,
            "exponent": {"type": "integer"},
            "scale": row(NUMBER, 2),  # least and greatest over the channels
            "weights": COUNT,
            "nonzero": COUNT,
            "error_max": NUMBER,  # in scales
            "error_rms": NUMBER,  # relative to the rms of the weights
            "clipped": COUNT,
            "zeroed": COUNT,
            "layers": sequence(TEXT),  # of the model, composed in it
            "outlier": NUMBER,  # the largest weight, relative to that which 99 % are smaller than
        }
    ),
    "price": record(
        {
            "node": TEXT,
            "family": WORDS,
            "neurons": COUNT,
            "projections": sequence(reference("weight_price")),
            "shift": {"type": "integer"},
            "bits_needed": or_null(COUNT),  # null: nothing bounds the states
            "bits_available": COUNT,
            "proven": FLAG,
            "cells": or_null(COUNT),  # null, and all below: not measured
            "spikes_before": or_null(COUNT),
            "spikes_after": or_null(COUNT),
            "differing": or_null(COUNT),
            "jaccard": or_null(SHARE),
            "first_divergence": or_null(record({"step": COUNT, "sample": COUNT, "index": sequence(COUNT)})),
            "value_error": or_null(NUMBER),  # rms of the error, relative to that of the values
            "value_max_abs": or_null(NUMBER),  # in the model's units
            "value_mean_abs": or_null(NUMBER),
            "overflows": or_null(COUNT),  # values that the states' width changed; null: not counted
            "measured_on": or_null(TEXT),
        }
    ),
    "activity": record(
        {
            "spikes": COUNT,
            "synaptic_operations": COUNT,
            "neuron_updates": COUNT,
            "overflows": COUNT,  # values that a state's width changed
            "saturated": COUNT,  # sums that a port's width changed
            "footprint_bytes": COUNT,
            "activation_sparsity": or_null(SHARE),
            "cycles": or_null({"type": "object"}),  # null: not asked for
        }
    ),
}

PARTS |= {
    "vendor_check": record(
        {
            "target": WORDS,
            "vendor": WORDS,
            "version": TEXT,
            "equal": FLAG,
            "compared": mapping(record({"total": COUNT, "differing": COUNT})),
            "figures": mapping({"type": ["number", "string", "null"]}),
            "parity": or_null(reference("comparison")),  # null: the vendor has no simulator
            "findings": sequence(reference("finding")),
        }
    ),
}
