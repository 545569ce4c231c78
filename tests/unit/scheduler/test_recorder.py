"""The decision log: what a cycle decided is kept beside it, and can be made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.api.routes.decisions import decision_view
from app.cli.replay import run
from app.domain.canonical import unpacked
from app.domain.decisions import Decision
from app.domain.errors import Unavailable
from app.recent import Snapshots
from app.scheduler.replaying import Unreplayable, replay
from app.startup import StartupTrouble
from tests.unit.scheduler.cluster import Cluster


async def decided(cluster: Cluster, term: int = 1) -> list[Decision]:
    await cluster.cycle.run_once(term)
    await cluster.cycle.recorder.settled()
    return await cluster.decisions.newest(10)


async def a_record(**settings: Any) -> dict[str, Any]:
    """What the API answers of a first decision: two jobs placed, one promised."""
    cluster = Cluster(**settings)
    await cluster.add_node(cores=8)
    await cluster.add_many(3, resources={"cpu_cores": 4, "memory_gb": 1})
    [decision] = await decided(cluster)
    snapshot = cluster.services.snapshots.get(decision.id)
    assert snapshot is not None
    return json.loads(json.dumps({**decision_view(decision), "snapshot": unpacked(snapshot)}))


async def test_a_cycle_that_places_is_recorded_and_one_that_decides_nothing_is_not() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=8)
    assert await decided(cluster) == []
    jobs = await cluster.add_many(3, resources={"cpu_cores": 4, "memory_gb": 1})

    [decision] = await decided(cluster, term=7)
    again = await decided(cluster, term=7)

    assert {p["job_id"] for p in decision.plan["placements"]} == {jobs[0].id, jobs[1].id}
    assert [p["job_id"] for p in decision.plan["reservations"]] == [jobs[2].id]
    assert decision.verdict_counts == {"resources": 1}
    assert (decision.id, decision.term, decision.cycle) == ("cycle_7_1", 7, 1)
    assert again == [decision]


@pytest.mark.parametrize(("mode", "stored"), [("some", [True, False]), ("all", [True, True]), ("off", [])])
async def test_what_is_stored_goes_by_the_setting(mode: str, stored: list[bool]) -> None:
    cluster = Cluster(PLAN_RECORD=mode)
    await cluster.add_node(cores=8)
    for _ in range(2):
        await cluster.add_many(1)
        await decided(cluster)

    found = [await cluster.decisions.get(d.id) for d in await cluster.decisions.newest(10)]

    assert [d.snapshot is not None for d in reversed(found) if d] == stored


async def test_a_store_that_is_away_fails_no_cycle() -> None:
    cluster = Cluster()
    await cluster.add_node()
    await cluster.add_many(1)

    async def keep(decisions: Sequence[Decision]) -> None:
        raise Unavailable("MongoDB")

    cluster.decisions.keep = keep  # type: ignore[method-assign]

    assert (await cluster.cycle.run_once(1)).placed == 1
    await cluster.cycle.recorder.settled()
    assert await cluster.decisions.newest(10) == []


async def test_a_record_replays_to_the_same_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = await a_record()
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))

    assert replay(record).differences == ()
    assert run(file) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "identical"


async def test_a_record_of_another_plan_or_snapshot_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = await a_record()
    other = record | {"credit": record["credit"] + 1}
    moved = json.loads(json.dumps(record))
    moved["snapshot"]["nodes"][0]["free"] = [1, 1, 0, 1]
    file = tmp_path / "record.json"
    file.write_text(json.dumps(other))

    assert run(file) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("credit: recorded ")
    differences = replay(moved).differences
    assert differences[0].startswith("the snapshot is not the one")
    assert any(d.startswith("placements: ") for d in differences)


@pytest.mark.parametrize("record", [{}, {"snapshot": None}, {"snapshot": {"format": 9}}, {"snapshot": {"x": 1}}, [], 3])
def test_what_is_no_record_cannot_be_replayed(record: Any) -> None:
    with pytest.raises(Unreplayable):
        replay(record)


def test_a_file_that_cannot_be_read_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(StartupTrouble, match="cannot be read"):
        run(tmp_path / "nowhere")
    (tmp_path / "text").write_text("no")
    with pytest.raises(StartupTrouble, match="is not JSON"):
        run(tmp_path / "text")


def test_the_last_snapshots_are_remembered_within_their_bounds() -> None:
    kept = Snapshots(most=2, bytes_most=10)
    kept.keep("a", b"1234")
    kept.keep("b", b"1234")
    kept.keep("c", b"1234")
    assert [kept.get(k) for k in "abc"] == [None, b"1234", b"1234"]
    kept.keep("d", b"12345678")
    assert [kept.get(k) for k in "bcd"] == [None, None, b"12345678"]
