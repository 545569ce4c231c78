"""Settings: names, defaults, units, and what is said when one is wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.config import group_classes, load_settings
from app.domain.priority import Priority
from app.environment import written
from app.startup import StartupTrouble


def trouble(environ: dict[str, str]) -> str:
    with pytest.raises(StartupTrouble) as caught:
        load_settings(environ)
    assert caught.value.exit_code == 6
    return caught.value.message


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings({})
    assert (settings.http.host, settings.http.port, settings.http.open_access) == ("127.0.0.1", 8084, False)
    assert settings.store.mongodb_uri is None and settings.store.database == "tensorfleet"
    assert settings.queue.redis_url is None
    assert settings.limits.max_concurrent_jobs == 10
    assert settings.limits.job_timeout == timedelta(hours=1)
    assert settings.limits.retry_attempts == 3
    lease = settings.lease
    assert [d.total_seconds() for d in (lease.duration, lease.beat, lease.margin)] == [60, 10, 15]
    assert settings.data.root == Path(".tensorfleet/datasets")
    assert settings.logs.level == "INFO"


@pytest.mark.parametrize(("text", "want"), [("90", 90.0), ("0.25", 0.25), ("1e3", 1000.0)])
def test_durations_are_seconds(text: str, want: float) -> None:
    assert load_settings({"JOB_TIMEOUT": text}).limits.job_timeout.total_seconds() == want


def test_empty_counts_as_unset() -> None:
    settings = load_settings({"PORT": "", "MONGODB_URI": "  ", "REDIS_URL": "", "NODE_TYPES": ""})
    assert settings == load_settings({})
    assert not settings.http.port_chosen


def test_overrides_win_over_the_environment() -> None:
    settings = load_settings({"PORT": "9000", "JOB_TIMEOUT": "5"}, PORT=0)
    assert settings.http.port == 0 and settings.http.port_chosen
    assert settings.limits.job_timeout == timedelta(seconds=5)


def test_an_override_that_no_setting_knows_is_a_bug() -> None:
    with pytest.raises(TypeError, match="PROT"):
        load_settings({}, PROT=1)


def test_structured_values() -> None:
    settings = load_settings(
        {
            "NODE_LABELS": "zone=a, disk=ssd",
            "CONCURRENCY_LIMITS": '{"main_orchestrator": 4}',
            "TENANT_QUOTAS": '{"vision": {"cpu_cores": 16}}',
            "NODE_TYPES": '{"gpu": {"cpu_cores": 16, "memory_gb": 64, "gpu_count": 4}}',
            "LOG_LEVEL": "debug",
        }
    )
    assert settings.node.labels == {"zone": "a", "disk": "ssd"}
    assert settings.limits.concurrency == {"main_orchestrator": 4}
    assert settings.tenants.quotas["vision"].cpu_cores == 16
    assert settings.capacity.node_types["gpu"].gpu_count == 4
    assert settings.logs.level == "DEBUG"


def test_celery_broker_url_is_ignored_with_one_warning() -> None:
    with capture_logs() as logged:
        settings = load_settings({"CELERY_BROKER_URL": "redis://old:6379/0"})
    assert settings == load_settings({})
    assert [line["event"] for line in logged] == ["settings.variable_ignored"]
    assert logged[0]["variable"] == "CELERY_BROKER_URL"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PORT": "http"}, "PORT: "),
        ({"PORT": "70000"}, "PORT: "),
        ({"JOB_TIMEOUT": "soon"}, "JOB_TIMEOUT: must be a number of seconds"),
        ({"JOB_TIMEOUT": "nan"}, "JOB_TIMEOUT: must be a finite number"),
        ({"JOB_TIMEOUT": "inf"}, "JOB_TIMEOUT: must be a finite number"),
        ({"KILL_GRACE_SECONDS": "0"}, "KILL_GRACE_SECONDS: "),
        ({"RETRY_ATTEMPTS": "-1"}, "RETRY_ATTEMPTS: "),
        ({"NODE_TYPES": "{"}, "NODE_TYPES is not valid JSON"),
        ({"NODE_TYPES": '{"gpu": {"cpu_cores": 2}}'}, "NODE_TYPES[gpu][memory_gb]: "),
        ({"NODE_LABELS": "ssd"}, "NODE_LABELS: must be pairs"),
        ({"NODE_ID": "Host.Name"}, "NODE_ID: "),
        ({"MONGODB_URI": "localhost:27017"}, "MONGODB_URI: "),
        ({"REDIS_URL": "localhost"}, "REDIS_URL: "),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: "),
        ({"LEASE_SECONDS": "20"}, "LEASE_SECONDS must hold two beats"),
        ({"HOST": "0.0.0.0"}, "ALLOW_OPEN_ACCESS=yes"),
    ],
)
def test_a_wrong_value_is_named(environ: dict[str, str], said: str) -> None:
    assert said in trouble(environ)


def test_all_wrong_values_are_told_at_once() -> None:
    lines = trouble({"PORT": "x", "JOB_TIMEOUT": "y", "NODE_TYPES": "{"}).splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines] == ["PORT", "JOB_TIMEOUT", "NODE_TYPES"]


def test_secrets_are_neither_printed_nor_told() -> None:
    settings = load_settings({"MONGODB_URI": "mongodb://me:hunter2@db/", "REDIS_URL": "redis://:hunter2@r/0"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in trouble({"MONGODB_URI": "http://me:hunter2@db/"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert load_settings({"HOST": host}).http.loopback


def test_open_access_is_given_in_so_many_words() -> None:
    settings = load_settings({"HOST": "0.0.0.0", "ALLOW_OPEN_ACCESS": "yes"})
    assert not settings.http.loopback and settings.http.open_access


NODE_TYPE = {"cpu_cores": 16, "memory_gb": 64}


def types(**parts: object) -> dict[str, str]:
    return {"NODE_TYPES": json.dumps({"gpu": {**NODE_TYPE, **parts}})}


def test_node_types_are_what_decisions_go_by() -> None:
    environ = types(gpu_count=4, labels={"disk": "ssd"}, price_per_hour=3.2, boot_seconds=90, min=1, max=2)
    capacity = load_settings({**environ, "WAIT_TARGETS": '{"low": 90}', "CLASS_PRICES": '{"urgent": 7}'}).capacity
    kind = capacity.types["gpu"]
    assert (kind.capacity.parts(), kind.price, kind.boot) == ((16_000, 65_536, 4, 100), 3.2, 90)
    assert (kind.least, kind.most, kind.all_labels) == (1, 2, {"disk": "ssd", "node_type": "gpu"})
    assert capacity.rules.targets == {
        Priority.URGENT: 60, Priority.HIGH: 300, Priority.NORMAL: 1_800, Priority.LOW: 90,
    }  # fmt: skip
    assert capacity.rules.prices == {Priority.URGENT: 7}
    assert (capacity.rules.window, capacity.rules.span) == (600, 900)


@pytest.mark.parametrize(
    ("environ", "want"),
    [
        (types(min=3, max=2), "NODE_TYPES[gpu]: min 3 is more than max 2"),
        (types(max=1_001), "NODE_TYPES[gpu][max]: "),
        (types(cpu_cores=0), "NODE_TYPES[gpu][cpu_cores]: "),
        (types(memory_gb=1e300), "NODE_TYPES[gpu][memory_gb]: "),
        (types(boot_seconds=-1), "NODE_TYPES[gpu][boot_seconds]: "),
        (types(price_per_hour=-1), "NODE_TYPES[gpu][price_per_hour]: "),
        (types(labels={"a b": "c"}), "NODE_TYPES[gpu][labels]"),
        (types(labels={"node_type": "x"}), "NODE_TYPES[gpu]: the label node_type is given to each node"),
        ({"NODE_TYPES": json.dumps({"Big.One": NODE_TYPE})}, "NODE_TYPES[Big.One]"),
        ({"WAIT_TARGETS": '{"soon": 1}'}, "WAIT_TARGETS[soon]"),
        ({"WAIT_TARGETS": '{"low": 0}'}, "WAIT_TARGETS[low]: must be more than 0 seconds"),
        ({"CLASS_PRICES": '{"low": -1}'}, "CLASS_PRICES[low]: "),
        (
            {"CAPACITY_PROVIDER": "cloud"},
            "CAPACITY_PROVIDER: must be 'none', 'local', 'webhook', 'kubernetes' or 'ray'",
        ),
        ({"CAPACITY_PROVIDER": "local"}, "CAPACITY_PROVIDER local needs NODE_TYPES"),
        ({**types(), "CAPACITY_PROVIDER": "webhook"}, "CAPACITY_PROVIDER webhook needs CAPACITY_WEBHOOK_URL and"),
        ({"CAPACITY_WEBHOOK_SECRET": "short"}, "CAPACITY_WEBHOOK_SECRET: "),
        ({"CAPACITY_WEBHOOK_SECRET": "whsec_" + "A" * 33}, "CAPACITY_WEBHOOK_SECRET: "),
        ({"CAPACITY_WEBHOOK_URL": "ftp://x"}, "CAPACITY_WEBHOOK_URL: "),
        ({"CAPACITY_KUBERNETES_DEPLOYMENT": "worker"}, "CAPACITY_KUBERNETES_DEPLOYMENT: "),
    ],
)
def test_wrong_capacity_is_named(environ: dict[str, str], want: str) -> None:
    assert trouble(environ).startswith(want)


def test_a_secret_is_not_told() -> None:
    secret = "whsec_" + "x" * 20 + "!"
    assert secret not in trouble({"CAPACITY_WEBHOOK_SECRET": secret})
    settings = load_settings({"CAPACITY_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 6})
    assert "c2VjcmV0" not in repr(settings)


def test_settings_can_be_written_to_an_environment_and_read_again() -> None:
    environ = {
        "NODE_LABELS": "zone=a,disk=ssd",
        "NODE_TYPES": types(labels={"a": "b"})["NODE_TYPES"],
        "TENANT_QUOTAS": '{"vision": {"running": 3}}',
        "WAIT_TARGETS": '{"low": 0.5}',
        "JOB_TIMEOUT": "1234567.25",
        "PREEMPTION": "on",
        "DATA_DIR": "/somewhere/else",
        "CAPACITY_PROVIDER": "local",
        "MONGODB_URI": "mongodb://a:1/?replicaSet=rs0",
    }
    settings = load_settings(environ)
    text = {k: v for name in group_classes() for k, v in written(getattr(settings, name)).items()}
    assert load_settings(text) == settings and text.keys() == environ.keys()
