"""The advance of a 10,000-step graph, for each child that ends: the pure decision alone, and the whole of it against a
real MongoDB: read the workflow, decide, write it, without the jobs that it asks for.

Three shapes: a chain (one child below), layers of a hundred where each step waits for three of the layer before (a
hundred layers), and a fan of 9,998 steps between one step and a join (the join looks at all its parents each time).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from app.domain.transitions import Stamp
from app.domain.workflows.advance import Ended, advance
from app.domain.workflows.changes import Draft, apply, change, touched
from app.domain.workflows.controls import start
from app.domain.workflows.definition import Definition, PinnedDefinition, StepDefinition
from app.domain.workflows.state import JobRef, StepState, StepStatus, Workflow, WorkflowStatus
from app.storage.mongo import connect
from app.storage.workflows import MongoWorkflowStore
from bench import kit

STEPS, SAMPLES = 10_000, 300
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def chain() -> list[tuple[str, ...]]:
    return [(), *((f"s{n - 1}",) for n in range(1, STEPS))]


def layers() -> list[tuple[str, ...]]:
    dice = random.Random(0)
    return [
        tuple(f"s{p}" for p in dice.sample(range(n // 100 * 100 - 100, n // 100 * 100), 3)) if n >= 100 else ()
        for n in range(STEPS)
    ]


def fan() -> list[tuple[str, ...]]:
    return [(), *(("s0",) for _ in range(STEPS - 2)), tuple(f"s{n}" for n in range(1, STEPS - 1))]


SHAPES: dict[str, Callable[[], list[tuple[str, ...]]]] = {"chain": chain, "layers of 100": layers, "fan": fan}


def definition(parents: list[tuple[str, ...]]) -> PinnedDefinition:
    steps = tuple(StepDefinition(f"s{n}", "noop", depends_on=above) for n, above in enumerate(parents))
    return PinnedDefinition(Definition("bench", steps), 1, {"noop": 1}, NOW)


def begun(pinned: PinnedDefinition) -> tuple[Workflow, list[JobRef]]:
    counts = {StepStatus.PENDING.value: STEPS}
    fresh = Workflow("wf_bench", "bench", 1, "default", WorkflowStatus.PENDING, 1, NOW, counts=counts)
    draft = start(fresh, pinned, {}, NOW)
    after = advance(pinned, draft.workflow, (), {}, NOW, look_at=draft.look_at)
    made = change(fresh, draft, after, Stamp(NOW, "bench", "op"))
    assert made is not None
    started, refs = apply(fresh, made), list(after.release)
    if pinned.graph.children["s0"] and len(pinned.graph.children["s0"]) > 1:  # the fan: its first step has ended
        ends = (Ended(refs.pop(), StepStatus.COMPLETED),)
        after = advance(pinned, started, ends, {}, NOW)
        made = change(started, Draft(started, ended=ends), after, Stamp(NOW, "bench", "first"))
        assert made is not None
        started, refs = apply(started, made), refs + after.release
    return started, refs


async def measure(name: str, store: MongoWorkflowStore, ended: int = 0) -> None:
    """`ended`: so many children have ended before it begins."""
    pinned = definition(SHAPES[name]())
    pinned.graph.is_before("s0", "s1")
    workflow, active = begun(pinned)
    if ended:
        done = {ref.step_id: StepState(StepStatus.COMPLETED) for ref in active[:ended]}
        workflow, active = touched(workflow, {**workflow.steps, **done}), active[ended:]
    workflow = replace(workflow, id=f"wf_{name.split(maxsplit=1)[0]}_{ended}", steps=dict(workflow.steps))
    name = f"{name}, {ended:,} ended" if ended else name
    await store.insert(workflow)
    decided, whole, dice = [], [], random.Random(1)
    for _ in range(min(SAMPLES, STEPS - ended - 1)):
        ref = active.pop(dice.randrange(len(active)))
        began = time.perf_counter()
        loaded = await store.get(workflow.id)
        assert loaded is not None
        read = time.perf_counter()
        draft = Draft(loaded, ended=(Ended(ref, StepStatus.COMPLETED),))
        after = advance(pinned, loaded, draft.ended, {}, NOW)
        made = change(loaded, draft, after, Stamp(NOW, "bench", f"op{len(whole)}"))
        assert made is not None
        decided.append((time.perf_counter() - read) * 1e3)
        assert await store.commit(made)
        whole.append((time.perf_counter() - began) * 1e3)
        active += after.release
    text = "decision median {:.2f} p99 {:.2f} ms; read, decide, write: median {:.1f} p99 {:.1f} ms"
    figures = (
        kit.percentile(decided, 50),
        kit.percentile(decided, 99),
        kit.percentile(whole, 50),
        kit.percentile(whole, 99),
    )
    print(f"advance a finished child of {STEPS:,} steps, {name}: {text.format(*figures)}")


async def run() -> None:
    with kit.service(workers=0) as (_, stores):
        database = connect(stores["mongodb_uri"], "bench_workflows")
        store = MongoWorkflowStore(database)
        for name in SHAPES:
            await measure(name, store)
        await measure("fan", store, ended=STEPS - 100)
        await database.close()
