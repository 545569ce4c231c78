"""What can stop a process from starting, and what is then said.

`StartupTrouble` is raised by whatever is being started and printed by the command line as `✗ message`, which then exits
with `exit_code` (6: service or store unreachable, start-up refused). Each message names what was found, why it matters,
and the one thing to do. The functions here are pure: they get facts and give the text. **No message ever holds
credentials**: of a MongoDB or Redis address only the hosts are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

START_REFUSED = 6
TROUBLE_SIGN = "✗ "
"""What the command line puts before the message."""
PLATFORM_REGISTRY_PORT = 8084
SHORTEST_SECRET = 4


class StartupTrouble(Exception):
    """The process cannot start as it was asked to."""

    def __init__(self, message: str, exit_code: int = START_REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class PortHolder:
    """Who listens on a port: `command` is its command line, `pid` None when it belongs to somebody else."""

    port: int
    pid: int | None = None
    command: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return "another user's process"
        return f'"{self.command}" (pid {self.pid})' if self.command else f"pid {self.pid}"


def port_moved(holder: PortHolder, port: int) -> str:
    """`PORT` was not set and its default is taken: what is used instead."""
    return f"Port {holder.port} is held by {holder}{_registry(holder)}; using {port}."


def port_taken(holder: PortHolder) -> str:
    """`PORT` was set, or `serve` asked for it: it is never moved silently."""
    return f"Port {holder.port} is held by {holder}{_registry(holder)}. Stop it or set PORT."


def already_running(url: str) -> str:
    """Our own service answers on the port."""
    return f"Already running from this folder: {url}"


def hosts(uri: str) -> str:
    """The hosts of a MongoDB or Redis address and nothing else of it: `mongodb://u:p@a:1,b:2/x` → `a:1,b:2`."""
    return urlsplit(uri).netloc.rpartition("@")[2] or "an address without a host"


def mongodb_unreachable(uri: str, reason: str, seconds: float) -> str:
    """`reason` is the driver's; it is kept only as far as it does not repeat the address with its credentials."""
    where = hosts(uri)
    check = f"Check that MongoDB runs at {where} and that this machine may reach it."
    if urlsplit(uri).scheme == "mongodb+srv":
        check = "Atlas: is this machine in the IP access list?"
    said = without_credentials(reason, uri).rstrip(".")
    return (
        f"MongoDB at {where} did not answer in {seconds:g} s: {said}. {check} "
        "Or unset MONGODB_URI and run `tensorfleet dev`, which brings its own."
    )


def mongodb_missing() -> str:
    """`serve` and `worker` never start an embedded store of their own."""
    return (
        "MONGODB_URI is not set. Set it to a replica set (mongodb:// or mongodb+srv://), "
        "or run `tensorfleet dev`, which brings an embedded MongoDB, a Valkey and a worker."
    )


def mongodb_refused(uri: str, reason: str) -> str:
    """The server answered, and said no: credentials, database rights, TLS. Or its name leads nowhere."""
    where, said = hosts(uri), without_credentials(reason, uri).rstrip(".")
    if "DNS" in reason:
        return f"MongoDB at {where} cannot be found: {said}. Check the host name in MONGODB_URI."
    return (
        f"MongoDB at {where} refused the connection: {said}. "
        "Check the user, the password and authSource in MONGODB_URI."
    )


def not_a_replica_set(uri: str) -> str:
    """A standalone server answered."""
    where = hosts(uri).partition(",")[0]
    return (
        f"MongoDB at {where} is not a replica set. Job changes are told by change streams, which only a "
        "replica set has; a set of one is enough. Restart mongod with --replSet rs0 and run once: "
        f"mongosh {where} --eval 'rs.initiate()'"
    )


def redis_unreachable(uri: str, reason: str) -> str:
    """The queue index and the bells do not answer."""
    return (
        f"Redis at {hosts(uri)} did not answer: {without_credentials(reason, uri).rstrip('.')}. "
        "Check that it runs and that REDIS_URL is right; or unset REDIS_URL for the embedded one (`tensorfleet dev`)."
    )


def redis_may_evict(uri: str, policy: str) -> str:
    """A warning, not a refusal: whatever is lost is rebuilt from MongoDB."""
    return (
        f"Redis at {hosts(uri)} may evict keys (maxmemory-policy {policy}): queue entries can vanish until the "
        "reconciler rebuilds them from MongoDB. Run: redis-cli CONFIG SET maxmemory-policy noeviction"
    )


def artifacts_unusable(folder: str, reason: str) -> str:
    """The shared folder for artifacts is not there and cannot be made."""
    return (
        f"ARTIFACT_DIR {folder} cannot be used: {reason}. "
        "Mount the folder that the API and all nodes share, or unset ARTIFACT_DIR to keep artifacts in MongoDB."
    )


def no_embedded_mongodb(system: str, machine: str, why: str = "") -> str:
    """The lines to paste instead are part of the message."""
    because = f" ({why})" if why else ""
    return (
        f"No embedded MongoDB for {system} {machine}{because}. Run:\n"
        "  docker compose up -d mongo redis\n"
        "  export MONGODB_URI='mongodb://127.0.0.1:27017/?replicaSet=rs0&directConnection=true'\n"
        "  export REDIS_URL='redis://127.0.0.1:6379/0'"
    )


def no_embedded_redis(system: str, machine: str) -> str:
    """As `no_embedded_mongodb`, for the queue index."""
    return (
        f"No embedded Valkey for {system} {machine}. Run:\n"
        "  docker compose up -d redis\n"
        "  export REDIS_URL='redis://127.0.0.1:6379/0'"
    )


def embedded_failed(program: str, status: int | None, tail: Sequence[str]) -> str:
    """An embedded server ended, or did not become ready; `tail` is the end of its log."""
    ended = "did not become ready in time" if status is None else f"ended with status {status}"
    said = "".join(f"\n  {line}" for line in tail)
    return f"The {program} {ended}. The end of its log:{said or ' (empty)'}"


def data_locked(path: str, pid: int | None) -> str:
    """Another process serves from this data directory."""
    holder = f"pid {pid}" if pid else "another process"
    return f"{path} is in use by {holder}. Stop it, or choose another folder with --data-dir."


def disk_low(path: str, free_mib: int, needed_mib: int = 1024) -> str:
    """MongoDB stops accepting writes on a full disk, so the start is refused before that."""
    return (
        f"Only {free_mib} MiB free at {path}, {needed_mib} MiB needed. "
        "Free some space, or choose another folder with --data-dir."
    )


def python_too_old(found: str, needed: str = "3.11") -> str:
    """The interpreter in use is older than what the service is written for."""
    return f"Python {found} found, {needed} or newer needed. Install it and run: make setup PYTHON=python{needed}"


def without_credentials(text: str, uri: str) -> str:
    """`text` with the user part of `uri` cut out wherever it appears, whole, in parts, or percent-decoded.

    Parts shorter than four characters are only cut out as a whole: they would take ordinary words apart.
    """
    user_part, at, _ = urlsplit(uri).netloc.rpartition("@")
    if not at:
        return text
    parts = [part for part in user_part.split(":", 1) if len(part) >= SHORTEST_SECRET]
    for secret in sorted({user_part, *parts, *map(unquote, [user_part, *parts])}, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _registry(holder: PortHolder) -> str:
    named = holder.port == PLATFORM_REGISTRY_PORT and "registry" in holder.command.lower()
    return ", the platform's model registry" if named else ""
