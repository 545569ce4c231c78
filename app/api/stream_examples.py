"""What the event streams look like on the wire: raw examples of the document."""

from __future__ import annotations

_STATE_FRAME = (
    'event: job.state\ndata: {"type":"job.state","job_id":"job_01kdvjm0q8m4x2c7w9f3e5t6y1","name":"iris-random-forest",'
    '"seq":1,"from":null,"to":"QUEUED","reason":"submitted","at":"2026-01-01T12:00:00.000Z","actor":"anonymous",'
    '"attempt":0,"run_no":0,"detail":null}\nid: 1\n\n'
)
_WORKFLOW_FRAMES = (
    'event: workflow.state\ndata: {"type":"workflow.state","id":"wf_01kdvjm0q8m4x2c7w9f3e5t6y1","status":"RUNNING",'
    '"counts":{"ACTIVE":1,"PENDING":2},"at":"2026-01-01T12:00:00.000Z","name":"complete_ml_pipeline","seq":2,'
    '"reason":"started","actor":"anonymous","detail":null}\nid: 8265AF\n\n'
    'event: workflow.step\ndata: {"type":"workflow.step","workflow_id":"wf_01kdvjm0q8m4x2c7w9f3e5t6y1",'
    '"step_id":"model_training","status":"RUNNING","job_id":"job_01kdvjm0q8m4x2c7w9f3e5t6y1","item":null,'
    '"skipped_because":null}\n'
    "id: 8265B0\n\n"
)
STREAMS: dict[str, str] = {
    "stream_workflow_events": _WORKFLOW_FRAMES,
    "stream_events": "event: stream.open\nid: 8265AF\ndata: {}\n\n" + _STATE_FRAME.replace("id: 1\n", "id: 8265B0\n"),
    "stream_job_events": _STATE_FRAME,
    "stream_batch_events": (
        'event: batch.state\ndata: {"type":"batch.state","id":"batch_01kdvjm0q8m4x2c7w9f3e00000","status":"RUNNING",'
        '"counts":{"total":2,"submitted":0,"queued":2,"scheduled":0,"running":0,"paused":0,"retrying":0,"completed":0,'
        '"failed":0,"cancelled":0,"timeout":0},"size":2,"at":"2026-01-01T12:00:00.000Z",'
        '"name":"hyperparameter-tuning-x2","kind":"batch","seq":1,"reason":"submitted","actor":"anonymous",'
        '"detail":null}\nid: 8265AF\n\n'
    ),
    "get_job_logs": (
        'event: log.line\ndata: {"type":"log.line","job_id":"job_01kdvjm0q8m4x2c7w9f3e5t6y1","run_no":1,'
        '"n":1,"at":"2026-01-01T12:00:00.000Z","step":"model_training","stream":"stdout","text":"64 of 100 trees"}\n\n'
    ),
}
