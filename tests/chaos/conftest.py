"""Trials: a laboratory for each, judged at its end; the table of what was measured; the seed."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.laboratory import Laboratory, Outcome, Setting, laboratory
from tests.chaos.observation import Figure

HERE = Path(__file__).parent
REPORT = "CHAOS_REPORT"
"""Names the file that the table goes to."""
_figures: dict[str, list[Figure]] = {}

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
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    """`await trial(setting, scenario, rest=60)`: a scenario in a laboratory of its own, brought to rest and judged."""

    async def run(setting: Setting, scenario: Scenario, rest: float = 60.0) -> Outcome:
        async with laboratory(tmp_path, setting) as lab:
            await scenario(lab)
            outcome = await lab.outcome(rest)
        _forget_data(tmp_path)
        _figures.setdefault(request.node.name, []).extend(outcome.seen.figures)
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
    """The table of the figures, on the screen and in the file that the environment names."""
    if not _figures:
        return
    lines = ["| scenario | figure | measured | at most |", "|---|---|---|---|"]
    for name, figures in _figures.items():
        for figure in figures:
            limit = "" if figure.at_most is None else f"{figure.at_most:g} {figure.unit}"
            lines.append(
                f"| {name.removeprefix('test_')} | {figure.name} | {figure.value:.2f} {figure.unit} | {limit} |"
            )
    terminalreporter.write_line("\n".join(["", *lines]))
    if file := os.environ.get(REPORT):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("\n".join(lines) + "\n")
