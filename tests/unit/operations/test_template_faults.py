"""What a crash between two writes leaves of secrets, and what a template that is archived meanwhile does to a submit.

Each fault has its control: the same without the protection, where what must not happen does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.batch_requests import BatchRequest
from app.domain.errors import Invalid
from app.domain.job import Job
from app.domain.specification import JobRequest
from app.domain.templates import Parameter, Step, Template, TemplateDraft
from app.operations import plan, retry, submit
from app.operations.batches import submitting
from app.operations.cancel import cancel
from app.operations.once import IdempotencyKey
from app.operations.templates import archive_template, create_template, revise_template
from app.scheduler.retention import Retention
from app.services import Services
from app.storage.memory.secrets import MemorySecretStore
from app.storage.memory.templates import MemoryTemplateStore
from tests.support.clock import FixedClock
from tests.support.memory import Died, the_job, tick
from tests.unit.api.harness import FakeHealth, memory_services

OLD, NEW = {"token": "Geheim-1234"}, {"token": "Neuer-5678"}
GUARDED = TemplateDraft(
    "guarded", parameters=(Parameter("token", "secret", required=True),), execution_steps=(Step("noop"),)
)
Write = Callable[[Services], Awaitable[Any]]


@pytest.fixture
async def services() -> Services:
    made = memory_services(FixedClock(), FakeHealth())
    await create_template(made, GUARDED)
    return made


async def one(services: Services, template: str = "guarded", key: str | None = None, **given: Any) -> str:
    """The id of a job that was submitted."""
    seen: list[str] = []
    request = JobRequest(template, parameters=given or OLD)
    told = None if key is None else IdempotencyKey(key, "digest")
    await submit.submit(services, request, "ann", lambda done: seen.append(done.job.id) or b"", told)
    return seen[0]


async def keyed(services: Services) -> None:
    await one(services, key="k")


async def batch(services: Services) -> None:
    request = BatchRequest(jobs=tuple(JobRequest("guarded", parameters=OLD) for _ in range(3)))
    await submitting.submit_batch(services, request, "ann", lambda done: b"")


def sealed(services: Services) -> dict[str, dict[str, str]]:
    assert isinstance(services.secrets, MemorySecretStore)
    return {each.id: dict(each.values) for each in services.secrets._sealed.values()}


async def named_and_missing(services: Services) -> list[str]:
    """Jobs that name secrets which are not there: their runs would be given none."""
    jobs = [job for job in services.jobs._jobs.values() if job.sealed is not None]  # type: ignore[attr-defined]
    return [job.id for job in jobs if job.sealed not in sealed(services)]


def dying(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, *, after: bool) -> None:
    """The process dies at this write: before it, or after it."""
    real = getattr(type(of), name)

    async def die(self: Any, *args: Any, **more: Any) -> Any:
        if self is of:
            if after:
                await real(self, *args, **more)
            raise Died
        return await real(self, *args, **more)

    monkeypatch.setattr(type(of), name, die)


def job_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the protection: secrets are stored after what names them."""

    async def later(*args: Any) -> None:
        """Its turn comes after the job, and the process dies there."""

    monkeypatch.setattr(submit, "seal", later)
    monkeypatch.setattr(submitting, "seal", later)


WRITES = [(one, "jobs", "insert"), (keyed, "jobs", "insert_with_answer"), (batch, "batches", "insert")]


