"""Preloaded by the fork server of an unprotected worker: nobody adopts what dead runs leave behind."""

from __future__ import annotations

from tests.chaos.replacing import replace
from workers.runners import adoption

replace(adoption, "adopt_orphans", lambda: None)
