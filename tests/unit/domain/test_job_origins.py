"""Where each value of a job comes from: request, retry, layer, step, setting, service."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.builtin_templates import builtin_layers, builtin_templates
from app.domain.job import Asked, Job
from app.domain.job_origins import job_origins
from app.domain.layers import Layer, derive
from app.domain.new_job import build_job
from app.domain.origins import Origin, Source, template_origins
from app.domain.resources import Vector
from app.domain.sizing.evidence import Sizing
from app.domain.specification import JobRequest, SubmitPolicy, specify
from app.domain.states import JobStatus
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.templates import Parameter, TemplateDraft
from app.domain.transitions import Stamp
from tests.unit.domain.builders import NOW

DRAFT = TemplateDraft(
    "mine",
    parameters=(Parameter("token", "secret"),),
    custom_parameters={"hyperparameters": {"max_depth": 3, "n_estimators": 9}},
    resource_requirements={"memory_gb": 0.3},
    retry_policy={"jitter": 0.5},
)
BASE = builtin_templates()["ml_training_template"]
MINE = derive(DRAFT, BASE, STEP_PARAMETERS, version=4)
BASE_LAYER = "ml_training_template@1"
LAYERS = [Layer("mine", 4, DRAFT), builtin_layers()[BASE.id]]


def job(**request: Any) -> Job:
    request.setdefault("parameters", {"dataset": "iris", "hyperparameters": {"n_estimators": 5}, "token": "hunter2"})
    asked = JobRequest("mine", **request)
    found = specify(asked, MINE, SubmitPolicy(timedelta(hours=1), 3))
    return build_job(found, job_id="job_1", name=found.base_name, eligible=True, stamp=Stamp(NOW, "ada", "op"))


def origins(of: Job) -> dict[str, Origin]:
    return {o.path: o for o in job_origins(of, template_origins(MINE, LAYERS, STEP_PARAMETERS))}


def test_everything_that_was_resolved_is_told() -> None:
    found = origins(job(resources={"cpu_cores": 4}, retry_policy={"max_attempts": 7}, timeout=50.0))
    told = {path: (o.source, o.layer or o.step or o.setting) for path, o in found.items()}
    assert told == {
        "name": (Source.SERVICE, None),
        "parameters.dataset_name": (Source.REQUEST, None),
        "parameters.token": (Source.REQUEST, None),
        "parameters.hyperparameters.n_estimators": (Source.REQUEST, None),
        "parameters.hyperparameters.max_depth": (Source.TEMPLATE, "mine@4"),
        "parameters.algorithm": (Source.TEMPLATE, "ml_training_template@1"),
        "parameters.validation_strategy": (Source.STEP, "model_training"),
        "resources.cpu_cores": (Source.REQUEST, None),
        "resources.memory_gb": (Source.TEMPLATE, "mine@4"),
        "resources.gpu_count": (Source.TEMPLATE, "ml_training_template@1"),
        "resources.storage_gb": (Source.TEMPLATE, "ml_training_template@1"),
        "retry_policy.max_attempts": (Source.REQUEST, None),
        "retry_policy.retry_delay": (Source.DEFAULT, None),
        "retry_policy.backoff": (Source.DEFAULT, None),
        "retry_policy.max_delay": (Source.DEFAULT, None),
        "retry_policy.jitter": (Source.TEMPLATE, "mine@4"),
        "retry_policy.retry_on": (Source.DEFAULT, None),
        "retry_policy.memory_growth": (Source.DEFAULT, None),
        "timeout": (Source.REQUEST, None),
        "executor": (Source.DEFAULT, None),
        "limits": (Source.DEFAULT, None),
        "execution_steps": (Source.TEMPLATE, "ml_training_template@1"),
    }
    assert [(h.layer, h.value) for h in found["parameters.hyperparameters.n_estimators"].hidden] == [("mine@4", 9)]
    assert "hunter2" not in str(found)


def test_what_nobody_says_comes_from_the_settings() -> None:
    found = origins(job(name="mine"))
    assert (found["timeout"].source, found["timeout"].setting) == (Source.SETTING, "JOB_TIMEOUT")
    assert found["retry_policy.max_attempts"].setting == "RETRY_ATTEMPTS"
    assert found["name"].source is Source.REQUEST


def test_saying_the_same_as_the_template_is_said_by_the_request_all_the_same() -> None:
    found = origins(job(parameters={"dataset": "iris", "algorithm": "random_forest"}, executor="process"))
    assert found["parameters.algorithm"].source is Source.REQUEST
    assert found["executor"].source is Source.REQUEST


def test_a_retry_is_told_with_its_entry_of_the_history() -> None:
    asked = (*job().asked, Asked(5, ("parameters.algorithm",)))
    retried = replace(job(), asked=asked, parameters={**job().parameters, "algorithm": "svm"})
    found = origins(retried)["parameters.algorithm"]
    assert (found.source, found.seq) == (Source.RETRY, 5)
    assert [(h.layer, h.value) for h in found.hidden] == [("ml_training_template@1", "random_forest")]


def test_grown_memory_is_the_services_own() -> None:
    grown = replace(job(), resources=Vector(2000, 999, 0, 10))
    found = origins(grown)["resources.memory_gb"]
    assert (found.source, [h.layer for h in found.hidden]) == (Source.SERVICE, ["mine@4", BASE_LAYER])


def test_memory_that_was_asked_for_and_has_grown_is_the_services_own() -> None:
    asked = job(resources={"memory_gb": 0.5})
    [first] = asked.history
    killed = replace(first, seq=2, to=JobStatus.RETRYING, reason="out_of_memory")
    grown = replace(asked, history=(first, killed), resources=Vector(2000, 768, 0, 10))
    assert origins(asked)["resources.memory_gb"].source is Source.REQUEST
    assert origins(grown)["resources.memory_gb"].source is Source.SERVICE
    again = replace(grown, asked=(*grown.asked, Asked(5, ("resources.memory_gb",))))
    assert origins(again)["resources.memory_gb"].source is Source.RETRY


@pytest.mark.parametrize(("source", "want"), [("history", Source.SIZING), ("prior", Source.SIZING)])
def test_what_nobody_asked_for_may_be_sized(source: str, want: Source) -> None:
    sized = replace(job(), sizing=Sizing(source, job().resources))
    found = origins(sized)
    assert found["resources.cpu_cores"].source is found["resources.memory_gb"].source is want
    assert [h.layer for h in found["resources.memory_gb"].hidden] == ["mine@4", BASE_LAYER]
    assert found["resources.storage_gb"].source is Source.TEMPLATE
    asked = replace(job(resources={"memory_gb": 1}), sizing=Sizing("request", job().resources))
    assert origins(asked)["resources.memory_gb"].source is Source.REQUEST
    by_template = replace(job(), sizing=Sizing("template", job().resources))
    assert origins(by_template)["resources.memory_gb"].layer == "mine@4"


def test_a_job_that_does_not_say_what_was_asked_is_told_by_its_values() -> None:
    """Of an earlier release, or with more than is kept of a request."""
    found = origins(replace(job(), asked=()))
    assert found["parameters.dataset_name"].source is Source.REQUEST
    assert found["parameters.hyperparameters.max_depth"].layer == "mine@4"


def test_a_secret_is_neither_in_the_job_nor_in_what_was_asked() -> None:
    found = job()
    assert found.parameters["token"] == "***"
    assert (found.secrets, found.sealed) == (("token",), "job_1")
    assert "hunter2" not in repr(found)
    assert "parameters.token" in found.asked[0].paths
    assert job(parameters={"dataset": "iris"}).sealed is None
