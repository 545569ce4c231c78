"""The state machine under random walks: history gapless, every entry an edge of the table, terminal means terminal."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.domain import control_transitions as c
from app.domain import transitions as t
from app.domain.errors import InvalidTransition
from app.domain.job import JobError
from app.domain.states import ALLOWED, MANUAL, STATE_KEEPING, TERMINAL, Edge
from app.domain.transitions import Change, RunEnd, apply
from tests.unit.domain.builders import a_job

END = RunEnd(error=JobError("error", "broke"))
MOVES = {
    "become_eligible": t.become_eligible,
    "place": lambda j, s: t.place(j, "node-1", (0,), s),
    "start": t.start,
    "lose_dispatch": t.lose_dispatch,
    "complete": lambda j, s: t.complete(j, RunEnd(), s),
    "fail": lambda j, s: t.fail(j, "error", END, s),
    "time_out": lambda j, s: t.time_out(j, END, s),
    "retry_later": lambda j, s: t.retry_later(j, "timeout", END, timedelta(seconds=1), s),
    "requeue": lambda j, s: t.requeue(j, "drained", RunEnd(), s),
    "finish_cancel": lambda j, s: t.finish_cancel(j, RunEnd(), s, None),
    "cancel_waiting": lambda j, s: c.cancel_waiting(j, s, "why"),
    "request_control": lambda j, s: c.request_control(j, "cancel", s, "why"),
    "lose_worker": lambda j, s: t.lose_worker(j, END, s, crashed=True),
    "hold": lambda j, s: c.hold(j, s, None),
    "request_pause": lambda j, s: c.request_control(j, "pause", s, None),
    "freeze": lambda j, s: c.freeze(j, s, None),
    "release": lambda j, s: c.release(j, RunEnd(), s, None),
    "resume_in_place": lambda j, s: c.resume_in_place(j, s, None),
    "resume_waiting": lambda j, s: c.resume_waiting(j, s, None, eligible=True),
    "resume_not_eligible": lambda j, s: c.resume_waiting(j, s, None, eligible=False),
    "retry_manually": lambda j, s: c.retry_manually(j, s, None, eligible=True),
    "retry_now": t.retry_now,
    "fail_dependency": lambda j, s: t.fail_dependency(j, "job_x", s),
    "pass_queue_deadline": t.pass_queue_deadline,
    "give_up_unsatisfiable": lambda j, s: t.give_up_unsatisfiable(j, "gpu", s),
}


class Walk(RuleBasedStateMachine):
    """Any edge function may be called at any time; it either follows the table or refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.builder = a_job(eligible=False)

    @rule(name=st.sampled_from(sorted(MOVES)))
    def move(self, name: str) -> None:
        before = self.builder.job
        try:
            change: Change = MOVES[name](before, self.builder.stamp())
        except InvalidTransition:
            return
        self.builder.job = apply(before, change)
        assert before.status not in TERMINAL or change.entry.reason in MANUAL
        assert self.builder.job.run_no >= before.run_no

    @invariant()
    def history_is_gapless_and_legal(self) -> None:
        job = self.builder.job
        assert [e.seq for e in job.history] == list(range(1, job.seq + 1))
        assert job.history[-1].to == job.status
        for entry in job.history:
            edge = Edge(entry.source, entry.reason, entry.to)
            assert edge in ALLOWED or entry.reason in STATE_KEEPING
        for earlier, later in zip(job.history, job.history[1:], strict=False):
            assert later.source == earlier.to
            assert later.at >= earlier.at

    @invariant()
    def a_waiting_or_ended_job_holds_nothing(self) -> None:
        job = self.builder.job
        if not job.on_node:
            assert job.gpu_indices == ()
            assert job.control is None

    @invariant()
    def a_paused_job_tells_what_it_was(self) -> None:
        job = self.builder.job
        assert (job.paused_from is not None) == (job.status == "PAUSED")
        if job.frozen:
            assert (job.paused_from, job.run_no) == ("RUNNING", job.history[-1].run_no)


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestWalk = Walk.TestCase
