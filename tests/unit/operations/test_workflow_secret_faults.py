"""What a crash between two writes, or an answer that is lost, leaves of the secrets of runs and schedules.

Each fault has its control: the same without the protection, where what must not happen does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.errors import Conflict, Unavailable
from app.domain.secrets import sealed_by
from app.domain.templates import Parameter, Step, TemplateDraft
from app.domain.transitions import Stamp
from app.domain.workflows.definition import Definition, InputDefinition, StepDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import Workflow
from app.operations.templates import create_template
from app.operations.workflows import controlling, creating, scheduling, secrets
from app.scheduler.retention import Retention
from app.services import Services
from app.storage.memory.secrets import MemorySecretStore
from app.storage.memory.workflows import MemoryScheduleStore, MemoryWorkflowStore
from tests.support.clock import FixedClock
from tests.support.memory import Died, ends, tick
from tests.unit.api.harness import FakeHealth, memory_services

OLD, NEW = {"token": "Geheim-1234"}, {"token": "Neuer-5678"}
LOGIN = TemplateDraft(
    "login", parameters=(Parameter("token", "secret", required=True),), execution_steps=(Step("noop"),)
)
DEFINITION = Definition(
    "guarded",
    (StepDefinition("a", "login", parameters={"token": "${{ inputs.token }}"}),),
    inputs={"token": InputDefinition("secret")},
)
ME = creating.Origin("default", "ann")
HOURS = timedelta(hours=2).total_seconds()
Write = Callable[[Services], Awaitable[Any]]


@pytest.fixture
async def services() -> Services:
    made = memory_services(FixedClock(), FakeHealth())
    await create_template(made, LOGIN)
    await made.definitions.define(DEFINITION, {"login": 1}, made.clock.now())
    return made


async def run(services: Services) -> Workflow:
    return await creating.run_stored(services, "guarded", OLD, ME)


async def start(services: Services) -> Workflow:
    stored = await creating.create(services, DEFINITION, 1, ME, start=False)
    return await controlling.start(services, stored.id, OLD, "ann")


async def rerun(services: Services) -> Workflow:
    [workflow] = the_runs(services) or [await failed(services)]
    return await controlling.rerun(services, workflow.id, "a", NEW, None, "ann")


async def failed(services: Services) -> Workflow:
    """A run that has failed."""
    workflow = await run(services)
    job_id = next(iter(services.jobs._jobs))  # type: ignore[attr-defined]
    await ends(services, job_id, "FAILED")
    return workflow


async def schedule(services: Services) -> Schedule:
    now = services.clock.now()
    asked = Schedule("nightly", "guarded", "0 2 * * *", "UTC", "skip", "default", now, None, OLD)
    return await scheduling.create_schedule(services, asked)


async def unschedule(services: Services) -> None:
    await scheduling.delete_schedule(services, "nightly")


def the_runs(services: Services) -> list[Workflow]:
    assert isinstance(services.workflows, MemoryWorkflowStore)
    return list(services.workflows._workflows.values())


def sealed(services: Services) -> set[str]:
    """What is sealed of runs and schedules."""
    assert isinstance(services.secrets, MemorySecretStore)
    return {each.id for each in services.secrets._sealed.values() if not each.owner.startswith("job_")}


def named(services: Services) -> set[str]:
    """What runs and schedules name."""
    assert isinstance(services.schedules, MemoryScheduleStore)
    owners = [*the_runs(services), *services.schedules._schedules.values()]
    return {each.sealed for each in owners if each.sealed is not None}


async def later(services: Services) -> None:
    tick(services, HOURS)
    await Retention(services).run_once()


def dying(monkeypatch: pytest.MonkeyPatch, of: Any, name: str, *, after: bool) -> None:
    """The process dies at this write: before it, or after it."""
    real = getattr(type(of), name)

    async def die(self: Any, *args: Any) -> Any:
        if after:
            await real(self, *args)
        raise Died

    monkeypatch.setattr(type(of), name, die)


def named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the protection: values are stored after what names them, whose turn does not come."""

    async def promise(services: Services, owner: str, values: dict[str, str], stamp: Stamp) -> str | None:
        return sealed_by(owner, stamp.op) if values else None

    for module in (creating, controlling, scheduling):
        monkeypatch.setattr(module, "seal_values", promise)


WRITES: list[tuple[Write, str, str]] = [
    (run, "workflows", "insert"), (start, "workflows", "commit"), (rerun, "workflows", "commit"),
    (schedule, "schedules", "insert"),
]  # fmt: skip
IDS = ["run", "start", "rerun", "schedule"]


