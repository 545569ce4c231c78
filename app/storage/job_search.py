"""How a search for words goes through the jobs: by the index of words, or from the newest on.

A word that few jobs have is found by its range in the index; words that many have are met soon on the way from the
newest. The server's planner cannot know which it is: it judges by trial and remembers the judgement for other words of
the same question, so that a rare word may cost a walk through all jobs. So the words are counted first, up to a bound
and in the index alone, which takes a few milliseconds, and the cheaper way is told.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from pymongo.errors import ExecutionTimeout, OperationFailure

from app.domain.errors import Invalid
from app.domain.records import JobQuery
from app.storage.job_queries import has_other_filters, matching, with_word
from app.storage.mongo import Collection, Database, Document
from app.storage.search import search_words

BY_WORD, FROM_NEWEST = "by_search", "newest"
MOST_COUNTED = 5_000
RARE = 1_000
"""So many jobs are fetched and sorted in no time, whatever else is asked of them."""
SCATTERED = 4
"""A job that is fetched through the index of words costs so many on the way from the newest, which lie side by side."""
MILLISECONDS = 5_000
"""A search that takes longer is given up."""
_BAD_HINT = 2


async def listed(database: Database, query: JobQuery, find: Callable[..., Awaitable[list[Document]]]) -> list[Document]:
    """What `find` answers when it goes the cheaper way; any way while that index is being built. Raises Invalid for a
    search, by words or by parameters, that takes too long."""
    if not _searches(query):
        return await find()
    with _in_time(query):
        hint = await _cheaper_index(database, query)
        try:
            return await find(max_time_ms=MILLISECONDS, **({} if hint is None else {"hint": hint}))
        except OperationFailure as error:
            if hint is None or error.code != _BAD_HINT:
                raise
            return await find(max_time_ms=MILLISECONDS)


async def counted(jobs: Collection, query: JobQuery) -> int:
    """How many match. Raises as `listed`."""
    if not _searches(query):
        return await jobs.count_documents(matching(query))
    with _in_time(query):
        return await jobs.count_documents(matching(query), maxTimeMS=MILLISECONDS)


def _searches(query: JobQuery) -> bool:
    return bool(query.text or query.facts)


@contextmanager
def _in_time(query: JobQuery) -> Iterator[None]:
    try:
        yield
    except ExecutionTimeout:
        place, more = ("q", "a longer word") if query.text else ("parameter", "a rarer value")
        remedy = f"add {more}, or a filter such as `template`, `batch_id` or `submitted_after`"
        raise Invalid.one(place, f"looks through too many jobs; {remedy}") from None


async def _cheaper_index(database: Database, query: JobQuery) -> str | None:
    """The index to go by; None where that is the server's to judge."""
    words = search_words(query.text or "")
    if not words:
        return None
    jobs = database["jobs"]
    hits = await asyncio.gather(*(jobs.count_documents(with_word(word), limit=MOST_COUNTED) for word in words))
    if min(hits) <= RARE:
        return BY_WORD
    if has_other_filters(query):
        return None
    return by_cost(hits, (await database.command("count", value="jobs"))["n"], query.limit)


def by_cost(hits: Sequence[int], everything: int, limit: int) -> str:
    """The cheaper index for jobs that have all these words, each in so many of `everything`, `limit` to be found.

    By words: every hit of the rarest is fetched, however many there are beyond what was counted. From the newest: jobs
    are passed until enough have all words, which are taken to be independent of each other.
    """
    if min(hits) >= MOST_COUNTED:
        return FROM_NEWEST
    share = math.prod(min(1.0, n / everything) for n in hits) if everything else 1.0
    passed = min(everything, limit / share) if share else everything
    return BY_WORD if SCATTERED * min(hits) < passed else FROM_NEWEST
