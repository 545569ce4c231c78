"""The corpus of expressions: what comes of each, bombs included. The adapter is the real one, with its children."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.expressions import MAX_TEXT, Evaluation, Expression, Fault, Typed, Value
from app.storage.expressions import CelExpressions

OUTPUTS = {"accuracy": 0.93, "n": 3, "names": ["a", "b"], "none": None, "nested": {"k": [1, 2.5]}}
VARIABLES = {
    "steps.a.outputs": "dyn", "steps.a.status": "string", "inputs.n": "int", "inputs.x": "double", "item": "dyn",
}  # fmt: skip
VALUES = {"steps.a.outputs": OUTPUTS, "steps.a.status": "COMPLETED", "inputs.n": 3, "inputs.x": 2, "item": {"k": 1}}


@pytest.fixture
async def expressions() -> AsyncIterator[CelExpressions]:
    """Their bound is the processor time in the child: the clock, by which a busy machine is slow, decides nothing."""
    found = CelExpressions(children=1, seconds=3_600.0)
    yield found
    await found.stop()


def asked(text: str, **more: Any) -> Evaluation:
    return Evaluation(Expression(text, VARIABLES), VALUES | more)


GOOD: tuple[tuple[str, str, Any], ...] = (
    ("steps.a.outputs.accuracy > 0.9", "bool", True),
    ("steps.a.outputs.n > 2.5", "bool", True),
    ("steps.a.outputs.n == 3", "bool", True),
    ("steps.a.outputs['accuracy']", "dyn", 0.93),
    ("has(steps.a.outputs.missing)", "bool", False),
    ("has(steps.a.outputs.n) && steps.a.outputs.n > 1", "bool", True),
    ("steps.a.status == 'COMPLETED'", "bool", True),
    ("steps.a.outputs", "dyn", OUTPUTS),
    ("steps.a.outputs.none", "dyn", None),
    ("steps.a.outputs.names.map(s, s + '!')", "list", ["a!", "b!"]),
    ("steps.a.outputs.names.filter(s, s != 'a')", "list", ["b"]),
    ("size(steps.a.outputs.names)", "int", 2),
    ("inputs.n + 1", "int", 4),
    ("inputs.x + 0.5", "double", 2.5),
    ("string(inputs.n) + '/4'", "string", "3/4"),
    ("{'lr': inputs.x}", "map", {"lr": 2.0}),
    ("inputs.n > 2 ? 'big' : 'small'", "string", "big"),
    ("item.k", "dyn", 1),
    ("'steps.b' == 'steps.b'", "bool", True),
    ("timestamp('2026-01-01T00:00:00Z')", "timestamp", "2026-01-01T00:00:00Z"),
    ("duration('90s')", "duration", 90.0),
    ("[1, 2].exists(x, x > 1)", "bool", True),
)


@pytest.mark.parametrize(("text", "kind", "value"), GOOD, ids=[text for text, *_ in GOOD])
async def test_has_its_type_and_its_value(expressions: CelExpressions, text: str, kind: str, value: Any) -> None:
    assert await expressions.check([Expression(text, VARIABLES)]) == [Typed(kind)]
    assert await expressions.evaluate([asked(text)]) == [Value(value)]


WRONG_TEXTS = (
    ("inputs.n ==", 12, "Syntax error"),
    ("'a' + 1", 5, "no matching overload"),
    ("steps.b.outputs.n > 1", 16, "undeclared reference to 'steps.b.outputs.n'"),
    ("__import__('os')", 11, "undeclared reference"),
    ("inputs.n > 1 ? 1 : 'x'", 14, "no matching overload"),
    ("inputs.n.foo", 9, "cannot be the operand of a select"),
)


@pytest.mark.parametrize(("text", "position", "message"), WRONG_TEXTS, ids=[text for text, *_ in WRONG_TEXTS])
async def test_a_wrong_text_is_told_with_its_position(
    expressions: CelExpressions, text: str, position: int, message: str
) -> None:
    [fault] = await expressions.check([Expression(text, VARIABLES)])
    assert isinstance(fault, Fault)
    assert message in fault.message
    assert fault.position == position


FAULTS = (
    ("steps.a.outputs.missing > 1", "unknown key missing; known: "),
    ("steps.a.outputs.acuracy > 1", "unknown key acuracy; did you mean accuracy?"),
    ("steps.a.outputs.accuracy > 'x'", "> does not take double and string"),
    ("size(steps.a.outputs.accuracy) > 1", "size does not take double"),
    ("1 / (inputs.n - 3)", "divide by zero"),
    ("9223372036854775807 + inputs.n", "overflow"),
    ("steps.a.outputs.n + steps.a.outputs.accuracy", "+ does not take int and double"),
    ("b'bytes'", "JSON has not"),
    ("{1: 2}", "keys that are no text"),
    ("1.0 / 0.0", "not a finite number"),
    ("type(1)", "JSON has not"),
)


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[text for text, _ in FAULTS])
async def test_what_has_no_value_is_a_fault_not_an_exception(
    expressions: CelExpressions, text: str, message: str
) -> None:
    [fault] = await expressions.evaluate([asked(text)])
    assert isinstance(fault, Fault)
    assert message in fault.message


NINE = "[1,2,3,4,5,6,7,8,9]"
BOMBS = {
    "size": "1" + " + 1" * MAX_TEXT,
    "depth of brackets": "(" * 1_000 + "1" + ")" * 1_000,
    "depth of lists": "[" * 1_000 + "]" * 1_000,
    "depth of nots": "!" * 2_000 + "true",
    "time": NINE + "".join(f".map(x{n}, {NINE}" for n in range(8)) + ", 1)" + ")" * 7,
    "memory of texts": "['x']" + ".map(a, a + a)" * 100,
    "memory of lists": "[0]" + ".map(a, [a, a])" * 100,
    "regular expression": "'" + "a" * 500 + "'.matches('(a*)*(a*)*(a*)*b')",
}
DEFUSED = {"depth of nots", "depth of lists", "regular expression"}
"""Those that CEL evaluates within a blink: it folds double negation, and its regular expressions are RE2."""


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_harms_nobody(expressions: CelExpressions, name: str) -> None:
    """Refused, or evaluated within the bounds; the expression beside it has its value in any case."""
    bad, good = await expressions.evaluate([asked(BOMBS[name]), asked("inputs.n")])
    assert isinstance(bad, Fault) or name in DEFUSED
    assert good == Value(3)


async def test_memory_is_bounded(expressions: CelExpressions) -> None:
    """The doubling of a text that is given, as long as an input may be: 60 kB, 4^6 times."""
    doubling = "[inputs.t]" + ".map(s, s + s + s + s)" * 6 + "[0].size()"
    wanted = Evaluation(Expression(doubling, {"inputs.t": "string"}), {"inputs.t": "x" * 60_000})
    [fault, good] = await expressions.evaluate([wanted, asked("inputs.n")])
    assert isinstance(fault, Fault), "it should need 245 MB"
    assert good == Value(3)


async def test_processor_time_is_bounded(expressions: CelExpressions) -> None:
    """A regular expression over a long text, many thousand times: within the budget of iterations, not of time."""
    slow = "[" + ",".join("0" * 90) + "]"
    text = f"{slow}.map(a, {slow}.map(b, inputs.t.matches('(x+x+)+y') ? 1 : 0))"
    wanted = Evaluation(Expression(text, {"inputs.t": "string"}), {"inputs.t": "x" * 60_000})
    [fault, good] = await expressions.evaluate([wanted, asked("inputs.n")])
    assert isinstance(fault, Fault), "it should need many seconds"
    assert good == Value(3)


async def test_inputs_are_bounded(expressions: CelExpressions) -> None:
    [fault] = await expressions.evaluate([asked("item", item="x" * 70_000)])
    assert isinstance(fault, Fault)
    assert "65,536" in fault.message


async def test_an_empty_text_is_refused(expressions: CelExpressions) -> None:
    [fault] = await expressions.check([Expression("  ")])
    assert isinstance(fault, Fault)


async def test_many_are_answered_in_order(expressions: CelExpressions) -> None:
    wanted = [asked(f"inputs.n + {n}") for n in range(300)]
    assert await expressions.evaluate(wanted) == [Value(3 + n) for n in range(300)]


async def test_a_child_that_is_killed_is_replaced(expressions: CelExpressions) -> None:
    assert await expressions.evaluate([asked("1")]) == [Value(1)]
    process = expressions._all[0]._process
    assert process is not None
    process.kill()
    await process.wait()
    assert await expressions.evaluate([asked("2")]) == [Value(2)]


def a_bomb(n: int) -> Evaluation:
    """A fifth of a second of the processor, and no value."""
    text = f"inputs.l.map(a, inputs.t + inputs.t + string({n}))"
    variables = {"inputs.l": "list", "inputs.t": "string"}
    return Evaluation(Expression(text, variables), {"inputs.l": list(range(5_000)), "inputs.t": "x" * 20_000})


async def waiting(expressions: CelExpressions, bombs: list[list[Evaluation]]) -> list[asyncio.Task[Any]]:
    """One tenant's questions, all asked, the first under way."""
    await expressions.evaluate([asked("1")])
    tasks = [asyncio.create_task(expressions.evaluate(each, "loud")) for each in bombs]
    await asyncio.sleep(0)
    return tasks


async def test_many_bombs_of_one_tenant_hold_up_another_for_one_of_them(expressions: CelExpressions) -> None:
    loud = await waiting(expressions, [[a_bomb(n)] for n in range(12)])
    assert await expressions.evaluate([asked("inputs.n")], "quiet") == [Value(3)]
    assert sum(task.done() for task in loud) <= 2
    assert all(isinstance(fault, Fault) for [fault] in await asyncio.gather(*loud))


async def test_a_question_of_many_bombs_is_answered_piece_by_piece(expressions: CelExpressions) -> None:
    [loud] = await waiting(expressions, [[a_bomb(n) for n in range(20)]])
    assert await expressions.evaluate([asked("inputs.n")], "quiet") == [Value(3)]
    assert not loud.done()
    assert all(isinstance(fault, Fault) for fault in await loud)
