"""Faults of the change stream: F19 and F20 of the catalogue, each with its negative control.

What a subscriber missed it is told by `resync`; after it has read again everything must come by the stream.
"""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from tests.chaos.bodies import NOOP
from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import BRISK, Setting
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
OPLOG_MB = 16
JUNK = b"x" * (1 << 20)
WATCHED_SECONDS = 5.0
"""How long is watched for resyncs that follow each other."""


async def the_history_is_lost(lab: Laboratory) -> None:
    """F19: MongoDB forgets what happened while an API stood still; a job has ended in the meantime."""
    [api] = lab.apis
    job_id = await lab.submit_witnessed(1.5)
    await lab.began(job_id)
    api.freeze()
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        await until(lambda: _has_ended(mongo[lab.database], job_id), 30, every=0.05, message="the job to end")
        await _forget(mongo)
    api.thaw()
    await _final_state_is_told(lab)


async def _has_ended(database: Any, job_id: str) -> bool:
    return (await database["jobs"].find_one({"_id": job_id}, {"status": 1}))["status"] == "COMPLETED"


async def _forget(mongo: AsyncMongoClient[dict[str, Any]]) -> None:
    """Write until the history begins after this moment. What is not yet on the disk is never forgotten."""
    history = mongo["local"]["oplog.rs"]
    [newest] = await history.find().sort("$natural", -1).limit(1).to_list()
    junk = mongo["junk"]["junk"]

    async def forgotten() -> bool:
        await junk.insert_many([{"junk": JUNK} for _ in range(4)])
        await junk.delete_many({})
        await mongo.admin.command("fsync")
        [oldest] = await history.find().sort("$natural", 1).limit(1).to_list()
        return bool(oldest["ts"] > newest["ts"])

    await until(forgotten, 60, every=0.05, message="the history to be forgotten")


async def data_is_dropped(lab: Laboratory) -> None:
    """F20: the collection of the logs, which the stream watches, with everything else left as it is."""
    job_id = await lab.submit_witnessed(3)
    await lab.began(job_id)
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        await mongo[lab.database]["logs"].drop()
    await _final_state_is_told(lab)


async def _final_state_is_told(lab: Laboratory) -> None:
    """By the stream and in time, after one resync and no more."""
    [subscriber] = lab.subscribers
    back = boot_time()
    job_id = await lab.client.submit(NOOP)
    await until(lambda: subscriber.state_of(job_id) == "COMPLETED", 30, every=0.02, message="the final state")
    lab.figure("final state told after", boot_time() - back, at_most=10)
    await elapse(WATCHED_SECONDS)
    lab.figure("losses that were not told", int(subscriber.resyncs == 0), "losses", at_most=0)
    lab.figure("resyncs told", subscriber.resyncs, "times", at_most=2)


def forgetful(*without: str) -> Setting:
    return Setting(pace=BRISK, oplog_mb=OPLOG_MB, without=without)


async def test_f19_the_history_is_lost(trial: Trial) -> None:
    assert (await trial(forgetful(), the_history_is_lost)).violations == []


async def test_f19_without_the_resync_there_is_a_silent_gap(trial: Trial) -> None:
    assert {"I6", "figure"} <= (await trial(forgetful("resync"), the_history_is_lost)).broken


async def test_f20_data_is_dropped(trial: Trial) -> None:
    assert (await trial(Setting(pace=BRISK), data_is_dropped)).violations == []


async def test_f20_without_heed_of_drops_nobody_is_told(trial: Trial) -> None:
    assert "figure" in (await trial(Setting(pace=BRISK, without=("drops",)), data_is_dropped)).broken
