"""Would new parents close a cycle? The search goes down from the job and up from its new parents, always on the side
that has less to look at, a level at a time, until the two meet or one side ends.

Most jobs to which somebody adds a parent have nobody who waits for them, so that most searches end with one question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import Invalid
from app.domain.ports import DependencyGraph
from app.domain.transitions import Change

MOST_SEARCHED = 10_000
"""Jobs looked at before an edge is refused because too many are around it."""

SLICE = 200
"""Jobs of a level that are asked about together: a job may name a thousand."""

Found = dict[str, str | None]
"""Jobs that were found, each with the one that it was found from."""
Ask = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The graph with what is announced of it."""

    graph: DependencyGraph
    announced: Mapping[str, Change]

    async def parents_of(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        found = await self.graph.parents_of(job_ids)
        return {**found, **{i: self._will_name(i) for i in job_ids if i in self.announced}}

    async def children_of(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """One more than may be looked at tell that there are too many."""
        found = await self.graph.children_of(job_ids, MOST_SEARCHED + 1)
        more = {i: [child for child in self.announced if i in self._will_name(child)] for i in job_ids}
        return {i: [*found.get(i, ()), *more[i]] for i in job_ids}

    def _will_name(self, job_id: str) -> Sequence[str]:
        """An announced change names all that the job names, old and new."""
        named: Sequence[str] = self.announced[job_id].fields["dependencies"]
        return named


async def find_cycle(graph: Seen, job_id: str, parents: Sequence[str], path: str) -> tuple[str, ...] | None:
    """The cycle that these parents of the job would close, from the job to itself, each waiting for the next; None
    where there is none. Raises Invalid (`graph_too_large`)."""
    if job_id in parents:
        return (job_id, job_id)
    below: Found = {job_id: None}
    above: Found = dict.fromkeys(parents)
    lower, upper = [job_id], list(parents)
    while lower and upper:
        if len(lower) <= len(upper):
            lower = await _next_level(below, lower, graph.children_of)
        else:
            upper = await _next_level(above, upper, graph.parents_of)
        if (met := next(iter(below.keys() & above.keys()), None)) is not None:
            return (job_id, *reversed(list(_way(above, met))), *list(_way(below, met))[1:])
        if len(below) + len(above) > MOST_SEARCHED:
            message = f"more than {MOST_SEARCHED:,} jobs hang together by it; name all parents when you submit instead"
            raise Invalid.one(path, message, code="graph_too_large")
    return None


async def _next_level(found: Found, level: Sequence[str], ask: Ask) -> list[str]:
    """Take note of what is new beyond this level, and answer it; no more of it than would be too much."""
    new: dict[str, str] = {}
    for start in range(0, len(level), SLICE):
        edges = await ask(level[start : start + SLICE])
        new |= {other: job_id for job_id, others in edges.items() for other in others if other not in found}
        if len(new) > MOST_SEARCHED:
            break
    found.update(new)
    return list(new)


def _way(found: Found, job_id: str) -> Iterator[str]:
    """From a job back to where its search began."""
    here: str | None = job_id
    while here is not None:
        yield here
        here = found[here]
