"""The pages about what is counted: of Prometheus' metrics, from the registry, and of the series of analytics."""

from __future__ import annotations

from app.domain.analytics.series import CATALOGUE, DEFAULT
from app.metrics import Described, Metrics

_METRICS = """\
# Metrics

What `GET /metrics` shows, in Prometheus' text format. This page is made from the registry (`python -m app.dev.pages`).

Label sets are closed: classes, states, reasons and codes are those of the service; `template` and `step` tell the
built-in ones apart and so many others that are used (`other` is the rest); `node` is on gauges of nodes only; a job, a
name or a tag never is a label. Metrics marked *leader* are of the cluster: the scheduler's leader alone counts and
shows them, so a sum over all processes is right, and a change of leader shows as a counter that begins anew. All others
are of the process that answers. Workers serve no metrics: what they use, and late writes of theirs that were refused,
the leader shows for them.

| metric | type | labels | of | what |
|---|---|---|---|---|
"""
_SERIES = """\
# Series

What `GET /analytics/timeseries?metrics=` takes. This page is made from the catalogue (`python -m app.dev.pages`).
Values over jobs, nodes and resources are means over a step of what the leader saw once a minute; numbers of jobs and
runs that ended are sums. Those marked * are answered when no metric is named.

| metric | unit | what |
|---|---|---|
"""


def metrics() -> str:
    """`docs/metrics.md`."""
    return _METRICS + "".join(map(_metric_row, Metrics().described))


def _metric_row(metric: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    buckets = f" From {metric.buckets[0]:g} s to {metric.buckets[-1]:g} s." if metric.buckets else ""
    owner = "leader" if metric.leader else "process"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {owner} | {metric.text}{buckets} |\n"


def series() -> str:
    """`docs/series.md`."""
    rows = (f"| `{s.name}`{' *' if s.name in DEFAULT else ''} | {s.unit} | {s.text} |\n" for s in CATALOGUE.values())
    return _SERIES + "".join(rows)
