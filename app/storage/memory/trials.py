"""Trials of sweeps in memory."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.sweeps.trials import Trial


class MemoryTrialStore:
    """`TrialStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, int], Trial] = {}

    async def insert(self, trials: Sequence[Trial]) -> list[Trial]:
        return [self._stored.setdefault((trial.sweep_id, trial.number), trial) for trial in trials]

    async def of(self, sweep_id: str, since: int = 0) -> list[Trial]:
        found = [t for (sweep, number), t in self._stored.items() if sweep == sweep_id and number >= since]
        return sorted(found, key=lambda trial: trial.number)

    async def replace(self, trials: Sequence[Trial]) -> list[bool]:
        verdicts = []
        for trial in trials:
            before = self._stored.get((trial.sweep_id, trial.number))
            if before is not None and before.seq == trial.seq - 1:
                self._stored[trial.sweep_id, trial.number] = trial
            verdicts.append(self._stored.get((trial.sweep_id, trial.number)) == trial)
        return verdicts

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        for key in [key for key, trial in self._stored.items() if trial.job_id in job_ids]:
            del self._stored[key]
