"""What is kept of a sweep comes back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.domain.sweeps.asha import EarlyStopping
from app.domain.sweeps.definition import Definition, definition_from
from app.domain.sweeps.space import Space
from tests.unit.sweeps.builders import SVM, a_sweep, choice, number, whole

REQUEST = JobRequest(
    "hyperparameter_tuning",
    {"algorithm": "svm", "hyperparameters": {"tol": 0.1}},
    priority=Priority.HIGH,
    resources={"cpu_cores": 1},
    dependencies=("job_a",),
    tags=("night",),
    limits=("licences",),
    retry_policy={"max_attempts": 1},
)


def test_a_definition_comes_back_as_it_was() -> None:
    space = Space.of(
        [*SVM.dimensions, number("h.x", step=0.1), choice("l", [1, 2], None, {"a": 1}), whole("n", log=True)]
    )
    sweep = a_sweep(space, strategy="tpe", goal=0.9, seed=7, lag=3, early_stopping=EarlyStopping(4, 2))
    definition = Definition(sweep, REQUEST, 3)
    assert definition_from(json.loads(json.dumps(definition.to_json()))) == definition


def test_a_sweep_of_an_earlier_release_learns_from_all_that_has_ended() -> None:
    kept = Definition(a_sweep(strategy="tpe"), REQUEST, 3).to_json()
    del kept["lag"]
    assert definition_from(kept).sweep.lag is None


def test_moments_stay_moments() -> None:
    later = datetime(2026, 5, 1, tzinfo=UTC)
    definition = Definition(a_sweep(), JobRequest("sleep", start_after=later), 1)
    assert definition_from(definition.to_json()) == definition


def test_the_request_of_a_trial_has_its_values_where_they_belong() -> None:
    request = Definition(a_sweep(), REQUEST, 1).request_for({"C": 1.5, "hyperparameters.degree": 3})
    assert request.parameters == {"algorithm": "svm", "hyperparameters": {"tol": 0.1, "degree": 3}, "C": 1.5}
    assert (request.tags, request.priority) == (REQUEST.tags, Priority.HIGH)
