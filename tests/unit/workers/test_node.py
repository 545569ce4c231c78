"""What a node says of itself, its folder and lock, its processors, its process trees."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from app.agreement import differing
from app.config import load_settings
from app.domain.nodes import functions_of
from app.domain.resources import Vector
from app.startup import StartupTrouble
from tests.support.clock import NOON
from workers.home import NodeHome, remember_process
from workers.node_facts import Machine, describe, detect
from workers.processors import Processors
from workers.run import RunKey
from workers.usage import Seen, TreeWatch, by_root

MACHINE = Machine("host", 2000, 8192, 100)


def test_a_machine_without_settings_is_what_was_detected() -> None:
    node = describe("n1", MACHINE, load_settings({}), 4, NOON)
    assert (node.capacity, node.free, node.logical, node.epoch) == (MACHINE.capacity, MACHINE.capacity, False, 4)


def test_settings_advertise_another_capacity() -> None:
    settings = load_settings({"NODE_CPU_CORES": "64", "NODE_GPU_COUNT": "8", "NODE_LABELS": "zone=a"})
    node = describe("n1", MACHINE, settings, 1, NOON)
    assert node.capacity == Vector(64_000, 8192, 8, 100)
    assert node.logical and node.labels == {"zone": "a"}
    assert node.facts["physical_cpu_cores"] == 2


def test_a_node_says_which_steps_its_packages_offer() -> None:
    settings = load_settings({})
    offering = [
        describe("n1", replace(MACHINE, functions=names), settings, 1, NOON) for names in ((), ("fit", "score"))
    ]
    assert [functions_of([node]) for node in offering] == [frozenset(), {"fit", "score"}]
    assert functions_of(offering) == {"fit", "score"}
    older = replace(offering[0], facts={"host": "h"})
    assert functions_of([]) is functions_of([*offering, older]) is None, "nobody knows what those offer"


def test_a_node_tells_which_settings_it_was_given_and_not_what_they_are() -> None:
    limits = '{"gpus": 3, "main": 4}'
    given = load_settings({"JOB_TIMEOUT": "4242", "CONCURRENCY_LIMITS": limits, "ARTIFACT_DIR": "/mnt/a"})
    facts = describe("n1", MACHINE, given, 1, NOON).facts
    same = {"JOB_TIMEOUT": "4242.0", "CONCURRENCY_LIMITS": '{"main": 4, "gpus": 3}', "ARTIFACT_DIR": "/mnt/b"}
    assert differing(load_settings(same), facts) == []
    assert differing(load_settings({**same, "LEASE_SECONDS": "90", "RETRY_ATTEMPTS": "5"}), facts) == [
        "LEASE_SECONDS", "RETRY_ATTEMPTS",
    ]  # fmt: skip
    assert differing(load_settings({}), facts) == ["ARTIFACT_DIR", "CONCURRENCY_LIMITS", "JOB_TIMEOUT"]
    assert "4242" not in str(facts)
    assert differing(load_settings({}), {}) == [], "an earlier worker tells nothing"


def test_this_machine_has_something(tmp_path: Path) -> None:
    machine = detect(tmp_path)
    assert machine.cpu_millicores > 0 and machine.memory_mib > 0


def test_a_node_has_one_supervisor(tmp_path: Path) -> None:
    with NodeHome(tmp_path, "n1"):
        already = f"already served by pid {os.getpid()}"
        with pytest.raises(StartupTrouble, match=already) as trouble, NodeHome(tmp_path, "n1"):
            pass
        assert trouble.value.exit_code == 6
        with NodeHome(tmp_path, "n2"):
            pass
    with NodeHome(tmp_path, "n1") as home:
        assert home.runs.is_dir()


def test_what_an_earlier_supervisor_left_is_killed(tmp_path: Path) -> None:
    left = subprocess.Popen(["sh", "-c", "sleep 60 & echo up; wait"], stdout=subprocess.PIPE, start_new_session=True)
    with NodeHome(tmp_path, "n1") as home:
        folder = home.run_folder(RunKey("job_a", 1))
        folder.mkdir()
        remember_process(folder, left.pid)
        said = left.stdout
        assert said is not None and said.readline() == b"up\n" and _session_size(left.pid) == 2
        assert home.clear() == 1
        assert _session_size(left.pid) == 0 and not folder.exists()
    left.communicate(timeout=30)


def test_only_the_holder_of_the_lock_may_clear(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="holder of the lock"):
        NodeHome(tmp_path, "n1").clear()


def _session_size(leader: int) -> int:
    size = 0
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = process.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        size += int(state[3]) == leader and state[0] != "Z"
    return size


def test_processors_are_shared_evenly() -> None:
    processors = Processors([0, 1, 2, 3])
    first, second = processors.take(2000), processors.take(1500)
    assert (first, second) == ((0, 1), (2, 3))
    processors.give_back(second)
    assert processors.take(100) == (2,)
    assert processors.take(64_000) == (0, 1, 2, 3)


def seen(pid: int, parent: int, memory: float = 10, cpu: float = 1) -> Seen:
    return Seen(pid, parent, 0.0, memory, cpu)


def test_trees_are_told_apart_by_their_roots() -> None:
    processes = {p.pid: p for p in (seen(1, 0), seen(10, 1), seen(11, 10), seen(12, 11), seen(20, 1), seen(30, 1))}
    trees = by_root(processes, [10, 20, 99])
    assert {root: sorted(m.pid for m in members) for root, members in trees.items()} == {10: [10, 11, 12], 20: [20]}


async def test_peaks_are_kept_and_an_excess_is_told_once() -> None:
    told: list[float] = []
    watch = TreeWatch()
    watched = watch.add(10, 100, 50.0, told.append)
    watch.take_in([seen(10, 1, 140, 1), seen(11, 10, 5, 2)])
    watch.take_in([seen(10, 1, 140, 1), seen(11, 10, 5, 2)])
    assert watched.usage.peak_memory_mib == 95 and not told
    watch.take_in([seen(10, 1, 160, 1.5)])
    watch.take_in([seen(10, 1, 170, 1.6)])
    assert told == [110.0]
    watch.take_in([seen(10, 1, 60, 1.6)])
    assert watched.usage.peak_memory_mib == 120
    assert watched.usage.cpu_seconds == pytest.approx(3.6)


async def test_a_command_between_its_fork_and_its_exec_is_no_excess() -> None:
    told: list[float] = []
    watch = TreeWatch()
    watched = watch.add(10, 100, 130.0, told.append)
    watch.take_in([seen(10, 1, 150)])
    watch.take_in([seen(10, 1, 150), seen(11, 10, 150)])
    assert not told and watched.usage.peak_memory_mib == 20
    watch.take_in([seen(10, 1, 150), seen(11, 10, 30)])
    assert not told and watched.usage.peak_memory_mib == 50
    watch.take_in([seen(10, 1, 150), seen(11, 10, 200)])
    assert told == [220.0]
