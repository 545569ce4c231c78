"""Searching 100,000 jobs: by words (`q`) and by parameters, beside the ways that were not taken.

The jobs are of 25 data sets, 7 algorithms and 40 tags, with four entries of history each, written past the service.
Ours are the questions of the service's own store, 50 jobs newest first. Beside them: a text index, which finds whole
words only, and what the indexes cost an insert.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import IndexModel

from app.dev.embedded import EmbeddedServers
from app.domain.builtin_templates import builtin_templates
from app.domain.ids import new_job_id
from app.domain.job import Job
from app.domain.new_job import build_job
from app.domain.records import JobQuery
from app.domain.specification import JobRequest, SubmitPolicy, specify
from app.domain.transitions import RunEnd, Stamp, apply, complete, place, start
from app.storage.documents import job_document
from app.storage.indexes import INDEXES, ensure_indexes
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database, connect
from bench import kit

JOBS = 100_000
CHUNK = 1_000
ROUNDS = 15
START = datetime(2026, 1, 1, tzinfo=UTC)
DATA = ("iris", "wine", "digits", "breast_cancer", "diabetes", *(f"sales-{n}.csv" for n in range(20)))
ARGUMENT = {
    "random_forest": "n_estimators", "logistic_regression": "max_iter", "svm": "degree", "decision_tree": "max_depth",
    "gradient_boosting": "n_estimators", "knn": "n_neighbors", "dnn": "max_iter",
}  # fmt: skip
POLICY = SubmitPolicy(timedelta(hours=1), 3)
OURS = {"by_search", "by_fact"}


def _job(n: int, chance: random.Random) -> Job:
    """The n-th job, completed."""
    template = builtin_templates()["hyperparameter_tuning"]
    algorithm = chance.choice(tuple(ARGUMENT))
    asked = {
        "dataset_name": DATA[n % len(DATA)],
        "algorithm": algorithm,
        "seed": n,
        "learning_rate": chance.choice([0.1, 0.01, 0.001]),
        "max_epochs": chance.randrange(1, 500),
        "hyperparameters": {ARGUMENT[algorithm]: n % 13 + 1},
    }
    found = specify(JobRequest(template.id, asked, tags=(f"team-{n % 40}", "nightly")), template, POLICY)
    at = START + timedelta(seconds=n)
    stamp, job_id = Stamp(at, "bench", f"{n}"), new_job_id(at, n.to_bytes(10, "big"))
    job = build_job(found, job_id=job_id, name=found.base_name, eligible=True, stamp=stamp)
    job = apply(job, place(job, "node-1", (), stamp))
    job = apply(job, start(job, stamp))
    return apply(job, complete(job, RunEnd(800.0, 3.0, {"metrics": {"accuracy": 0.9}, "steps": {}}), stamp))


def _chunks(count: int) -> Iterator[list[dict[str, Any]]]:
    chance = random.Random(7)
    for first in range(0, count, CHUNK):
        yield [job_document(_job(n, chance)) for n in range(first, min(count, first + CHUNK))]


async def _fill(database: Database, count: int) -> float:
    """Insert them; documents a second."""
    seconds = 0.0
    for chunk in _chunks(count):
        began = time.perf_counter()
        await database.raw["jobs"].insert_many(chunk, ordered=False)
        seconds += time.perf_counter() - began
    return count / seconds


QUESTIONS: Sequence[tuple[str, JobQuery]] = (
    ("q=iris: one in 25, newest first", JobQuery(text="iris")),
    ("q=nightly: every job", JobQuery(text="nightly")),
    ("q=n: a letter that begins a word of every job", JobQuery(text="n")),
    ("q=s98765: one job", JobQuery(text="s98765")),
    ("q=iris svm team-25: a few of many", JobQuery(text="iris svm team-25")),
    ("q=iris wine: both frequent, never together", JobQuery(text="iris wine")),
    ("q=unheard: nothing", JobQuery(text="unheard")),
    ("parameter=algorithm:svm: one in 7", JobQuery(facts=(("algorithm", "svm"),))),
    ("parameter=seed:98765: one job", JobQuery(facts=(("seed", "98765"),))),
    ("parameter=algorithm:svm & degree:3", JobQuery(facts=(("algorithm", "svm"), ("degree", "3")))),
    ("parameter=dataset_name:iris & dataset_name:wine: never together",
     JobQuery(facts=(("dataset_name", "iris"), ("dataset_name", "wine")))),
    ("q=iris & parameter=algorithm:svm", JobQuery(text="iris", facts=(("algorithm", "svm"),))),
)  # fmt: skip
TEXTS = ("iris", "nightly", "98765", "unheard")


async def _timed(ask: Callable[[], Awaitable[object]]) -> str:
    """Milliseconds, median and highest."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        spent.append((time.perf_counter() - began) * 1_000)
    return f"{statistics.median(spent):8.1f} ms (at most {max(spent):.1f})"


