"""What is said when a start is refused: the fact, the reason, the remedy, and never a credential."""

from __future__ import annotations

import pytest

from app.startup import (
    PortHolder,
    data_locked,
    disk_low,
    embedded_failed,
    hosts,
    mongodb_refused,
    mongodb_unreachable,
    no_embedded_mongodb,
    not_a_replica_set,
    port_moved,
    port_taken,
    python_too_old,
    redis_may_evict,
    redis_unreachable,
)

SECRET = "mongodb://ann:p%40ss@h1:27017,h2:27018/db?authSource=admin"


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        (SECRET, "h1:27017,h2:27018"),
        ("mongodb+srv://ann:pw@cluster0.example.net/", "cluster0.example.net"),
        ("redis://:pw@cache:6379/0", "cache:6379"),
        ("mongodb://plain", "plain"),
    ],
)
def test_only_hosts_are_shown(uri: str, want: str) -> None:
    assert hosts(uri) == want


@pytest.mark.parametrize(
    "said",
    [
        mongodb_unreachable(SECRET, f"cannot reach {SECRET} with p@ss", 10),
        mongodb_refused(SECRET, "user ann with p%40ss: authentication failed"),
        not_a_replica_set(SECRET),
        redis_unreachable("redis://ann:p%40ss@r:1/0", "ann:p%40ss@r refused"),
        redis_may_evict("redis://ann:p%40ss@r:1/0", "allkeys-lru"),
    ],
)
def test_no_message_holds_credentials(said: str) -> None:
    assert "p%40ss" not in said and "p@ss" not in said and "ann:" not in said


def test_atlas_is_asked_about_its_access_list() -> None:
    said = mongodb_unreachable("mongodb+srv://u:p@c.example.net/", "timed out.", 10)
    assert said.startswith("MongoDB at c.example.net did not answer in 10 s: timed out. Atlas: is this machine in")
    assert "unset MONGODB_URI" in said


@pytest.mark.parametrize(
    ("said", "want"),
    [
        (port_taken(PortHolder(8084, 4242, "python -m registry")), '"python -m registry" (pid 4242)'),
        (port_taken(PortHolder(8084, 4242, "python -m registry")), "model registry"),
        (port_taken(PortHolder(9000)), "another user's process"),
        (port_moved(PortHolder(8084, 7, "x"), 8085), "; using 8085."),
        (not_a_replica_set("mongodb://a:1"), "rs.initiate()"),
        (mongodb_refused("mongodb+srv://u:p@nowhere.example", "The DNS name does not exist"), "Check the host name"),
        (no_embedded_mongodb("Darwin", "arm64"), "docker compose up -d mongo redis"),
        (embedded_failed("MongoDB", 14, ["disk on fire"]), "disk on fire"),
        (data_locked(".tensorfleet", 77), "pid 77"),
        (disk_low("/data", 12), "12 MiB free at /data"),
        (python_too_old("3.9.2"), "3.9.2 found, 3.11 or newer"),
    ],
)
def test_message_names_fact_or_remedy(said: str, want: str) -> None:
    assert want in said
