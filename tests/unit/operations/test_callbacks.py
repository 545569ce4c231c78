"""The one POST at the end of a batch: told once, tried again, given up; a process that dies over it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.batches import Callback
from app.domain.errors import Invalid
from app.domain.ports import Delivery
from app.metrics import Metrics
from app.operations.batches.controlling import retry_whole
from app.operations.callbacks import CLAIM, DELAYS, after_try
from app.scheduler.callbacks import Callbacks
from app.services import Services
from app.storage.memory.webhooks import MemoryWebhooks
from tests.support.clock import NOON, FixedClock
from tests.support.memory import Died, ends, tick
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.operations.test_batches import NOOP, ids, now, submitted

URL = "https://ci.example.com/hook"
BROKEN = Delivery("answered 500")


@pytest.fixture
def services() -> Services:
    return memory_services(FixedClock(), FakeHealth())


@pytest.fixture
def hooks(services: Services) -> MemoryWebhooks:
    assert isinstance(services.webhooks, MemoryWebhooks)
    return services.webhooks


@pytest.fixture
def callbacks(services: Services) -> Callbacks:
    return Callbacks(services, Metrics())


async def test_the_end_is_told_once(services: Services, hooks: MemoryWebhooks, callbacks: Callbacks) -> None:
    made = await submitted(services, NOOP, NOOP, callback_url=URL)
    await ends(services, ids(made)[0])
    await callbacks.run_once()
    assert hooks.sent == [], "it has not ended"
    await ends(services, ids(made)[1], "FAILED")
    for _ in range(3):
        await callbacks.run_once()
    [(url, message)] = hooks.sent
    assert (url, message.id, message.type) == (URL, f"msg_{made.batch.id}_2", "batch.ended")
    assert {n: message.data[n] for n in ("id", "status", "size", "seq")} == {
        "id": made.batch.id, "status": "FAILED", "size": 2, "seq": 2,
    }  # fmt: skip
    assert message.data["counts"] == (await now(services, made)).counts.tell()
    callback = (await now(services, made)).callback
    assert callback is not None and (callback.delivered_at, callback.tries) == (services.clock.now(), 1)


async def test_it_is_tried_again_under_the_same_id(
    services: Services, hooks: MemoryWebhooks, callbacks: Callbacks
) -> None:
    made = await submitted(services, NOOP, callback_url=URL)
    await ends(services, ids(made)[0])
    hooks.answers = [BROKEN, BROKEN]
    await callbacks.run_once()
    await callbacks.run_once()
    assert len(hooks.sent) == 1, "not before its time"
    for delay in DELAYS[:2]:
        tick(services, delay.total_seconds() * 1.2)
        await callbacks.run_once()
    assert [message.id for _, message in hooks.sent] == [f"msg_{made.batch.id}_2"] * 3
    callback = (await now(services, made)).callback
    assert callback is not None and (callback.tries, callback.due, callback.trouble) == (3, None, None)


async def test_a_process_that_dies_over_a_try_has_it_made_again_when_its_claim_is_over(
    services: Services, hooks: MemoryWebhooks, callbacks: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await submitted(services, NOOP, callback_url=URL)
    await ends(services, ids(made)[0])

    async def dies(*_: object) -> Delivery:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(hooks, "send", dies)
        with pytest.raises(Died):
            await callbacks.run_once()
    await callbacks.run_once()
    assert hooks.sent == [], "somebody else may be at it"
    tick(services, CLAIM.total_seconds() + 1)
    await callbacks.run_once()
    assert [message.id for _, message in hooks.sent] == [f"msg_{made.batch.id}_2"]


async def test_a_batch_that_is_retried_tells_its_next_end_too(
    services: Services, hooks: MemoryWebhooks, callbacks: Callbacks
) -> None:
    made = await submitted(services, NOOP, callback_url=URL)
    await ends(services, ids(made)[0], "FAILED")
    tick(services)
    await retry_whole(services, made.batch.id, "ann", None)
    await callbacks.run_once()
    assert hooks.sent == [], "it runs again: the end that nobody was told of is none any more"
    await ends(services, ids(made)[0])
    await callbacks.run_once()
    assert [(m.id, m.data["status"]) for _, m in hooks.sent] == [(f"msg_{made.batch.id}_4", "COMPLETED")]


def test_tries_are_spread_and_end() -> None:
    callback, waited = Callback(URL, 2, tries=1), []
    for _ in range(len(DELAYS)):
        after = after_try(callback, BROKEN, NOON, 0.0)
        assert after.due is not None and after.trouble == "answered 500"
        waited.append(after.due - NOON)
        assert after_try(callback, BROKEN, NOON, 1.0).due == NOON + (after.due - NOON) * 1.2
        callback = Callback(URL, 2, tries=callback.tries + 1)
    assert waited == list(DELAYS) and waited[-1] == timedelta(hours=12)
    assert after_try(callback, BROKEN, NOON, 0.0).due is None
    assert after_try(Callback(URL, 2, tries=1), Delivery("gone", final=True), NOON, 0.0).due is None


async def test_an_address_that_cannot_be_told_is_refused_at_once(services: Services, hooks: MemoryWebhooks) -> None:
    hooks.refuses = "10.0.0.1 is not a public address"
    with pytest.raises(Invalid) as refusal:
        await submitted(services, NOOP, callback_url="http://10.0.0.1/")
    assert [(e.path, e.message) for e in refusal.value.errors] == [("callback_url", hooks.refuses)]
