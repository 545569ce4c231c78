"""Ending process trees: ask the group, wait, then kill it and everything below, also what changed its session."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import psutil
import structlog

from workers.runners.fork_server import Child

log = structlog.get_logger()
GONE_SECONDS = 5.0


def signal_group(pid: int, number: int) -> bool:
    """Send a signal to the group that `pid` leads, or to it alone before it leads one. False: none of it lives."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return _signal_one(pid, number)
    except PermissionError:
        return True
    return True


def _signal_one(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def end_child(child: Child) -> None:
    """SIGKILL to its tree, stopped or not. Returns when the child itself has ended."""
    if not child.ended.done():
        await asyncio.to_thread(kill_tree, child.pid)
        await asyncio.wait([child.ended])


def kill_tree(root: int) -> list[psutil.Process]:
    """SIGKILL to the group of `root` and all its descendants; answers those that were signalled."""
    try:
        below = psutil.Process(root).children(recursive=True)
    except psutil.Error:
        below = []
    signal_group(root, signal.SIGKILL)
    kill(below)
    return below


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL to each; those that are gone are skipped (psutil compares start times, so a reused id is never hit)."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue


async def sweep(child: Child) -> None:
    """Kill what an ended child left behind. Returns when nothing of it lives, or after 5 s with an error in the log."""
    deadline = asyncio.get_running_loop().time() + GONE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        group = signal_group_left(child.pid)
        orphans = await child.server.orphans()
        for orphan in orphans:
            await asyncio.to_thread(kill_tree, orphan.pid)
        if not group and not orphans:
            return
        await asyncio.to_thread(psutil.wait_procs, orphans, 0.05)
    log.error("run.leftovers", pid=child.pid)


def signal_group_left(leader: int) -> bool:
    """Kill what is left of the group of an ended leader; False when there is nothing left."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
