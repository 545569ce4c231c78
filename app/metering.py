"""From what happens to what is counted: the leader's events and finished runs, and what every process's stores answer.

Labels that users could invent are bounded: built-in templates and steps are always told apart, of the others so many,
those first that are used most; what is beyond is `other`. A label stays as long as its process, since a series that
comes and goes misleads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from app.domain.analytics.rollups import Grain
from app.domain.builtin_templates import builtin_templates
from app.domain.events import Event
from app.domain.nodes import Node, NodeReport
from app.domain.records import RunSummary
from app.metrics import Metrics

MOST_TEMPLATES, MOST_STEPS = 50, 100
OTHER = "other"
REMEMBERED = timedelta(minutes=20)
"""Of runs that ended longer ago it is not remembered whether they were counted: none of them comes again."""


class Labels:
    """The values of a label: some always, and at most so many others, by who comes first."""

    def __init__(self, always: Iterable[str], most: int) -> None:
        self._known = set(always)
        self._left = most

    def of(self, name: str) -> str:
        """The name itself, while there is room for it, else `other`."""
        if name not in self._known:
            if not self._left:
                return OTHER
            self._left -= 1
            self._known.add(name)
        return name


def template_labels() -> Labels:
    """Of templates."""
    return Labels(builtin_templates(), MOST_TEMPLATES)


def step_labels() -> Labels:
    """Of steps."""
    built_in = (step.step for template in builtin_templates().values() for step in template.execution_steps)
    return Labels(built_in, MOST_STEPS)


class EventMeter:
    """Counts submits and state changes while this process leads."""

    def __init__(self, metrics: Metrics, templates: Labels, leads: Callable[[], bool]) -> None:
        self._metrics, self._templates, self._leads = metrics, templates, leads

    def heard(self, event: Event) -> None:
        """An event that has just become durable."""
        if event.type != "job.state" or not self._leads():
            return
        data, subject = event.data, event.subject
        source = data["from"] or "none"
        self._metrics.job_transitions.labels(source, data["to"], data["reason"]).inc()
        if data["from"] is None:
            template = self._templates.of(str(subject.get("template") or OTHER))
            self._metrics.jobs_submitted.labels(str(subject.get("class") or OTHER), template).inc()


class RunMeter:
    """Observes each finished run once, from when this process began to lead."""

    def __init__(self, metrics: Metrics, templates: Labels) -> None:
        self._metrics, self._templates, self._steps = metrics, templates, step_labels()
        self._since: datetime | None = None
        self._seen: dict[datetime, set[int]] = {}
        """By minute, as digests of their keys: there may be hundreds of thousands."""

    def begin(self, now: datetime, most_used: Iterable[str]) -> None:
        """What ends from now on is counted. `most_used`: templates, those that are used most first."""
        self._since = now
        for template in most_used:
            self._templates.of(template)

    def ended(self, runs: Iterable[RunSummary]) -> None:
        """These have ended; some of them may have been told before."""
        for run in runs:
            if self._since is None or run.finished_at < self._since:
                continue
            seen = self._seen.setdefault(Grain.MINUTE.floor(run.finished_at), set())
            if (key := hash((run.job_id, run.run_no))) not in seen:
                seen.add(key)
                self._observe(run)

    def prune(self, now: datetime) -> None:
        """Forget runs that cannot be told again."""
        self._seen = {minute: keys for minute, keys in self._seen.items() if now - minute < REMEMBERED}

    def _observe(self, run: RunSummary) -> None:
        template = self._templates.of(run.template)
        self._metrics.job_wait_seconds.labels(run.priority.value).observe(run.wait_seconds)
        self._metrics.job_run_seconds.labels(template, run.outcome).observe(run.run_seconds)
        for step, seconds in run.steps:
            self._metrics.step_run_seconds.labels(template, self._steps.of(step)).observe(seconds)


class RefusalMeter:
    """Counts late writes that nodes say were refused, as far as they are new since the last report."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, NodeReport] = {}

    def heard(self, nodes: Iterable[Node]) -> None:
        """What the nodes say now. The first report of a node is where counting begins."""
        said = {node.id: node.report for node in nodes if node.report is not None}
        for node_id, report in said.items():
            before = self._known.get(node_id)
            if before is not None and before.since == report.since:
                self._count(before.refused, report.refused)
        self._known = said

    def forget(self) -> None:
        self._known.clear()

    def _count(self, before: Mapping[str, int], now: Mapping[str, int]) -> None:
        for kind, times in now.items():
            self._metrics.stale_writes_refused.labels(kind).inc(max(0, times - before.get(kind, 0)))


class StoreMeter:
    """How long the stores take, and what fails: a `StoreObserver`. May be called from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def took(self, store: str, operation: str, seconds: float) -> None:
        self._metrics.store_seconds.labels(store, operation).observe(seconds)

    def failed(self, store: str, operation: str) -> None:
        self._metrics.store_errors.labels(store, operation).inc()
