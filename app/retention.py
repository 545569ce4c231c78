"""How long what jobs leave behind is kept.

What belongs to a job goes with it, before it (`app.scheduler.retention`); logs, run summaries and the answers under
idempotency keys have times of their own, which the store keeps (`app.storage.indexes`).
"""

from datetime import timedelta

from app.environment import Group, variable

LONGEST_DAYS = 36_500


def _days(name: str, meaning: str, default: float) -> float:
    days: float = variable(name, meaning, default, unit="days", gt=0, le=LONGEST_DAYS)
    return days


class RetentionSettings(Group):
    """How long what jobs leave behind is kept."""

    jobs_days: float = _days(
        "RETENTION_JOBS_DAYS",
        "Jobs that ended longer ago are deleted with their metrics, artifacts and checkpoints, unless a job that has "
        "not ended depends on them; those of a batch or a workflow when that ended longer ago.",
        30,
    )
    logs_days: float = _days("RETENTION_LOGS_DAYS", "Log lines that are older are deleted; their job stays.", 7)
    runs_days: float = _days(
        "RETENTION_RUNS_DAYS", "Summaries of runs, which statistics are made of, outlive their job so long.", 365
    )
    answers_days: float = _days(
        "RETENTION_ANSWERS_DAYS",
        "An Idempotency-Key is remembered so long after its first use; that of a submit as long as its job at most.",
        1,
    )

    @property
    def jobs(self) -> timedelta:
        return timedelta(days=self.jobs_days)

    @property
    def logs(self) -> timedelta:
        return timedelta(days=self.logs_days)

    @property
    def runs(self) -> timedelta:
        return timedelta(days=self.runs_days)

    @property
    def answers(self) -> timedelta:
        return timedelta(days=self.answers_days)
