"""The truth table of dependency types and ends of parents (`docs/workflows.md`), cell by cell on a running service, for
steps of workflows: what the deciding code says is what happens. Of jobs `test_batches` tells."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.dev.embedded import Endpoints
from app.domain.dependencies import End, outcome
from app.domain.job import DependencyType
from tests.e2e.conftest import settings_of
from tests.e2e.test_workflows import command, create, get, inline, over, post, reasons, states
from tests.support.processes import Api, api, worker
from tests.support.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, servers: Endpoints) -> AsyncIterator[Api]:
    home: Path = tmp_path_factory.mktemp("truth")
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"truth_{os.getpid()}", home)
    env |= {"MAX_CONCURRENT_JOBS": "60"}
    async with api(home, env) as found, worker(home, env, found):
        yield found


ENDS: dict[End, dict[str, Any]] = {
    End.COMPLETED: inline("completed"),
    End.FAILED: command("failed", code="sys.exit(78)"),
    End.TIMEOUT: inline(
        "timeout", job_template="sleep", parameters={"seconds": 60}, timeout=0.3, retry_policy={"max_attempts": 1}
    ),
    End.SKIPPED: inline("skipped", when="false"),
    End.CANCELLED: inline("cancelled", approval={"timeout": 0.5, "default": "reject"}),
}  # fmt: skip
EXPECTED = {
    (DependencyType.ALL_COMPLETE, End.SKIPPED): "upstream_skipped",
    (DependencyType.ANY_COMPLETE, End.SKIPPED): "upstream_skipped",
}


async def test_the_truth_table_cell_by_cell(served: Api) -> None:
    """A child of each type after a parent of each end, in one workflow: what the deciding code says is what happens."""
    parents = list(ENDS.values())
    cells = [(kind, end) for kind in DependencyType for end in ENDS]
    children = [
        inline(f"{kind.value}_after_{end.value.lower()}", ENDS[end]["step_id"], dependency_type=kind.value)
        for kind, end in cells
    ]
    done = await over(served, await create(served, *parents, *children))
    assert done["status"] == "FAILED"
    found = states(done)
    assert [found[p["step_id"]] for p in parents] == ["COMPLETED", "FAILED", "TIMEOUT", "SKIPPED", "REJECTED"]
    for kind, end in cells:
        step_id = f"{kind.value}_after_{end.value.lower()}"
        runs = outcome(kind, end) == "runs"
        assert found[step_id] == ("COMPLETED" if runs else "SKIPPED"), step_id
        if not runs:
            usual = "no_failure" if kind is DependencyType.ANY_FAILED else "upstream_failed"
            assert reasons(done)[step_id] == EXPECTED.get((kind, end), usual), step_id


def child(kind: DependencyType, end: End) -> str:
    return f"{kind.value}_after_{end.value.lower()}"


async def test_a_step_beside_a_parent_that_is_open_and_then_completes(served: Api) -> None:
    """The second table while a person is asked, the third after the answer. A step that only skipped ones keep from
    running says so when all parents have ended, so that a failure among them outweighs it."""
    cells = list(product(DependencyType, ENDS))
    children = [
        inline(child(kind, end), ENDS[end]["step_id"], "open", dependency_type=kind.value) for kind, end in cells
    ]
    made = await create(served, *ENDS.values(), inline("open", approval={}), *children)
    runs = {child(kind, end) for kind, end in cells if outcome(kind, end, End.OPEN) == "runs"}
    lost = {child(kind, end) for kind, end in cells if outcome(kind, end, End.OPEN) == "can no longer run"}
    lost -= {child(kind, End.SKIPPED) for kind in DependencyType}

    async def settled() -> bool:
        found = states(await get(served, made["workflow_id"]))
        return all(found[c] == "COMPLETED" for c in runs) and all(found[c] == "SKIPPED" for c in lost)

    await until(settled, 150, every=0.1)
    waiting = states(await get(served, made["workflow_id"]))
    assert {c["step_id"] for c in children if waiting[c["step_id"]] == "PENDING"} == (
        {c["step_id"] for c in children} - runs - lost
    )
    await post(served, f"/{made['workflow_id']}/steps/open/approve")
    found = states(await over(served, made))
    for kind, end in cells:
        ran = outcome(kind, end, End.COMPLETED) == "runs"
        assert found[child(kind, end)] == ("COMPLETED" if ran else "SKIPPED"), (kind, end)
