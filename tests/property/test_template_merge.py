"""Merging: deep merge by itself, and whole stacks of layers, whose origins must agree with what was merged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.json import deep_merge
from app.domain.layers import Layer, derive
from app.domain.origins import Source, facts, leaves, stated, template_origins
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.template_diff import Difference, comparable, differences
from app.domain.templates import Parameter, Step, Template, TemplateDraft

leaf = st.one_of(st.integers(0, 9), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 9), max_size=2))
inner = st.dictionaries(st.sampled_from("abc"), leaf, max_size=3)
objects = st.dictionaries(st.sampled_from("abc"), st.one_of(leaf, inner), max_size=3)


@given(objects, objects)
def test_the_upper_layer_wins_and_nothing_is_lost(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = deep_merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        if not (isinstance(value, dict) and isinstance(base.get(key), dict)):
            assert merged[key] == value


@given(objects, objects, objects)
def test_layers_may_be_merged_in_any_grouping_when_shapes_agree(a: Any, b: Any, c: Any) -> None:
    if _shapes_agree(a, b) and _shapes_agree(deep_merge(a, b), c) and _shapes_agree(b, c):
        assert deep_merge(deep_merge(a, b), c) == deep_merge(a, deep_merge(b, c))


def _shapes_agree(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """An object stays an object: replacing one by a leaf forgets what lies below it."""
    return all(
        isinstance(a[k], dict) == isinstance(b[k], dict) and (not isinstance(a[k], dict) or _shapes_agree(a[k], b[k]))
        for k in a.keys() & b.keys()
    )


@given(objects, objects)
def test_merging_twice_is_merging_once_and_inputs_stay(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    merged = deep_merge(base, over)
    assert deep_merge(merged, over) == merged
    assert (base, over) == before


NUMBERS = tuple(Parameter(name, "integer") for name in ("n", "m"))
OBJECT = Parameter("tree", "object", aliases=("wood",))
trees = st.dictionaries(st.sampled_from("ab"), st.one_of(st.integers(0, 9), st.just({})), max_size=2)
defaults = st.fixed_dictionaries(
    {}, optional={"n": st.integers(0, 9), "m": st.integers(0, 9), "tree": trees, "extra": st.integers(0, 9)}
)
declared = st.lists(
    st.builds(Parameter, st.sampled_from("nm"), st.just("integer"), default=st.none() | st.integers(0, 9)),
    max_size=2,
    unique_by=lambda p: p.name,
)


@st.composite
def drafts(draw: st.DrawFn, name: str, *, bottom: bool = False) -> TemplateDraft:
    """A layer that goes with any other: all agree on the types."""
    custom = draw(defaults)
    if "tree" in custom and draw(st.booleans()):
        custom["wood"] = custom.pop("tree")
    steps = (Step("noop"), Step("sleep", 5.0)) if bottom else draw(st.sampled_from([None, (Step("noop", 9.0),)]))
    return TemplateDraft(
        id=name,
        title=draw(st.sampled_from([None, "A title"])),
        category=draw(st.sampled_from([None, "one", "other"])),
        parameters=(*((*NUMBERS, OBJECT) if bottom else ()), *(() if bottom else draw(declared))),
        default_parameters=draw(defaults),
        custom_parameters=custom,
        resource_requirements=draw(st.fixed_dictionaries({}, optional={"cpu_cores": st.integers(1, 4)})),
        execution_steps=steps,
        executor=draw(st.sampled_from([None, "process", "inline"])),
        retry_policy=draw(st.fixed_dictionaries({}, optional={"max_attempts": st.integers(1, 5)})),
        timeout=draw(st.none() | st.integers(1, 100)),
    )


@st.composite
def stacks(draw: st.DrawFn) -> list[TemplateDraft]:
    """Drafts from the bottom up."""
    height = draw(st.integers(0, 4))
    return [draw(drafts("t0", bottom=True)), *(draw(drafts(f"t{n + 1}")) for n in range(height))]


def built(stack: Sequence[TemplateDraft]) -> tuple[Template, list[Layer]]:
    """The merged template, and its layers from the top down."""
    template: Template | None = None
    for version, draft in enumerate(stack, 1):
        template = derive(draft, template, STEP_PARAMETERS, version=version)
    assert template is not None
    return template, [Layer(d.id, v, d) for v, d in reversed(list(enumerate(stack, 1)))]


@given(stacks())
def test_each_value_is_that_of_the_layer_that_is_told(stack: list[TemplateDraft]) -> None:
    template, layers = built(stack)
    by_name = {str(layer): layer for layer in layers}
    order = list(by_name)
    origins = {o.path: o for o in template_origins(template, layers, STEP_PARAMETERS)}
    assert origins.keys() == {".".join(place) for place, _ in leaves(facts(template))}
    for place, value in leaves(facts(template)):
        origin = origins[".".join(place)]
        assert origin.value == value
        said = {name: found for name in order if (found := _said(by_name[name], template, place)) is not None}
        if place[0] == "title":
            said = {name: found for name, found in said.items() if name == order[0]}
        if origin.source is Source.TEMPLATE and said:
            assert origin.layer == next(iter(said))
            assert said[origin.layer] == (value,)
            assert [(h.layer, h.value) for h in origin.hidden] == [(n, v) for n, (v,) in list(said.items())[1:]]
        else:
            assert not said


def _said(layer: Layer, template: Template, place: tuple[str, ...]) -> tuple[Any] | None:
    here: Any = stated(layer, template)
    for key in place:
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return (here,)


@given(stacks())
def test_a_stack_is_the_merge_of_what_its_layers_say(stack: list[TemplateDraft]) -> None:
    template, layers = built(stack)
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = deep_merge(merged, stated(layer, template)["default_parameters"])
    assert dict(template.default_parameters) == merged


@given(stacks())
def test_layers_stay_what_they_were(stack: list[TemplateDraft]) -> None:
    before = copy.deepcopy(stack)
    built(stack)
    assert stack == before


@given(stacks())
def test_a_layer_that_says_nothing_changes_nothing(stack: list[TemplateDraft]) -> None:
    template, _ = built(stack)
    above, _ = built([*stack, TemplateDraft(stack[-1].id, title=template.title)])
    assert facts(above) == facts(template)


@given(stacks(), stacks())
def test_the_differences_lead_from_one_version_to_the_other(
    one: list[TemplateDraft], other: list[TemplateDraft]
) -> None:
    before, after = built(one)[0], built(other)[0]
    assert _changed(comparable(before), differences(before, after)) == comparable(after)
    assert differences(before, before) == []


def _changed(document: dict[str, Any], found: Sequence[Difference]) -> dict[str, Any]:
    document = copy.deepcopy(document)
    for difference in found:
        *way, last = difference.path.split(".")
        here = document
        for key in way:
            here = here[key]
        if difference.kind == "added":
            assert last not in here
        else:
            assert here.pop(last) == difference.before
        if difference.kind != "removed":
            here[last] = difference.after
    return document
