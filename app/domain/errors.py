"""Every error that a caller may meet, as one tree. The class docstring is its title; fields carry the facts.

TensorFleetError
├── Invalid                the request cannot be accepted as it is (422)
│   └── BadDataset         a data set reference that cannot be resolved or leaves the data root
├── NotFound               unknown id (404)
├── Conflict               the object is in the wrong state (409)
│   ├── InvalidTransition  the state machine has no such edge
│   ├── InvalidBatchTransition  a batch is in the wrong state
│   ├── StaleJob           lost the race three times
│   ├── StaleBatch         the same of a batch
│   ├── HistoryFull        more than 1,000 user-driven transitions
│   └── AlreadyExists      the id is taken
├── PreconditionFailed     If-Match names another version (412)
├── TooLarge               a body above its cap (413)
├── QuotaExceeded          the tenant has as much as it may have; later (429)
└── Unavailable            a store is away; try again (503)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

MOST_ERRORS = 100
"""Faults that are told of one request, and after which no further one is looked for."""
_MOST_IN_WORDS = 20


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request: `path` like `parameters.algorithm`, a message with the remedy, the nearest
    name."""

    path: str
    message: str
    nearest: str | None = None


class TensorFleetError(Exception):
    """Root of the tree. `code` is stable and part of the HTTP contract."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(TensorFleetError):
    """The request is not valid. Of its faults the first `MOST_ERRORS` are kept, and the first few are told in words."""

    code = "invalid"

    def __init__(self, errors: Iterable[FieldError], code: str | None = None) -> None:
        self.errors: tuple[FieldError, ...] = tuple(islice(errors, MOST_ERRORS))
        told = [f"{e.path}: {e.message}" if e.path else e.message for e in self.errors[:_MOST_IN_WORDS]]
        super().__init__("; ".join([*told, *(["…"] if len(told) < len(self.errors) else [])]))
        if code is not None:
            self.code = code

    @classmethod
    def one(cls, path: str, message: str, *, code: str | None = None, nearest: str | None = None) -> Invalid:
        return cls([FieldError(path, message, nearest)], code)


class BadDataset(Invalid):
    """The data set cannot be used."""

    code = "bad_dataset"

    def __init__(self, message: str, path: str = "parameters.dataset_name", nearest: str | None = None) -> None:
        super().__init__([FieldError(path, message, nearest)])


class NotFound(TensorFleetError):
    """No object has this id."""

    code = "not_found"

    def __init__(self, kind: str, key: str, nearest: str | None = None) -> None:
        hint = f" Did you mean {nearest}?" if nearest else ""
        super().__init__(f"There is no {kind} {key}.{hint}")
        self.kind, self.key, self.nearest = kind, key, nearest


class Conflict(TensorFleetError):
    """The object is in another state."""

    code = "conflict"

    def __init__(
        self, message: str, *, code: str | None = None, current: str | None = None, allowed: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.current = current
        self.allowed = tuple(allowed)


def _no_way(wanted: str, allowed: Sequence[str]) -> str:
    """Why a state cannot follow, where nothing more telling is known."""
    if not allowed:
        return f"it has ended, and cannot become {wanted}"
    return f"it cannot become {wanted} from here, only {', '.join(allowed)}"


class InvalidTransition(Conflict):
    """The job cannot go from its state to the wanted one. `because`: what forbids it, with the remedy."""

    code = "invalid_transition"

    def __init__(
        self, job_id: str, current: str, wanted: str, allowed: Sequence[str], because: str | None = None
    ) -> None:
        why = because or _no_way(wanted, allowed)
        super().__init__(f"Job {job_id} is {current}: {why}.", current=current, allowed=allowed)
        self.job_id, self.wanted = job_id, wanted


class InvalidBatchTransition(Conflict):
    """The batch cannot go from its state to the wanted one. `because`: what forbids it."""

    code = "invalid_transition"

    def __init__(
        self, batch_id: str, current: str, wanted: str, allowed: Sequence[str], because: str | None = None
    ) -> None:
        why = because or _no_way(wanted, allowed)
        super().__init__(f"Batch {batch_id} is {current}: {why}.", current=current, allowed=allowed)
        self.batch_id, self.wanted = batch_id, wanted


class StaleJob(Conflict):
    """The job changed while it was being changed."""

    code = "stale_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} changed three times while this change was tried; try again.")
        self.job_id = job_id


class StaleBatch(Conflict):
    """The batch changed while it was being changed."""

    code = "stale_batch"

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"Batch {batch_id} changed three times while this change was tried; try again.")
        self.batch_id = batch_id


class HistoryFull(Conflict):
    """The job has had as many user-driven transitions as it may have."""

    code = "history_full"

    def __init__(self, job_id: str, limit: int) -> None:
        super().__init__(
            f"Job {job_id} has {limit} transitions; submit a new job instead of changing this one further."
        )


class AlreadyExists(Conflict):
    """The id is taken."""

    code = "already_exists"

    def __init__(self, kind: str, key: str, remedy: str, code: str | None = None) -> None:
        super().__init__(f"{kind.capitalize()} {key} exists already; {remedy}.", code=code)


class PreconditionFailed(TensorFleetError):
    """The object was changed since you read it."""

    code = "stale_version"

    def __init__(self, current: str, given: str) -> None:
        super().__init__(f"If-Match names version {given}, the object is at {current}; read it again and decide anew.")
        self.current = current


class TooLarge(TensorFleetError):
    """The body is larger than allowed."""

    code = "too_large"

    def __init__(self, limit_bytes: int, setting: str = "MAX_BODY_MB") -> None:
        super().__init__(f"The body is larger than {limit_bytes >> 20} MiB, the cap set by {setting}.")
        self.limit_bytes = limit_bytes


class QuotaExceeded(TensorFleetError):
    """The tenant may not have more jobs waiting."""

    code = "quota_exceeded"

    def __init__(self, tenant: str, waiting: int, limit: int, retry_after: int = 10) -> None:
        super().__init__(
            f"Tenant {tenant} has {waiting} jobs waiting, and may have {limit} (TENANT_QUOTAS); submit again when some "
            "of them have started or ended."
        )
        self.tenant, self.waiting, self.limit, self.retry_after = tenant, waiting, limit, retry_after


class Unavailable(TensorFleetError):
    """A store is away for the moment. What was being written may have been stored or not."""

    code = "unavailable"

    def __init__(self, store: str, retry_after: int = 2) -> None:
        super().__init__(
            f"{store} does not answer at the moment; try again in {retry_after} s. Whether a change was made is not "
            "known: look first, or send it again with the same Idempotency-Key."
        )
        self.store, self.retry_after = store, retry_after
