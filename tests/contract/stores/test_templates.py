"""Templates: versions written once, the newest by default, the built-in ones always there and never stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.builtin_templates import builtin_layers, builtin_templates
from app.domain.errors import Invalid
from app.domain.layers import Layer, derive
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
    assert [t.version for t in await small.templates.page(500) if t.id == "house_prices"] == [10]


async def test_one_that_is_too_large_for_the_store_is_refused(small: SmallStores) -> None:
    if small.mongo is None:
        return
    large = {"p": "x" * (17 << 20)}
    with pytest.raises(Invalid, match="cannot be stored"):
        await small.templates.insert(
            replace(DRAFT, default_parameters=large), replace(house_prices(), default_parameters=large)
        )
    assert await small.templates.get("house_prices") is None


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


async def test_a_layer_comes_back_as_it_was_written(small: SmallStores) -> None:
    await small.templates.insert(DRAFT, house_prices())
    assert await small.templates.layer("house_prices", 1) == Layer("house_prices", 1, DRAFT)
    assert await small.templates.layer("house_prices", 2) is None
    built_in = builtin_layers()["ml_training_template"]
    assert await small.templates.layer("ml_training_template", 1) == built_in
    assert await small.templates.layer("ml_training_template", 2) is None
    empty = TemplateDraft("empty", base_template="ml_training_template", base_version=1)
    base = builtin_templates()["ml_training_template"]
    await small.templates.insert(empty, derive(empty, base, STEP_PARAMETERS, now=NOON))
    assert await small.templates.layer("empty", 1) == Layer("empty", 1, empty)


async def test_versions_come_newest_first_and_in_pages(small: SmallStores) -> None:
    for version in (1, 2, 3, 10):
        await small.templates.insert(DRAFT, house_prices(version))
    assert [t.version for t in await small.templates.versions("house_prices", 10)] == [10, 3, 2, 1]
    assert [t.version for t in await small.templates.versions("house_prices", 2)] == [10, 3]
    assert await small.templates.versions("house_prices", 2, before=3) == [house_prices(2), house_prices(1)]
    assert [t.version for t in await small.templates.versions("noop", 2)] == [1]
    assert await small.templates.versions("noop", 2, before=1) == []
    assert await small.templates.versions("nothing", 2) == []


async def test_what_is_archived_says_so_and_a_new_version_does_not(small: SmallStores) -> None:
    await small.templates.insert(DRAFT, house_prices())
    await small.templates.archive("house_prices", 1, NOON)
    await small.templates.archive("house_prices", 1, NOON + timedelta(days=1))
    await small.templates.archive("house_prices", 7, NOON)
    assert await small.templates.get("house_prices") == replace(house_prices(), archived_at=NOON)
    assert "house_prices" not in [t.id for t in await small.templates.page(500)]
    assert "house_prices" in [t.id for t in await small.templates.page(500, archived=True)]
    assert "house_prices" not in await small.templates.ids(500)
    assert await small.templates.insert(DRAFT, house_prices()), "sent again it meets itself, archived or not"
    assert await small.templates.insert(DRAFT, house_prices(2))
    assert "house_prices" in [t.id for t in await small.templates.page(500)]
    assert await small.templates.get("house_prices") == house_prices(2)
    assert await small.templates.get("house_prices", 1) == replace(house_prices(), archived_at=NOON)


async def test_all_are_listed_by_id_and_in_pages(small: SmallStores) -> None:
    for name in ("house_prices", "a1", "zz"):
        await small.templates.insert(replace(DRAFT, id=name), replace(house_prices(), id=name))
    wanted = sorted([*builtin_templates(), "house_prices", "a1", "zz"])
    assert [t.id for t in await small.templates.page(500)] == wanted
    assert sorted(await small.templates.ids(500)) == wanted
    assert len(await small.templates.ids(1)) == len(builtin_templates()) + 1
    seen: list[str] = []
    while page := await small.templates.page(4, seen[-1] if seen else ""):
        seen += [t.id for t in page]
    assert seen == wanted


async def test_one_that_cannot_be_read_hides_no_other(small: SmallStores) -> None:
    if small.mongo is None:
        return
    for name in ("a1", "a2", "a3"):
        await small.templates.insert(replace(DRAFT, id=name), replace(house_prices(), id=name))
    await small.mongo["templates"].update_one({"_id": "a2:1"}, {"$set": {"parameters": "nonsense"}})
    assert [t.id for t in await small.templates.page(2)] == ["a1", "a3"]
