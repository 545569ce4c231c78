"""The process in which expressions are evaluated: CEL holds the interpreter's lock and bounds no memory, so it gets a
process of its own with little of it. Started by `app.storage.expressions`, which also bounds its time.

The time of the processor is bounded here, for each item: when it is used up the kernel ends the process, whatever it is
in. So a machine that is busy with other things makes no expression fail.

To make an environment costs far more than to compile a text in it. So the texts that are checked together share one,
with the variables of all of them, but for those that could speak of a variable that is not their own.

One JSON object a line comes in, `{"op": "check" | "evaluate", "items": [{text, variables, values?}]}`, and one goes
out: an array of `{"type"}`, `{"value"}` or `{"fault", "position"?}`, of the first items only where they take long.
Nothing else is imported here, and nothing is written but the answers.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import resource
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import orjson
from cel_expr_python import cel

ROOM = 128 << 20
"""Bytes that evaluations may use beside what the process has at its start."""
PROCESSOR_SECONDS = 0.5
"""For one item; CEL's own budget of iterations ends an evaluation long before."""
MAX_OUTPUT = 256 << 10
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_TYPES = {
    "dyn": cel.Type.DYN,
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "list": cel.Type.List(cel.Type.DYN),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
_WORD = re.compile(r"\w+")
Answer = dict[str, Any]
Variables = tuple[tuple[str, str], ...]


class NotJson(ValueError):
    """A value that JSON cannot hold."""


@lru_cache(maxsize=256)
def _environment(variables: Variables) -> Any:
    return cel.NewEnv(variables={name: _TYPES[kind] for name, kind in variables})


@lru_cache(maxsize=1_024)
def _compiled(text: str, variables: Variables) -> Any:
    return _environment(variables).compile(text)


def check(item: Mapping[str, Any], shared: Variables = ()) -> Answer:
    """Compile it, beside others that have these variables together; the type of its value."""
    own = _variables(item)
    known = own if _could_mean_others(item["text"], own, shared) else shared
    return {"type": _environment(known).compile(item["text"]).return_type().name().split("<")[0].lower()}


def _could_mean_others(text: str, own: Variables, shared: Variables) -> bool:
    """Whether all words of a variable that is not its own stand in a text: no other way to mean one is known to CEL."""
    words, mine = set(_WORD.findall(text)), frozenset(own)
    if not mine.issubset(shared):
        return True
    return any(words.issuperset(name.split(".")) for name, kind in shared if (name, kind) not in mine)


def _shared(items: Iterable[Mapping[str, Any]]) -> Variables:
    """The variables of all of them, each in the first type that it has."""
    together: dict[str, str] = {}
    for item in items:
        for name, kind in item["variables"].items():
            together.setdefault(name, kind)
    return tuple(sorted(together.items()))


def _variables(item: Mapping[str, Any]) -> Variables:
    return tuple(sorted(item["variables"].items()))


def evaluate(item: Mapping[str, Any]) -> Answer:
    """Compile and evaluate it."""
    found = _program(item).eval(data=_fitting(item))
    if found.type() == cel.Type.ERROR:
        return {"fault": _said(str(found.value()))}
    value = _plain(found.plain_value())
    if len(orjson.dumps(value)) > MAX_OUTPUT:
        return {"fault": f"its value is larger than {MAX_OUTPUT >> 10} KiB; keep data as an artifact instead"}
    return {"value": value}


def _program(item: Mapping[str, Any]) -> Any:
    return _compiled(item["text"], _variables(item))


def _fitting(item: Mapping[str, Any]) -> dict[str, Any]:
    """The values in their declared types: JSON writes the double 1.0 as 1."""
    doubles = {name for name, kind in item["variables"].items() if kind == "double"}
    return {
        name: float(value) if name in doubles and value is not None else value for name, value in item["values"].items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise NotJson("its value has keys that are no text")
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise NotJson("its value is not a finite number")
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise NotJson(f"its value is of a type that JSON has not ({type(value).__name__})")


def _said(text: str) -> str:
    """CEL's message without its status code."""
    return re.sub(r"^[A-Z_]+: ", "", text).split(" [INVALID_ARGUMENT]")[0][:300]


def _fault(error: BaseException) -> Answer:
    if isinstance(error, MemoryError):
        return {"fault": "it needs too much memory"}
    if isinstance(error, NotJson):
        return {"fault": str(error)}
    if place := _PLACE.search(str(error)):
        line, column, message = int(place[1]), int(place[2]), place[3]
        return {"fault": _shorter(message), "position": column if line == 1 else None}
    return {"fault": _said(str(error))}


def _shorter(message: str) -> str:
    """Without the list of everything that could stand there."""
    return message.split(" expecting {", maxsplit=1)[0].split(" (in container", maxsplit=1)[0][:300]


def _answer(request: Mapping[str, Any]) -> list[Answer]:
    shared = _shared(request["items"])
    do = evaluate if request["op"] == "evaluate" else partial(check, shared=shared)
    answers: list[Answer] = []
    began = time.process_time()
    for item in request["items"]:
        if answers and time.process_time() - began > PROCESSOR_SECONDS:
            break
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        try:
            answers.append(do(item))
        except Exception as error:  # noqa: BLE001  whatever is wrong with one expression is its answer
            answers.append(_fault(error))
    signal.setitimer(signal.ITIMER_PROF, 0)
    return answers


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer until the input ends."""
    _environment(())
    if Path("/proc/self/statm").exists():
        _bound_memory()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(orjson.dumps(_answer(orjson.loads(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
