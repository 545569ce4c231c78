"""Every `code` that a problem may carry, with its status, title and one paragraph: the pages `/docs/errors/{code}`."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class ProblemCode(NamedTuple):
    """A stable code of the HTTP contract."""

    status: int
    title: str
    meaning: str


CODES = MappingProxyType(
    {
        "invalid": ProblemCode(
            422,
            "The request is not valid",
            "Each entry of `errors` names a field by its path, what is wrong with it, and the nearest known name. "
            "Nothing was stored; correct the fields and send the request again.",
        ),
        "invalid_json": ProblemCode(
            422,
            "The body is not JSON",
            "The body could not be read as JSON (RFC 8259). NaN and Infinity are not; leave them out or send null.",
        ),
        "bad_dataset": ProblemCode(
            422,
            "The data set cannot be used",
            "A data set is named by a built-in name, a registered name, or a CSV or Parquet file below the data root. "
            "Absolute paths, `..`, URLs and unknown columns are refused.",
        ),
        "unknown_template": ProblemCode(
            422,
            "There is no such template",
            "`template` and `base_template` name a template by its id; GET /api/v1/templates lists them.",
        ),
        "template_archived": ProblemCode(
            422,
            "The template is archived",
            "New jobs and new templates may not name it; what was made from it goes on. PUT /api/v1/templates/{id} "
            "makes a new version and brings it back.",
        ),
        "template_cycle": ProblemCode(
            422,
            "The template would inherit from itself",
            "`base_template` names a template that inherits, at whatever distance, from the one that is being made. "
            "The message tells the way round.",
        ),
        "unknown_job": ProblemCode(
            422,
            "A dependency does not exist",
            "A job may depend only on jobs that were accepted before it. The path names the entry of `dependencies`.",
        ),
        "dependency_failed": ProblemCode(
            422,
            "A dependency has already failed",
            "The job could never start: one that it depends on ended without success. Retry that one, or leave it out.",
        ),
        "cycle": ProblemCode(
            422,
            "The job would wait for itself",
            "The message names the way from the job through its dependencies back to it. Nothing was changed; leave "
            "out the parent that closes the way.",
        ),
        "graph_too_large": ProblemCode(
            422,
            "Too many jobs hang together by this dependency",
            "Whether the new dependency would close a cycle cannot be told within bounds. Submit a new job that names "
            "all its dependencies: a job that nobody waits for yet can close no cycle.",
        ),
        "idempotency_key_reused": ProblemCode(
            422,
            "The Idempotency-Key was used with another body",
            "For 24 hours a key belongs to one request. Send the same body for the first answer again, or a new key.",
        ),
        "not_found": ProblemCode(
            404,
            "There is no such object",
            "The id is unknown, malformed, or its object was removed by retention.",
        ),
        "method_not_allowed": ProblemCode(
            405,
            "The path has no such method",
            "The `Allow` header names every method that this path has.",
        ),
        "conflict": ProblemCode(
            409,
            "The object is in another state",
            "`current` names the state the object is in, `allowed` the states it can go to.",
        ),
        "invalid_transition": ProblemCode(
            409,
            "It cannot go to that state",
            "The job or batch cannot go from `current` to `wanted`; `allowed` names the states that it can go to, and "
            "`detail` says what forbids it.",
        ),
        "stale_job": ProblemCode(
            409,
            "The job kept changing",
            "Three tries lost the race against other changes of the same job. Read it again and decide anew.",
        ),
        "stale_batch": ProblemCode(
            409,
            "The batch kept changing",
            "Three tries lost the race against other changes of the same batch. Read it again and decide anew.",
        ),
        "history_full": ProblemCode(
            409,
            "The job's history is full",
            "A job takes at most 1,000 changes by users. Submit a new job instead.",
        ),
        "not_a_sweep": ProblemCode(
            409,
            "The batch is not a sweep",
            "Only a sweep has a leaderboard; the jobs of a batch are listed by GET /api/v1/jobs?batch_id=….",
        ),
        "already_exists": ProblemCode(
            409,
            "The id is taken",
            "An object with this id exists. Choose another id, or change the existing one.",
        ),
        "template_exists": ProblemCode(
            409,
            "The template exists",
            "The ids of templates are unique. PUT /api/v1/templates/{id} makes a new version of the one that there is, "
            "archived or not; or choose another name.",
        ),
        "dataset_exists": ProblemCode(
            409,
            "The data set exists",
            "The name is registered already. Delete the registration first, or choose another name.",
        ),
        "built_in": ProblemCode(
            409,
            "The name is built in",
            "Built-in templates and data sets cannot be replaced or removed. Choose another name.",
        ),
        "stale_version": ProblemCode(
            412,
            "The object was changed since you read it",
            "`If-Match` names a version that is past; the present one is in `current`. Read it again and decide anew.",
        ),
        "too_large": ProblemCode(
            413,
            "The body is too large",
            "The message names the cap and the setting that holds it.",
        ),
        "unsupported_media_type": ProblemCode(
            415,
            "The body is not declared as plain JSON",
            "Send `Content-Type: application/json`, and no `Content-Encoding`. Other types are refused, lest pages of "
            "other sites submit jobs.",
        ),
        "range_not_satisfiable": ProblemCode(
            416,
            "The range begins beyond the end",
            "`Content-Range` tells how many bytes there are. Ask for a range within them, or without `Range` for all.",
        ),
        "quota_exceeded": ProblemCode(
            429,
            "The tenant may not have more jobs waiting",
            "The setting TENANT_QUOTAS bounds how many jobs of a tenant may wait. Nothing was stored; submit again "
            "after the seconds in `Retry-After`, or cancel some that wait.",
        ),
        "internal_error": ProblemCode(
            500,
            "The service failed",
            "A fault of the service, logged under the `request_id` of this answer. The request may be tried again.",
        ),
        "unavailable": ProblemCode(
            503,
            "A store is away for the moment",
            "Try again after the seconds in `Retry-After`. Nothing is answered as accepted that is not stored; whether "
            "a change was made all the same is not known: look first, or send it again with the same Idempotency-Key.",
        ),
    }
)
