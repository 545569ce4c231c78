"""Inheritance over several levels, and every refusal with its place in the draft."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.builtin_templates import builtin_layers, builtin_templates
from app.domain.errors import Invalid
from app.domain.layers import MOST_LAYERS, Layer, derive, refuse_bad_base
from app.domain.origins import Source, template_origins
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.template_diff import differences
from app.domain.templates import Parameter, Step, Template, TemplateDraft, resolve_parameters

BASE = builtin_templates()["ml_training_template"]
NOOP = (Step("noop"),)


def over(base: Template | None, **fields: Any) -> Template:
    return derive(TemplateDraft(fields.pop("id", "mine"), **fields), base, STEP_PARAMETERS)


def refused(base: Template | None = None, **fields: Any) -> dict[str, str]:
    fields.setdefault("execution_steps", None if base else NOOP)
    with pytest.raises(Invalid) as found:
        over(base, **fields)
    return {e.path: e.message for e in found.value.errors}


def test_three_levels_merge_key_by_key() -> None:
    vision = over(BASE, id="vision", custom_parameters={"hyperparameters": {"n_estimators": 50, "max_depth": 3}})
    fast = over(vision, id="fast", custom_parameters={"hyperparameters": {"n_estimators": 5}}, timeout=60.0)
    assert fast.default_parameters["hyperparameters"] == {"n_estimators": 5, "max_depth": 3}
    assert fast.execution_steps == BASE.execution_steps
    assert (fast.base_template, fast.timeout) == ("vision", 60.0)


def test_an_override_by_another_name_of_a_parameter_wins() -> None:
    wine = over(BASE, id="wine", custom_parameters={"dataset": "wine"})
    iris = over(wine, id="iris", custom_parameters={"dataset_name": "iris"})
    digits = over(iris, id="digits", default_parameters={"dataset": "digits"})
    assert [t.default_parameters["dataset_name"] for t in (wine, iris, digits)] == ["wine", "iris", "digits"]


def test_a_declaration_above_brings_its_default_with_it() -> None:
    slow = over(None, execution_steps=NOOP, custom_parameters={"rate": 1})
    fast = over(slow, parameters=(Parameter("rate", "integer", default=9, maximum=9),))
    assert fast.default_parameters["rate"] == 9
    with pytest.raises(Invalid, match="at most 9"):
        resolve_parameters(fast, {"rate": 10})


def test_null_takes_an_inherited_default_away() -> None:
    wine = over(BASE, id="wine", custom_parameters={"dataset_name": "wine"})
    none = over(wine, custom_parameters={"dataset_name": None})
    with pytest.raises(Invalid, match="dataset_name: is required"):
        resolve_parameters(none, {})


@pytest.mark.parametrize(
    ("base", "fields", "path", "words"),
    [
        (BASE, {"custom_parameters": {"cv_folds": "many"}}, "custom_parameters.cv_folds", "type integer, got string"),
        (BASE, {"default_parameters": {"algorithm": "rndm_forest"}}, "default_parameters.algorithm", "random_forest?"),
        (BASE, {"custom_parameters": {"dataset": 7}}, "custom_parameters.dataset", "type string, got integer"),
        (BASE, {"custom_parameters": {"dataset": "a", "dataset_name": "b"}}, "custom_parameters.dataset", "differ"),
        (BASE, {"parameters": (Parameter("algorithm", "string", options=("svm", "knn")),)},
         "parameters[0].options", "the default that it inherits must be one of svm, knn"),
        (BASE, {"parameters": (Parameter("algorithm", "integer"),)},
         "parameters[0].type", "the default that it inherits must be of type integer"),
        (None, {"parameters": (Parameter("p", "string", default="c", options=("a", "b")),)},
         "parameters[0].default", "must be one of a, b"),
        (None, {"parameters": (Parameter("p", "integer", default="x"),)}, "parameters[0].default", "type integer"),
        (None, {"parameters": (Parameter("p", "string"), Parameter("p", "string"))}, "parameters[1].name", "twice"),
        (None, {"parameters": (Parameter("a.b", "string"),)}, "parameters[0].name", "must not be empty"),
        (None, {"parameters": (Parameter("p", "string", aliases=("q",)), Parameter("q", "string"))},
         "parameters[1].name", "q is another name of p"),
        (None, {"parameters": (Parameter("p", "string", aliases=("q", "q")),)}, "parameters[0].aliases[1]", "taken"),
        (BASE, {"parameters": (Parameter("data", "string", aliases=("algorithm",)),)},
         "parameters[0].aliases[0]", "algorithm is taken"),
        (None, {"parameters": (Parameter("p", "string", minimum=1),)}, "parameters[0].minimum", "only a number"),
        (None, {"parameters": (Parameter("p", "number", minimum=2, maximum=1),)}, "parameters[0].minimum", "above"),
        (None, {"parameters": (Parameter("p", "number", pattern="a"),)}, "parameters[0].pattern", "only a string"),
        (None, {"parameters": (Parameter("p", "string", pattern="(a+)+\\1"),)}, "parameters[0].pattern", "linear time"),
        (None, {"parameters": (Parameter("p", "string", pattern="(((a{99}){99}){99}){99}"),)},
         "parameters[0].pattern", "linear time"),
        (None, {"parameters": (Parameter("p", "string", pattern="a)|(b"),)}, "parameters[0].pattern", "linear time"),
        (None, {"parameters": (Parameter("p", "string", options=()),)}, "parameters[0].options", "at least one"),
        (None, {"parameters": (Parameter("p", "integer", options=tuple(range(1_001))),)},
         "parameters[0].options", "at most 1,000"),
        (None, {"parameters": (Parameter("p", "string", aliases=("q",)), Parameter("p", "string"))},
         "parameters[1].name", "stands twice"),
        (None, {"parameters": (Parameter("p", "integer", options=(1, "2")),)}, "parameters[0].options[1]", "integer"),
        (None, {"parameters": (Parameter("p", "integer", options=(1, 9), maximum=5),)},
         "parameters[0].options[1]", "at most 5"),
        (None, {"parameters": (Parameter("p", "strng"),), "custom_parameters": {"p": 1}},
         "parameters[0].type", "did you mean string?"),
        (None, {"custom_parameters": {"p": None}}, "custom_parameters.p", "null has no type"),
        (None, {"custom_parameters": {"p": {"$x": 1}}}, "custom_parameters.p.$x", "rename it"),
        (None, {"parameters": (Parameter("p", "object", default={"a.b": 1}),)}, "parameters[0].default.a.b", "rename"),
        (None, {"default_parameters": {"p": "x" * 2_000_000}}, "default_parameters", "at most 1,024"),
        (None, {"default_parameters": {f"p{n}": n for n in range(501)}}, "parameters", "at most 500"),
        (None, {"execution_steps": (Step("Train"),)}, "execution_steps[0].step", "must be 1 to 63"),
        (None, {"execution_steps": (Step("a.b"),)}, "execution_steps[0].step", "must be 1 to 63"),
        (None, {"execution_steps": (Step("a"), Step("a"))}, "execution_steps[1].step", "stands twice"),
        (None, {"execution_steps": (Step("a", 0),)}, "execution_steps[0].timeout", "more than 0"),
        (None, {"execution_steps": (Step("a", command=()),)}, "execution_steps[0].command", "argument list"),
        (BASE, {"execution_steps": ()}, "execution_steps", "at least one step"),
        (None, {"execution_steps": tuple(Step(f"s{n}") for n in range(101))}, "execution_steps", "at most 100"),
        (BASE, {"executor": "proces"}, "executor", "did you mean process?"),
        (BASE, {"resume": "completed"}, "resume", "did you mean completed_steps?"),
        (BASE, {"timeout": 1e12}, "timeout", "at most 31,536,000 seconds"),
        (BASE, {"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts", "between 1 and 100"),
        (BASE, {"resource_requirements": {"cpu_cores": -1}}, "resource_requirements.cpu_cores", "negative"),
    ],
)  # fmt: skip
def test_a_fault_is_told_where_the_draft_has_it(
    base: Template | None, fields: dict[str, Any], path: str, words: str
) -> None:
    found = refused(base, **fields)
    assert path in found, found
    assert words in found[path]


SECRET = Parameter("token", "secret")


@pytest.mark.parametrize(
    ("base", "fields", "path"),
    [
        (None, {"parameters": (Parameter("token", "secret", default="hunter2"),)}, "parameters[0].default"),
        (None, {"parameters": (Parameter("token", "secret", options=("hunter2", "b")),)}, "parameters[0].options"),
        (None, {"parameters": (SECRET,), "default_parameters": {"token": "hunter2"}}, "default_parameters.token"),
        (None, {"parameters": (SECRET,), "custom_parameters": {"token": "hunter2"}}, "custom_parameters.token"),
        (over(None, execution_steps=NOOP, parameters=(SECRET,)), {"custom_parameters": {"token": "hunter2"}},
         "custom_parameters.token"),
        (over(None, execution_steps=NOOP, parameters=(Parameter("token", "secret", aliases=("key",)),)),
         {"custom_parameters": {"key": "hunter2"}}, "custom_parameters.key"),
        (over(None, execution_steps=NOOP, custom_parameters={"token": "hunter2"}), {"parameters": (SECRET,)},
         "parameters[0].type"),
    ],
)  # fmt: skip
def test_a_secret_has_no_default_in_any_layer(base: Template | None, fields: dict[str, Any], path: str) -> None:
    found = refused(base, **fields)
    assert path in found, found
    assert "hunter2" not in str(found)


def test_a_template_is_not_its_own_ancestor_and_no_stack_is_too_high() -> None:
    refuse_bad_base("a", ["b", "c"])
    with pytest.raises(Invalid, match="a → b → a; name a base") as found:
        refuse_bad_base("a", ["b", "a", "c"])
    assert (found.value.code, found.value.errors[0].path) == ("template_cycle", "base_template")
    refuse_bad_base("a", [f"t{n}" for n in range(MOST_LAYERS - 1)])
    with pytest.raises(Invalid, match="at most 10 layers"):
        refuse_bad_base("a", [f"t{n}" for n in range(MOST_LAYERS)])


def test_every_value_has_its_origin() -> None:
    vision = TemplateDraft(
        "vision", custom_parameters={"algorithm": "svm", "owner": "vision"}, retry_policy={"jitter": 0}
    )
    mine = TemplateDraft("mine", custom_parameters={"dataset": "wine", "hyperparameters": {"C": 2}})
    middle = derive(vision, BASE, STEP_PARAMETERS, version=3)
    top = derive(mine, middle, STEP_PARAMETERS, version=2)
    layers = [Layer("mine", 2, mine), Layer("vision", 3, vision), builtin_layers()[BASE.id]]
    found = {o.path: o for o in template_origins(top, layers, STEP_PARAMETERS)}
    told = {path: (o.source, o.layer or o.step) for path, o in found.items()}
    assert told["default_parameters.dataset_name"] == (Source.TEMPLATE, "mine@2")
    assert told["default_parameters.hyperparameters.C"] == (Source.TEMPLATE, "mine@2")
    assert told["default_parameters.algorithm"] == (Source.TEMPLATE, "vision@3")
    assert [(h.layer, h.value) for h in found["default_parameters.algorithm"].hidden] == [
        ("ml_training_template@1", "random_forest")
    ]
    assert told["default_parameters.validation_strategy"] == (Source.STEP, "model_training")
    assert told["parameters.owner"] == (Source.TEMPLATE, "vision@3")
    assert told["parameters.cv_folds"] == (Source.STEP, "model_training")
    assert told["parameters.dataset_name"] == (Source.TEMPLATE, "ml_training_template@1")
    assert told["resource_requirements.memory_gb"] == (Source.TEMPLATE, "ml_training_template@1")
    assert told["retry_policy.jitter"] == (Source.TEMPLATE, "vision@3")
    assert told["execution_steps"] == (Source.TEMPLATE, "ml_training_template@1")
    assert told["executor"] == told["timeout"] == (Source.DEFAULT, None)


def test_differences_are_told_once_each() -> None:
    before = over(BASE, custom_parameters={"h": {"a": 1, "b": 2}}, execution_steps=(Step("noop", 5), Step("sleep")))
    after = over(BASE, custom_parameters={"h": {"a": 1, "b": True}, "new": 1}, execution_steps=(Step("noop", 6),))
    found = {d.path: (d.kind, d.before, d.after) for d in differences(before, after)}
    assert found["default_parameters.h.b"] == ("changed", 2, True)
    assert found["default_parameters.new"] == ("added", None, 1)
    assert found["execution_steps.noop.timeout"] == ("changed", 5, 6)
    assert found["execution_steps.sleep"][0] == "removed"
    assert found["execution_order"] == ("changed", ["noop", "sleep"], ["noop"])
    assert found["parameters.new"][0] == "added"
    assert "default_parameters.h.a" not in found
