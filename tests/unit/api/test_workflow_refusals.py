"""Definitions that are refused: each fault with its path and the remedy, nothing stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflows import WORKFLOWS, definition, step


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "a cycle": (
        definition(step("a", "c"), step("b", "a"), step("c", "b")), "steps[0].depends_on", "→",
    ),
    "itself": (definition(step("a", "a")), "steps[0].depends_on[0]", "waits for itself"),
    "an unknown step": (definition(step("train"), step("b", "trian")), "steps[1].depends_on[0]", "did you mean train"),
    "a step named twice": (definition(step("a"), step("b", "a", "a")), "steps[1].depends_on[1]", "twice"),
    "an unknown template": (
        definition({"step_id": "a", "job_template": "ml_trainning"}), "steps[0].job_template", "ml_training",
    ),
    "a duplicate id": (definition(step("a"), step("a")), "steps[1].step_id", "steps[0]"),
    "a bad id": (definition(step("A-1")), "steps[0].step_id", "a-z"),
    "a bad name": (definition(step("a"), workflow_name="My Pipeline"), "workflow_name", "a-z"),
    "no steps": (definition(), "steps", "1 to 10,000"),
    "an unknown parameter": (
        definition(step("a", job_template="sleep", parameters={"secnds": 1})),
        "steps[0].parameters.secnds", "did you mean seconds",
    ),
    "an unknown parameter that is an expression": (
        definition(step("a", job_template="sleep", parameters={"secnds": "${{ 1 }}"})),
        "steps[0].parameters.secnds", "did you mean seconds",
    ),
    "a parameter of a wrong type": (
        definition(step("a", job_template="sleep", parameters={"seconds": "soon"})),
        "steps[0].parameters.seconds", "number",
    ),
    "a required parameter without a step before": (
        definition(step("a", job_template="data_preprocessing")), "steps[0].parameters.dataset_name", "required",
    ),
    "a model without a step before": (
        definition(step("a", job_template="model_evaluation")), "steps[0].parameters.model", "required",
    ),
    "a condition that is no text of the language": (
        definition(step("a", when="1 >")), "steps[0].when", "position",
    ),
    "a condition that is not boolean": (definition(step("a", when="1 + 1")), "steps[0].when", "true or false"),
    "a condition on a step that does not come before": (
        definition(step("a"), step("b", when="steps.a.outputs.n > 1")), "steps[1].when", "add it to depends_on",
    ),
    "a condition on an unknown step": (
        definition(step("train"), step("b", "train", when="steps.trian.outputs.n > 1")), "steps[1].when",
        "did you mean train",
    ),
    "a condition on an unknown input": (
        definition(step("a", when="inputs.leest > 1"), inputs={"least": {"type": "number"}}), "steps[0].when",
        "did you mean least",
    ),
    "an input of a wrong type in an expression": (
        definition(step("a", when="inputs.n > 'x'"), inputs={"n": {"type": "integer"}}), "steps[0].when",
        "> does not take int and string",
    ),
    "a step of its own for its failure": (
        definition(step("a", on_failure="x")), "steps[0].on_failure", "known: continue, fail",
    ),
    "a misspelt root": (
        definition(step("a"), step("b", "a", when="step.a.outputs.n > 1")), "steps[1].when", "did you mean steps",
    ),
    "an item where there is none": (
        definition(step("a", when="item.n > 1")), "steps[0].when", "in the parameters of a step with for_each",
    ),
    "a constant of another language": (definition(step("a", when="True")), "steps[0].when", "did you mean true"),
    "a name of nothing": (definition(step("a", when="accuracy > 1")), "steps[0].when", "write inputs.NAME, steps.ID"),
    "the words of another language": (
        definition(step("a", when="'and' == 'or' and not true")), "steps[0].when", "; write && for and, ! for not",
    ),
    "an assignment": (definition(step("a", when="1 = 2")), "steps[0].when", "; write == for ="),
    "a step with an unknown template field": (definition({"step_id": "a"}), "steps[0].job_template", "is required"),
    "an expression that is too long": (
        definition(step("a", when="1 == 1 || " * 300 + "true")), "steps[0].when", "2,048",
    ),
    "an expression that is too deep": (
        definition(step("a", when="(" * 900 + "true" + ")" * 900)), "steps[0].when", "",
    ),
    "more expressions than a definition may have": (
        definition(
            *(step(f"s{n}", job_template="sleep", parameters={"seconds": "${{ 1 }}" * 200}) for n in range(100)),
            step("one_more", when="true"),
        ),
        "steps", "20,000 expressions together",
    ),
    "an item outside a for_each": (
        definition(step("a", job_template="sleep", parameters={"seconds": "${{ item }}"})),
        "steps[0].parameters.seconds", "item",
    ),
    "a for_each that is no list": (definition(step("a", for_each="${{ 3 }}")), "steps[0].for_each", "a list"),
    "a for_each of a wrong type": (definition(step("a", for_each=7)), "steps[0].for_each", "list"),
    "a for_each over a million items": (
        definition(step("a", for_each=[0] * 1_000_000)), "steps[0].for_each", "10,000",
    ),
    "max_parallel without for_each": (definition(step("a", max_parallel=2)), "steps[0].max_parallel", "for_each"),
    "max_parallel of nothing": (
        definition(step("a", for_each=[1], max_parallel=0)), "steps[0].max_parallel", "1 to",
    ),
    "an approval with an unknown default": (
        definition(step("a", approval={"default": "maybe"})), "steps[0].approval.default", "approve or reject",
    ),
    "on_failure to an unknown step": (definition(step("a", on_failure="cleen")), "steps[0].on_failure", "unknown step"),
    "a step for failures that waits for others": (
        definition(step("a", on_failure="b"), step("b", "a")), "steps[1].depends_on", "on_failure",
    ),
    "an unknown field": (definition(step("a", depend_on=["b"])), "steps[0].depend_on", "depends_on"),
    "an unknown dependency type": (
        definition(step("a"), step("b", "a", dependency_type="all")), "steps[1].dependency_type", "all_complete",
    ),
    "an input of an unknown type": (
        definition(step("a"), inputs={"n": {"type": "int"}}), "inputs.n.type", "integer",
    ),
    "a default of a wrong type": (
        definition(step("a"), inputs={"n": {"type": "integer", "default": "x"}}), "inputs.n.default", "integer",
    ),
    "a bad retry policy": (
        definition(step("a", retry_policy={"max_attempts": 0})), "steps[0].retry_policy.max_attempts", "between",
    ),
    "resources that are none": (
        definition(step("a", resources={"cpu_cores": -1})), "steps[0].resources.cpu_cores", "negative",
    ),
    "a timeout of nothing": (definition(step("a", timeout=0)), "steps[0].timeout", "more than 0"),
    "a key that cannot be stored": (
        definition(step("a", job_template="command", parameters={"command": ["x"], "env": {"$a": "1"}})),
        "steps[0].parameters.env.$a", "rename",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_is_refused_with_its_path(api: Api, name: str) -> None:
    body, path, message = BAD[name]
    for where in ("", "/validate"):
        answer = await api.client.post(WORKFLOWS + where, json=body)
        assert answer.status_code == 422, answer.text
        found = {e["path"]: e["message"] for e in answer.json()["errors"]}
        assert path in found, found
        assert message in found[path]
    assert (await api.client.get(WORKFLOWS)).json()["workflows"] == []
    assert (await api.client.post(f"{WORKFLOWS}/run", json={"workflow_name": "test"})).status_code == 404


async def test_every_fault_is_told_at_once(api: Api) -> None:
    body = definition(
        step("a", job_template="sleep", parameters={"secnds": 1}),
        step("b", "a", when="steps.a.outputs.n + 1"),
        step("c", when="nonsense", timeout=-1),
    )
    answer = await api.client.post(WORKFLOWS, json=body)
    paths = {e["path"] for e in answer.json()["errors"]}
    assert paths == {"steps[0].parameters.secnds", "steps[1].when", "steps[2].timeout", "steps[2].when"}


async def test_a_ten_thousand_step_bomb_is_refused_and_a_workflow_of_that_size_judged(api: Api) -> None:
    chain = [step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 10_000))]
    loop = [step("s0", "s9999"), *chain[1:]]
    answer = await api.client.post(f"{WORKFLOWS}/validate", json=definition(*loop), timeout=60)
    assert answer.status_code == 422 and "s9999" in answer.json()["errors"][0]["message"]
    answer = await api.client.post(f"{WORKFLOWS}/validate", json=definition(*chain, step("one_more")), timeout=60)
    assert answer.json()["errors"][0]["path"] == "steps"
    answer = await api.client.post(f"{WORKFLOWS}/validate", json=definition(*chain), timeout=60)
    assert answer.status_code == 200 and answer.json()["steps"] == 10_000


async def test_others_are_answered_while_a_large_definition_is_judged(api: Api) -> None:
    chain = [step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 10_000))]
    judged = asyncio.ensure_future(api.client.post(f"{WORKFLOWS}/validate", json=definition(*chain), timeout=60))
    answered = 0
    while not judged.done():
        began = time.monotonic()
        assert (await api.client.get("/healthz")).status_code == 200
        answered += 1
        assert time.monotonic() - began < 20
    assert (await judged).status_code == 200
    assert answered > 1
