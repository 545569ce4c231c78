"""A batch as it was asked for, what is wrong with it as a whole, and which of its jobs may be queued at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.domain.batches import MAX_JOBS, ExecutionMode
from app.domain.errors import FieldError
from app.domain.json import Json, unsafe_places
from app.domain.priority import RANK
from app.domain.request_checks import MAX_NAME, is_name
from app.domain.specification import DEFAULT_TENANT, JobRequest, Specification

MAX_URL = 2_000


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch as it was asked for; None and empty mean: not said."""

    jobs: Sequence[JobRequest]
    mode: ExecutionMode = ExecutionMode.PARALLEL
    max_parallel: int | None = None
    fail_fast: bool = False
    name: str | None = None
    callback_url: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = DEFAULT_TENANT


def size_errors(jobs: int) -> Iterator[FieldError]:
    """What is wrong with so many jobs."""
    if not 1 <= jobs <= MAX_JOBS:
        remedy = "; send several batches" if jobs else ""
        yield FieldError("jobs", f"must hold 1 to {MAX_JOBS:,} jobs, not {jobs:,}{remedy}")


def batch_errors(request: BatchRequest) -> Iterator[FieldError]:
    """What is wrong with it apart from its jobs."""
    yield from size_errors(len(request.jobs))
    if request.max_parallel is not None:
        yield from _width_errors(request.max_parallel, request.mode)
    if request.name is not None and not is_name(request.name):
        yield FieldError("name", f"must be 1 to {MAX_NAME} characters without control characters")
    if request.callback_url is not None:
        yield from url_errors(request.callback_url, "callback_url")
    yield from unsafe_places(request.metadata, "metadata")


def _width_errors(width: int, mode: ExecutionMode) -> Iterator[FieldError]:
    if not 1 <= width <= MAX_JOBS:
        yield FieldError("max_parallel", f"must be 1 to {MAX_JOBS:,}, got {width:,}; leave it out for no bound")
    elif mode is ExecutionMode.SEQUENTIAL and width > 1:
        yield FieldError("max_parallel", "the jobs of a sequential batch follow each other; leave it out")


def url_errors(url: str, path: str) -> Iterator[FieldError]:
    """What could never be posted to. Whether the host may be reached is seen when that is done."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if not plain or parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        yield FieldError(path, f"must be an http or https address of at most {MAX_URL:,} plain characters")
    elif parts.username is not None or parts.password is not None or parts.fragment:
        yield FieldError(path, "must hold no user, password or fragment; the signature says who sends it")


def let_in(
    specifications: Sequence[Specification], ready: Iterable[int], width: int | None, *, ordered: bool
) -> set[int]:
    """The places of those jobs that are queued when the batch is stored. `ready`: of those that nothing but the batch
    itself keeps; `width`: so many are let in, in the order of class and place; `ordered`: only the very first may."""
    places = sorted(ready, key=lambda n: (RANK[specifications[n].request.priority], n))
    if ordered:
        return {n for n in places if n == 0}
    return set(places if width is None else places[:width])
