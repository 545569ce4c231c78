"""What of a stored file a GET wants (RFC 9110, 13 and 14): nothing new, one part, or the whole.

Starlette reads the `Range` header. One that is malformed, in another unit or of several parts is ignored, as the RFC
lets a server do: the answer is then the whole file.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, MalformedRangeHeader, RangeNotSatisfiable

ONE_PART = re.compile(r"\s*bytes\s*=\s*(\d+-\d*|-\d+)\s*", re.IGNORECASE | re.ASCII)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client holds what `etag` names."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]


def wanted_part(wanted: str | None, if_range: str | None, etag: str, size: int) -> tuple[int, int] | None:
    """The bytes [start, stop) of `size` that the header `wanted` names; None: the whole. Raises HTTPException 416."""
    if wanted is None or not ONE_PART.fullmatch(wanted) or (if_range is not None and if_range.strip() != etag):
        return None
    try:
        parts = FileResponse._parse_range_header(wanted, size)
    except MalformedRangeHeader:
        return None
    except RangeNotSatisfiable:
        headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        raise HTTPException(416, f"The file has {size} bytes; the range begins beyond them.", headers) from None
    return parts[0] if len(parts) == 1 else None
