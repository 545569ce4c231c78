"""The commands of a first day: `demo` in a pipe, `dev` and its ends, the troubles at start and their exit codes."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.ports import own_port
from tests.support.processes import TENSORFLEET, child
from tests.support.wait import once_of_three, until

END_SECONDS = 10


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, TENSORFLEET, *arguments)


async def test_demo_in_a_pipe_trains_a_model_and_exits_with_the_jobs_code(tmp_path: Path) -> None:
    async with child(tmp_path, {}, *command("demo", "--port", "0", "--data-dir", str(tmp_path / "data"))) as demo:
        assert await asyncio.wait_for(demo.process.wait(), 240) == 0
        said = demo.log.read_text()
    for words in ("[1/4]", "[4/4]", "RUNNING → COMPLETED", "100/100 trees", "✓ COMPLETED", "accuracy 0.9", "/docs"):
        assert words in said
    assert "\x1b[" not in said


async def family_of_dev(folder: Path, port: int, parent: int) -> list[psutil.Process]:
    """Every process of the stack, once it serves."""

    async def serves() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                found = await client.get(f"http://127.0.0.1:{port}/api/v1/nodes")
        except httpx.TransportError:
            return False
        return found.is_success and any(n["state"] == "READY" for n in found.json()["nodes"])

    await until(serves, 120, every=0.1)
    family = psutil.Process(parent).children(recursive=True)
    assert len(family) >= 5, "API, worker, its servers, MongoDB, Valkey"
    return family


def living(processes: list[psutil.Process]) -> list[str]:
    """The ends of the command lines of those that have not ended."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it may end between two questions
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[-100:])
    return found


async def test_dev_ends_whole_within_ten_seconds_of_sigterm(tmp_path: Path) -> None:
    """It ends whole always, and in time at one of three tries: a busy machine may stand still for a moment."""
    await once_of_three(lambda: end_of_dev(tmp_path), END_SECONDS)


async def end_of_dev(tmp_path: Path) -> float:
    """Seconds from SIGTERM until nothing of it is left, with a stream open."""
    port = own_port()
    arguments = command("dev", "--port", str(port), "--data-dir", str(tmp_path / "data"), "--workers", "2")
    async with child(tmp_path, {}, *arguments) as dev:
        family = await family_of_dev(tmp_path, port, dev.process.pid)
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("GET", f"http://127.0.0.1:{port}/api/v1/events") as stream,
        ):
            assert stream.status_code == 200
            begun = asyncio.get_running_loop().time()
            assert await dev.stop() == 0
        await until(lambda: not living(family), every=0.05)
        return asyncio.get_running_loop().time() - begun


async def test_dev_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    port = own_port()
    arguments = command("dev", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    async with child(tmp_path, {}, *arguments) as dev:
        family = await family_of_dev(tmp_path, port, dev.process.pid)
        await dev.kill()
        await until(lambda: not living(family), every=0.05)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "MONGODB_URI is not set"),
        (
            {"MONGODB_URI": "mongodb://user:geheim@127.0.0.1:1/?serverSelectionTimeoutMS=300"},
            "MongoDB at 127.0.0.1:1 did not answer",
        ),
        ({"MONGODB_URI": "mongodb://127.0.0.1", "JOB_TIMEOUT": "soon"}, "JOB_TIMEOUT"),
        ({"MONGODB_URI": "mongodb://127.0.0.1", "HOST": "0.0.0.0"}, "ALLOW_OPEN_ACCESS=yes"),
    ],
)
async def test_trouble_at_start_is_a_sentence_and_exit_six(tmp_path: Path, env: dict[str, str], words: str) -> None:
    async with child(tmp_path, {**env, "PORT": str(own_port())}, *command("serve")) as serve:
        assert await asyncio.wait_for(serve.process.wait(), 120) == 6
        said = serve.log.read_text()
    assert any(line.startswith("✗") for line in said.splitlines())
    assert words in said
    assert "geheim" not in said
    assert "Traceback" not in said


async def test_a_chosen_port_that_is_taken_is_never_moved(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        for arguments in (command("serve"), command("dev", "--data-dir", str(tmp_path / "data"))):
            async with child(tmp_path, {**env, "PORT": str(port)}, *arguments) as process:
                assert await asyncio.wait_for(process.process.wait(), 120) == 6
                assert f"✗ Port {port} is held by" in process.log.read_text()
