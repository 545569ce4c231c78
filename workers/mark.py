"""The mark that this worker's fork server, and so all that runs below it, is born with.

One for each process: the fork server of a process is one, too. A supervisor notes it in the node's folder, so that one
that comes after a crash finds whatever is left.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from app.domain.environment import MARK


@cache
def own_mark() -> str:
    """The mark of this process, made when it is asked for first."""
    return secrets.token_hex(8)


@contextmanager
def marking() -> Iterator[None]:
    """What is started meanwhile bears the mark."""
    os.environ[MARK] = own_mark()
    try:
        yield
    finally:
        del os.environ[MARK]
