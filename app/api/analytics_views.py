"""Measurements as JSON: seconds with three decimals, fractions of 1 with four. Pure."""

from __future__ import annotations

from typing import Any

from app.api.estimate_views import start_estimates_view
from app.domain.analytics import figures
from app.domain.analytics.cells import Cell
from app.domain.analytics.failure_counts import OTHER, Seen
from app.domain.analytics.figures import Percentiles, Pool, Use, Waited
from app.domain.analytics.rollups import Gauges
from app.domain.analytics.windows import Period
from app.domain.resources import DIMENSIONS
from app.domain.sizing.measures import Outcome
from app.domain.states import JobStatus
from app.domain.timestamps import optional_rfc3339, rfc3339
from app.operations.analytics import Overview, Timeline

View = dict[str, Any]
AN_HOUR = 3_600.0


def analytics_view(found: Overview) -> View:
    """Everything. The fields of the first three parts that clients have always read are numbers, 0 where nothing is
    known; all others are null then."""
    return {
        "window": _window(found),
        "throughput": _throughput(found.runs.total, found.period),
        "resource_utilization": _utilization(found.runs.total, found.gauges),
        "success_metrics": _success(found),
        "groups": {part: [_group(*named) for named in cells.items()] for part, cells in found.runs.by.items()},
        "waits": [_waited(each) for each in figures.waited(found.gauges)],
        "sizing": _sizing(found),
        "start_estimates": start_estimates_view(found.estimates),
    }


def timeline_view(found: Timeline) -> View:
    """Series, each with a value for each of the times."""
    return {
        "window": _window(found),
        "step_seconds": found.step.total_seconds(),
        "times": [rfc3339(at) for at in found.plot.times],
        "series": [
            {"metric": s.name, "unit": s.unit, "values": [_rounded(v, 4) for v in found.plot.values[s.name]]}
            for s in found.series
        ],
    }


def _window(found: Overview | Timeline) -> View:
    return {
        "from": rfc3339(found.period.start),
        "to": rfc3339(found.period.end),
        "seconds": round(found.period.seconds, 3),
        "settled_to": optional_rfc3339(found.settled),
    }


def _throughput(total: Cell, period: Period) -> View:
    waits, times = figures.waits_of(total), figures.times_of(total)
    return {
        "jobs_per_hour": _rounded(AN_HOUR * figures.completed(total) / period.seconds, 4),
        "avg_completion_time": _rounded(figures.completion_time(total) or 0.0, 3),
        "queue_wait_time": _rounded(waits.mean or 0.0, 3),
        "completed_jobs": figures.completed(total),
        "ended_runs": total.runs,
        "wait": _percentiles(waits),
        "run": _percentiles(times),
    }


def _utilization(total: Cell, gauges: Gauges) -> View:
    pools = figures.pools(gauges)
    return {
        "cpu_utilization": _rounded(pools["cpu_cores"].utilization or 0.0, 4),
        "memory_utilization": _rounded(pools["memory_gb"].utilization or 0.0, 4),
        "gpu_utilization": _rounded(pools["gpu_count"].utilization or 0.0, 4),
        "samples": max((gauge.samples for name, gauge in gauges.items() if name == "ready_nodes"), default=0),
        "pool": {name: _pool(pools[name]) for name in DIMENSIONS},
        "finished_runs": _uses(total),
    }


def _pool(pool: Pool) -> View:
    return {
        "capacity": _rounded(pool.capacity, 3),
        "allocated": _rounded(pool.allocated, 3),
        "used": _rounded(pool.used, 3),
        "utilization": _rounded(pool.utilization, 4),
    }


def _uses(cell: Cell) -> View:
    return {name: _use(use) for name, use in figures.uses(cell).items()}


def _use(use: Use) -> View:
    return {
        "allocated_hours": _rounded(use.allocated, 4),
        "used_hours": _rounded(use.used, 4),
        "used_share": _rounded(use.share, 4),
    }


def _success(found: Overview) -> View:
    total, failed = found.runs.total, found.runs.total.failed
    named = [(name, seen) for name, seen in found.failures.items() if name != OTHER]
    return {
        "success_rate": _rounded(figures.success_rate(total) or 0.0, 4),
        "retry_rate": _rounded(figures.retry_rate(total) or 0.0, 4),
        "failure_analysis": [_failure(found, name, seen, failed) for name, seen in named],
        "jobs": figures.decided(total),
        "ended": {status.value: total.ended.get(status.value, 0) for status in _ENDS},
        "failed_runs": failed,
        "other_failures": found.failures[OTHER].times if OTHER in found.failures else 0,
    }


_ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.CANCELLED)


def _failure(found: Overview, fingerprint: str, seen: Seen, failed: int) -> View:
    job_id, _, run_no = seen.run.rpartition("-")
    example = found.examples.get(seen.run)
    pattern = example.failure if example is not None else None
    return {
        "fingerprint": fingerprint,
        "type": pattern.kind if pattern else None,
        "step": pattern.step if pattern else None,
        "message": pattern.message if pattern else None,
        "frame": pattern.frame if pattern else None,
        "outcome": example.outcome if example else None,
        "template": example.template if example else None,
        "runs": seen.times,
        "share": _rounded(seen.times / failed, 4),
        "last_at": rfc3339(seen.at),
        "example_job_id": job_id,
        "example_run_no": int(run_no),
    }


def _group(name: str, cell: Cell) -> View:
    return {
        "name": name,
        "runs": cell.runs,
        "completed_jobs": figures.completed(cell),
        "success_rate": _rounded(figures.success_rate(cell), 4),
        "retry_rate": _rounded(figures.retry_rate(cell), 4),
        "out_of_memory_rate": _rounded(figures.killed_rate(cell), 4),
        "wait": _percentiles(figures.waits_of(cell)),
        "run": _percentiles(figures.times_of(cell)),
        "use": _uses(cell),
    }


def _percentiles(found: Percentiles) -> View:
    values = {"mean": found.mean, "p50": found.p50, "p90": found.p90, "p99": found.p99}
    return {name: _rounded(value, 3) for name, value in values.items()}


def _waited(each: Waited) -> View:
    return {
        "reason": each.reason,
        "waiting_seconds": _rounded(each.seconds, 0),
        "share": _rounded(each.share, 4),
        "mean_jobs": _rounded(each.jobs, 3),
    }


def _sizing(found: Overview) -> View:
    judged = found.review
    return {
        "examined_runs": len(found.needs),
        "compared_runs": judged.allocated.runs if judged.allocated else 0,
        "allocated": _outcome(judged.allocated),
        "sources": [{"source": s, "runs": o.runs, **_outcome(o)} for s, o in judged.by_source.items()],
        "baselines": [{"rule": rule, **_outcome(o)} for rule, o in judged.by_rule.items()],
    }


def _outcome(found: Outcome | None) -> View:
    return {
        "waste": _rounded(found.waste, 4) if found else None,
        "out_of_memory_rate": _rounded(found.oom_rate, 4) if found else None,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