async def _ours(database: Database) -> None:
    store = MongoJobStore(database)
    for title, query in QUESTIONS:
        found = len((await store.find(query)).jobs)
        print(f"{title:<64} {found:>4} found {await _timed(partial(store.find, query))}", flush=True)
    count = JobQuery(text="iris")
    print(
        f"{'q=iris, all counted':<64} {await store.count(count):>4} found {await _timed(partial(store.count, count))}"
    )


async def _text_index(database: Database) -> None:
    """The same words by a text index over the same terms."""
    jobs = database.raw["jobs"]
    began = time.perf_counter()
    await jobs.create_indexes([IndexModel([("search", "text")], name="text", default_language="none")])
    print(f"text index: built in {time.perf_counter() - began:.0f} s")
    for word in TEXTS:
        wanted = {"$text": {"$search": f'"{word}"'}}

        async def ask(wanted: dict[str, Any] = wanted) -> list[Any]:
            newest = jobs.find(wanted).sort([("submitted_at", -1), ("_id", -1)]).limit(51)
            found: list[Any] = await newest.to_list(None)
            return found

        print(f"{'text index: ' + word:<64} {min(50, len(await ask())):>4} found {await _timed(ask)}", flush=True)


async def _sizes(database: Database) -> None:
    stats = await database.command("collStats", value="jobs")
    sizes = {name: round(size / (1 << 20), 1) for name, size in stats["indexSizes"].items()}
    print(f"documents {stats['avgObjSize']} bytes each; indexes in MiB: {sizes}")


async def _inserts(uri: str) -> None:
    """What the two indexes cost an insert: 20,000 documents with all other indexes, and with them."""
    for title, without in (("without both", OURS), ("without by_fact", {"by_fact"}), ("with both", set[str]())):
        rates = []
        for n in range(3):
            database = connect(uri, f"inserts_{n}_{len(without)}")
            wanted = [index for index in INDEXES["jobs"] if index.document["name"] not in without]
            await ensure_indexes(database, {"jobs": wanted})
            rates.append(await _fill(database, 20_000))
            await database.raw.client.drop_database(database.name)
            await database.close()
        print(f"inserts {title:<20} {kit.spread(rates, 0)} documents/s", flush=True)


@asynccontextmanager
async def _mongod() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        servers = EmbeddedServers(Path(folder), redis=False, preferred_ports=(0, 0))
        await servers.start()
        try:
            yield servers.endpoints.mongodb_uri or ""
        finally:
            await servers.stop()


async def main() -> None:
    print(kit.machine())
    async with _mongod() as uri:
        await _inserts(uri)
        database = connect(uri, "search")
        await ensure_indexes(database, {"jobs": INDEXES["jobs"]})
        await _fill(database, JOBS)
        await _sizes(database)
        await _ours(database)
        await _text_index(database)
        await _sizes(database)
        await database.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
