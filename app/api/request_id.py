"""The id of a request: it stands in every problem, in the header `X-Request-ID`, and on each log line of it."""

from __future__ import annotations

import os
import re
from typing import cast

from starlette.types import Scope

_GIVEN = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_KEY = "tensorfleet.request_id"


def assign_request_id(scope: Scope) -> str:
    """The caller's `X-Request-ID` if it is well-formed, else a fresh one; kept in the scope."""
    given = next((v for name, v in scope["headers"] if name == b"x-request-id" and _GIVEN.fullmatch(v)), None)
    scope[_KEY] = os.urandom(8).hex() if given is None else given.decode()
    return cast("str", scope[_KEY])


def request_id_of(scope: Scope) -> str:
    """The id that was assigned."""
    return cast("str", scope[_KEY])
