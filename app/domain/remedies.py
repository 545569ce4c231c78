"""What can be done about a reason: a text, and a command that does it, made of the reason's own facts.

Every command is a call of the API that exists, or a command of `tensorfleet`; `url` is where the API answers.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.domain.explain import Fact, Reason


@dataclass(frozen=True, slots=True)
class Remedy:
    """`code` names the kind of remedy; `command` None: there is nothing to call."""

    code: str
    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What remedies are made of. `url`: that of the API, up to and with `/api/v1`."""

    job_id: str
    facts: Mapping[str, Fact]
    url: str

    def fact(self, name: str) -> str:
        """A fact in words; empty when it is not there."""
        value = self.facts.get(name, "")
        return f"{value:g}" if isinstance(value, float) else str(value)

    def post(self, path: str, body: str | None = None, method: str = "POST") -> str:
        """The call of a path of the API."""
        data = f" -H 'Content-Type: application/json' -d {shlex.quote(body)}" if body else ""
        return f"curl -X {method} {self.url}{path}{data}"

    def get(self, path: str) -> str:
        return f"curl {self.url}{path}"


Remedies = Callable[[Case], list[Remedy]]


def remedies(reason: Reason, job_id: str, url: str) -> tuple[Remedy, ...]:
    """What helps against a wait reason or a failure, the simplest first; empty for a code that needs only time."""
    made = BY_CODE.get(reason.code)
    return tuple(made(Case(job_id, reason.facts, url))) if made else ()


_START_WORKER = Remedy("start_worker", "Start a worker on a machine that has room.", "tensorfleet worker")


def _urgent(case: Case) -> Remedy:
    body = '{"priority": "urgent", "reason": "…"}'
    command = case.post(f"/jobs/{case.job_id}/priority", body, "PUT")
    return Remedy("raise_priority", "Ask for a more urgent class.", command)


def _first(case: Case) -> Remedy:
    body = f'{{"job_id": "{case.job_id}", "new_position": 1, "reason": "…"}}'
    return Remedy("move_first", "Move it to the front of its class.", case.post("/queue/reorder", body))


def _ask_for_less(case: Case) -> Remedy:
    names = sorted(k.removesuffix("_asked") for k in case.facts if k.endswith("_asked"))
    what = f" of {', '.join(names)}" if names else ""
    text = f"Cancel it and submit it again, asking for less{what}."
    return Remedy("ask_for_less", text, case.post(f"/jobs/{case.job_id}/cancel"))


def _no_workers(case: Case) -> list[Remedy]:
    if draining := case.fact("draining").split(", ")[0]:
        return [_undrain(case, draining), _START_WORKER]
    return [_START_WORKER]


def _undrain(case: Case, node_id: str) -> Remedy:
    return Remedy("resume_node", f"Let {node_id} take work again.", case.post(f"/nodes/{node_id}/resume"))


def _unsatisfiable(case: Case) -> list[Remedy]:
    return [_ask_for_less(case), Remedy("add_node", "Start a worker on a larger machine.", "tensorfleet worker")]


def _node_selector(case: Case) -> list[Remedy]:
    labels = case.fact("selector").replace(", ", ",")
    worker = f"NODE_LABELS={shlex.quote(labels)} tensorfleet worker"
    return [
        Remedy("label_node", f"Start a worker that carries {labels}.", worker),
        Remedy("drop_selector", "Cancel it and submit it again without the selector.", _cancel(case)),
    ]


def _cancel(case: Case) -> str:
    return case.post(f"/jobs/{case.job_id}/cancel")


def _quota(case: Case) -> list[Remedy]:
    text = f"Wait for a run of {case.fact('tenant')} to end, or cancel one."
    limit = "Raise the limit in the setting TENANT_QUOTAS and start the service anew."
    return [Remedy("end_own_run", text, case.get("/jobs?status=RUNNING")), Remedy("raise_quota", limit)]


def _concurrency(case: Case) -> list[Remedy]:
    if batch := case.fact("batch"):
        return _batch(case, batch)
    limit = "Raise the setting MAX_CONCURRENT_JOBS and start the service anew; 0 takes the limit away."
    return [
        Remedy("end_run", "Wait for a run to end, or cancel one.", case.get("/jobs?status=RUNNING")),
        Remedy("raise_limit", limit),
    ]


def _batch(case: Case, batch_id: str) -> list[Remedy]:
    """Kept back by its batch: what holds the places, and the batch itself."""
    first = case.fact("holders").split(", ")[0]
    look = Remedy("look_at_holder", f"Look where {first} is.", case.get(f"/jobs/{first}"))
    return [look, Remedy("look_at_batch", "See how far its batch has come.", case.get(f"/batches/{batch_id}"))]


