"""The message to a node: exactly one shape."""

from __future__ import annotations

import json

import pytest

from app.domain.dispatch import MOST, decode_message, encode_message
from app.domain.errors import Invalid


def test_reads_what_was_written() -> None:
    assignments = [("job_0", 1), ("job_1", 12)]
    assert decode_message(json.loads(json.dumps(encode_message(assignments)))) == assignments


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (None, ""),
        ([["job_a", 1]], ""),
        ({}, ""),
        ({"assignments": {"job_a": 1}}, ""),
        ({"assignments": [["job_a", 1]], "more": 1}, ""),
        ({"assignments": []}, "assignments"),
        ({"assignments": [["job_a", 1]] * (MOST + 1)}, "assignments"),
        ({"assignments": [["job_a", 1], ["job_b"]]}, "assignments[1]"),
        ({"assignments": [["job_a", 1, 2]]}, "assignments[0]"),
        ({"assignments": ["ab"]}, "assignments[0]"),
        ({"assignments": [["Job-A", 1]]}, "assignments[0]"),
        ({"assignments": [["job.a", 1]]}, "assignments[0]"),
        ({"assignments": [["", 1]]}, "assignments[0]"),
        ({"assignments": [[7, 1]]}, "assignments[0]"),
        ({"assignments": [["job_a", 0]]}, "assignments[0]"),
        ({"assignments": [["job_a", True]]}, "assignments[0]"),
        ({"assignments": [["job_a", 1.0]]}, "assignments[0]"),
        ({"assignments": [["job_a", "1"]]}, "assignments[0]"),
    ],
)
def test_refuses_everything_else(payload: object, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_message(payload)
    assert [error.path for error in caught.value.errors] == [path]
