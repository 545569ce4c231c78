"""Amounts as documents and back: vectors, what runs were allotted and used, and why a job got what it got.

A sizing leaves out what there is nothing to say of, so that a job of which nothing is known carries little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from app.domain.job import Attempt
from app.domain.resources import Vector
from app.domain.sizing.evidence import Alternative, Sizing
from app.domain.sizing.features import Features
from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import Prior

Document = dict[str, Any]
_PLAIN = ("group", "runs", "last_run_at", "quantile", "margin")


def vector_document(vector: Vector) -> Document:
    cpu, memory, gpu, storage = vector.parts()
    return {"cpu_millicores": cpu, "memory_mib": memory, "gpu": gpu, "storage_gib": storage}


def vector_from(document: Mapping[str, Any]) -> Vector:
    return Vector(document["cpu_millicores"], document["memory_mib"], document["gpu"], document["storage_gib"])


def attempt_document(a: Attempt) -> Document:
    return {
        "attempt": a.attempt,
        "run_no": a.run_no,
        "node_id": a.node_id,
        "started_at": a.started_at,
        "finished_at": a.finished_at,
        "outcome": a.outcome,
        "peak_memory_mib": a.peak_memory_mib,
        "cpu_seconds": a.cpu_seconds,
        "asked": None if a.asked is None else vector_document(a.asked),
    }


def attempt_from(d: Mapping[str, Any]) -> Attempt:
    """One that was stored before there was an `asked` has none."""
    asked = d.get("asked")
    return Attempt(**{**d, "asked": None if asked is None else vector_from(asked)})


@lru_cache(maxsize=1_024)
def sizing_document(sizing: Sizing) -> Document:
    """Remembered, since equal jobs of one kind have the same. Nobody changes it."""
    found: Document = {"source": sizing.source, "resources": vector_document(sizing.resources)}
    found |= {name: value for name in _PLAIN if (value := getattr(sizing, name))}
    if sizing.suggestion is not None:
        found["suggestion"] = vector_document(sizing.suggestion)
    if sizing.features is not None:
        found["features"] = sizing.features.parts()
    if sizing.prior is not None:
        found["prior"] = asdict(sizing.prior)
    if sizing.outcome is not None:
        found["outcome"] = asdict(sizing.outcome)
    if sizing.alternatives:
        found["alternatives"] = [_alternative_document(a) for a in sizing.alternatives]
    return found


def sizing_from(d: Mapping[str, Any]) -> Sizing:
    """The sizing of a document. Raises KeyError or TypeError for one that is none."""
    suggestion, features, prior, outcome = (d.get(name) for name in ("suggestion", "features", "prior", "outcome"))
    return Sizing(
        source=d["source"],
        resources=vector_from(d["resources"]),
        suggestion=None if suggestion is None else vector_from(suggestion),
        features=None if features is None else Features.from_parts(features),
        prior=None if prior is None else Prior(**prior),
        outcome=None if outcome is None else Outcome(**outcome),
        alternatives=tuple(
            Alternative(vector_from(a["resources"]), a["oom_risk"]) for a in d.get("alternatives") or ()
        ),
        **{name: d[name] for name in _PLAIN if name in d},
    )


def _alternative_document(alternative: Alternative) -> Document:
    return {"resources": vector_document(alternative.resources), "oom_risk": alternative.oom_risk}
