"""Indexes are made by whoever starts first, and used by the questions they are made for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo import IndexModel

from app.config import load_settings
from app.domain.batches import BatchKind, BatchQuery, BatchStatus
from app.domain.errors import Invalid
from app.domain.ports import EndedJob
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.sizing.kinship import Group, Kinship
from app.domain.sizing.residuals import TELLING
from app.domain.states import JobStatus
from app.retention import RetentionSettings
from app.storage import batch_queries, job_queries, job_search
from app.storage.artifacts import FIRST
from app.storage.documents import job_document
from app.storage.indexes import INDEXES, POLL_INDEXES, ensure_indexes, kept_indexes
from app.storage.job_search import BY_WORD, FROM_NEWEST
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from app.storage.runs import telling_of_memory
from tests.unit.domain.builders import NOW, a_job


async def names(mongo: Database, collection: str) -> set[str]:
    cursor = await mongo.command("listIndexes", value=collection)
    return {index["name"] for index in cursor["cursor"]["firstBatch"]}


async def test_several_processes_at_once_and_again(mongo: Database) -> None:
    await asyncio.gather(*(ensure_indexes(mongo) for _ in range(4)))
    await ensure_indexes(mongo)
    for collection, models in INDEXES.items():
        assert await names(mongo, collection) == {"_id_", *(m.document["name"] for m in models)}


async def test_one_that_was_changed_is_made_anew_and_others_are_left_alone(mongo: Database) -> None:
    await mongo.command("createIndexes", value="answers", indexes=[{"name": "kept", "key": {"status": 1}}])
    await mongo.command("createIndexes", value="answers", indexes=[{"name": "theirs", "key": {"body_digest": 1}}])
    await asyncio.gather(*(ensure_indexes(mongo, kept_indexes(RetentionSettings())) for _ in range(3)))
    answer = await mongo.command("listIndexes", value="answers")
    found = {index["name"]: index for index in answer["cursor"]["firstBatch"]}
    assert found["kept"]["key"] == {"at": 1}
    assert found["kept"]["expireAfterSeconds"] == 86_400
    assert "theirs" in found


@pytest.mark.parametrize(("collection", "days"), [("answers", 1), ("logs", 7), ("metrics", 60), ("runs", 365)])
async def test_what_grows_with_every_run_is_dropped_in_time(mongo: Database, collection: str, days: int) -> None:
    await ensure_indexes(mongo, kept_indexes(RetentionSettings()))
    answer = await mongo.command("listIndexes", value=collection)
    kept = {index["name"]: index.get("expireAfterSeconds") for index in answer["cursor"]["firstBatch"]}
    assert kept["kept"] == days * 86_400


def stages(plan: Any) -> set[str]:
    """The names of all stages of a winning plan."""
    if not isinstance(plan, dict):
        return set()
    below = [plan.get("inputStage"), *plan.get("inputStages", ())]
    return {plan["stage"], *(name for inner in below for name in stages(inner))}


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        pytest.param(job_queries.matching(query), job_queries.order(query), id=name)
        for name, query in {
            "all": JobQuery(),
            "state": JobQuery(status=frozenset({JobStatus.QUEUED})),
            "template": JobQuery(template="noop"),
            "algorithm": JobQuery(algorithm="svm"),
            "tag": JobQuery(tag="t"),
            "parameter": JobQuery(facts=(("C", "1"),)),
            "parameters": JobQuery(facts=(("C", "1"), ("h.alpha", "2"))),
            "batch": JobQuery(batch_id="batch_1"),
            "workflow": JobQuery(workflow_id="workflow_1"),
            "oldest first": JobQuery(template="noop", oldest_first=True),
        }.items()
    ]
    + [
        pytest.param({"status": "SUBMITTED", "dependencies": {"$in": ["job_a"]}}, [], id="waiting on"),
        pytest.param(job_queries.ended(NOW), [("finished_at", 1), ("_id", 1)], id="ended"),
        pytest.param(
            job_queries.ended(NOW, EndedJob(NOW, "job_a")), [("finished_at", 1), ("_id", 1)], id="ended after"
        ),
        pytest.param(job_queries.naming(["job_a", "job_b"]), [], id="naming parents"),
        pytest.param({"node_id": "n", "status": {"$in": ["RUNNING"]}}, [], id="on node"),
        pytest.param(job_queries.waiting_of("vision"), [], id="waiting of a tenant"),
        *(pytest.param(each, [], id="place holders") for each in job_queries.PLACE_HOLDERS),
        pytest.param(job_queries.waiting_for(["a", "b"]), [], id="waiting for a limit"),
        pytest.param(
            {**job_queries.waiting_for(["a"]), "effective_priority": "low"},
            job_queries.IN_ORDER,
            id="first for a limit",
        ),
        pytest.param(
            {**job_queries.waiting_for(["a", "b"]), "effective_priority": "low"},
            job_queries.IN_ORDER,
            id="first for some limits",
        ),
        *(pytest.param(wanted, order, id=f"due by {order[0][0]}") for wanted, order in job_queries.due(NOW)),
    ],
)
async def test_no_question_reads_or_sorts_the_whole_collection(
    mongo: Database, wanted: dict[str, Any], order: list[tuple[str, int]]
) -> None:
    await ensure_indexes(mongo)
    await index_suffices(mongo, wanted, order)


async def test_what_polling_asks_is_indexed_once_polling_begins(mongo: Database) -> None:
    await ensure_indexes(mongo)
    assert "last_at" not in await names(mongo, "jobs"), "every transition would pay for it"
    await ensure_indexes(mongo, POLL_INDEXES)
    await index_suffices(mongo, {"last.at": {"$gt": NOW}}, [("last.at", 1)])


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (job_queries.matching(JobQuery(algorithm="svm")), "by_algorithm"),
        (job_queries.matching(JobQuery(batch_id="batch_1")), "by_batch"),
        (job_queries.matching(JobQuery(workflow_id="workflow_1")), "by_workflow"),
        ({"node_id": "n", "status": {"$in": ["RUNNING"]}}, "on_node"),
        ({"keyed.key": "k-1"}, "key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_few_documents_have_is_found_by_its_own_index(
    mongo: Database, wanted: dict[str, Any], index: str
) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many([job_document(a_job().running("other").job) for _ in range(50)])
    query = {"find": "jobs", "filter": wanted}
    answer = await mongo.raw.command({"explain": query, "verbosity": "executionStats"})
    assert f"'{index}'" in str(answer["queryPlanner"]["winningPlan"])
    assert answer["executionStats"]["totalDocsExamined"] == 0


@pytest.mark.parametrize("group", Kinship("default", "train", "svm", "iris").groups(), ids=lambda g: g.name)
async def test_runs_of_a_group_are_found_in_their_order(mongo: Database, group: Group) -> None:
    await ensure_indexes(mongo)
    ended = [{"outcome": outcome, "finished_at": NOW, **group.values} for outcome in TELLING]
    others = [{**run, "algorithm": "knn"} for run in ended]
    await mongo["runs"].insert_many([{**run, "_id": n} for n, run in enumerate([*ended, *others] * 100)])
    wanted = {**group.values, "outcome": {"$in": list(TELLING)}}
    await explained(mongo, "runs", wanted, [("finished_at", -1)])


@pytest.mark.parametrize("tenant", [None, "small"])
async def test_runs_that_tell_of_memory_are_found_without_a_look_at_others(mongo: Database, tenant: str | None) -> None:
    """However many ran that nobody measured, and however many of others."""
    await ensure_indexes(mongo)
    ended = {"outcome": "completed", "finished_at": NOW, "asked": {"memory_mib": 512}}
    unseen = {**ended, "tenant": "small", "peak_memory_mib": None}
    own = {**unseen, "peak_memory_mib": 100.0}
    others = {**own, "tenant": "large"} if tenant else unseen
    await mongo["runs"].insert_many([*({**own} for _ in range(5)), *({**x} for x in [others, unseen] * 200)])
    query = {"find": "runs", "filter": telling_of_memory(NOW, tenant), "sort": {"finished_at": -1}, "limit": 1_000}
    answer = await mongo.raw.command({"explain": query, "verbosity": "executionStats"})
    assert (answer["executionStats"]["nReturned"], answer["executionStats"]["totalDocsExamined"]) == (5, 5)


async def index_suffices(mongo: Database, wanted: dict[str, Any], order: list[tuple[str, int]]) -> None:
    await mongo["jobs"].insert_many([job_document(a_job().job) for _ in range(50)])
    await explained(mongo, "jobs", wanted, order)


async def explained(mongo: Database, collection: str, wanted: dict[str, Any], order: list[tuple[str, int]]) -> None:
    """Neither reads all nor sorts."""
    query = {"find": collection, "filter": wanted, "sort": dict(order)}
    answer = await mongo.raw.command({"explain": query, "verbosity": "queryPlanner"})
    used = stages(answer["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in used
    assert "SORT" not in used


async def test_the_time_that_is_set_is_the_time_that_is_kept(mongo: Database) -> None:
    for days in (1, 2):
        await ensure_indexes(mongo, kept_indexes(load_settings({"RETENTION_LOGS_DAYS": str(days)}).retention))
        answer = await mongo.command("listIndexes", value="logs")
        assert [i["expireAfterSeconds"] for i in answer["cursor"]["firstBatch"] if i["name"] == "kept"] == [
            days * 86_400
        ]


@pytest.mark.parametrize(
    ("collection", "wanted", "order"),
    [
        ("templates", {"id": "mine"}, [("version", -1)]),
        ("templates", {"id": "mine", "version": {"$lt": 9}}, [("version", -1)]),
        ("secrets", {"job_id": {"$in": ["job_a", "job_b"]}}, []),
        ("secrets", {"_id": {"$gt": "job_a"}, "at": {"$lt": NOW}}, [("_id", 1)]),
        ("artifacts.chunks", {"files_id": {"$gt": FIRST, "$lt": ObjectId()}, "n": 0}, [("files_id", 1), ("n", 1)]),
        ("artifacts.files", {"metadata.job_id": {"$gt": "job_a"}}, [("metadata.job_id", 1)]),
        ("nodes", {"state": "LOST", "last.at": {"$lt": NOW}, "allocations": {}, "drain": None}, []),
        ("logs", {"job_id": "job_a", "run_no": 1, "first": {"$gt": 5}, "last": {"$lt": 9}}, []),
    ],
)
async def test_what_retention_asks_is_answered_by_an_index(
    mongo: Database, collection: str, wanted: dict[str, Any], order: list[tuple[str, int]]
) -> None:
    await ensure_indexes(mongo)
    query = {"find": collection, "filter": wanted, "sort": dict(order)}
    explained = await mongo.raw.command({"explain": query, "verbosity": "queryPlanner"})
    assert not {"COLLSCAN", "SORT"} & stages(explained["queryPlanner"]["winningPlan"])


async def test_the_mean_waits_are_counted_over_an_index(mongo: Database) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many([job_document(a_job().job) for _ in range(50)])
    [match, *_] = job_queries.mean_waits(NOW)
    explained = await mongo.raw.command({"explain": {"find": "jobs", "filter": match["$match"]}})
    assert "COLLSCAN" not in stages(explained["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("text", ["unheard", "un-heard.of", "iris unheard", "a+b (c"])
async def test_a_word_that_no_job_has_costs_nothing(mongo: Database, text: str) -> None:
    """A pattern with flags reads the whole index for it."""
    await ensure_indexes(mongo)
    tagged = [a_job("noop", tags=("iris",)).job for _ in range(50)]
    await mongo["jobs"].insert_many([job_document(job) for job in tagged])
    query = {"find": "jobs", "filter": job_queries.matching(JobQuery(text=text)), "hint": BY_WORD}
    explained = await mongo.raw.command({"explain": query, "verbosity": "executionStats"})
    assert explained["executionStats"]["totalKeysExamined"] <= 2
    assert explained["executionStats"]["totalDocsExamined"] == 0


async def test_a_word_is_counted_in_the_index_alone(mongo: Database) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many([job_document(a_job("noop", tags=("iris", "irish")).job) for _ in range(50)])
    count = {"aggregate": "jobs", "cursor": {}, "pipeline": [
        {"$match": job_queries.with_word("iri")}, {"$limit": 20}, {"$group": {"_id": 1, "n": {"$sum": 1}}},
    ]}  # fmt: skip
    explained = await mongo.raw.command({"explain": count, "verbosity": "executionStats"})
    text = str(explained)
    assert "'totalDocsExamined': 0" in text
    assert "COLLSCAN" not in text


async def test_the_way_of_a_search_is_told_by_how_many_jobs_have_its_words(mongo: Database) -> None:
    await ensure_indexes(mongo)
    jobs = [a_job("noop", tags=("all", "rare") if n == 7 else ("all",)).job for n in range(60)]
    await mongo["jobs"].insert_many([job_document(job) for job in jobs])
    store = MongoJobStore(mongo)
    ways: dict[str, str] = {}
    for text, index in (("rare", BY_WORD), ("all", BY_WORD), ("all rare", BY_WORD)):
        assert await job_search._cheaper_index(mongo, JobQuery(text=text)) == index
        ways[text] = ",".join(job.id for job in (await store.find(JobQuery(text=text, limit=5))).jobs)
    assert ways["rare"] == ways["all rare"] == jobs[7].id
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(job_search, "RARE", 0)
        assert await job_search._cheaper_index(mongo, JobQuery(text="all", limit=5)) == FROM_NEWEST
        assert await job_search._cheaper_index(mongo, JobQuery(text="rare", limit=5)) == BY_WORD
        assert await job_search._cheaper_index(mongo, JobQuery(text="all", template="noop")) is None
        found = ",".join(job.id for job in (await store.find(JobQuery(text="all", limit=5))).jobs)
    assert found == ways["all"]


async def test_a_search_that_takes_too_long_is_refused_with_a_remedy(mongo: Database) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many(
        [job_document(a_job("sleep", parameters={"seconds": 1}, tags=("all",)).job) for _ in range(20)]
    )
    slow = {"$expr": {"$function": {"body": "function() { sleep(50); return true }", "args": [], "lang": "js"}}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(job_search, "MILLISECONDS", 100)
        patched.setattr(job_search, "matching", lambda query: {**job_queries.matching(query), **slow})
        with pytest.raises(Invalid, match="q: looks through too many jobs"):
            await MongoJobStore(mongo).count(JobQuery(text="all"))
        with pytest.raises(Invalid, match="parameter: looks through too many jobs"):
            await MongoJobStore(mongo).count(JobQuery(facts=(("seconds", "1"),)))


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        (batch_queries.matching(BatchQuery()), [("_id", -1)]),
        (batch_queries.matching(BatchQuery(status=frozenset({BatchStatus.RUNNING}))), [("_id", -1)]),
        (batch_queries.matching(BatchQuery(kind=BatchKind.SWEEP, after="batch_9")), [("_id", -1)]),
        (batch_queries.open_batches("batch_1"), [("_id", 1)]),
        ({"control.at": {"$lt": NOW, "$gte": job_queries.LONG_AGO}}, [("control.at", 1)]),
        ({"callback.due": {"$lte": NOW, "$gte": job_queries.LONG_AGO}}, [("callback.due", 1)]),
        ({"laid_out": False, "submitted_at": {"$lt": NOW}}, []),
        ({"keyed.key": "k"}, []),
    ],
)
async def test_what_is_asked_of_batches_is_answered_by_an_index(
    mongo: Database, wanted: dict[str, Any], order: list[tuple[str, int]]
) -> None:
    await ensure_indexes(mongo)
    query = {"find": "batches", "filter": wanted, "sort": dict(order)}
    explained = await mongo.raw.command({"explain": query, "verbosity": "queryPlanner"})
    assert not {"COLLSCAN", "SORT"} & stages(explained["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("wanted", [batch_queries.waiting("batch_1", Priority.LOW), batch_queries.open_jobs("batch_1")])
async def test_jobs_of_a_batch_are_found_in_order_by_its_own_index(mongo: Database, wanted: dict[str, Any]) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many([job_document(a_job().but(batch_id="batch_1").job) for _ in range(50)])
    query = {"find": "jobs", "filter": wanted, "sort": dict(batch_queries.IN_ORDER), "hint": batch_queries.INDEX}
    explained = await mongo.raw.command({"explain": query, "verbosity": "queryPlanner"})
    assert not {"COLLSCAN", "SORT"} & stages(explained["queryPlanner"]["winningPlan"])


async def test_the_jobs_of_a_batch_are_counted_without_a_look_at_one(mongo: Database) -> None:
    await ensure_indexes(mongo)
    await mongo["jobs"].insert_many([job_document(a_job().but(batch_id="batch_1").job) for _ in range(50)])
    pipeline = batch_queries.counts(["batch_1", "batch_2"])
    query = {"aggregate": "jobs", "pipeline": pipeline, "cursor": {}, "hint": batch_queries.INDEX}
    explained = await mongo.raw.command({"explain": query, "verbosity": "queryPlanner"})
    assert "FETCH" not in str(explained) and "COLLSCAN" not in str(explained)


async def test_a_worker_of_another_version_changes_no_index_and_makes_those_that_are_missing(mongo: Database) -> None:
    await ensure_indexes(mongo)
    [ours] = [i for i in INDEXES["jobs"] if i.document["name"] == "on_node"]
    theirs = IndexModel([("node_id", 1)], name="on_node", partialFilterExpression={"node_id": {"$type": "string"}})
    new = IndexModel([("colour", 1)], name="by_colour")
    await ensure_indexes(mongo, {"jobs": (theirs, new)}, change=False)
    stored = await mongo.raw["jobs"].index_information()
    assert stored["on_node"]["partialFilterExpression"] == ours.document["partialFilterExpression"]
    assert "by_colour" in stored
    await ensure_indexes(mongo, {"jobs": (theirs,)})
    stored = await mongo.raw["jobs"].index_information()
    assert stored["on_node"]["partialFilterExpression"] == theirs.document["partialFilterExpression"]