class TestDeathBetweenASecretAndItsJob:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("write", "store", "name"), WRITES, ids=["job", "keyed", "batch"])
    async def test_leaves_no_job_without_its_secret_and_no_secret_for_good(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str, name: str, after: bool
    ) -> None:
        dying(monkeypatch, getattr(services, store), name, after=after)
        with pytest.raises(Died):
            await write(services)
        assert sealed(services), "it died before anything was stored"
        assert await named_and_missing(services) == []
        tick(services, timedelta(hours=2).total_seconds())
        await Retention(services).run_once()
        assert bool(sealed(services)) is after
        assert await named_and_missing(services) == []

    @pytest.mark.parametrize(("write", "store", "name"), WRITES, ids=["job", "keyed", "batch"])
    async def test_without_the_order_a_job_names_a_secret_that_is_nowhere(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str, name: str
    ) -> None:
        """The negative control."""
        job_first(monkeypatch)
        dying(monkeypatch, getattr(services, store), name, after=True)
        with pytest.raises(Died):
            await write(services)
        assert await named_and_missing(services)

    async def test_a_retry_that_dies_leaves_the_job_with_its_old_secret(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = await one(services)
        await cancel(services, job_id, "ann", None)
        with monkeypatch.context() as patch:
            dying(patch, services.jobs, "commit", after=False)
            with pytest.raises(Died):
                await retry.retry(services, job_id, "ann", None, retry.RetryChanges(NEW))
        job = await the_job(services, job_id)
        assert (job.status.value, sealed(services)[job.sealed or ""]) == ("CANCELLED", OLD)
        tick(services, timedelta(hours=2).total_seconds())
        await Retention(services).run_once()
        assert sealed(services) == {job_id: OLD}

    async def test_without_an_id_of_its_own_a_retry_that_dies_has_changed_the_secret(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control: the new values are written over the old ones."""
        job_id = await one(services)
        await cancel(services, job_id, "ann", None)
        monkeypatch.setattr(retry, "sealed_by", lambda job_id, op: job_id)
        monkeypatch.setattr(MemorySecretStore, "put", _overwrite)
        dying(monkeypatch, services.jobs, "commit", after=False)
        with pytest.raises(Died):
            await retry.retry(services, job_id, "ann", None, retry.RetryChanges(NEW))
        assert sealed(services) == {job_id: NEW}


async def _overwrite(self: Any, sealed: Any) -> None:
    self._sealed[sealed.id] = sealed


class Remembering(MemoryTemplateStore):
    """Without the protection: remembers the newest version that it has once read, as a cache would."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Template] = {}

    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        if version is None and template_id in self._seen:
            return self._seen[template_id]
        found = await super().get(template_id, version)
        if version is None and found is not None:
            self._seen[template_id] = found
        return found


OPEN = TemplateDraft("open", execution_steps=(Step("noop"),), default_parameters={"rate": 1})


async def overtaken(services: Services, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose template gets a new version and is archived between the reading of its submit and the storing."""
    real = type(services.jobs).insert

    async def late(self: Any, job: Job) -> None:
        await revise_template(services, replace(OPEN, default_parameters={"speed": 2}))
        await archive_template(services, "open")
        await real(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(type(services.jobs), "insert", late)
        return await the_job(services, await one(services, "open", rate=5))


class TestArchiveWhileASubmitRuns:
    async def test_the_job_has_the_version_that_it_was_decided_on_and_is_retried_by_it(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await create_template(services, OPEN)
        job = await overtaken(services, monkeypatch)
        assert (job.template_version, job.parameters) == (1, {"rate": 5})
        await cancel(services, job.id, "ann", None)
        again = await retry.retry(services, job.id, "ann", None, retry.RetryChanges({"rate": 7}))
        assert (again.template_version, again.parameters) == (1, {"rate": 7})

    async def test_without_the_pin_it_could_not_be_retried(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control."""
        await create_template(services, OPEN)
        job = await overtaken(services, monkeypatch)
        await cancel(services, job.id, "ann", None)
        real = plan.template_of

        async def newest(services: Services, template_id: str, version: int | None = None) -> Template:
            return await real(services, template_id)

        monkeypatch.setattr(plan, "template_of", newest)
        monkeypatch.setattr(retry, "template_of", newest)
        with pytest.raises(Invalid, match="archived"):
            await retry.retry(services, job.id, "ann", None, retry.RetryChanges({"rate": 7}))

    async def test_no_submit_that_begins_after_it_is_accepted(self, services: Services) -> None:
        await create_template(services, OPEN)
        await one(services, "open", rate=5)
        await archive_template(services, "open")
        with pytest.raises(Invalid, match="archived"):
            await one(services, "open", rate=5)

    async def test_with_a_memory_of_templates_one_would_be(self, services: Services) -> None:
        """The negative control: what another process remembers."""
        other = replace(services, templates=Remembering())
        await create_template(other, OPEN)
        await one(other, "open", rate=5)
        await archive_template(other, "open")
        assert await one(other, "open", rate=5)
