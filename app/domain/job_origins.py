"""Where each value of a job comes from: the request, a manual retry, a layer of its template, a setting, the service.

A job remembers which paths a user gave; everything else is its template's at the pinned version, or what fills the
gaps. Memory and cores that nobody asked for may be sized by what runs used; memory may have grown after
`out_of_memory`, which is the service's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from app.domain.job import Job
from app.domain.json import Json, json_leaves
from app.domain.origins import Hidden, Origin, Source, step_facts
from app.domain.resources import Vector
from app.domain.retry import RetryPolicy
from app.domain.sizing.evidence import HISTORY, PRIOR
from app.domain.specification import SIZED
from app.domain.states import JobStatus

MEMORY = "resources.memory_gb"
_IN_TEMPLATE = {"parameters": "default_parameters", "resources": "resource_requirements"}
_SETTINGS = {"retry_policy.max_attempts": "RETRY_ATTEMPTS", "timeout": "JOB_TIMEOUT"}


def job_origins(job: Job, template: Sequence[Origin]) -> list[Origin]:
    """The origin of every value that the job was resolved to. `template`: the origins of its template's version."""
    below = {origin.path: origin for origin in template}
    given = {path: asked.seq for asked in job.asked for path in asked.paths}
    own = dict.fromkeys(_sized(job), Source.SIZING)
    if _has_grown(job, given.get(MEMORY, 0)):
        own[MEMORY] = Source.SERVICE
        given.pop(MEMORY, None)
    return [
        _origin(path, value, given.get(path), own.get(path), below.get(_in_template(path)))
        for path, value in _values(job)
    ]


def _sized(job: Job) -> list[str]:
    """What was fitted to runs like the job, or to what it computes, since nobody asked for an amount."""
    sized = job.sizing is not None and job.sizing.source in {HISTORY, PRIOR}
    return [f"resources.{dimension}" for dimension in SIZED] if sized else []


def _has_grown(job: Job, since: int) -> bool:
    """Whether a run that ended for its memory was followed by one with more, after this entry of the history."""
    ended = (e for e in job.history if e.reason == "out_of_memory" and e.seq > since)
    return job.retry_policy.memory_growth > 1 and any(e.to is not JobStatus.FAILED for e in ended)


def _values(job: Job) -> Iterator[tuple[str, Json]]:
    yield "name", job.name
    yield from ((".".join(("parameters", *place)), value) for place, value in json_leaves(job.parameters))
    yield from ((f"resources.{name}", amount) for name, amount in job.resources.units().items())
    for each in fields(RetryPolicy):
        value = getattr(job.retry_policy, each.name)
        yield f"retry_policy.{each.name}", list(value) if isinstance(value, tuple) else value
    yield "timeout", job.timeout
    yield "executor", job.executor
    yield "limits", list(job.limits)
    yield "execution_steps", [step_facts(step) for step in job.steps]


def _in_template(path: str) -> str:
    section, dot, rest = path.partition(".")
    return f"{_IN_TEMPLATE.get(section, section)}{dot}{rest}"


def _origin(path: str, value: Json, seq: int | None, own: Source | None, below: Origin | None) -> Origin:
    said = below if below is not None and (below.source is not Source.DEFAULT or below.value is not None) else None
    if seq is None and own is None and said is not None and _is_as_said(path, value, said.value):
        return Origin(path, value, said.source, said.layer, said.step, hidden=said.hidden)
    hidden = () if said is None or said.layer is None else (Hidden(said.layer, said.value), *said.hidden)
    if seq is not None:
        return Origin(path, value, Source.REQUEST if seq == 1 else Source.RETRY, seq=seq, hidden=hidden)
    if own is not None:
        return Origin(path, value, own, hidden=hidden)
    if said is None and path in _SETTINGS:
        return Origin(path, value, Source.SETTING, setting=_SETTINGS[path])
    return Origin(path, value, _of_unasked(path, said), hidden=hidden)


def _is_as_said(path: str, value: Json, said: Json) -> bool:
    """Whether the job has what its template says; amounts are rounded, and time limits of steps filled in."""
    section, _, name = path.partition(".")
    if section == "resources":
        return bool(Vector.from_units({name: said}).units()[name] == value)
    return section == "execution_steps" or bool(value == said)


def _of_unasked(path: str, said: Origin | None) -> Source:
    """A value that no user is known to have given, and no template says like this."""
    if path.startswith("parameters."):
        return Source.REQUEST
    if path == "name" or said is not None:
        return Source.SERVICE
    return Source.DEFAULT
