"""Trials: a laboratory for each, judged at its end; the table of what was measured; the seed."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.laboratory import Laboratory, Outcome, laboratory
from tests.chaos.report import Trialled, found_in, table, told_by
from tests.chaos.setting import Setting

HERE = Path(__file__).parent
REPORT = "CHAOS_REPORT"
"""Names the file that the table goes to."""
_trials: list[Trialled] = []

Scenario = Callable[[Laboratory], Awaitable[None]]
Trial = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def seed() -> int:
    """SEED of the environment, or a new one; printed, so that a failure can be replayed."""
    chosen = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    sys.stdout.write(f"SEED={chosen}\n")
    return chosen


@pytest.fixture
def chance(seed: int) -> random.Random:
    """All chance of a scenario."""
    return random.Random(seed)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """`await trial(setting, scenario, rest=60)`: a scenario in a laboratory of its own, brought to rest and judged."""

    async def run(setting: Setting, scenario: Scenario, rest: float = 60.0) -> Outcome:
        name, told = told_by(scenario)
        trialled = Trialled(name, told, setting.without)
        try:
            async with laboratory(tmp_path, setting) as lab:
                await scenario(lab)
                outcome = await lab.outcome(rest)
        except BaseException as error:
            _trials.append(replace(trialled, found=[f"{type(error).__name__}: {error}"]))
            raise
        _forget_data(tmp_path)
        _trials.append(replace(trialled, figures=outcome.seen.figures, found=found_in(outcome.violations)))
        return outcome

    return run


def _forget_data(folder: Path) -> None:
    """The logs are kept, as long as pytest does; the stores' files are large."""
    for data in folder.glob("mongo-*"):
        shutil.rmtree(data)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They measure time and start many processes: in one test process, in turn with the end-to-end tests."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("e2e"))
            if "trial" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table, on the screen and in the file that the environment names."""
    if not _trials:
        return
    text = table(_trials)
    terminalreporter.write_line(f"\n{text}")
    if file := os.environ.get(REPORT):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(f"{text}\n")
