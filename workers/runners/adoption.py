"""Processes that lost their parent are adopted by ours, so that none gets out of sight by changing its session.

The process of a run adopts what its own descendants leave behind, so the whole tree of a live run hangs below it. When
it dies, its leftovers go to the fork server, whose only other children are the live runs: what else hangs there is an
orphan of a dead run.
"""

from __future__ import annotations

import ctypes
import sys

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants. Where the system does not offer it, nothing changes."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
