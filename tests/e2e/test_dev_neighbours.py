"""`dev` and `demo` beside a `dev` of the same folder, with stores that are not there, and at a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.test_commands import command
from tests.support.ports import own_port
from tests.support.processes import child
from tests.support.wait import until

NOWHERE = "mongodb://user:geheim@127.0.0.1:1/?serverSelectionTimeoutMS=300"


@pytest.mark.slow
async def test_a_second_start_in_the_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    url_file = folder / "url"
    with_port = ("--port", "0", "--data-dir", str(folder))
    async with child(tmp_path, {}, *command("dev", *with_port)) as dev:
        await until(url_file.exists, 120, every=0.05)
        url = url_file.read_text()
        async with child(tmp_path, {}, *command("dev", *with_port)) as second:
            assert await asyncio.wait_for(second.process.wait(), 120) == 6
            assert second.log.read_text() == (
                f"✗ {folder} is in use by pid {dev.process.pid}. Stop it, or choose another folder with --data-dir.\n"
            )
        assert url_file.read_text() == url
        async with child(tmp_path, {}, *command("dev", "--data-dir", str(folder))) as third:
            assert await asyncio.wait_for(third.process.wait(), 120) == 0
            assert third.log.read_text() == f"Already running from this folder: {url}\n"


async def test_dev_says_what_its_api_says_when_mongodb_is_away(tmp_path: Path) -> None:
    arguments = command("dev", "--port", str(own_port()), "--data-dir", str(tmp_path / "data"))
    async with child(tmp_path, {"MONGODB_URI": NOWHERE}, *arguments) as dev:
        assert await asyncio.wait_for(dev.process.wait(), 120) == 6
        [line] = dev.log.read_text().splitlines()
    assert line.startswith("✗ MongoDB at 127.0.0.1:1 did not answer in")
    assert "geheim" not in line


@pytest.mark.slow
async def test_at_a_terminal_demo_serves_until_ctrl_c_and_ends_with_the_jobs_code(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    screen = bytearray()

    def shows(words: bytes) -> bool:
        with suppress(BlockingIOError):
            screen.extend(os.read(ours, 1 << 16))
        return words in screen

    demo = await asyncio.create_subprocess_exec(
        *command("demo", "--port", "0", "--data-dir", str(tmp_path / "data")),
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        await until(lambda: shows(b"Serving until Ctrl-C."), 90, every=0.05)
        assert b"COMPLETED" in screen and b"100/100 trees" in screen
        demo.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(demo.wait(), 60) == 0
    finally:
        if demo.returncode is None:
            demo.kill()
        os.close(ours)
