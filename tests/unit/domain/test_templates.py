"""Inheritance, inferred types, and templates that are refused."""

from typing import Any

import pytest

from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Invalid
from app.domain.layers import derive
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.templates import Parameter, Step, TemplateDraft, resolve_parameters, value_errors

BASE = builtin_templates()["ml_training_template"]


def test_a_derived_template_inherits_all_and_adds_its_own() -> None:
    draft = TemplateDraft(
        "custom_training_template",
        description="Custom training workflow",
        base_template="ml_training_template",
        custom_parameters={
            "preprocessing_steps": ["normalize", "feature_selection"],
            "validation_strategy": "cross_validation",
            "owner": "vision",
        },
    )
    found = derive(draft, BASE, STEP_PARAMETERS)
    assert found.execution_steps == BASE.execution_steps
    assert found.default_parameters["validation_strategy"] == "cross_validation"
    assert {p.name: p.type for p in found.parameters}["owner"] == "string"
    assert (found.base_template, found.base_version) == ("ml_training_template", 1)
    resolved = resolve_parameters(found, {"dataset_name": "iris", "owner": "nlp"})
    assert resolved["preprocessing_steps"] == ["normalize", "feature_selection"]
    assert resolved["owner"] == "nlp"


def test_objects_merge_and_lists_replace() -> None:
    first = derive(
        TemplateDraft("a", execution_steps=(Step("noop"),), default_parameters={"h": {"x": 1, "y": 2}, "l": [1, 2]}),
        None,
        {},
    )
    second = derive(TemplateDraft("b", custom_parameters={"h": {"y": 3}, "l": [9]}), first, {})
    assert second.default_parameters == {"h": {"x": 1, "y": 3}, "l": [9]}


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        (TemplateDraft("t"), "execution_steps"),
        (TemplateDraft("t", execution_steps=(Step("a"), Step("a"))), "execution_steps[1].step"),
        (TemplateDraft("t", execution_steps=(Step("a"),), parameters=(Parameter("p", "strng"),)), "parameters[0].type"),
        (
            TemplateDraft("t", execution_steps=(Step("a"),), parameters=(Parameter("p", "string", pattern="("),)),
            "parameters[0].pattern",
        ),
        (
            TemplateDraft("t", execution_steps=(Step("a"),), parameters=(Parameter("p", "integer", default="x"),)),
            "parameters[0].default",
        ),
    ],
)
def test_bad_templates_are_refused_with_the_path(draft: TemplateDraft, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        derive(draft, None, {})
    assert path in [e.path for e in refused.value.errors]


@pytest.mark.parametrize(
    ("parameter", "value", "want"),
    [
        (Parameter("p", "integer", minimum=1), 0, "at least 1"),
        (Parameter("p", "integer"), True, "got boolean"),
        (Parameter("p", "integer"), 1.5, "got number"),
        (Parameter("p", "number"), 3, None),
        (Parameter("p", "number", maximum=1), 1.5, "at most 1"),
        (Parameter("p", "string", pattern="[a-z]+"), "A", "must match"),
        (Parameter("p", "boolean"), 0, "got integer"),
        (Parameter("p", "object"), [], "got array"),
        (Parameter("p", "string", options=("adam", "sgd")), "adm", "did you mean adam?"),
        (Parameter("p", "string"), None, None),
    ],
)
def test_values(parameter: Parameter, value: Any, want: str | None) -> None:
    found = [e.message for e in value_errors(parameter, value, "p")]
    assert (found == []) if want is None else want in found[0]


def test_every_built_in_template_of_the_contract_is_there() -> None:
    wanted = {
        "ml_training_template",
        "ml_training",
        "hyperparameter_tuning",
        "data_preprocessing",
        "model_evaluation",
        "batch_inference",
        "command",
    }
    assert wanted <= set(builtin_templates())