class TestDeathBetweenASecretAndWhatNamesIt:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("write", "store", "name"), WRITES, ids=IDS)
    async def test_leaves_nobody_without_its_secret_and_no_secret_for_good(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str, name: str, after: bool
    ) -> None:
        if write is rerun:
            await failed(services)
        before = sealed(services)
        with monkeypatch.context() as patch:
            dying(patch, getattr(services, store), name, after=after)
            with pytest.raises(Died):
                await write(services)
        assert len(sealed(services) - before) == 1, "it died before anything was stored"
        assert named(services) <= sealed(services) and bool(named(services) - before) is after
        await later(services)
        assert sealed(services) == named(services)

    @pytest.mark.parametrize(("write", "store", "name"), WRITES, ids=IDS)
    async def test_without_the_order_something_names_what_is_nowhere(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str, name: str
    ) -> None:
        """The negative control."""
        if write is rerun:
            await failed(services)
        named_first(monkeypatch)
        dying(monkeypatch, getattr(services, store), name, after=True)
        with pytest.raises(Died):
            await write(services)
        assert named(services) - sealed(services)

    async def test_of_a_schedule_that_is_deleted_leaves_nothing_for_good(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await schedule(services)
        with monkeypatch.context() as patch:
            dying(patch, services.schedules, "delete", after=True)
            with pytest.raises(Died):
                await unschedule(services)
        assert sealed(services) and not named(services)
        await later(services)
        assert not sealed(services)


class TestALostAnswer:
    """The write was made, and the store says that its id is taken, or nothing at all."""

    @pytest.mark.parametrize(("write", "store"), [(run, "workflows"), (schedule, "schedules")], ids=["run", "schedule"])
    async def test_of_an_insert_that_meets_itself_keeps_what_is_named(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str
    ) -> None:
        meets_itself(monkeypatch, getattr(services, store))
        await quietly(write(services))
        assert len(named(services)) == 1 and sealed(services) == named(services)

    @pytest.mark.parametrize(("write", "store"), [(run, "workflows"), (schedule, "schedules")], ids=["run", "schedule"])
    async def test_without_a_look_at_what_is_named_it_would_be_dropped(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write, store: str
    ) -> None:
        """The negative control."""
        meets_itself(monkeypatch, getattr(services, store))

        async def at_once(services: Services, sealed: str | None, named: object) -> None:
            await services.secrets.delete([sealed or ""])

        monkeypatch.setattr(secrets, "_drop", at_once)
        await quietly(write(services))
        assert named(services) - sealed(services)

    @pytest.mark.parametrize("write", [start, rerun], ids=["start", "rerun"])
    async def test_of_a_change_nobody_knows_of_keeps_both(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, write: Write
    ) -> None:
        """The write may still be under way: what it names is not dropped, but found when it never came."""
        if write is rerun:
            await failed(services)
        before = sealed(services)

        async def silent(self: Any, change: Any) -> bool:
            raise Unavailable("MongoDB")

        with monkeypatch.context() as patch:
            patch.setattr(MemoryWorkflowStore, "commit", silent)
            with pytest.raises(Unavailable):
                await write(services)
        assert len(sealed(services) - before) == 1
        await later(services)
        assert sealed(services) == before


def meets_itself(monkeypatch: pytest.MonkeyPatch, of: Any) -> None:
    real = type(of).insert

    async def insert(self: Any, what: Any) -> bool:
        await real(self, what)
        return False

    monkeypatch.setattr(type(of), "insert", insert)


async def quietly(write: Awaitable[Any]) -> None:
    with suppress(Conflict):
        await write


class TestReruns:
    async def test_one_that_dies_leaves_the_old_secret(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workflow = await failed(services)
        with monkeypatch.context() as patch:
            dying(patch, services.workflows, "commit", after=False)
            with pytest.raises(Died):
                await rerun(services)
        await later(services)
        assert await given_by(services, workflow) == OLD["token"]

    async def test_without_an_id_of_its_own_one_that_dies_has_changed_it(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control: the new values are written over the old ones."""
        monkeypatch.setattr(secrets, "sealed_by", lambda owner, op: owner)
        monkeypatch.setattr(MemorySecretStore, "put", _overwrite)
        workflow = await failed(services)
        dying(monkeypatch, services.workflows, "commit", after=False)
        with pytest.raises(Died):
            await rerun(services)
        assert services.secrets._sealed[workflow.id].values == {**OLD, "a:token": NEW["token"]}  # type: ignore[attr-defined]

    async def test_two_at_once_lose_no_secret(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second read what the first has replaced: it is refused, and drops its own."""
        workflow = await failed(services)
        real = controlling.seal_values

        async def overtaken(services: Services, owner: str, values: dict[str, str], stamp: Stamp) -> str | None:
            mine = await real(services, owner, values, stamp)
            other = await real(services, owner, {**values, "a:token": "first"}, services.stamp())
            runs: dict[str, Workflow] = services.workflows._workflows  # type: ignore[attr-defined]
            runs[owner] = replace(runs[owner], sealed=other)
            return mine

        monkeypatch.setattr(controlling, "seal_values", overtaken)
        with pytest.raises(Conflict, match="just been changed"):
            await rerun(services)
        [now] = the_runs(services)
        assert (await services.secrets.get(now.sealed or "") or {})["a:token"] == "first"
        assert sealed(services) == {workflow.sealed, now.sealed}


async def given_by(services: Services, workflow: Workflow) -> str:
    """What a retry gives to the step."""
    again = await controlling.retry(services, workflow.id, None, "ann")
    job_ids = [job_id for job_id, job in services.jobs._jobs.items() if not job.terminal]  # type: ignore[attr-defined]
    assert again.step("a").run == 1 and len(job_ids) == 1
    return (await services.secrets.get(job_ids[0]) or {})["token"]


async def _overwrite(self: Any, sealed: Any) -> None:
    self._sealed[sealed.id] = sealed
