"""Whose request it is. Until there are API keys, a header says so where the setting names one."""

from __future__ import annotations

import re

from fastapi import Request

from app.api.state import state_of
from app.domain.errors import Invalid
from app.domain.specification import DEFAULT_TENANT

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def tenant_of(request: Request) -> str:
    """The tenant that the header of the setting TENANT_HEADER names; `default` without header or setting. Raises
    Invalid for a name that can be none."""
    header = state_of(request).services.settings.tenants.header
    given = None if header is None else request.headers.get(header)
    if header is None or given is None:
        return DEFAULT_TENANT
    if not _NAME.fullmatch(given):
        rule = "must be 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit"
        raise Invalid.one(header, f"{rule}, got {given[:80]!r}")
    return given
