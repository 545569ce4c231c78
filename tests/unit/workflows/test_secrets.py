"""Secrets of workflows: what hands one over, what a definition may not say, and what stands where."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.layers import derive
from app.domain.templates import Parameter, Step, TemplateDraft
from app.domain.workflows.definition import Definition, InputDefinition
from app.domain.workflows.secrets import (
    given_secrets,
    handed,
    is_of_workflow,
    owner_of_schedule,
    revealed,
    schedule_of,
    secret_errors,
    split_inputs,
    split_parameters,
)
from app.domain.workflows.typing import expressions_of, variables_of
from app.domain.workflows.validation import form_errors, given_inputs
from tests.unit.workflows.builders import NOW, pinned, step

PARAMETERS = (Parameter("token", "secret", aliases=("key",)), Parameter("rate", "number"), Parameter("note", "string"))
DRAFT = TemplateDraft("login", parameters=PARAMETERS, execution_steps=(Step("noop"),))
LOGIN = derive(DRAFT, None, {}, version=1, now=NOW)
INPUTS = {"token": InputDefinition("secret"), "plain": InputDefinition("string")}


def defined(**parameters: Any) -> Definition:
    return pinned(step("a", job_template="login", parameters=parameters), inputs=INPUTS).definition


def refused(**parameters: Any) -> list[tuple[str, str]]:
    definition = defined(**parameters)
    return [(e.path, e.message) for e in secret_errors(definition, definition.steps[0], LOGIN)]


@pytest.mark.parametrize("text", ["${{ inputs.token }}", "${{inputs.token}}", "  ${{ inputs.token }} "])
def test_a_secret_is_handed_over_by_its_name_alone(text: str) -> None:
    assert handed(defined(), {"key": text}) == {"key": "token"}
    assert refused(token=text) == refused(key=text) == []


@pytest.mark.parametrize(
    "value",
    [
        *("t0p", "***", "", "x${{ inputs.token }}", "${{ inputs.plain }}", "${{ 't0p' }}", "${{ inputs.token + '' }}"),
        *("${{ item }}", "${{ steps.b.outputs.token }}", "${{ (inputs.token) }}", "${{ inputs['token'] }}"),
        *("${{ parameters.token }}", ["${{ inputs.token }}"], {"a": "${{ inputs.token }}"}, 7),
    ],
)
def test_a_secret_parameter_takes_nothing_else(value: Any) -> None:
    for name in ("token", "key"):
        [(path, message)] = refused(**{name: value})
        assert path == f"parameters.{name}" and "${{ inputs.NAME }}" in message and "t0p" not in message


def test_what_is_not_given_is_no_secret() -> None:
    assert refused(token=None) == refused() == []
    assert given_secrets(LOGIN, {"token": None, "key": "x", "rate": 1}) == {"key"}


def test_a_secret_input_goes_to_no_other_parameter() -> None:
    [(path, message)] = refused(note="${{ inputs.token }}")
    assert path == "parameters.note" and "not of type secret" in message
    assert refused(nothing="${{ inputs.token }}") == [], "an unknown parameter is refused for that"


def test_no_expression_knows_a_secret_input() -> None:
    whole = pinned(
        step(
            "a", parameters={"token": "${{ inputs.token }}", "note": "${{ inputs.plain }}"}, when="inputs.token != ''"
        ),
        inputs=INPUTS,
    )
    places = {place.path: place.expression.variables for place in expressions_of(whole, whole.steps["a"], "s")}
    assert places == {"s.when": {}, "s.parameters.note": {"inputs.plain": "string"}}
    assert variables_of(whole, whole.steps["a"], "inputs.token + inputs.plain", of_item=False) == {
        "inputs.plain": "string"
    }


def test_a_secret_has_no_default() -> None:
    definition = pinned(step("a"), inputs={"token": InputDefinition("secret", "t0p")}).definition
    [error] = form_errors(definition)
    assert error.path == "inputs.token.default" and "t0p" not in error.message
    assert list(form_errors(defined())) == []


@pytest.mark.parametrize(("given", "says"), [({}, "required (secret); give it"), ({"token": "***"}, "as a secret is")])
def test_a_secret_input_is_given_with_each_run(given: dict[str, Any], says: str) -> None:
    _, errors = given_inputs(defined(), {"plain": "p", **given})
    assert [e.path for e in errors] == ["inputs.token"] and says in errors[0].message


@pytest.mark.parametrize("value", [7, True, ["t0p"], {"a": "t0p"}])
def test_a_secret_input_is_text(value: Any) -> None:
    _, errors = given_inputs(defined(), {"plain": "p", "token": value})
    assert [e.path for e in errors] == ["inputs.token"] and "t0p" not in errors[0].message


def test_a_run_keeps_stars_and_the_values_stand_apart() -> None:
    assert split_inputs(defined(), {"token": "t0p", "plain": "***"}) == (
        {"token": "***", "plain": "***"}, {"token": "t0p"},
    )  # fmt: skip
    assert split_parameters(LOGIN, "a", {"key": "n3w", "rate": 2}) == ({"key": "***", "rate": 2}, {"a:key": "n3w"})
    assert split_parameters(LOGIN, "a", {"key": None}) == ({"key": None}, {})


def test_a_step_is_given_what_its_rerun_said_else_the_input() -> None:
    values = {"token": "t0p", "a:key": "n3w"}
    assert revealed(defined(), "a", {"token": "${{ inputs.token }}", "note": "***"}, values) == {"token": "t0p"}
    assert revealed(defined(), "a", {"key": "***"}, values) == {"key": "n3w"}
    assert revealed(defined(), "b", {"key": "***"}, values) == {}
    assert revealed(defined(), "a", {"token": "${{ inputs.token }}"}, {}) == {"token": None}
    assert revealed(defined(), "a", {"token": "in clear, of an earlier release"}, values) == {}


def test_owners_are_told_apart() -> None:
    assert schedule_of(owner_of_schedule("wf_1")) == "wf_1" and not is_of_workflow(owner_of_schedule("wf_1"))
    assert schedule_of("wf_1") is None and is_of_workflow("wf_1") and not is_of_workflow("job_1")
