"""What routes ask for, as annotated parameters. All are coroutines: a plain function would run in a thread pool."""

import hashlib
from typing import Annotated

import orjson
from fastapi import Depends, Header, Path, Query, Request

from app.api.routing import BodyRequest
from app.api.state import ApiState, state_of
from app.api.tenants import tenant_of
from app.domain.errors import Invalid, NotFound
from app.domain.ids import is_name_id, is_object_id
from app.domain.specification import DEFAULT_TENANT
from app.operations.once import IdempotencyKey
from app.services import Services

ANONYMOUS = "anonymous"
"""The actor of every request while there are no API keys."""
MAX_PAGE, DEFAULT_PAGE = 500, 50
MAX_STREAM_SECONDS = 86_400


async def _state(request: Request) -> ApiState:
    return state_of(request)


async def _services(request: Request) -> Services:
    return state_of(request).services


async def _job_id(job_id: Annotated[str, Path(description="Id of a job.")]) -> str:
    if not is_object_id(job_id):
        raise NotFound("job", job_id[:80])
    return job_id


async def _batch_id(batch_id: Annotated[str, Path(description="Id of a batch.")]) -> str:
    if not is_object_id(batch_id):
        raise NotFound("batch", batch_id[:80])
    return batch_id


async def _template_id(template_id: Annotated[str, Path(description="Id of a template.")]) -> str:
    if not is_name_id(template_id):
        raise NotFound("template", template_id[:80])
    return template_id


async def _node_id(node_id: Annotated[str, Path(description="Id of a node.")]) -> str:
    if not is_name_id(node_id):
        raise NotFound("node", node_id[:80])
    return node_id


IDEMPOTENCY_TEXT = (
    "1 to 255 visible characters. The same key and body give the first answer again for 24 h; another body is refused."
)


async def _idempotency_key(
    request: Request, idempotency_key: Annotated[str | None, Header(description=IDEMPOTENCY_TEXT)] = None
) -> IdempotencyKey | None:
    return key_of(request, idempotency_key)


def key_of(request: Request, given: str | None) -> IdempotencyKey | None:
    """The key for the store: it belongs to one tenant, method and path, and to the body whatever its spelling."""
    if given is None:
        return None
    if not 1 <= len(given) <= 255 or not given.isprintable():
        raise Invalid.one("Idempotency-Key", "must be 1 to 255 visible characters")
    value = request.value if isinstance(request, BodyRequest) else None
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(canonical, digest_size=16).hexdigest()
    tenant = tenant_of(request)
    owner = "" if tenant == DEFAULT_TENANT else f"{tenant} "
    return IdempotencyKey(f"{owner}{request.method} {request.url.path} {given}", digest)


def flag_of(request: Request, name: str) -> bool:
    """A boolean query parameter, false when it is not given."""
    if not request.scope["query_string"]:
        return False
    given = request.query_params.get(name, "false").lower()
    if given not in {"true", "1", "false", "0"}:
        raise Invalid.one(name, "must be true or false")
    return given in {"true", "1"}


async def _expected_seq(
    if_match: Annotated[
        str | None, Header(description='The ETag you read, such as "3": the change is made only if it still holds.')
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid.one("If-Match", 'must be one ETag as answered, such as "3", or *')
    return int(text)


async def _last_event_id(
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The id of the last event that you received.")
    ] = None,
    last_event_id_query: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for clients that cannot send the header.")
    ] = None,
) -> str | None:
    found = last_event_id if last_event_id is not None else last_event_id_query
    return found or None


State = Annotated[ApiState, Depends(_state)]
Ports = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Depends(_job_id)]
BatchId = Annotated[str, Depends(_batch_id)]
TemplateId = Annotated[str, Depends(_template_id)]
NodeId = Annotated[str, Depends(_node_id)]
Key = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]
ExpectedSeq = Annotated[int | None, Depends(_expected_seq)]
LastEventId = Annotated[str | None, Depends(_last_event_id)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most entries of a page.")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next_cursor` of the page before.")]
TimeoutSeconds = Annotated[
    float | None,
    Query(gt=0, le=MAX_STREAM_SECONDS, description="End the stream politely after this many seconds."),
]
