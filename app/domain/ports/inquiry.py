"""What may be asked of the scheduler's reasoning, as a protocol: it answers from a snapshot and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.explanation import Explanation
from app.domain.what_if import Supposed, WhatIf


class Inquirer(Protocol):
    """Answers what if, and why."""

    async def explain(self, job_id: str) -> Explanation:
        """Why the job waits, failed, or what it does; and what would have it start sooner. Raises NotFound."""

    async def what_if(self, changes: Sequence[Supposed]) -> WhatIf:
        """What the changes would do, if they were made. Raises Invalid for what cannot be supposed."""
