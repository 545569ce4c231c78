"""Logs in MongoDB: the lines of a run in chunks.

    {_id: "{job}-{run}-{first}-{last}", job_id, run_no, first, last, at, lines: [{n, at, step, stream, text}]}

A chunk is inserted once and never changed, so appending the same lines again is nothing. Chunks may overlap (a writer
that was not answered sends its lines again together with later ones): a line is told once, by its number. What a run
keeps is bounded by its writer, which numbers every line and has the oldest chunks of the tail deleted; the gaps in the
numbers are told as lines (`app.domain.log_cuts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.domain.ids import run_key
from app.domain.log_cuts import with_cuts
from app.domain.records import LogLine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.group_commit import GroupedInserts
from app.storage.mongo import Collection, Database, Document

CHUNK_LINES = 1_000
CHUNK_CHARACTERS = 1 << 20
"""A character takes at most four bytes: a chunk stays well below the 16 MiB of a document."""
CHUNKS_AT_ONCE = 16


class MongoLogStore:
    """`LogStore` over the collection `logs`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._logs, self._patience = database["logs"], patience
        self._inserts = GroupedInserts(self._logs, patience)

    async def append(self, job_id: str, run_no: int, lines: Sequence[LogLine]) -> None:
        await self._inserts.insert([_chunk_document(job_id, run_no, chunk) for chunk in chunks_of(lines)])

    async def read(
        self, job_id: str, run_no: int | None = None, *, after: int = 0, step: str | None = None, limit: int = 1_000
    ) -> list[LogLine]:
        if run_no is None:
            run_no = await newest_run(self._logs, job_id)
        found: list[LogLine] = []
        while len(found) < limit:
            chunks = await self._chunks(job_id, run_no, after)
            if not chunks:
                break
            lines = list(with_cuts(lines_of(chunks, after), after))
            found += [line for line in lines if step in (None, line.step)]
            after = lines[-1].n
        return found[:limit]

    async def delete_between(self, job_id: str, run_no: int, after: int, before: int) -> None:
        gone = {"job_id": job_id, "run_no": run_no, "first": {"$gt": after}, "last": {"$lt": before}}
        await until_answered(lambda: self._logs.delete_many(gone), self._patience)

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        await until_answered(lambda: self._logs.delete_many({"job_id": {"$in": list(job_ids)}}), self._patience)

    async def _chunks(self, job_id: str, run_no: int | None, after: int) -> list[Document]:
        """The next few chunks that hold lines after that one."""
        wanted = {"job_id": job_id, "run_no": run_no, "last": {"$gt": after}}
        with answered():
            return await self._logs.find(wanted).sort([("first", 1), ("last", 1)]).limit(CHUNKS_AT_ONCE).to_list(None)


async def newest_run(chunks: Collection, job_id: str) -> int | None:
    """The `run_no` of the job's newest run that has chunks in this collection."""
    with answered():
        found = await chunks.find({"job_id": job_id}, {"run_no": 1}).sort([("run_no", -1)]).limit(1).to_list(None)
    return found[0]["run_no"] if found else None


def chunks_of(lines: Sequence[LogLine]) -> Iterator[list[LogLine]]:
    """The lines in pieces that fit into a document."""
    chunk: list[LogLine] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) == CHUNK_LINES or size + len(line.text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line.text)
    if chunk:
        yield chunk


def lines_of(chunks: Sequence[Document], after: int) -> Iterator[LogLine]:
    """Lines of chunks that are sorted by their first and last number, ascending, each number once."""
    for chunk in chunks:
        for line in chunk["lines"]:
            if line["n"] > after:
                after = line["n"]
                yield _line(line)


def _chunk_document(job_id: str, run_no: int, lines: Sequence[LogLine]) -> Document:
    first, last = lines[0], lines[-1]
    return {
        "_id": f"{run_key(job_id, run_no)}-{first.n}-{last.n}",
        "job_id": job_id,
        "run_no": run_no,
        "first": first.n,
        "last": last.n,
        "at": last.at,
        "lines": [{"n": x.n, "at": x.at, "step": x.step, "stream": x.stream, "text": x.text} for x in lines],
    }


def _line(d: Mapping[str, Any]) -> LogLine:
    return LogLine(d["n"], d["at"], d["step"], d["stream"], d["text"])