def _fair_share(case: Case) -> list[Remedy]:
    text = f"Give {case.fact('tenant')} a larger weight in the setting TENANT_WEIGHTS."
    return [_first(case), _urgent(case), Remedy("raise_weight", text)]


def _resources(case: Case) -> list[Remedy]:
    if draining := case.fact("draining").split(", ")[0]:
        return [_undrain(case, draining), _START_WORKER]
    runs = Remedy("end_run", "See what runs, and cancel what may end.", case.get("/jobs?status=RUNNING"))
    return [_START_WORKER, runs, _ask_for_less(case)]


def _behind_reservation(case: Case) -> list[Remedy]:
    other = case.fact("job")
    cancel = Remedy("cancel_other", f"Cancel {other}, to which it is promised.", case.post(f"/jobs/{other}/cancel"))
    return [_urgent(case), cancel]


def _position(case: Case) -> list[Remedy]:
    return [_first(case), _urgent(case)] if case.facts.get("ahead") else []


def _queue_paused(case: Case) -> list[Remedy]:
    return [Remedy("resume_queue", "Let the queue go on.", case.post("/queue/resume"))]


def _held(case: Case) -> list[Remedy]:
    return [Remedy("resume", "Resume it.", case.post(f"/jobs/{case.job_id}/resume"))]


def _dependencies(case: Case) -> list[Remedy]:
    first = case.fact("first")
    return [Remedy("look_at_parent", f"Look why {first} is not done.", case.get(f"/jobs/{first}/explain"))]


def _retry(case: Case, text: str, body: str | None = None) -> Remedy:
    return Remedy("retry", text, case.post(f"/jobs/{case.job_id}/retry", body))


def _logs(case: Case) -> Remedy:
    return Remedy("read_log", "Read the end of its log.", case.get(f"/jobs/{case.job_id}/logs"))


def _error(case: Case) -> list[Remedy]:
    return [_logs(case), _retry(case, "Retry it once the cause is mended.")]


def _permanent(case: Case) -> list[Remedy]:
    return [_logs(case), _retry(case, "Put the data right, then retry it; a retry may name other `parameters`.")]


def _out_of_memory(case: Case) -> list[Remedy]:
    memory = case.facts.get("memory_gb", 1)
    more = 2 * memory if isinstance(memory, int | float) else 2
    body = f'{{"resources": {{"memory_gb": {more:g}}}}}'
    return [_retry(case, f"Retry it with {more:g} GB of memory.", body), _logs(case)]


def _timeout(case: Case) -> list[Remedy]:
    return [_logs(case), _retry(case, "Retry it; submit it anew with a larger `timeout` if it needs longer.")]


def _worker_lost(case: Case) -> list[Remedy]:
    return [Remedy("look_at_nodes", "See which nodes are there.", case.get("/nodes")), _retry(case, "Retry it.")]


def _dependency_failed(case: Case) -> list[Remedy]:
    parent = case.fact("cause")
    look = Remedy("look_at_parent", f"Look why {parent} did not complete.", case.get(f"/jobs/{parent}/explain"))
    return [look, _retry(case, f"Retry {parent} first, then this one.")] if parent else [_retry(case, "Retry it.")]


def _queue_deadline(case: Case) -> list[Remedy]:
    return [_retry(case, "Retry it, at a higher priority if it must start soon.", '{"priority": "high"}')]


def _never_fits(case: Case) -> list[Remedy]:
    return [
        _retry(case, "Retry it, asking for less in `resources`.", '{"resources": {"memory_gb": 1}}'),
        Remedy("add_node", "Start a worker on a larger machine, then retry it.", "tensorfleet worker"),
    ]


BY_CODE: Mapping[str, Remedies] = {
    "dependencies": _dependencies,
    "held": _held,
    "queue_paused": _queue_paused,
    "no_workers": _no_workers,
    "unsatisfiable": _unsatisfiable,
    "node_selector": _node_selector,
    "quota": _quota,
    "concurrency_limit": _concurrency,
    "fair_share": _fair_share,
    "resources": _resources,
    "behind_reservation": _behind_reservation,
    "position": _position,
    "error": _error,
    "stalled": _error,
    "permanent": _permanent,
    "out_of_memory": _out_of_memory,
    "timeout": _timeout,
    "worker_lost": _worker_lost,
    "poisoned": _worker_lost,
    "dependency_failed": _dependency_failed,
    "queue_deadline": _queue_deadline,
    "failed_unsatisfiable": _never_fits,
}
"""By the code of the reason. `start_time` and `retry_delay` end by themselves."""
