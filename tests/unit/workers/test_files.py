"""Files that come from a run and go to the next: what is kept, and how a checkpoint travels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.domain.builders import a_job
from workers.collection import content_type, inside
from workers.preparation import Inputs, order_for, pack, unpack


def test_only_plain_files_of_the_run_are_kept(tmp_path: Path) -> None:
    folder, outside = tmp_path / "run", tmp_path / "secret"
    (folder / "artifacts").mkdir(parents=True)
    outside.write_text("s")
    plain = folder / "artifacts" / "a.txt"
    plain.write_text("a")
    link = folder / "artifacts" / "link"
    link.symlink_to(outside)
    (folder / "door").symlink_to(tmp_path)
    assert inside(plain, folder)
    refused = [link, outside, folder / ".." / "secret", folder / "door" / "secret", folder / "artifacts", folder / "no"]
    assert not any(inside(path, folder) for path in refused)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_checkpoint_arrives_as_it_left(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "out" / "state"
    if kind == "file":
        source.parent.mkdir()
        source.write_text("17")
    else:
        source.mkdir(parents=True)
        (source / "epoch").write_text("17")
    (tmp_path / "in").mkdir()
    arrived = unpack(pack(source, tmp_path / "in" / "checkpoint-1.tar"))
    assert arrived.name == "state"
    assert (arrived if kind == "file" else arrived / "epoch").read_text() == "17"


def test_what_could_not_be_laid_out_again_is_not_packed(tmp_path: Path) -> None:
    """A link to an absolute path is common beside checkpoints; it must not keep every later run from its start."""
    source = tmp_path / "out" / "state"
    source.mkdir(parents=True)
    (source / "epoch-5").write_text("17")
    (source / "latest").symlink_to("epoch-5")
    (source / "absolute").symlink_to(source / "epoch-5")
    (source / "outside").symlink_to("../../../secret")
    os.mkfifo(source / "pipe")
    (tmp_path / "in").mkdir()
    arrived = unpack(pack(source, tmp_path / "in" / "checkpoint-1.tar"))
    assert sorted(path.name for path in arrived.iterdir()) == ["epoch-5", "latest"]
    assert (arrived / "latest").read_text() == "17"


@pytest.mark.parametrize(
    ("name", "want"),
    [("report.json", "application/json"), ("predictions.csv", "text/csv"), ("x.bin9", "application/octet-stream")],
)
def test_content_types(name: str, want: str) -> None:
    assert content_type(name) == want


def test_the_order_says_what_the_job_says(tmp_path: Path) -> None:
    job = a_job("command", parameters={"command": ["true"]}).running().job
    order = order_for(job, tmp_path, tmp_path / "data", (2, 3), Inputs(checkpoint="c"))
    said = order.specification
    assert (said["job_id"], said["run_no"], said["attempt"], said["threads"], said["cpus"]) == (job.id, 1, 1, 2, [2, 3])
    [step] = said["steps"]
    assert (step["kind"], step["command"], step["timeout"]) == ("command", ["true"], order.step_timeout("command"))
    assert (order.timeout, order.memory_mib) == (job.timeout, job.resources.memory_mib)
