"""What is refused at submit because the template's steps could not use it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Invalid
from app.domain.layers import derive
from app.domain.resources import DEFAULT_REQUEST, Vector
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.step_checks import template_errors
from app.domain.templates import Parameter, Step, Template, TemplateDraft

IRIS = {"dataset_name": "iris"}
SECRET = (Parameter("token", "secret"), Parameter("rate", "number"))


def own(*steps: Step, **fields: Any) -> Template:
    return derive(TemplateDraft(id="own", execution_steps=steps, **fields), None, STEP_PARAMETERS)


def plan(template: Template, parameters: dict[str, Any], *, torch: bool = True) -> Specification:
    policy = SubmitPolicy(timedelta(hours=1), 3, (), torch)
    return specify(JobRequest(template.id, parameters), template, policy)


def refused(template: Template, parameters: dict[str, Any], *, torch: bool = True) -> dict[str, str]:
    with pytest.raises(Invalid) as found:
        plan(template, parameters, torch=torch)
    return {e.path.removeprefix("parameters."): e.message for e in found.value.errors}


@pytest.mark.parametrize(
    ("template", "parameters", "path", "words"),
    [
        ("ml_training_template", {**IRIS, "preprocessing_steps": ["impute", "normalise"]},
         "preprocessing_steps[1]", "did you mean normalize?"),
        ("ml_training_template", {**IRIS, "preprocessing_steps": [7]}, "preprocessing_steps[0]", "unknown step 7"),
        ("ml_training_template", {**IRIS, "hyperparameters": {"n_estimator": 10}},
         "hyperparameters.n_estimator", "did you mean n_estimators? (random_forest)"),
        ("ml_training_template", {**IRIS, "algorithm": "svm", "hyperparameters": {"n_estimators": 10}},
         "hyperparameters.n_estimators", "unknown hyperparameter n_estimators"),
        ("ml_training_template", {**IRIS, "hyperparameters": {"n_estimators": "many"}},
         "hyperparameters.n_estimators", "must be of type integer, got string"),
        ("ml_training_template", {**IRIS, "hyperparameters": {"n_estimators": -5}},
         "hyperparameters.n_estimators", "must be at least 1, got -5"),
        ("hyperparameter_tuning", {"algorithm": "svm", "C": 0}, "C", "must be at least 1e-09, got 0"),
        ("model_evaluation", {}, "model", "is required: {job_id} or {job_id}/{artifact}"),
        ("batch_inference", IRIS, "model", "is required"),
        ("command", {"command": []}, "command", "must be a list of strings"),
        ("command", {"command": ["sleep", 1]}, "command", "must be a list of strings"),
        ("command", {"command": ["${{ parameters.arguments.lerning_rate }}"], "arguments": {"learning_rate": 1}},
         "command", "did you mean parameters.arguments.learning_rate?"),
        ("command", {"command": ["echo", "${{ params.x }}"]}, "command", "did you mean parameters?"),
        ("command", {"command": ["true"], "env": {"A": 1}}, "env.A", "must be text"),
        ("command", {"command": ["true"], "env": {"LD_PRELOAD": "x"}}, "env.LD_PRELOAD", "may not be set"),
    ],
)  # fmt: skip
def test_refusals_name_the_field_and_the_remedy(
    template: str, parameters: dict[str, Any], path: str, words: str
) -> None:
    assert words in refused(builtin_templates()[template], parameters)[path]


@pytest.mark.parametrize(
    ("template", "parameters"),
    [
        ("ml_training_template", {**IRIS, "hyperparameters": {"max_depth": None, "max_features": 0.5}}),
        ("ml_training_template", {**IRIS, "algorithm": "dnn", "hyperparameters": {"hidden_layer_sizes": [8, 8]}}),
        ("ml_training_template", {**IRIS, "algorithm": "cnn", "hyperparameters": {"channels": 4}}),
        ("model_evaluation", {"model": "job_a/model.skops"}),
        ("command", {"command": ["echo", "${{ inputs.x }}", "${{ steps.a.outputs.b }}"], "env": {"A": "1"}}),
    ],
)
def test_what_only_the_run_can_judge_passes(template: str, parameters: dict[str, Any]) -> None:
    assert plan(builtin_templates()[template], parameters).parameters.items() >= parameters.items()


def test_a_parameter_means_what_the_steps_make_of_it() -> None:
    template = own(Step("mine", command=("true",)), default_parameters={"dataset_name": "", "preprocessing_steps": []})
    free = {"dataset_name": "s3://bucket/x", "preprocessing_steps": ["anything"]}
    assert plan(template, free).parameters == free


def test_cnn_is_refused_where_no_node_has_torch() -> None:
    training = builtin_templates()["ml_training"]
    assert "no node has" in refused(training, {"algorithm": "cnn"}, torch=False)["algorithm"]
    assert plan(training, {"algorithm": "cnn"}).parameters["algorithm"] == "cnn"
    assert plan(training, {"algorithm": "dnn"}, torch=False).parameters["algorithm"] == "dnn"


def test_what_a_command_asks_for_must_be_given() -> None:
    template = own(Step("a", command=("x", "${{ parameters.rate }}"), env={"T": "${{ parameters.token }}"}),
                   parameters=SECRET)  # fmt: skip
    assert "parameters has no 'token'" in refused(template, {"rate": 1})["parameters"]
    assert plan(template, {"rate": 1, "token": "geheim"}).template.schema.secrets == ("token",)


def test_a_secret_is_no_part_of_the_name() -> None:
    template = own(Step("noop"), parameters=SECRET)
    one, other = (plan(template, {"rate": 0.5, "token": t}).base_name for t in ("geheim", "anders"))
    assert one == other == "own-rate0p5"


@pytest.mark.parametrize(
    ("step", "path", "words"),
    [
        (Step("a", command=("x", "${{ parameters.rat }}")), "execution_steps[1]", "did you mean rate?"),
        (Step("a", command=("x",), env={"K": "${{ secrets.k }}"}), "execution_steps[1]", "unknown placeholder secrets"),
        (Step("a", command=("x",), env={"TF_STEP": "x"}), "execution_steps[1].env.TF_STEP", "may not be set"),
    ],
)
def test_a_template_whose_commands_no_job_could_fill_is_refused(step: Step, path: str, words: str) -> None:
    fine = Step("b", command=("x", "${{ parameters.rate.deep }}", "${{ steps.a.outputs.x }}"))
    [found] = template_errors(own(fine, step, parameters=SECRET))
    assert found.path == path
    assert words in found.message


def test_a_template_that_asks_for_nothing_gets_the_least() -> None:
    assert plan(own(Step("noop")), {}).resources == Vector.from_units(DEFAULT_REQUEST)
    assert plan(own(Step("noop"), resource_requirements={"cpu_cores": 2}), {}).resources == Vector(2000, 1024, 0, 1)
