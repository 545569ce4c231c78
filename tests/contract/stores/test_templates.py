"""Templates: versions written once, the newest by default, the built-in ones always there and never stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.domain.builtin_templates import builtin_templates
from app.domain.layers import derive
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.templates import Parameter, Step, Template, TemplateDraft
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

DRAFT = TemplateDraft(
    id="house_prices",
    title="House prices",
    base_template="ml_training_template",
    parameters=(
        Parameter("region", "string", True, options=("north", "south"), aliases=("area",)),
        Parameter("margin", "number", minimum=0, maximum=1.5, default=0.5, description="Allowed error."),
        Parameter("code", "string", pattern="[A-Z]{2}"),
    ),
    default_parameters={"hyperparameters": {"n_estimators": 10, "deep": {"a": [1, 2.5, None, True]}}},
    resource_requirements={"cpu_cores": 0.5, "memory_gb": 1.5},
    execution_steps=(Step("model_training", 60.0), Step("report", None, ("python", "-c", "pass"), {"A": "b"})),
    retry_policy={"max_attempts": 2},
    timeout=90.5,
    resume="completed_steps",
)


def house_prices(version: int = 1) -> Template:
    base = builtin_templates()["ml_training_template"]
    return derive(DRAFT, base, STEP_PARAMETERS, version=version, now=NOON)


async def test_a_stored_template_comes_back_equal(small: SmallStores) -> None:
    assert await small.templates.insert(DRAFT, house_prices())
    assert await small.templates.get("house_prices") == house_prices()
    assert await small.templates.get("house_prices", 1) == house_prices()


async def test_the_newest_version_is_the_default_beyond_nine(small: SmallStores) -> None:
    for version in (1, 2, 9, 10):
        assert await small.templates.insert(DRAFT, house_prices(version))
    assert await small.templates.get("house_prices") == house_prices(10)
    assert await small.templates.get("house_prices", 2) == house_prices(2)
    assert await small.templates.get("house_prices", 3) is None
    assert [t.version for t in await small.templates.all() if t.id == "house_prices"] == [10]


async def test_ids_that_begin_alike_are_kept_apart(small: SmallStores) -> None:
    longer = replace(DRAFT, id="house_prices2")
    template = replace(house_prices(7), id="house_prices2")
    await small.templates.insert(longer, template)
    assert await small.templates.get("house_prices") is None
    assert await small.templates.get("house_prices2") == template


async def test_a_version_is_written_once(small: SmallStores) -> None:
    other = replace(house_prices(), description="another")
    first, second = await asyncio.gather(
        small.templates.insert(DRAFT, house_prices()), small.templates.insert(DRAFT, other)
    )
    assert (first, second) in {(True, False), (False, True)}
    assert await small.templates.get("house_prices") == (house_prices() if first else other)


@pytest.mark.parametrize("template_id", sorted(builtin_templates()))
async def test_built_in_templates_are_there_and_cannot_be_replaced(small: SmallStores, template_id: str) -> None:
    built_in = builtin_templates()[template_id]
    assert await small.templates.get(template_id) == built_in
    assert await small.templates.get(template_id, 2) is None
    impostor = replace(house_prices(2), id=template_id)
    assert not await small.templates.insert(replace(DRAFT, id=template_id), impostor)
    assert await small.templates.get(template_id) == built_in


async def test_all_are_listed_by_id(small: SmallStores) -> None:
    await small.templates.insert(DRAFT, house_prices())
    ids = [t.id for t in await small.templates.all()]
    assert ids == sorted([*builtin_templates(), "house_prices"])
