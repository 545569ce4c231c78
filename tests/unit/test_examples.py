"""The examples, and those in the page on templates, are what the service takes; each is explained. `tests/e2e` runs the
files."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.api.schemas.definitions import TemplateCreate
from app.api.schemas.job_requests import JobCreate
from app.domain.builtin_templates import builtin_templates
from app.domain.layers import derive
from app.domain.specification import SubmitPolicy, specify
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.step_checks import template_errors
from app.domain.templates import Template

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)
FILES = {path.name: orjson.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))}
SHOWN = [orjson.loads(block) for block in BLOCK.findall((ROOT / "docs/templates.md").read_text())]


def is_template(body: dict[str, Any]) -> bool:
    return "template" not in body


def templates(bodies: list[dict[str, Any]]) -> dict[str, Template]:
    """Every template of these, beside the built-in ones; a base may stand behind what inherits from it."""
    found = dict(builtin_templates())
    drafts = [TemplateCreate.model_validate(body).to_draft() for body in bodies if is_template(body)]
    while drafts:
        ready = [d for d in drafts if d.base_template is None or d.base_template in found]
        assert ready, [d.base_template for d in drafts]
        for draft in ready:
            base = found[draft.base_template] if draft.base_template else None
            found[draft.id] = derive(draft, base, STEP_PARAMETERS)
            assert list(template_errors(found[draft.id])) == []
        drafts = [d for d in drafts if d not in ready]
    return found


@pytest.mark.parametrize("bodies", [list(FILES.values()), SHOWN], ids=["files", "page"])
def test_every_job_is_one_of_a_template_that_is_there(bodies: list[dict[str, Any]]) -> None:
    known = templates(bodies)
    jobs = [JobCreate.model_validate(body).to_request() for body in bodies if not is_template(body)]
    assert jobs
    for request in jobs:
        assert specify(request, known[request.template], SubmitPolicy(timedelta(hours=1), 3)).base_name


def test_every_file_is_explained_and_every_link_leads_to_one() -> None:
    named = re.findall(r"\]\(((?:job|template)-[a-z-]+\.json)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(named) == sorted(FILES)


def test_a_file_is_named_for_what_it_is() -> None:
    assert [name for name, body in FILES.items() if is_template(body) != name.startswith("template-")] == []
