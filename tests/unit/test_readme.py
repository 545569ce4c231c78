"""The requests that README and docs show are what the service takes, and the first is the one that `demo` sends."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.api.schemas.job_requests import JobCreate
from app.api.schemas.workflows import WorkflowCreate
from app.cli.demo import REQUEST
from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Invalid
from app.domain.specification import Specification, SubmitPolicy, specify
from app.operations.workflows.defining import judged
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services

ROOT = Path(__file__).parent.parent.parent
CURL = re.compile(r"-d '(\{.*?\})'", re.DOTALL)
BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)
SENT = [orjson.loads(body) for body in CURL.findall((ROOT / "README.md").read_text())]


WORKFLOWS = [body for body in SENT if "workflow_name" in body]
WORKFLOW_PAGE = (ROOT / "docs/workflows.md").read_text()
JOBS = [body for body in SENT if body not in WORKFLOWS]


def plan(body: dict[str, Any]) -> Specification:
    request = JobCreate.model_validate(body).to_request()
    return specify(request, builtin_templates()[request.template], SubmitPolicy(timedelta(hours=1), 3))


def test_the_first_request_is_that_of_the_demonstration() -> None:
    assert SENT[0] == REQUEST
    assert plan(SENT[0]).base_name == "iris-random-forest-species-n100-d5"


def test_the_misspelt_one_is_answered_with_the_right_name() -> None:
    with pytest.raises(Invalid, match="did you mean algorithm"):
        plan(SENT[1])


@pytest.mark.parametrize(
    "body", [*JOBS[2:], *(orjson.loads(b) for b in BLOCK.findall((ROOT / "docs/steps.md").read_text()))]
)
def test_every_other_request_is_accepted(body: dict[str, Any]) -> None:
    assert plan(body).steps


@pytest.mark.parametrize("body", [*WORKFLOWS, *(orjson.loads(b) for b in CURL.findall(WORKFLOW_PAGE))])
async def test_workflows_are_accepted(body: dict[str, Any]) -> None:
    services = memory_services(FixedClock(), FakeHealth())
    try:
        pinned = await judged(services, WorkflowCreate.model_validate(body).to_definition(), 0, "default")
    finally:
        await services.expressions.stop()
    assert len(pinned.steps) == 3
