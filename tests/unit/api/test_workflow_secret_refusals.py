"""Where a workflow may not hold a secret, or speak of one: refused when it is judged, with the path and the remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflow_secrets import GUARDED, HANDED, INPUTS, SECRET, login, refused
from tests.unit.api.test_workflows import WORKFLOWS, definition


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a secret in clear": ({"parameters": {"token": SECRET}}, {}, "steps[0].parameters.token"),
    "one under another name": ({"parameters": {"key": SECRET}}, {}, "steps[0].parameters.key"),
    "one in an expression": ({"parameters": {"token": f"${{{{ '{SECRET}' }}}}"}}, {}, "steps[0].parameters.token"),
    "one that reads as it is shown": ({"parameters": {"token": "***"}}, {}, "steps[0].parameters.token"),
    "one among items": (
        {"parameters": {"token": "${{ item }}"}, "for_each": [SECRET]}, {}, "steps[0].parameters.token",
    ),
    "one from an input that is none": (
        {"parameters": {"token": "${{ inputs.note }}"}}, {}, "steps[0].parameters.token",
    ),
    "one in a default": ({}, {"token": {"type": "secret", "default": SECRET}}, "inputs.token.default"),
    "an input in a condition": ({"when": "inputs.token != ''"}, {}, "steps[0].when"),
    "an input in a condition that only asks": ({"when": "has(inputs.token)"}, {}, "steps[0].when"),
    "an input beyond a comment": ({"when": "inputs.//\ntoken != ''"}, {}, "steps[0].when"),
    "an input as an index": ({"when": "inputs['token'] != ''"}, {}, "steps[0].when"),
    "an input as items": ({"for_each": HANDED}, {}, "steps[0].for_each"),
    "an input in a longer text": ({"parameters": {"token": f"Bearer {HANDED}"}}, {}, "steps[0].parameters.token"),
    "an input in a calculation": (
        {"parameters": {"token": "${{ inputs.token + 'x' }}"}}, {}, "steps[0].parameters.token",
    ),
    "an input for what is no secret": (
        {"parameters": {"token": HANDED, "note": HANDED}}, {}, "steps[0].parameters.note",
    ),
    "an input inside another text": (
        {"parameters": {"token": HANDED, "note": f"x {HANDED}"}}, {}, "steps[0].parameters.note",
    ),
    "two inputs for one parameter": (
        {"parameters": {"token": HANDED, "key": "${{ inputs.other }}"}}, {"other": {"type": "secret"}},
        "steps[0].parameters.key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_definition_with_a_secret_in_the_wrong_place_is_refused(api: Api, name: str) -> None:
    await login(api)
    fields, inputs, path = BAD[name]
    body = definition({**GUARDED, **fields}, inputs={**INPUTS, **inputs}, workflow_name="bad")
    errors = await refused(api, body)
    assert path in errors, errors
    assert await refused(api, body, "/validate") == errors
    assert (await api.client.get(f"{WORKFLOWS}/definitions/bad")).status_code == 404


async def test_the_refusals_tell_the_remedy(api: Api) -> None:
    await login(api)
    told = await refused(api, definition({**GUARDED, "parameters": {"token": SECRET}}, inputs=INPUTS))
    assert "declare an input of type secret and write `${{ inputs.NAME }}`" in told["steps[0].parameters.token"]
    told = await refused(api, definition({**GUARDED, "when": "inputs.token != ''"}, inputs=INPUTS))
    assert "it may only be a parameter of type secret as a whole, `${{ inputs.token }}`" in told["steps[0].when"]
    told = await refused(api, definition(GUARDED, inputs=INPUTS))
    assert told == {
        "inputs.token": "is required (secret); give it; or store with start: false, and give it to POST …/start"
    }
