"""From a request to a job: the seed's request verbatim, and every refusal with its path."""

from datetime import timedelta
from typing import Any

import pytest

from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Invalid
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify

SEED: dict[str, Any] = {
    "dataset_name": "iris",
    "algorithm": "random_forest",
    "target_column": "species",
    "hyperparameters": {"n_estimators": 100, "max_depth": 5},
}
NODE = Vector.from_units({"cpu_cores": 64, "memory_gb": 256, "gpu_count": 8, "storage_gb": 1000})
POLICY = SubmitPolicy(timedelta(seconds=3600), 3, (NODE,))


def plan(template: str = "ml_training_template", **request: Any) -> Specification:
    request.setdefault("parameters", SEED if template == "ml_training_template" else {})
    return specify(JobRequest(template, **request), builtin_templates()[template], POLICY)


def errors(template: str = "ml_training_template", **request: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        plan(template, **request)
    return {e.path: e.message for e in refused.value.errors}


def test_the_seeds_request_resolves() -> None:
    found = plan(
        priority=Priority.HIGH,
        resources={"cpu_cores": 4, "memory_gb": 8},
        retry_policy={"max_attempts": 3, "retry_delay": 60},
    )
    assert found.base_name == "iris-random-forest-species-n100-d5"
    assert found.resources == Vector(4000, 8192, 0, 10)
    assert [(s.step, s.timeout) for s in found.steps] == [
        ("data_preparation", 300),
        ("model_training", 1800),
        ("model_evaluation", 600),
        ("model_storage", 300),
    ]
    assert found.retry_policy.retry_delay == 60
    assert found.timeout == 3600


def test_an_alias_is_the_same_parameter() -> None:
    found = plan("hyperparameter_tuning", parameters={"algorithm": "svm", "C": 10.0, "dataset": "wine"})
    assert found.parameters["dataset_name"] == "wine"
    assert "dataset" not in found.parameters
    assert found.base_name == "wine-svm-c10"


@pytest.mark.parametrize(
    ("request_fields", "path", "words"),
    [
        ({"parameters": {**SEED, "algoritm": "svm"}}, "parameters.algoritm", "did you mean algorithm?"),
        ({"parameters": {**SEED, "algorithm": "random_forst"}}, "parameters.algorithm", "did you mean random_forest?"),
        ({"parameters": {**SEED, "algorithm": 7}}, "parameters.algorithm", "must be of type string, got integer"),
        ({"parameters": {}}, "parameters.dataset_name", "is required"),
        ({"parameters": {**SEED, "dataset": "wine"}}, "parameters.dataset", "are one parameter, but differ"),
        ({"parameters": {**SEED, "hyperparameters": {"$x": 1}}}, "parameters.hyperparameters.$x", "unknown hyperp"),
        ({"parameters": {**SEED, "dataset_name": "../etc/passwd"}}, "parameters.dataset_name", "leaves the data root"),
        ({"parameters": {**SEED, "dataset_name": "/etc/passwd"}}, "parameters.dataset_name", "absolute path"),
        ({"parameters": {**SEED, "target_column": "price"}}, "parameters.target_column", "has the target 'species'"),
        ({"resources": {"cpu_cores": -1}}, "resources.cpu_cores", "must not be negative"),
        ({"resources": {"memory_gb": float("nan")}}, "resources.memory_gb", "finite"),
        ({"resources": {"cpu_cores": 1e9}}, "resources.cpu_cores", "more than any node can have"),
        ({"resources": {"gpu_count": 0.5}}, "resources.gpu_count", "whole number"),
        ({"resources": {"gpu_count": 16}}, "resources.gpu_count", "more than the largest node has (8)"),
        ({"dependencies": ("job.1",)}, "dependencies[0]", "not a job id"),
        ({"timeout": 0.0}, "timeout", "must be more than 0"),
        ({"name": "x" * 10_000}, "name", "1 to 200 characters"),
        ({"name": "a\nb"}, "name", "control characters"),
        ({"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts", "between 1 and 100"),
        ({"retry_policy": {"retry_on": ["eror"]}}, "retry_policy.retry_on[0]", "did you mean error?"),
        ({"executor": "proces"}, "executor", "did you mean process?"),
        ({"executor": "inline"}, "executor", "inline takes only light steps"),
        ({"node_selector": {"a.b": "c"}}, "node_selector.a.b", "must not be empty, hold a dot"),
        ({"metadata": {"a": {"b.c": 1}}}, "metadata.a.b.c", "rename it"),
        ({"limits": ("nobody",)}, "limits[0]", "unknown limit nobody"),
    ],
)
def test_refusals_name_the_field_and_the_remedy(request_fields: dict[str, Any], path: str, words: str) -> None:
    found = errors(**request_fields)
    assert words in found[path]


def test_all_errors_of_a_request_come_at_once() -> None:
    found = errors(parameters={**SEED, "algorithm": "x"}, resources={"cpu_cores": -1}, timeout=-5.0)
    assert set(found) == {"parameters.algorithm", "resources.cpu_cores", "timeout"}


def test_deep_json_is_refused_without_recursion() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    found = errors(parameters={**SEED, "hyperparameters": {"x": deep}})
    assert any("nested deeper" in message for message in found.values())


def test_nothing_is_refused_for_size_while_no_node_has_registered() -> None:
    policy = SubmitPolicy(timedelta(hours=1), 3)
    found = specify(JobRequest("noop", resources={"gpu_count": 64}), builtin_templates()["noop"], policy)
    assert found.resources.gpu == 64


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "TF_JOB_ID", "A=B"])
def test_a_command_may_not_set_what_loads_or_finds_it(name: str) -> None:
    found = errors("command", parameters={"command": ["true"], "env": {name: "x"}})
    assert f"parameters.env.{name}" in found


def test_a_command_is_an_argument_list() -> None:
    line, none = (errors("command", parameters=p)["parameters.command"] for p in ({"command": "rm -rf"}, {}))
    remedy = ': An argument list, such as ["python", "train.py"]; never a shell line'
    assert line == f"must be of type array, got string{remedy}"
    assert none == f"is required (array){remedy}"
    assert "list of strings" in errors("command", parameters={"command": ["echo", 1]})["parameters.command"]
    [step] = plan("command", parameters={"command": ["echo", "hi"], "env": {"A": "1"}}).steps
    assert step.command == ("echo", "hi")
    assert step.env == {"A": "1"}
    assert step.timeout == 3600
