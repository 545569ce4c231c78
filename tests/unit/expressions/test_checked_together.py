"""Expressions that are checked together: what each may speak of stays its own, and the cost is shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.domain.expressions import Expression, Fault, Typed
from app.storage import cel_child
from app.storage.expressions import BATCH, CelExpressions

OWN = {"steps.a.outputs": "dyn", "steps.a.status": "string"}


@pytest.fixture
async def expressions() -> AsyncIterator[CelExpressions]:
    found = CelExpressions(children=1)
    yield found
    await found.stop()


def distinct(count: int, first: int = 0) -> list[Expression]:
    """Each over a variable that no other has."""
    numbers = range(first, first + count)
    return [Expression(f"steps.s{n}.outputs.accuracy > 0.{n}", {f"steps.s{n}.outputs": "dyn"}) for n in numbers]


@pytest.mark.parametrize(
    "text", ["steps.a.outputs.n > 1", "steps . a\n.outputs.n > 1", "steps// of all\n.a.outputs.n > 1"]
)
async def test_none_sees_the_variables_of_others(expressions: CelExpressions, text: str) -> None:
    own, *others, without = await expressions.check([Expression(text, OWN), *distinct(3), Expression(text)])
    assert [own, *others] == [Typed("bool")] * 4
    assert isinstance(without, Fault) and "steps" in without.message


async def test_one_that_has_a_variable_in_another_type_is_checked_in_that(expressions: CelExpressions) -> None:
    whole, text = (Expression("inputs.n", {"inputs.n": kind}) for kind in ("int", "string"))
    assert await expressions.check([whole, text]) == [Typed("int"), Typed("string")]


async def test_a_batch_costs_one_environment() -> None:
    """Each costs thirty times what a text costs that is compiled in it."""
    items = [{"text": each.text, "variables": each.variables} for each in distinct(BATCH)]
    cel_child._environment.cache_clear()
    answers = cel_child._answer({"op": "check", "items": items})
    assert answers == [{"type": "bool"}] * BATCH
    assert cel_child._environment.cache_info().misses == 1


async def test_equal_ones_are_asked_once(expressions: CelExpressions, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = expressions._ask

    async def counted(op: str, items: list[dict[str, object]], whose: str) -> list[dict[str, object]]:
        asked.append(len(items))
        return await ask(op, items, whose)

    monkeypatch.setattr(expressions, "_ask", counted)
    found = await expressions.check([Expression("1 > 0"), Expression(" "), Expression("1 > 0"), Expression(" ")])
    assert [type(each) for each in found] == [Typed, Fault, Typed, Fault]
    assert asked == [1]


async def test_a_large_definition_keeps_no_other_waiting(expressions: CelExpressions) -> None:
    large = asyncio.ensure_future(expressions.check(distinct(BATCH * 40)))
    await expressions.check(distinct(1, first=1_000_000))
    for n in range(3):
        await expressions.check(distinct(1, first=2_000_000 + n))
        assert not large.done(), "there is one child, and they take turns"
    assert await large == [Typed("bool")] * (BATCH * 40)
