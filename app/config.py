"""Settings: flat names in the environment, grouped by subject here.

`load_settings` is called by an entry point and its answer handed on; nothing is read at import and nothing is cached.
What is wrong is said as a `StartupTrouble` that names the variable, the fault and its meaning. Each field's description
is the text of `.env.example` (`app/dev/env_example.py`), so a setting without meaning and default cannot exist.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import SettingsError

from app.capacity import CapacitySettings
from app.environment import Group, Labels, Seconds, Upper, explain, read, variable
from app.retention import RetentionSettings
from app.scheduling import SchedulerSettings, TenantSettings
from app.startup import StartupTrouble
from app.webhooks import CallbackSettings

log = structlog.get_logger()

DEFAULT_REDIS_URL = "redis://redis:6379/0"
"""Used by `serve` and `worker` when `REDIS_URL` is not set; `dev`, `demo` and the tests have an embedded one."""


class HttpSettings(Group):
    """The listening socket and what it accepts."""

    host: str = variable("HOST", "Address to listen on. Beyond loopback only with ALLOW_OPEN_ACCESS=yes.", "127.0.0.1")
    port: int = variable("PORT", "Port of the HTTP API. 0 takes a free one.", 8084, ge=0, le=65535)
    open_access: bool = variable(
        "ALLOW_OPEN_ACCESS",
        "`yes`: listen beyond loopback although no API keys exist. Whoever reaches the port runs code.",
        False,
    )
    max_body_mb: int = variable("MAX_BODY_MB", "Largest request body.", 1, unit="MiB", ge=1, le=64)

    max_batch_mb: int = variable(
        "MAX_BATCH_MB", "Largest request body of a batch or a workflow.", 16, unit="MiB", ge=1, le=64
    )

    @property
    def port_chosen(self) -> bool:
        """Whether somebody set the port; a default may move when it is taken, a chosen one never."""
        return "port" in self.model_fields_set

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the socket."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if not self.loopback and not self.open_access:
            raise ValueError(
                f"HOST {self.host} is reachable from other machines and no API keys exist, so anybody there could run "
                "code; set HOST=127.0.0.1, or ALLOW_OPEN_ACCESS=yes if a network policy protects the port"
            )
        return self


class StoreSettings(Group):
    """MongoDB, the only truth."""

    mongodb_uri: str | None = variable(
        "MONGODB_URI",
        "Replica set or Atlas, mongodb:// or mongodb+srv://. Unset: embedded in `dev`, `demo` and the tests; "
        "`serve` and `worker` refuse to start.",
        None,
        pattern=r"^mongodb(\+srv)?://.+",
        repr=False,
    )
    database: str = variable("MONGODB_DATABASE", "Database name.", "tensorfleet", pattern=r"^[A-Za-z0-9_-]{1,38}$")


class QueueSettings(Group):
    """Redis or Valkey, the rebuildable index."""

    redis_url: str | None = variable(
        "REDIS_URL",
        f"redis:// or rediss://. Unset: embedded in `dev`, `demo` and the tests, else {DEFAULT_REDIS_URL}.",
        None,
        pattern=r"^(rediss?|unix)://.+",
        repr=False,
    )


class DataSettings(Group):
    """Folders of this machine."""

    directory: Path = variable(
        "DATA_DIR", "Folder for embedded stores, run directories and caches.", Path(".tensorfleet")
    )
    data_root: Path | None = variable(
        "DATA_ROOT", "Folder below which data set files are looked for. Unset: `datasets` in DATA_DIR.", None
    )
    artifact_directory: Path | None = variable(
        "ARTIFACT_DIR", "Folder for artifacts that the API and all nodes share. Unset: they are kept in MongoDB.", None
    )

    @property
    def root(self) -> Path:
        """Where data set files are looked for."""
        return self.data_root or self.directory / "datasets"


LimitName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class LimitSettings(Group):
    """What a job may take when it does not say, and how many run."""

    max_concurrent_jobs: int = variable(
        "MAX_CONCURRENT_JOBS", "Jobs that hold resources at once, over all nodes. 0: no limit.", 10, unit="jobs", ge=0
    )
    job_timeout: Seconds = variable(
        "JOB_TIMEOUT", "Time limit of a job whose template names none.", timedelta(hours=1), unit="seconds"
    )
    retry_attempts: int = variable(
        "RETRY_ATTEMPTS", "Attempts of a job with no retry policy, first included.", 3, unit="attempts", ge=1, le=100
    )
    concurrency: dict[LimitName, Annotated[int, Field(ge=1, le=10_000)]] = variable(
        "CONCURRENCY_LIMITS",
        'Jobs that may be queued or run at once among those that name a limit, as JSON: {"main_orchestrator": 4}.',
        {},
        unit="jobs by name",
    )


class LeaseSettings(Group):
    """How long a node may be silent before its runs are taken from it."""

    duration: Seconds = variable(
        "LEASE_SECONDS", "Life of a node's lease without renewal.", timedelta(seconds=60), unit="seconds"
    )
    beat: Seconds = variable("LEASE_BEAT_SECONDS", "Time between two renewals.", timedelta(seconds=10), unit="seconds")
    margin: Seconds = variable(
        "LEASE_MARGIN_SECONDS",
        "A node that could not renew its lease freezes its runs so long before the lease ends.",
        timedelta(seconds=15),
        unit="seconds",
    )
    freeze_max: Seconds = variable(
        "FREEZE_MAX_SECONDS",
        "Runs that were frozen so long because the lease could not be renewed are killed.",
        timedelta(hours=1),
        unit="seconds",
    )

    @property
    def trusted(self) -> timedelta:
        """How long after a renewal was asked for the node may let its runs go on."""
        return self.duration - self.margin

    @model_validator(mode="after")
    def _room_for_a_missed_beat(self) -> Self:
        if 2 * self.beat + self.margin > self.duration:
            raise ValueError(
                "LEASE_SECONDS must hold two beats and the margin (2 × LEASE_BEAT_SECONDS + LEASE_MARGIN_SECONDS), "
                "else one missed renewal freezes every run; scale all three together"
            )
        return self


class NodeSettings(Group):
    """What this machine is to the cluster, and how it ends runs."""

    id: str | None = variable(
        "NODE_ID", "Name of this node. Unset: from the host name.", None, pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"
    )
    labels: Labels = variable("NODE_LABELS", "Labels for node selectors, e.g. zone=a,disk=ssd.", {})
    cpu_cores: float | None = variable(
        "NODE_CPU_CORES", "Cores to offer. Unset: as detected.", None, unit="cores", gt=0, le=4096
    )
    memory_gb: float | None = variable(
        "NODE_MEMORY_GB", "Memory to offer, 1 GB = 1,024 MiB. Unset: as detected.", None, unit="GB", gt=0, le=65_536
    )
    gpu_count: int | None = variable(
        "NODE_GPU_COUNT", "GPUs to offer. Unset: as detected.", None, unit="GPUs", ge=0, le=1024
    )
    storage_gb: float | None = variable(
        "NODE_STORAGE_GB", "Storage to offer. Unset: as detected.", None, unit="GB", gt=0, le=10_000_000
    )
    kill_grace: Seconds = variable(
        "KILL_GRACE_SECONDS", "Time between asking a run to end and killing it.", timedelta(seconds=10), unit="seconds"
    )
    drain_grace: Seconds = variable(
        "DRAIN_GRACE_SECONDS",
        "Time a stopping worker gives its runs before they go back to the queue.",
        timedelta(seconds=30),
        unit="seconds",
    )
    checkpoint_every: Seconds = variable(
        "CHECKPOINT_SECONDS",
        "Least time between two stored checkpoints of a live run; a worker that is killed loses what is newer.",
        timedelta(seconds=60),
        unit="seconds",
    )
    pause_hold: Seconds = variable(
        "PAUSE_HOLD_SECONDS",
        "Longest time a paused run stands frozen on its node with its resources; then it is checkpointed and released.",
        timedelta(hours=1),
        unit="seconds",
    )


class LogSettings(Group):
    """What is logged."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], Upper] = variable(
        "LOG_LEVEL", "DEBUG, INFO, WARNING, ERROR or CRITICAL.", "INFO"
    )


