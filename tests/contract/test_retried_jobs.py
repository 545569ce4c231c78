"""A retry with changed parameters over every store: what is stored, and by what the job is found from then on."""

from __future__ import annotations

from app.domain.control_transitions import retry_manually
from app.domain.records import JobQuery
from app.domain.transitions import apply
from tests.contract.conftest import Stores
from tests.unit.domain.builders import a_job


async def found(stores: Stores, text: str) -> int:
    return len((await stores.jobs.find(JobQuery(text=text))).jobs)


async def test_a_job_is_found_by_its_new_parameters_and_no_more_by_the_old(stores: Stores) -> None:
    builder = a_job("ml_training", parameters={"dataset_name": "iris", "algorithm": "knn"}, tags=("mine",), name="one")
    job = builder.failed().job
    await stores.jobs.insert(job)
    parameters = {**job.parameters, "dataset_name": "wine", "target_column": "hidden"}
    changed = {"parameters": parameters, "steps": job.steps, "secrets": ("target_column",)}
    change = retry_manually(job, builder.stamp("ann"), "other data", eligible=True, changed=changed)
    assert await stores.jobs.commit([change]) == [True]
    assert await stores.jobs.get(job.id) == apply(job, change)
    assert [await found(stores, text) for text in ("wine", "knn", "mine", "one", "iris", "hidden")] == [
        1,
        1,
        1,
        1,
        0,
        0,
    ]
