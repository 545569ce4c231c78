"""Functions by entry point, the context they are given, and how their ends are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tests.unit.steps.conftest import Run
from workers.report import Reporter, encode
from workers.steps import Checkpointed, PermanentFailure, StepContext, Stopped, registry
from workers.steps.context import checked_name
from workers.steps.stop import EventStop


def trains(context: StepContext) -> Mapping[str, Any]:
    context.report(progress=0.5, metrics={"loss": 0.25, "bad": math.nan, "a.b": 1}, step=2, text="halfway")
    context.log("hello")
    source = context.work_dir / "model.txt"
    source.write_text("weights")
    context.artifact("model.txt", source)
    context.checkpoint(source)
    last = context.last_checkpoint
    return {"parameter": context.parameters["a"], "last": last.read_text() if last else None, "nan": math.nan}


def crashes(context: StepContext) -> None:
    raise LookupError("no such row")


def is_permanent(context: StepContext) -> None:
    raise PermanentFailure("column x is missing")


def saves(context: StepContext) -> None:
    raise Checkpointed("saved at 3")


def exits(context: StepContext) -> None:
    raise SystemExit(context.parameters["status"])


def returns_rubbish(context: StepContext) -> Any:
    return {"model": object()} if context.parameters.get("inside") else [1]


def waits(context: StepContext) -> None:
    while not context.should_stop():
        context.stop.wait(5)
    context.stop_if_asked()


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["trains", "crashes", "is_permanent", "saves", "exits", "returns_rubbish", "waits"]
    points = {name: EntryPoint(name, f"{__name__}:{name}", registry.GROUP) for name in names}
    points["broken"] = EntryPoint("broken", "no_such_module:f", registry.GROUP)
    monkeypatch.setattr(registry, "registered_functions", lambda: points)


def a_function(name: str) -> list[dict[str, Any]]:
    return [{"step": name, "kind": "function"}]


def test_a_function_reports_and_returns(run: Run, tmp_path: Path) -> None:
    (tmp_path / "last.txt").write_text("before")
    ran = run(a_function("trains"), {"a": 1}, checkpoint=str(tmp_path / "last.txt"))
    assert ran.failure is None
    assert ran.outputs["trains"]["parameter"] == 1
    assert ran.outputs["trains"]["last"] == "before"
    [progress] = ran.of("progress")
    assert progress == {
        "type": "progress",
        "step": "trains",
        "progress": 0.5,
        "metrics": {"loss": 0.25, "bad": None, "a_b": 1.0},
        "n": 2,
        "text": "halfway",
    }
    assert ran.texts == ["hello"]
    assert ran.artifacts["model.txt"] == ran.work_dir / "artifacts" / "model.txt"
    assert Path(ran.of("checkpoint")[0]["path"]).read_text() == "weights"
    assert b'"nan":null' in encode(ran.of("step_finished")[0])


@pytest.mark.parametrize(
    ("step", "parameters", "code", "said"),
    [
        ("crashes", {}, "error", "LookupError: no such row"),
        ("is_permanent", {}, "permanent", "column x is missing"),
        ("saves", {}, "checkpointed", "saved at 3"),
        ("exits", {"status": 78}, "permanent", "exit(78)"),
        ("exits", {"status": 75}, "checkpointed", "exit(75)"),
        ("exits", {"status": "gone"}, "error", "gone"),
        ("returns_rubbish", {}, "permanent", "returned list"),
        ("returns_rubbish", {"inside": True}, "permanent", "what JSON cannot hold"),
        ("broken", {}, "permanent", "no_such_module"),
        ("trainz", {}, "permanent", "did you mean trains?"),
        ("data_preperation", {}, "permanent", "did you mean data_preparation?"),
    ],
)
def test_how_a_function_ends(run: Run, step: str, parameters: dict[str, Any], code: str, said: str) -> None:
    ran = run(a_function(step), parameters)
    assert ran.failure is not None
    assert ran.failure.code == code
    assert said in ran.failure.message
    assert ran.failure.step == step


def test_a_crash_shows_its_trace_and_where_it_happened(run: Run) -> None:
    ran = run([*a_function("crashes"), *a_function("trains")])
    assert ran.failure is not None
    assert ran.failure.frame == "test_functions.py:crashes"
    assert ran.failure.exception_type == "LookupError"
    assert "Traceback (most recent call last):" in ran.texts[0]
    assert ran.failure.log_tail[-1] == "LookupError: no such row"
    assert [line["step"] for line in ran.of("step_started")] == ["crashes"]


def test_a_stop_is_seen_by_the_step_and_keeps_later_ones_from_starting(run: Run) -> None:
    stop = EventStop()
    stop.request()
    ran = run(a_function("waits"), stop=stop)
    assert ran.failure is not None
    assert ran.failure.code == "stopped"
    assert ran.of("step_started") == []


def test_a_sleep_ends_when_it_is_asked_to(run: Run) -> None:
    class StopsAtOnce(EventStop):
        def wait(self, seconds: float) -> bool:
            self.request()
            return True

    ran = run(["sleep"], {"seconds": 3600}, stop=StopsAtOnce())
    assert ran.failure is not None
    assert ran.failure.code == Stopped.code
    assert run(["sleep"], {"seconds": 0}).outputs == {"sleep": {"slept_seconds": 0.0}}
    wrong = run(["sleep"], {"seconds": "long"})
    assert wrong.failure is not None
    assert "seconds must be a number" in wrong.failure.message


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\\b", "x" * 201, "a\nb"])
def test_artifact_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        checked_name(name)


def test_bare_progress_is_thinned_and_the_last_one_kept() -> None:
    lines: list[dict[str, Any]] = []
    reporter = Reporter(lines.append)
    reporter.step_started("s")
    for n in range(1000):
        reporter.progress("s", n / 1000)
    reporter.progress("s", None, {"loss": 1.0}, n=5)
    reporter.progress("s", 0.9999)
    reporter.step_finished("s", {})
    told = [line for line in lines if line["type"] == "progress"]
    assert len(told) < 100
    assert told[-1]["progress"] == 0.9999
    assert [line["progress"] for line in told if line["metrics"]] == [0.999]


def test_completed_steps_are_not_run_again(run: Run) -> None:
    ran = run([*a_function("crashes"), "noop"], completed_steps={"crashes": {"kept": 1}})
    assert ran.failure is None
    assert ran.outputs == {"crashes": {"kept": 1}, "noop": {}}
