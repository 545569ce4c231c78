"""What `tensorfleet demo` shows, as text made from the API's answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.config import DataSettings, Settings
from app.dev.embedded import Endpoints
from app.startup import hosts

DEFAULT_FOLDER = DataSettings.model_fields["directory"].default
SIGNS = {
    "PENDING": ("○", "dim"),
    "RUNNING": ("▶", "cyan"),
    "COMPLETED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "SKIPPED": ("–", "dim"),
    "STOPPED": ("⊘", "yellow"),
}
STATE_SIGNS = {
    "COMPLETED": ("✓", "green"),
    "FAILED": ("✗", "red"),
    "CANCELLED": ("⊘", "yellow"),
    "TIMEOUT": ("⧖", "red"),
}


def stores(found: Endpoints, settings: Settings) -> str:
    """`MongoDB 6.0.5 (embedded, replica set) 127.0.0.1:40017 · Valkey 9.1.2 127.0.0.1:40018`."""
    mongodb = f"MongoDB at {hosts(settings.store.mongodb_uri or '')}"
    if found.mongodb_uri:
        mongodb = f"MongoDB {found.mongodb_version} (embedded, replica set) 127.0.0.1:{found.mongodb_port}"
    redis = f"Redis at {hosts(settings.queue.redis_url or '')}"
    if found.redis_url:
        redis = f"Valkey {found.redis_version} 127.0.0.1:{found.redis_port}"
    return f"{mongodb} · {redis}"


def node(found: Mapping[str, Any]) -> str:
    """`worker node-1: 2 cores, 24 GB, no GPU here; advertises the logical pool 64 cores, 256 GB, 8 GPUs`."""
    facts, total = found["facts"], found["total"]
    cores, memory = facts.get("physical_cpu_cores", 0), facts.get("physical_memory_mib", 0) / 1024
    gpus = facts.get("physical_gpus") or "none"
    here = f"{cores:g} cores, {memory:.0f} GB, {'no GPU' if gpus == 'none' else gpus} here"
    pool = f"{total['cpu_cores']:g} cores, {total['memory_gb']:g} GB, {total['gpu_count']} GPUs"
    offered = f"advertises the logical pool {pool}" if found["logical"] else f"offers {pool}"
    return f"worker {found['node_id']}: {here}; {offered}"


def steps(job: Mapping[str, Any]) -> Group:
    """A line a step: sign, name, time, a bar while it runs, what it last said."""
    table = Table.grid(padding=(0, 2))
    for step in job["steps"]:
        sign, style = SIGNS.get(step["status"], ("?", ""))
        bar = _bar(step) if step["status"] == "RUNNING" else Text("")
        table.add_row(Text(f"  {sign}", style), step["step"], _seconds(step), bar, Text(step["text"] or ""))
    return Group(table)


def _bar(step: Mapping[str, Any]) -> ProgressBar:
    """From a text like `64/100 trees`; pulsing when the step does not count."""
    done, _, rest = (step["text"] or "").partition("/")
    total = rest.split(" ")[0]
    counted = done.isdigit() and total.isdigit()
    return ProgressBar(int(total) if counted else 100, int(done) if counted else 0, width=24, pulse=not counted)


def _seconds(step: Mapping[str, Any]) -> str:
    seconds = _between(step["started_at"], step["finished_at"])
    return "" if seconds is None else f"{seconds:.1f} s"


def _between(started: str | None, finished: str | None) -> float | None:
    if not started or not finished:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


def transition(state: Mapping[str, Any]) -> str:
    """A line for those who see no bars."""
    return f"{state['at']} {state['from'] or '(new)'} → {state['to']} ({state['reason']})"


def earlier(jobs: Sequence[Mapping[str, Any]], total: int) -> Iterator[str]:
    """What the data folder holds from before: the newest jobs, and how many there are."""
    for job in jobs:
        sign, _ = STATE_SIGNS.get(job["status"], ("·", ""))
        yield f"      earlier: {job['job_id']}  {job['name']}  {sign} {job['status']}"
    if total > len(jobs):
        yield f"      earlier: {total - len(jobs)} more"


def farewell(folder: Path, *, ours: bool, stays: bool) -> str:
    """Whether the links above go on leading somewhere (`ours`: this process serves), and where the data stays."""
    usual = folder == DEFAULT_FOLDER
    again = "tensorfleet dev" if usual else f"tensorfleet dev --data-dir {folder}"
    fate = "Serving until Ctrl-C." if stays else f"Stopping: `{again}` serves the same data again."
    kept = f"Data stays in {folder}/" + (" ; `make clean` removes it." if usual else ".")
    return f"{fate if ours else 'The service was running before, and goes on.'} {kept}"


def summary(job: Mapping[str, Any], url: str) -> Iterator[str]:
    """How it ended, what was asked beside what was used, the model, and where to go next."""
    sign, colour = STATE_SIGNS.get(job["status"], ("?", "white"))
    last = job["attempts"][-1] if job["attempts"] else {}
    took = _between(job["started_at"], job["finished_at"]) or 0
    parts = [f"in {took:.1f} s", f"attempt {job['attempt']} of {job['max_attempts']}", *_used(job, last)]
    yield f"[{colour}]{sign} {job['status']}[/] " + " · ".join(parts)
    if job["error"]:
        yield f"  why      {escape(job['error']['code'])}: {escape(job['error']['message'])}"
    if "accuracy" in job["metrics"]:
        yield f"  result   accuracy {job['metrics']['accuracy']:.3f} on rows that training did not see"
    at = f"{url}/api/v1"
    if job["status"] == "COMPLETED":
        yield f"  model    curl -O {at}/jobs/{job['job_id']}/artifacts/model.skops"
    yield f"  events   curl -N {at}/events"
    yield f"  queue    curl {at}/queue/status"
    yield f"  API      {url}/docs"


def _used(job: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    asked = job["resources"]
    if last.get("peak_memory_mib") is not None:
        yield f"peak memory {last['peak_memory_mib']:.0f} MB of {asked['memory_gb']:g} GB asked"
    if last.get("cpu_seconds") is not None:
        yield f"{last['cpu_seconds']:.1f} CPU seconds, {asked['cpu_cores']:g} cores asked"