class Settings(BaseModel):
    """All settings of a process, by subject."""

    model_config = ConfigDict(frozen=True)

    http: HttpSettings
    store: StoreSettings
    queue: QueueSettings
    data: DataSettings
    limits: LimitSettings
    tenants: TenantSettings
    scheduler: SchedulerSettings
    lease: LeaseSettings
    node: NodeSettings
    capacity: CapacitySettings
    retention: RetentionSettings
    callbacks: CallbackSettings
    logs: LogSettings


IGNORED = {"CELERY_BROKER_URL": "Accepted and ignored: REDIS_URL is what counts. Older deployments still set it."}
"""Variables that existing deployments set and that no longer mean anything: one warning each."""


def group_classes() -> dict[str, type[Group]]:
    """The groups of `Settings` by name, in the order of declaration."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Group)}


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Settings from `environ` (the process's by default), with `overrides` by variable name (`PORT=0`) on top.

    Raises `StartupTrouble` (exit 6) that names every variable that is wrong, one a line.
    """
    given = os.environ if environ is None else environ
    for name in sorted(name for name in IGNORED if given.get(name)):
        log.warning("settings.variable_ignored", variable=name, why=IGNORED[name])
    kinds = group_classes()
    if unknown := overrides.keys() - {name for kind in kinds.values() for name in kind.variables()}:
        raise TypeError(f"no such variable: {', '.join(sorted(unknown))}")
    groups: dict[str, Group] = {}
    troubles: list[str] = []
    for subject, kind in kinds.items():
        try:
            groups[subject] = read(kind, given, overrides)
        except (ValidationError, SettingsError) as error:
            troubles += explain(kind, error)
    if troubles:
        raise StartupTrouble("\n".join(troubles))
    return Settings.model_validate(groups)
