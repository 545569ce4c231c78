"""Rubbish by a seed: documents that look like real ones with something wrong in them, and messages of any bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from bson import ObjectId

RUBBISH: tuple[Any, ...] = (
    None, "", "x" * 2_000, "\u0000", -1, 0, 2**63 - 1, 0.1, float("nan"), float("inf"), True, [], {}, [None],
    {"$where": "1"}, {"a": {"b": {"c": []}}}, ObjectId("0" * 24), datetime(1, 1, 1, tzinfo=UTC), b"\xff\x00",
)  # fmt: skip
KEEPS_ITS_NAME = 0.5


def documents(chance: random.Random, original: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """So many documents, each marked with `rubbish`, with one to four fields of `original` replaced or taken away."""
    return [_spoiled(chance, original, n) for n in range(count)]


def _spoiled(chance: random.Random, original: Mapping[str, Any], number: int) -> dict[str, Any]:
    document = {**original, "_id": _identity(chance, number), "rubbish": True}
    names = [name for name in original if name != "_id"] or ["field"]
    for name in chance.sample(names, min(len(names), chance.randint(1, 4))):
        if chance.random() < 0.3:
            document.pop(name, None)
        else:
            document[name] = chance.choice(RUBBISH)
    if "status" in original and chance.random() < 0.7:
        document["status"] = chance.choice(["QUEUED", "SCHEDULED", "RUNNING", "RETRYING", "SUBMITTED", "PAUSED", "?"])
        document["node_id"] = chance.choice(["node-1", "node-?", None])
    return document


def _identity(chance: random.Random, number: int) -> Any:
    wanted: list[Any] = [f"job_{number:026d}", f"rubbish.{number}", number, {"n": number}, f"node:rubbish-{number}"]
    return chance.choice(wanted) if chance.random() < KEEPS_ITS_NAME else f"job_{chance.getrandbits(120):026x}"[:30]


def messages(chance: random.Random, count: int) -> list[bytes]:
    """Bytes, JSON of a wrong shape, and envelopes that are nearly right."""
    shapes: list[Any] = [[], {}, "x", 7, None, {"t": None, "f": "assignments", "a": [{"v": 9}], "k": {}, "et": 0}]
    shapes.append({"t": None, "f": "os.system", "a": ["true"], "k": {}, "et": 0})
    return [
        chance.randbytes(chance.randint(0, 200)) if chance.random() < 0.3 else orjson.dumps(chance.choice(shapes))
        for _ in range(count)
    ]
