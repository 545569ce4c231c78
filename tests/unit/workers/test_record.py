"""What a run has said of itself: steps, fraction, metrics, files, result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import NOON
from workers.record import RunRecord
from workers.report import Reporter, decode, encode
from workers.run import RunEnding, RunReport

TWO = ("prepare", "train")


def said(*lines: dict[str, object], steps: tuple[str, ...] = TWO) -> RunRecord:
    record = RunRecord(3, steps)
    for line in lines:
        record.note(line, NOON)
    return record


def progress(step: str, share: float, **more: object) -> dict[str, object]:
    return {"type": "progress", "step": step, "progress": share, "metrics": {}, "n": None, "text": None, **more}


def started(step: str) -> dict[str, object]:
    return {"type": "step_started", "step": step}


def finished(step: str, **outputs: object) -> dict[str, object]:
    return {"type": "step_finished", "step": step, "outputs": outputs}


def test_the_fraction_counts_steps_as_equal_shares() -> None:
    record = said(started("prepare"), finished("prepare"), started("train"), progress("train", 0.5))
    assert record.fraction() == 0.75
    now = record.progress(NOON)
    assert (now.run_no, now.step, [s.status for s in now.steps]) == (3, "train", ["COMPLETED", "RUNNING"])


def test_progress_counts_as_taken_once() -> None:
    record = said(started("prepare"))
    assert record.changed
    record.progress(NOON)
    assert not record.changed
    record.note(progress("prepare", 0.1, text="1/10 trees"), NOON)
    assert record.changed and record.progress(NOON).text == "1/10 trees"


def test_metrics_are_a_series_and_a_last_value() -> None:
    record = said(
        started("train"),
        progress("train", 0.1, metrics={"loss": 0.9}, n=1),
        progress("train", 0.2, metrics={"loss": 0.5}, n=2),
        finished("train", model="m"),
    )
    assert [(p.name, p.value, p.n, p.step) for p in record.take_points()] == [
        ("loss", 0.9, 1, "train"),
        ("loss", 0.5, 2, "train"),
    ]
    assert not record.has_points
    assert record.result() == {"metrics": {"loss": 0.5}, "steps": {"train": {"model": "m"}}}


def test_a_metric_that_is_not_finite_is_no_point_and_is_named_in_the_result() -> None:
    sent: list[dict[str, object]] = []
    reporter = Reporter(sent.append)
    reporter.progress("train", 0.1, {"loss": float("nan"), "accuracy": 0.5, "a.b": float("inf"), "note": "x"}, 1)
    reporter.progress("train", 0.2, {"loss": 10**400, "gone": None}, 2)
    record = said(started("train"), *(decode(encode(line)) for line in sent), finished("train"))
    assert [(p.name, p.value) for p in record.take_points()] == [("accuracy", 0.5)]
    result = record.result()
    assert (result["metrics"], result["not_finite"]) == ({"accuracy": 0.5}, ["a_b", "gone", "loss"])
    assert "not_finite" not in said(started("train"), finished("train")).result()


NOT_JSON = {
    "half": b'{"a": 1',
    "deep": b"[" * 100_000,
    "half a character": b'{"a": "\\ud800", "b": NaN}',
    "nothing": b"",
}


def test_json_as_python_writes_it_is_read() -> None:
    assert decode(b'{"a": NaN, "b": [-Infinity, 1.5], "c": "NaN"}') == {"a": None, "b": [None, 1.5], "c": "NaN"}


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_is_no_json_is_refused(case: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in whatever words
        decode(NOT_JSON[case])


def test_points_that_were_not_stored_keep_their_order() -> None:
    record = said(progress("train", 0.1, metrics={"loss": 0.9}, n=1))
    points = record.take_points()
    record.note(progress("train", 0.2, metrics={"loss": 0.5}, n=2), NOON)
    record.give_back(points)
    assert [p.n for p in record.take_points()] == [1, 2]


def test_a_step_under_way_has_failed_when_the_run_has() -> None:
    record = said(started("prepare"), finished("prepare"), started("train"))
    last = record.final_progress(RunReport(RunEnding.ERROR, "broke"), NOON)
    assert [s.status for s in last.steps] == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize("ending", ["checkpointed", "cancelled", "drained", "released", "preempted"])
def test_a_step_under_way_has_not_failed_when_its_run_was_told_to_end(ending: str) -> None:
    record = said(started("prepare"), finished("prepare"), started("train"))
    last = record.final_progress(RunReport(RunEnding(ending), "told to end"), NOON)
    assert [s.status for s in last.steps] == ["COMPLETED", "STOPPED"]


def test_a_step_that_was_stopped_early_is_done_and_the_bar_stays_where_it_was() -> None:
    record = said(started("prepare"), finished("prepare"), started("train"), progress("train", 0.3, metrics={"a": 1.0}))
    last = record.final_progress(RunReport(RunEnding.PRUNED, "not among the best"), NOON)
    assert ([s.status for s in last.steps], last.fraction) == (["COMPLETED", "COMPLETED"], 0.65)
    assert record.result()["metrics"] == {"a": 1.0}


def test_the_last_file_of_a_name_is_kept() -> None:
    lines = [{"type": "artifact", "name": "m", "path": f"/w/{n}", "kind": "file"} for n in (1, 2)]
    record = said(*lines, {"type": "checkpoint", "path": "/w/c"})
    assert [(f.name, f.path) for f in record.files()] == [("m", Path("/w/2"))]
    assert record.checkpoint == Path("/w/c")


def test_a_kind_of_line_that_is_not_known_changes_nothing() -> None:
    assert not said({"type": "weather", "rain": True}).changed
