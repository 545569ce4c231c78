"""The embedded servers: real, on loopback, reusable, and never outliving their parent."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from app.dev.embedded import EmbeddedServers
from app.dev.machine import demand_disk, free_port, port_holder
from app.dev.mongodb import Mongod
from app.dev.valkey import Valkey
from app.startup import StartupTrouble
from tests.support.liveness import lives
from tests.support.ports import own_port
from tests.support.wait import once_of_three, until

QUICK = 10.0

PARENT = """
import asyncio, sys
from pathlib import Path
from typing import Any
from app.dev.embedded import EmbeddedServers

async def main():
    async with EmbeddedServers(Path(sys.argv[1]), preferred_ports=(0, 0)) as servers:
        print(servers.mongodb.pid, servers.valkey.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def embedded(folder: Path, **wanted: bool) -> EmbeddedServers:
    return EmbeddedServers(folder, preferred_ports=(0, 0), **wanted)


async def start_parent(folder: Path) -> tuple[asyncio.subprocess.Process, list[int]]:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    return parent, [int(pid) for pid in (await parent.stdout.readline()).split()]


def gone(pids: list[int]) -> bool:
    return not any(map(lives, pids))


async def test_replica_set_with_transactions_and_a_queue_that_never_evicts(tmp_path: Path) -> None:
    async with embedded(tmp_path) as servers:
        ends = servers.endpoints
        assert ends.mongodb_version.startswith("6.") and ends.redis_version.startswith("9.")
        async with AsyncMongoClient[dict[str, Any]](ends.mongodb_uri) as client:
            async with client.start_session() as session, await session.start_transaction():
                await client.db.things.insert_one({"_id": 1}, session=session)
            assert await client.db.things.count_documents({}) == 1
        async with Redis.from_url(str(ends.redis_url)) as redis:
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
            assert (await redis.config_get("save"))["save"] == ""


async def test_listens_on_loopback_only(tmp_path: Path) -> None:
    async with embedded(tmp_path) as servers:
        pids = {servers.mongodb.pid, servers.valkey.pid} if servers.mongodb and servers.valkey else set()
        listening = [c for pid in pids for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert len(listening) == 2
        assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


async def test_second_start_keeps_the_data_on_other_ports_and_is_quick(tmp_path: Path) -> None:
    async with embedded(tmp_path) as servers:
        async with AsyncMongoClient[dict[str, Any]](servers.endpoints.mongodb_uri) as client:
            await client.db.things.insert_one({"_id": "kept"})
        first = servers.endpoints
    remembered = orjson.loads((tmp_path / "endpoints.json").read_bytes())
    loop = asyncio.get_running_loop()

    async def seconds() -> float:
        (tmp_path / "endpoints.json").write_bytes(orjson.dumps({**remembered, "mongodb_port": own_port()}))
        began = loop.time()
        async with embedded(tmp_path) as servers:
            took = loop.time() - began
            assert servers.endpoints.mongodb_port != first.mongodb_port
            assert servers.endpoints.redis_port == first.redis_port
            async with AsyncMongoClient[dict[str, Any]](servers.endpoints.mongodb_uri) as client:
                assert await client.db.things.find_one() == {"_id": "kept"}
        return took

    await once_of_three(seconds, QUICK)


async def test_only_what_is_asked_for_is_started(tmp_path: Path) -> None:
    async with embedded(tmp_path, mongodb=False) as servers:
        assert servers.endpoints.mongodb_uri is None
        assert servers.endpoints.redis_url


async def test_a_folder_in_use_names_its_holder(tmp_path: Path) -> None:
    parent, _ = await start_parent(tmp_path)
    try:
        with pytest.raises(StartupTrouble, match=f"in use by pid {parent.pid}"):
            await embedded(tmp_path).start()
    finally:
        parent.kill()
        await parent.wait()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_servers_end_with_their_parent_and_the_folder_is_free_again(tmp_path: Path, ending: int) -> None:
    parent, pids = await start_parent(tmp_path)
    assert len(pids) == 2 and not gone(pids)
    parent.send_signal(ending)
    await parent.wait()
    async with embedded(tmp_path, redis=False):
        assert gone(pids), "the lock was free while a server of the old holder still ran"


async def test_a_server_that_dies_is_a_failure_with_its_log(tmp_path: Path) -> None:
    async with embedded(tmp_path, mongodb=False) as servers:
        assert servers.valkey
        servers.valkey.kill()
        await until(lambda: servers.failure)
        assert "The embedded Valkey ended with status -9" in str(servers.failure)


async def test_a_broken_data_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "mongodb").mkdir()
    (tmp_path / "mongodb" / "storage.bson").write_bytes(b"not a database")
    with pytest.raises(StartupTrouble, match="embedded MongoDB ended with status"):
        await embedded(tmp_path, redis=False).start()


def test_port_holder_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        holder = port_holder(port)
        assert holder and holder.pid == psutil.Process().pid and "python" in holder.command
        assert free_port(port) != port
    assert port_holder(port) is None


def test_low_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupTrouble, match="MiB free at"):
        demand_disk(tmp_path, needed_mib=1 << 40)
    demand_disk(tmp_path, needed_mib=1)


async def test_a_port_taken_meanwhile_is_never_mistaken_for_ours(tmp_path: Path) -> None:
    for kind in (Valkey, Mongod):
        first = kind(tmp_path / f"{kind.program}-1", own_port())
        async with first, kind(tmp_path / f"{kind.program}-2", first.port) as second:
            assert second.port != first.port
            assert second.pid != first.pid
            assert await second.probe()
            second.port, moved = first.port, second.port
            assert await second.probe() is None, "another server answered as ours"
            second.port = moved
